"""cost: what was spent, by cell, day, model or tag."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..core.money import USD, format_amount, format_sums, sums_by_unit
from ..present.table import Bar, Table, render_table
from ..runlog.filters import parse_since
from ..runlog.spending import Budget, Spent, budgets_of, sum_imported, sum_spending, uncounted_sentence
from .base import CommandResult
from .filters import ALL, note_of_limit, read_limit

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "say what was spent, by cell, day, model or tag"

_HEADINGS = {"cell": ("notebook", "cell"), "day": ("day (UTC)",), "model": ("model",), "tag": ("tag",),
             "notebook": ("notebook",)}  # fmt: skip
_ROWS = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--by", choices=tuple(_HEADINGS), default="day", help="what to sum over (default day)")
    parser.add_argument("--since", metavar="WHEN", help="from this day on: 2026-11-01, today, or 7d")
    parser.add_argument("--service", metavar="NAME", help="of this service only, such as runware or sandbox")
    parser.add_argument("--notebook", metavar="FILE", help="in this notebook only")
    parser.add_argument(
        "--limit", type=read_limit, default=_ROWS, metavar="N", help=f"rows of the table, or `all` (default: {_ROWS})"
    )


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Sum it up."""
    since = parse_since(options.since) if options.since else None
    with session.log.reading() as connection:
        found = sum_spending(connection, options.by, since=since, provider=options.service, notebook=options.notebook)
        recorded = sum_imported(
            connection, options.by, since=since, provider=options.service, notebook=options.notebook
        )
        limits = budgets_of(connection)
    totals = _totals(found)
    notes = tuple(budget_line(budget) for budget in limits)
    if recorded:
        notes = (_recorded_line(recorded, has_own=bool(found)), *notes)
    elif session.settings.mode == "replay":
        replayed = "replay mode: answers from these records cost $0.00; this is what they cost when they were generated"
        notes = (replayed, *notes)
    written = {
        "by": options.by, "total_usd": totals.get(USD, 0.0), "totals": totals,
        "rows": [_row(options.by, each) for each in found],
        "recorded_rows": [_row(options.by, each) for each in recorded],
        "budgets": [budget_row(each) for each in limits],
    }  # fmt: skip
    if options.by == "tag":
        written["total_usd"] = written["totals"] = None  # a run with two tags would count twice
    # Where nothing was spent here, what the runs of the records cost is what the user asks for.
    shown, is_recorded = (found, False) if found or not recorded else (recorded, True)
    table = _table(options.by, shown, limit=options.limit, is_recorded=is_recorded)
    return CommandResult(render_table(table), written, notes, value=written)


def budget_line(budget: Budget) -> str:
    """Format a budget as one line: what is spent, reserved and left of it."""
    whose = f"budget of {budget.notebook}" if budget.notebook else "budget"
    limit, spent, reserved, left = (
        format_amount(amount, budget.unit)
        for amount in (budget.limit, budget.spent, budget.reserved, max(0.0, budget.left))
    )
    held = f", {reserved} reserved" if budget.reserved else ""
    # Without this, a budget that cannot count anything looks like one that nothing was spent of.
    missing = f"; {uncounted_sentence(budget.uncounted)}" if budget.uncounted else ""
    if not budget.limit:
        return f"{whose} ({budget.provider}): {limit}, so nothing more is sent; {spent} spent{held}{missing}"
    return f"{whose} ({budget.provider}): {spent} of {limit} spent{held}, {left} left{missing}"


def budget_row(budget: Budget) -> dict[str, Any]:
    """Return a budget for JSON. Amounts named `_usd` are None for a budget in another unit."""
    amounts = {"limit": budget.limit, "spent": round(budget.spent, 6), "reserved": round(budget.reserved, 6),
               "left": round(budget.left, 6)}  # fmt: skip
    in_usd = {f"{name}_usd": amount if budget.unit == USD else None for name, amount in amounts.items()}
    return {
        "provider": budget.provider, "notebook": budget.notebook or None, **in_usd, "unit": budget.unit, **amounts,
        "uncounted_runs": budget.uncounted,
    }  # fmt: skip


def _shown_cost(row: Spent) -> str:
    """Format the known part of a cost. If no part is known, it is unknown, and not 0."""
    return "unknown" if row.unknown and not row.cost else format_amount(row.cost, row.unit)


def _in_all(rows: list[Spent]) -> str:
    unknown = sum(row.unknown for row in rows)
    totals = _totals(rows)
    if unknown and not totals:
        return f"the cost of {unknown} run{'' if unknown == 1 else 's'} is unknown"
    return "; ".join(filter(None, [f"{format_sums(totals)} in all", uncounted_sentence(unknown)]))


def _totals(rows: Iterable[Spent]) -> dict[str, float]:
    """Return the sum of what is known for each unit that occurs; a unit of which nothing is known has none."""
    sums = sums_by_unit((row.cost, row.unit) for row in rows if row.cost or not row.unknown)
    return {unit: round(amount, 6) for unit, amount in sums.items()}


def _row(by: str, spent: Spent) -> dict[str, Any]:
    names = ("notebook", "cell") if by == "cell" else (by,)
    return {
        **dict(zip(names, spent.key, strict=True)), "runs": spent.runs, "results": spent.results,
        "cost_usd": None if spent.cost_usd is None else round(spent.cost_usd, 6), "cost": round(spent.cost, 6),
        "cost_unit": spent.unit, "unknown": spent.unknown,
    }  # fmt: skip


def _recorded_line(recorded: list[Spent], *, has_own: bool) -> str:
    """State what the imported runs cost those who generated them."""
    unknown = sum(row.unknown for row in recorded)
    totals = _totals(recorded)
    others = "; they are not part of the amounts above" if has_own else ""
    answers = f"Answers from them cost nothing{others}."
    if unknown and not totals:
        return f"What the imported runs cost when they were generated is unknown. {answers}"
    missing = f", and {uncounted_sentence(unknown)}" if unknown else ""
    return f"Imported runs cost {format_sums(totals)} when they were generated{missing}. {answers}"


def _table(by: str, rows: list[Spent], *, limit: int | str, is_recorded: bool) -> Table:
    count = len(rows) if limit == ALL else max(1, int(limit))
    listed = rows[-count:] if by == "day" else rows[:count]  # the last days, and the most expensive of everything else
    most: dict[str, float] = {}
    for row in rows:  # the bars compare amounts of one unit
        most[row.unit] = max(most.get(row.unit, 0.0), row.cost)
    cells = [
        (
            *(value or "-" for value in row.key), row.runs, row.results,
            Bar(_shown_cost(row), row.cost / most[row.unit] if most[row.unit] else 0.0),
            f"{row.unknown} of unknown cost" if row.unknown else "",
        )
        for row in listed
    ]  # fmt: skip
    caption = "a run with several tags is counted once for each tag" if by == "tag" else _in_all(rows)
    if is_recorded:
        caption = f"imported runs: {caption}, when they were generated; nothing was charged here"
    if len(listed) < len(rows):
        caption += (
            f" · {note_of_limit(len(listed), len(rows), at_most=len(rows), what='rows')}; `--limit all` lists all"
        )
    return Table((*_HEADINGS[by], "runs", "results", "cost", ""), cells, caption, empty="no costs are recorded")
