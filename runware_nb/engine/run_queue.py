"""The runs that wait for their turn, and what Stop, cancel and discard do to them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.money import Money
from ..errors import RunCancelled, RunLogError
from ..loop import background_loop, wait
from ..remedies import Remedy, command
from ..reprs import short_repr
from ..runlog import RunRecord, State
from .chained_job import ChainedJob
from .chains import Chains
from .execution import unknown_remedy, utc_now
from .job_table import JobTable
from .jobs import Job
from .known_runs import KnownRuns
from .ports import Ports

if TYPE_CHECKING:
    from ..runlog import RunLog

__all__ = ["RunQueue", "Stopped"]

_STOP_S = 0.15
"""Longest wait for the background loop while Stop is handled, in seconds: the prompt must return within 0.25 s."""
_CANCELLED = "Run {} was cancelled before it was sent. It cost nothing."
_DISCARDED = "Run {} was discarded before it was sent. It cost nothing."
_STOPPED = "Run {} was not sent, because its cell was stopped. It cost nothing."
_CLOSED = "Run {} was not sent, because the session was closed. It cost nothing."
_SEND = Remedy("{0} sends it.", (command("resume", send=True),))


@short_repr()
@dataclass(frozen=True, slots=True)
class Stopped:
    """What Stop did to the runs of a cell.

    Attributes:
        sent: How many runs of the cell were sent, before or during Stop.
        dropped: How many were not sent.
    """

    sent: int
    dropped: int

    @property
    def sentence(self) -> str:
        """What a user should know, in complete sentences."""
        sent = "1 run of this cell was" if self.sent == 1 else f"{self.sent} runs of this cell were"
        unsent = "1 run was" if self.dropped == 1 else f"{self.dropped} runs were"
        goes_on = "; what is not finished continues, and its result goes to the log" if self.sent else ""
        return f"{sent} sent{goes_on}. {unsent} not sent and cost nothing."


class RunQueue:
    """Takes runs that were not sent out of the queue, and hides runs that were.

    Args:
        ports: The log.
        jobs: The jobs in progress.
        known: Finds runs that were sent.
        chains: The steps of chains that were not submitted yet.
    """

    def __init__(self, ports: Ports, jobs: JobTable, known: KnownRuns, chains: Chains) -> None:
        self._ports = ports
        self._jobs = jobs
        self._known = known
        self._chains = chains

    def discard(self, record: RunRecord) -> bool:
        """Hide an unfinished run.

        A run that was not sent is dropped, and costs nothing. A run that was sent is paid for: it is collected without
        output, and a later identical request is answered from it.

        Args:
            record: The run.

        Returns:
            Whether it was dropped before it was sent.

        Raises:
            RunLogError: The log cannot be read or written, or the fate of the run is unknown.
        """
        if record.is_finished:
            return False
        _refuse_unknown(record)
        step = self._chains.starting_with(record.task_uuid)
        if step is not None and step.drop(RunCancelled(_DISCARDED.format(record.task_uuid))):
            return True
        job = self._jobs.get(record.task_uuid)
        if job is not None and self.withdraw([job], _DISCARDED):
            return True
        wait(background_loop().submit(self._discard(record.task_uuid)))
        current = self._ports.log.find(record.task_uuid)
        record.state = current.state
        _refuse_unknown(current)  # another kernel may have found that out since
        if job is not None:
            job.record.state = current.state
            job.changed()
        elif not current.is_finished:
            self._known.resume_run(current, sends=False)
        return current.is_finished and current.attempts == 0

    def give_up(self, record: RunRecord, charged: Money) -> None:
        """End a run whose fate is unknown, by what the user has seen at the service.

        It is finished as `lost`, and what was reserved for it in budgets is free again. Nothing is sent.

        Args:
            record: The run.
            charged: What the service charged for it, in the unit of the run.

        Raises:
            RunLogError: The log cannot be written, or the fate of the run is not unknown.
        """
        wait(background_loop().submit(self._give_up(record, charged)))
        job = self._jobs.get(record.task_uuid)
        if job is not None:
            current = self._ports.log.find(record.task_uuid)
            job.record.state, job.record.cost = current.state, current.cost
            job.record.finished_at_utc = current.finished_at_utc
            job.changed()

    async def _give_up(self, record: RunRecord, charged: Money) -> None:
        log = await self._ports.open_log()
        await log.finish(
            record.task_uuid, State.LOST, at_utc=utc_now(), duration_s=None, cost=charged, error=record.error,
            only_unknown=True,
        )  # fmt: skip

    async def _discard(self, task_uuid: str) -> None:
        """Drop a run that was not sent, else hide it; the log decides, since another kernel may be sending it."""
        log = await self._ports.open_log()
        dropped = log.drop_unsent(task_uuid, utc_now())
        hidden = log.set_state(task_uuid, State.DISCARDED)
        await asyncio.gather(dropped, hidden)

    def cancel(self, job: Job) -> bool:
        """Cancel one run of this kernel if it was not sent yet; return whether it was cancelled."""
        if isinstance(job, ChainedJob):
            return job.cancel()
        return bool(self.withdraw([job], _CANCELLED))

    def cancel_queued(self, *, of_other_kernels: bool = False) -> list[str]:
        """Cancel the runs that wait for their turn or for their sources. None was sent, and they cost nothing.

        Args:
            of_other_kernels: Whether runs that other kernels wrote to the log and did not send are cancelled too. Such
                a kernel may have ended, or still have them in its queue.

        Returns:
            Task UUIDs of the runs that were cancelled.

        Raises:
            RunLogError: The log cannot be read or written.
        """
        # Steps of chains first: the end of a run that they wait for then does not reach them as a failure.
        cancelled = [job.task_uuid for job in self._chains.drop(_CANCELLED)]
        cancelled += [job.task_uuid for job in self.withdraw(self._jobs.unsent(), _CANCELLED)]
        if of_other_kernels:
            unsent = [
                run.task_uuid for run in self._known.pending() if run.attempts == 0 and run.task_uuid not in cancelled
            ]
            wait(background_loop().submit(self._drop_unsent(unsent)))
            still = {run.task_uuid for run in self._known.pending()}
            cancelled += [name for name in unsent if name not in still and not self._ports.log.find(name).attempts]
        return cancelled

    async def _drop_unsent(self, task_uuids: Sequence[str]) -> None:
        log = await self._ports.open_log()
        await asyncio.gather(*(log.drop_unsent(name, utc_now()) for name in task_uuids))

    def withdraw(self, jobs: Sequence[Job], what: str, *, timeout_s: float | None = None) -> list[Job]:
        """Take runs out of the queue and drop them in the log; return those that had not been sent.

        Args:
            jobs: Jobs of this session.
            what: What happened to each run, as a sentence with `{}` for its task UUID.
            timeout_s: Longest wait in seconds, for Stop; after it the runs are still withdrawn, but not returned, and
                the log is written in the background. None waits until the log is written.
        """
        if not jobs:
            return []
        future = background_loop().submit(self._withdraw(jobs, what, drops=True))
        try:
            withdrawn, writes = future.result(timeout_s)
        except TimeoutError:
            return []
        if timeout_s is None and writes is not None:
            background_loop().submit(_settled(writes)).result()
        return withdrawn

    async def _withdraw(
        self, jobs: Sequence[Job], what: str, *, drops: bool
    ) -> tuple[list[Job], asyncio.Future[Any] | None]:
        """Withdraw runs; return those that had not been sent, and what is still being written about them.

        What decides is that this runs on the loop that claims attempts: see `Job.withdraw`.
        """
        withdrawn: list[Job] = []
        writes: list[asyncio.Future[None]] = []
        for job in jobs:
            error = RunCancelled(what.format(job.task_uuid))
            if not drops:
                error.with_remedy(_SEND)  # its row stays in the log as prepared, so it can still be sent
            if not job.withdraw(error):
                continue
            withdrawn.append(job)
            # The row of a run that was joined belongs to the kernel that wrote it, and stays.
            if drops and not job.is_joined and self._ports.has_log:
                writes.append(self._ports.log.drop_unsent(job.task_uuid, utc_now()))
                job.record.state, job.record.finished_at_utc = State.DISCARDED, utc_now()
        # A row that cannot be dropped stays prepared, which is as true: so an error here is none for the user.
        return withdrawn, asyncio.gather(*writes, return_exceptions=True) if writes else None

    def stop(self, job: Job) -> str:
        """Stop the cell that waits for a job: nothing more of it is sent. Return the sentence for the user.

        Runs that the cell has sent continue, because the service charges for them. Runs of other cells stay queued.
        """
        stopped = self.stop_cell()
        if job.is_withdrawn and stopped.sent == 0 and stopped.dropped <= 1:
            return f"Stopped. Run {job.task_uuid} was not sent and cost nothing."
        if stopped.dropped == 0 and stopped.sent <= 1:
            job.detach()
            return job.goes_on("Stopped waiting")
        if not job.is_withdrawn:
            job.detach()
        return f"Stopped waiting for run {job.task_uuid}. {stopped.sentence}"

    def stop_cell(self) -> Stopped:
        """Withdraw every run that the current cell submitted and that was not sent, and every step of its chains."""
        scope = self._ports.context(counts=False).scope
        steps = self._chains.drop(_STOPPED, scope=scope, is_of_scope=True)
        mine = [job for job in self._jobs.unsent() if job.scope == scope]
        dropped = self.withdraw(mine, _STOPPED, timeout_s=_STOP_S)
        return Stopped(self._jobs.sent_by(scope), len(steps) + len(dropped))

    def mark_detached(self, job: Job) -> None:
        """Mark a run in progress as detached, in the log too. A run that was not sent yet stays prepared."""
        if job.record.is_finished or job.record.state in {State.PREPARED, State.DISCARDED, State.UNKNOWN}:
            return
        job.record.state = State.DETACHED
        job.changed()
        if self._ports.has_log:
            background_loop().submit(_mark_detached(self._ports.log, job.task_uuid))

    def close(self) -> None:
        """End the queue: nothing more is sent.

        The row of a queued run stays `prepared`, which proves that it was not sent. A step of a chain has no row yet.
        """
        self._chains.drop(_CLOSED)
        work = self._withdraw(self._jobs.unsent(), _CLOSED, drops=False)
        wait(background_loop().submit(work), timeout_s=2.0)


async def _mark_detached(log: RunLog, task_uuid: str) -> None:
    with contextlib.suppress(RunLogError):
        await log.set_state(task_uuid, State.DETACHED)


async def _settled(writes: asyncio.Future[Any]) -> None:
    await writes


def _refuse_unknown(record: RunRecord) -> None:
    """Raise if the fate of a run is unknown: it may have been paid for, so it is not hidden."""
    if record.state is State.UNKNOWN:
        raise RunLogError(
            f"Run {record.task_uuid[:8]} cannot be hidden: it may have been accepted and charged."
        ).with_remedy(unknown_remedy(record))
