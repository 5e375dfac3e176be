"""Which runs? The filters of `log`, as one statement that stays quick among a million."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.operators import custom_op

from ..errors import MagicUsageError
from .records import State
from .schema import SEARCHED, run_tags, runs

__all__ = ["SORTS", "RunFilter", "parse_since", "select_runs"]

SORTS = ("newest", "oldest", "cost", "time", "rating")
_MOST = 1_000_000
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([mhdw])")
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
_SHORTEST_TERM = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """What to look for; everything given must hold.

    Attributes:
        model: AIR identifier.
        tags: Labels, all of them.
        since: ISO 8601 in UTC; runs made then or later.
        until: ISO 8601 in UTC; runs made before then.
        cell: Execution count, or a cell's id or the beginning of one (4 characters or more).
        notebook: Its path as logged, or its file name.
        state: Where it stands.
        search: Words of prompt or note, each as a part of any word, upper or lower case alike.
        min_rating: The best of its results has at least so many stars.
        provider: Who was asked.
        is_imported: True for runs of others only, False for one's own; None for both.
        with_discarded: Whether hidden runs are among them.
        sort: One of `SORTS`.
        limit: How many at most.
        page: From 1.

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
    sort: str = "newest"
    limit: int = 20
    page: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= _MOST:
            raise MagicUsageError(f"--limit {self.limit}: it is 1 to {_MOST:,}")
        if self.page < 1:
            raise MagicUsageError(f"--page {self.page}: it is 1 or more")
        if self.sort not in SORTS:
            raise MagicUsageError(f"--sort {self.sort}: it is one of {', '.join(SORTS)}")
        if self.state is not None and self.state not in set(State):
            raise MagicUsageError(f"--state {self.state}: it is one of {', '.join(State)}")
        if self.min_rating is not None and not 1 <= self.min_rating <= 5:
            raise MagicUsageError(f"--min-rating {self.min_rating}: it is 1 to 5 stars")
        if self.search is not None and not self.search.strip():
            raise MagicUsageError("--search is empty: give a word of a prompt or a note")


def select_runs(wanted: RunFilter, dialect: str) -> sa.Select[Any]:
    """Write the statement: whatever is rarest leads, newest first, and no more is looked at than is shown."""
    found = sa.select(runs)
    order = _order(wanted)
    by_row = order[0].element is runs.c.id
    if wanted.tags:
        found = found.join(run_tags, run_tags.c.run_id == runs.c.id).where(run_tags.c.tag == wanted.tags[0])
        if by_row:
            order = [_along(run_tags.c.run_id, wanted)]
        for tag in wanted.tags[1:]:
            others = run_tags.alias()
            found = found.where(sa.exists().where(others.c.run_id == runs.c.id, others.c.tag == tag))
    is_led = dialect == "sqlite" and by_row and bool(wanted.tags or wanted.search)
    for condition in _conditions(wanted, is_led=is_led):
        found = found.where(condition)
    if wanted.search is not None:
        found, order = _searched(found, wanted, order, dialect)
    return found.order_by(*order).limit(wanted.limit).offset((wanted.page - 1) * wanted.limit)


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


def _conditions(wanted: RunFilter, *, is_led: bool) -> list[sa.ColumnElement[bool]]:
    """Write the plain conditions; behind a label or a word, SQLite is told (by `+`) to leave their indexes alone."""

    def its(name: str) -> Any:
        column = runs.c[name]
        return sa.UnaryExpression(column, operator=custom_op("+"), type_=column.type) if is_led else column

    equal = {name: getattr(wanted, name) for name in ("model", "state", "provider")}
    made: list[sa.ColumnElement[bool]] = [its(name) == value for name, value in equal.items() if value is not None]
    if wanted.since is not None:
        made.append(its("created_at_utc") >= wanted.since)
    if wanted.until is not None:
        made.append(its("created_at_utc") < wanted.until)
    if wanted.cell is not None:
        made.append(_in_cell(wanted.cell))
    if wanted.notebook is not None:
        made.append(_in_notebook(wanted.notebook))
    if wanted.min_rating is not None:
        made.append(its("best_rating") >= wanted.min_rating)
    if wanted.is_imported is not None:
        made.append(runs.c.is_imported == int(wanted.is_imported))
    if not wanted.with_discarded and wanted.state != State.DISCARDED.value:
        made.append(its("state") != sa.literal_column("'discarded'"))
    return made


