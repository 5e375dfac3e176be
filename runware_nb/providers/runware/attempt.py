"""One task on its way: what has come, and how to wake whoever waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import monotonic as now  # what asyncio's loops count by, without asking them

from ...core.items import Item
from ...core.results import PARTIAL, Outcome, Result
from ...errors import TaskError
from ..base import RunObserver
from .collect import Collector
from .fate import Action, Actions, Doubt, Event, Fate, Heard, Piece, Report, Wake, step

__all__ = ["TrackedAttempt", "now"]

logger = logging.getLogger("runware_nb")


class TrackedAttempt:
    """A task on its way: its fate, what has come of it, and who waits for it.

    Attributes:
        task: As it is sent, in wire spelling.
        fate: State of the attempt. It changes in `advance` only.
        collector: What has come.
        wake_at: When whoever waits wants to be woken at the latest, by the monotonic clock.
        duty: What is to be done next, between sending and following; None before it was sent from here.
        reader: The asyncio task that reads its text while it is written; None if it is not streamed.
    """

    __slots__ = (
        "_doubted",
        "_reasoning",
        "_sent_at",
        "_text",
        "_waiter",
        "_was_woken",
        "collector",
        "duty",
        "fate",
        "observer",
        "reader",
        "task",
        "task_type",
        "task_uuid",
        "wake_at",
    )

    def __init__(self, task: Item, fate: Fate) -> None:
        self.task = task
        self.task_uuid: str = task["taskUUID"]
        self.task_type: str = task["taskType"]
        self.fate = fate
        self.observer: RunObserver | None = None
        self.duty: Action | None = None
        self.reader: asyncio.Task[None] | None = None
        self.wake_at = float("inf")
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self.collector = Collector(task)
        self._doubted: Outcome | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._was_woken = False
        self._sent_at = now()

    def advance(self, event: Event) -> Actions:
        """Report an event to the attempt's state machine, and return the actions that are left to the caller."""
        self.fate, actions = step(self.fate, event, now())
        for action in actions:
            if isinstance(action, Wake):
                self.wake()
            elif isinstance(action, Doubt):
                self._doubted = self.outcome()
                self.collector = Collector(self.task)
                self._sent_at = now()
        return actions

    def report(self, jitter: float) -> Report:
        """Return what the state machine is told of what has come."""
        collector = self.collector
        is_done, has_results = collector.is_done, collector.has_results
        error = next(iter(collector.errors), None) if is_done and not has_results else None
        return Report(is_done, has_results, error, collector.wants_poll, jitter)

    def take(self, items: Sequence[Item], errors: Sequence[TaskError]) -> None:
        """Take in a frame's part for this task, and tell the observers."""
        collector = self.collector
        before = collector.progress
        arrived = collector.add(items)
        if errors:
            collector.fail(errors)
        if self.observer is not None:
            for result in arrived:
                _observe(self.observer.on_result, result)
            if collector.progress != before:
                _observe(self.observer.on_progress, collector.progress)
        self.advance(Heard())

    def take_text(self, text: str, reasoning: str) -> None:
        """Take in a piece of a streamed text, and tell the observer."""
        if text:
            self._text.append(text)
        if reasoning:
            self._reasoning.append(reasoning)
        if self.observer is not None and (text or reasoning):
            _observe(self.observer.on_text, text, reasoning)
        self.advance(Piece())

    def text_so_far(self) -> Item:
        """Return the fields of a result that the streamed pieces have filled."""
        item: Item = {"taskType": self.task_type, "taskUUID": self.task_uuid, "text": "".join(self._text)}
        return {**item, "reasoningContent": "".join(self._reasoning)} if self._reasoning else item

    @property
    def has_text(self) -> bool:
        """Whether a piece of a streamed text, or of its reasoning, has come."""
        return bool(self._text or self._reasoning)

    async def stop_reading(self) -> None:
        """Close the stream, if one is open. The task goes on at the service."""
        reader, self.reader = self.reader, None
        if reader is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    def listen(self, observer: RunObserver) -> None:
        """Tell an observer what arrives, and what has arrived already: a result can come while the task is sent."""
        self.observer = observer
        if self.has_text:
            so_far = self.text_so_far()
            _observe(observer.on_text, so_far["text"], so_far.get("reasoningContent", ""))
        for result in self.collector.results:
            _observe(observer.on_result, result)

    @property
    def doubted(self) -> Outcome:
        """The outcome that was put aside while the service was asked whether the task really failed."""
        assert self._doubted is not None
        return self._doubted

    def outcome(self) -> Outcome:
        """Sum up what has come. A text without its end is a result that is marked as partial."""
        outcome = self.collector.outcome(now() - self._sent_at)
        if self.has_text and not outcome.results:
            outcome.results.append(Result({**self.text_so_far(), PARTIAL: True}, self.task_uuid))
        return outcome

    def wake(self) -> None:
        """Let whoever waits look again."""
        self._was_woken = True
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def wait(self, until: float) -> None:
        """Wait until something happens; `Router` sees to it that *until*, by the monotonic clock, is something."""
        if not self._was_woken and until > now():
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._was_woken = False


def _observe(observer: Callable[..., None], *values: object) -> None:
    """Call an observer; what it raises is its own affair, but not a secret."""
    try:
        observer(*values)
    except Exception:
        logger.exception("an observer failed")
