"""What the service sends by itself: webhooks, and results put to a caller's address. To this machine only."""

from __future__ import annotations

import asyncio
import http.client
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

__all__ = ["is_reachable", "post_bytes", "post_result", "put_file"]

_LOCAL = {"localhost", "127.0.0.1", "::1"}
_FIRST_DELAY_S, _LONGEST_DELAY_S, _TRIES, _PATIENCE_S = 0.25, 8.0, 6, 5.0


def is_reachable(url: object) -> bool:
    """Whether an address is one the sandbox sends to: it never leaves this machine."""
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and parts.hostname in _LOCAL
    except ValueError:
        return False


async def post_result(url: str, item: dict[str, Any], *, time_scale: float) -> bool:
    """Post one finished item as a flat object, again and again until it is taken (reference 3.3)."""
    body = json.dumps(item).encode()
    headers = {"Content-Type": "application/json"}
    delay = _FIRST_DELAY_S
    for _ in range(_TRIES):
        if await asyncio.to_thread(_send, url, body, headers, "POST"):
            return True
        await asyncio.sleep(delay / time_scale)
        delay = min(delay * 2, _LONGEST_DELAY_S)
    return False


async def post_bytes(url: str, body: bytes, headers: dict[str, str]) -> int:
    """Post bytes once to this machine, without following redirects.

    Returns:
        The HTTP status; 0 if there was no response.
    """
    return await asyncio.to_thread(_post_once, url, body, headers)


async def put_file(url: str, body: bytes, media_type: str) -> bool:
    """Put a file to the address that the caller signed."""
    return await asyncio.to_thread(_send, url, body, {"Content-Type": media_type}, "PUT")


def _send(url: str, body: bytes, headers: dict[str, str], method: str) -> bool:
    request = urllib.request.Request(url, body, headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_PATIENCE_S) as answer:
            return 200 <= int(answer.status) < 300
    except (urllib.error.URLError, OSError, ValueError):
        return False


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow no redirect: it might leave this machine."""


def _post_once(url: str, body: bytes, headers: dict[str, str]) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)
    try:
        with opener.open(urllib.request.Request(url, body, headers, method="POST"), timeout=_PATIENCE_S) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError, OverflowError):
        return 0
