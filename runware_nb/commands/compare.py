"""compare: two to four images side by side; two with a slider between them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.results import Outcome
from ..engine.thumbnails import small_picture
from ..errors import MagicUsageError, MediaError
from ..media import decode
from ..media.incoming import media_bytes
from ..media.preview import preview_of
from ..present.compare import Side, render_sides, render_slider
from .base import CommandResult
from .images_in import find_image

if TYPE_CHECKING:
    from PIL.Image import Image

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
    shown = [_Shown.of(name, value) for name, value in found]
    rows = [
        Side(f"{each.name}, {each.about}", small_picture(each.image, each.name, side_px=_SIDE_PX)) for each in shown
    ]
    html = render_sides([rows])
    if len(shown) == 2:
        side = min(_SLIDER_PX, max(shown[1].image.size))
        before, after = (small_picture(each.image, each.name, side_px=side) for each in shown)
        html = render_slider(before, after) + html
    said = " | ".join(f"{each.name}, {each.about.replace(' × ', 'x')}" for each in shown)
    written = [{"image": each.name, "width": each.image.width, "height": each.image.height} for each in shown]
    return CommandResult({"text/html": html, "text/plain": said}, written)


@dataclass(frozen=True, slots=True)
class _Shown:
    """One of the images that are compared, or the preview of another medium.

    Attributes:
        name: As the line names it.
        image: The picture.
        about: Its size, or what is known of the medium.
    """

    name: str
    image: Image
    about: str

    @classmethod
    def of(cls, name: str, value: Any) -> _Shown:
        """Return what is shown of a medium: an image itself, and of a video, audio or a 3D model its preview.

        Raises:
            MediaError: It is no such medium, or it has no preview.
        """
        body, media_type = media_bytes(value)
        preview = preview_of(body, media_type)
        if preview is None:
            image = decode(body)
            return cls(name, image, f"{image.width} × {image.height}")
        if preview.body is None:
            raise MediaError(f"{name} cannot be compared: {preview.problem}.")
        return cls(name, decode(preview.body), ", ".join(preview.facts))
