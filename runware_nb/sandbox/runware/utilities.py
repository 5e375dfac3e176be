"""Tasks that make nothing: polls, search, uploads, the account."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from . import answers
from .account import account_details
from .search import entry_of_upload, search
from .usage import Call, report
from .validation import Refused

if TYPE_CHECKING:
    from .delivery import Push
    from .service import RunwareService

__all__ = ["UTILITIES", "model_upload"]

Json = dict[str, Any]
_AIR = re.compile(r"[A-Za-z0-9._-]+:[A-Za-z0-9._-]+@[A-Za-z0-9._-]+")
_STAGES = ("validated", "downloaded", "optimized", "stored")


def _get_response(service: RunwareService, task: Json, _: Json) -> list[Json]:
    work = service.works.get(str(task["taskUUID"]))
    if work is None:
        if service.behaviour.unknown_task == "error":
            raise Refused("taskFailedOrNotFound", "The task failed or is not known.", status=404)
        return [{"data": []}]
    now = service.clock.now()
    items: list[Json] = []
    failed: list[Json] = []
    for item in work.items:
        if item.ready_at > now:
            items.append(answers.processing(work, item, now, service.behaviour))
        elif item.error:
            failed.append(answers.failure(work, item))
        else:
            items.append(service.result(work, item, now, is_polled=True))
    service.settle(work, now)
    if service.behaviour.failed_items == "data":
        items += [{**work.scope(), "status": "error", "error": {"code": each["code"], "message": each["message"]}}
                  for each in failed]  # fmt: skip
        failed = []
    if service.behaviour.poll_task_type == "getResponse":
        items = [{**item, "taskType": "getResponse"} for item in items]
    frames: list[Json] = [{"data": items}] if items or not failed else []
    return [*frames, *({"errors": [failure]} for failure in failed)]


def _get_task_details(service: RunwareService, task: Json, scope: Json) -> list[Json]:
    work = service.works.get(str(task["taskUUID"]))
    if work is None:
        raise Refused("taskNotFound", "No such task.", status=404)
    now = service.clock.now()
    response: Json | None = None
    if work.ready_at <= now and not work.is_inline:
        response = {"data": [service.result(work, item, now) for item in work.items if not item.error]}
        failed = [answers.failure(work, item) for item in work.items if item.error]
        if failed:
            response["errors"] = failed
    return [{"data": [{**scope, "request": [work.asked], "response": response}]}]


def _model_search(service: RunwareService, task: Json, scope: Json) -> list[Json]:
    found = search(task, service.own_models, source_word=service.behaviour.search_source)
    return [{"data": [{**scope, **found}]}]


def _image_upload(service: RunwareService, task: Json, scope: Json) -> list[Json]:
    media_uuid, name = service.uploads.add(
        task.get("image"), parameter="image", own_body=service.shelf.own_body, shrink=True
    )
    made = {**scope, "imageUUID": media_uuid, "imageURL": f"{service.media_url}/{name}"}
    return [{"data": made if service.behaviour.upload_as_object else [made]}]


def _media_storage(service: RunwareService, task: Json, scope: Json) -> list[Json]:
    if task["operation"] == "upload":
        media_uuid, name = service.uploads.add(
            task.get("media"), parameter="media", own_body=service.shelf.own_body, shrink=False
        )
        made = {"mediaUUID": media_uuid, "mediaURL": f"{service.media_url}/{name}"}
        return [{"data": [{**scope, "operation": "upload", **made}]}]
    media_uuid = str(task.get("media"))
    if not service.uploads.forget(media_uuid):
        raise Refused("mediaNotFound", "No such medium.", status=404, parameter="media")
    service.journal.write({"op": "delete", "uuid": media_uuid})
    return [{"data": [{**scope, "operation": "delete", "mediaUUID": media_uuid}]}]


def _account_management(service: RunwareService, task: Json, scope: Json) -> list[Json]:
    service.ledger()
    if task["operation"] == "getDetails":
        account = account_details(service.account, service.api_key)
        if service.behaviour.balance_as_number:
            account["balance"] = account["balance"]["amount"]
        return [{"data": [{**scope, **account}]}]
    calls = [*_calls(service), *service.refused_calls]
    return [{"data": [{**scope, **report(task, calls, key_name="sandbox", now=service.clock.now())}]}]


def _calls(service: RunwareService) -> Iterator[Call]:
    for work in service.works.values():
        billed = sum(item.is_billed for item in work.items)
        yield Call(work.accepted_at, work.model.air, round(billed * work.cost_usd, 6),
                   work.ready_at - work.accepted_at, server_error=all(item.error for item in work.items))  # fmt: skip


async def model_upload(service: RunwareService, task: Json, scope: Json, push: Push, *, waits: bool) -> None:
    """Take in a model: frames with changing status over WebSocket, only the last one over HTTP.

    Raises:
        Refused: It names itself in no usable way, or there is such a model already.
    """
    air = str(task.get("air") or "")
    if not air and task.get("uniqueIdentifier"):
        air = f"sandbox:{task['uniqueIdentifier']}@1"
    if not _AIR.fullmatch(air):
        await push({"data": [{**scope, "status": "failed", "message": "error: no air and no uniqueIdentifier"}]})
        return
    if any(entry["air"] == air for entry in service.own_models):
        error = {"code": "modelAlreadyExists", "message": f"There is a model {air} already.", "parameter": "air"}
        await push({"errors": [{**error, **scope}], "_status": 400})
        return
    for stage in _STAGES:
        if not waits:
            await push({"data": [{**scope, "status": stage, "message": f"The model is {stage}.", "air": air}]})
        await asyncio.sleep(service.latency_s / len(_STAGES))
    entry = entry_of_upload(task, air)
    service.own_models.append(entry)
    service.journal.write({"op": "model", "entry": entry})
    await push({"data": [{**scope, "status": "ready", "message": "The model is ready.", "air": air}]})


UTILITIES: dict[str, Callable[[RunwareService, Json, Json], list[Json]]] = {
    "getResponse": _get_response,
    "getTaskDetails": _get_task_details,
    "modelSearch": _model_search,
    "imageUpload": _image_upload,
    "mediaStorage": _media_storage,
    "accountManagement": _account_management,
}
