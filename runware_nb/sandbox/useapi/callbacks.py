"""Callbacks to `replyUrl`: to this machine only, without redirects, with up to three attempts."""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from ..core.clock import Clock
from ..core.webhooks import is_reachable

__all__ = ["post_callback"]

_ATTEMPTS, _DELAY_S, _PATIENCE_S = 3, 1.0, 5.0


async def post_callback(url: str, body: dict[str, Any], clock: Clock) -> bool:
    """Post a change of a task, and return whether the receiver accepted it.

    Args:
        url: Where to post. Another machine is never called.
        body: Task object.
        clock: Pace of the delays between attempts.
    """
    if not is_reachable(url):
        return False
    content = json.dumps(body).encode()
    for attempt in range(_ATTEMPTS):
        if await asyncio.to_thread(_post, url, content):
            return True
        if attempt < _ATTEMPTS - 1:
            await asyncio.sleep(clock.real_s(_DELAY_S))
    return False


def _post(url: str, content: bytes) -> bool:
    parts = urlsplit(url)
    try:
        is_plain = parts.scheme == "http"
        kind = http.client.HTTPConnection if is_plain else http.client.HTTPSConnection
        connection = kind(parts.hostname or "", parts.port, timeout=_PATIENCE_S)
        try:
            path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
            connection.request("POST", path, content, {"Content-Type": "application/json"})
            return 200 <= connection.getresponse().status < 300
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return False
