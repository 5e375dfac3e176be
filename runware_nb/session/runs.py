"""The runs of a session: planned, submitted, found again, and joined."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.items import Item
from ..core.media_fields import holds_media, replace_media
from ..core.redaction import REDACTED
from ..core.tasks import ImageTask, Task, as_wire
from ..errors import ConfigError, RunLogError, TaskError
from ..forking import disconnect, restart_after_fork
from ..loop import background_loop
from ..media.incoming import is_sendable
from ..providers.runware.catalog import Rulebook, check_task, find_model, place_media, rulebook_of
from ..providers.runware.classify import task_error
from ..remedies import CHANGE_SERVICE
from ..reprs import short_repr
from ..runlog import RunRecord, State
from .context import CellContext
from .estimates import Estimate, estimate
from .execution import drive
from .input_lineage import put_back
from .jobs import Job
from .schema_refresh import FreshSchemas
from .submission import Labels, submit, submit_all

if TYPE_CHECKING:
    from ..runlog import RunLog
    from .session import Session

__all__ = ["Plan", "Runs"]


@short_repr()
@dataclass(slots=True)
class Plan:
    """What would be sent.

    Attributes:
        task: In wire spelling, complete but for the seed that would be picked.
        warnings: What the catalogue does not know.
        price: What it is likely to cost, and how that is known.
    """

    task: Item
    warnings: list[str]
    price: Estimate


class Runs:
    """Everything that starts a run or finds one again.

    Args:
        session: Whose runs these are.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._price_locks: dict[str, asyncio.Lock] = {}
        self._kept: set[asyncio.Task[None]] = set()
        self._fresh = FreshSchemas(session)
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Start again after a fork: the parent goes on with its runs."""
        disconnect((), self._kept, self._fresh)
        self._price_locks, self._kept = {}, set()
        self._fresh = FreshSchemas(self._session)

    def plan(self, task: Task, *, as_is: bool = False) -> Plan:
        """Complete and check a task without sending it.

        Args:
            task: A dict in wire spelling, or a typed task.
            as_is: Whether the task is left exactly as it is written, and not checked.

        Raises:
            TaskInvalid: The service would refuse it; the message states what to change.
        """
        if as_is:
            wire = dict(task.to_wire() if isinstance(task, ImageTask) else task)
            return Plan(wire, [], estimate(self._session, wire))
        wire = as_wire(task)
        wire.setdefault("taskType", "imageInference")
        if isinstance(wire.get("model"), str):
            wire["model"] = self._session.aliases.air_of(wire["model"])
        rules = self._fresh.rules_for(wire)
        wire = place_media(wire, schema=None if rules is None else rules.schema)
        shown = wire
        if holds_media(wire):
            shown = replace_media(wire, lambda value: value if is_sendable(value) else "<medium>")
        warnings = check_task(shown, rules=rules)
        refused = self._fresh.take_notice(wire)
        return Plan(wire, warnings if refused is None else [refused, *warnings], estimate(self._session, wire))

    def rules_for(self, name: str) -> Rulebook | None:
        """Give what a model takes: fresh from the schema service where it answers, else as bundled.

        Args:
            name: AIR identifier, slug, name or alias.
        """
        air = self._session.aliases.air_of(name)
        model = find_model(air)
        fresh = self._fresh.rules_for({"model": air, "taskType": "imageInference"})
        return fresh or (rulebook_of(model) if model is not None else None)

    def known_rules(self, task: Mapping[str, Any]) -> Rulebook | None:
        """Give the rules for a task's model that are fresher than the bundled ones, as far as they are here."""
        return self._fresh.known(task)

    def check_refused(self, name: str, consequence: str) -> None:
        """Check that the schema of a model was not refused.

        Args:
            name: AIR identifier, slug, name or alias.
            consequence: A sentence on what is missing without a schema.

        Raises:
            ConfigError: It was refused; the model can still be used.
        """
        air = self._session.aliases.air_of(name)
        reason = self._fresh.refusal(air)
        if reason is not None:
            raise ConfigError(
                f"The schema of model {air} is not used: {reason}. {consequence} "
                "Cells and rw.run() accept the model; the service checks its parameters."
            )

    def submit(
        self,
        task: Task,
        *,
        template: str | None = None,
        tags: str | Sequence[str] = (),
        note: str | None = None,
        fresh: bool = False,
        agreed: bool = False,
        replay_of: str | None = None,
        context: CellContext | None = None,
    ) -> Job:
        """Start a task in the background.

        Args:
            task: A dict in wire spelling, or a typed task.
            template: The prompt as typed, before names were filled in.
            tags: Labels for the log.
            note: A note for the log.
            fresh: Whether it is asked again although the log has the answer.
            agreed: Whether its price was agreed to, however high.
            replay_of: The run that is to be made again.
            context: The cell it belongs to, where that is not the one that is running: a form's.

        Returns:
            Its job. The same request with a seed of the user's own (operations on media need none) is answered from
            the log, at no cost, if it has succeeded before; if it is still running, it is joined. In replay mode
            everything is answered from the log.

        Raises:
            TaskInvalid: The service would refuse it.
            ConfigError: There is no key.
            NotConfirmed: It costs more than is sent without a yes, and there was none.
            NotRecorded: Replay mode has no record of it.
        """
        labels = Labels(
            template=template, tags=_as_tuple(tags), note=note, replay_of=replay_of, context=context
        )  # fmt: skip
        self._session.storage.apply_budget()
        return submit(self._session, task, labels, fresh=fresh, agreed=agreed)

    def submit_all(
        self,
        tasks: Sequence[Task],
        *,
        tags: str | Sequence[str] = (),
        note: str | None = None,
        fresh: bool = False,
        agreed: bool = False,
        as_is: bool = False,
    ) -> list[Job]:
        """Start several tasks as one batch.

        All of them are checked before the first is sent. There is at most one question about the cost, and a budget
        that cannot cover the batch refuses it as a whole.

        Args:
            tasks: Each a dict in wire spelling, or a typed task.
            tags: Tags for the log.
            note: A note for the log.
            fresh: Whether recorded answers are ignored.
            agreed: Whether the user agreed to the cost beforehand.
            as_is: Whether the tasks are sent exactly as they are written: unchecked, and completed only by a task UUID.

        Returns:
            A job for each task, in the same order.

        Raises:
            TaskInvalid: The service would refuse one of them. Nothing was sent.
            NotConfirmed: The user did not agree to the cost, or this session cannot ask. Nothing was sent.
            BudgetExceeded: A budget cannot cover the batch. Nothing was sent.
        """
        self._session.storage.apply_budget()
        return submit_all(
            self._session, tasks, Labels(tags=_as_tuple(tags), note=note), fresh=fresh, agreed=agreed, as_is=as_is
        )

    def job(self, ref: str) -> Job:
        """Take up a run again, in this kernel or the next.

        Args:
            ref: Task UUID, or its first characters (4 or more).

        Raises:
            RunNotFound: None fits, or more than one.
        """
        running = self._session.jobs.starting_with(ref.lower()) if len(ref) >= 4 else None
        if running is not None:
            return running
        record = self._session.log.find(ref)
        running = self._session.jobs.get(record.task_uuid)
        if running is not None:
            return running
        self._check_owner(record)
        task = {**record.request, "taskUUID": record.attempt_uuid}
        return self.start(Job(self._session, record, is_new=False), task, None)

    def take_up(self, record: RunRecord, *, sends: bool) -> Job:
        """Resume an unfinished run of an earlier kernel.

        Args:
            record: The run as the log has it.
            sends: Whether it may be sent: a run that was never sent, or one that the service does not know, under its
                own UUID.
        """
        self._check_owner(record)
        was_never_sent = record.attempts == 0
        job = Job(self._session, record, is_new=was_never_sent and sends, resends=sends)
        job.is_logged = True
        job.scope = self._session.context(counts=False).scope
        request = _sendable(record.request)
        if job.is_new or sends:
            request = put_back(self._session, request, record.inputs)
        return self.start(job, {**request, "taskUUID": record.attempt_uuid}, None)

    def belongs_here(self, record: RunRecord) -> bool:
        """Return whether a run is finished, or belongs to the service in use."""
        return record.is_finished or record.provider == self._session.settings.service

    def _check_owner(self, record: RunRecord) -> None:
        """Raise if another service has an unfinished run: this one does not know it, and would bill it when sent.

        Raises:
            ConfigError: The run belongs to another service.
        """
        if not self.belongs_here(record):
            raise ConfigError(
                f"Run {record.task_uuid[:8]} belongs to the service {record.provider!r}, and "
                f"{self._session.settings.service!r} is in use. Nothing was sent."
            ).with_remedy(CHANGE_SERVICE)

    def find_twin(self, request_hash: str) -> Job | None:
        """Find a run of the very same request that this kernel has in progress; None if there is none."""
        job = self._session.jobs.twin(request_hash)
        if job is not None and job.state is State.DISCARDED:
            job.record.state = State.DETACHED
            self._restore(job.record)
        return job

    def find_logged_twin(self, request_hash: str) -> RunRecord | None:
        """Find an unfinished run of the very same request in the log, of an earlier kernel or another one.

        A run that was never sent counts only if it is joinable.
        """
        try:
            record = self._session.log.find_twin(request_hash)
        except RunLogError:
            return None  # the run itself meets the same fault, and reports it
        return None if record is None or (record.attempts == 0 and not record.is_joinable) else record

    def join(self, record: RunRecord, task: Item) -> Job:
        """Join an unfinished run of the very same request.

        It is sent only if no kernel has sent it. A run whose kernel died may not have arrived: then it is sent again,
        under its own UUID.
        """
        if record.state is State.DISCARDED:
            self._restore(record)
        return self.start(self.joined(record), {**task, "taskUUID": record.attempt_uuid}, None)

    def joined(self, record: RunRecord) -> Job:
        """Build the job that joins an unfinished run."""
        job = Job(self._session, record, is_new=record.attempts == 0, resends=True)
        job.is_logged = job.is_joined = True
        job.scope = self._session.context(counts=False).scope
        job.notices.append(f"Joined run {record.task_uuid[:8]}, which was already in progress.")
        return job

    def start(self, job: Job, task: Item, cell_source: str | None) -> Job:
        """Bring a job to its end in the background; if its run is in progress here already, return that job."""
        present = self._session.jobs.add_or_get(job)
        return self.execute(job, task, cell_source) if present is job else present

    def execute(self, job: Job, task: Item, cell_source: str | None) -> Job:
        """Bring a job of the table to its end in the background."""
        background_loop().submit(drive(self._session, job, task, cell_source=cell_source))
        return job

    def _restore(self, record: RunRecord) -> None:
        """Show a discarded run again, since the same request was made again."""
        record.state = State.DETACHED
        if self._session.has_log:
            background_loop().submit(_restore(self._session.log, record.task_uuid))

    def pending(self) -> list[RunRecord]:
        """List runs that are not finished, whichever kernel began them.

        Raises:
            RunLogError: The log cannot be read.
        """
        return self._session.log.pending()

    def price_lock(self, kind: str) -> asyncio.Lock:
        """Return the lock that lets runs of an unknown price be sent one at a time. On the background loop only."""
        return self._price_locks.setdefault(kind, asyncio.Lock())

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something in the background to its end. On the background loop only."""
        task = asyncio.create_task(work)
        self._kept.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(self._kept.discard)

    def error_of(self, kept: Mapping[str, Any]) -> TaskError:
        """Make the exception of an error as the log keeps it."""
        raw = kept.get("raw")
        return task_error({**(raw if isinstance(raw, dict) else {}), **{k: v for k, v in kept.items() if k != "raw"}})

    def close(self) -> None:
        """Close the connection to the schema service."""
        self._fresh.close()


def _as_tuple(tags: str | Sequence[str]) -> tuple[str, ...]:
    """Return tags as a tuple; one text is one tag, and not its letters."""
    return (tags,) if isinstance(tags, str) else tuple(tags)


def _sendable(request: Mapping[str, Any]) -> Item:
    """Leave out addresses whose secrets were not written to disk: without them they lead nowhere."""
    return {name: value for name, value in request.items() if not (isinstance(value, str) and REDACTED in value)}


async def _restore(log: RunLog, task_uuid: str) -> None:
    with contextlib.suppress(RunLogError):
        await log.restore(task_uuid)
