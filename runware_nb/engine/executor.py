"""Bringing jobs to their ends in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..core.items import Item
from ..errors import RunwareNBError, TransportError
from ..loop import background_loop
from ..remedies import RESUME, Remedy
from .execution import RunExecution, SharedWork
from .jobs import Job

__all__ = ["Executor"]


class Executor:
    """Runs each job on the background loop.

    Args:
        shared: What the runs of the session share.
    """

    def __init__(self, shared: SharedWork) -> None:
        self._shared = shared

    def start(
        self, job: Job, task: Item, cell_source: str | None, *, on_added: Callable[[Job], None] | None = None
    ) -> Job:
        """Bring a job to its end; if its run is in progress here already, return the job of that one.

        Args:
            job: New, or found in the log.
            task: Its task, with the seed picked and the UUID of its last attempt.
            cell_source: Source of its cell, for the log.
            on_added: Called with the job when Stop finds it in the table, and before anything of it is sent. It is not
                called if the run is in progress already.
        """
        present = self._shared.jobs.add_or_get(job)
        if present is not job:
            return present
        if on_added is not None:
            on_added(job)
        return self.execute(job, task, cell_source)

    def execute(self, job: Job, task: Item, cell_source: str | None) -> Job:
        """Bring a job to its end that is in the table already. See `start`."""
        background_loop().submit(self._settle(job, task, cell_source))
        return job

    def _how_to_collect(self) -> str:
        try:
            return self._shared.ports.front_end.remedy(Remedy("{0} collects its results.", (RESUME,)))
        except Exception:  # noqa: BLE001 - whatever a front end raises, whoever waits must hear of the error
            return ""

    async def _settle(self, job: Job, task: Item, cell_source: str | None) -> None:
        """Bring a job to its end and settle it, whatever happens."""
        job.execution = asyncio.current_task()
        try:
            if job.withdrawn is not None:
                raise job.withdrawn
            log = await self._shared.ports.open_log()
            outcome = await RunExecution(self._shared, job, task, log).run(cell_source)
        except asyncio.CancelledError:
            if job.withdrawn is not None:
                job.settle(None, job.withdrawn)
                return
            job.settle(None, TransportError("the session was closed; the task can be collected by the next one"))
            raise
        except BaseException as error:  # noqa: BLE001 - it reaches whoever waits, not this loop's log
            if not isinstance(error, RunwareNBError) and job.is_leaving:
                # The run stays unfinished in the log: the same request joins it, and nothing is paid for twice.
                error.add_note(f"Run {job.task_uuid} may have been charged. {self._how_to_collect()}")
            job.settle(None, error)
        else:
            job.settle(outcome, None)
