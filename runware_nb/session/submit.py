"""From a task to its job: joined, recorded, replayed or new. There is one path, and this is its first half."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..catalog import find_model
from ..errors import RunLogError, TaskInvalid
from ..images.incoming import is_sendable
from ..loop import background_loop, wait
from ..runlog import ResultRecord, RunRecord
from ..wire.canonical import request_hash
from ..wire.frames import Item
from ..wire.places import holds_media, replace_media
from ..wire.tasks import Task, is_uuid, prepare, prompt_of
from .context import CellContext, environment_snapshot
from .jobs import Job
from .lineage import by_content, look_into, parent_of, storable_request
from .money import agree, question_about
from .pipeline import utc_now
from .replaying import find_replay
from .uses import record_use

if TYPE_CHECKING:
    from .session import Plan, Session

__all__ = ["Labels", "answer_from_log", "is_here", "submit"]

_LARGEST_SEED = 2**31
_REPEATABLE = frozenset({"upscale", "removeBackground", "caption", "imageMasking", "controlNetPreprocess", "vectorize"})
"""Operations: the same medium gives the same answer, and no seed is asked for."""


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
    """Start a task. See `Session.submit`."""
    plan = session.plan(task)
    if session.settings.mode == "replay":
        context = labels.context or session.context()
        job = answer_from_log(session, find_replay(session, plan.task, context), "replayed")
        record_use(session, job, context, tags=labels.tags, note=labels.note, how="replayed")
        return job
    session.require_key()
    asking = _Asking(session, plan, labels, fresh=fresh)
    with session.lock:
        known = asking.known()
        if known is not None:
            return known
        if agreed or question_about(session, plan.price) is None:
            return asking.start()
    agree(session, plan.price, agreed=False)  # the lock is free meanwhile: others need not wait for the answer
    with session.lock:
        return asking.known() or asking.start()


class _Asking:
    """A task that has been checked, hashed and brought into the form in which it travels."""

    def __init__(self, session: Session, plan: Plan, labels: Labels, *, fresh: bool) -> None:
        self._session = session
        self._plan = plan
        self._labels = labels
        self._fresh = fresh
        self._inputs = look_into(session, plan.task)
        named = by_content(plan.task, self._inputs)
        provider = session.settings.service
        self._asked = self._sent = request_hash(named, service=provider)
        self._seed_given = plan.task.get("seed") is not None
        wire = _with_media(session, plan.task)
        seed = None if self._seed_given else _pick_seed(session, plan.task)
        if seed is not None:
            wire = {**wire, "seed": seed}
            self._sent = request_hash({**named, "seed": seed}, service=provider)
        self._wire = prepare(wire, new_uuid=lambda: str(uuid.uuid4()))
        if not is_uuid(str(self._wire["taskUUID"])):
            raise TaskInvalid(
                f"taskUUID {self._wire['taskUUID']!r} is no UUID; leave it out to get one", parameter="taskUUID"
            )
        self._is_joinable = self._seed_given or self._wire["taskType"] in _REPEATABLE

    def known(self) -> Job | None:
        """Find the same request on its way, or its answer in the log."""
        if not self._is_joinable:
            return None
        job, how = self._session.find_twin(self._sent, self._wire), "joined"
        if job is None and not self._fresh:
            job, how = _find_recorded(self._session, self._sent), "recorded"
        if job is not None:
            labels = self._labels
            context = labels.context or self._session.context()
            record_use(self._session, job, context, tags=labels.tags, note=labels.note, how=how)
        return job

    def start(self) -> Job:
        """Make the run and send it on its way."""
        context = self._labels.context or self._session.context()
        job = Job(self._session, self._record(context), is_new=True)
        job.notices.extend(self._plan.warnings)
        return self._session.start(job, self._wire, context.cell_source)

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
            estimate_usd=self._plan.price.usd,
        )  # fmt: skip


def answer_from_log(session: Session, record: RunRecord, how: str) -> Job:
    """Give a finished run as the answer, and send nothing."""
    job = Job(session, record, is_new=False)
    job.is_recorded = True
    made = record.created_at_utc[:16].replace("T", " ")
    remedy = "" if how == "replayed" else "; `--fresh` asks the service again"
    job.notices.append(f"{how}: run {record.task_uuid[:8]} of {made} UTC{remedy}")
    return session.start(job, dict(record.request), None)


def is_here(session: Session, result: ResultRecord) -> bool:
    """Whether a result of the log can be given as it was, file included."""
    if result.error is not None:
        return False
    return session.media.find(result.file) is not None or (result.url is None and result.medium_state != "stored")


def _find_recorded(session: Session, hashed: str) -> Job | None:
    """Find a run of the very same request whose answer is here in full, files included."""
    try:
        record = session.log.find_recorded(hashed)
    except RunLogError:
        return None
    if record is None or not record.results or not all(is_here(session, result) for result in record.results):
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
    rules = session.known_rules(task)
    takes_seed = "seed" in rules.names if rules is not None else model is not None and model.takes_seed
    if not takes_seed:
        return None
    count = task.get("numberResults", 1)
    return session.chance.randrange(1, _LARGEST_SEED - (count if isinstance(count, int) else 1))
