"""How long a task is expected to take, and how a wait is worded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, RunLogError
from ..runlog.records import UsualDuration

if TYPE_CHECKING:
    from .ports import Ports

__all__ = ["duration_in_words", "expected_duration", "in_round_numbers", "wait_in_words"]

_LATE = 1.5
"""A run that takes so many times the usual time is worth a word."""


def expected_duration(ports: Ports, task: Mapping[str, Any], service: str = "") -> UsualDuration | None:
    """Return how long the user's own runs of this kind took; None if that is not known.

    Args:
        ports: Whose log is read.
        task: The task.
        service: Who performs it, as the log names it; empty for Runware, or the sandbox in its place.
    """
    from ..runlog.durations import usual_duration

    try:
        return usual_duration(ports.log, task, ports.provider(service).name)
    except (ConfigError, RunLogError):  # its service is not in use, or the log cannot be read now
        return None


def wait_in_words(elapsed_s: float, usual: UsualDuration | None) -> list[str]:
    """Return phrases about a wait: how long it is so far, and how long such a run usually takes."""
    phrases = [f"{_exactly(elapsed_s)} so far"] if elapsed_s >= 1 else []
    if usual is not None:
        about = in_round_numbers(usual.seconds)
        is_late = elapsed_s > _LATE * usual.seconds
        phrases.append(f"longer than the usual {about}" if is_late else f"usually takes about {about}")
    return phrases


def duration_in_words(usual: UsualDuration) -> str:
    """Format how long a task is expected to take, and what that is known from."""
    what = "similar runs" if usual.is_similar else "runs with other parameters"
    return f"about {in_round_numbers(usual.seconds)} (median of {usual.runs} of your {what})"


def in_round_numbers(seconds: float) -> str:
    """Format a duration that is known roughly, such as `50 s`, `3 min` or `2 h`."""
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    if seconds < 55:
        return f"{5 * round(seconds / 5)} s"
    if seconds < 90:
        return "1 min"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{round(seconds / 3600)} h"


def _exactly(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02} min"
