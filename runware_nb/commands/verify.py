"""verify: runs of the log made again within a budget: exact, close or drifted?"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import TYPE_CHECKING, Any

from ..core.money import USD, format_amount, format_costs, sums_by_unit
from ..engine.thumbnails import picture_of
from ..errors import MagicUsageError
from ..present.compare import Side, render_sides
from ..present.table import Table, render_table
from ..reproduce.verify import Checked, plan_verification, verify
from .base import CommandResult
from .diff import comparison_row, describe, heat_picture
from .filters import add_filters, filter_from
from .replay import bounds

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "make runs again within a budget, and say which are exact, close or drifted"

_SHOWN_PX = 96


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("refs", nargs="*", metavar="UUID", help="these runs; else what the filters choose")
    add_filters(parser, limit=None)
    parser.add_argument("--budget", type=float, metavar="USD", help="spend at most this, and do not ask")
    parser.add_argument("--yes", action="store_true", help="agree to the price, however high")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Plan, send, compare."""
    if session.settings.mode == "replay":
        return CommandResult({"text/plain": "replay mode: nobody is asked, so nothing is made again"}, {"runs": []})
    if options.budget is not None and not 0 <= options.budget < 1e9:
        raise MagicUsageError(f"--budget {options.budget}: it is an amount in US dollars, 0 or more")
    chosen = [session.log.find(ref) for ref in options.refs] or [
        each for each in session.log.select(filter_from(options, session)) if each.replay_of is None
    ]
    plan = plan_verification(session, chosen, budget_usd=options.budget)
    done = verify(session, plan, agreed=options.yes or options.budget is not None)
    spent = sums_by_unit((each.cost, each.cost_unit) for each in done)
    cost = format_costs((each.cost, each.cost_unit) for each in done if each.job is not None)
    counted = Counter(_word(each) for each in done)
    summary = ", ".join(f"{number} {word}" for word, number in counted.most_common()) or "nothing to verify"
    why = "why" if any(_why(each) for each in done) else ""
    table = Table(
        ("run", "verdict", "cost", "prompt", why),
        [
            (each.run.task_uuid[:8], _word(each), format_amount(each.cost, each.cost_unit) if each.job else "",
             (each.run.prompt or each.run.task_type)[:60], _why(each))
            for each in done
        ],
        f"{summary} · {cost} spent · {bounds()}",
        empty="nothing to verify: no run fits",
    )  # fmt: skip
    shown = render_table(table)
    html = shown["text/html"] + render_sides([row for each in done for row in _pictures(session, each)])
    written = {
        "spent_usd": round(spent.get(USD, 0.0), 6),
        "spent": spent,
        "counts": dict(counted),
        "runs": [_row(each) for each in done],
    }
    failed = any(each.job is not None and each.verdict in {None, "drifted", "missing"} for each in done)
    return CommandResult({"text/html": html, "text/plain": shown["text/plain"]}, written, is_failure=failed, value=done)


def _word(each: Checked) -> str:
    if each.verdict is not None:
        return each.verdict.value
    return "failed" if each.job is not None else "not made again"


def _why(each: Checked) -> str:
    if each.why_not is not None:
        return each.why_not
    worst = max(each.comparisons.values(), key=lambda found: found.hash_bits or 0, default=None)
    return "" if worst is None or worst.verdict == "exact" else describe(worst).partition(", ")[2]


def _row(each: Checked) -> dict[str, Any]:
    return {
        "task_uuid": each.run.task_uuid,
        "again": each.job.task_uuid if each.job is not None else None,
        "verdict": each.verdict.value if each.verdict is not None else None,
        "why_not": each.why_not,
        "cost_usd": each.cost_usd,
        "cost": each.cost,
        "cost_unit": each.cost_unit,
        "results": [{"index": place, **comparison_row(found)} for place, found in each.comparisons.items()],
    }


def _pictures(session: Session, each: Checked) -> list[list[Side]]:
    """Show what is not exact, side by side."""
    if each.job is None or each.original is None:
        return []
    rows = []
    before = {result.position: result for result in each.run.results}
    after = {result.position: result for result in each.job.record.results}
    for place, found in each.comparisons.items():
        if found.verdict == "exact" or place not in before or place not in after:
            continue
        path, first = session.media.find(after[place].file), each.original.files.get(place)
        row = [
            Side(f"{each.run.task_uuid[:8]} #{place + 1}",
                 picture_of(session, each.run, before[place], side_px=_SHOWN_PX)),
            Side("again", picture_of(session, each.job.record, after[place], side_px=_SHOWN_PX)),
        ]  # fmt: skip
        if path is not None and first is not None:
            row.append(Side(describe(found), heat_picture(first, path.read_bytes())))
        rows.append(row)
    return rows
