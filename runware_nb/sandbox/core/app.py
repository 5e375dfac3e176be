"""The application of the process: the routes of all services, their control endpoints, and the check of the host."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .service import Service

__all__ = ["make_app"]

_LOCAL_HOSTS = {"127.0.0.1", "localhost", "[::1]"}
_WHO_MAY = "this sandbox answers to 127.0.0.1 and localhost only"


def make_app(services: Iterable[Service]) -> ASGIApp:
    """Build the application for services that share one port."""
    routes: list[BaseRoute] = []
    for service in services:
        for prefix in service.control_prefixes:
            routes += _controls(prefix, service)
        routes += service.routes()
    return _LocalOnly(Starlette(routes=routes))  # outermost, because Starlette hides the server's object for HTTP


def _controls(prefix: str, service: Service) -> list[Route]:
    """Build the control endpoints of one service. All require its key."""

    async def ledger(request: Request) -> Response:
        return _unless_allowed(request, service) or JSONResponse(service.ledger())

    async def accepted(request: Request) -> Response:
        return _unless_allowed(request, service) or JSONResponse({"accepted": service.requests()})

    async def uploads(request: Request) -> Response:
        return _unless_allowed(request, service) or JSONResponse({"uploads": service.uploaded()})

    async def faults(request: Request) -> Response:
        return await _set(request, service, service.faults.load)

    async def behaviour(request: Request) -> Response:
        return await _set(request, service, lambda text: service.set_behaviour(json.loads(text)))

    async def release(request: Request) -> Response:
        return await _set(request, service, lambda _: service.release())

    async def reset(request: Request) -> Response:
        return await _set(request, service, lambda _: service.reset())

    return [
        Route(f"{prefix}/_sandbox/ledger", ledger),
        Route(f"{prefix}/_sandbox/accepted", accepted),
        Route(f"{prefix}/_sandbox/uploads", uploads),
        Route(f"{prefix}/_sandbox/faults", faults, methods=["POST"]),
        Route(f"{prefix}/_sandbox/behaviour", behaviour, methods=["POST"]),
        Route(f"{prefix}/_sandbox/release", release, methods=["POST"]),
        Route(f"{prefix}/_sandbox/reset", reset, methods=["POST"]),
    ]


async def _set(request: Request, service: Service, change: Callable[[str], None]) -> Response:
    refused = _unless_allowed(request, service)
    if refused is not None:
        return refused
    try:
        change((await request.body()).decode())
    except (ValueError, TypeError, AttributeError) as error:
        return JSONResponse({"error": str(error)}, 400)
    return JSONResponse({})


def _unless_allowed(request: Request, service: Service) -> Response | None:
    """Return the refusal of a control request without the key; None if it has the key."""
    if request.headers.get("authorization") == f"Bearer {service.api_key}":
        return None
    return JSONResponse({"errors": [{"code": "invalidApiKey", "message": "the sandbox's key is wanted"}]}, 401)


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
