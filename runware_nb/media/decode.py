"""Opening images that strangers made: the kind is checked, the size is bounded, nothing is trusted."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from ..core.media_types import sniff
from ..errors import MediaError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MAX_PIXELS", "ImageDamaged", "ImageTooLarge", "decode"]

MAX_PIXELS = 120_000_000
"""Largest image opened, in pixels; the service's own limit is far below."""

_FORMATS = {
    "image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP", "image/gif": "GIF", "image/bmp": "BMP",
    "image/tiff": "TIFF", "image/avif": "AVIF", "image/avif-sequence": "AVIF", "image/heic": "HEIF",
    "image/heif": "HEIF", "image/heic-sequence": "HEIF", "image/heif-sequence": "HEIF",
}  # fmt: skip
"""Pillow's name of each type: only the decoder of the detected type is tried."""


class ImageTooLarge(MediaError):
    """An image has more pixels than `MAX_PIXELS`."""


class ImageDamaged(MediaError):
    """An image is cut short, or cannot be decoded for another reason."""


def decode(body: bytes) -> Image:
    """Open an image.

    Args:
        body: A whole file.

    Returns:
        The image, decoded to the last pixel.

    Raises:
        MediaError: It is empty, no image, cut short, larger than `MAX_PIXELS`, or of a type that the installed Pillow
            cannot read.
    """
    from PIL import Image

    if not body:
        raise MediaError("the image file is empty")
    kind = sniff(body)
    if kind not in _FORMATS:
        raise MediaError(f"not an image: the file begins with {body[:16]!r}")
    _require_decoder(_FORMATS[kind])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # bounded right below
            image = Image.open(io.BytesIO(body), formats=(_FORMATS[kind],))
        if image.width * image.height > MAX_PIXELS:
            raise _too_large(image.width, image.height)
        image.load()
    except MediaError:
        raise
    except Image.DecompressionBombError as error:  # raised by Pillow from the header, without the size
        raise _too_large(*_size_in_header(body)) from error
    except Exception as error:
        raise ImageDamaged(f"the {kind} file is damaged or incomplete ({error})") from error
    return image


def _too_large(width: int, height: int) -> MediaError:
    most = f"images of at most {MAX_PIXELS // 1_000_000} megapixels are opened"
    if not width:
        return ImageTooLarge(f"the image has too many pixels, and {most}")
    return ImageTooLarge(
        f"the image has {width * height / 1_000_000:,.0f} megapixels ({width}x{height} px), and {most}"
    )


def _size_in_header(body: bytes) -> tuple[int, int]:
    """Return width and height of a PNG or BMP file from its header; zeros for others."""
    if body.startswith(b"\x89PNG"):
        return int.from_bytes(body[16:20], "big"), int.from_bytes(body[20:24], "big")
    if body.startswith(b"BM"):
        return int.from_bytes(body[18:22], "little"), abs(int.from_bytes(body[22:26], "little", signed=True))
    return 0, 0


def _require_decoder(name: str) -> None:
    """Raise an error that states what to install if Pillow cannot read AVIF or HEIC here.

    Raises:
        MediaError: It cannot.
    """
    from PIL import Image, features

    if name == "AVIF":
        Image.init()
        if name not in Image.OPEN or not features.check("avif"):
            raise MediaError(
                "the installed Pillow cannot read AVIF images. Install Pillow 11.3 or later "
                "(`pip install -U pillow`), or save the image as PNG or JPEG"
            )
    elif name == "HEIF" and name not in Image.OPEN:
        try:
            from pillow_heif import register_heif_opener  # type: ignore[import-not-found, unused-ignore]
        except ImportError as error:
            raise MediaError(
                "HEIC and HEIF images cannot be converted here. Install the converter "
                "(`pip install 'runware-nb[heic]'`), or save the image as PNG or JPEG"
            ) from error
        register_heif_opener()
