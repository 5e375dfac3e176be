"""The pace of a service: the clock of its waits and windows, which tests let run faster."""

from __future__ import annotations

import asyncio
import time

__all__ = ["Clock"]


class Clock:
    """A clock for waits that a service sets, such as a pause between two polls or a limit of requests per minute.

    Deadlines of connections are real time, see `net.deadlines`.

    Args:
        scale: Seconds of the service per real second; 1 is the pace of a real service. A sandbox with `--time-scale`
            runs faster.
    """

    __slots__ = ("_scale",)

    def __init__(self, scale: float = 1.0) -> None:
        if not scale > 0:
            raise ValueError(f"Invalid scale {scale!r}: expected a number above 0.")
        self._scale = scale

    @property
    def scale(self) -> float:
        """Seconds of the service per real second."""
        return self._scale

    def now(self) -> float:
        """Return the monotonic time, in seconds of the service."""
        return time.monotonic() * self._scale

    def real_s(self, seconds: float) -> float:
        """Return how many real seconds a number of seconds of the service takes."""
        return seconds / self._scale

    async def sleep(self, seconds: float) -> None:
        """Wait for a number of seconds of the service; not at all if it is negative."""
        await asyncio.sleep(max(0.0, self.real_s(seconds)))

    def __repr__(self) -> str:
        return f"<Clock scale={self._scale:g}>"
