"""The one way from a task to its job: joined, answered from the log, replayed, or sent."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.bindings import operation_name, operation_of_task
from ..core.canonical import request_hash
from ..core.items import Item
from ..core.media_fields import holds_media, replace_media
from ..core.money import format_amount
from ..core.redaction import known_secrets
from ..core.tasks import Task, is_uuid, prepare, prompt_of
from ..errors import RunLogError, TaskInvalid
from ..loop import background_loop, wait
from ..media.incoming import is_sendable
from ..providers.runware.catalog import find_model
from ..reprs import short_repr
from ..runlog import RunRecord
from ..settings import remember_secrets
from .consent import Priced, priced
from .context import CellContext, environment_snapshot
from .execution import utc_now
from .input_lineage import by_content, look_into, parent_of, storable_request
from .jobs import Job
from .replay_lookup import find_replay
from .uses import record_use

if TYPE_CHECKING:
    from .session import Plan, Session

__all__ = ["Labels", "Submission", "answer_from_log", "submit", "submit_all"]

_LARGEST_SEED = 2**31


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What goes into the log with a run.

    Attributes:
        template: The prompt as typed, before names were filled in.
        tags: Labels.
        note: A note.
        replay_of: The run that is to be made again.
        context: The cell it belongs to; the running one where None.
    """

    template: str | None = None
    tags: tuple[str, ...] = ()
    note: str | None = None
    replay_of: str | None = None
    context: CellContext | None = None


def submit(session: Session, task: Task, labels: Labels, *, fresh: bool, agreed: bool) -> Job:
    """Submit one task. See `Session.submit`."""
    return submit_all(session, [task], labels, fresh=fresh, agreed=agreed)[0]


def submit_all(
    session: Session, tasks: Sequence[Task], labels: Labels, *, fresh: bool, agreed: bool, as_is: bool = False
) -> list[Job]:
    """Submit tasks as one batch: all are checked, and the user agrees to all of them, before the first is sent.

    This is the only way by which a task leaves a session. See `Session.submit_all`.
    """
    plans = [session.plan(task, as_is=as_is) for task in tasks]
    if session.settings.mode == "replay":
        _refuse_keys(plans, labels)
        jobs = []
        for plan in plans:
            context = labels.context or session.context()
            job = answer_from_log(session, find_replay(session, plan.task, context), "replayed")
            record_use(session, job, context, tags=labels.tags, note=labels.note, how="replayed")
            jobs.append(job)
        return jobs
    session.require_key()
    _refuse_keys(plans, labels)
    submissions = [Submission(session, plan, labels, fresh=fresh, as_is=as_is) for plan in plans]
    known = [submission.find_known() for submission in submissions]
    # The same request twice in a batch is sent once: the second joins the first, and costs nothing.
    unsent = {
        submission.identity: submission for submission, job in zip(submissions, known, strict=True) if job is None
    }
    session.consent.require(
        [submission.priced for submission in unsent.values()],
        context=labels.context or session.context(counts=False),
        agreed=agreed,
    )
    return [
        submission.start() if job is None else submission.use(job)
        for submission, job in zip(submissions, known, strict=True)
    ]


