"""Finding runs again: in progress in this kernel, unfinished in the log, or recorded."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any

from ..core.items import Item
from ..core.redaction import REDACTED
from ..errors import ConfigError, RunLogError
from ..loop import background_loop
from ..remedies import CHANGE_SERVICE
from ..runlog import RunRecord, State
from .executor import Executor
from .input_lineage import restore_inputs
from .job_table import JobTable
from .jobs import Job, JobOwner
from .media_recovery import MediaRecovery
from .ports import Ports

if TYPE_CHECKING:
    from ..runlog import RunLog

__all__ = ["KnownRuns"]


class KnownRuns:
    """Finds runs again and joins them, so that nothing is paid for twice.

    Args:
        ports: Log and services.
        owner: Carries out the wishes of the jobs that are built here.
        jobs: The jobs in progress.
        executor: Brings them to their ends.
        recovery: Finds the files that a run was made from.
    """

    def __init__(
        self, ports: Ports, owner: JobOwner, jobs: JobTable, executor: Executor, recovery: MediaRecovery
    ) -> None:
        self._ports = ports
        self._owner = owner
        self._jobs = jobs
        self._executor = executor
        self._recovery = recovery

    def job(self, ref: str) -> Job:
        """Take up a run again, in this kernel or the next.

        Args:
            ref: Task UUID, or its first characters (4 or more).

        Raises:
            RunNotFound: None fits, or more than one.
        """
        running = self._jobs.starting_with(ref.lower()) if len(ref) >= 4 else None
        if running is not None:
            return running
        record = self._ports.log.find(ref)
        running = self._jobs.get(record.task_uuid)
        if running is not None:
            return running
        self._check_owner(record)
        task = {**record.request, "taskUUID": record.attempt_uuid}
        return self._executor.start(Job(self._owner, record, is_new=False), task, None)

    def resume_run(self, record: RunRecord, *, sends: bool) -> Job:
        """Resume an unfinished run of an earlier kernel.

        Args:
            record: The run as the log has it.
            sends: Whether it may be sent: a run that was never sent, or one that the service does not know, under its
                own UUID.
        """
        self._check_owner(record)
        was_never_sent = record.attempts == 0
        job = Job(self._owner, record, is_new=was_never_sent and sends, resends=sends)
        job.is_logged = True
        job.scope = self._ports.context(counts=False).scope
        request = _sendable(record.request)
        if job.is_new or sends:
            request = restore_inputs(self._recovery.find_file, request, record.inputs)
        return self._executor.start(job, {**request, "taskUUID": record.attempt_uuid}, None)

    def belongs_here(self, record: RunRecord) -> bool:
        """Return whether a run is finished, or belongs to the service in use."""
        return record.is_finished or self._ports.serves(record.provider)

    def _check_owner(self, record: RunRecord) -> None:
        """Raise if another service has an unfinished run: this one does not know it, and would bill it when sent.

        Raises:
            ConfigError: The run belongs to another service.
        """
        if not self.belongs_here(record):
            raise ConfigError(
                f"Run {record.task_uuid[:8]} belongs to the service {record.provider!r}, and "
                f"{self._ports.settings.service!r} is in use. Nothing was sent."
            ).with_remedy(CHANGE_SERVICE)

    def find_twin(self, request_hash: str) -> Job | None:
        """Find a run of the very same request that this kernel has in progress; None if there is none."""
        job = self._jobs.twin(request_hash)
        if job is not None and job.state is State.DISCARDED:
            job.record.state = State.DETACHED
            self._restore(job.record)
        return job

    def find_logged_twin(self, request_hash: str) -> RunRecord | None:
        """Find an unfinished run of the very same request in the log, of an earlier kernel or another one.

        A run that was never sent counts only if it is joinable.
        """
        try:
            record = self._ports.log.find_twin(request_hash)
        except RunLogError:
            return None  # the run itself meets the same fault, and reports it
        return None if record is None or (record.attempts == 0 and not record.is_joinable) else record

    def join(
        self, record: RunRecord, task: Item, *, scope: Hashable, on_added: Callable[[Job], None] | None = None
    ) -> Job:
        """Join an unfinished run of the very same request.

        It is sent only if no kernel has sent it. A run whose kernel died may not have arrived: then it is sent again,
        under its own UUID.

        Args:
            record: The run.
            task: The request.
            scope: The cell that makes the request: Stop in this cell withdraws the run if it was not sent.
            on_added: See `Executor.start`.
        """
        if record.state is State.DISCARDED:
            self._restore(record)
        task = {**task, "taskUUID": record.attempt_uuid}
        return self._executor.start(self.joined(record, scope), task, None, on_added=on_added)

    def joined(self, record: RunRecord, scope: Hashable) -> Job:
        """Build the job that joins an unfinished run."""
        job = Job(self._owner, record, is_new=record.attempts == 0, resends=True)
        job.is_logged = job.is_joined = True
        job.scope = scope
        job.notices.append(f"Joined run {record.task_uuid[:8]}, which was already in progress.")
        return job

    def _restore(self, record: RunRecord) -> None:
        """Show a discarded run again, since the same request was made again."""
        record.state = State.DETACHED
        if self._ports.has_log:
            background_loop().submit(_restore(self._ports.log, record.task_uuid))

    def pending(self) -> list[RunRecord]:
        """Return the runs that are not finished, whichever kernel began them.

        Raises:
            RunLogError: The log cannot be read.
        """
        return self._ports.log.pending()


def _sendable(request: Mapping[str, Any]) -> Item:
    """Leave out addresses whose secrets were not written to disk: without them they lead nowhere."""
    return {name: value for name, value in request.items() if not (isinstance(value, str) and REDACTED in value)}


async def _restore(log: RunLog, task_uuid: str) -> None:
    with contextlib.suppress(RunLogError):
        await log.restore(task_uuid)
