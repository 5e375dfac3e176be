"""Usage of the platform account: calls by day, endpoint and status, which appear some minutes late."""

from __future__ import annotations

import collections
from datetime import UTC, datetime
from typing import Any

__all__ = ["Stats"]

Json = dict[str, Any]
Key = tuple[str, str, int]


class Stats:
    """Numbers of calls since the start of the process."""

    def __init__(self) -> None:
        self._recent: collections.deque[tuple[float, Key]] = collections.deque()
        self._counts: collections.Counter[Key] = collections.Counter()

    def add(self, now: float, endpoint: str, status: int) -> None:
        """Count a call.

        Args:
            now: Seconds since the epoch.
            endpoint: Method and path.
            status: HTTP status of its response.
        """
        day = datetime.fromtimestamp(now, UTC).date().isoformat()
        self._recent.append((now, (day, endpoint, status)))

    def clear(self) -> None:
        """Delete all numbers."""
        self._recent.clear()
        self._counts.clear()

    def report(self, until: float, form: str) -> Json:
        """Return the numbers of calls up to a time, in seconds since the epoch, as `days` or `rows`."""
        while self._recent and self._recent[0][0] <= until:
            self._counts[self._recent.popleft()[1]] += 1
        if form == "rows":
            rows = [
                {"date": day, "endpoint": endpoint, "status": status, "count": count}
                for (day, endpoint, status), count in sorted(self._counts.items())
            ]
            return {"stats": rows}
        days: Json = {}
        for (day, endpoint, status), count in sorted(self._counts.items()):
            days.setdefault(day, {}).setdefault(endpoint, {})[str(status)] = count
        return days
