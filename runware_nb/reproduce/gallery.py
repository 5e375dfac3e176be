"""Runs as a page of pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.media_types import IMAGE_TYPES, ending_for, sniff
from ..core.money import format_amount, format_sums, sums_by_unit
from ..core.results import Result
from ..errors import MediaError
from ..media import decode, make_thumbnail
from ..media.medium_kinds import kind_of
from ..present.gallery import Exhibit, render_gallery
from ..present.results import format_stars
from ..present.sizes import format_size
from ..runlog import ResultRecord, RunRecord

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["gallery_page"]

_SIDE_PX = 640
_BYTES = 96 * 1024


def gallery_page(
    session: Session, runs: Sequence[RunRecord], *, title: str, link: Callable[[ResultRecord], str | None]
) -> str:
    """Write the page.

    Args:
        session: Whose store holds the files.
        runs: In order.
        title: Its heading.
        link: Gives where the full size of a result is, relative to the page; None for nowhere.
    """
    session.recovery.fetch(runs)
    exhibits = [
        _exhibit(session, run, result, link(result)) for run in runs for result in run.results if result.error is None
    ]
    known = sums_by_unit((run.cost, run.cost_unit) for run in runs)
    summary = f"{len(exhibits)} images of {len(runs)} runs, {format_sums(known) if known else 'cost unknown'}"
    return render_gallery(title, summary, exhibits)


def _exhibit(session: Session, run: RunRecord, result: ResultRecord, href: str | None) -> Exhibit:
    prompt = run.prompt or run.task_type
    facts = [
        ("model", run.model or run.task_type), ("seed", "" if result.seed is None else str(result.seed)),
        ("size", "{width} × {height}".format(**run.request) if {"width", "height"} <= run.request.keys() else ""),
        ("cost", "" if result.cost is None else format_amount(result.cost, result.cost_unit)),
        ("stars", format_stars(result.rating)), ("made", f"{run.created_at_utc[:16].replace('T', ' ')} UTC"),
        ("service", run.provider), ("run", run.task_uuid),
    ]  # fmt: skip
    told = [(name, value) for name, value in facts if value]
    answer = Result(result.raw, run.task_uuid, result.position)
    path = session.recovery.find(run, result) if result.error is None else None
    if path is not None:
        try:
            return _picture(session, path, prompt, told, href, is_flagged=answer.is_flagged)
        except MediaError as error:
            return Exhibit(prompt, told, words=str(error), href=href)
    structured = None if answer.structured is None else json.dumps(answer.structured, ensure_ascii=False)
    return Exhibit(prompt, told, words=answer.text or structured or "the file is not here", href=None)


def _picture(
    session: Session, path: Path, prompt: str, facts: list[tuple[str, str]], href: str | None, *, is_flagged: bool
) -> Exhibit:
    body = path.read_bytes()
    media_type = sniff(body) or ""
    if media_type not in IMAGE_TYPES:
        preview = session.recovery.previews(path)
        about = () if preview is None else preview.facts
        name = f"{ending_for(media_type)[1:].upper()} {kind_of(media_type)}" if media_type else "file"
        words = ", ".join([name, *about, format_size(len(body))])
        if media_type == "image/svg+xml" and len(body) <= _BYTES:
            return Exhibit(prompt, [("file", words), *facts], body, media_type, href=href, is_flagged=is_flagged)
        if preview is None or preview.body is None:
            return Exhibit(prompt, facts, words=words, href=href)
        told = [("file", words), *facts]
        size = (preview.width, preview.height)
        return Exhibit(prompt, told, preview.body, preview.media_type, *size, href, is_flagged=is_flagged)
    small = make_thumbnail(decode(body), side_px=_SIDE_PX, max_bytes=_BYTES)
    return Exhibit(prompt, facts, small.body, small.media_type, small.width, small.height, href, is_flagged=is_flagged)
