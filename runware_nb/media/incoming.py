"""Media that a user gives: a path, bytes, a PIL image, an array. What it is, its content decides."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.media_types import CONVERTED_TYPES, IMAGE_TYPES, SNIFFED_BYTES, sniff
from ..core.parsing import is_uuid
from ..errors import MediaError
from .decode import decode

__all__ = ["content_of", "is_sendable", "media_bytes"]

_MAX_FILE_BYTES = 512 * 1024 * 1024


def is_sendable(value: Any) -> bool:
    """Return whether a media value can be sent as it is: a URL, a UUID, a data URI, or base64 of a known type.

    Inline data of a type that the service does not accept has to be converted first.
    """
    if not isinstance(value, str):
        return False
    if value.startswith(("http://", "https://")) or is_uuid(value):
        return True
    kind = _inline_type(value)
    return kind not in CONVERTED_TYPES and (kind is not None or value.startswith("data:"))


def media_bytes(value: Any) -> tuple[bytes, str]:
    """Return the bytes of a medium and its media type.

    Args:
        value: Bytes; a path (`str` or `Path`); a data URI or base64; a PIL image; a numpy array of shape
            `(height, width)`, `(height, width, 3)` or `(height, width, 4)`, uint8, top row first; anything with such
            a `bytes` attribute, as an earlier result has.

    Returns:
        The bytes as given. HEIC, HEIF, AVIF and TIFF images, which the service does not accept, are converted to PNG
        or JPEG.

    Raises:
        MediaError: It does not exist, is empty, is of no known type, is broken, or cannot be converted.
    """
    if isinstance(value, str) and _inline_type(value) is not None:
        return _checked(_inline_body(value), "this inline data")
    if isinstance(value, bytes | bytearray | memoryview):
        return _checked(bytes(value), "these bytes")
    if isinstance(value, str | os.PathLike):
        return _checked(_read(value), f"{os.fspath(value)!r:.200}")
    if hasattr(value, "__array_interface__") and not hasattr(value, "save"):
        return _encoded(_from_array(value))
    if hasattr(value, "save") and hasattr(value, "mode"):
        return _encoded(value)
    body = getattr(value, "bytes", None)
    if isinstance(body, bytes):
        return _checked(body, "the result's file")
    raise MediaError(
        f"a {type(value).__name__} is no medium: give a path, bytes, a PIL image, a numpy array, an address, "
        "a data URI, a UUID, or an earlier result"
    )


def content_of(value: Any, hashes: Mapping[str, str]) -> Any:
    """Name a sendable medium by its content: `sha256:...` for bytes that are known, an address as it is.

    Args:
        value: As `is_sendable` lets pass.
        hashes: SHA-256 of media by UUID.
    """
    if not isinstance(value, str):
        return value
    if value in hashes:
        return f"sha256:{hashes[value]}"
    if value.startswith(("http://", "https://")) or is_uuid(value):
        return value
    try:
        body = base64.b64decode(value.partition(",")[2] if value.startswith("data:") else value, validate=True)
    except (binascii.Error, ValueError):
        return value
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _inline_type(text: str) -> str | None:
    """Return the media type of a data URI or of base64, detected from its content; None if it is neither."""
    start = text.find(",") + 1 if text.startswith("data:") else 0
    head = text[start : start + SNIFFED_BYTES * 4 // 3].rstrip("=")
    try:
        return sniff(base64.b64decode(head[: len(head) // 4 * 4], validate=True))
    except (binascii.Error, ValueError):
        return None


def _inline_body(text: str) -> bytes:
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MediaError(f"the inline data is not valid base64: {error}") from error


def _read(value: str | os.PathLike[str]) -> bytes:
    try:
        path = Path(value).expanduser()
        size = path.stat().st_size
        if path.is_dir():
            raise MediaError(f"{str(path)!r} is a folder; give one file")
        if size > _MAX_FILE_BYTES:
            raise MediaError(f"{str(path)!r} has {size} bytes; files up to {_MAX_FILE_BYTES} are sent")
        return path.read_bytes()
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        shown = str(value) if len(str(value)) <= 120 else f"{str(value)[:117]}..."
        raise MediaError(
            f"{shown!r} cannot be read ({reason}); it is no address, data URI, UUID or base64 either"
        ) from error


def _checked(body: bytes, what: str) -> tuple[bytes, str]:
    if not body:
        raise MediaError(f"{what} is empty: 0 bytes")
    kind = sniff(body)
    if kind is None:
        raise MediaError(
            f"{what} is not an image, video, audio or 3D file of a known type: it begins with {body[:16]!r}. "
            "The file was not sent."
        )
    try:
        if kind in CONVERTED_TYPES:
            return _converted(body, kind)
        if kind in IMAGE_TYPES:
            decode(body)
    except MediaError as error:
        raise MediaError(f"{what}: {error}. The file was not sent.") from error
    return body, kind


def _converted(body: bytes, kind: str) -> tuple[bytes, str]:
    """Convert an image to a type that the service accepts, as it is meant to look.

    It is turned upright, and its colors are converted to sRGB, since the service may ignore both. An image with
    transparency and any TIFF becomes a PNG; others become a JPEG of high quality, because they were compressed with
    losses already and a PNG of a photo is many times larger.

    Raises:
        MediaError: It cannot be read, or it contains several images.
    """
    from PIL import ImageOps

    image: Any = decode(body)  # from here on untyped: Pillow's own types differ between versions
    count = getattr(image, "n_frames", 1)
    if count > 1 and (kind.endswith("-sequence") or kind == "image/tiff"):
        raise MediaError(f"the {kind} file contains {count} images, and one is needed: save one of them as PNG or JPEG")
    with contextlib.suppress(Exception):  # Pillow raises many classes for broken EXIF; it is then no reason to turn
        image = ImageOps.exif_transpose(image)
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return _encoded(image)
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    alpha = image.convert("RGBA").getchannel("A") if has_alpha else None
    upright, profile = _in_srgb(image)
    if alpha is not None:
        upright.putalpha(alpha)
    buffer = io.BytesIO()
    more = {} if profile is None else {"icc_profile": profile}
    try:
        if alpha is None and kind != "image/tiff":
            upright.save(buffer, "JPEG", quality=95, subsampling=0, **more)
            return buffer.getvalue(), "image/jpeg"
        upright.save(buffer, "PNG", **more)
    except (OSError, ValueError) as error:
        raise MediaError(f"the {kind} file cannot be converted: {error}") from error
    return buffer.getvalue(), "image/png"


def _in_srgb(image: Any) -> tuple[Any, bytes | None]:
    """Return an image in RGB with its colors in sRGB; also its profile, if it could not be applied."""
    profile = image.info.get("icc_profile")
    plain = image if image.mode in {"RGB", "L", "CMYK"} else image.convert("RGB")
    if not profile:
        return plain.convert("RGB"), None
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        turned: Any = ImageCms.profileToProfile(plain, source, target, outputMode="RGB")
    except (ImportError, OSError, ValueError, TypeError, ImageCms.PyCMSError):  # ImportError: Pillow without lcms
        return plain.convert("RGB"), profile if plain.mode == "RGB" else None
    turned.info.pop("icc_profile", None)
    return turned, None


def _from_array(array: Any) -> Any:
    from PIL import Image

    shape, kind = array.__array_interface__.get("shape"), str(array.__array_interface__.get("typestr"))
    refusal = MediaError(
        f"an array of shape {shape} and type {kind} is no image: it takes (height, width), (height, width, 3) or "
        "(height, width, 4) of uint8, as `(x * 255).astype('uint8')` makes it from 0 to 1"
    )
    if kind[1:] not in {"u1", "b1"}:  # others would be squeezed into 8 bits without a word
        raise refusal
    try:
        return Image.fromarray(array)
    except (TypeError, ValueError, AttributeError) as error:
        raise refusal from error


def _encoded(image: Any) -> tuple[bytes, str]:
    buffer = io.BytesIO()
    try:
        if image.mode not in {"1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16"}:
            image = image.convert("RGB")
        image.save(buffer, "PNG")
    except (OSError, ValueError, TypeError, SystemError) as error:
        raise MediaError(f"the image cannot be encoded: {error}") from error
    return buffer.getvalue(), "image/png"
