"""The filters of `log` as one statement, that stays quick among a million."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.operators import custom_op

from ..errors import ArgumentInvalid
from .filters import RunFilter
from .records import State
from .schema import SEARCHED, run_tags, runs
from .spending import dollars_first

__all__ = ["MOST_CELLS", "cell_number", "cells_beginning", "in_chunks", "notebooks_named", "select_runs"]

_SHORTEST_TERM = 3
MOST_CELLS = 100
"""Cells that the beginning of an id may mean; more than that is a mistake, and would make the query slow."""


def select_runs(
    wanted: RunFilter, dialect: str, *, notebooks: Sequence[str] = (), cells: Sequence[str] = ()
) -> sa.Select[Any]:
    """Write the statement: whatever is rarest leads, newest first, and no more is looked at than is shown.

    Args:
        wanted: The filter.
        dialect: `sqlite` or `postgresql`.
        notebooks: Paths of the notebook that is wanted, when one is.
        cells: Ids of the cell that is wanted, when one is and not by its number.
    """
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
    for condition in _conditions(wanted, notebooks, cells, is_led=is_led):
        found = found.where(condition)
    if wanted.search is not None:
        found, order = _searched(found, wanted, order, dialect)
    found = found.order_by(*order)
    if wanted.limit is None:
        if wanted.page > 1:
            raise ArgumentInvalid(
                "page", wanted.page, "1 where there is no limit, since all runs are on it; give a limit too"
            )
        return found
    return found.limit(wanted.limit).offset((wanted.page - 1) * wanted.limit)


def _conditions(
    wanted: RunFilter, notebooks: Sequence[str], cells: Sequence[str], *, is_led: bool
) -> list[sa.ColumnElement[bool]]:
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
        number = cell_number(wanted.cell)
        made.append(_one_of(its("cell_id"), cells) if number is None else its("execution_count") == number)
    if wanted.notebook is not None:
        made.append(_one_of(its("notebook"), notebooks))
    if wanted.min_rating is not None:
        made.append(its("best_rating") >= wanted.min_rating)
    if wanted.is_imported is not None:
        made.append(runs.c.is_imported == int(wanted.is_imported))
    if not wanted.with_discarded and wanted.state != State.DISCARDED.value:
        made.append(its("state") != sa.literal_column("'discarded'"))
    if not wanted.with_replays:
        made.append(its("replay_of").is_(None))
    return made


def _one_of(column: Any, values: Sequence[str]) -> sa.ColumnElement[bool]:
    found: sa.ColumnElement[bool] = column == values[0] if len(values) == 1 else column.in_(values)
    return found  # an equality keeps the index's order; a list has to be sorted


def cell_number(cell: str) -> int | None:
    """Read a cell's number, as `7` or `[7]`; None where it is an id."""
    number = cell.strip("[] ")
    return int(number) if number.isdecimal() and len(number) < 8 else None


def cells_beginning(cell: str) -> sa.Select[Any]:
    """Find cells by the beginning of their id.

    Raises:
        ArgumentInvalid: It is too short to mean one.
    """
    if len(cell) < 4:
        raise ArgumentInvalid("cell", cell, "the number of a cell, or 4 characters or more of its id")
    among = sa.and_(runs.c.cell_id >= cell, runs.c.cell_id < cell + "\U0010ffff")
    return sa.select(runs.c.cell_id).where(among).distinct().limit(MOST_CELLS + 1)


def notebooks_named(name: str) -> sa.Select[Any]:
    """Find notebooks by their file name, from one to the next in the index: there are few among a million runs."""
    first = sa.select(sa.func.min(runs.c.notebook).label("path")).cte("notebooks", recursive=True)
    following = sa.select(sa.func.min(runs.c.notebook)).where(runs.c.notebook > first.c.path).scalar_subquery()
    every = first.union_all(sa.select(following).where(first.c.path.is_not(None)))
    ends = [every.c.path.like(f"%{slash}{_escaped(name)}", escape="!") for slash in ("/", "\\")]
    return sa.select(every.c.path).where(sa.or_(every.c.path == name, *ends))


def _order(wanted: RunFilter) -> list[sa.UnaryExpression[Any]]:
    last = runs.c.id.desc()
    match wanted.sort:
        case "oldest":
            return [runs.c.id.asc()]
        case "cost":
            # Amounts of different units cannot be compared.
            return [dollars_first(runs.c.cost_unit).asc(), runs.c.cost.desc().nulls_last(), last]
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
