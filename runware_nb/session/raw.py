"""Sending tasks just as they are, and remembering them all the same."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ProtocolError, TaskError, TransportError
from ..runlog import RunRecord
from ..wire.canonical import request_hash
from ..wire.classify import CONFLICT, task_error
from ..wire.collect import Collector
from ..wire.frames import Frame, Item
from ..wire.retries import Step, backoff_s, decide
from ..wire.tasks import is_utility
from .context import environment_snapshot
from .jobs import Job
from .lineage import storable_request
from .money import estimate
from .pipeline import RunOnItsWay, utc_now

if TYPE_CHECKING:
    from .session import Session

__all__ = ["send_raw"]

_chance = random.Random()  # noqa: S311 - spreads retries; our own, so that a user's random.seed() is left alone


async def send_raw(session: Session, tasks: Sequence[Item]) -> Frame:
    """Send an array of tasks unchanged, but for a UUID where one is missing.

    Work is on disk before it is on the wire, and what comes back is stored as for any other run.

    Args:
        session: Whose client and log to use.
        tasks: In wire spelling.

    Returns:
        The answer as it came.

    Raises:
        TransportError: It could not be sent, or the answer was lost.
        TaskError: The service refused the whole of it, naming no task.
        ProtocolError: The answer cannot be read.
    """
    complete = [_with_uuid(task) for task in tasks]
    log = await session.open_log()
    jobs: list[tuple[Job, Item]] = []
    for task in complete:
        if is_utility(str(task.get("taskType", ""))):
            continue
        job = Job(session, _record(session, task), is_new=True)
        await log.prepare(job.record, cell_source=session.context().cell_source, environment=session.environment)
        await log.mark_sent(job.task_uuid, job.task_uuid, 1, utc_now(), json.dumps(job.record.request))
        jobs.append((job, task))
    frame = await _send(session, complete)
    for job, task in jobs:
        await _record_answer(session, job, task, frame)
    return frame


async def _send(session: Session, tasks: list[Item]) -> Frame:
    """Send, again under the same UUIDs where that may help; a conflict with ourselves becomes a poll."""
    client = session.client()
    most = session.settings.max_retries
    attempt = 0
    while True:
        attempt += 1
        try:
            frame = await client.send(tasks)
        except (TransportError, ProtocolError) as error:
            decision = decide(error, attempt=attempt, max_retries=most, task_type="", has_results=False,
                              jitter=_chance.random())  # fmt: skip
            if decision.step is Step.GIVE_UP:
                raise
            await asyncio.sleep(decision.delay_s)
            continue
        if attempt > 1 and any(error.get("code") == CONFLICT for error in frame.errors):
            return await _with_conflicts_polled(session, frame)
        errors = [task_error(each, http_status=frame.http_status) for each in frame.errors]
        orphaned = bool(errors) and not frame.items and not any(error.task_uuid for error in errors)
        if not (orphaned and all(error.retryable for error in errors)) or attempt > most:
            return frame
        wait_s = frame.retry_after_s
        jitter = _chance.random()
        await asyncio.sleep(backoff_s(attempt, jitter=jitter) if wait_s is None else wait_s)


async def _with_conflicts_polled(session: Session, frame: Frame) -> Frame:
    items, errors = list(frame.items), list[Item]()
    for error in frame.errors:
        if error.get("code") == CONFLICT:
            polled = await session.client().poll(str(error.get("taskUUID")))
            items += polled.items
            errors += polled.errors
        else:
            errors.append(error)
    return Frame(tuple(items), tuple(errors), frame.http_status, frame.retry_after_s)


async def _record_answer(session: Session, job: Job, task: Item, frame: Frame) -> None:
    collector = Collector(task)
    mine = [item for item in frame.items if item.get("taskUUID") == job.task_uuid]
    log = await session.open_log()
    run = RunOnItsWay(session, job, task, log)
    for result in collector.add(mine):
        run.storing.take(result)
    errors = [
        task_error(error, http_status=frame.http_status)
        for error in frame.errors
        if error.get("taskUUID", job.task_uuid) == job.task_uuid
    ]
    # A passing trouble that names no task says nothing about this one: it stays to be collected.
    errors = [error for error in errors if error.task_uuid or not error.retryable]
    collector.fail(errors)
    outcome = collector.outcome()
    if collector.is_done:
        failed: TaskError | None = None if outcome.results or not errors else errors[0]
        await run.finish(outcome, failed)
    elif mine:
        await log.add_results(job.task_uuid, [])


def _with_uuid(task: Item) -> Item:
    if task.get("taskType") in {"authentication", "ping"} or "taskUUID" in task:
        return dict(task)
    return {**task, "taskUUID": str(uuid.uuid4())}


def _record(session: Session, task: Item) -> RunRecord:
    provider = session.settings.service
    hashed = request_hash(task, service=provider)
    context = session.context()
    prompt: Any = task.get("positivePrompt")
    return RunRecord(
        task_uuid=str(task["taskUUID"]), attempt_uuid=str(task["taskUUID"]), provider=provider,
        task_type=str(task.get("taskType", "")), model=task.get("model"), request=storable_request(task),
        request_hash=hashed, asked_hash=hashed, created_at_utc=utc_now(), prompt=prompt,
        prompt_template=prompt, seed_given=task.get("seed") is not None, notebook=context.notebook,
        cell_id=context.cell_id, cell_hash=context.cell_hash, cell_ordinal=context.cell_ordinal,
        execution_count=context.execution_count, kernel=context.kernel,
        environment_hash=environment_snapshot()[0], estimate_usd=estimate(session, task).usd,
    )  # fmt: skip
