"""The RunKey service: three routes, an account, and control endpoints."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import hashlib
import hmac
import itertools
import json
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ..core.faults import Fault
from ..core.journal import Journal
from ..core.ledger import Ledger, hash_of
from ..core.media import MEDIA_FAULTS, MediaFile, MediaFiles
from ..core.service import Options, Service
from .behaviour import Behaviour
from .delivery import Deliveries
from .errors import CODES, Refused
from .faults import FAULTS
from .http import broken, half, read_object, refusal, success, web_page
from .limits import PLANS, Window
from .outputs import make_files
from .tasks import Task, stamp
from .templates import Template, initial_templates

__all__ = ["RunKeyService"]

Json = dict[str, Any]
_ROOT = "/runkey/v1"
_CONTROL = f"{_ROOT}/_sandbox"
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
_EMAIL, _PLAN, _BALANCE = "user@example.com", "pro", 5000.0
_ENDINGS: dict[str, tuple[str, int | None]] = {"failure": ("failed", 50001), "timeout": ("failed", 50003)}
_EVENTS = {"completed": "task.completed", "failed": "task.failed"}


class RunKeyService(Service):
    """All state of the RunKey service. The account starts as in the documents' example: plan Pro, 5000 credits.

    Times of tasks and limits are seconds of the protocol. Timestamps begin at the wall clock of the acceptance.

    Args:
        options: Settings of the process.
    """

    unit = "credits"
    fault_table = FAULTS
    control_prefixes = (_ROOT,)
    # A client that polls after about 2 and 5 seconds finds an image at its first poll, and a video at its second.
    own_latencies_s: ClassVar[Mapping[str, float]] = {
        "image": 1.5, "video": 4.0, "audio": 1.5, "json": 0.5, "inline": 0.5,
    }  # fmt: skip

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.behaviour = Behaviour()
        self.files = MediaFiles(self.clock)
        self.journal = Journal(options.state_dir)
        self.deliveries = Deliveries(
            self.clock, self._sleep, lambda: self.webhook_secret, lambda: self.behaviour, self.journal.write
        )
        self._window = Window()
        self._request_count = 0
        self._advanced = asyncio.Event()
        self._forget()
        self.journal.replay(self._restore)

    # --- what the process needs --------------------------------------------------------------------

    def routes(self) -> list[BaseRoute]:
        """Return the routes of the service."""

        async def media(request: Request) -> Response:
            return await self._serve_file(request.path_params["name"])

        return [
            Route(f"{_CONTROL}/account", self._control(self._set_account), methods=["POST"]),
            Route(f"{_CONTROL}/templates", self._control(self._set_template), methods=["POST"]),
            Route(f"{_CONTROL}/tasks", self._control(self._end_task), methods=["POST"]),
            Route(f"{_CONTROL}/advance", self._control(self._advance), methods=["POST"]),
            Route(f"{_CONTROL}/tasks", self._control(lambda _: self._list_tasks())),
            Route(f"{_CONTROL}/requests", self._control(lambda _: dict(self._requests))),
            Route(f"{_CONTROL}/deliveries", self._control(lambda _: {"deliveries": self.deliveries.records})),
            Route("/runkey/media/{name}", media),
            Route("/runkey/{path:path}", self._respond, methods=_METHODS),
        ]

    def urls(self) -> dict[str, str]:
        """Return the URL and the webhook secret for the ready line."""
        return {
            "runkey_url": f"{self.base_url}{_ROOT}",
            "runkey_api_key": self.api_key,
            "runkey_webhook_secret": self.webhook_secret,
        }

    def set_behaviour(self, values: Json) -> None:
        """Set switches for what the documents leave open.

        Raises:
            ValueError: A switch is unknown, or its value is invalid.
        """
        self.behaviour = self.behaviour.with_values(values)

    def start(self) -> None:
        """Resume the callbacks that an earlier process left: those of tasks that have ended, and of those that will."""
        for task in self.tasks.values():
            if task.webhook_url is not None and not task.is_called_back:
                self.spawn(self._finish(task))

    def reset(self) -> None:
        """Delete all tasks, charges and faults, and restore account and templates. Switches stay as they are."""
        super().reset()
        for work in self._running:
            work.cancel()
        self.files.clear()
        self.deliveries.clear()
        self._window.clear()
        self._forget()
        self.journal.clear()
        self._wake()

    def ledger(self) -> Json:
        """Return the charges, up to this moment."""
        self._settle()
        return super().ledger()

    @property
    def webhook_secret(self) -> str:
        """The webhook secret: that of the switch, or one that depends on the key only."""
        own = hmac.new(self.api_key.encode(), b"RunKey webhooks", hashlib.sha256).hexdigest()[:32]
        return self.behaviour.webhook_secret or f"whsec_{own}"

    def now(self) -> float:
        """Return the time in seconds of the protocol."""
        return self.clock.now() * self.clock.time_scale + self._offset_s

    def _forget(self) -> None:
        self.account = Ledger(self.unit, _BALANCE)
        self.plan = _PLAN
        self.templates = initial_templates()
        self.tasks: dict[str, Task] = {}
        self._requests = {"run": 0, "task": 0, "account": 0, "refused": 0}
        self._offset_s = 0.0

    # --- API ---------------------------------------------------------------------------------------

    async def _respond(self, request: Request) -> Response:
        self._request_count += 1
        request_id = f"req_{self._opaque(f'request {self._request_count}')}"
        try:
            response = await self._route(request)
        except Refused as refused:
            response = refusal(refused, request_id, self.behaviour)
        response.headers["X-Request-Id"] = request_id
        if self.behaviour.rate_headers == "always" or (
            self.behaviour.rate_headers == "success" and response.status_code < 400
        ):
            response.headers.update(self._rate_headers())
        return response

    async def _route(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {self.api_key}":
            raise Refused(40001)  # not counted: it belongs to no account
        self._count_request()
        path = request.url.path.removeprefix(_ROOT)
        task_id = request.path_params["path"].removeprefix("v1/tasks/")
        if path == "/run":
            handle, method = self._run, "POST"
        elif path == "/account":
            handle, method = self._read_account, "GET"
        elif path.startswith("/tasks/") and task_id:
            handle, method = functools.partial(self._read_task, task_id), "GET"
        else:
            raise Refused(40005, "Unknown path.", status=404)
        if request.method != method:
            raise Refused(40005, f"{request.method} is not supported here.", status=405)
        return await handle(request)

    def _count_request(self) -> None:
        limit, now = PLANS[self.plan].requests_per_minute, self.now()
        if not self._window.admit(now, limit, is_sliding=self.behaviour.window == "sliding"):
            self._requests["refused"] += 1
            msg = f"Rate limit exceeded: {limit} requests per minute."
            raise Refused(40003, msg, retry_after_s=self._window.wait_s(now))

    def _rate_headers(self) -> dict[str, str]:
        limit, now = PLANS[self.plan].requests_per_minute, self.now()
        remaining = self._window.remaining(now, limit, is_sliding=self.behaviour.window == "sliding")
        reset = math.ceil(self.clock.now() + (self._window.wait_s(now) or 60))
        return {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(remaining),
                "X-RateLimit-Reset": str(reset)}  # fmt: skip

    async def _run(self, request: Request) -> Response:
        self._requests["run"] += 1
        body = await read_object(request, self.behaviour.max_body_bytes)
        hit = self.faults.draw("run", is_work=True, fingerprint=lambda: hash_of(body))
        spoilt = await self._spoilt_before(request, hit)
        if spoilt is not None:
            return spoilt
        task = self._accept(body, hit)
        data: Json = {"task_id": task.task_id, "status": "queued"}
        if self.behaviour.submit_form == "full":
            data["created_at"] = stamp(task.created_s)
        return await self._spoilt(success(data, self.behaviour.submit_status, self.behaviour), request, hit)

    async def _read_task(self, task_id: str, request: Request) -> Response:
        self._requests["task"] += 1
        hit = self.faults.draw("task", is_work=False, fingerprint=lambda: task_id)
        spoilt = await self._spoilt_before(request, hit)
        if spoilt is not None:
            return spoilt
        task = self.tasks.get(task_id)
        if task is None:
            raise Refused(40006)
        self._settle()
        if self.behaviour.timeout_place == "call" and task.status(self.now()) == "failed" and task.error is not None:
            code, msg = task.error
            if code == 50003:
                raise Refused(code, msg)
        data = self._describe(task)
        if "odd_status" in hit:
            data["status"] = hit["odd_status"].options.get("value", "paused")
        return await self._spoilt(success(data, 200, self.behaviour), request, hit)

    async def _read_account(self, request: Request) -> Response:
        self._requests["account"] += 1
        hit = self.faults.draw("account", is_work=False, fingerprint=lambda: "account")
        spoilt = await self._spoilt_before(request, hit)
        if spoilt is not None:
            return spoilt
        self._settle()
        balance = self.account.balance
        plan = self.plan.title() if self.behaviour.plan_case == "title" else self.plan
        data = {"email": _EMAIL, "balance": int(balance) if balance == int(balance) else balance, "plan": plan}
        return await self._spoilt(success(data, 200, self.behaviour), request, hit)

    @staticmethod
    async def _spoilt_before(request: Request, hit: dict[str, Fault]) -> Response | None:
        """Return the response of a fault that comes before anything is done; None if there is none.

        Raises:
            Refused: The fault orders an error.
        """
        if _cut_when(hit) == "before_accept":
            return await broken(request)
        if "html" in hit:
            return web_page(hit["html"])
        if "refuse" in hit:
            raise _ordered(hit["refuse"])
        return None

    async def _spoilt(self, response: Response, request: Request, hit: dict[str, Fault]) -> Response:
        """Return a response with the faults that concern only its way to the client."""
        if "slow" in hit:
            await self._sleep(float(hit["slow"].options.get("seconds", 1.0)))
        if _cut_when(hit) == "after_accept":
            return await broken(request)
        return half(response) if _cut_when(hit) == "mid_body" else response

    async def _serve_file(self, name: str) -> Response:
        """Return the response to a download. It needs no key, and counts against no limit."""
        token = name.partition("-")[0]
        task = next((task for task in self.tasks.values() if self._opaque(task.task_id) == token), None)
        life_s = self.behaviour.result_expires_s
        is_there = task is not None and task.status(self.now()) == "completed"
        if task is None or not is_there or (life_s is not None and self.now() > task.ends_at + life_s):
            return Response("no such file", 404, media_type="text/plain")
        return await self.files.serve(name)

    # --- tasks -------------------------------------------------------------------------------------

    def _accept(self, body: Json, hit: dict[str, Fault]) -> Task:
        template_id, webhook_url = body.get("template_id"), body.get("webhook_url")
        if not isinstance(template_id, str):
            raise Refused(40005, "template_id must be a string.")
        template = self.templates.get(template_id)
        if template is None:
            raise Refused(40004)
        template.check(body.get("input"))
        if webhook_url is not None and not (
            isinstance(webhook_url, str) and webhook_url.startswith(("http://", "https://"))
        ):
            raise Refused(40005, "webhook_url must be an absolute http or https URL.")
        self._check_credits(template)
        if template.scenario == "no_gpu":
            raise Refused(50002)
        delay_s = self._wait_for_others()
        task_id = self._new_id()
        urls = (webhook_url, template.webhook_url)
        run_s = self.latency_of(template.output) if template.run_s is None else template.run_s
        task = Task(
            task_id, template_id, body["input"], self.now(), max(template.queue_s, delay_s),
            float(hit["latency"].options.get("seconds", 1.0)) if "latency" in hit else run_s,
            template.price_credits, hash_of(body, without=frozenset({"webhook_url"})), self.clock.now(),
            is_preempted=template.scenario == "preempted",
            webhook_url=next(filter(None, urls if self.behaviour.webhook_wins == "request" else urls[::-1]), None),
            kind=template.output, media_fault=next((kind for kind in MEDIA_FAULTS if kind in hit), ""),
            webhook_fault=hit["webhook"].options if "webhook" in hit else None,
        )  # fmt: skip
        _decide_ending(task, template, hit)
        self._add(task)
        self.journal.write({"op": "accept", "task": dataclasses.asdict(task)})
        if self.behaviour.charge_at == "submit":
            self._charge(task)
        self.spawn(self._finish(task))
        return task

    def _check_credits(self, template: Template) -> None:
        self._settle()
        least = template.price_credits if self.behaviour.credits_check == "price" else 0.0
        balance = self.account.balance
        if template.scenario == "out_of_credits" or balance <= 0 or balance < least:
            raise Refused(40002)

    def _wait_for_others(self) -> float:
        """Return the seconds until the plan's limit permits one more task.

        Raises:
            Refused: Tasks above the limit are refused.
        """
        now, limit = self.now(), PLANS[self.plan].concurrent_tasks
        counted = {"running"} | ({"queued"} if self.behaviour.queued_counts else set())
        active = sorted(task.ends_at for task in self.tasks.values() if task.status(now) in counted)
        if len(active) < limit:
            return 0.0
        if self.behaviour.over_concurrent == "refuse":
            self._requests["refused"] += 1
            msg = f"Concurrent task limit exceeded: {limit} tasks."
            raise Refused(40003, msg, retry_after_s=max(1, math.ceil(active[0] - now)))
        return active[len(active) - limit] - now

    def _add(self, task: Task) -> None:
        self.tasks[task.task_id] = task
        for key, (extension, make) in make_files(task.kind, task.given, self.seed).items():
            self.files.add(MediaFile(self._file_name(task, key, extension), make, fault=task.media_fault))

    async def _finish(self, task: Task) -> None:
        """Wait for the end of a task, charge it, and send its callback. No event exists for a canceled task."""
        while not task.is_finished(self.now()):
            await self._wait(task.ends_at)
        if self.tasks.get(task.task_id) is not task:
            return
        self._settle()
        event = _EVENTS.get(task.ending)
        if task.webhook_url is None or event is None:
            return
        data = self._describe(task)
        if task.ending == "completed":
            names = ("task_id", "template_id", "status", "output", "processing_time", "credits_used")
            data = {name: data[name] for name in names if name in data}
        await self.deliveries.deliver(task.webhook_url, event, data, task.webhook_fault)
        task.is_called_back = True
        self.journal.write({"op": "called_back", "task_id": task.task_id})

    def _settle(self) -> None:
        """Charge all tasks that have ended."""
        now = self.now()
        for task in self.tasks.values():
            costs = task.ending == "completed" or self.behaviour.charges_failures
            if costs and not task.is_charged and task.is_finished(now):
                self._charge(task)

    def _charge(self, task: Task) -> None:
        if not task.is_charged:
            task.is_charged = True
            self.account.bill(task.task_id, task.template_id, task.price_credits, request_hash=task.request_hash)
            self.journal.write({"op": "charge", "task_id": task.task_id})

    def _describe(self, task: Task) -> Json:
        if task.kind == "inline":
            output: Json = {"labels": ["sandbox"], "score": 1.0, "input": task.given}
        else:
            output = {
                key: f"{self.base_url}/runkey/media/{self._file_name(task, key, extension)}"
                for key, (extension, _) in make_files(task.kind, task.given, self.seed).items()
            }
        return task.describe(self.now(), self.behaviour, output)

    def _file_name(self, task: Task, key: str, extension: str) -> str:
        return f"{self._opaque(task.task_id)}-{key.removesuffix('_url')}.{extension}"

    def _new_id(self) -> str:
        shape = {"plain": "task_{}", "odd": "task_{} é+~:@" + "x" * 80, "unsafe": "task/{}?x#%2e"}
        ids = (shape[self.behaviour.task_ids].format(self._opaque(f"task {number}"))
               for number in itertools.count(len(self.tasks)))  # fmt: skip
        return next(task_id for task_id in ids if task_id not in self.tasks)  # a damaged journal leaves gaps

    def _opaque(self, text: str) -> str:
        """Return characters that depend on the seed and a text."""
        return hashlib.sha256(f"{self.seed}/{text}".encode()).hexdigest()[:16]

    def _restore(self, event: Json) -> None:
        """Apply an event of an earlier process."""
        op = event["op"]
        if op == "accept":
            values = event["task"]
            error = tuple(values["error"]) if values["error"] else None
            self._add(Task(**{**values, "error": error, "is_charged": False}))
        elif op == "charge":
            task = self.tasks[event["task_id"]]
            task.is_charged = True
            self.account.bill(task.task_id, task.template_id, task.price_credits, request_hash=task.request_hash)
        elif op == "end":
            task = self.tasks[event["task_id"]]
            task.stopped_at, task.ending = event["at"], event["ending"]
            task.error = (50001, CODES[50001]) if task.ending == "failed" else None
        elif op in {"callback", "attempt"}:
            self.deliveries.restore(event)
        elif op == "called_back":
            self.tasks[event["task_id"]].is_called_back = True
        elif op == "template":
            self.templates[event["template"]["template_id"]] = Template.parse(event["template"])
        elif op == "account":
            self._apply_account(event["values"])
        else:
            self._offset_s += event["seconds"]

    # --- control -----------------------------------------------------------------------------------

    def _control(self, change: Callable[[Json], Json]) -> Callable[[Request], Awaitable[Response]]:
        """Build a control endpoint, which requires the key."""

        async def endpoint(request: Request) -> Response:
            if request.headers.get("authorization") != f"Bearer {self.api_key}":
                return JSONResponse({"error": "The key of the sandbox is required."}, 401)
            try:
                values = json.loads(await request.body() or b"{}")
                if not isinstance(values, dict):
                    raise TypeError("The body must be a JSON object.")
                return JSONResponse(change(values))
            except (ValueError, TypeError) as error:
                return JSONResponse({"error": str(error)}, 400)

        return endpoint

    def _set_account(self, values: Json) -> Json:
        """Set `plan` and `balance`."""
        self._apply_account(values)
        self.journal.write({"op": "account", "values": values})
        return {}

    def _apply_account(self, values: Json) -> None:
        unknown = set(values) - {"plan", "balance"}
        if unknown:
            raise ValueError(f"unknown field {min(unknown)!r} of the account; known: balance, plan")
        balance, plan = values.get("balance", self.account.balance), values.get("plan", self.plan)
        if plan not in PLANS:
            raise ValueError(f"Invalid plan={plan!r}: expected one of {', '.join(PLANS)}.")
        if isinstance(balance, bool) or not isinstance(balance, int | float) or not math.isfinite(balance):
            raise ValueError(f"Invalid balance={balance!r}: expected a number.")
        self.plan = plan
        self.account.start = balance + self.account.total

    def _set_template(self, values: Json) -> Json:
        """Create or replace a template."""
        template = Template.parse(values)
        self.templates[template.template_id] = template
        self.journal.write({"op": "template", "template": values})
        return {}

    def _end_task(self, values: Json) -> Json:
        """Cancel or fail an unfinished task: `task_id`, and `ending` as `canceled` or `failed`."""
        task, ending = self.tasks.get(str(values.get("task_id"))), values.get("ending", "canceled")
        if task is None:
            raise ValueError("There is no such task.")
        if ending not in {"canceled", "failed"}:
            raise ValueError(f"Invalid ending={ending!r}: expected one of canceled, failed.")
        if not task.stop(ending, self.now(), (50001, CODES[50001]) if ending == "failed" else None):
            raise ValueError(f"The task has ended: {task.ending}.")
        self.journal.write({"op": "end", "task_id": task.task_id, "ending": ending, "at": task.stopped_at})
        self._wake()
        return {}

    def _advance(self, values: Json) -> Json:
        """Advance the clock by `seconds` of the protocol."""
        seconds = values.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e9:
            raise ValueError(f"Invalid seconds={seconds!r}: expected a number, at least 0.")
        self._offset_s += seconds
        self.journal.write({"op": "advance", "seconds": seconds})
        self._wake()
        return {}

    def _list_tasks(self) -> Json:
        now = self.now()
        rows = [{"task_id": task.task_id, "template_id": task.template_id, "status": task.status(now),
                 "request_hash": task.request_hash} for task in self.tasks.values()]  # fmt: skip
        return {"tasks": rows}

    async def _sleep(self, seconds: float) -> None:
        """Wait for seconds of the protocol, which a control request may skip."""
        until = self.now() + seconds
        while self.now() < until:
            await self._wait(until)

    async def _wait(self, until: float) -> None:
        """Wait until a time, or until a control request changes the clock or a task."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._advanced.wait(), self.clock.real_s(max(0.0, until - self.now())))

    def _wake(self) -> None:
        """Wake what waits for the end of a task."""
        self._advanced.set()
        self._advanced = asyncio.Event()


