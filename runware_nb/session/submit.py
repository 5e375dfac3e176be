"""From a task to its job: joined, recorded, replayed or new. There is one path, and this is its first half."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
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
from .lineage import Input, by_content, look_into, parent_of, storable_request
from .money import agree
from .pipeline import utc_now
from .replaying import find_replay

if TYPE_CHECKING:
    from .session import Session

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
    """

    template: str | None = None
    tags: tuple[str, ...] = ()
    note: str | None = None
    replay_of: str | None = None


def submit(session: Session, task: Task, labels: Labels, *, fresh: bool, agreed: bool) -> Job:
    """Start a task. See `Session.submit`."""
    plan = session.plan(task)
    if session.settings.mode == "replay":
        return answer_from_log(session, find_replay(session, plan.task), "replayed")
    session.require_key()
    inputs = look_into(session, plan.task)
    wire = _with_media(session, plan.task)
    provider = session.settings.service
    asked = request_hash(by_content(wire, inputs), service=provider)
    seed_given = wire.get("seed") is not None
    seeded = _with_seed(session, wire)
    sent = asked if seeded is wire else request_hash(by_content(seeded, inputs), service=provider)
    wire = prepare(seeded, new_uuid=lambda: str(uuid.uuid4()))
    if not is_uuid(str(wire["taskUUID"])):
        raise TaskInvalid(f"taskUUID {wire['taskUUID']!r} is no UUID; leave it out to get one", parameter="taskUUID")
    is_joinable = seed_given or wire["taskType"] in _REPEATABLE
    known = _known(session, sent, wire, fresh=fresh) if is_joinable else None
    if known is not None:
        return known
    agree(session, plan.price, agreed=agreed)
    with session.lock:
        known = _known(session, sent, wire, fresh=fresh) if is_joinable else None  # meanwhile the question was asked
        if known is not None:
            return known
        context = session.context()
        record = _record(session, wire, labels, inputs, context, hashes=(sent, asked))
        record.seed_given, record.is_joinable, record.estimate_usd = seed_given, is_joinable, plan.price.usd
        job = Job(session, record, is_new=True)
        job.notices.extend(plan.warnings)
        return session.start(job, wire, context.cell_source)


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


def _known(session: Session, hashed: str, task: Item, *, fresh: bool) -> Job | None:
    return session.find_twin(hashed, task) or (None if fresh else _find_recorded(session, hashed))


def _find_recorded(session: Session, hashed: str) -> Job | None:
    """Find a run of the very same request whose answer is here in full, files included."""
    try:
        record = session.log.find_recorded(hashed)
    except RunLogError:
        return None
    if record is None or not record.results or not all(is_here(session, result) for result in record.results):
        return None
    return answer_from_log(session, record, "recorded")


def _record(
    session: Session, wire: Item, labels: Labels, inputs: Sequence[Input], context: CellContext, *,
    hashes: tuple[str, str],
) -> RunRecord:  # fmt: skip
    sent, asked = hashes
    return RunRecord(
        task_uuid=wire["taskUUID"], attempt_uuid=wire["taskUUID"], provider=session.settings.service,
        task_type=wire["taskType"], model=wire.get("model"), request=storable_request(wire),
        request_hash=sent, asked_hash=asked, created_at_utc=utc_now(), prompt_template=labels.template,
        prompt=prompt_of(wire), notebook=context.notebook, cell_id=context.cell_id, cell_hash=context.cell_hash,
        cell_ordinal=context.cell_ordinal, execution_count=context.execution_count, kernel=context.kernel,
        environment_hash=environment_snapshot()[0], tags=tuple(dict.fromkeys(labels.tags)), note=labels.note,
        inputs=[each.as_item() for each in inputs], parent_uuid=parent_of(inputs), replay_of=labels.replay_of,
    )  # fmt: skip


def _with_media(session: Session, task: Item) -> Item:
    """Upload what a task brings along; most bring nothing."""
    if not holds_media(task):
        return task
    found: list[Any] = []
    replace_media(task, lambda value: found.append(value) if not is_sendable(value) else None)
    return wait(background_loop().submit(session.client().prepare_media(task))) if found else task


def _with_seed(session: Session, task: Mapping[str, Any]) -> Any:
    """Pin the seed, so that every image can be made again."""
    model = find_model(str(task.get("model", "")))
    rules = session.known_rules(task)
    takes_seed = "seed" in rules.names if rules is not None else model is not None and model.takes_seed
    if task.get("seed") is not None or not takes_seed:
        return task
    count = task.get("numberResults", 1)
    seed = session.chance.randrange(1, _LARGEST_SEED - (count if isinstance(count, int) else 1))
    return {**task, "seed": seed}
