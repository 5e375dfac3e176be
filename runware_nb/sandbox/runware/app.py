"""The application: which address is answered by whom, and who may ask at all."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from .http import answer_media, answer_rest, if_allowed
from .models import MODELS, find
from .schemas import request_schema
from .serverless import serverless_routes
from .service import Service
from .sockets import Sessions, serve_socket

__all__ = ["make_app"]

_LOCAL_HOSTS = {"127.0.0.1", "localhost", "[::1]"}
_OPEN = {"Access-Control-Allow-Origin": "*"}


def make_app(service: Service) -> Starlette:
    """Make the application for one service."""
    sessions = Sessions(service)

    async def rest(request: Request) -> Response:
        return await answer_rest(request, service)

    async def socket(websocket: WebSocket) -> None:
        await serve_socket(websocket, service, sessions)

    async def media(request: Request) -> Response:
        return await answer_media(request.path_params["name"], service)

    routes: list[Any] = [Route("/media/{name}", media), Route("/schemas/registry.json", _registry),
                         Route("/schemas/resolve/{name:path}", _resolve), *serverless_routes(service)]  # fmt: skip
    for path in ("/v1", "/"):
        routes += _controls(path.rstrip("/"), service)
        routes += [Route(path, rest, methods=["POST"]), WebSocketRoute(path, socket)]
    app = Starlette(routes=routes)
    app.add_middleware(_LocalOnly)
    return app


def _controls(prefix: str, service: Service) -> list[Route]:
    """Make what tests turn and read: with the key only."""

    async def ledger(request: Request) -> Response:
        return if_allowed(request, service) or JSONResponse(service.ledger())

    async def faults(request: Request) -> Response:
        refused = if_allowed(request, service)
        if refused:
            return refused
        try:
            service.faults.load((await request.body()).decode())
        except (ValueError, TypeError, AttributeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({})

    async def behaviour(request: Request) -> Response:
        refused = if_allowed(request, service)
        if refused:
            return refused
        try:
            service.behaviour = service.behaviour.with_values(json.loads(await request.body()))
        except (ValueError, TypeError, AttributeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({})

    async def reset(request: Request) -> Response:
        refused = if_allowed(request, service)
        if refused is None:
            service.reset()
        return refused or JSONResponse({})

    return [
        Route(f"{prefix}/_sandbox/ledger", ledger),
        Route(f"{prefix}/_sandbox/faults", faults, methods=["POST"]),
        Route(f"{prefix}/_sandbox/behaviour", behaviour, methods=["POST"]),
        Route(f"{prefix}/_sandbox/reset", reset, methods=["POST"]),
    ]


@cache
def _registry_body() -> bytes:
    models = {air: {"taskType": model.task_type, "id": model.slug} for air, model in MODELS.items()}
    body = {"version": "sandbox", "models": models, "architectureTaskTypes": {"flux-1-dev": "imageInference"},
            "modalityTaskTypes": {"image": "imageInference"}}  # fmt: skip
    return json.dumps(body).encode()


async def _registry(request: Request) -> Response:
    return _cacheable(request, _registry_body())


async def _resolve(request: Request) -> Response:
    model = find(unquote(request.path_params["name"]))
    if model is None:
        return JSONResponse({"error": "unknown model"}, 404, _OPEN)
    documentation = f"https://runware.ai/docs/models/{model.slug}"
    body = {"requestSchema": request_schema(model.air), "responseSchema": None, "documentation": documentation}
    return _cacheable(request, json.dumps(body).encode())


def _cacheable(request: Request, body: bytes) -> Response:
    """Answer with an ETag, or with 304 to whoever has this already."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    headers = {**_OPEN, "ETag": etag, "Cache-Control": "max-age=300"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(body, 200, headers, "application/json")


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
                    refusal = {"errors": [{"code": "forbidden", "message": _WHO_MAY}]}
                    await JSONResponse(refusal, 403)(scope, receive, send)
                else:
                    await send({"type": "websocket.close", "code": 1008})
                return
            # the server's own protocol object: a fault may want its connection broken in the middle of a frame
            scope["sandbox.transport"] = getattr(getattr(send, "__self__", None), "transport", None)
        await self._app(scope, receive, send)


_WHO_MAY = "this sandbox answers to 127.0.0.1 and localhost only"
