"""resume: collect and show the results of unfinished runs; send what was never sent only if the user agrees."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..core.money import Money
from ..core.results import Outcome
from ..engine.consent import priced
from ..engine.display import error_sentence, runs_table
from ..engine.estimates import Estimate, estimate
from ..engine.jobs import Job
from ..errors import NotConfirmed, RunNotFound, RunwareNBError
from ..present.table import render_table
from ..remedies import RESUME, Remedy, command
from ..runlog import RunRecord, State
from .base import CommandResult
from .log import row_of
from .unknown_runs import notes_on_unknown

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "collect unfinished runs and show their results; nothing is sent again without --send"

_MOST_SHOWN = 12
"""Runs whose results are displayed at most: each takes up to some 100 KiB of the notebook."""
_SHOW = Remedy("{0} shows one of them.", (command("show", "UUID"),))
_SEND = Remedy("{0} sends them.", (command("resume", send=True),))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("refs", nargs="*", metavar="UUID", help="task UUIDs or their first characters (default: all)")
    parser.add_argument(
        "--send", action="store_true", help="also send runs that were not sent, or that the service lost"
    )
    parser.add_argument("--yes", action="store_true", help="agree to the cost of what is sent")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Collect the runs, show their results, and report what became of each."""
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
    collected = _Collected(session)
    for job in jobs:
        notes += collected.wait(job)
    notes += collected.notes()
    if unsent and not sends:
        names = ", ".join(record.task_uuid[:8] for record in unsent)
        notes.append(f"Not sent, at no cost: {names}. {session.front_end.remedy(_SEND)}")
    elsewhere = [record for record in named if not session.engine.known.belongs_here(record)]
    notes += _notes_on_others(session, elsewhere)
    runs: list[RunRecord] = []
    for record in chosen:
        with contextlib.suppress(RunNotFound):  # damaged meanwhile, which a note states
            runs.append(session.log.find(record.task_uuid))
    notes += notes_on_unknown(session, runs)
    bundle: Mapping[str, str] = {}
    if not runs:
        bundle = {"text/plain": "nothing was collected" if elsewhere else "nothing is pending"}
    elif len(runs) > 1 or not collected.shown:
        bundle = render_table(runs_table(runs))
        bundle = {**bundle, "text/plain": "\n".join([bundle["text/plain"], *collected.files])}
    failed = failed or any(job.future.exception() is not None for job in jobs)
    return CommandResult(
        bundle, [row_of(record) for record in runs], tuple(notes), is_failure=failed, value=runs,
        outcome=collected.last or _finished(session.last),
    )  # fmt: skip


class _Collected:
    """What came of the runs that are waited for, one after the other. All of them are collected at once.

    Args:
        session: Whose front end shows them.

    Attributes:
        shown: How many results the front end has displayed.
        files: The paths of the results that it has not displayed.
        last: The last outcome; None before there is one.
    """

    def __init__(self, session: Session) -> None:
        self.shown = 0
        self.files: list[str] = []
        self.last: Outcome | None = None
        self._front_end = session.front_end
        self._not_shown = 0

    def wait(self, job: Job) -> list[str]:
        """Wait for a run, and return the notes about it that were not displayed with it."""
        shows = self.shown < _MOST_SHOWN
        is_shown = False
        try:
            if shows:
                is_shown = self._front_end.wait_for(job)
            self.last = job.result()
        except Exception as error:  # noqa: BLE001 - the runs after this one are collected all the same
            told = [] if shows and self._front_end.has_cells else job.notices
            return [*told, _sentence(job.task_uuid, error)]
        self.shown += is_shown
        self._not_shown += not shows
        if is_shown:
            return []
        self.files += [f"{job.task_uuid[:8]}#{each.index + 1}: {each.path}" for each in self.last if each.path]
        return job.notices

    def notes(self) -> list[str]:
        """Return a note about the runs that were collected and not displayed."""
        if not self._not_shown:
            return []
        return [f"{self._not_shown} more were collected and are not shown here. {self._front_end.remedy(_SHOW)}"]


def _finished(last: object) -> Outcome | None:
    """Return the outcome of the last run, if it succeeded in the background before it could be collected."""
    return last.result() if isinstance(last, Job) and last.is_done and last.future.exception() is None else None


def _notes_on_others(session: Session, runs: Sequence[RunRecord]) -> list[str]:
    """Return a sentence for each service that is not in use and has some of these runs, and how to collect them."""
    notes = []
    for service in dict.fromkeys(record.provider for record in runs):
        names = [record.task_uuid[:8] for record in runs if record.provider == service]
        is_one = len(names) == 1
        counted = "1 run was" if is_one else f"{len(names)} runs were"
        owner = "the sandbox" if service == "sandbox" else f"the service {service!r}"
        collects = f"then {{1}}, collects {'it' if is_one else 'them'}."
        start = command("sandbox") if service.endswith("sandbox") else command("sandbox", stop=True)
        remedy = session.front_end.remedy(Remedy(f"{{0}}, {collects}", (start, RESUME)))
        notes.append(
            f"{counted} not collected, because {'it belongs' if is_one else 'they belong'} to {owner}, which is not in "
            f"use: {', '.join(names)}. {remedy}"
        )
    return notes


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


def _sentence(task_uuid: str, error: Exception) -> str:
    """Format what went wrong with one run; an error that is not ours is named with its class."""
    if isinstance(error, RunwareNBError):
        return f"{task_uuid[:8]}: {error_sentence(error)}"
    return f"{task_uuid[:8]}: an unexpected error ended the collection ({type(error).__name__}: {error})."
