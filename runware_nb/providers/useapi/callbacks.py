"""The route for callbacks of useapi.net, which are not signed.

A callback proves nothing, so only the id of its task is taken from it. It wakes the poll that waits for this task, and
the poll reads the task from the service. Whoever guesses the path can cause polls and nothing else.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ...errors import ConfigError
from ..webhook import CallbackRefused, Route, VerifiedCallback
from .protocol import owner_of, parse_json, shorten_id

if TYPE_CHECKING:
    from ...settings import Key
    from ..base import ProviderContext

__all__ = ["MAX_BYTES", "build_route", "new_path", "read_callback"]

MAX_BYTES = 256 * 1024
"""Of the body of a callback, which has the size of a task."""
_LONGEST_ID = 512
_SHORTEST_TOKEN = 20
"""Characters of the last part of a path that cannot be guessed."""


def new_path() -> str:
    """Return a path that cannot be guessed."""
    return f"/useapi/{secrets.token_urlsafe(24)}"


def build_route(context: ProviderContext, keys: Sequence[Key] = ()) -> Route:
    """Build the route for the callbacks of useapi.net.

    Its path is that of the setting `useapi_reply_url`, so that a receiver in another process gets the callbacks of the
    tasks that carry this URL. Without the setting, it is a new one that cannot be guessed.

    Args:
        context: What the provider is built from.
        keys: Not used, because the service signs nothing.

    Raises:
        ConfigError: The path of the setting can be guessed.
    """
    del keys
    url = str(context.settings.value("useapi_reply_url") or "")
    path = urlsplit(url).path if url else new_path()
    if len(path.rpartition("/")[2]) < _SHORTEST_TOKEN:
        raise ConfigError(
            "The setting useapi_reply_url has a path that can be guessed, and callbacks of useapi.net are not signed. "
            f"End it with at least {_SHORTEST_TOKEN} random characters, such as {new_path()}."
        )
    return Route("useapi", path, read_callback, is_signed=False, shorten=shorten_id)


def read_callback(headers: list[tuple[str, str]], body: bytes) -> VerifiedCallback:
    """Return the task that a callback is about. Nothing else of it is used.

    Args:
        headers: Not used.
        body: JSON with a task, at the top or inside `task`.

    Raises:
        CallbackRefused: It is too large, or does not name a task.
    """
    del headers
    if len(body) > MAX_BYTES:
        raise CallbackRefused(413, f"a callback of {len(body):,} bytes; at most {MAX_BYTES:,} are accepted")
    answer = parse_json(body)
    item = answer if isinstance(answer, dict) else {}
    nested = item.get("task")
    task_id = item.get("taskId") or (nested.get("taskId") if isinstance(nested, dict) else None)
    if not isinstance(task_id, str) or len(task_id) > _LONGEST_ID or owner_of(task_id) is None:
        raise CallbackRefused(400, "a callback that names no task of useapi.net")
    # Every different body counts as news: a forged status must not make the real one a repetition.
    return VerifiedCallback(hashlib.sha256(body).hexdigest()[:32], (task_id,))
