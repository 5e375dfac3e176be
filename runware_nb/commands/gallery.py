"""gallery: runs as a page of pictures that opens without Jupyter."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..again.gallery import gallery_page
from ..errors import MediaError
from ..images.medium import write_whole
from .base import Answer
from .filters import add_filters, filter_from

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "write a page of pictures (one HTML file, no script) of the runs that filters choose"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE.html", help="where to; replaced if it is there")
    parser.add_argument("--title", metavar="TEXT", help="its heading")
    add_filters(parser, limit=200)


def run(session: Session, options: argparse.Namespace) -> Answer:
    """Write it."""
    target = Path(options.file).expanduser()
    runs = [each for each in session.log.select(filter_from(options)) if each.results]
    page = gallery_page(session, runs, title=options.title or target.stem, link=lambda _: None)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, page.encode())
    except OSError as error:
        raise MediaError(f"{target} cannot be written: {error.strerror or error}") from error
    said = f"{target}: {len(runs)} runs, {len(page) / 1e6:.1f} MB"
    return Answer({"text/plain": said}, {"path": str(target), "runs": len(runs), "size_bytes": len(page)})
