"""Runs of the state `unknown`: what is known about them, and what the user can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..runlog import RunRecord, State

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["describe_unknown", "notes_on_unknown"]

_MOST_DESCRIBED = 5


def describe_unknown(run: RunRecord) -> str:
    """Return what is known about a run whose fate is unknown, in sentences."""
    sent_at = (run.sent_at_utc or run.created_at_utc)[:16].replace("T", " ")
    error = run.error or {}
    message = str(error.get("message") or "").strip().rstrip(".")
    if message and error.get("code") == "FateUnknown":  # the provider has stated what is known, in whole sentences
        return f"Run {run.task_uuid[:8]} was sent to {run.provider} at {sent_at} UTC. {message}."
    why = f" ({message})" if message else ""
    return (
        f"Run {run.task_uuid[:8]} was sent to {run.provider} at {sent_at} UTC and may have been accepted and charged, "
        f"but no response shows whether it was{why}."
    )


def notes_on_unknown(session: Session, runs: Sequence[RunRecord]) -> list[str]:
    """Return sentences about the runs of the state `unknown` among these, and about what the user can do."""
    unknown = [run for run in runs if run.state is State.UNKNOWN]
    notes = [describe_unknown(run) for run in unknown[:_MOST_DESCRIBED]]
    if len(unknown) > _MOST_DESCRIBED:
        notes.append(f"{len(unknown) - _MOST_DESCRIBED} more runs may have been accepted and charged.")
    if unknown:
        asks = "`resume` asks the service again. " if any(_can_be_asked(session, run) for run in unknown) else ""
        notes.append(
            f"Such runs are not sent again. {asks}If the service's website shows what became of a run, "
            "`discard UUID --not-charged` or `discard UUID --charged AMOUNT` ends it; then its cell can be run again."
        )
    return notes


def _can_be_asked(session: Session, run: RunRecord) -> bool:
    """Return whether the service can be asked for a run; True if its provider is not in use and cannot tell."""
    if not session.engine.known.belongs_here(run):
        return True
    return run.remote_id is not None or session.provider(run.provider).capabilities.can_find_lost
