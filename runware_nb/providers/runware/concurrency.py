"""ConcurrencyLimiter: how many tasks are in flight at once, given in the order of asking."""

from __future__ import annotations

from ...core.limits import InFlightLimit
from ...errors import TransportError
from ..turns import Turns

__all__ = ["ConcurrencyLimiter"]


class ConcurrencyLimiter:
    """A bound on the tasks that are sent and not yet answered.

    Attributes:
        limit: How many slots there are. A refusal for rate lowers it, and successes raise it again.
    """

    def __init__(self, most: int) -> None:
        self.limit = InFlightLimit(most)
        self._turns = Turns(lambda: self.limit.current)

    async def acquire(self) -> None:
        """Wait for a slot. The wait has no deadline: a task's deadline starts when it has a slot.

        Raises:
            TransportError: The client was closed; nothing was sent.
        """
        await self._turns.acquire()

    async def release(self) -> None:
        """Return a slot, and give the free slots to those that have waited longest."""
        self._turns.give_back()

    def close(self, error: TransportError) -> None:
        """Refuse further slots: those that wait, and those that come later, get a copy of the error."""
        self._turns.close(error)
