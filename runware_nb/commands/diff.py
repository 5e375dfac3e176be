"""diff: two runs side by side, in parameters and in pixels."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..core.items import Item
from ..engine.thumbnails import picture_of, small_picture
from ..errors import MediaError
from ..media.compare import Comparison, compare, heat_map
from ..present.compare import Side, render_sides
from ..present.table import Picture, Table, render_table
from ..runlog import ResultRecord, RunRecord
from .base import CommandResult

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "compare two runs: parameters, and pixels with a heat map"

_SHOWN_PX = 160
_LEFT_OUT = frozenset({"taskUUID"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("first", metavar="UUID", help="a run: task UUID, or its first characters")
    parser.add_argument("second", metavar="UUID", help="another")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Compare them."""
    first, second = session.log.find(options.first), session.log.find(options.second)
    differing = _parameters(first, second)
    pairs = _pairs(session, first, second)
    return answer(session, (first, second), differing, pairs)


def answer(
    session: Session,
    both: tuple[RunRecord, RunRecord],
    differing: Mapping[str, tuple[Any, Any]],
    pairs: list[tuple[ResultRecord, ResultRecord, Comparison]],
) -> CommandResult:
    """Show what differs."""
    first, second = both
    names = (first.task_uuid[:8], second.task_uuid[:8])
    rows = [(name, _written(one), _written(other)) for name, (one, other) in differing.items()]
    table = render_table(Table(("parameter", *names), rows, empty="the requests are the same"))
    lines = [table["text/plain"], *(f"#{one.position + 1}: {describe(found)}" for one, _, found in pairs)]
    sides = [_sides(session, both, pair) for pair in pairs]
    written = {
        "first": first.task_uuid,
        "second": second.task_uuid,
        "parameters": {name: {"first": one, "second": other} for name, (one, other) in differing.items()},
        "results": [{"index": one.position, **comparison_row(found)} for one, _, found in pairs],
    }
    bundle = {"text/html": table["text/html"] + render_sides(sides), "text/plain": "\n".join(lines)}
    return CommandResult(bundle, written, value=written)


def describe(found: Comparison) -> str:
    """Write a comparison in words."""
    parts = [found.verdict.value]
    if found.hash_bits:
        parts.append(f"{found.hash_bits} of 64 bits of the look differ")
    if found.mean_difference:
        parts.append(f"mean difference {found.mean_difference:.4f}")
    if found.changed_share:
        parts.append(f"{found.changed_share:.1%} of the pixels")
    return ", ".join(parts)


def comparison_row(found: Comparison) -> Item:
    """Write a comparison as JSON."""
    return {
        "verdict": found.verdict.value, "hash_bits": found.hash_bits, "mean_difference": found.mean_difference,
        "changed_share": found.changed_share,
    }  # fmt: skip


def heat_picture(first: bytes, second: bytes) -> Picture | None:
    """Draw where two images differ; None where that cannot be drawn."""
    try:
        drawn = heat_map(first, second)
    except MediaError:
        return None
    if drawn is None:
        return None
    return small_picture(drawn, "where the two differ: black is the same", side_px=_SHOWN_PX)


def _parameters(first: RunRecord, second: RunRecord) -> dict[str, tuple[Any, Any]]:
    one, other = _flattened(first.request), _flattened(second.request)
    names = [*one, *(name for name in other if name not in one)]
    made = {name: (one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)}
    if first.provider != second.provider:
        made["service"] = (first.provider, second.provider)
    return made


def _flattened(value: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, each in value.items():
        if before == "" and name in _LEFT_OUT:
            continue
        if isinstance(each, Mapping):
            made |= _flattened(each, f"{before}{name}.")
        elif isinstance(each, list):
            made |= _flattened({str(n): one for n, one in enumerate(each)}, f"{before}{name}.")
        else:
            made[f"{before}{name}"] = each
    return made


def _pairs(
    session: Session, first: RunRecord, second: RunRecord
) -> list[tuple[ResultRecord, ResultRecord, Comparison]]:
    others = {result.position: result for result in second.results}
    made = []
    for one in first.results:
        other = others.get(one.position)
        bodies = [_body(session, first, one), _body(session, second, other)]
        if other is None or bodies[0] is None or bodies[1] is None:
            continue
        try:
            found = compare(bodies[0], bodies[1], first_sha256=one.received_sha256, second_sha256=other.received_sha256)
        except MediaError:
            continue
        made.append((one, other, found))
    return made


def _sides(
    session: Session, both: tuple[RunRecord, RunRecord], pair: tuple[ResultRecord, ResultRecord, Comparison]
) -> list[Side]:
    one, other, found = pair
    sides = [
        Side(f"{each.task_uuid[:8]} #{result.position + 1}", picture_of(session, each, result, side_px=_SHOWN_PX))
        for each, result in zip(both, (one, other), strict=True)
    ]
    before, after = _body(session, both[0], one), _body(session, both[1], other)
    if before is not None and after is not None and found.verdict != "exact":
        sides.append(Side(describe(found), heat_picture(before, after)))
    else:
        sides.append(Side(describe(found)))
    return sides


def _body(session: Session, run: RunRecord, result: ResultRecord | None) -> bytes | None:
    path = None if result is None or result.error is not None else session.recovery.find(run, result)
    return None if path is None else path.read_bytes()


def _written(value: Any) -> str:
    return "-" if value is None else str(value)  # whole: two long prompts may differ at their ends only
