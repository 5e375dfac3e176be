"""How many tasks may be in flight: lowered when the service asks to slow down, raised again with time."""

from __future__ import annotations

__all__ = ["InFlightLimit"]


class InFlightLimit:
    """A bound that follows the service's mood.

    A refusal for rate halves it; every *recovery* answers in a row raise it by one, up to where it began.

    Args:
        most: The bound at the start, and the most it can be; at least 1.
        recovery: Successes needed to raise it by one.
    """

    def __init__(self, most: int, *, recovery: int = 8) -> None:
        if most < 1:
            raise ValueError(f"impossible bound: {most=}")
        self.most = most
        self.current = most
        self._recovery = recovery
        self._successes = 0

    def on_rate_limited(self) -> None:
        """The service said that we ask too much."""
        self.current = max(1, self.current // 2)
        self._successes = 0

    def on_success(self) -> None:
        """A task was answered."""
        if self.current == self.most:
            return
        self._successes += 1
        if self._successes >= self._recovery:
            self._successes = 0
            self.current += 1
