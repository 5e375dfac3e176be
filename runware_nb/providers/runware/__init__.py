"""Runware: its two transports, and how a task is brought to its end.

Every name is loaded on first use, because the declaration of this package is read together with the settings.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .attempt import Flight
    from .concurrency import Slots
    from .connection import Connection
    from .router import Board
    from .streams import StreamLine, TextStream
    from .tracker import Courier
    from .uploader import UploadDesk

__all__ = ["Board", "Connection", "Courier", "Flight", "Slots", "StreamLine", "TextStream", "UploadDesk"]

_HOMES = {
    "Board": "router",
    "Connection": "connection",
    "Courier": "tracker",
    "Flight": "attempt",
    "Slots": "concurrency",
    "StreamLine": "streams",
    "TextStream": "streams",
    "UploadDesk": "uploader",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ...loading import load

    return getattr(load(f"providers.runware.{_HOMES[name]}"), name)
