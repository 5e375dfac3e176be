"""pending: list unfinished runs, whichever kernel began them; cancel those that were not sent."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..engine.display import runs_table
from ..present.table import render_table
from ..runlog import RunRecord, State
from .base import CommandResult
from .log import row_of
from .unknown_runs import notes_on_unknown

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "list unfinished runs; --cancel cancels those that wait for their turn"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--cancel", action="store_true", help="cancel the runs that wait in the queue of this kernel")
    parser.add_argument(
        "--all", action="store_true", help="with --cancel: also runs of other kernels that were not sent"
    )


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """List or cancel them."""
    if options.cancel:
        return _cancel(session, options)
    runs = session.pending()
    if not runs:
        return CommandResult({"text/plain": "nothing is pending"}, [], tuple(_notes(session, runs)), value=runs)
    return CommandResult(
        render_table(runs_table(runs)), [row_of(run) for run in runs], tuple(_notes(session, runs)), value=runs
    )


def _cancel(session: Session, options: argparse.Namespace) -> CommandResult:
    cancelled = session.cancel_queued(of_other_kernels=options.all)
    left = [run for run in session.pending() if run.attempts == 0]
    count = len(cancelled)
    said = f"Cancelled {count} queued run{'' if count == 1 else 's'}. {'It' if count == 1 else 'They'} cost nothing."
    if not cancelled:
        said = "This kernel has no queued run to cancel."
    notes = []
    if left:
        of_others = f"{len(left)} run{'' if len(left) == 1 else 's'} of other kernels"
        verb, them = ("was", "it") if len(left) == 1 else ("were", "them")
        notes.append(f"{of_others} {verb} not sent: `pending --cancel --all` cancels {them} too.")
    return CommandResult({"text/plain": said}, {"cancelled": cancelled}, tuple(notes), value=cancelled)


def _notes(session: Session, runs: list[RunRecord]) -> list[str]:
    queued = {job.task_uuid for job in session.jobs}  # also one that is being sent at this moment
    mine = sum(run.attempts == 0 and run.task_uuid in queued for run in runs)
    others = sum(run.attempts == 0 and run.task_uuid not in queued for run in runs)
    unknown = sum(run.state is State.UNKNOWN for run in runs)
    sent = len(runs) - mine - others - unknown
    notes = []
    if sent:
        notes.append(f"{_runs(sent)} sent: `resume` collects {'it' if sent == 1 else 'them'}.")
    notes += notes_on_unknown(session, runs)
    if mine:
        notes.append(
            f"{_runs(mine)} queued in this kernel and will be sent in turn: `pending --cancel` cancels the queue."
        )
    waiting = len(session.engine.chains.waiting)
    if waiting:
        what = "1 step of a chain waits" if waiting == 1 else f"{waiting} steps of chains wait"
        notes.append(
            f"{what} in this kernel for the results of other runs. Nothing of {'it' if waiting == 1 else 'them'} was "
            "sent: `pending --cancel` cancels."
        )
    if others:
        notes.append(f"{_runs(others)} not sent: `resume --send` sends, and `pending --cancel --all` cancels.")
    return notes


def _runs(count: int) -> str:
    return "1 run was" if count == 1 else f"{count} runs were"