def _in_cell(cell: str) -> sa.ColumnElement[bool]:
    number = cell.strip("[] ")
    if number.isdecimal() and len(number) < 8:
        return runs.c.execution_count == int(number)
    if len(cell) < 4:
        raise MagicUsageError(f"--cell {cell}: give the number of a cell, or 4 characters or more of its id")
    return sa.and_(runs.c.cell_id >= cell, runs.c.cell_id < cell + "\U0010ffff")


def _in_notebook(notebook: str) -> sa.ColumnElement[bool]:
    if "/" in notebook or "\\" in notebook:
        return runs.c.notebook == notebook
    named = _notebooks()
    ends = [named.c.name.like(f"%{slash}{_escaped(notebook)}", escape="!") for slash in ("/", "\\")]
    return sa.or_(runs.c.notebook == notebook, runs.c.notebook.in_(sa.select(named.c.name).where(sa.or_(*ends))))


def _notebooks() -> sa.CTE:
    """List the notebooks, from one to the next in the index: there are few among a million runs."""
    first = sa.select(sa.func.min(runs.c.notebook).label("name")).cte("notebooks", recursive=True)
    following = sa.select(sa.func.min(runs.c.notebook)).where(runs.c.notebook > first.c.name).scalar_subquery()
    return first.union_all(sa.select(following).where(first.c.name.is_not(None)))


def _order(wanted: RunFilter) -> list[sa.UnaryExpression[Any]]:
    last = runs.c.id.desc()
    match wanted.sort:
        case "oldest":
            return [runs.c.id.asc()]
        case "cost":
            return [runs.c.cost_usd.desc().nulls_last(), last]
        case "time":
            return [runs.c.duration_s.desc().nulls_last(), last]
        case "rating":
            return [runs.c.best_rating.desc().nulls_last(), last]
    is_led = bool(wanted.tags or wanted.search)
    if (wanted.since is not None or wanted.until is not None) and not is_led:
        return [runs.c.created_at_utc.desc(), last]  # so that one index gives both the range and the order
    return [last]


def _along(column: sa.ColumnElement[Any], wanted: RunFilter) -> sa.UnaryExpression[Any]:
    return column.asc() if wanted.sort == "oldest" else column.desc()


def _searched(
    found: sa.Select[Any], wanted: RunFilter, order: list[sa.UnaryExpression[Any]], dialect: str
) -> tuple[sa.Select[Any], list[sa.UnaryExpression[Any]]]:
    terms = str(wanted.search).split()
    if dialect == "postgresql":
        text: sa.ColumnElement[Any] = sa.literal_column(f"({SEARCHED})", sa.String)
        for term in terms:
            found = found.where(text.ilike(f"%{_escaped(term)}%", escape="!"))
        return found, order
    long = [term for term in terms if len(term) >= _SHORTEST_TERM]
    if long:
        index = sa.table("runs_text", sa.column("rowid", sa.Integer))
        phrases = " ".join('"' + term.replace('"', '""') + '"' for term in long)
        found = found.join(index, index.c.rowid == runs.c.id).where(
            sa.text("runs_text MATCH :phrases").bindparams(phrases=phrases)
        )
        if wanted.sort in {"newest", "oldest"}:
            order = [_along(index.c.rowid, wanted)]
    text = sa.func.coalesce(runs.c.prompt, "") + " " + sa.func.coalesce(runs.c.note, "")
    for term in terms:
        if len(term) < _SHORTEST_TERM:  # too short for the index of threes
            found = found.where(text.like(f"%{_escaped(term)}%", escape="!"))
    return found, order


def _escaped(term: str) -> str:
    return term.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def in_chunks(values: Sequence[Any], size: int = 500) -> list[Sequence[Any]]:
    """Cut a list to what one statement takes."""
    return [values[start : start + size] for start in range(0, len(values), size)]
