"""Reading the text of one task while it is written: the events of its response, turned into what any task receives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ...core.items import Item
from ...errors import ProtocolError, TransportError
from .attempt import TrackedAttempt
from .fate import Leaving, Opened, StreamEnded
from .frames import Frame
from .router import Router
from .sse import EventDecoder, delta_of

if TYPE_CHECKING:
    from .rest import RestTransport

__all__ = ["open_stream"]

_TAIL_S = 2.0
"""Longest wait for usage, cost and the end of a stream after its text has ended, in seconds."""
_GRACE_S = 30.0
"""The deadline of a task ends its wait, and with it the stream. The limit of the connection comes later."""


async def open_stream(flight: TrackedAttempt, transport: RestTransport, router: Router, *, timeout_s: float) -> bool:
    """Send a task, wait until its response begins, and read the stream in a task of its own (`flight.reader`).

    Args:
        flight: The attempt, whose text is streamed.
        transport: Sends it.
        router: Receives errors in the stream.
        timeout_s: Time until the deadline of the task, in seconds.

    Returns:
        Whether the response is a stream. Any other response has been handed on like that of other tasks.

    Raises:
        TaskError: The service refused it without naming the task.
        TransportError: It was not sent, or the connection broke before the response began.
        ProtocolError: The response is neither a stream nor an error.
    """
    opened: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    reader = _StreamReader(flight, router, opened)
    flight.reader = asyncio.create_task(reader.read(transport, timeout_s + _GRACE_S), name="runware stream")
    return await opened


class _StreamReader:
    """Reads one response to its end.

    Args:
        flight: Takes in the pieces, and the result at the end.
        router: Takes in errors.
        opened: Resolved when the response begins.
    """

    def __init__(self, flight: TrackedAttempt, router: Router, opened: asyncio.Future[bool]) -> None:
        self._flight = flight
        self._router = router
        self._opened = opened
        self._decoder = EventDecoder()
        self._last: Item = {}
        self._failure: Frame | None = None

    async def read(self, transport: RestTransport, timeout_s: float) -> None:
        """Send the task and read its response. Errors before its beginning go to *opened*.

        The end is reported last, when the connection is closed: it ends the attempt, which cancels what is left here.
        """
        flight = self._flight
        is_stream = is_complete = False
        try:
            async with transport.stream(
                [flight.task], timeout_s=timeout_s, on_leaving=lambda: _advance_leaving(flight)
            ) as pieces:
                if pieces is not None:
                    is_stream = True
                    flight.advance(Opened())
                    self._open(is_stream=True)
                    is_complete = await self._read_events(pieces)
        except Exception as error:
            if is_stream:
                flight.advance(StreamEnded(_broken(error)))
                if not isinstance(error, TransportError | ProtocolError):
                    raise
            elif not self._opened.done():
                self._opened.set_exception(error)
            return
        self._open(is_stream=is_stream)
        if is_stream:
            self._conclude(is_complete=is_complete)

    def _open(self, *, is_stream: bool) -> None:
        if not self._opened.done():
            self._opened.set_result(is_stream)

    async def _read_events(self, pieces: AsyncIterator[bytes]) -> bool:
        """Take in all events, and return whether the end of the text has come.

        Raises:
            TransportError: The connection broke before.
            ProtocolError: An event cannot be read.
        """
        try:
            async with asyncio.timeout(None) as tail:
                async for piece in pieces:
                    for event in self._decoder.feed(piece):
                        self._take(event)
                    if self._is_complete:
                        break
                    if "finishReason" in self._last and tail.when() is None:
                        tail.reschedule(asyncio.get_running_loop().time() + _TAIL_S)
                else:
                    for event in self._decoder.finish():
                        self._take(event)
        except TimeoutError:
            pass  # the text has ended, and only the end of the response is missing
        except (TransportError, ProtocolError):
            if "finishReason" not in self._last:  # if it came, the text is complete
                raise
        return "finishReason" in self._last or (self._decoder.is_done and self._flight.has_text)

    def _conclude(self, *, is_complete: bool) -> None:
        """Hand over the whole text, or the error that ended it, or report that it broke off."""
        flight = self._flight
        is_broken = self._failure is None and not is_complete
        flight.advance(StreamEnded(TransportError("the stream broke off") if is_broken else None))
        if self._failure is not None:
            self._router.hand_over(flight, (), self._failure.errors[:1], self._failure)
        elif is_complete:
            flight.take([{**self._last, **flight.text_so_far()}], ())

    @property
    def _is_complete(self) -> bool:
        """Whether nothing more is to be waited for: the end came, or all that was asked for."""
        if self._failure is not None or self._decoder.is_done:
            return True
        task, last = self._flight.task, self._last
        has_cost = last.get("cost") is not None or not task.get("includeCost")
        has_usage = bool(last.get("usage")) or not task.get("includeUsage")
        return "finishReason" in last and has_cost and has_usage

    def _take(self, event: str) -> None:
        """Take in one event: a piece, what the last one states, or an error."""
        if self._failure is not None:
            return
        piece = delta_of(event)
        if isinstance(piece, Frame):
            # It stands in the response to this task, and so it is about this task, whatever it names.
            scope = {"taskType": self._flight.task_type, "taskUUID": self._flight.task_uuid}
            self._failure = replace(piece, errors=({**piece.errors[0], **scope},))
            return
        if piece.text or piece.reasoning:
            self._flight.take_text(piece.text, piece.reasoning)
        stated = {name: value for name, value in (piece.raw or {}).items() if name != "delta"}
        if piece.finish_reason is not None or piece.usage or piece.cost_usd is not None:
            self._last |= stated


def _broken(error: Exception) -> TransportError:
    """Return what became of the connection. An event that cannot be read says nothing about the task either."""
    if isinstance(error, TransportError):
        return error
    broken = TransportError(f"the stream broke off: {error}")
    broken.__cause__ = error
    return broken


def _advance_leaving(flight: TrackedAttempt) -> None:
    flight.advance(Leaving())
