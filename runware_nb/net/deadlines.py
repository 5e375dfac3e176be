"""Absolute deadlines: one moment by which a block of code has ended, however many waits it consists of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic as now  # the clock that asyncio's loops use
from types import TracebackType

from ..errors import TransportTimeout

__all__ = ["Deadline", "now"]


class Deadline:
    """An asynchronous context whose block ends at a moment.

    A limit for each single read never ends a server that sends one byte at a time. So every wait of one piece of work
    has the same deadline, and whatever is still awaited then is cancelled.

    Args:
        at: The moment by the monotonic clock, in seconds.
        late: Builds the error to raise then. It is called after the block was cancelled, so that it knows what
            had been sent by then.

    Raises:
        TransportTimeout: The deadline has passed, before the block began or in it.
    """

    def __init__(self, at: float, late: Callable[[], TransportTimeout]) -> None:
        self._at = at
        self._late = late
        self._timeout: asyncio.Timeout | None = None

    async def __aenter__(self) -> None:
        left_s = self._at - now()
        if not left_s > 0:  # a block that never waits would run to its end, and send what must not be sent any more
            raise self._late()
        self._timeout = asyncio.timeout(left_s)
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._timeout is not None
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError:
            # `from None`: the frames that were cancelled belong to the network library, and one of them may hold
            # the request's headers.
            raise self._late() from None
