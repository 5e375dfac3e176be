"""compare: two to four images side by side; two with a slider between them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..core.results import Outcome
from ..engine.thumbnails import small_picture
from ..errors import MagicUsageError
from ..media import decode
from ..media.incoming import media_bytes
from ..present.compare import Side, render_sides, render_slider
from .base import CommandResult
from .images_in import find_image

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "show two to four images side by side; two with a slider, without any script"

_SLIDER_PX = 512
_SIDE_PX = 240


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("images", nargs="+", metavar="IMG", help="variables, _rw, #3, files, runs (3f2a9c1b#2); an "
                        "outcome of several images stands for all of them")  # fmt: skip


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Show them."""
    names: dict[str, Any] = getattr(options, "names", {})
    found: list[tuple[str, Any]] = []
    for word in options.images:
        value = names.get(word)
        if isinstance(value, Outcome):
            found += [(f"{word} #{each.index + 1}", each) for each in value.results]
        else:
            found.append((word, find_image(word, session, names)))
    if not 2 <= len(found) <= 4:
        raise MagicUsageError(f"{len(found)} images: two to four are compared")
    images = [(name, decode(media_bytes(value)[0])) for name, value in found]
    rows = [
        Side(f"{name}, {each.width} × {each.height}", small_picture(each, name, side_px=_SIDE_PX))
        for name, each in images
    ]
    html = render_sides([rows])
    if len(images) == 2:
        side = min(_SLIDER_PX, max(images[1][1].size))
        before, after = (small_picture(each, name, side_px=side) for name, each in images)
        html = render_slider(before, after) + html
    said = " | ".join(f"{name}, {each.width}x{each.height}" for name, each in images)
    written = [{"image": name, "width": each.width, "height": each.height} for name, each in images]
    return CommandResult({"text/html": html, "text/plain": said}, written)
