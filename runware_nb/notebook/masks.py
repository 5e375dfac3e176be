"""Masks for inpainting: painted, drawn as a rectangle, or both; kept as files, so that the log can name them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from ..commands.images_in import find_image
from ..engine.display import relative_path
from ..engine.front_end import current_front_end
from ..engine.thumbnails import small_picture
from ..errors import MagicUsageError, MediaError
from ..media import decode
from ..media.incoming import media_bytes
from ..present.compare import Side, render_sides
from ..present.html import element, text
from ..printable import printable
from ..session import Session, current_session
from .display import fill_place, open_place, show_widget

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Mask", "brush", "mask_rectangle"]

_SIDE_PX = 160


class Mask:
    """A mask that is being made for an image: white is painted anew.

    It stands wherever an image may: `--mask NAME`, or `extra={"maskImage": mask}`.

    Args:
        session: Whose store keeps it.
        image: What it is for.

    Attributes:
        path: Its file; None before there is one.
    """

    def __init__(self, session: Session, image: Image) -> None:
        self._session = session
        self._image = image
        self._handle: Any = None
        self.path: Path | None = None

    @property
    def image(self) -> Image:
        """The mask, black and white, of the image's size.

        Raises:
            MediaError: There is none yet.
        """
        return decode(Path(self).read_bytes())

    def take(self, body: bytes) -> str:
        """Keep a mask, and say so.

        Args:
            body: A picture of the image's size.

        Raises:
            MediaError: It is no such picture, or cannot be written.
        """
        painted = decode(body).convert("L").point(lambda value: 255 if value > 127 else 0)
        if painted.size != self._image.size:
            wide, high = self._image.size
            raise MediaError(f"the mask has {painted.width}x{painted.height} px, and the image {wide}x{high}")
        buffer = io.BytesIO()
        painted.save(buffer, "PNG", optimize=True)
        self.path = self._session.media.put(buffer.getvalue()).path
        white = painted.histogram()[255] / (painted.width * painted.height)
        said = f"mask kept: {relative_path(self.path)}, {white:.0%} is painted anew"
        if self._handle is not None:
            fill_place(self._handle, self._record(said))
        return said

    def rectangle(self, left: int, top: int, right: int, bottom: int) -> str:
        """Make it a rectangle, in pixels from the image's upper left corner.

        Raises:
            MagicUsageError: The rectangle is empty, or lies outside.
        """
        return self.take(_rectangle(self._image, (left, top, right, bottom)))

    def __fspath__(self) -> str:
        if self.path is None:
            raise MediaError("this mask is not painted yet: paint, and press *Use this mask*")
        return str(self.path)

    def __repr__(self) -> str:
        return printable(f"<Mask {'not painted yet' if self.path is None else relative_path(self.path)}>")

    def _ipython_display_(self) -> None:
        show_widget(self._controls(), "[brush: run the cell to paint]")
        said = (
            "no mask yet: paint, and press Use this mask" if self.path is None else f"mask: {relative_path(self.path)}"
        )
        self._handle = open_place(self._record(said))

    def _controls(self) -> Any:
        try:
            from .canvas.brush import BrushCanvas
        except ImportError:
            return _RectangleFields(self, self._image).widget
        return BrushCanvas(self._image, "the image to mask", self.take)

    def _record(self, said: str) -> dict[str, str]:
        """Show image and mask as they are kept: this stays in the notebook."""
        sides = [Side("image", small_picture(self._image, "the image", side_px=_SIDE_PX))]
        if self.path is not None:
            sides.append(Side("mask", small_picture(self.image, said, side_px=_SIDE_PX)))
        return {"text/html": render_sides([sides]) + element("div", text(said)), "text/plain": said}


def brush(image: Any) -> Mask:
    """Paint a mask over an image.

    Without the extra `canvas` it is a rectangle, typed in.

    Args:
        image: A result, a PIL image, a path, bytes, or a word such as `_rw` or `#3`.

    Raises:
        MagicUsageError: The word means no image.
        MediaError: It cannot be read.
    """
    session = current_session()
    return Mask(session, _opened(session, image))


def mask_rectangle(image: Any, left: int, top: int, right: int, bottom: int) -> Mask:
    """Make a mask from a rectangle, in pixels from the upper left corner; see `brush`."""
    made = brush(image)
    made.rectangle(left, top, right, bottom)
    return made


def _opened(session: Session, image: Any) -> Image:
    from .forms.api import users_names

    names: Mapping[str, Any] = users_names()
    found = find_image(image, session, names) if isinstance(image, str) else image
    if hasattr(found, "results"):  # an outcome: its first image
        if not found.results:
            raise MagicUsageError("that result has no image")
        found = found.results[0]
    return decode(media_bytes(found)[0])


def _rectangle(image: Image, box: tuple[int, int, int, int]) -> bytes:
    from PIL import Image as Images
    from PIL import ImageDraw

    left, top, right, bottom = box
    if not (0 <= left < right <= image.width and 0 <= top < bottom <= image.height):
        raise MagicUsageError(
            f"the rectangle {left}, {top} to {right}, {bottom} is not inside the image of {image.width}x{image.height}"
        )
    mask = Images.new("L", image.size, 0)
    ImageDraw.Draw(mask).rectangle((left, top, right - 1, bottom - 1), fill=255)
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    return buffer.getvalue()


class _RectangleFields:
    """Four numbers and a button: what a mask is without the extra."""

    def __init__(self, mask: Mask, image: Image) -> None:
        self._mask = mask
        limits = (("Left", 0), ("Top", 0), ("Right", image.width), ("Bottom", image.height))
        self._sides = [widgets.IntText(value=value, description=f"{name} (px)") for name, value in limits]
        use = widgets.Button(description="Use this mask", tooltip="make the rectangle the mask")
        use.on_click(lambda _: self._use())
        self._said = widgets.HTML("a rectangle; pip install 'runware-nb[canvas]' brings a brush")
        self.widget = widgets.VBox([*self._sides, use, self._said])

    def _use(self) -> None:
        try:
            said = self._mask.rectangle(*[side.value for side in self._sides])
        except (MagicUsageError, MediaError) as error:
            said = f"✗ {current_front_end().message(error)}"
        self._said.value = element("div", text(said), role="status")
