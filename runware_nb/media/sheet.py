"""Several images in one, where only one can be shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .thumbnail import THUMBNAIL_BYTES, Thumbnail, make_thumbnail

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["make_sheet"]

_SIDE_PX = 1024
_GAP_PX = 8


def make_sheet(images: Sequence[Image]) -> Thumbnail:
    """Put images beside each other, as many columns as rows, at most 1024 px wide and high.

    Args:
        images: One or more, of any mode; a single one is only shrunk.

    Returns:
        A JPEG; a PNG where there is transparency, since a page of paper shows no WebP.
    """
    from PIL import Image as Images

    columns = next(n for n in range(1, len(images) + 1) if n * n >= len(images))
    side = (_SIDE_PX - _GAP_PX * (columns - 1)) // columns
    small = [_fitted(each, side) for each in images]
    wide, high = max(each.width for each in small), max(each.height for each in small)
    rows = -(-len(small) // columns)
    has_alpha = any(each.mode == "RGBA" for each in small)
    size = (columns * wide + (columns - 1) * _GAP_PX, rows * high + (rows - 1) * _GAP_PX)
    sheet = Images.new("RGBA" if has_alpha else "RGB", size, (255, 255, 255, 0) if has_alpha else (255, 255, 255))
    for number, each in enumerate(small):
        row, column = divmod(number, columns)
        sheet.paste(each, (column * (wide + _GAP_PX), row * (high + _GAP_PX)))
    return _as_png(sheet) if has_alpha else make_thumbnail(sheet, side_px=_SIDE_PX)


def _fitted(image: Image, side: int) -> Image:
    from PIL import Image as Images

    has_alpha = "A" in image.getbands() or "transparency" in image.info
    small = image.convert("RGBA" if has_alpha else "RGB")
    small.thumbnail((side, side), Images.Resampling.LANCZOS, reducing_gap=3.0)
    return small


def _as_png(sheet: Image) -> Thumbnail:
    """Encode as PNG, smaller and smaller until it fits."""
    import io

    while True:
        buffer = io.BytesIO()
        sheet.save(buffer, "PNG", optimize=True)
        if buffer.tell() <= THUMBNAIL_BYTES or max(sheet.size) <= 64:
            return Thumbnail(buffer.getvalue(), "image/png", sheet.width, sheet.height)
        sheet = sheet.resize((sheet.width * 3 // 4, sheet.height * 3 // 4))
