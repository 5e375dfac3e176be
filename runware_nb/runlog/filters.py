"""Which runs? The filters of `log`, checked; no database is needed to write one."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from ..errors import MagicUsageError
from ..reprs import short_repr
from .records import State

__all__ = ["SORTS", "RunFilter", "parse_since"]

SORTS = ("newest", "oldest", "cost", "time", "rating")
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([mhdw])")
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """What to look for; everything given must hold.

    Attributes:
        model: AIR identifier.
        tags: Tags that a run must all have.
        since: ISO 8601 in UTC; runs made then or later.
        until: ISO 8601 in UTC; runs made before then.
        cell: Execution count, or a cell's id or the beginning of one (4 characters or more).
        notebook: Its path as logged, or its file name.
        state: State of the run.
        search: Words of prompt or note, each as a part of any word, upper or lower case alike.
        min_rating: The best of its results has at least so many stars.
        provider: Who was asked.
        is_imported: True for runs of others only, False for one's own; None for both.
        with_discarded: Whether hidden runs are among them.
        with_replays: Whether runs that `replay` and `verify` made are among them.
        sort: One of `SORTS`.
        limit: How many at most; None for all.
        page: Which stretch of so many, from 1.

    Raises:
        MagicUsageError: A value makes no sense.
    """

    model: str | None = None
    tags: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    cell: str | None = None
    notebook: str | None = None
    state: str | None = None
    search: str | None = None
    min_rating: int | None = None
    provider: str | None = None
    is_imported: bool | None = None
    with_discarded: bool = False
    with_replays: bool = False
    sort: str = "newest"
    limit: int | None = None
    page: int = 1

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise MagicUsageError(f"--limit {self.limit}: expected 1 or more, or `all` (None in Python)")
        if self.page < 1:
            raise MagicUsageError(f"--page {self.page}: it is 1 or more")
        if self.sort not in SORTS:
            raise MagicUsageError(f"--sort {self.sort}: it is one of {', '.join(SORTS)}")
        if self.state is not None and self.state not in set(State):
            raise MagicUsageError(f"--state {self.state}: it is one of {', '.join(State)}")
        if self.min_rating is not None and not 1 <= self.min_rating <= 5:
            raise MagicUsageError(f"Invalid --min-rating {self.min_rating}: expected 1 to 5")
        if self.search is not None and not self.search.strip():
            raise MagicUsageError("--search is empty: give a word of a prompt or a note")


def parse_since(text: str, *, now: dt.datetime | None = None) -> str:
    """Read a point in time: `2026-11-01`, `2026-11-01T12:00`, `today`, `yesterday`, or `90m`, `6h`, `7d`, `2w` ago.

    Returns:
        ISO 8601 in UTC; a time without a zone is local.

    Raises:
        MagicUsageError: It cannot be understood.
    """
    now = now or dt.datetime.now().astimezone()
    words = text.strip().lower()
    ago = _AGO.fullmatch(words)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        if ago:
            moment = now - dt.timedelta(seconds=float(ago[1]) * _SECONDS[ago[2]])
        elif words in {"today", "yesterday"}:
            moment = midnight - dt.timedelta(days=words == "yesterday")
        else:
            moment = dt.datetime.fromisoformat(text.strip())
        return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError) as error:
        raise MagicUsageError(
            f"{text!r} is no time; write 2026-11-01, 2026-11-01T12:00, today, or 7d for the last seven days"
        ) from error