def _decide_ending(task: Task, template: Template, hit: dict[str, Fault]) -> None:
    """Set how a task ends: by a fault, or as the template says."""
    if "fail" in hit:
        code = int(hit["fail"].options.get("code", 50001))
        task.ending, task.error = "failed", (code, str(hit["fail"].options.get("msg", CODES.get(code, "Failed."))))
    elif template.scenario in _ENDINGS:
        task.ending, own = _ENDINGS[template.scenario]
        task.error = None if own is None else (own, CODES[own])
    when = (
        hit["cancel"].options.get("when", "running") if "cancel" in hit else template.scenario.removeprefix("cancel_")
    )
    if when == "queued":
        task.ending, task.stopped_at = "canceled", task.accepted_at + task.queue_s / 2
    elif when == "running":
        task.ending, task.stopped_at = "canceled", task.accepted_at + task.queue_s + task.run_s / 2


def _cut_when(hit: dict[str, Fault]) -> str:
    """Return where a fault breaks the connection; empty if none does."""
    return str(hit["cut"].options.get("when", "before_accept")) if "cut" in hit else ""


def _ordered(fault: Fault) -> Refused:
    """Return the refusal that a fault orders."""
    options = fault.options
    code = int(options.get("code", 50001))
    wait = options.get("retry_after_s", 1 if code == 40003 else None)
    msg, status = options.get("msg"), options.get("status")
    return Refused(code, msg, status=status, retry_after_s=wait)
