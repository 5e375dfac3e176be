"""Who waits for which frame."""

from __future__ import annotations

import asyncio
import collections
import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...core.items import Item
from ...errors import ProtocolError, RunwareNBError, TaskError, TransportError
from .attempt import TrackedAttempt, now
from .classify import task_error
from .fate import QUESTIONS, Broken, Count, EmptyAnswer, ErrorNamed, Hint, Resumed
from .frames import Frame, names_task
from .tasks import current_task_type, is_utility

__all__ = ["Router"]

logger = logging.getLogger("runware_nb")

Key = tuple[str, str]
"""Task type and task UUID, which is how the protocol matches answers."""


class Router:
    """Every flight and every utility call under way; hears what the transports hear.

    Attributes:
        flights: Tasks on their way, by UUID.
    """

    def __init__(self) -> None:
        self.flights: dict[str, TrackedAttempt] = {}
        self._calls: dict[Key, _Call] = {}
        self._polls: collections.deque[TrackedAttempt] = collections.deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = float("inf")

    # --- waiting -----------------------------------------------------------------------------------

    async def wait(self, flight: TrackedAttempt, until: float) -> None:
        """Wait until something happens to a flight, or *until* has come by the monotonic clock.

        One alarm serves all flights: a timer for each would cost more than the rest of the waiting.
        """
        flight.wake_at = until
        if until < self._alarm_at:
            self._set_alarm(until)
        await flight.wait(until)

    def _set_alarm(self, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._alarm_at = at
        if at != float("inf"):
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_at(loop.time() + max(0.0, at - now()), self._on_alarm)

    def _on_alarm(self) -> None:
        self._alarm = None
        at = now() + 1e-3
        nearest = float("inf")
        for flight in self.flights.values():
            if flight.wake_at <= at:
                flight.wake()
            elif flight.wake_at < nearest:
                nearest = flight.wake_at
        self._set_alarm(nearest)

    def close(self) -> None:
        """Stop the alarm."""
        self._set_alarm(float("inf"))

    # --- asking ------------------------------------------------------------------------------------

    def expect_poll(self, flight: TrackedAttempt) -> None:
        """Note that a poll for a flight goes out: an answer without any name may be for it."""
        self._polls.append(flight)

    def forget_poll(self, flight: TrackedAttempt) -> None:
        """Note that the poll's answer is not waited for any more."""
        if flight in self._polls:
            self._polls.remove(flight)

    def expect_call(
        self, task_type: str, task_uuid: str, *, until: Callable[[Item], bool] | None = None
    ) -> asyncio.Future[list[Item]]:
        """Wait for the answer to a utility.

        Args:
            task_type: Its type.
            task_uuid: Its UUID; empty where it has none.
            until: Tells an answer from news on the way to it; the first answer counts where None.
        """
        call = _Call(asyncio.get_running_loop().create_future(), until)
        self._calls[task_type, task_uuid] = call
        return call.answer

    def forget_call(self, task_type: str, task_uuid: str) -> None:
        """Do not wait for a utility's answer any more."""
        call = self._calls.pop((task_type, task_uuid), None)
        if call is not None and call.answer.done() and not call.answer.cancelled():
            call.answer.exception()  # seen, even if nobody waited to the end

    # --- frames in (Listener) ----------------------------------------------------------------------

    def on_frame(self, frame: Frame) -> None:
        """Give each item and error to the task it names."""
        if len(frame.items) == 1 and not frame.errors:  # by far the most frequent
            item = frame.items[0]
            flight = self.flights.get(item.get("taskUUID", ""))
            if flight is not None and item.get("taskType") == flight.task_type:
                self._deliver(flight, frame.items, (), frame)
                return
        if not frame.items and not frame.errors:
            self._on_empty_poll()
        flights: dict[str, tuple[list[Item], list[Item]]] = {}
        calls: dict[Key, tuple[list[Item], list[Item]]] = {}
        for position, entries in enumerate((frame.items, frame.errors)):
            for entry in entries:
                key = (str(entry.get("taskType")), str(entry.get("taskUUID") or ""))
                if key in self._calls:
                    calls.setdefault(key, ([], []))[position].append(entry)
                elif key[1] in self.flights:
                    flights.setdefault(key[1], ([], []))[position].append(entry)
                elif position == 1 and not names_task(entry):
                    self._on_orphan(entry, frame)
        for key, (items, errors) in calls.items():
            self._answer_call(key, items, errors, frame)
        for task_uuid, (items, errors) in flights.items():
            self._deliver(self.flights[task_uuid], items, errors, frame)

    def on_gap(self) -> None:
        """Let utilities ask again; tasks wait on, and `on_resumed` follows."""
        self._fail_calls(TransportError("the connection was lost before the answer came"))

    def on_resumed(self) -> None:
        """Ask about everything in flight: replay is only a shortcut."""
        self._polls.clear()
        for flight in self.flights.values():
            flight.advance(Resumed())

    def on_unreadable(self, error: ProtocolError) -> None:
        """Ask about everything in flight; a utility whose answer it may have been fails with it."""
        for flight in self.flights.values():
            flight.advance(Hint(copy.copy(error)))
        self._fail_calls(error)

    def on_broken(self, error: RunwareNBError) -> None:
        """Let every waiting call know."""
        for flight in self.flights.values():
            flight.advance(Broken(copy.copy(error)))  # each carries the outcome of its own task
        self._fail_calls(error)

    def hand_over(self, flight: TrackedAttempt, items: Sequence[Item], errors: Sequence[Item], frame: Frame) -> None:
        """Pass to a flight the part of a frame that names its UUID, or is archived under it."""
        failed = []
        for entry in errors:
            error = _error_of(entry, frame)
            actions = flight.advance(ErrorNamed(error, is_question=entry.get("taskType") in QUESTIONS))
            if any(isinstance(action, Count) for action in actions):
                failed.append(error)
        if items or failed:
            flight.take(items, failed)

    def _deliver(self, flight: TrackedAttempt, items: Sequence[Item], errors: Sequence[Item], frame: Frame) -> None:
        """Pass to a flight its part of a frame. A fault in that part becomes an error of this flight only."""
        try:
            self.hand_over(flight, items, errors, frame)
        except Exception as error:
            logger.exception("a response could not be used")
            unusable = ProtocolError(
                f"a response about task {flight.task_uuid} could not be used ({type(error).__name__}: {error}). The "
                "task may have been charged, and can be collected later"
            )
            flight.advance(Broken(unusable))

    def _fail_calls(self, error: RunwareNBError) -> None:
        for call in self._calls.values():
            if not call.answer.done():
                call.answer.set_exception(error)

    def _on_orphan(self, entry: Item, frame: Frame) -> None:
        """Ask about each task that an error without a task's UUID may concern.

        It is never evidence about a task, not even about the only one in flight: it may announce maintenance, refuse a
        poll, or belong to a task that another process has sent under the same key. If it settled a task, a later result
        would be dropped, and the same request would be paid for again.
        """
        task_type = current_task_type(str(entry.get("taskType") or ""))
        if is_utility(task_type) and task_type not in QUESTIONS:
            return
        for flight in self.flights.values():
            if not task_type or task_type in QUESTIONS or task_type == current_task_type(flight.task_type):
                flight.advance(Hint(_error_of(entry, frame)))

    def _answer_call(self, key: Key, items: list[Item], errors: list[Item], frame: Frame) -> None:
        call = self._calls.get(key)
        if call is None or call.answer.done():
            return
        if errors:
            call.answer.set_exception(_error_of(errors[0], frame))
        elif call.until is None or any(call.until(item) for item in items):
            call.answer.set_result(items)

    def _on_empty_poll(self) -> None:
        """Give an empty answer, which names no task, to the poll that has waited longest."""
        while self._polls:
            flight = self._polls.popleft()
            if flight.fate.poll_answer is None:
                flight.advance(EmptyAnswer())
                return


@dataclass(frozen=True, slots=True)
class _Call:
    """A utility that waits for its answer."""

    answer: asyncio.Future[list[Item]]
    until: Callable[[Item], bool] | None


def _error_of(entry: Item, frame: Frame) -> TaskError:
    value = entry.get("retry_after_s", frame.retry_after_s)
    wait_s = max(0.0, float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else None
    return task_error(entry, http_status=frame.http_status, retry_after_s=wait_s)
