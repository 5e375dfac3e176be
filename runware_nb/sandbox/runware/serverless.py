"""The other API, of people's own apps: invoke, and ask for the task (reference 5.16). Its one app echoes."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from .service import RunwareService

__all__ = ["serverless_routes"]

Json = dict[str, Any]


@dataclass
class _App:
    """Invocations of every app, by task id."""

    service: RunwareService
    tasks: dict[str, Json] = field(default_factory=dict)

    def view(self, task: Json) -> Json:
        """Give a task as it stands: pending until its time has come."""
        made = {key: value for key, value in task.items() if not key.startswith("_")}
        if self.service.clock.now() < task["_ready_at"]:
            return {**made, "status": "pending", "output": None, "error": None, "completedAt": None}
        failed = isinstance(task["_payload"], dict) and task["_payload"].get("fail")
        return {
            **made, "status": "failed" if failed else "completed", "completedAt": _utc(task["_ready_at"]),
            "output": None if failed else {"echo": task["_payload"]}, "error": str(failed) if failed else None,
        }  # fmt: skip

    async def invoke(self, request: Request, *, waits: bool) -> Response:
        """Accept a payload; wait for its end, or not."""
        refused = _unless_allowed(request, self.service)
        if refused is not None:
            return refused
        try:
            body = json.loads(await request.body())
            payload = body.get("payload")
            task_id = str(uuid.UUID(str(body.get("taskId") or uuid.uuid4())))
        except (ValueError, AttributeError):
            return _problem(400, "The body is {taskId, payload}.")
        now = self.service.clock.now()
        task = self.tasks.setdefault(
            task_id,
            {"id": task_id, "appId": request.path_params["app"], "endpointPath": request.path_params["endpoint"],
             "createdAt": _utc(now), "_ready_at": now + self.service.latency_s, "_payload": payload},
        )  # fmt: skip
        if waits:
            await asyncio.sleep(max(0.0, task["_ready_at"] - now))
        return JSONResponse(self.view(task), 200 if waits else 202)

    async def get(self, request: Request) -> Response:
        """Answer about one task."""
        refused = _unless_allowed(request, self.service)
        if refused is not None:
            return refused
        task = self.tasks.get(request.path_params["id"])
        return JSONResponse(self.view(task)) if task else _problem(404, "No such task.")


def serverless_routes(service: RunwareService) -> list[Route]:
    """Make the routes of the serverless API."""
    app = _App(service)

    async def invoke_async(request: Request) -> Response:
        return await app.invoke(request, waits=False)

    async def invoke_sync(request: Request) -> Response:
        return await app.invoke(request, waits=True)

    base = "/v1/apps/{app}"
    return [
        Route(f"{base}/invoke-async/{{endpoint:path}}", invoke_async, methods=["POST"]),
        Route(f"{base}/invoke-sync/{{endpoint:path}}", invoke_sync, methods=["POST"]),
        Route(f"{base}/tasks/{{id}}", app.get),
    ]


def _unless_allowed(request: Request, service: RunwareService) -> Response | None:
    if request.headers.get("authorization") == f"Bearer {service.api_key}":
        return None
    return _problem(401, "The key is wrong.")


def _problem(status: int, detail: str) -> Response:
    """Write an error as RFC 9457 has it."""
    body = {"type": "about:blank", "title": "Refused", "status": status, "detail": detail}
    return JSONResponse(body, status, media_type="application/problem+json")


def _utc(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()
