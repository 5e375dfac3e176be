"""A queue for the places of a limiter, given in the order of asking."""

from __future__ import annotations

import asyncio
import collections
import copy
from collections.abc import Callable

from ..errors import TransportError

__all__ = ["Turns"]


class Turns:
    """Places for tasks in flight, and those who wait for one.

    Args:
        most: Returns how many places there are now. It may change at any time; `pass_on` gives out what became free.

    Attributes:
        closed: Why no more places are given; None as long as they are.
    """

    def __init__(self, most: Callable[[], int]) -> None:
        self.closed: TransportError | None = None
        self._most = most
        self._taken = 0
        self._waiting: collections.deque[asyncio.Future[None]] = collections.deque()

    async def acquire(self) -> None:
        """Wait for a place. The wait has no deadline: the deadline of a task starts when it has a place.

        Raises:
            TransportError: The queue was closed; nothing was sent.
        """
        if self.closed is not None:
            raise copy.copy(self.closed)
        if self._taken < self._most() and not self._waiting:
            self._taken += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give_back()  # the place was given at the moment when the wait ended
            raise

    def give_back(self) -> None:
        """Return a place, and give the free places to those who have waited longest."""
        self._taken -= 1
        self.pass_on()

    def pass_on(self) -> None:
        """Give the free places to those who have waited longest."""
        while self._waiting and self._taken < self._most():
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)

    def close(self, error: TransportError) -> None:
        """Refuse further places: those who wait, and those who come later, get a copy of the error."""
        self.closed = error
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(copy.copy(error))
