"""Several jobs that belong together, such as one operation on each of several results."""

from __future__ import annotations

import collections
import concurrent.futures
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, overload

from ..core.chaining import METHODS, Operations
from ..core.results import Outcome
from ..errors import TransportTimeout
from ..loop import WaitInterrupted, wait, wait_async
from ..printable import printable
from .jobs import Job

__all__ = ["JobGroup"]


class JobGroup(Sequence[Job], Operations["JobGroup"]):
    """Jobs in a fixed order, such as those of `outcome.upscale(2)` for an outcome of several results.

    `result()` and `await` wait for all of them. As the last line of a cell, a group shows each job in a place that is
    filled when its results are here. It has the operations as methods: each acts on every result of every job.

    Args:
        jobs: The jobs, at least one.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = tuple(jobs)

    @overload
    def __getitem__(self, index: int) -> Job: ...
    @overload
    def __getitem__(self, index: slice) -> JobGroup: ...
    def __getitem__(self, index: int | slice) -> Job | JobGroup:
        return JobGroup(self._jobs[index]) if isinstance(index, slice) else self._jobs[index]

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def is_done(self) -> bool:
        """Whether all jobs have ended."""
        return all(job.is_done for job in self._jobs)

    def result(self, timeout_s: float | None = None) -> list[Outcome]:
        """Wait for all jobs, and return their outcomes in order. Stop ends the wait, as for `Job.result`.

        Args:
            timeout_s: Longest wait for all of them together, in seconds.

        Raises:
            TaskError: A job failed; the first error in order. All jobs have ended by then: `group[2].result()` returns
                the outcome of another one, and nothing of it is lost.
            TransportTimeout: The time is over; the jobs go on.
            WaitInterrupted: Stop was pressed; see `Job.result`.
        """
        ended = self._all_ended()
        try:
            wait(ended, timeout_s=timeout_s)
        except KeyboardInterrupt:
            job = self._first_unfinished()
            raise WaitInterrupted(job.owner.stop(job)) from None
        except TransportTimeout:
            self._first_unfinished().result(timeout_s=0.0)  # it raises, and the sentence names its run
        return [job.future.result() for job in self._jobs]

    def __await__(self) -> Generator[Any, None, list[Outcome]]:
        def let_go(is_stop: bool) -> str:
            job = self._first_unfinished()
            if is_stop:
                return job.owner.stop(job)
            for each in self._jobs:
                each.detach()
            return job.goes_on("Stopped waiting")

        yield from wait_async(self._all_ended(), on_cancelled=let_go)
        return [job.future.result() for job in self._jobs]

    def cancel(self) -> int:
        """Cancel the jobs that were not sent yet, at no cost; return how many were cancelled."""
        return sum(job.cancel() for job in self._jobs)

    def _all_ended(self) -> concurrent.futures.Future[None]:
        """Return a future that is resolved when every job has ended, in whichever way."""
        ended: concurrent.futures.Future[None] = concurrent.futures.Future()
        left = {id(job) for job in self._jobs}

        def note(job: Job) -> None:
            left.discard(id(job))  # one step in every version of Python, from whichever thread
            if not left and not ended.done():
                try:
                    ended.set_result(None)
                except concurrent.futures.InvalidStateError:
                    return  # the last two jobs have ended at the same moment

        for job in self._jobs:
            job.future.add_done_callback(lambda _, job=job: note(job))  # type: ignore[misc]
        if not self._jobs:
            ended.set_result(None)
        return ended

    def _first_unfinished(self) -> Job:
        return next((job for job in self._jobs if not job.is_done), self._jobs[-1])

    def _perform(self, method: str, values: Mapping[str, Any]) -> JobGroup:
        group: JobGroup = self._jobs[0].owner.performer(METHODS[method], self, values)
        return group

    def __repr__(self) -> str:
        states = collections.Counter("waiting" if job.is_queued else job.state.value for job in self._jobs)
        return printable(f"<JobGroup of {len(self._jobs)}: {', '.join(f'{n} {state}' for state, n in states.items())}>")

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(
            "A group of jobs belongs to its process and cannot be pickled. Pass its outcomes, group.result(), or the "
            "UUID of each job."
        )

    def _ipython_display_(self) -> None:
        """Show each job in the cell, in a place of its own that is filled when its results are here."""
        for job in self._jobs:
            job.owner.show_job(job)
