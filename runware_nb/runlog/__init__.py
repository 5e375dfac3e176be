"""The run log: every task on disk before it is on the wire, and everything that became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..media.store import MediaStore, StoredFile
from .records import (
    COST_UNITS,
    FINAL_STATES,
    UNFINISHED_STATES,
    FoundResult,
    Parent,
    ResultRecord,
    RunClaimed,
    RunRecord,
    State,
    TwinExists,
    Uploaded,
    UseRecord,
)

if TYPE_CHECKING:
    from .store import RunLog

__all__ = [
    "COST_UNITS",
    "FINAL_STATES",
    "UNFINISHED_STATES",
    "FoundResult",
    "MediaStore",
    "Parent",
    "ResultRecord",
    "RunClaimed",
    "RunLog",
    "RunRecord",
    "State",
    "StoredFile",
    "TwinExists",
    "Uploaded",
    "UseRecord",
]


def __getattr__(name: str) -> Any:
    """Load the database's library only when a log is opened: it takes 200 ms."""
    if name == "RunLog":
        from .store import RunLog

        return RunLog
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
