"""resume: collect what was sent before a crash; send what never left only when told to."""

from __future__ import annotations

import argparse
import contextlib
from typing import TYPE_CHECKING

from ..core.money import Money
from ..engine.consent import priced
from ..engine.display import error_sentence, runs_table
from ..engine.estimates import Estimate, estimate
from ..errors import NotConfirmed, RunNotFound, RunwareNBError
from ..present.table import render_table
from ..remedies import Remedy, command
from ..runlog import RunRecord, State
from .base import CommandResult
from .log import row_of
from .unknown_runs import notes_on_unknown

if TYPE_CHECKING:
    from ..session import Job, Session

SUMMARY = "collect unfinished runs; nothing is sent again without --send"

_SEND = Remedy("{0} sends them.", (command("resume", send=True),))
_OTHER_SERVICE = Remedy(
    "{0} starts the sandbox, and {1} returns to the service.", (command("sandbox"), command("sandbox", stop=True))
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("refs", nargs="*", metavar="UUID", help="task UUIDs or their first characters (default: all)")
    parser.add_argument(
        "--send", action="store_true", help="also send runs that were not sent, or that the service lost"
    )
    parser.add_argument("--yes", action="store_true", help="agree to the cost of what is sent")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Collect the runs, and report what became of each."""
    named = [session.log.find(ref) for ref in options.refs] or session.pending()
    chosen = [record for record in named if session.engine.known.belongs_here(record)]
    # What this kernel has in its queue is sent in its turn, and was agreed to; it is only waited for.
    queued = {job.task_uuid for job in session.jobs}  # also one that is being sent at this moment
    unsent = [record for record in chosen if record.attempts == 0 and record.task_uuid not in queued]
    # A run whose fate is unknown may be charged a second time, so it is asked about like one that was never sent. If
    # its service charges for each sending, it is not sent again at all.
    undecided = [record for record in chosen if options.send and _may_be_sent_again(session, record)]
    sends = _may_send(session, [*unsent, *undecided], options)
    jobs: list[Job] = []
    notes: list[str] = []
    failed = False
    for record in chosen:
        if record in unsent and not sends:
            continue
        try:
            is_sent = sends if record in undecided else options.send or record.attempts == 0
            jobs.append(session.engine.known.resume_run(record, sends=is_sent))
        except Exception as error:  # noqa: BLE001 - the runs after this one are taken up all the same
            failed = True
            notes.append(_sentence(record.task_uuid, error))
    notes += [note for job in jobs for note in _wait(job)]
    if unsent and not sends:
        names = ", ".join(record.task_uuid[:8] for record in unsent)
        notes.append(f"Not sent, at no cost: {names}. {session.front_end.remedy(_SEND)}")
    elsewhere = [record for record in named if not session.engine.known.belongs_here(record)]
    if elsewhere:
        names = ", ".join(f"{record.task_uuid[:8]} ({record.provider})" for record in elsewhere)
        notes.append(
            f"Not collected, because they belong to a service that is not in use: {names}. "
            f"{session.front_end.remedy(_OTHER_SERVICE)}"
        )
    runs: list[RunRecord] = []
    for record in chosen:
        with contextlib.suppress(RunNotFound):  # damaged meanwhile, which a note states
            runs.append(session.log.find(record.task_uuid))
    notes += notes_on_unknown(session, runs)
    bundle = (
        render_table(runs_table(runs))
        if runs
        else {"text/plain": "nothing was collected" if elsewhere else "nothing is pending"}
    )
    failed = failed or any(job.future.exception() is not None for job in jobs)
    return CommandResult(bundle, [row_of(record) for record in runs], tuple(notes), is_failure=failed, value=runs)


def _may_send(session: Session, unsent: list[RunRecord], options: argparse.Namespace) -> bool:
    """Return whether runs that were not sent are sent now: with --send, or if the user says yes.

    Raises:
        NotConfirmed: Their cost needs a yes, and there was none. Nothing was sent.
    """
    if not unsent or not (options.send or session.front_end.can_ask):
        return False
    count = len(unsent)
    asks = f"{count} of these runs {'was' if count == 1 else 'were'} not sent yet."
    services = dict.fromkeys(record.provider for record in unsent)  # each has its own unit and budgets
    try:
        for service in services:
            session.consent.require(
                [
                    priced(record.request, _price(session, record), service)
                    for record in unsent
                    if record.provider == service
                ],
                context=session.context(counts=False),
                agreed=options.yes,
                announces=None if options.send else asks,
            )
    except NotConfirmed:
        if options.send:
            raise
        return False
    return True


def _may_be_sent_again(session: Session, record: RunRecord) -> bool:
    return record.state is State.UNKNOWN and session.provider(record.provider).capabilities.resend_is_safe


def _price(session: Session, record: RunRecord) -> Estimate:
    if record.estimate is not None:
        cost = Money(record.estimate, record.cost_unit)
        return Estimate(cost, "estimated when they were submitted", record.cost_unit)
    return estimate(session, record.request, record.provider)


def _wait(job: Job) -> list[str]:
    try:
        job.result()
    except Exception as error:  # noqa: BLE001 - the runs after this one are collected all the same
        return [*job.notices, _sentence(job.task_uuid, error)]
    return job.notices


def _sentence(task_uuid: str, error: Exception) -> str:
    """Format what went wrong with one run; an error that is not ours is named with its class."""
    if isinstance(error, RunwareNBError):
        return f"{task_uuid[:8]}: {error_sentence(error)}"
    return f"{task_uuid[:8]}: an unexpected error ended the collection ({type(error).__name__}: {error})."
