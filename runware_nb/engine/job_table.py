"""The jobs in progress of one session, found by task UUID, by request, and by the cell that submitted them."""

from __future__ import annotations

import collections
from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING

from ..forking import disconnect, make_lock, restart_after_fork

if TYPE_CHECKING:
    from .jobs import Job

__all__ = ["JobTable"]

_MOST_ENDED = 4096
"""Requests whose end is remembered: more cannot end between a look into the log and the start of a job."""
_MOST_SCOPES = 256
"""Cells whose number of sent runs is remembered for the message of Stop."""


class JobTable:
    """Jobs that are not finished. It can be used from any thread, and no method does I/O."""

    def __init__(self) -> None:
        self._lock = make_lock()
        restart_after_fork(self)
        self._clear()

    def restart_in_child(self) -> None:
        """Forget all jobs after a fork: they belong to the parent, which goes on with them."""
        disconnect((), self._by_uuid, self._by_hash)
        self._clear()

    def _clear(self) -> None:
        self._by_uuid: dict[str, Job] = {}
        self._by_hash: dict[str, list[Job]] = {}
        self._sent: collections.OrderedDict[Hashable, int] = collections.OrderedDict()
        self._ended: collections.OrderedDict[str, int] = collections.OrderedDict()
        self._number_ended = 0

    @property
    def number_ended(self) -> int:
        """How many jobs have ended so far."""
        return self._number_ended

    def add_or_get(self, job: Job) -> Job:
        """Add a job, unless its run has one in progress already; return the one that is in the table."""
        with self._lock:
            present = self._by_uuid.get(job.task_uuid)
            if present is None:
                self._insert(job)
            return present or job

    def add_if_new(self, job: Job, *, since: int) -> bool:
        """Add a job unless the same request may have been answered meanwhile; return whether it was added.

        Between the look into the log and this call, another thread may have submitted the same request, and that job
        may even have ended. The caller then looks again, instead of paying for the request a second time.

        Args:
            job: A new job.
            since: The value of `number_ended` before the caller looked into the log.
        """
        with self._lock:
            if job.task_uuid in self._by_uuid:
                return False
            if job.record.is_joinable and self._may_be_known(job.record.request_hash, since):
                return False
            self._insert(job)
            return True

    def get(self, task_uuid: str) -> Job | None:
        """Return the job of a run; None if it is not in progress here."""
        with self._lock:
            return self._by_uuid.get(task_uuid)

    def starting_with(self, beginning: str) -> Job | None:
        """Return a job whose task UUID begins so; None if there is none."""
        with self._lock:
            return next((job for name, job in self._by_uuid.items() if name.startswith(beginning)), None)

    def twin(self, request_hash: str) -> Job | None:
        """Return the job in progress that makes the very same request; None if there is none."""
        with self._lock:
            return self._twin(request_hash)

    def unsent(self) -> list[Job]:
        """List the jobs that wait for their turn, oldest first; one of them may be sent at this moment."""
        with self._lock:
            jobs = list(self._by_uuid.values())
        return [job for job in jobs if job.is_queued]

    def count_sent(self, scope: Hashable) -> None:
        """Count a run that a cell has sent."""
        with self._lock:
            self._sent[scope] = self._sent.get(scope, 0) + 1
            self._sent.move_to_end(scope)
            while len(self._sent) > _MOST_SCOPES:
                self._sent.popitem(last=False)

    def count_unsent(self, scope: Hashable) -> None:
        """Undo the counting of a run as sent, because its service refused it."""
        with self._lock:
            if self._sent.get(scope):
                self._sent[scope] -= 1

    def sent_by(self, scope: Hashable) -> int:
        """Return how many runs a cell has sent so far."""
        with self._lock:
            return self._sent.get(scope, 0)

    def __iter__(self) -> Iterator[Job]:
        with self._lock:
            return iter(list(self._by_uuid.values()))

    def __len__(self) -> int:
        with self._lock:
            return len(self._by_uuid)

    def _insert(self, job: Job) -> None:
        # A job that joins the run of another kernel changes its record, so its keys are remembered as they are now.
        uuid, request_hash = job.task_uuid, job.record.request_hash
        self._by_uuid[uuid] = job
        self._by_hash.setdefault(request_hash, []).append(job)
        job.future.add_done_callback(lambda _: self._remove(job, uuid, request_hash))

    def _may_be_known(self, request_hash: str, since: int) -> bool:
        if self._twin(request_hash) is not None or self._ended.get(request_hash, 0) > since:
            return True
        return self._number_ended - since > _MOST_ENDED  # the hash may have been dropped from the list

    def _twin(self, request_hash: str) -> Job | None:
        for job in self._by_hash.get(request_hash, ()):
            if not (job.is_done or job.is_recorded or job.is_withdrawn):
                return job
        return None

    def _remove(self, job: Job, uuid: str, request_hash: str) -> None:
        with self._lock:
            self._number_ended += 1
            self._ended[request_hash] = self._number_ended
            self._ended.move_to_end(request_hash)
            while len(self._ended) > _MOST_ENDED:
                self._ended.popitem(last=False)
            for name in (uuid, job.task_uuid):
                if self._by_uuid.get(name) is job:
                    del self._by_uuid[name]
            jobs = self._by_hash.get(request_hash, [])
            if job in jobs:
                jobs.remove(job)
            if not jobs:
                self._by_hash.pop(request_hash, None)
