"""One notebook's connection: it ties client, log and images together, and hands out jobs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import cancel_queued, connect, image, job, log, pending, read, resume, run
    from .context import CellContext
    from .jobs import Job
    from .session import Plan, Session, current_session

_HOMES = {
    "CellContext": "context", "Job": "jobs", "Plan": "session", "Session": "session", "cancel_queued": "api",
    "connect": "api",
    "current_session": "session", "image": "api", "job": "api", "log": "api", "pending": "api", "read": "api",
    "resume": "api", "run": "api",
}  # fmt: skip

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
]


def __getattr__(name: str) -> Any:
    """Load a name on first use: `%load_ext` needs only the hooks."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
