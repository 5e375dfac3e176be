"""When to ask again about a task that is not finished."""

from __future__ import annotations

from .operations import Operation

__all__ = ["SYNC_SILENCE_S", "UNANSWERED_POLL_S", "first_poll_s", "poll_delay_s"]

SYNC_SILENCE_S = 20.0
"""After so long without a word about a sync task, we ask.

The service pushes for about 120 s (reference 9), but frames get lost, and then this is what it costs.
"""

UNANSWERED_POLL_S = 3.0
"""A poll over WebSocket that got no answer for so long is asked again."""


def poll_delay_s(attempt: int, *, first_s: float = 1.0, longest_s: float = 10.0) -> float:
    """Say how long to wait before asking about an unfinished task again.

    The wait grows by half each time up to a ceiling. There is no jitter: one kernel rarely polls
    in step with another.

    Args:
        attempt: How many times we have asked already; 0 before the first.
        first_s: First wait in seconds, above 0.
        longest_s: Ceiling in seconds, at least *first_s*.

    Returns:
        Seconds, between *first_s* and *longest_s*.

    Raises:
        ValueError: *attempt* is negative or the two bounds are reversed.

    Source:
        Runware reference 3.2: start at 1-2 s, grow. The factor and the ceiling are our choice.
    """
    if attempt < 0 or not 0 < first_s <= longest_s:
        raise ValueError(f"impossible wait: {attempt=}, {first_s=}, {longest_s=}")
    return float(min(longest_s, first_s * 1.5 ** min(attempt, 60)))


def first_poll_s(operation: Operation | None) -> float:
    """Return how many seconds an operation takes at least; 1.0 for work that the table of operations does not have."""
    return 1.0 if operation is None else operation.least_s
