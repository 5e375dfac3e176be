"""Gathering one task's answers, in whatever order, number and form they come."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import AuthenticationFailed, OutOfCredit, RateLimited, TaskError, TaskInvalid
from .frames import Item
from .results import Outcome, Result, is_final, item_id
from .tasks import expected_results

__all__ = ["Collector"]

_REFUSALS = (TaskInvalid, AuthenticationFailed, OutOfCredit, RateLimited)
"""Errors that come before a task is accepted: no result can follow them."""


class Collector:
    """What is known about one task so far.

    Results are matched by their UUID or index, so that nothing counts twice and no result that came is
    ever forgotten. Errors name no item, so they are counted: those pushed append, those of each poll are a
    list of their own, and the longer list is believed.

    Attributes:
        task: The task in wire spelling.
        task_uuid: Its UUID.
        expected: How many results it asks for.
        accepted: Whether the service has shown that it knows the task.
        progress: 0 to 100, as far as the service said.
        wants_poll: Whether an error named the task but no item, and one poll should say what is left.
    """

    def __init__(self, task: Mapping[str, Any]) -> None:
        self.task: Item = dict(task)
        self.task_uuid = str(task.get("taskUUID", ""))
        self.expected = expected_results(task)
        self.accepted = False
        self.progress = 0.0
        self.wants_poll = False
        self._ended = False
        self._results: dict[str, Result] = {}
        self._pushed: list[TaskError] = []
        self._polled: list[TaskError] = []
        self._is_polled = False
        self._runs_on = False

    @property
    def errors(self) -> list[TaskError]:
        """The errors as far as known, one for each result that is missing at the most."""
        believed = self._polled if len(self._polled) >= len(self._pushed) else self._pushed
        return believed[: max(0, self.expected - len(self._results))]

    @property
    def has_results(self) -> bool:
        """Whether anything came that is worth money."""
        return bool(self._results)

    @property
    def is_done(self) -> bool:
        """Whether every result asked for has come or has failed."""
        missing = self.expected - len(self._results)
        return self._ended or missing <= max(len(self._pushed), len(self._polled))

    def begin_poll(self) -> None:
        """Start the list of what the next poll says; call it before each poll is sent."""
        self.settle_poll()
        self._is_polled = True
        self._runs_on = False
        self._polled = []

    def settle_poll(self) -> None:
        """Judge a poll that has been answered: an error and nothing still in progress is the end."""
        if self._is_polled and self._polled and not self._runs_on:
            self._ended = True

    def add(self, items: Iterable[Item]) -> list[Result]:
        """Take in `data` items of one frame; return the results that are new."""
        fresh: list[Result] = []
        running: list[float] = []
        nameless: dict[str, int] = {}
        for item in items:
            self.accepted = True
            if not is_final(item):
                if "status" in item:
                    progress = item.get("progress")
                    running.append(float(progress) if isinstance(progress, int | float) else 0.0)
                continue
            key = item_id(item) or _nameless_key(item, nameless)
            known = self._results.get(key)
            if known is None:
                result = Result(item, self.task_uuid, self._index(item))
                self._results[key] = result
                fresh.append(result)
            else:
                known.raw = item
        if running:
            self._runs_on = True
            whole = 100.0 * len(self._results) + sum(running)
            self.progress = min(100.0, whole / max(self.expected, 1))
        return fresh

    def fail(self, errors: Iterable[TaskError]) -> None:
        """Take in the errors of one frame that name this task."""
        for error in errors:
            (self._polled if self._is_polled else self._pushed).append(error)
            if isinstance(error, _REFUSALS) and not self.has_results:
                self._ended = True
            elif self.expected > 1 and not self._is_polled:
                self.wants_poll = True

    def outcome(self, duration_s: float | None = None) -> Outcome:
        """Sum up: results by index, then seed."""
        ordered = sorted(self._results.values(), key=lambda one: (one.index, one.seed or 0))
        return Outcome(self.task, self.task_uuid, ordered, self.errors, duration_s)

    def _index(self, item: Item) -> int:
        """Place a result: by the service's index, by its seed in the batch, else by arrival."""
        index = item.get("resultIndex")
        if isinstance(index, int):
            return index
        first, seed = self.task.get("seed"), item.get("seed")
        if isinstance(first, int) and isinstance(seed, int) and 0 <= seed - first < self.expected:
            return seed - first
        return len(self._results)


def _nameless_key(item: Item, seen: dict[str, int]) -> str:
    """Tell items without any identity apart by what they say, and equal ones by their place in the frame.

    So a frame that comes twice counts once, and two versions that happen to be equal still count as two.
    """
    said = json.dumps([item.get("text"), item.get("structuredData"), item.get("air")], sort_keys=True)
    seen[said] = seen.get(said, 0) + 1
    return f"{said}#{seen[said]}"