class Submission:
    """A task that has been checked, hashed and brought into the form in which it is sent.

    Args:
        session: Whose client and log are used.
        plan: The checked task.
        labels: What the log records with the run.
        fresh: Whether a recorded answer is ignored.
        as_is: Whether the task is sent exactly as it is written.
    """

    def __init__(self, session: Session, plan: Plan, labels: Labels, *, fresh: bool, as_is: bool) -> None:
        self._session = session
        self._plan = plan
        self._labels = labels
        self._fresh = fresh
        self._as_is = as_is
        self._seen_ended = 0
        self._unsent: RunRecord | None = None
        self._how = "joined"
        self._inputs = [] if as_is and not _is_all_sendable(plan.task) else look_into(session, plan.task)
        named = by_content(plan.task, self._inputs)
        provider = session.settings.service
        self._asked = self._sent = request_hash(named, service=provider)
        self._seed_given = plan.task.get("seed") is not None
        self._names_uuid = plan.task.get("taskUUID") is not None
        if as_is:
            self._wire = dict(plan.task)
        else:
            wire = plan.task
            seed = None if self._seed_given else _pick_seed(session, plan.task)
            if seed is not None:
                wire = {**wire, "seed": seed}
                self._sent = request_hash({**named, "seed": seed}, service=provider)
            self._wire = prepare(wire, new_uuid=_new_uuid)
        self._wire["taskUUID"] = self._wire.get("taskUUID") or _new_uuid()
        if not is_uuid(str(self._wire["taskUUID"])):
            raise TaskInvalid(
                f"Invalid taskUUID {self._wire['taskUUID']!r}: expected a UUID. Nothing was sent. Leave taskUUID out "
                "to get a new one.",
                parameter="taskUUID",
            )
        operation = operation_of_task(self._wire["taskType"])
        # Without a seed only a deterministic operation has one answer, so that a recorded or a running one is as good.
        self._is_joinable = self._seed_given or (operation is not None and operation.deterministic)

    @property
    def priced(self) -> Priced:
        """What the user is asked to agree to."""
        return priced(self._plan.task, self._plan.price)

    @property
    def identity(self) -> str:
        """What is sent once: the request if another may join it, else the task UUID."""
        return self._sent if self._is_joinable else str(self._wire["taskUUID"])

    def find_known(self) -> Job | None:
        """Find the same request in progress, or its recorded answer; None if it has to be sent."""
        self._seen_ended = self._session.jobs.number_ended
        self._how = "joined"
        if self._names_uuid:
            job = self._find_uuid()
            if job is not None:
                return job
        if not self._is_joinable:
            return None
        job = self._session.runs.find_twin(self._sent)
        if job is not None:
            return job
        record = self._session.runs.find_logged_twin(self._sent)
        if record is not None and record.attempts:
            self._upload_media()
            return self._session.runs.join(record, self._wire)
        # Nobody has sent that run yet. This request adopts it, after the user has agreed to its cost.
        self._unsent = record
        if self._fresh or record is not None:
            return None
        self._how = "recorded"
        return _find_recorded(self._session, self._sent)

    def start(self) -> Job:
        """Write the run to the log and send it; or join the same request that another thread has just submitted."""
        self._upload_media()
        context = self._labels.context or self._session.context()
        job = Job(self._session, self._record(context), is_new=True)
        job.scope, job.as_is = context.scope, self._as_is
        job.notices.extend(self._plan.warnings)
        known: Job | None = None
        while known is None:
            unsent = self._unsent
            if unsent is not None:
                return self.use(self._session.runs.join(unsent, self._wire), context)
            if self._session.jobs.add_if_new(job, since=self._seen_ended):
                return self._session.runs.execute(job, self._wire, context.cell_source)
            known = self.find_known()
        return self.use(known, context)

    def use(self, job: Job, context: CellContext | None = None) -> Job:
        """Record that this cell uses the answer of a job that it did not send; return the job."""
        context = context or self._labels.context or self._session.context()
        labels = self._labels
        record_use(self._session, job, context, tags=labels.tags, note=labels.note, how=self._how)
        return job

    def _upload_media(self) -> None:
        """Upload the media that the task contains, once the user has agreed to its cost."""
        if not self._as_is:
            self._wire = _with_media(self._session, self._wire)

    def _find_uuid(self) -> Job | None:
        """Find the run of a task that names its own UUID: a UUID is sent once, and then it is asked about."""
        name = str(self._wire["taskUUID"])
        running = self._session.jobs.get(name)  # its row may not be in the log yet
        if running is not None and running.record.request_hash == self._sent:
            return running
        try:
            record = self._session.log.find(name) if running is None else running.record
        except RunLogError:
            return None  # a new UUID; any other fault of the log is met again when the run is written
        if record.request_hash != self._sent or record.is_imported:
            raise TaskInvalid(
                f"The log has another request under taskUUID {name}. Nothing was sent. Leave taskUUID out to get a new "
                "one.",
                parameter="taskUUID",
            )
        if record.attempts == 0 and not record.is_finished:
            self._unsent = record
            return None
        if record.is_finished and not any(result.error is None for result in record.results):
            raise TaskInvalid(
                f"Run {name} ended without a result ({record.state.value}) and cannot be sent again under the same "
                "taskUUID. Nothing was sent. Leave taskUUID out to send the task as a new run.",
                parameter="taskUUID",
            )
        return self._session.job(record.task_uuid)

    def _record(self, context: CellContext) -> RunRecord:
        wire, labels = self._wire, self._labels
        return RunRecord(
            task_uuid=wire["taskUUID"], attempt_uuid=wire["taskUUID"], provider=self._session.settings.service,
            task_type=wire["taskType"], model=wire.get("model"), request=storable_request(wire),
            request_hash=self._sent, asked_hash=self._asked, created_at_utc=utc_now(), prompt_template=labels.template,
            prompt=prompt_of(wire), notebook=context.notebook, cell_id=context.cell_id, cell_hash=context.cell_hash,
            cell_ordinal=context.cell_ordinal, execution_count=context.execution_count, kernel=context.kernel,
            environment_hash=environment_snapshot()[0], tags=tuple(dict.fromkeys(labels.tags)), note=labels.note,
            inputs=[each.as_item() for each in self._inputs], parent_uuid=parent_of(self._inputs),
            replay_of=labels.replay_of, seed_given=self._seed_given, is_joinable=self._is_joinable,
            estimate=self._plan.price.usd, operation=operation_name(wire["taskType"]),
        )  # fmt: skip


