"""Places in flight: so many, given in the order of asking."""

from __future__ import annotations

import asyncio
import collections

from ..errors import TransportTimeout
from ..wire.limits import InFlightLimit
from .flight import now

__all__ = ["Slots"]


class Slots:
    """Bounds how many tasks are sent and not yet answered.

    Attributes:
        limit: How many; lowered when the service asks to slow down, raised again with time.
    """

    def __init__(self, most: int) -> None:
        self.limit = InFlightLimit(most)
        self._taken = 0
        self._waiting: collections.deque[asyncio.Future[None]] = collections.deque()

    async def take(self, deadline: float, task_uuid: str) -> None:
        """Wait for a place.

        Raises:
            TransportTimeout: There was none until *deadline*, by the monotonic clock; nothing was sent.
        """
        if self._taken < self.limit.current and not self._waiting:
            self._taken += 1
            return
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        timer = loop.call_later(max(0.0, deadline - now()), _expire, turn, task_uuid)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.free()  # it was given just as we stopped waiting
            raise
        finally:
            timer.cancel()

    def free(self) -> None:
        """Give a place back, and hand over what is free to whoever has waited longest."""
        self._taken -= 1
        while self._waiting and self._taken < self.limit.current:
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)


def _expire(turn: asyncio.Future[None], task_uuid: str) -> None:
    if not turn.done():
        turn.set_exception(
            TransportTimeout(
                f"task {task_uuid} waited for its turn until the deadline and was not sent", task_uuid=task_uuid
            )
        )
