"""Opening images that strangers made: the kind is checked, the size is bounded, nothing is trusted."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from ..errors import MediaError
from ..wire.media import IMAGE_TYPES, sniff

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MAX_PIXELS", "decode"]

MAX_PIXELS = 120_000_000
"""Largest image opened, in pixels; the service's own limit is far below."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


def decode(body: bytes) -> Image:
    """Open an image.

    Args:
        body: A whole file.

    Returns:
        The image, decoded to the last pixel.

    Raises:
        MediaError: It is empty, no image, cut short, or larger than `MAX_PIXELS`.
    """
    from PIL import Image

    if not body:
        raise MediaError("the image file is empty")
    kind = sniff(body)
    if kind not in IMAGE_TYPES:
        raise MediaError(f"not an image: the file begins with {body[:16]!r}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # bounded right below
            image = Image.open(io.BytesIO(body), formats=_FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise MediaError(f"an image of {image.width}x{image.height} px is not opened; the bound is {MAX_PIXELS}")
        image.load()
    except MediaError:
        raise
    except Image.DecompressionBombError as error:
        raise MediaError(f"an image of that many pixels is not opened; the bound is {MAX_PIXELS}") from error
    except Exception as error:
        raise MediaError(f"the {kind} file cannot be opened: {error}") from error
    return image
