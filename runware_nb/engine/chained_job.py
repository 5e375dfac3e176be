"""A job that needs the results of other jobs, from the moment when its chain is built until its own results are in."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.items import Item
from ..core.results import Outcome
from ..errors import RunCancelled, RunwareNBError
from ..forking import make_lock
from ..remedies import Remedy, command
from ..reprs import short_repr
from ..runlog import RunRecord, State
from .estimates import Estimate
from .jobs import Job, JobOwner

__all__ = ["Awaited", "ChainedJob", "Step"]

_CANCELLED = "Run {} was cancelled before it was sent. It cost nothing."
_DISCARDED = "Run {} was discarded before it was sent. It cost nothing."


@dataclass(frozen=True, slots=True, eq=False)
class Awaited:
    """A result of a job that is not here yet, in the place of a medium or a text of a task.

    Attributes:
        job: The job.
        index: Which of its results, from 0; None for its only one.
        is_reply: Whether it is the answer of a model in a conversation.
    """

    job: Job
    index: int | None = None
    is_reply: bool = False

    @property
    def bytes(self) -> bytes:
        """No bytes yet. Values with this attribute are media wherever a task may contain one."""
        return b""

    def __repr__(self) -> str:
        number = "" if self.index is None else f" #{self.index + 1}"
        return f"<result{number} of run {self.job.task_uuid[:8]}>"


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a chained job submits once its sources are there.

    Attributes:
        task: The task, with `Awaited` in the places of what is not here yet.
        sources: Those.
        service: Who performs it, as `Engine.submit` takes it.
        provider: The name of the provider that it was planned for.
        account: What identifies the account there when the chain was built; None in replay mode, which has none.
        metadata: What the log records with the run: a `RunMetadata` with the cell that built the chain.
        agreed_price: The estimate that the user agreed to when the chain was built.
        agreed: Whether the user agreed beforehand to any cost.
        fresh: Whether a recorded answer is ignored.
        as_is: Whether the task is sent exactly as it is written.
    """

    task: Item
    sources: Sequence[Awaited]
    service: str
    provider: str
    account: object
    metadata: Any
    agreed_price: Estimate
    agreed: bool
    fresh: bool
    as_is: bool

    def is_same_request(self, other: Step) -> bool:
        """Return whether this step sends the same as another one, from the same jobs."""
        mine, theirs = ((step.provider, step.account, step.as_is) for step in (self, other))
        return mine == theirs and _is_same(self.task, other.task)


