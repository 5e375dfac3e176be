"""replay: a past run sent once more, and compared with what came then."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..engine.thumbnails import picture_of, small_picture
from ..errors import MediaError
from ..media import decode
from ..media.compare import CLOSE_BITS, CLOSE_MEAN
from ..present.compare import Side, render_sides
from ..present.html import muted
from ..present.table import Picture
from ..reproduce.replay import Replayed, find_original, only_one, send_again
from .base import CommandResult
from .diff import comparison_row, describe, heat_picture

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "send a past run again (from log, image file or bundle) and compare"

_SHOWN_PX = 160


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("ref", metavar="REF", help="a task UUID or its first characters, an image file, or a bundle")
    parser.add_argument("--yes", action="store_true", help="agree to the price")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Send it and compare."""
    if session.settings.mode == "replay":
        return CommandResult({"text/plain": "replay mode: nobody is asked, so nothing is sent"}, {"results": []})
    original = only_one(find_original(session, options.ref), options.ref)
    done = send_again(session, original, agreed=options.yes)
    compared = {place: describe(found) for place, found in done.comparisons.items()}
    lines = [f"{original.name} again, as run {done.job.task_uuid[:8]}: {done.verdict.value}"]
    lines += [f"#{place + 1}: {words}" for place, words in compared.items()]
    cost = "cost unknown" if done.outcome.cost is None else str(done.outcome.cost)
    lines.append(f"{cost} · {bounds()}")
    written = {
        "task_uuid": done.job.task_uuid,
        "original": original.run.task_uuid if original.run is not None else None,
        "verdict": done.verdict.value,
        "cost_usd": done.outcome.cost_usd,
        "results": [{"index": place, **comparison_row(found)} for place, found in done.comparisons.items()],
        "files": [str(result.path) for result in done.outcome if result.path],
    }
    html = muted(lines[0]) + render_sides(_rows(session, done)) + muted(lines[-1])
    return CommandResult(
        {"text/html": html, "text/plain": "\n".join(lines)}, written, tuple(done.job.notices), value=done
    )


def bounds() -> str:
    """Say what the verdicts mean."""
    return f"close: up to {CLOSE_BITS} of 64 bits of the look and a mean difference of {CLOSE_MEAN}"


def _rows(session: Session, done: Replayed) -> list[list[Side]]:
    rows = []
    again = {result.position: result for result in done.job.record.results}
    for place, found in done.comparisons.items():
        sides = []
        before = done.original.files.get(place)
        if before is not None:
            sides.append(Side("before", _picture(before, done.original.name)))
        if place in again:
            sides.append(Side("again", picture_of(session, done.job.record, again[place], side_px=_SHOWN_PX)))
            path = session.media.find(again[place].file)
            if before is not None and path is not None and found.hash_bits is not None and found.verdict != "exact":
                sides.append(Side("difference", heat_picture(before, path.read_bytes())))
        sides.append(Side(describe(found)))
        rows.append(sides)
    return rows


def _picture(body: bytes, alt: str) -> Picture | None:
    try:
        return small_picture(decode(body), alt, side_px=_SHOWN_PX)
    except MediaError:
        return None
