"""Runware: its two transports, and how a task is brought to its end.

Every name is loaded on first use, because the declaration of this package is read together with the settings.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .attempt import TrackedAttempt
    from .concurrency import ConcurrencyLimiter
    from .connection import Connection
    from .router import Router
    from .streams import TextStream
    from .tracker import Tracker
    from .uploader import Uploader

__all__ = [
    "ConcurrencyLimiter",
    "Connection",
    "Router",
    "TextStream",
    "TrackedAttempt",
    "Tracker",
    "Uploader",
]

_HOMES = {
    "Router": "router",
    "Connection": "connection",
    "Tracker": "tracker",
    "TrackedAttempt": "attempt",
    "ConcurrencyLimiter": "concurrency",
    "TextStream": "streams",
    "Uploader": "uploader",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        from ...moved import find_renamed

        return find_renamed("providers.runware", name)
    from ...loading import load

    return getattr(load(f"providers.runware.{_HOMES[name]}"), name)
