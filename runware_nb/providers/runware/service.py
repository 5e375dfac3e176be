"""What a session needs of a service, whoever provides it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from ...core.items import Item
from ...core.results import Outcome, Result
from .frames import Frame
from .tasks import Task

__all__ = ["OnAttempt", "OnProgress", "OnResult", "Service"]

OnResult = Callable[[Result], None]
OnProgress = Callable[[float], None]
OnAttempt = Callable[[Item, int], Awaitable[None]]
"""Awaited with the task and the attempt's number (from 1) after a slot is free and before a byte leaves."""


class Service(Protocol):
    """The client of one service, as the session sees it."""

    name: str

    async def run(
        self,
        task: Task,
        *,
        on_result: OnResult | None = None,
        on_progress: OnProgress | None = None,
        on_attempt: OnAttempt | None = None,
        timeout_s: float | None = None,
        as_is: bool = False,
    ) -> Outcome:
        """Send a task, completed or (with *as_is*) exactly as it is written, and wait for all its results."""

    async def collect(
        self,
        task: Mapping[str, Any],
        *,
        on_result: OnResult | None = None,
        on_progress: OnProgress | None = None,
        timeout_s: float | None = None,
        resends: bool = False,
    ) -> Outcome:
        """Wait for a task that was sent before; send it again, under its own UUID, only if *resends*."""

    async def poll(self, task_uuid: str) -> Frame:
        """Ask once about a task."""

    async def send(self, tasks: Sequence[Mapping[str, Any]], *, timeout_s: float | None = None) -> Frame:
        """Send tasks as they are, and return the answer as it comes."""

    async def fetch(self, result: Result, *, timeout_s: float | None = None) -> Result:
        """Load a result's bytes within *timeout_s* seconds; None takes the setting."""

    async def aclose(self) -> None:
        """Close connections; tasks go on at the service."""