def _refuse_keys(plans: Sequence[Plan], labels: Labels) -> None:
    """Raise if a request, or what the log records with it, contains a key that this process knows.

    It is refused, and not redacted: a request that differs from what is stored could not be sent again, and a prompt
    with a key is a mistake that its author must know of before it is sent.

    Raises:
        TaskInvalid: It does; the message names the place, and not the key.
    """
    remember_secrets()
    typed = {"prompt": labels.template, "note": labels.note, "tags": list(labels.tags)}
    for values in (*(plan.task for plan in plans), typed):
        path = _find_key("", values)
        if path is not None:
            raise TaskInvalid(
                f"Invalid {path}: it contains an API key or another secret of this session. Nothing was sent or "
                "stored. Remove it. If the notebook was shared, replace the key.",
                parameter=path,
            )


def _find_key(path: str, value: Any) -> str | None:
    """Return the path of the first text in a value that contains a known secret; None if there is none."""
    if isinstance(value, str):
        return path if known_secrets.is_in(value) else None
    if isinstance(value, Mapping):
        if known_secrets.is_in("\n".join(map(str, value))):
            return path or "parameter name"
        inner = ((f"{path}.{name}" if path else name, part) for name, part in value.items())
    elif isinstance(value, list | tuple):
        inner = ((f"{path}[{number}]", part) for number, part in enumerate(value))
    else:
        return None
    return next((place for name, part in inner if (place := _find_key(name, part)) is not None), None)


def _new_uuid() -> str:
    return str(uuid.uuid4())


def _is_all_sendable(task: Mapping[str, Any]) -> bool:
    """Return whether every medium of a task is written as the service takes it: a URL, a UUID or inline data."""
    media: list[Any] = []
    if holds_media(task):
        replace_media(task, media.append)
    return all(isinstance(value, str) and is_sendable(value) for value in media)


def answer_from_log(session: Session, record: RunRecord, how: str) -> Job:
    """Return a job that answers with a finished run, and send nothing."""
    job = Job(session, record, is_new=False)
    job.is_recorded = True
    made = record.created_at_utc[:16].replace("T", " ")
    remedy = "" if how == "replayed" else "; `--fresh` asks the service again"
    cost = format_amount(record.cost, record.cost_unit)
    then = "" if record.cost is None else f" (it cost {cost} when it was generated)"
    job.notices.append(f"{how}: run {record.task_uuid[:8]} of {made} UTC answered at $0.00{then}{remedy}")
    return session.runs.start(job, dict(record.request), None)


def _find_recorded(session: Session, hashed: str) -> Job | None:
    """Find a run of the very same request that succeeded.

    It answers even if its files are not on this machine: they were paid for. They are downloaded again if the service
    still has them, and otherwise the answer states what is missing.
    """
    try:
        record = session.log.find_recorded(hashed)
    except RunLogError:
        return None
    if record is None or not record.results or any(result.error is not None for result in record.results):
        return None
    return answer_from_log(session, record, "recorded")


def _with_media(session: Session, task: Item) -> Item:
    """Upload what a task brings along; most bring nothing."""
    if not holds_media(task):
        return task
    found: list[Any] = []
    replace_media(task, lambda value: found.append(value) if not is_sendable(value) else None)
    return wait(background_loop().submit(session.client().prepare_media(task))) if found else task


def _pick_seed(session: Session, task: Mapping[str, Any]) -> int | None:
    """Pick a seed where the model takes one, so that every image can be made again."""
    model = find_model(str(task.get("model", "")))
    rules = session.runs.known_rules(task)
    takes_seed = "seed" in rules.names if rules is not None else model is not None and model.takes_seed
    if not takes_seed:
        return None
    count = task.get("numberResults", 1)
    return session.chance.randrange(1, _LARGEST_SEED - (count if isinstance(count, int) else 1))
