"""The HTTP side of the inference API: arrays of tasks in, one answer out, text as a stream."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from ..core.connections import CutConnection, cut_short, drip
from .delivery import dump
from .validation import Refused

if TYPE_CHECKING:
    from .service import RunwareService

__all__ = ["answer_media", "answer_rest"]

Json = dict[str, Any]


async def answer_rest(request: Request, service: RunwareService) -> Response:
    """Answer one POST."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        return _errors([{"code": "invalidRequest", "message": "Content-Type must be application/json."}], 415)
    try:
        tasks = json.loads(await request.body())
    except (ValueError, RecursionError):
        return _errors([{"code": "invalidRequest", "message": "The body is not JSON."}], 400)
    if not isinstance(tasks, list) or not tasks or not all(isinstance(task, dict) for task in tasks):
        return _errors([{"code": "invalidRequest", "message": "The body is an array of tasks."}], 400)
    key, tasks, answered = _authenticated_by(request, tasks)
    if key != service.api_key:
        code = "invalidApiKey" if key else "missingApiKey"
        message = "Invalid API key. Get one at https://runware.ai/signup"
        return _errors([{"code": code, "message": message, "parameter": "apiKey", "taskType": "authentication"}], 401)
    if len(tasks) == 1 and tasks[0].get("deliveryMethod") == "stream":
        return _stream(tasks[0], service)
    return await _answer(tasks, answered, service)


async def answer_media(name: str, service: RunwareService) -> Response:
    """Return the response to a download."""
    return await service.shelf.serve(name)


def _authenticated_by(request: Request, tasks: list[Json]) -> tuple[str, list[Json], list[Json]]:
    """Find the key: in the header, or in the first element, which then is answered too."""
    header = request.headers.get("authorization", "")
    if tasks[0].get("taskType") == "authentication":
        answer = {
            "taskType": "authentication",
            "connectionSessionUUID": "00000000-0000-4000-8000-000000000001",
        }
        return str(tasks[0].get("apiKey") or ""), tasks[1:], [answer] if len(tasks) == 1 else []
    return header.removeprefix("Bearer ").strip(), tasks, []


async def _answer(tasks: list[Json], answered: list[Json], service: RunwareService) -> Response:
    by_task: list[list[Json]] = [[] for _ in tasks]

    async def handle(task: Json, frames: list[Json]) -> None:
        async def push(frame: Json) -> None:
            frames.append(frame)

        await service.handle(task, push, waits=True)

    try:
        if len(tasks) == 1:
            await handle(tasks[0], by_task[0])
        else:
            await asyncio.gather(*(handle(task, frames) for task, frames in zip(tasks, by_task, strict=True)))
    except CutConnection:
        return _cut_answer(b'{"data":[')
    frames = [frame for each in by_task for frame in each]
    if tasks and not frames and not answered:
        return _cut_answer(b'{"data":[')  # the answer was lost on its way
    for frame in frames:
        if "_raw" in frame:
            return Response(frame["_raw"], 200, media_type="application/json")
        if frame.get("_cut"):
            text = dump({"data": frame.get("data", [])})
            return _cut_answer(text[: len(text) // 2].encode())
    answer = _body(frames, answered)
    options = next((frame["_drip"] for frame in frames if "_drip" in frame), None)
    if options is None:
        return answer
    headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
    return StreamingResponse(drip(bytes(answer.body), **options), answer.status_code, headers)


def _body(frames: list[Json], answered: list[Json]) -> Response:
    data: Any = [*answered]
    for frame in frames:
        items = frame.get("data", [])
        if isinstance(items, dict):  # one observed form of imageUpload's answer
            data = items
        else:
            data += items
    errors = [error for frame in frames for error in frame.get("errors", [])]
    if errors and errors[0]["code"] == "html":
        return HTMLResponse("<html><body><h1>502 Bad Gateway</h1></body></html>", 502)
    statuses = [frame["_status"] for frame in frames if "_status" in frame]
    body: Json = {"data": data}
    headers = {}
    if errors:
        body["errors"] = errors
        if "retry_after_s" in errors[0]:
            headers["Retry-After"] = str(errors[0].pop("retry_after_s"))
    return Response(dump(body), statuses[0] if statuses and not data else 200, headers, "application/json")


def _stream(task: Json, service: RunwareService) -> Response:
    try:
        events = service.open_stream(task)
    except Refused as refused:
        refused.error.pop("names_task", None)
        scope = {key: task[key] for key in ("taskType", "taskUUID") if isinstance(task.get(key), str)}
        if refused.error["code"] == "html":
            return HTMLResponse("<html><body><h1>502 Bad Gateway</h1></body></html>", refused.status)
        headers = {"Retry-After": str(refused.error.pop("retry_after_s"))} if "retry_after_s" in refused.error else {}
        return JSONResponse({"error": refused.error, **scope}, refused.status, headers)
    except CutConnection:
        return _cut_answer(b"da")
    return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


def _cut_answer(started: bytes) -> Response:
    headers = {"Content-Length": str(len(started) + 1000)}
    return StreamingResponse(cut_short(started), headers=headers, media_type="application/json")


def _errors(errors: list[Json], status: int) -> Response:
    return JSONResponse({"data": [], "errors": errors}, status)
