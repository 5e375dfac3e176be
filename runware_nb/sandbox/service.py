"""The service itself, transport aside: tasks in, answers out."""

from __future__ import annotations

import asyncio
import base64
import collections
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from .account import Account, request_hash
from .clock import Clock
from .faults import FaultPlan
from .inputs import Uploads
from .journal import Journal
from .models import search
from .validation import Refused, check_image_task, check_uuid
from .work import Item, Work, plan_image_work, render_image

__all__ = ["CutConnection", "Service"]

Json = dict[str, Any]
Push = Callable[[Json], Awaitable[None]]

_WORK = {"imageInference"}
_TYPES = {
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".gif": "image/gif",
}
_CACHE_BYTES = 64 * 1024 * 1024


class CutConnection(Exception):
    """A fault: the connection is to break here."""


class Service:
    """Everything behind the sockets.

    Args:
        api_key: The one key it accepts.
        clock: Its time windows.
        latency_s: How long an image takes, in seconds.
        seed: Decides seeds that a request leaves open, and fault rates.
        state_dir: Folder for what outlives the process; None keeps everything in memory.
        balance_usd: What the account holds at the start, in US dollars.
    """

    def __init__(
        self,
        *,
        api_key: str,
        clock: Clock,
        latency_s: float = 0.0,
        seed: int = 0,
        state_dir: Path | None = None,
        balance_usd: float = 100.0,
    ) -> None:
        self.api_key = api_key
        self.clock = clock
        self.latency_s = latency_s
        self.seed = seed
        self.faults = FaultPlan(seed)
        self.account = Account(balance_usd)
        self.base_url = ""
        self._journal = Journal(state_dir)
        self._uploads = Uploads(self._journal)
        self._works: dict[str, Work] = {}
        self._items: dict[str, tuple[Work, Item]] = {}
        self._cache: collections.OrderedDict[str, tuple[bytes, str]] = collections.OrderedDict()
        self._cached_bytes = 0
        self._painting = asyncio.Semaphore(2)
        self._restore()

    # --- tasks -------------------------------------------------------------------------------------

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
            elif task_type in _WORK:
                await self._accept(task, push, waits=waits)
            elif task_type in _UTILITIES:
                check_uuid(task)
                hit = self.faults.draw(task_type, is_work=False)
                self._before_acceptance(hit)
                answer = _UTILITIES[task_type](self, task, scope)
                if "mute" not in hit:
                    for frame in answer:
                        await push(frame)
            else:
                message = f"Invalid value for 'taskType' parameter: {task_type:.60}."
                raise Refused("invalidTaskType", message, parameter="taskType",
                              allowedValues=sorted([*_WORK, *_UTILITIES, "ping"]))  # fmt: skip
        except Refused as refused:
            names_task = refused.error.pop("names_task", True)
            await push({"data": [], "errors": [{**refused.error, **(scope if names_task else {})}],
                        "_status": refused.status})  # fmt: skip

    async def _accept(self, task: Json, push: Push, *, waits: bool) -> None:
        hit = self.faults.draw(str(task["taskType"]), is_work=True)
        self._before_acceptance(hit)
        uuid_text = check_uuid(task)
        if uuid_text in self._works:
            raise Refused("conflictTaskUUID", "This taskUUID has been used before. Send a fresh UUID v4.",
                          parameter="taskUUID")  # fmt: skip
        air = check_image_task(task)
        latency = float(hit["latency"].options["seconds"]) if "latency" in hit else self.latency_s
        work = plan_image_work(task, air, now=self.clock.now(), latency_s=latency, seed=self.seed)
        work.fingerprint = request_hash(task)
        work.muted = "mute" in hit
        self._spoil(work, hit)
        if work.cost_usd * len(work.items) > self.account.balance_usd:
            raise Refused("insufficientCredits", "The balance does not cover this task.", status=402)
        self._remember(work)
        self._journal.write(
            {
                "op": "accept", "task": task, "air": air, "at": work.accepted_at, "muted": work.muted,
                "items": [[i.uuid, i.seed, i.ready_at, i.error, i.flagged] for i in work.items],
            }
        )  # fmt: skip
        if "cut" in hit and hit["cut"].options.get("when") == "after_accept":
            raise CutConnection
        if task.get("deliveryMethod", "sync") == "async" or task.get("webhookURL"):
            await push({"data": [work.scope()]})
        elif waits:
            await self._deliver_at_once(work, push)
        elif work.ready_at <= work.accepted_at and task.get("outputType", "URL") == "URL":
            for frame in self._frames(work, self.clock.now()):
                if not work.muted:
                    await push(frame)
        else:
            _keep(asyncio.create_task(self._deliver_as_ready(work, push)))

    def _before_acceptance(self, hit: Json) -> None:
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

    @staticmethod
    def _spoil(work: Work, hit: Json) -> None:
        everything = range(len(work.items))
        if "fail" in hit:
            options = hit["fail"].options
            for index in options.get("items", everything):
                if index < len(work.items):
                    work.items[index].error = {
                        "code": options.get("code", "timeoutProvider"),
                        "message": options.get("message", "The model's provider did not answer in time."),
                    }
        if "flag" in hit:
            for index in hit["flag"].options.get("items", everything):
                work.items[index].flagged = True

    async def _deliver_at_once(self, work: Work, push: Push) -> None:
        """Wait for all items and answer in one body, as HTTP does."""
        wait_s = work.ready_at - self.clock.now()
        await asyncio.sleep(max(0.0, min(wait_s, self.clock.sync_window_s)))
        if wait_s > self.clock.sync_window_s or work.muted:
            raise Refused("gatewayTimeout", "The task is still running; ask for it with getResponse.", status=504)
        await self._ensure_inline(work)
        now = self.clock.now()
        whole: Json = {"data": [self._result(work, item, now) for item in work.items if not item.error]}
        failed = [self._failure(work, item) for item in work.items if item.error]
        if failed:
            whole["errors"] = failed
        await push(whole)

    async def _deliver_as_ready(self, work: Work, push: Push) -> None:
        """Push each item when it is finished, while the window lasts."""
        for item in sorted(work.items, key=lambda each: each.ready_at):
            await asyncio.sleep(max(0.0, item.ready_at - self.clock.now()))
            if self.clock.now() - work.accepted_at > self.clock.sync_window_s or work.muted:
                self._settle(work, self.clock.now())
                return
            await self._ensure_inline(work, item)
            for frame in self._frames(work, self.clock.now(), only=item):
                await push(frame)

    def _frames(self, work: Work, now: float, only: Item | None = None) -> list[Json]:
        """Make the frames for finished items: results together, each error in a frame of its own."""
        items = [only] if only else work.items
        good = [self._result(work, item, now) for item in items if not item.error]
        frames: list[Json] = [{"data": good}] if good else []
        return frames + [{"errors": [self._failure(work, item)]} for item in items if item.error]

    def _result(self, work: Work, item: Item, now: float, *, polled: bool = False) -> Json:
        self._settle(work, now)
        made = {**work.scope(), "imageUUID": item.uuid}
        if polled:
            made["status"] = "success"
        output_type = work.task.get("outputType", "URL")
        if output_type == "URL":
            made["imageURL"] = f"{self.base_url}/media/{item.uuid}.{work.output_format.lower()}"
        else:
            body, media_type = self._cache[item.uuid]
            text = base64.b64encode(body).decode()
            if output_type == "base64Data":
                made["imageBase64Data"] = text
            else:
                made["imageDataURI"] = f"data:{media_type};base64,{text}"
        made["seed"] = item.seed
        if item.flagged or work.task.get("checkNSFW") or (work.task.get("safety") or {}).get("checkContent"):
            made["NSFWContent"] = item.flagged
        if work.task.get("includeCost"):
            made["cost"] = work.cost_usd
        return made

    @staticmethod
    def _failure(work: Work, item: Item) -> Json:
        return {**(item.error or {}), **work.scope(), "status": "error",
                "documentation": "https://runware.ai/docs/platform/errors"}  # fmt: skip

    def _settle(self, work: Work, now: float) -> None:
        """Bill what is finished; a failed item costs nothing."""
        for item in work.items:
            if item.ready_at <= now and not item.is_billed and not item.error:
                item.is_billed = True
                self.account.bill(work.uuid, str(work.task["taskType"]), work.cost_usd, work.fingerprint)

    def ledger(self) -> Json:
        """Settle everything that is finished by now, and list the charges."""
        now = self.clock.now()
        for work in self._works.values():
            self._settle(work, now)
        return self.account.ledger()

    # --- utilities ---------------------------------------------------------------------------------

    def _get_response(self, task: Json, _: Json) -> list[Json]:
        work = self._works.get(str(task["taskUUID"]))
        if work is None:
            return [{"data": []}]
        now = self.clock.now()
        items, failed = [], []
        for item in work.items:
            if item.ready_at > now:
                items.append({**work.scope(), "status": "processing", "imageUUID": item.uuid,
                              "progress": work.progress(item, now)})  # fmt: skip
            elif item.error:
                failed.append(self._failure(work, item))
            elif work.task.get("outputType", "URL") != "URL" and item.uuid not in self._cache:
                body, media_type = render_image(work, item, self.read_media)
                self._cache_put(item.uuid, body, media_type)
                items.append(self._result(work, item, now, polled=True))
            else:
                items.append(self._result(work, item, now, polled=True))
        frames: list[Json] = [{"data": items}] if items or not failed else []
        return [*frames, *({"errors": [failure]} for failure in failed)]

    def _get_task_details(self, task: Json, scope: Json) -> list[Json]:
        work = self._works.get(str(task["taskUUID"]))
        if work is None:
            raise Refused("taskNotFound", "No such task.", status=404)
        now = self.clock.now()
        response: Json | None = None
        if work.ready_at <= now and work.task.get("outputType", "URL") == "URL":
            response = {"data": [self._result(work, item, now) for item in work.items if not item.error]}
            failed = [self._failure(work, item) for item in work.items if item.error]
            if failed:
                response["errors"] = failed
        return [{"data": [{**scope, "request": [work.task], "response": response}]}]

    def _model_search(self, task: Json, scope: Json) -> list[Json]:
        limit, offset = task.get("limit", 20), task.get("offset", 0)
        if type(limit) is not int or not 1 <= limit <= 500:
            raise Refused("invalidLimit", "Invalid value for 'limit' parameter. It must be 1 to 100.",
                          parameter="limit")  # fmt: skip
        if type(offset) is not int or offset < 0:
            raise Refused("invalidOffset", "Invalid value for 'offset' parameter.", parameter="offset")
        return [{"data": [{**scope, **search(task)}]}]

    def _image_upload(self, task: Json, scope: Json) -> list[Json]:
        media_uuid, name = self._uploads.add(task.get("image"), parameter="image", own_body=self._own_body, shrink=True)
        return [{"data": [{**scope, "imageUUID": media_uuid, "imageURL": f"{self.base_url}/media/{name}"}]}]

    def _media_storage(self, task: Json, scope: Json) -> list[Json]:
        operation = task.get("operation")
        if operation == "upload":
            media_uuid, name = self._uploads.add(
                task.get("media"), parameter="media", own_body=self._own_body, shrink=False
            )
            made = {"mediaUUID": media_uuid, "mediaURL": f"{self.base_url}/media/{name}"}
            return [{"data": [{**scope, "operation": "upload", **made}]}]
        if operation == "delete":
            media_uuid = str(task.get("media"))
            if not self._uploads.forget(media_uuid):
                raise Refused("mediaNotFound", "No such medium.", status=404, parameter="media")
            self._journal.write({"op": "delete", "uuid": media_uuid})
            return [{"data": [{**scope, "operation": "delete", "mediaUUID": media_uuid}]}]
        raise Refused("invalidOperation", "Invalid value for 'operation' parameter.", parameter="operation",
                      allowedValues=["upload", "delete"])  # fmt: skip

    def _account_management(self, task: Json, scope: Json) -> list[Json]:
        if task.get("operation") != "getDetails":
            raise Refused("invalidOperation", "This sandbox answers getDetails only.", parameter="operation",
                          allowedValues=["getDetails"])  # fmt: skip
        self.ledger()
        return [{"data": [{**scope, **self.account.details(self.api_key)}]}]

    # --- media -------------------------------------------------------------------------------------

    async def media(self, name: str) -> tuple[bytes, str] | None:
        """Give a file and its media type; None when there is none, or it is not ready or has expired."""
        stored = self._uploads.body(name)
        stem, _, ending = name.partition(".")
        if stored is not None:
            return stored, _TYPES.get(f".{ending}", "application/octet-stream")
        found = self._items.get(stem)
        if found is None:
            return None
        work, item = found
        now = self.clock.now()
        ttl = work.task.get("ttl")
        expired = isinstance(ttl, int) and now > item.ready_at + ttl / self.clock.time_scale
        if item.ready_at > now or item.error or expired or ending != work.output_format.lower():
            return None
        await self._ensure_painted(work, item)
        return self._cache[item.uuid]

    def read_media(self, value: Any, parameter: str) -> bytes:
        """Give the bytes of a media value in a request."""
        return self._uploads.read(value, parameter=parameter, own_body=self._own_body)

    def _own_body(self, path: str) -> bytes | None:
        name = path.rpartition("/")[2]
        stored = self._uploads.body(name)
        if stored is not None:
            return stored
        found = self._items.get(name.partition(".")[0])
        if found is None:
            return None
        work, item = found
        return render_image(work, item, self.read_media)[0]

    async def _ensure_inline(self, work: Work, only: Item | None = None) -> None:
        if work.task.get("outputType", "URL") != "URL":
            for item in [only] if only else work.items:
                if not item.error:
                    await self._ensure_painted(work, item)

    async def _ensure_painted(self, work: Work, item: Item) -> None:
        async with self._painting:
            if item.uuid not in self._cache:
                body, media_type = await asyncio.to_thread(render_image, work, item, self.read_media)
                self._cache_put(item.uuid, body, media_type)

    def _cache_put(self, key: str, body: bytes, media_type: str) -> None:
        self._cache[key] = (body, media_type)
        self._cached_bytes += len(body)
        while self._cached_bytes > _CACHE_BYTES and len(self._cache) > 32:
            _, (dropped, _) = self._cache.popitem(last=False)
            self._cached_bytes -= len(dropped)

    # --- memory ------------------------------------------------------------------------------------

    def _remember(self, work: Work) -> None:
        self._works[work.uuid] = work
        for item in work.items:
            self._items[item.uuid] = (work, item)

    def _restore(self) -> None:
        for event in self._journal.replay():
            if event.get("op") == "accept":
                task = event["task"]
                planned = plan_image_work(task, event["air"], now=event["at"], latency_s=0, seed=self.seed)
                planned.items = [Item(*values) for values in event["items"]]
                planned.muted = event["muted"]
                planned.fingerprint = request_hash(task)
                self._remember(planned)
            elif event.get("op") == "upload":
                self._uploads.restore(event["uuid"], event["name"])
            elif event.get("op") == "delete":
                self._uploads.forget(event["uuid"])

    def reset(self) -> None:
        """Forget every task, charge, upload and fault."""
        self._works.clear()
        self._items.clear()
        self._cache.clear()
        self._cached_bytes = 0
        self._uploads.clear()
        self.account.clear()
        self.faults.load("")
        self._journal.clear()


_UTILITIES: dict[str, Callable[[Service, Json, Json], list[Json]]] = {
    "getResponse": Service._get_response,
    "getTaskDetails": Service._get_task_details,
    "modelSearch": Service._model_search,
    "imageUpload": Service._image_upload,
    "mediaStorage": Service._media_storage,
    "accountManagement": Service._account_management,
}

_running: set[asyncio.Task[None]] = set()


def _keep(task: asyncio.Task[None]) -> None:
    """Hold a running task: the event loop itself keeps only a weak reference."""
    _running.add(task)
    task.add_done_callback(_running.discard)
