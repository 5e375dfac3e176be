"""One notebook's connection: it ties client, log and images together, and hands out jobs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..engine.context import CellContext
    from ..engine.jobs import Job
    from ..engine.submission import Plan
    from .api import cancel_queued, connect, image, job, log, pending, read, resume, run, upload
    from .current import current_session
    from .session import Session

_HOMES = {
    "CellContext": "engine.context",
    "Job": "engine.jobs",
    "Plan": "engine.submission",
    "Session": "session.session",
    "cancel_queued": "session.api",
    "connect": "session.api",
    "current_session": "session.current",
    "image": "session.api",
    "job": "session.api",
    "log": "session.api",
    "pending": "session.api",
    "read": "session.api",
    "resume": "session.api",
    "run": "session.api",
    "upload": "session.api",
}

__all__ = [
    "CellContext",
    "Job",
    "Plan",
    "Session",
    "cancel_queued",
    "connect",
    "current_session",
    "image",
    "job",
    "log",
    "pending",
    "read",
    "resume",
    "run",
    "upload",
]


def __getattr__(name: str) -> Any:
    """Load a name on first use: `%load_ext` needs only `current`."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"..{_HOMES[name]}", __name__), name)
