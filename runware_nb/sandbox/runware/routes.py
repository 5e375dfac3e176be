"""The routes of the Runware service: inference over HTTP and WebSocket, media, schemas, serverless apps."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from .http import answer_media, answer_rest
from .models import MODELS, find
from .schemas import request_schema
from .serverless import serverless_routes
from .sockets import Sessions, serve_socket

if TYPE_CHECKING:
    from .service import RunwareService

__all__ = ["runware_routes"]

_OPEN = {"Access-Control-Allow-Origin": "*"}


def runware_routes(service: RunwareService) -> list[BaseRoute]:
    """Build the routes of one service."""
    sessions = Sessions(service)

    async def rest(request: Request) -> Response:
        return await answer_rest(request, service)

    async def socket(websocket: WebSocket) -> None:
        await serve_socket(websocket, service, sessions)

    async def media(request: Request) -> Response:
        return await answer_media(request.path_params["name"], service)

    routes: list[BaseRoute] = [
        Route("/media/{name}", media),
        Route("/schemas/registry.json", _registry),
        Route("/schemas/resolve/{name:path}", _resolve),
        *serverless_routes(service),
    ]
    for path in ("/v1", "/"):
        routes += [Route(path, rest, methods=["POST"]), WebSocketRoute(path, socket)]
    return routes


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
    """Return a body with its ETag, or 304 if the caller has it already."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    headers = {**_OPEN, "ETag": etag, "Cache-Control": "max-age=300"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(body, 200, headers, "application/json")
