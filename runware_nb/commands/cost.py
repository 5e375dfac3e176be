"""cost: what was spent, by cell, day, model or tag."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..runlog.filters import parse_since
from ..runlog.spending import Budget, Spent, budgets_of, sum_spending
from ..view.results import format_usd
from ..view.table import Bar, Table, render_table
from .base import Answer

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "say what was spent, by cell, day, model or tag"

_HEADINGS = {"cell": ("notebook", "cell"), "day": ("day (UTC)",), "model": ("model",), "tag": ("tag",),
             "notebook": ("notebook",)}  # fmt: skip
_MOST_ROWS = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--by", choices=tuple(_HEADINGS), default="day", help="what to sum over (default day)")
    parser.add_argument("--since", metavar="WHEN", help="from this day on: 2026-11-01, today, or 7d")
    parser.add_argument("--service", metavar="NAME", help="of this service only, such as runware or sandbox")
    parser.add_argument("--notebook", metavar="FILE", help="in this notebook only")


def run(session: Session, options: argparse.Namespace) -> Answer:
    """Sum it up."""
    since = parse_since(options.since) if options.since else None
    with session.log.reading() as connection:
        found = sum_spending(connection, options.by, since=since, provider=options.service, notebook=options.notebook)
        limits = budgets_of(connection)
    total = sum(each.cost_usd for each in found)
    notes = tuple(budget_line(each) for each in limits)
    written = {
        "by": options.by, "total_usd": round(total, 6), "rows": [_row(options.by, each) for each in found],
        "budgets": [budget_row(each) for each in limits],
    }  # fmt: skip
    if options.by == "tag":
        written["total_usd"] = None  # a run with two tags would count twice
    return Answer(render_table(_table(options.by, found, total)), written, notes, value=written)


def budget_line(budget: Budget) -> str:
    """Say how a budget stands."""
    whose = f"budget of {budget.notebook}" if budget.notebook else "budget"
    reserved = f", {format_usd(budget.reserved_usd)} reserved" if budget.reserved_usd else ""
    spent = f"{format_usd(budget.spent_usd)} of {format_usd(budget.limit_usd)} spent{reserved}"
    return f"{whose} ({budget.provider}): {spent}, {format_usd(max(0.0, budget.left_usd))} left"


def budget_row(budget: Budget) -> dict[str, Any]:
    """Write a budget as JSON."""
    return {
        "provider": budget.provider, "notebook": budget.notebook or None, "limit_usd": budget.limit_usd,
        "spent_usd": round(budget.spent_usd, 6), "reserved_usd": round(budget.reserved_usd, 6),
        "left_usd": round(budget.left_usd, 6),
    }  # fmt: skip


def _row(by: str, spent: Spent) -> dict[str, Any]:
    names = ("notebook", "cell") if by == "cell" else (by,)
    return {
        **dict(zip(names, spent.key, strict=True)), "runs": spent.runs, "results": spent.results,
        "cost_usd": round(spent.cost_usd, 6), "unknown": spent.unknown,
    }  # fmt: skip


def _table(by: str, found: list[Spent], total: float) -> Table:
    most = max((each.cost_usd for each in found), default=0.0)
    rows = [
        (
            *(value or "-" for value in each.key), each.runs, each.results,
            Bar(format_usd(each.cost_usd), each.cost_usd / most if most else 0.0),
            f"{each.unknown} of unknown cost" if each.unknown else "",
        )
        for each in found[-_MOST_ROWS:] if by == "day" or each in found[:_MOST_ROWS]
    ]  # fmt: skip
    left = len(found) - len(rows)
    caption = "a run with several tags counts for each" if by == "tag" else f"{format_usd(total)} in all"
    caption += f"; {left} more rows in --json" if left > 0 else ""
    return Table((*_HEADINGS[by], "runs", "results", "cost", ""), rows, caption, empty="nothing was spent yet")
