"""Jobs and outcomes in the places of media and texts of a task: what each stands for, and what is not here yet."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.chaining import produced_kind
from ..core.conversation import Reply
from ..core.items import Item
from ..core.media_fields import holds_media, replace_media
from ..core.operations import OPERATIONS, Operation
from ..core.prompts import INCOMPLETE, as_prompt, incomplete_sentence
from ..core.results import Outcome, Result
from ..errors import RunwareNBError, SourceFailed, TaskInvalid
from ..loop import background_loop
from ..providers.base import Task
from ..runlog import RunRecord
from .chained_job import Awaited
from .job_group import JobGroup
from .jobs import Job
from .ports import Ports

__all__ = ["choose", "count_of", "deliver", "failure_of", "kind_of_run", "resolve", "stand_ins"]

_RECORDED_S = 2.0
"""Longest wait for an answer from the log, in seconds."""
_BY_NAME: Mapping[str, Operation] = {operation.name: operation for operation in OPERATIONS}
_STAND_IN_TEXT = "the text of a run that is not finished"


def resolve(ports: Ports, task: Task) -> tuple[Task, list[Awaited]]:
    """Put results in the places of finished jobs and of outcomes, and find the jobs that are not finished.

    Args:
        ports: Whose providers know how many results a task asks for.
        task: In the form of its service, or a typed task.

    Returns:
        The task, and what it waits for; the same object if it contains neither.

    Raises:
        TaskInvalid: An outcome or a job in it has several results or none, or a text stands in the place of a medium.
        SourceFailed: A job in it has failed.
    """
    wire = task if isinstance(task, Mapping) else task.to_wire()
    if not holds_media(wire):
        return task, []
    awaited: list[Awaited] = []

    def look(value: Any, *, is_text: bool) -> Any:
        found = _current(ports, value)
        if isinstance(found, Awaited):
            awaited.append(found)
            return found
        return _placed(found, is_text=is_text) if found is not value or isinstance(value, Result) else value

    made = replace_media(
        wire, lambda value: look(value, is_text=False), elsewhere=lambda value: look(value, is_text=True)
    )
    return (made, awaited)


def deliver(task: Item, awaited: Sequence[Awaited], step_uuid: str) -> Item:
    """Put the results in the places of what a task has waited for.

    Args:
        task: With `Awaited` in it. Their jobs have ended, or one of them has failed.
        awaited: Those.
        step_uuid: Task UUID of the step, for the sentence.

    Raises:
        SourceFailed: A job has failed, or has not returned the result that is needed.
        TaskInvalid: A text has arrived in the place of a medium, or the reverse.
    """
    for source in awaited:  # one that has failed ends the step, also while another one is in progress
        failed = failure_of(source.job, f"Run {step_uuid[:8]}") if source.job.is_done else None
        if failed is not None:
            raise failed

    def fetch(value: Any, *, is_text: bool) -> Any:
        if not isinstance(value, Awaited):
            return value
        result = _arrived(value, step_uuid)
        placed = _placed(result, is_text=is_text)
        # The next run records that it continues the conversation of this one.
        return Reply(str(placed), result.task_uuid, result.index) if value.is_reply and is_text else placed

    return replace_media(
        task, lambda value: fetch(value, is_text=False), elsewhere=lambda value: fetch(value, is_text=True)
    )


def stand_ins(task: Item) -> Item:
    """Return a task as far as it can be checked before its sources are there: a text stands for each awaited text."""

    def stand_in(value: Any) -> Any:
        is_text = isinstance(value, Awaited) and kind_of_run(value.job.record) == "text"
        return _STAND_IN_TEXT if is_text else value

    return replace_media(task, lambda value: value, elsewhere=stand_in)


def kind_of_run(record: RunRecord) -> str | None:
    """Return the kind of medium that a run produces, such as `image`; None if its operation is not in the table."""
    operation = _BY_NAME.get(record.operation or "")
    return None if operation is None else produced_kind(operation, record.request)


def failure_of(job: Job, what: str) -> SourceFailed | None:
    """Return the error of a step whose source has failed; None if the source has a result.

    Args:
        job: The source, which has ended.
        what: The step, at the beginning of a sentence.
    """
    error = job.future.exception()
    if error is None:
        return None
    if isinstance(error, SourceFailed):  # the first run that failed is the one to repair, however long the chain is
        root, why = error.source_uuid, _reason(error.__cause__ or error)
    else:
        root, why = job.task_uuid, _reason(error)
    failed = SourceFailed(
        f"{what} was not sent and cost nothing, because run {root[:8]}, whose result it needs, has no result: {why}",
        source_uuid=root,
    )
    failed.__cause__ = (error.__cause__ or error) if isinstance(error, SourceFailed) else error
    return failed


def count_of(ports: Ports, job: Job) -> int:
    """Return how many results a job has, or asks for if it is not finished."""
    if job.is_done and job.future.exception() is None:
        return len(job.future.result())
    service = job.record.provider
    provider = ports.provider(service if ports.serves(service) else "")
    return provider.number_of_results(job.record.request)


def await_recorded(job: Job) -> None:
    """Wait for a moment for a job whose answer is in the log.

    It usually takes milliseconds. With its result, the next step is looked up in the log at once, so a chain that is
    built again asks no question about steps that cost nothing. If a file has to be downloaded again, the step waits
    for it in the background, as for any job. The background loop itself must not wait: it brings the job to its end.
    """
    if job.is_recorded and not job.is_done and not background_loop().is_current():
        concurrent.futures.wait([job.future], timeout=_RECORDED_S)


def choose(ports: Ports, job: Job) -> list[Result | Awaited]:
    """Return the results of a job, in order; `Awaited` for those of a job that is not finished.

    Raises:
        SourceFailed: It has failed.
    """
    await_recorded(job)
    if job.is_done:
        failed = failure_of(job, "This task")
        if failed is not None:
            raise failed
        return list(job.future.result())
    count = count_of(ports, job)
    return [Awaited(job)] if count == 1 else [Awaited(job, index) for index in range(count)]


def _current(ports: Ports, value: Any) -> Any:
    """Return what a value stands for at this moment: a result, an `Awaited`, or the value itself."""
    if isinstance(value, Job):
        await_recorded(value)
        if not value.is_done:
            count = count_of(ports, value)
            if count > 1:
                raise TaskInvalid(
                    f"Run {value.task_uuid[:8]} asks for {count} results, and one is expected here. Nothing was sent. "
                    "Choose one of them, such as job.result()[0]. The methods of the job, such as job.upscale(), act "
                    "on each of them."
                )
            return Awaited(value)
        failed = failure_of(value, "This task")
        if failed is not None:
            raise failed
        value = value.future.result()
    if isinstance(value, Outcome):
        return _only(value)
    if isinstance(value, JobGroup):
        raise TaskInvalid(
            f"A group of {len(value)} jobs stands in the place of one medium. Nothing was sent. Choose one of its "
            "jobs, such as group[0]."
        )
    if isinstance(value, Awaited) and value.job.is_done and value.job.future.exception() is None:
        return _arrived(value, "")
    return value


def _only(outcome: Outcome) -> Result:
    if len(outcome) == 1:
        return outcome[0]
    count = f"{len(outcome)} results" if len(outcome) else "no result"
    choose = " Choose one of them, such as outcome[0]." if len(outcome) else ""
    raise TaskInvalid(f"Run {outcome.task_uuid[:8]} has {count}, and one is expected here. Nothing was sent.{choose}")


def _arrived(awaited: Awaited, step_uuid: str) -> Result:
    """Return the result of a job that has ended."""
    step = f"Run {step_uuid[:8]}" if step_uuid else "This task"
    failed = failure_of(awaited.job, step)
    if failed is not None:
        raise failed
    outcome = awaited.job.future.result()
    if awaited.index is None:
        if len(outcome) == 1:
            return outcome[0]
        problem = f"has {len(outcome)} results, and one is expected"
    else:
        found = next((result for result in outcome if result.index == awaited.index), None)
        if found is not None:
            return found
        problem = f"has no result #{awaited.index + 1}: it returned {len(outcome)}"
    raise SourceFailed(
        f"{step} was not sent and cost nothing, because run {outcome.task_uuid[:8]}, whose result it needs, {problem}.",
        source_uuid=awaited.job.task_uuid,
    )


def _placed(value: Any, *, is_text: bool) -> Any:
    """Return a result in the form in which its place takes it: a text with its origin, and the medium of others.

    Raises:
        TaskInvalid: A text stands in the place of a medium.
        SourceFailed: It is a text that has not arrived completely. What is made from it would be paid for in vain.
    """
    if not isinstance(value, Result):
        return value
    if value.is_partial:
        raise SourceFailed(incomplete_sentence(value.task_uuid), source_uuid=value.task_uuid).with_remedy(INCOMPLETE)
    if is_text:
        # At a name that is not known here, a medium may be meant as well.
        return as_prompt(value)
    if value.text is not None or value.structured is not None:
        raise TaskInvalid(
            f"Result {value.index + 1} of run {value.task_uuid[:8]} is a text, and a medium is expected here. "
            "Nothing was sent. Pass a result that is an image, a video or audio."
        )
    return value


def _reason(error: BaseException) -> str:
    return error.problem if isinstance(error, RunwareNBError) else f"{type(error).__name__}: {error}"
