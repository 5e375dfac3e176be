"""A job as a notebook or a terminal shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.operations import OPERATIONS, Operation
from ..errors import RunCancelled
from ..present.results import ResultsView, render_progress, render_results
from ..present.text import render_writing
from ..runlog import RunRecord, State
from ..runlog.records import UsualDuration
from .display import error_sentence, render_outcome, render_unfinished_text
from .durations import wait_in_words
from .jobs import Job

__all__ = ["is_long", "render_job"]

_OPERATIONS = {operation.name: operation for operation in OPERATIONS}
_LONG_WAIT_S = 5.0
"""A wait of this length is counted in the cell, whatever is waited for."""
_PLACES = {"video": (1280, 720), "audio": (512, 150), "3d": (512, 512)}
"""Width and height of the place of a result, by what an operation produces, if the request states none."""
_IN_WORDS = {
    State.PREPARED: "waiting for a free slot",
    State.SENT: "sent",
    State.ACCEPTED: "in progress",
    State.DETACHED: "still in progress",
    State.UNKNOWN: "perhaps accepted, and not found at the service",
}


def render_job(job: Job) -> dict[str, str]:
    """Show a job as it stands: its results, its failure, or the place where they will be."""
    if job.is_done:
        error = job.future.exception()
        if error is None:
            return render_outcome(job.future.result(), display=job.owner.display)
        if job.has_text:  # it was paid for, whatever became of the rest
            return render_unfinished_text(job.text, job.reasoning, error_sentence(error), job.task_uuid)
        if isinstance(error, RunCancelled):  # its sentence names the run, and that it cost nothing: not a failure
            return render_results(
                ResultsView(_prompt(job.record), [], notices=[error_sentence(error).removeprefix("RunCancelled: ")])
            )
        return render_results(ResultsView(_prompt(job.record), [], [error_sentence(error)], [job.task_uuid]))
    request = job.record.request
    if job.has_text or job.record.operation == "text":
        return render_writing(job.text, job.reasoning, "" if job.has_text else _note(job))
    operation = _operation(job.record)
    width, height = _PLACES.get("" if operation is None else operation.produces, (1024, 1024))
    return render_progress(
        prompt=_prompt(job.record),
        # What an operation of another service produces is not known before it is here, so no place is kept for it.
        count=0 if _is_foreign(job.record) or not _has_place(operation) else _number(request, "numberResults", 1),
        width=_number(request, "width", width),
        height=_number(request, "height", height),
        percent=job.progress,
        note=_note(job),
    )


def is_long(job: Job) -> bool:
    """Return whether a wait is counted: its operation takes minutes, or it has taken a while already."""
    operation = _operation(job.record)
    return (operation is not None and operation.long_running) or job.waited_s >= _LONG_WAIT_S


def _has_place(operation: Operation | None) -> bool:
    """Return whether an operation produces something of a known shape, which a text does not have."""
    return operation is None or operation.produces in {"image", *_PLACES}


def _operation(record: RunRecord) -> Operation | None:
    return _OPERATIONS.get(record.operation or "")


def _prompt(record: RunRecord) -> str:
    return record.prompt or (record.model if _is_foreign(record) else None) or record.operation or record.task_type


def _is_foreign(record: RunRecord) -> bool:
    """Return whether the operation of a run is not in the table of operations."""
    return record.operation is not None and record.operation not in _OPERATIONS


def _number(request: Mapping[str, Any], name: str, default: int) -> int:
    value = request.get(name, default)
    return value if isinstance(value, int) and value > 0 else default


def _note(job: Job) -> str:
    done = len(job.arrived)
    asked = _number(job.record.request, "numberResults", 1)
    # Progress proves that the service has accepted the task, even if it has said so in no other way.
    known = State.ACCEPTED if job.progress is not None and job.state is State.SENT else job.state
    state = job.waiting or _IN_WORDS.get(known, known.value)
    said = f"{state}, {done} of {asked} here" if done else state
    if not is_long(job):
        return said
    usual: UsualDuration | None = job.usual_duration
    return " · ".join([said, *wait_in_words(job.waited_s, usual)])
