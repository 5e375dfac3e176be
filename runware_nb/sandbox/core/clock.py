"""The service's time windows, which tests may shorten."""

from __future__ import annotations

import time
from dataclasses import dataclass

__all__ = ["Clock"]


@dataclass(frozen=True)
class Clock:
    """Windows of the protocol, in real seconds.

    Attributes:
        time_scale: How many protocol seconds pass in one real second; 1 is the service's own pace.
    """

    time_scale: float = 1.0

    @property
    def idle_s(self) -> float:
        """A silent socket is closed after this long."""
        return 120.0 / self.time_scale

    @property
    def buffer_s(self) -> float:
        """Results for a lost connection are kept this long."""
        return 120.0 / self.time_scale

    @property
    def sync_window_s(self) -> float:
        """A sync task's answer is held open this long."""
        return 120.0 / self.time_scale

    @staticmethod
    def now() -> float:
        """Seconds since the epoch: state outlives the process, so the clock must too."""
        return time.time()
