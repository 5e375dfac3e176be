"""One task on its way: what has come, and how to wake whoever waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import monotonic as now  # what asyncio's loops count by, without asking them
from typing import Any

from ..errors import RunwareNBError, TaskError
from ..wire.collect import Collector
from ..wire.frames import Item
from ..wire.results import Outcome
from ..wire.service import OnProgress, OnResult

__all__ = ["Flight", "now"]

logger = logging.getLogger("runware_nb")


class Flight:
    """A task on its way.

    Attributes:
        task: As it is sent, in wire spelling.
        is_ours: Whether it may be sent from here; if not, it is only asked about.
        is_sent: Whether the attempt of the moment has been sent.
        has_left: Whether any byte of it can have reached the service.
        times_sent: How often it was sent under this UUID.
        should_ask: Whether to ask the service about it now.
        is_asking: Whether the answer to a poll is being waited for.
        is_polling: Whether a poll has been sent.
        poll_answer: What the poll on its way brought: True something, False nothing, None no answer yet.
        unheard_since: Since when the service could not be reached about it; None when it can.
        broken: What ended the connection, until somebody has dealt with it.
        complaint: The last thing the service said that may concern this task and settles nothing; None if it said
            something certain since.
        may_ask_at: When `ask_soon` may ask at the earliest, by the monotonic clock.
        next_poll: When to ask next, by the monotonic clock.
        wake_at: When whoever waits wants to be woken at the latest.
    """

    __slots__ = (
        "_sent_at",
        "_waiter",
        "_was_woken",
        "broken",
        "collector",
        "complaint",
        "has_left",
        "is_asking",
        "is_confirmed",
        "is_ours",
        "is_polling",
        "is_sent",
        "is_sync",
        "may_ask_at",
        "next_poll",
        "on_progress",
        "on_result",
        "poll_answer",
        "should_ask",
        "task",
        "task_type",
        "task_uuid",
        "times_sent",
        "unheard_since",
        "wake_at",
    )

    def __init__(self, task: Item, on_result: OnResult | None, on_progress: OnProgress | None) -> None:
        self.task = task
        self.task_uuid: str = task["taskUUID"]
        self.task_type: str = task["taskType"]
        self.is_sync = task.get("deliveryMethod") == "sync" and not task.get("webhookURL")
        self.on_result = on_result
        self.on_progress = on_progress
        self.is_ours = True
        self.has_left = False
        self.is_sent = False
        self.is_confirmed = False
        self.times_sent = 0
        self.should_ask = False
        self.is_asking = self.is_polling = False
        self.poll_answer: bool | None = None
        self.unheard_since: float | None = None
        self.broken: RunwareNBError | None = None
        self.complaint: RunwareNBError | None = None
        self.may_ask_at = 0.0
        self.next_poll = self.wake_at = float("inf")
        self.collector = Collector(task)
        self._waiter: asyncio.Future[None] | None = None
        self._was_woken = False
        self._sent_at = now()

    def begin_poll(self) -> None:
        """Note that a poll goes out."""
        self.poll_answer = None
        self.is_polling = True
        self.collector.begin_poll()

    def take(self, items: Sequence[Item], errors: Sequence[TaskError]) -> None:
        """Take in a frame's part for this task, and tell the observers."""
        collector = self.collector
        if items or errors:
            self.poll_answer = True
            self.complaint = None
        before = collector.progress
        for result in collector.add(items):
            if self.on_result is not None:
                _observe(self.on_result, result)
        if errors:
            collector.fail(errors)
        if self.on_progress is not None and collector.progress != before:
            _observe(self.on_progress, collector.progress)
        self.wake()

    def ask_soon(self, complaint: RunwareNBError | None = None) -> None:
        """Request a poll of the task, because something arrived that may concern it and does not settle it.

        However often this happens, one poll is sent at a time, and the next one only after a pause.

        Args:
            complaint: What arrived; shown if the task is not heard of any more.
        """
        self.complaint = complaint or self.complaint
        if self.is_sent and not self.is_asking:
            self.next_poll = min(self.next_poll, self.may_ask_at)
            self.wake()

    def outcome(self) -> Outcome:
        """Sum up what has come."""
        return self.collector.outcome(now() - self._sent_at)

    def wake(self) -> None:
        """Let whoever waits look again."""
        self._was_woken = True
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def wait(self, until: float) -> None:
        """Wait until something happens; `Board` sees to it that *until*, by the monotonic clock, is something."""
        if not self._was_woken and until > now():
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._was_woken = False


def _observe(observer: Callable[[Any], None], value: object) -> None:
    """Call an observer; what it raises is its own affair, but not a secret."""
    try:
        observer(value)
    except Exception:
        logger.exception("an observer failed")