class ChainedJob(Job):
    """A job that waits for the results of other jobs, and then becomes the job of an ordinary run.

    Until it is submitted, its run exists in this process only. Nothing is in the log, reserved in a budget, or at the
    service. So a kernel that ends before that loses only steps that were not sent and not charged, and building the
    chain again sends just those: what was sent is answered from the log.

    Args:
        owner: Carries out its wishes.
        record: Describes the run for displays; replaced by the record in the log when it is submitted.
        step: What is submitted.
    """

    def __init__(self, owner: JobOwner, record: RunRecord, step: Step) -> None:
        super().__init__(owner, record, is_new=True)
        self.step = step
        self.scope = step.metadata.context.scope
        self.as_is = step.as_is
        self._submitted: Job | None = None
        self._is_begun = False
        self._is_started = False
        self._chain_lock = make_lock()
        """Makes withdrawing and submitting exclude each other: a step that was reported as dropped is never sent."""
        self.waiting = self._what_is_awaited()

    @property
    def is_waiting(self) -> bool:
        """Whether the step was not submitted yet, and nothing of it is in the log."""
        return self._submitted is None and not self.is_done

    @property
    def is_queued(self) -> bool:
        """Return whether the run was not sent yet, and can still be withdrawn."""
        if self._submitted is not None:
            return self._submitted.is_queued
        return not self.is_done and self.withdrawn is None

    @property
    def is_withdrawn(self) -> bool:
        """Return whether the run was dropped before it was sent."""
        return self.withdrawn is not None or (self._submitted is not None and self._submitted.is_withdrawn)

    # --- from waiting to submitted ---------------------------------------------------------------------

    def start_waiting(self) -> bool:
        """Claim the right to wait for the sources, once; return whether it was given."""
        with self._chain_lock:
            was_started, self._is_started = self._is_started, True
            return not was_started

    def begin(self) -> bool:
        """Claim the right to submit the step, once; return whether it was given.

        Sources end in different threads, and each end may call for the submission. A step that was withdrawn, or that
        belongs to the parent of a forked process, is not submitted.
        """
        with self._chain_lock:
            if self._is_begun or self.withdrawn is not None or self.is_done:
                return False
            self._is_begun = True
            return True

    def adopt(self, job: Job) -> None:
        """Take a new job as the one of this step, before its run is written or sent.

        Stop may have dropped the step while its task was checked and its media were uploaded. Its user has read that
        it was not sent, so the new job is withdrawn here, where nothing of it can have left: its execution begins later
        and ends at once.
        """
        with self._chain_lock:
            if self.withdrawn is not None:
                job.withdrawn = self.withdrawn
            self._submitted = job

    def follow(self, job: Job) -> None:
        """Become a view of a job: the run of this step, or an earlier run that answers the same request."""
        with self._chain_lock:
            self._submitted = job
        if self.notices:
            job.notices[:0] = self.notices
        self.notices, self.arrived = job.notices, job.arrived
        job.on_change(self._mirror)
        job.future.add_done_callback(self._end)

    def _mirror(self) -> None:
        job = self._submitted
        assert job is not None
        self.record, self.progress, self.waiting = job.record, job.progress, job.waiting
        self.is_recorded, self.is_joined, self.is_logged = job.is_recorded, job.is_joined, job.is_logged
        self.is_leaving = job.is_leaving
        self.changed()

    def _end(self, future: concurrent.futures.Future[Outcome]) -> None:
        self._mirror()
        error = future.exception()
        self.settle(None if error is not None else future.result(), error)

    def settle(self, outcome: Outcome | None, error: BaseException | None) -> None:
        """Resolve the future, once. The log has no row with the state of a step that ends before it is submitted."""
        if self._submitted is None and error is not None:
            self.record.state = State.FAILED if self.withdrawn is None else State.DISCARDED
        super().settle(outcome, error)

    # --- what a user wishes ------------------------------------------------------------------------------

    def withdraw(self, reason: RunwareNBError) -> bool:
        """Drop the step if it was not submitted, else remove its run from the queue. See `Job.withdraw`."""
        if self.drop(reason):
            return True
        return self._submitted is not None and self._submitted.withdraw(reason)

    def drop(self, reason: RunwareNBError) -> bool:
        """Drop the step if it was not submitted yet; return whether it was dropped. From any thread."""
        with self._chain_lock:
            if self._submitted is not None or self.is_done or self.withdrawn is not None:
                return False
            self.withdrawn = reason
        self.settle(None, reason)
        return True

    def cancel(self) -> bool:
        """Cancel the step if it was not sent yet, at no cost; return whether it was cancelled."""
        if self.drop(RunCancelled(_CANCELLED.format(self.task_uuid))):
            return True
        return self._submitted is not None and self.owner.cancel(self._submitted)

    def discard(self) -> None:
        """Drop the step if it was not sent yet, at no cost; hide its run if it was. See `Session.discard`."""
        if not self.drop(RunCancelled(_DISCARDED.format(self.task_uuid))) and self._submitted is not None:
            self._submitted.discard()

    def _state_after_wait(self) -> tuple[str, Remedy]:
        if not self.is_waiting:
            return super()._state_after_wait()
        cancel = command("pending", cancel=True, python="rw.cancel_queued()")
        awaited = self._what_is_awaited()
        state = f"Run {self.task_uuid} is about to be sent, and its result goes to the log."
        if awaited is not None:
            state = (
                f"Run {self.task_uuid} {awaited}. It is sent when that result is here, and costs nothing if this "
                "kernel ends before."
            )
        return state, Remedy("{0} cancels it.", (cancel,))

    def _what_is_awaited(self) -> str | None:
        """Return what the step waits for, as a phrase; None if its sources have ended."""
        jobs = {id(source.job): source.job for source in self.step.sources if not source.job.is_done}
        names = [_named(job.record) for job in jobs.values()]
        if len(names) < 2:
            return f"waits for run {names[0]}" if names else None
        return f"waits for runs {', '.join(names[:-1])} and {names[-1]}"


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two values of tasks are the same; if they cannot be compared, such as arrays, they are not."""
    if isinstance(one, Awaited) and isinstance(other, Awaited):
        return one.job is other.job and one.index == other.index
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_is_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return one is other or (type(one) is type(other) and (one == other) is True)


def _named(record: RunRecord) -> str:
    what = record.operation or record.task_type
    return f"{record.task_uuid[:8]} ({what})"
