"""Which runs? The filters of `log`, checked; no database is needed to write one."""

from __future__ import annotations

import datetime as dt
import operator
import re
from dataclasses import dataclass

from ..errors import ArgumentInvalid
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
        ArgumentInvalid: A value makes no sense.
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
        for name, expected, on_line, most in _WHOLE:
            value = getattr(self, name)
            if value is not None:  # numbers of numpy are kept as those of Python, which every database takes
                number = _whole(value)
                if number is None or number < 1 or (most is not None and number > most):
                    raise ArgumentInvalid(name, value, expected, expected_on_line=on_line)
                object.__setattr__(self, name, number)
        if self.page is None:
            raise ArgumentInvalid("page", self.page, "a whole number of 1 or more")
        if not isinstance(self.sort, str) or self.sort not in SORTS:
            raise ArgumentInvalid("sort", self.sort, f"one of {', '.join(SORTS)}")
        if self.state is not None and not (isinstance(self.state, str) and self.state in set(State)):
            raise ArgumentInvalid("state", self.state, f"one of {', '.join(State)}")
        for name in ("model", "notebook", "provider", "cell", "since", "until"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise ArgumentInvalid(name, value, "a text")
        if self.search is not None and not (isinstance(self.search, str) and self.search.strip()):
            raise ArgumentInvalid("search", self.search, "a word of a prompt or of a note")


_WHOLE: tuple[tuple[str, str, str | None, int | None], ...] = (
    ("limit", "a whole number of 1 or more, or None for all", "a whole number of 1 or more, or `all`", None),
    ("page", "a whole number of 1 or more", None, None),
    ("min_rating", "a whole number from 1 to 5", None, 5),
)


def _whole(value: object) -> int | None:
    try:
        return None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def parse_since(text: str, *, name: str = "since", now: dt.datetime | None = None) -> str:
    """Read a point in time: `2026-11-01`, `2026-11-01T12:00`, `today`, `yesterday`, or `90m`, `6h`, `7d`, `2w` ago.

    Args:
        text: What was given.
        name: The parameter that it was given for.
        now: The present moment; by default that of the clock.

    Returns:
        ISO 8601 in UTC; a time without a zone is local.

    Raises:
        ArgumentInvalid: It cannot be understood.
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
        raise ArgumentInvalid(
            name, text, "a time: 2026-11-01, 2026-11-01T12:00, today, or 7d for the last seven days"
        ) from error
