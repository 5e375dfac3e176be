"""The brush's widget: an image to paint over, and the mask that comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from ...engine.front_end import current_front_end
from ...errors import RunwareNBError
from ...media import make_thumbnail
from .scripts import script

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["BrushCanvas"]

_SHOWN_PX = 1600


class BrushCanvas(anywidget.AnyWidget):
    """Brush, eraser and rectangle over an image.

    Args:
        image: What is painted over.
        alt: What it shows, in words.
        take: Called with the mask as PNG; says in a sentence what became of it.
    """

    _esm = script("brush")
    image = traitlets.Bytes().tag(sync=True)
    media_type = traitlets.Unicode().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    height = traitlets.Int().tag(sync=True)

    def __init__(self, image: Image, alt: str, take: Callable[[bytes], str]) -> None:
        shown = make_thumbnail(image, side_px=_SHOWN_PX, max_bytes=1024 * 1024)
        super().__init__(image=shown.body, media_type=shown.media_type, alt=alt, width=image.width, height=image.height)
        self._take = take
        self.on_msg(self._received)

    def _received(self, _: Any, content: Any, buffers: list[Any]) -> None:
        if not isinstance(content, dict) or content.get("kind") != "mask" or not buffers:
            return
        try:
            said = self._take(bytes(buffers[0]))
        except RunwareNBError as error:
            said = f"✗ {current_front_end().message(error)}"
        self.send({"kind": "said", "words": said})
