"""How long runs of one kind took, as the log has it."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from .records import State, UsualDuration
from .schema import runs
from .store import RunLog

__all__ = ["usual_duration"]

_LOOKED_AT = 50
_NEWEST = 500
"""How many of the newest runs of the model are searched for those. The other conditions have no index that fits, and
each plan asks: without this limit, it would read a whole log for a model that has no such run."""
_SIZES = ("width", "height", "resolution", "numberResults", "steps")
"""The parameters on which the time depends, besides the length of a video or of audio."""
_UNWATCHED_S = 5.0
"""How long after the last result a run may be recorded as finished: meanwhile its file is downloaded."""
_MOST_RATIO = 1.5
"""A length is similar if it is at most so many times that of the task, or the reverse."""


def usual_duration(log: RunLog, task: Mapping[str, Any], provider: str) -> UsualDuration | None:
    """Return how long earlier runs of the same model and task type took; None if the log has none.

    Args:
        log: Where to look.
        task: As its provider spells it.
        provider: The service that performs it.

    Raises:
        RunLogError: The log cannot be read.
    """
    model = task.get("model")
    rows = _rows(None if model is None else str(model), str(task.get("taskType")), provider)
    similar: list[float] = []
    others: list[float] = []
    with log.reading() as connection:
        for request, seconds, sent, finished in connection.execute(rows):
            if not isinstance(seconds, int | float) or not math.isfinite(seconds):
                continue
            if not _was_followed(seconds, sent, finished):
                continue
            try:
                earlier = json.loads(request)
                (similar if _is_similar(earlier, task) else others).append(float(seconds))
            except (ValueError, TypeError, AttributeError, RecursionError):
                continue  # a damaged row, which `log` names
    chosen = similar or others
    return UsualDuration(statistics.median(chosen), len(chosen), bool(similar)) if chosen else None


def _rows(model: str | None, task_type: str, provider: str) -> sa.Select[Any]:
    """Build the query for the newest successful runs of a model; the index of models gives them without a sort."""
    newest = (
        sa.select(runs.c.id, runs.c.request, runs.c.duration_s, runs.c.sent_at_utc, runs.c.finished_at_utc,
                  runs.c.provider, runs.c.state, runs.c.is_imported, runs.c.task_type)
        .where(runs.c.model.is_(None) if model is None else runs.c.model == model)
        .order_by(runs.c.id.desc())
        .limit(_NEWEST)
        .subquery()
    )  # fmt: skip
    mine = newest.c
    return (
        sa.select(mine.request, mine.duration_s, mine.sent_at_utc, mine.finished_at_utc)
        .where(mine.duration_s > 0, mine.provider == provider, mine.state == State.SUCCEEDED.value,
               mine.is_imported == 0, mine.task_type == task_type)
        .order_by(mine.id.desc())
        .limit(_LOOKED_AT)
    )  # fmt: skip


def _was_followed(seconds: float, sent: Any, finished: Any) -> bool:
    """Return whether a run was followed from its start to its end.

    A run that was collected after a restart was measured from there, and its result may have been ready long before.
    """
    try:
        whole = (datetime.fromisoformat(finished) - datetime.fromisoformat(sent)).total_seconds()
    except (TypeError, ValueError):
        return False
    return abs(whole - seconds) <= max(_UNWATCHED_S, 0.1 * seconds)


def _is_similar(earlier: Mapping[str, Any], task: Mapping[str, Any]) -> bool:
    if any(earlier.get(name) != task.get(name) for name in _SIZES):
        return False
    before, now = earlier.get("duration"), task.get("duration")
    if isinstance(before, int | float) and isinstance(now, int | float) and before > 0 and now > 0:
        return 1 / _MOST_RATIO <= before / now <= _MOST_RATIO
    return bool(before == now)
