"""The provider of the trial: it returns each text at once, in memory."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from ...core.items import Item
from ...core.money import Money
from ...core.operations import Operation
from ...core.results import Outcome, Result
from ...errors import TaskError, TaskInvalid
from ..base import (
    Accepted,
    Account,
    Attempt,
    Capabilities,
    Description,
    Limiter,
    NextAttempt,
    Plan,
    ProviderContext,
    RunObserver,
    Task,
)
from .package import TRIAL_TOKEN

__all__ = ["TrialProvider"]


class _NoLimit:
    async def acquire(self) -> None:
        """Continue at once."""

    async def release(self) -> None:
        """Nothing was taken."""


class TrialProvider:
    """A service whose ids are its own, which charges credits and returns what it was sent.

    Args:
        context: What the session gives to providers.
    """

    name = "trial"
    services = ("trial",)
    capabilities = Capabilities(
        client_chosen_ids=False,
        resend_is_safe=False,
        can_find_lost=False,
        pushes_results=False,
        webhooks="none",
        money="credits",
    )

    def __init__(self, context: ProviderContext) -> None:
        self._context = context
        self.limiter: Limiter = _NoLimit()

    def require_key(self) -> None:
        """Check that there is a token."""
        self._context.key(TRIAL_TOKEN)

    def plan(self, task: Task, *, as_is: bool = False) -> Plan:
        """Check that there is a text."""
        item = dict(task) if isinstance(task, Mapping) else task.to_wire()
        if not as_is and not item.get("text"):
            raise TaskInvalid("Missing text. Nothing was sent.", parameter="text")
        return Plan(item)

    def price(self, task: Mapping[str, Any]) -> Money | None:
        """Return the price of a text."""
        return Money(1.0, "credits")

    def complete(self, task: Item, *, as_is: bool = False) -> Item:
        """Add our id."""
        return {**task, "taskUUID": task.get("taskUUID") or str(uuid.uuid4())}

    def takes_seed(self, task: Mapping[str, Any]) -> bool:
        """Return that it takes none."""
        return False

    def operation(self, task: Mapping[str, Any]) -> Operation | None:
        """Return that it performs none of the table."""
        return None

    def prompt(self, task: Mapping[str, Any]) -> str | None:
        """Return the text."""
        return task.get("text")

    def describe(self, task: Mapping[str, Any]) -> Description:
        """Return the text and the style."""
        return Description(str(task.get("text")), (("style", task.get("style")),))

    def parameters(self, request: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the text and the style."""
        return {name: request[name] for name in ("text", "style") if name in request}

    def number_of_results(self, task: Mapping[str, Any]) -> int:
        """Return that it is one."""
        return 1

    def is_reference(self, text: str) -> bool:
        """Return that it takes no media."""
        return False

    @property
    def uploaded_hashes(self) -> Mapping[str, str]:
        """Nothing was uploaded."""
        return {}

    async def prepare(self, task: Item) -> Item:
        """Return the task, which brings nothing along."""
        return task

    def first_attempt(self, task: Item) -> Attempt:
        """Build the attempt."""
        return Attempt(task)

    async def submit(self, attempt: Attempt, deadline: float) -> Accepted:
        """Accept it under an id of the service."""
        return Accepted.of(attempt, f"trial-{attempt.attempt_uuid[:8]}")

    async def follow(self, accepted: Accepted, observer: RunObserver, deadline: float) -> Outcome:
        """Return the text at once."""
        task = accepted.attempt.task
        text = task["text"].upper() if task.get("style") == "loud" else task["text"]
        result = Result({"taskUUID": task["taskUUID"], "text": text}, task["taskUUID"], 0)
        observer.on_result(result)
        return Outcome(task, task["taskUUID"], [result], [], charged=Money(1.0, "credits"))

    async def locate(self, attempt: Attempt, deadline: float) -> Accepted | None:
        """Return that it cannot be found."""
        return None

    def next_attempt(self, attempt: Attempt, error: TaskError) -> NextAttempt | None:
        """Return that none follows."""
        return None

    async def fetch(self, result: Result, *, timeout_s: float | None = None) -> Result:
        """Return the result, which has no file."""
        return result

    async def locate_result(self, attempt: Attempt, result: Result) -> Result | None:
        """Return that there is no file."""
        return None

    def error_of(self, kept: Mapping[str, Any]) -> TaskError:
        """Build the error that the log recorded."""
        return TaskError(str(kept.get("message")))

    async def account(self) -> Account:
        """Return that there is no balance."""
        return Account(None, {})

    async def aclose(self) -> None:
        """There is nothing to close."""
