"""Clock of a service, whose pace tests may speed up."""

from __future__ import annotations

import time
from dataclasses import dataclass

__all__ = ["Clock"]


@dataclass(frozen=True)
class Clock:
    """Wall clock and pace.

    Attributes:
        time_scale: Protocol seconds per real second; 1 is the pace of the real service.
    """

    time_scale: float = 1.0

    def real_s(self, protocol_s: float) -> float:
        """Return the real seconds that a time window of the protocol takes."""
        return protocol_s / self.time_scale

    @staticmethod
    def now() -> float:
        """Return seconds since the epoch. State outlives the process, so the clock must too."""
        return time.time()
