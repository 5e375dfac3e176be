"""The HTTP side, and the application that holds both."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from .models import MODELS, request_schema
from .service import CutConnection, Service
from .sockets import Sessions, serve_socket

__all__ = ["make_app"]

Json = dict[str, Any]
_LOCAL_HOSTS = {"127.0.0.1", "localhost", "[::1]"}
_OPEN = {"Access-Control-Allow-Origin": "*"}


def make_app(service: Service) -> Starlette:
    """Make the application for one service."""
    sessions = Sessions(service)

    async def rest(request: Request) -> Response:
        return await _rest(request, service)

    async def socket(websocket: WebSocket) -> None:
        await serve_socket(websocket, service, sessions)

    async def media(request: Request) -> Response:
        found = await service.media(request.path_params["name"])
        if found is None:
            return Response("no such medium", 404, _OPEN, "text/plain")
        return Response(found[0], 200, _OPEN, found[1])

    async def ledger(request: Request) -> Response:
        return _if_allowed(request, service) or JSONResponse(service.ledger())

    async def faults(request: Request) -> Response:
        refused = _if_allowed(request, service)
        if refused:
            return refused
        try:
            service.faults.load((await request.body()).decode())
        except (ValueError, TypeError, AttributeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({})

    async def reset(request: Request) -> Response:
        refused = _if_allowed(request, service)
        if refused is None:
            service.reset()
        return refused or JSONResponse({})

    async def registry(_: Request) -> Response:
        models = {air: {"taskType": "imageInference", "id": model.slug} for air, model in MODELS.items()}
        return JSONResponse({"version": "sandbox", "models": models, "architectureTaskTypes": {},
                             "modalityTaskTypes": {}}, headers=_OPEN)  # fmt: skip

    async def resolve(request: Request) -> Response:
        name = unquote(request.path_params["name"])
        air = next((a for a, model in MODELS.items() if name in {a, model.slug}), None)
        if air is None:
            return JSONResponse({"error": "unknown model"}, 404, _OPEN)
        documentation = f"https://runware.ai/docs/models/{MODELS[air].slug}"
        body = {"requestSchema": request_schema(air), "responseSchema": None, "documentation": documentation}
        return JSONResponse(body, headers=_OPEN)

    routes: list[Any] = [Route("/media/{name}", media), Route("/schemas/registry.json", registry),
                         Route("/schemas/resolve/{name:path}", resolve)]  # fmt: skip
    for path in ("/v1", "/"):
        prefix = path.rstrip("/")
        routes += [
            Route(f"{prefix}/_sandbox/ledger", ledger),
            Route(f"{prefix}/_sandbox/faults", faults, methods=["POST"]),
            Route(f"{prefix}/_sandbox/reset", reset, methods=["POST"]),
            Route(path, rest, methods=["POST"]),
            WebSocketRoute(path, socket),
        ]
    app = Starlette(routes=routes)
    app.add_middleware(_LocalOnly)
    return app


class _LocalOnly:
    """Refuse requests whose Host is not this machine, so that no web page can reach us by another name."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            headers = dict(scope["headers"])
            host = headers.get(b"host", b"").decode("latin-1")
            if (host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host) not in _LOCAL_HOSTS:
                if scope["type"] == "http":
                    await PlainRefusal("this sandbox answers to 127.0.0.1 and localhost only")(scope, receive, send)
                else:
                    await send({"type": "websocket.close", "code": 1008})
                return
        await self._app(scope, receive, send)


def PlainRefusal(reason: str) -> Response:  # noqa: N802 - it makes a response, as the classes beside it do
    """Make the answer to a request that should not have come."""
    return JSONResponse({"errors": [{"code": "forbidden", "message": reason}]}, 403)


def _if_allowed(request: Request, service: Service) -> Response | None:
    """Give the refusal for a control request without the key; None when it may go on."""
    if request.headers.get("authorization") == f"Bearer {service.api_key}":
        return None
    return JSONResponse({"errors": [{"code": "invalidApiKey", "message": "the sandbox's key is wanted"}]}, 401)


async def _rest(request: Request, service: Service) -> Response:
    if not request.headers.get("content-type", "").startswith("application/json"):
        return _errors([{"code": "invalidRequest", "message": "Content-Type must be application/json."}], 415)
    try:
        tasks = json.loads(await request.body())
    except ValueError:
        return _errors([{"code": "invalidRequest", "message": "The body is not JSON."}], 400)
    if not isinstance(tasks, list) or not tasks or not all(isinstance(task, dict) for task in tasks):
        return _errors([{"code": "invalidRequest", "message": "The body is an array of tasks."}], 400)
    key, tasks, answered = _authenticated_by(request, tasks)
    if key != service.api_key:
        code = "invalidApiKey" if key else "missingApiKey"
        message = "Invalid API key. Get one at https://runware.ai/signup"
        return _errors([{"code": code, "message": message, "parameter": "apiKey", "taskType": "authentication"}], 401)
    return await _answer(tasks, answered, service)


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


async def _answer(tasks: list[Json], answered: list[Json], service: Service) -> Response:
    frames: list[Json] = []

    async def push(frame: Json) -> None:
        frames.append(frame)

    try:
        for task in tasks:
            await service.handle(task, push, waits=True)
    except CutConnection:
        return StreamingResponse(_cut_short(), headers={"Content-Length": "1000"}, media_type="application/json")
    data = [*answered, *(item for frame in frames for item in frame.get("data", []))]
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
    return Response(json.dumps(body), statuses[0] if statuses and not data else 200, headers, "application/json")


async def _cut_short() -> Any:
    """Begin an answer and break the connection."""
    yield b'{"data":['
    raise CutConnection


def _errors(errors: list[Json], status: int) -> Response:
    return JSONResponse({"data": [], "errors": errors}, status)


Handler = Callable[[Request], Awaitable[Response]]
