"""gallery: look through the images of the log, or write them as a page that opens without Jupyter."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.display import extent_of
from ..errors import MediaError
from ..media.medium import write_whole
from ..present.table import Table, render_table
from ..reproduce.gallery import gallery_page
from ..runlog import ResultRecord, RunRecord
from ..runlog.exhibits import list_images, runs_of
from ..runlog.filters import RunFilter
from .base import CommandResult
from .filters import add_filters, filter_from, note_of_limit

if TYPE_CHECKING:
    from ..session import Session

_ON_A_PAGE = 200
"""Runs of a written page by default; images of a page in a terminal."""
SUMMARY = "look through the images of the log; with FILE.html, write them as a page (one file, no script)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", nargs="?", metavar="FILE.html", help="write a page instead; replaced if it is there")
    parser.add_argument("--title", metavar="TEXT", help="heading of that page")
    parser.add_argument("--favourites", action="store_true", help="only images that were marked (in a terminal)")
    add_filters(parser, limit=None)


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Show or write them."""
    wanted = filter_from(options, session)
    if options.file is not None:
        if options.limit is None:
            wanted = dataclasses.replace(wanted, limit=_ON_A_PAGE)
        return _page(session, wanted, Path(options.file).expanduser(), options.title)
    if session.front_end.show_gallery(wanted):
        return CommandResult()
    places = list_images(session.log, wanted, favourites=options.favourites)
    shown = places[(wanted.page - 1) * _ON_A_PAGE : wanted.page * _ON_A_PAGE]
    found = runs_of(session.log, shown)
    written: list[dict[str, Any]] = []
    for uuid, position in shown:
        run = found.get(uuid)
        result = next((each for each in run.results if each.position == position), None) if run is not None else None
        if run is None or result is None:
            continue  # its row is damaged, which a note states
        path = session.recovery.find(run, result)
        written.append({
            "task_uuid": uuid, "index": position, "model": run.model, "prompt": run.prompt,
            "seed": _seed_of(run, result), "rating": result.rating, "is_favourite": result.is_favourite,
            "file": None if path is None else str(path),
        })  # fmt: skip
    rows = [(f"{each['task_uuid']}#{each['index'] + 1}", each["model"], each["seed"], each["file"]) for each in written]
    extent = note_of_limit(len(rows), len(places), at_most=len(places), what="images")
    table = Table(("image", "model", "seed", "file"), rows, extent, empty="no image fits")
    more = (f"{extent}; `--page {wanted.page + 1}` lists the next",) if len(rows) < len(places) else ()
    return CommandResult(render_table(table), written, value=written, json_notes=more)


def _seed_of(run: RunRecord, result: ResultRecord) -> int | None:
    """Return the seed of a result; that of the request if the service names none for the result."""
    return run.request.get("seed") if result.seed is None else result.seed


def _page(session: Session, wanted: RunFilter, target: Path, title: str | None) -> CommandResult:
    selected = session.log.select(wanted)
    runs = [run for run in selected if run.results]
    extent = extent_of(session.log, wanted, len(selected))
    notes = (f"{extent}; `--limit all` includes every run",) if extent else ()
    page = gallery_page(session, runs, title=title or target.stem, link=lambda _: None)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, page.encode())
    except OSError as error:
        raise MediaError(f"{target} cannot be written: {error.strerror or error}") from error
    said = f"{target}: {len(runs)} runs, {len(page) / 1e6:.1f} MB"
    return CommandResult({"text/plain": said}, {"path": str(target), "runs": len(runs), "size_bytes": len(page)}, notes)
