"""Who waits for which frame."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import ProtocolError, RunwareNBError, TransportError
from ..wire.classify import CONFLICT, task_error
from ..wire.frames import Frame, Item
from .flight import Flight, now

__all__ = ["Board"]

_NOT_KNOWN = {"taskFailedOrNotFound", "taskNotFound"}  # one way of saying so; an empty answer is the other

Key = tuple[str, str]
"""Task type and task UUID, which is how the protocol matches answers."""


class Board:
    """Every flight and every utility call under way; hears what the transports hear.

    Attributes:
        flights: Tasks on their way, by UUID.
    """

    def __init__(self) -> None:
        self.flights: dict[str, Flight] = {}
        self._calls: dict[Key, _Call] = {}
        self._polls: collections.deque[Flight] = collections.deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = float("inf")

    # --- waiting -----------------------------------------------------------------------------------

    async def wait(self, flight: Flight, until: float) -> None:
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

    def expect_poll(self, flight: Flight) -> None:
        """Note that a poll for a flight goes out: an answer without any name may be for it."""
        self._polls.append(flight)

    def forget_poll(self, flight: Flight) -> None:
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
                flight.take(frame.items, ())
                return
        if not frame.items and not frame.errors:
            self._on_empty_poll()
        flights: dict[str, tuple[list[Item], list[Item]]] = {}
        calls: dict[Key, tuple[list[Item], list[Item]]] = {}
        for position, entries in enumerate((frame.items, frame.errors)):
            for entry in entries:
                addressee = self._addressee(entry)
                if addressee is not None:
                    flights.setdefault(addressee, ([], []))[position].append(entry)
                else:
                    key = (str(entry.get("taskType")), str(entry.get("taskUUID") or ""))
                    calls.setdefault(key, ([], []))[position].append(entry)
        for key, (items, errors) in calls.items():
            self._answer_call(key, items, errors, frame)
        for task_uuid, (items, errors) in flights.items():
            self.hand_over(self.flights[task_uuid], items, errors, frame)

    def on_gap(self) -> None:
        """Let utilities ask again; tasks wait on, and `on_resumed` follows."""
        self._fail_calls(TransportError("the connection was lost before the answer came"))

    def on_resumed(self) -> None:
        """Ask about everything in flight: replay is only a shortcut."""
        self._polls.clear()
        for flight in self.flights.values():
            flight.should_ask = True
            flight.wake()

    def on_unreadable(self, error: ProtocolError) -> None:
        """Ask about everything in flight; a utility whose answer it may have been fails with it."""
        self.on_resumed()
        self._fail_calls(error)

    def on_broken(self, error: RunwareNBError) -> None:
        """Let every waiting call know."""
        for flight in self.flights.values():
            flight.broken = error
            flight.wake()
        self._fail_calls(error)

    def hand_over(self, flight: Flight, items: Sequence[Item], errors: Sequence[Item], frame: Frame) -> None:
        """Give a flight its part of a frame."""
        failed = []
        for entry in errors:
            if entry.get("code") == CONFLICT and flight.times_sent > 1:
                flight.should_ask = True  # our own second sending met the first: it was accepted
                continue
            if str(entry.get("code")) in _NOT_KNOWN and flight.is_polling:
                flight.poll_answer, flight.is_polling = False, False
                flight.wake()
                continue
            error = task_error(entry, http_status=frame.http_status, retry_after_s=_asked_wait_s(entry, frame))
            if error.retryable and not error.task_uuid:
                flight.broken = error  # it names no task, so the fate of ours is unknown
            else:
                failed.append(error)
        flight.take(items, failed)

    def _fail_calls(self, error: RunwareNBError) -> None:
        for call in self._calls.values():
            if not call.answer.done():
                call.answer.set_exception(error)

    def _addressee(self, entry: Item) -> str | None:
        """Find the flight an item or error is about; None for a utility call's answer."""
        task_uuid = entry.get("taskUUID")
        task_type = entry.get("taskType")
        if isinstance(task_uuid, str) and task_uuid:
            if (str(task_type), task_uuid) in self._calls:
                return None
            return task_uuid if task_uuid in self.flights else None
        if "code" not in entry or (str(task_type), "") in self._calls:
            return None
        fitting = [f.task_uuid for f in self.flights.values() if task_type in {None, f.task_type}]
        if len(fitting) == 1:
            return fitting[0]
        for key in fitting:  # which of them it means, only the service knows: ask about each
            self.flights[key].should_ask = True
            self.flights[key].wake()
        return None

    def _answer_call(self, key: Key, items: list[Item], errors: list[Item], frame: Frame) -> None:
        call = self._calls.get(key)
        if call is None or call.answer.done():
            return
        if errors:
            call.answer.set_exception(
                task_error(errors[0], http_status=frame.http_status, retry_after_s=_asked_wait_s(errors[0], frame))
            )
        elif call.until is None or any(call.until(item) for item in items):
            call.answer.set_result(items)

    def _on_empty_poll(self) -> None:
        """Give an empty answer, which names no task, to the poll that has waited longest."""
        while self._polls:
            flight = self._polls.popleft()
            if flight.poll_answer is None:
                flight.poll_answer = False
                flight.wake()
                return


@dataclass(frozen=True, slots=True)
class _Call:
    """A utility that waits for its answer."""

    answer: asyncio.Future[list[Item]]
    until: Callable[[Item], bool] | None


def _asked_wait_s(entry: Item, frame: Frame) -> float | None:
    value = entry.get("retry_after_s", frame.retry_after_s)
    return float(value) if isinstance(value, int | float) else None
