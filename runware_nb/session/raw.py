"""Tasks sent exactly as a file has them. They take the same path as every other task, and are logged like them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.items import Item
from ..errors import ArgumentInvalid, RunwareNBError, TaskError
from ..loop import background_loop, wait
from ..providers.runware.tasks import is_utility
from ..reprs import short_repr

if TYPE_CHECKING:
    from ..engine.jobs import Job
    from .session import Session

__all__ = ["RawResponse", "send_raw"]


@short_repr()
@dataclass(frozen=True, slots=True)
class RawResponse:
    """What came back, as the service wrote it.

    Attributes:
        items: Results, in the order of the tasks.
        errors: Error objects.
        notices: Sentences that a user should know, such as that an answer was recorded.
    """

    items: list[Item]
    errors: list[Item]
    notices: list[str]


def send_raw(session: Session, tasks: Sequence[Item], *, fresh: bool = False, agreed: bool = False) -> RawResponse:
    """Send tasks as they are, completed only by a UUID where one is missing, and wait for all their results.

    All tasks that cost money are submitted as one batch: budgets, the question about the cost, recorded answers and the
    log apply as for any other task. Utilities, such as a model search, cost nothing and are sent once.

    Args:
        session: Whose client and log are used.
        tasks: In wire spelling.
        fresh: Whether recorded answers are ignored.
        agreed: Whether the user agreed to the cost beforehand.

    Raises:
        ArgumentInvalid: A task has no task type. Nothing was sent.
        SpendingRefused: The cost was not agreed to, or a budget does not cover it. Nothing was sent.
        TransportError: None of the tasks could be sent, or the response was lost.
        ProtocolError: The response cannot be read.
    """
    for number, task in enumerate(tasks, 1):
        if not isinstance(task.get("taskType"), str) or not task["taskType"]:
            expected = f"a text such as imageInference in task {number} of {len(tasks)}. Nothing was sent"
            raise ArgumentInvalid("taskType", task.get("taskType"), expected)
    work = [task for task in tasks if not is_utility(task["taskType"])]
    jobs = iter(session.submit_all(work, fresh=fresh, agreed=agreed, as_is=True))
    utilities = [_with_uuid(task) for task in tasks if is_utility(task["taskType"])]
    response = RawResponse([], [], [])
    if utilities:
        frame = wait(background_loop().submit(session.client().send(utilities)))
        response.items.extend(frame.items)
        response.errors.extend(frame.errors)
    failures = [failure for job in jobs if (failure := _collect(job, response)) is not None]
    if failures and not response.items and not response.errors:
        raise failures[0]
    response.errors.extend({"code": type(failure).__name__, "message": failure.problem} for failure in failures)
    return response


def _collect(job: Job, response: RawResponse) -> RunwareNBError | None:
    """Wait for a job and add what the service wrote; return an error that did not come from the service."""
    try:
        outcome = job.result()
    except TaskError as error:
        outcome = error.outcome
        if outcome is None:
            response.errors.append(_written(error))
    except RunwareNBError as error:
        return error
    finally:
        response.notices.extend(job.notices)
    if outcome is not None:
        response.items.extend(result.raw for result in outcome.results)
        response.errors.extend(_written(error) for error in outcome.errors)
    return None


def _written(error: TaskError) -> Item:
    return error.raw or {"code": error.code, "message": error.problem, "taskUUID": error.task_uuid}


def _with_uuid(task: Item) -> dict[str, Any]:
    if task["taskType"] in {"authentication", "ping"} or "taskUUID" in task:
        return dict(task)
    return {**task, "taskUUID": str(uuid.uuid4())}
