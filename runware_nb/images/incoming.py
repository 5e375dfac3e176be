"""Media that a user gives: a path, bytes, a PIL image, an array. What it is, its content decides."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import MediaError
from ..wire.media import IMAGE_TYPES, sniff
from ..wire.tasks import is_uuid
from .decode import decode

__all__ = ["content_of", "is_sendable", "media_bytes"]

_MAX_FILE_BYTES = 512 * 1024 * 1024


def is_sendable(value: Any) -> bool:
    """Whether a media value can travel as it is: an address, a data URI, a UUID, or base64 of a known kind."""
    if not isinstance(value, str):
        return False
    return value.startswith(("http://", "https://", "data:")) or is_uuid(value) or _is_base64(value)


def media_bytes(value: Any) -> tuple[bytes, str]:
    """Give the bytes of a medium and its media type.

    Args:
        value: Bytes; a path (`str` or `Path`); a PIL image; a numpy array of shape `(height, width)`,
            `(height, width, 3)` or `(height, width, 4)`, uint8, top row first; anything with such a `bytes`
            attribute, as an earlier result has.

    Raises:
        MediaError: It does not exist, is empty, is of no known kind, is broken, or cannot be turned into one.
    """
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


def _is_base64(text: str) -> bool:
    """Whether a text is base64 of a medium: its content says so, not its name."""
    head = text[:684].rstrip("=")
    try:
        return sniff(base64.b64decode(head[: len(head) // 4 * 4], validate=True)) is not None
    except (binascii.Error, ValueError):
        return False


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
        raise MediaError(f"{what} is no image, video, audio or 3D file: it begins with {body[:16]!r}")
    if kind in IMAGE_TYPES:
        try:
            decode(body)
        except MediaError as error:
            raise MediaError(f"{what}: {error}") from error
    return body, kind


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
