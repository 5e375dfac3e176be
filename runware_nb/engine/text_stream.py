"""A text while it is written: shown by its job, and kept in the log before it is complete."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..core.results import PARTIAL
from ..runlog import ResultRecord, RunRecord, State

if TYPE_CHECKING:
    from ..runlog import RunLog
    from .jobs import Job

__all__ = ["WRITE_EVERY_S", "ArrivingText", "partial_of"]

WRITE_EVERY_S = 2.0
"""While pieces of a text arrive, the log gets what has arrived at most this often, in seconds."""


class ArrivingText:
    """The text of one run while it is written. All of it runs on the background loop.

    The service charges for a text whether or not anything waits for it. So what has arrived is written to the log at
    bounded intervals, and at once when the wait for it ends. It is the first result of the run, marked as partial, and
    the whole text replaces it. A run is never finished by it: only `RunLog.finish` does that.

    Args:
        job: Whose text it is.
        log: Where it is kept.
        every_s: Least time between two writes, in seconds.
    """

    def __init__(self, job: Job, log: RunLog, *, every_s: float | None = None) -> None:
        self._job = job
        self._log = log
        self._every_s = WRITE_EVERY_S if every_s is None else every_s
        self._timer: asyncio.TimerHandle | None = None
        self._is_complete = False
        self._is_unwritten = False

    def add(self, text: str, reasoning: str) -> None:
        """Take in a piece. The first one is written at once: it proves that the service accepted the task."""
        job = self._job
        is_first = not job.has_text
        job.add_text(text, reasoning)
        if job.record.state is State.SENT:
            job.record.state = State.ACCEPTED
        self._is_unwritten = True
        if is_first:
            self.keep()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._every_s, self.keep)
        job.changed()

    def keep(self) -> None:
        """Write what has arrived, if it is not in the log already."""
        self._stop_timer()
        if self._is_complete or not self._is_unwritten:
            return
        self._is_unwritten = False
        raw = self.raw()
        if raw is not None:
            record = ResultRecord(position=0, raw=raw)
            # If the log cannot be written, nothing is lost yet: the next write, or the whole text, has this one in it.
            self._log.add_text_so_far(self._job.task_uuid, record).add_done_callback(_note_error)

    def complete(self) -> None:
        """Note that the whole text has arrived. Its record replaces the partial one, and none is written after it."""
        self._is_complete = True
        self._stop_timer()

    def raw(self) -> dict[str, Any] | None:
        """Return what has arrived as the fields of a result that is marked as partial; None if nothing has."""
        job = self._job
        if not job.has_text:
            return None
        raw: dict[str, Any] = {"taskType": job.record.task_type, "taskUUID": job.record.attempt_uuid, "text": job.text}
        if job.reasoning:
            raw["reasoningContent"] = job.reasoning
        return {**raw, PARTIAL: True}

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def partial_of(record: RunRecord) -> dict[str, Any] | None:
    """Return the incomplete text that a run has in the log; None if there is none."""
    raws = (kept.raw for kept in record.results if kept.error is None)
    return next((raw for raw in raws if raw.get(PARTIAL) is True), None)


def _note_error(future: asyncio.Future[None]) -> None:
    if not future.cancelled():
        future.exception()
