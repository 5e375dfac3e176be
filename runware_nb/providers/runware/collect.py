"""Gathering one task's answers, in whatever order, number and form they come."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any

from ...core.items import Item
from ...core.results import Outcome, Result, is_final, item_id, result_index
from ...errors import AuthenticationFailed, OutOfCredit, RateLimited, TaskError, TaskInvalid
from .tasks import expected_results

__all__ = ["Collector"]

_REFUSALS = (TaskInvalid, AuthenticationFailed, OutOfCredit, RateLimited)
"""Errors that come before a task is accepted: no result can follow them."""


class Collector:
    """What is known about one task so far.

    Results are matched by their UUID or index, so that nothing counts twice and no result that came is
    ever forgotten. Errors name no item, so they are counted: those pushed append, those of each poll are a
    list of their own, and the longer list is believed, but never beyond what the poll leaves room for: one that
    is pushed while a poll is on its way would count twice otherwise.

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
        self._listed: int | None = None
        self._bare_polls = 0

    @property
    def errors(self) -> list[TaskError]:
        """The errors as far as known, one for each result that is missing at the most."""
        believed = self._polled if len(self._polled) >= len(self._pushed) else self._pushed
        return believed[: max(0, self.expected - len(self._results))]

    @property
    def results(self) -> list[Result]:
        """The results so far, in the order in which they came."""
        return list(self._results.values())

    @property
    def has_results(self) -> bool:
        """Whether anything came that is worth money."""
        return bool(self._results)

    @property
    def is_done(self) -> bool:
        """Whether every result asked for has come or has failed."""
        return self._ended or self.expected - len(self._results) <= self._failed

    @property
    def _failed(self) -> int:
        """How many results have failed, as far as known."""
        counted = max(len(self._pushed), len(self._polled))
        return counted if self._listed is None else min(counted, self.expected - self._listed)

    def begin_poll(self) -> None:
        """Start the list of what the next poll says; call it before each poll is sent."""
        self.settle_poll(is_whole=False)
        self._is_polled = True
        self._runs_on = False
        self._listed = None
        self._polled = []

    def settle_poll(self, *, is_whole: bool = True) -> None:
        """Judge what a poll has brought: an error and nothing still in progress is the end.

        Args:
            is_whole: Whether all of the answer is known to be here. Where frames are pushed nobody can tell, and
                errors without any item beside them are believed the second time.
        """
        if self._is_polled and self._polled and not self._runs_on:
            self._bare_polls += 1
            if is_whole or self._listed is not None or self._bare_polls > 1:
                self._ended = True

    def forget_errors(self) -> None:
        """Begin anew: the task is sent once more under its UUID, and what was refused before is no part of it."""
        self._pushed, self._polled = [], []
        self._listed = None
        self._bare_polls = 0
        self._ended = self.wants_poll = False

    def add(self, items: Iterable[Item]) -> list[Result]:
        """Take in `data` items of one frame; return the results that are new."""
        fresh: list[Result] = []
        running: list[float] = []
        listed = 0
        nameless: dict[str, int] = {}
        for item in items:
            self.accepted = True
            listed += "status" in item
            if not is_final(item):
                if "status" in item:
                    running.append(_percent(item.get("progress")))
                continue
            name = item_id(item)
            key = name or _nameless_key(item, nameless)
            known = self._results.get(key)
            if known is not None and name is not None and _are_different(known.raw, item):
                key = str(Result(item, self.task_uuid).item_uuid)  # two paid results under one index: keep both
                known = self._results.get(key)
            if known is None and name is None and len(self._results) >= self.expected:
                continue  # an answer that came twice, each of its items without a name
            if known is None:
                result = Result(item, self.task_uuid, self._index(item))
                self._results[key] = result
                fresh.append(result)
            else:
                known.raw = item
        if self._is_polled and listed:
            self._listed = listed
        if running:
            self._runs_on = True
            self._bare_polls = 0
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
        """Place a result: by the service's index, by its seed in the batch, else by arrival.

        Each result has a place of its own, because the log keeps one result for each place: of two that claim the same
        one, the second would replace the first, which was paid for as well.
        """
        taken = {result.index for result in self._results.values()}
        index = result_index(item)
        if index is None:
            first, seed = self.task.get("seed"), item.get("seed")
            if isinstance(first, int) and isinstance(seed, int) and 0 <= seed - first < self.expected:
                index = seed - first
        if index is not None and index not in taken:
            return index
        return next(free for free in itertools.count() if free not in taken)


def _percent(value: Any) -> float:
    """Return a progress that the service states, from 0 to 100; 0 if it is not a number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return min(100.0, max(0.0, float(value))) if is_number else 0.0


def _are_different(one: Item, other: Item) -> bool:
    """Return whether two items are different results, as far as their UUIDs tell."""
    names = Result(one, "").item_uuid, Result(other, "").item_uuid
    return None not in names and names[0] != names[1]


def _nameless_key(item: Item, seen: dict[str, int]) -> str:
    """Tell items without any identity apart by what they say, and equal ones by their place in the frame.

    So a frame that comes twice counts once, and two versions that happen to be equal still count as two.
    """
    said = json.dumps([item.get("text"), item.get("structuredData"), item.get("air")], sort_keys=True)
    seen[said] = seen.get(said, 0) + 1
    return f"{said}#{seen[said]}"
