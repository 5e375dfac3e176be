"""The Runware service without its transports: tasks in, responses out."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from starlette.routing import BaseRoute

from ..core.connections import CutConnection
from ..core.faults import Fault
from ..core.journal import Journal
from ..core.media import MEDIA_FAULTS
from ..core.service import Options, Service
from ..core.webhooks import is_reachable, post_result, put_file
from . import answers
from .account import ledger_rows, request_hash
from .behaviour import Behaviour
from .delivery import Push, drip_options, spoilt, stray_errors
from .faults import BAD_URLS, FAULTS
from .inputs import Uploads, guiding_media
from .kinds import KINDS
from .media import MediaShelf
from .requests import CURRENT_NAMES, current_name, normalise
from .routes import runware_routes
from .streams import stream_events
from .usage import Call
from .utilities import UTILITIES, model_upload
from .validation import Refused, check_task, check_utility, check_uuid, model_of
from .windows import SYNC_WINDOW_S
from .work import Item, Work, plan_work, restored_work

__all__ = ["RunwareService"]

Json = dict[str, Any]
_HELD_S = 1e9
"""A task whose stream is held back is not finished until it is released."""
_IMAGE_INPUTS = {"image", "images", "mask", "seedImage", "maskImage", "referenceImages", "frameImages"}


class RunwareService(Service):
    """All state of the Runware service.

    Args:
        options: Settings of the process.
    """

    unit = "USD"
    fault_table = FAULTS
    control_prefixes = ("/v1", "")

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.behaviour = Behaviour()
        self.works: dict[str, Work] = {}
        self.own_models: list[Json] = []
        self.refused_calls: list[Call] = []
        self.journal = Journal(options.state_dir)
        self.uploads = Uploads(self.journal)
        self.shelf = MediaShelf(self.uploads, self.clock)
        self._used_uuids: set[str] = set()
        self._restore()

    def routes(self) -> list[BaseRoute]:
        """Return the routes of the service."""
        return runware_routes(self)

    def urls(self) -> dict[str, str]:
        """Return the URLs for the ready line."""
        return {
            "rest_url": f"{self.base_url}/v1",
            "ws_url": f"ws{self.base_url.removeprefix('http')}/v1",
            "media_url": self.media_url,
            "schemas_url": f"{self.base_url}/schemas",
        }

    def set_behaviour(self, values: Json) -> None:
        """Set switches for what sources about the real service disagree on.

        Raises:
            ValueError: A switch is unknown, or its value is invalid.
        """
        self.behaviour = self.behaviour.with_values(values)

    @property
    def media_url(self) -> str:
        """Where files are served."""
        return f"{self.base_url}/media"

    async def handle(self, task: Json, push: Push, *, waits: bool) -> None:
        """Answer one task through *push*, one frame at a time.

        Args:
            task: The task.
            push: Sends a frame.
            waits: Whether this call itself waits for sync results, as an HTTP answer does. Otherwise they
                are pushed later, from a task of their own.

        Raises:
            CutConnection: A fault wants the connection broken.
        """
        task_type = task.get("taskType")
        scope = {key: task[key] for key in ("taskType", "taskUUID") if isinstance(task.get(key), str)}
        try:
            if not isinstance(task_type, str):
                raise Refused("missingTaskType", "Missing value for 'taskType' parameter.", parameter="taskType")
            if task_type == "ping":
                await push({"data": [{**scope, "pong": True}]})
            elif task_type in UTILITIES or task_type == "modelUpload":
                await self._answer_utility(task, task_type, scope, push, waits=waits)
            else:
                if task.get("deliveryMethod") == "stream":
                    raise Refused("invalidDeliveryMethod", "Streaming is one task in one HTTP request.",
                                  parameter="deliveryMethod", allowedValues=["sync", "async"])  # fmt: skip
                await self._deliver(*self._accept(task, task_type), push, waits=waits)
        except Refused as refused:
            await push(self._refusal(refused, task, scope))

    def open_stream(self, task: Json) -> AsyncIterator[bytes]:
        """Accept a text task that is to be streamed.

        Raises:
            Refused: It is not accepted; nothing has been streamed then.
            CutConnection: A fault wants the connection broken.
        """
        work, hit = self._accept(task, str(task.get("taskType")))
        self._raise_cut(hit)
        return self._streamed(work, hit)

    async def _streamed(self, work: Work, hit: dict[str, Fault]) -> AsyncIterator[bytes]:
        told = await asyncio.to_thread(self.shelf.told, work, work.items[0])
        try:
            async for part in stream_events(work, told, self.clock, hit):
                yield part
        except CutConnection:
            if "forget" in hit:
                self.settle(work, float("inf"))
                del self.works[work.uuid]
            raise
        finally:
            if work.released is None or work.released.is_set():
                self.settle(work, self.clock.now())

    def release(self) -> None:
        """Let streams that are held back continue. Their tasks are finished now."""
        now = self.clock.now()
        for work in self.works.values():
            if work.released is not None and not work.released.is_set():
                for item in work.items:
                    item.ready_at = now
                work.released.set()

    # --- accepting ---------------------------------------------------------------------------------

    def _accept(self, task: Json, task_type: str) -> tuple[Work, dict[str, Fault]]:
        kind = current_name(task_type)
        if kind not in KINDS:
            message = f"Invalid value for 'taskType' parameter: {task_type:.60}."
            known = sorted([*KINDS, *CURRENT_NAMES, *UTILITIES, "modelUpload", "ping"])
            raise Refused("invalidTaskType", message, parameter="taskType", allowedValues=known)
        hit = self.faults.draw(task_type, is_work=True, fingerprint=lambda: request_hash(task))
        self._before_acceptance(hit)
        uuid_text = check_uuid(task)
        if uuid_text in self.works or uuid_text in self._used_uuids:
            raise Refused("conflictTaskUUID", "This taskUUID has been used before. Send a fresh UUID v4.",
                          parameter="taskUUID", status=self.behaviour.conflict_status)  # fmt: skip
        work = self._planned(task, kind, hit)
        if work.cost_usd * len(work.items) > self.account.balance:
            raise Refused("insufficientCredits", "The balance does not cover this task.", status=402)
        self._remember(work)
        self.journal.write(
            {
                "op": "accept", "task": task, "air": work.model.air, "at": work.accepted_at, "muted": work.muted,
                "media_fault": work.media_fault, "drip": work.drip, "bad_urls": work.bad_urls,
                "stays_bad": work.stays_bad, "wording": work.wording,
                "items": [[i.uuid, i.seed, i.ready_at, i.error, i.flagged] for i in work.items],
            }
        )  # fmt: skip
        return work, hit

    def _planned(self, task: Json, kind: str, hit: dict[str, Fault]) -> Work:
        plain = normalise(task, is_strict=False)
        model = model_of(plain, kind)
        if model.is_strict and self.behaviour.flat_inputs == "by_model" and not model.architecture:
            plain = normalise(task, is_strict=True)
        check_task(plain, model, self.behaviour)
        self._check_media(plain)
        latency = float(hit["latency"].options["seconds"]) if "latency" in hit else self.latency_s
        latency = self.clock.real_s(latency)
        work = plan_work(task, plain, model, now=self.clock.now(), latency_s=latency, seed=self.seed)
        work.muted = "mute" in hit
        work.media_fault = next((kind for kind in MEDIA_FAULTS if kind in hit), "")
        _spoil(work, hit)
        return work

    def _check_media(self, task: Json) -> None:
        """Refuse media that stand for nothing, before anything is promised."""
        inputs = task.get("inputs")
        for name, value in inputs.items() if isinstance(inputs, dict) else ():
            for each in value if isinstance(value, list) else [value]:
                medium = each.get("image") if isinstance(each, dict) else each
                if medium is not None:
                    self.uploads.check(medium, parameter=f"inputs.{name}", is_own=self.shelf.knows,
                                       reads_image=name in _IMAGE_INPUTS)  # fmt: skip
                    if name in _IMAGE_INPUTS and self.shelf.is_drawing(medium):
                        raise Refused("invalidImage", "An SVG file has no pixels.", parameter=f"inputs.{name}")
        for parameter, medium in guiding_media(task):
            self.uploads.check(medium, parameter=parameter, is_own=self.shelf.knows, reads_image=True)
            if self.shelf.is_drawing(medium):
                raise Refused("invalidImage", "An SVG file has no pixels.", parameter=parameter)

    def _before_acceptance(self, hit: dict[str, Fault]) -> None:
        if "cut" in hit and hit["cut"].options.get("when", "before_accept") == "before_accept":
            raise CutConnection
        if "html" in hit:
            raise Refused("html", "", status=502)
        if "refuse" in hit:
            options = hit["refuse"].options
            more = {key: options[key] for key in ("retry_after_s", "parameter") if key in options}
            raise Refused(
                str(options.get("code", "internalServerError")),
                str(options.get("message", "A fault was ordered.")),
                status=int(options.get("status", 500)),
                names_task=bool(options.get("names_task", True)),
                **more,
            )

    def _refusal(self, refused: Refused, task: Json, scope: Json) -> Json:
        names_task = refused.error.pop("names_task", True)
        if current_name(str(task.get("taskType"))) in KINDS:
            is_ours = refused.status >= 500
            self.refused_calls.append(Call(self.clock.now(), str(task.get("model", "")), client_error=not is_ours,
                                           server_error=is_ours))  # fmt: skip
            if self.behaviour.refusal_uses_uuid and names_task and refused.status == 400:
                self._used_uuids.add(str(task.get("taskUUID")))
        error = {**refused.error, **(scope if names_task else {})}
        return {"data": [], "errors": [error], "_status": refused.status}

    # --- delivering --------------------------------------------------------------------------------

    @staticmethod
    def _raise_cut(hit: dict[str, Fault]) -> None:
        if "cut" in hit and hit["cut"].options.get("when") == "after_accept":
            raise CutConnection
        if "refuse_reauth" in hit:
            how = hit["refuse_reauth"].options.get("how", "internalServerError")
            raise CutConnection(how if isinstance(how, list) else [how])

    async def _deliver(self, work: Work, hit: dict[str, Fault], push: Push, *, waits: bool) -> None:
        self._raise_cut(hit)
        if "stray_error" in hit and not waits and not hit["stray_error"].options.get("instead"):
            for stray in stray_errors(hit["stray_error"], work.asked["taskType"]):
                await push(stray)
        if hit:
            push = spoilt(push, hit)
        webhook = work.task.get("webhookURL")
        if webhook:
            self.spawn(self._call_webhook(work, str(webhook)))
        if is_reachable(work.task.get("uploadEndpoint")):
            self.spawn(self._put_files(work))
        if webhook or work.task.get("deliveryMethod", _default_delivery(work)) == "async":
            delay_s = float(hit["slow_ack"].options.get("seconds", 0.5)) if "slow_ack" in hit else 0.0
            await self._in_time(_later(delay_s, functools.partial(push, {"data": [work.scope()]})),
                                waits=waits or not (delay_s or hit))  # fmt: skip
        elif waits:
            await self._deliver_at_once(work, push)
        elif work.ready_at > work.accepted_at or work.is_inline or work.kind.tell is not None or hit:
            self.spawn(self._deliver_as_ready(work, push))
        else:
            for frame in self._frames(work, self.clock.now(), work.items):
                await push(frame)

    async def _in_time(self, work: Awaitable[None], *, waits: bool) -> None:
        if waits:
            await work
        else:
            self.spawn(work)

    async def _deliver_at_once(self, work: Work, push: Push) -> None:
        """Wait for all items and answer in one body, as HTTP does."""
        wait_s = work.ready_at - self.clock.now()
        await asyncio.sleep(max(0.0, min(wait_s, self.clock.real_s(SYNC_WINDOW_S))))
        if wait_s > self.clock.real_s(SYNC_WINDOW_S) or work.muted:
            raise Refused("gatewayTimeout", "The task is still running; ask for it with getResponse.", status=504)
        await self.make_ready(work, work.items)
        now = self.clock.now()
        whole: Json = {"data": [self.result(work, item, now) for item in work.items if not item.error]}
        failed = [answers.failure(work, item) for item in work.items if item.error]
        if failed:
            whole["errors"] = failed
        await push(whole)

    async def _deliver_as_ready(self, work: Work, push: Push) -> None:
        """Push each item when it is finished, while the window lasts."""
        for ready_at, items in _by_time(work):
            await asyncio.sleep(max(0.0, ready_at - self.clock.now()))
            if self.clock.now() - work.accepted_at > self.clock.real_s(SYNC_WINDOW_S) or work.muted:
                self.settle(work, self.clock.now())
                return
            await self.make_ready(work, items)
            for frame in self._frames(work, self.clock.now(), items):
                await push(frame)

    def _frames(self, work: Work, now: float, items: list[Item]) -> list[Json]:
        """Make the frames for finished items: results together, each error in a frame of its own."""
        good = [self.result(work, item, now) for item in items if not item.error]
        frames: list[Json] = [{"data": good}] if good else []
        return frames + [{"errors": [answers.failure(work, item)]} for item in items if item.error]

    async def make_ready(self, work: Work, items: list[Item]) -> None:
        """Make what an answer carries inside it, off the event loop."""
        for item in items:
            if item.error:
                continue
            if work.is_inline:
                await self.shelf.made(item)
            if work.kind.tell is not None:
                await asyncio.to_thread(self.shelf.told, work, item)

    def result(self, work: Work, item: Item, now: float, *, is_polled: bool = False) -> Json:
        """Make the answer for one finished item; what is finished is billed."""
        self.settle(work, now)
        made = answers.result(work, item, media_url=self.media_url, fields=self.shelf.told(work, item),
                              body=lambda: self.shelf.made_now(item))  # fmt: skip
        if work.task["taskType"] == "promptEnhance" and self.behaviour.enhance_index:
            made["resultIndex"] = work.items.index(item)
        if is_polled:
            made["status"] = "success"
        index = work.items.index(item)
        if index in work.bad_urls and (work.stays_bad or not is_polled):
            made.update({key: work.bad_urls[index] for key in made if key.endswith("URL")})
        return made

    def settle(self, work: Work, now: float) -> None:
        """Charge all finished items. A failed item costs nothing, unless a switch says so."""
        for item in work.items:
            if item.ready_at <= now and not item.is_billed and (not item.error or self.behaviour.failure_is_billed):
                item.is_billed = True
                self.account.bill(
                    work.uuid, str(work.asked["taskType"]), work.cost_usd, request_hash=request_hash(work.asked)
                )

    def requests(self) -> list[Json]:
        """Return the accepted tasks. See `Service.requests`."""
        return [work.asked for work in self.works.values()]

    def uploaded(self) -> list[Json]:
        """Return the uploaded media. See `Service.uploaded`."""
        return [
            {"uuid": media_uuid, "url": f"{self.media_url}/{name}", "sha256": hashlib.sha256(body).hexdigest()}
            for media_uuid, name, body in self.uploads.all()
        ]

    def ledger(self) -> Json:
        """Settle everything that is finished by now, and list the charges."""
        now = self.clock.now()
        for work in self.works.values():
            self.settle(work, now)
        return ledger_rows(self.account)

    async def _call_webhook(self, work: Work, url: str) -> None:
        for ready_at, items in _by_time(work):
            await asyncio.sleep(max(0.0, ready_at - self.clock.now()))
            await self.make_ready(work, items)
            for item in items:
                body = answers.failure(work, item) if item.error else self.result(work, item, self.clock.now())
                if is_reachable(url):
                    await post_result(url, body, time_scale=self.clock.time_scale)

    async def _put_files(self, work: Work) -> None:
        for item in work.items:
            await asyncio.sleep(max(0.0, item.ready_at - self.clock.now()))
            if not item.error and work.kind.make is not None:
                await put_file(str(work.task["uploadEndpoint"]), *await self.shelf.made(item))

    # --- utilities ---------------------------------------------------------------------------------

    async def _answer_utility(self, task: Json, task_type: str, scope: Json, push: Push, *, waits: bool) -> None:
        check_uuid(task)
        hit = self.faults.draw(task_type, is_work=False, fingerprint=lambda: json.dumps(scope))
        self._before_acceptance(hit)
        check_utility(task, task_type)
        if "mute" in hit:
            return
        push = spoilt(push, hit) if hit else push
        if task_type == "modelUpload":
            await self._in_time(model_upload(self, task, scope, push, waits=waits), waits=waits)
        elif task_type == "getResponse":
            await self._in_time(self._poll(task, push), waits=waits or not self._needs_making(task))
        else:
            for frame in UTILITIES[task_type](self, task, scope):
                await push(frame)

    def _needs_making(self, task: Json) -> bool:
        work = self.works.get(str(task["taskUUID"]))
        return work is not None and (work.is_inline or work.kind.tell is not None)

    async def _poll(self, task: Json, push: Push) -> None:
        work = self.works.get(str(task["taskUUID"]))
        now = self.clock.now()
        if work is not None and self._needs_making(task):
            await self.make_ready(work, [item for item in work.items if item.ready_at <= now])
        for frame in UTILITIES["getResponse"](self, task, {}):
            await push(frame)

    # --- memory ------------------------------------------------------------------------------------

    def _remember(self, work: Work) -> None:
        self.works[work.uuid] = work
        self.shelf.add(work)

    def _restore(self) -> None:
        self.journal.replay(self._apply)

    def _apply(self, event: Json) -> None:
        """Take up an event of an earlier process.

        Raises:
            Exception: Of any kind; the event is damaged.
        """
        op = event["op"]
        if op == "accept":
            work = restored_work(event, seed=self.seed)
            if work.uuid in self.works or not work.items:  # a UUID is accepted once: this would undo a charge
                raise ValueError(work.uuid)
            self._remember(work)
        elif op == "upload":
            self.uploads.restore(event["uuid"], event["name"])
        elif op == "delete":
            self.uploads.forget(event["uuid"])
        elif op == "model":
            self.own_models.append(dict(event["entry"]))
        else:
            raise ValueError(op)

    def reset(self) -> None:
        """Delete all tasks, charges, uploads, switches and faults."""
        self.release()
        super().reset()
        self.works.clear()
        self.shelf.clear()
        self.uploads.clear()
        self.own_models.clear()
        self.refused_calls.clear()
        self._used_uuids.clear()
        self.behaviour = Behaviour()
        self.journal.clear()


def _default_delivery(work: Work) -> str:
    is_slow = work.task["taskType"] in {"videoInference", "3dInference", "training"} or work.stem == "video"
    return "async" if is_slow else "sync"


async def _later(delay_s: float, send: Any) -> None:
    if delay_s:
        await asyncio.sleep(delay_s)
    await send()


def _by_time(work: Work) -> list[tuple[float, list[Item]]]:
    """Group items by when they are finished."""
    times = sorted({item.ready_at for item in work.items})
    return [(time, [item for item in work.items if item.ready_at == time]) for time in times]


def _spoil(work: Work, hit: dict[str, Fault]) -> None:
    everything = range(len(work.items))
    if "write" in hit:
        options = hit["write"].options
        work.wording = {"text": str(options["text"]), "finishReason": str(options.get("finish_reason", "stop"))}
        work.wording |= {"reasoningContent": str(options["reasoning"])} if "reasoning" in options else {}
    if "hold" in hit:
        work.released = asyncio.Event()
        for item in work.items:
            item.ready_at = work.accepted_at + _HELD_S
    if "fail" in hit:
        options = hit["fail"].options
        for index in options.get("items", everything):
            if index < len(work.items):
                work.items[index].error = {
                    "code": options.get("code", "timeoutProvider"),
                    "message": options.get("message", "The model's provider did not answer in time."),
                }
    if "drip" in hit:
        work.drip = drip_options(hit["drip"])
    if "bad_url" in hit:
        options = hit["bad_url"].options
        names = list(BAD_URLS)
        for index in options.get("items", everything):
            if index < len(work.items):
                named = options.get("url", names[int(work.items[index].uuid[:8], 16) % len(names)])
                work.bad_urls[index] = BAD_URLS[named]
        work.stays_bad = bool(options.get("stays", False))
    if "flag" in hit:
        for index in hit["flag"].options.get("items", everything):
            if index < len(work.items):
                work.items[index].flagged = True
