"""Requests and responses of the RunKey service over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from ..core.connections import cut_short
from ..core.faults import Fault
from .behaviour import Behaviour
from .errors import Refused

__all__ = ["broken", "half", "read_object", "refusal", "success", "web_page"]

Json = dict[str, Any]
_DEEPEST = 100
_EXTRA: Json = {"sandbox_note": "no document mentions this field", "sandbox_list": [1, None]}


async def read_object(request: Request, largest_bytes: int) -> Json:
    """Return the body of a request.

    Raises:
        Refused: It is too large, of the wrong type, or not a JSON object.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(40005, "Content-Type must be application/json.", status=415)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > largest_bytes:
            raise Refused(40005, f"The body has more than {largest_bytes} bytes.")
    try:
        value = json.loads(bytes(body))
        # Infinite numbers and lone surrogates are parsed, but could not be sent back.
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Refused(40005, "The body is not valid JSON.") from None
    if not isinstance(value, dict):
        raise Refused(40005, "The body must be a JSON object.")
    if _depth_exceeds(value, _DEEPEST):
        raise Refused(40005, f"The body is nested more than {_DEEPEST} levels deep.")
    return value


def _depth_exceeds(value: Any, limit: int) -> bool:
    """Return whether a JSON value has more than *limit* levels."""
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)


def success(data: Json, status: int, behaviour: Behaviour) -> JSONResponse:
    """Return the envelope of a success."""
    more = _EXTRA if behaviour.extra_fields else {}
    return JSONResponse({"code": 0, "data": {**data, **more}, **more}, status)


def refusal(refused: Refused, request_id: str, behaviour: Behaviour) -> JSONResponse:
    """Return the envelope of a failure."""
    body: Json = {"code": refused.code, "msg": str(refused)}
    headers = {}
    if refused.code != 40003 or behaviour.limited_has_request_id:
        body["request_id"] = request_id
    if refused.retry_after_s is not None:
        if behaviour.retry_after in {"body", "both"}:
            body["retry_after"] = refused.retry_after_s
        if behaviour.retry_after in {"header", "both"}:
            headers["Retry-After"] = str(refused.retry_after_s)
    if behaviour.extra_fields:
        body |= _EXTRA
    return JSONResponse(body, refused.status or behaviour.status_of(refused.code), headers)


def web_page(fault: Fault) -> Response:
    """Return a web page in place of JSON."""
    status = int(fault.options.get("status", 502))
    return HTMLResponse(f"<html><body><h1>{status}</h1></body></html>", status)


def half(response: Response) -> Response:
    """Return a response whose body is cut in half, although its length is that of the whole."""
    body = bytes(response.body)
    return StreamingResponse(
        cut_short(body[: len(body) // 2]), response.status_code, {"Content-Length": str(len(body))}, "application/json"
    )


async def broken(request: Request) -> Response:
    """Break the connection without a response."""
    protocol = getattr(request.receive, "__self__", None)
    transport = getattr(protocol, "transport", None)
    if transport is None:  # another server than uvicorn: a response that breaks off is the next best
        return StreamingResponse(cut_short(b"{"), headers={"Content-Length": "1000"})
    transport.abort()
    await asyncio.sleep(0)
    return Response()
