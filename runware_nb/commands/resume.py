"""resume: collect what was sent before a crash; send what never left only when told to."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..errors import NotConfirmed, RunwareNBError
from ..runlog import RunRecord
from ..session.hooks import confirm, hooks
from ..session.show import error_sentence, runs_table
from ..view.results import format_usd
from ..view.table import render_table
from .base import Answer
from .log import row_of

if TYPE_CHECKING:
    from ..session import Job, Session

SUMMARY = "collect unfinished runs; nothing is sent again without --send"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("refs", nargs="*", metavar="UUID", help="task UUIDs, or their first characters; all by default")
    parser.add_argument("--send", action="store_true", help="also send what never left, and what the service lost")


def run(session: Session, options: argparse.Namespace) -> Answer:
    """Collect them, and say what became of each."""
    named = [session.log.find(ref) for ref in options.refs] or session.pending()
    chosen = [record for record in named if session.belongs_here(record)]
    sends = options.send or _wants_to_send([record for record in chosen if record.attempts == 0])
    jobs = [
        session.take_up(record, sends=options.send or record.attempts == 0)
        for record in chosen
        if sends or record.attempts > 0
    ]
    notes = [note for job in jobs for note in _wait(job)]
    unsent = [record for record in chosen if record.attempts == 0 and not sends]
    if unsent:
        names = ", ".join(record.task_uuid[:8] for record in unsent)
        notes.append(f"never sent, and cost nothing: {names}; `resume --send` sends them")
    elsewhere = [record for record in named if not session.belongs_here(record)]
    if elsewhere:
        names = ", ".join(f"{record.task_uuid[:8]} ({record.provider})" for record in elsewhere)
        notes.append(
            f"Not collected, because they belong to a service that is not in use: {names}. `sandbox` starts the "
            "sandbox, and `sandbox --stop` returns to the service."
        )
    runs: list[RunRecord] = [session.log.find(record.task_uuid) for record in chosen]
    bundle = render_table(runs_table(runs)) if runs else {"text/plain": "nothing is pending"}
    failed = any(job.future.exception() is not None for job in jobs)
    return Answer(bundle, [row_of(record) for record in runs], tuple(notes), is_failure=failed, value=runs)


def _wants_to_send(unsent: list[RunRecord]) -> bool:
    """Ask about what never left, where somebody can answer."""
    if not unsent or hooks.ask is None:
        return False
    known = [record.estimate_usd for record in unsent if record.estimate_usd is not None]
    price = f"about {format_usd(sum(known))}" if known else "of unknown price"
    try:
        confirm(f"{len(unsent)} of these runs were never sent, {price}")
    except NotConfirmed:
        return False
    return True


def _wait(job: Job) -> list[str]:
    try:
        job.result()
    except RunwareNBError as error:
        return [*job.notices, f"{job.task_uuid[:8]}: {error_sentence(error)}"]
    return job.notices
