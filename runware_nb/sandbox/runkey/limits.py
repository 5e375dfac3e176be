"""Plans, and the window in which requests are counted."""

from __future__ import annotations

import collections
import math
from dataclasses import dataclass

__all__ = ["PLANS", "Plan", "Window"]

_WINDOW_S = 60.0


@dataclass(frozen=True)
class Plan:
    """Limits of a plan.

    Attributes:
        requests_per_minute: Requests of the account in one window.
        concurrent_tasks: Tasks that may be unfinished at the same time.
    """

    requests_per_minute: int
    concurrent_tasks: int


PLANS = {"free": Plan(30, 5), "pro": Plan(60, 10), "team": Plan(120, 25)}
"""All plans by name, see section 10 of the reference."""


class Window:
    """Requests of the last minute. All times are seconds of the protocol."""

    def __init__(self) -> None:
        self._times: collections.deque[float] = collections.deque()

    def clear(self) -> None:
        """Forget all requests."""
        self._times.clear()

    def admit(self, now: float, limit: int, *, is_sliding: bool) -> bool:
        """Count a request; return whether it is within the limit. A refused request is not counted."""
        self._expire(now, is_sliding=is_sliding)
        if len(self._times) >= limit:
            return False
        self._times.append(now)
        return True

    def remaining(self, now: float, limit: int, *, is_sliding: bool) -> int:
        """Return how many more requests are within the limit."""
        self._expire(now, is_sliding=is_sliding)
        return max(0, limit - len(self._times))

    def wait_s(self, now: float) -> int:
        """Return the whole seconds until a request leaves the window, at least 1 if there is one."""
        return max(1, math.ceil(self._times[0] + _WINDOW_S - now)) if self._times else 0

    def _expire(self, now: float, *, is_sliding: bool) -> None:
        if is_sliding:
            while self._times and self._times[0] + _WINDOW_S <= now:
                self._times.popleft()
        elif self._times and self._times[0] + _WINDOW_S <= now:
            self._times.clear()
