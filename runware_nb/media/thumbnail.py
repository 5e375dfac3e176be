"""Small copies for the notebook: the full size stays on disk."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..reprs import short_repr

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["THUMBNAIL_BYTES", "Thumbnail", "make_thumbnail"]

THUMBNAIL_BYTES = 112 * 1024
"""Largest thumbnail in bytes: 150 KiB as base64, which leaves room for caption and markup below 160 KiB."""


@short_repr()
@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small copy.

    Attributes:
        body: The encoded file.
        media_type: `image/jpeg`, or `image/webp` where there is transparency.
        width: Pixels.
        height: Pixels.
    """

    body: bytes
    media_type: str
    width: int
    height: int


def make_thumbnail(image: Image, *, side_px: int = 512, max_bytes: int = THUMBNAIL_BYTES) -> Thumbnail:
    """Shrink an image to at most *side_px* and *max_bytes*.

    Quality falls first, size after it, so that noise and transparency fit too.

    Args:
        image: Any mode; not changed.
        side_px: Longest side in pixels. A smaller image is not enlarged.
        max_bytes: Largest result in bytes.
    """
    from PIL import Image as Images

    has_alpha = "A" in image.getbands() or "transparency" in image.info
    small = image.convert("RGBA" if has_alpha else "RGB")
    while True:
        small.thumbnail((side_px, side_px), Images.Resampling.LANCZOS, reducing_gap=3.0)
        for quality in (85, 70, 50, 30):
            buffer = io.BytesIO()
            if has_alpha:
                small.save(buffer, "WEBP", quality=quality, method=3)
            else:
                small.save(buffer, "JPEG", quality=quality, optimize=True)
            if buffer.tell() <= max_bytes or side_px <= 16:
                media_type = "image/webp" if has_alpha else "image/jpeg"
                return Thumbnail(buffer.getvalue(), media_type, small.width, small.height)
        side_px = max(16, side_px * 3 // 4)
