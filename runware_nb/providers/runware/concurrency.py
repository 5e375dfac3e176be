"""ConcurrencyLimiter: how many tasks are in flight at once, given in the order of asking."""

from __future__ import annotations

import asyncio
import collections
import copy

from ...core.limits import InFlightLimit
from ...errors import TransportError

__all__ = ["ConcurrencyLimiter"]


class ConcurrencyLimiter:
    """A bound on the tasks that are sent and not yet answered.

    Attributes:
        limit: How many slots there are. A refusal for rate lowers it, and successes raise it again.
    """

    def __init__(self, most: int) -> None:
        self.limit = InFlightLimit(most)
        self._taken = 0
        self._waiting: collections.deque[asyncio.Future[None]] = collections.deque()
        self._closed: TransportError | None = None

    async def acquire(self) -> None:
        """Wait for a slot. The wait has no deadline: a task's deadline starts when it has a slot.

        Raises:
            TransportError: The client was closed; nothing was sent.
        """
        if self._closed is not None:
            raise copy.copy(self._closed)
        if self._taken < self.limit.current and not self._waiting:
            self._taken += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._give_back()  # the slot was given at the moment when the wait ended
            raise

    async def release(self) -> None:
        """Return a slot, and give the free slots to those that have waited longest."""
        self._give_back()

    def _give_back(self) -> None:
        self._taken -= 1
        while self._waiting and self._taken < self.limit.current:
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)

    def close(self, error: TransportError) -> None:
        """Refuse further slots: those that wait, and those that come later, get a copy of the error."""
        self._closed = error
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(copy.copy(error))
