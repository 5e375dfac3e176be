"""Input files: what useapi.net accepts, what is converted, and which account owns what."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from ...core.media_types import ending_for
from ...errors import MediaError, TaskInvalid
from ...media.decode import decode
from ...media.incoming import media_bytes
from .protocol import owner_of, shorten_account

__all__ = ["ACCEPTED_TYPES", "common_owner", "file_name", "is_asset_id", "read_upload"]

ACCEPTED_TYPES = frozenset(
    {
        "image/png", "image/jpeg", "image/gif",
        "video/mp4", "video/quicktime", "video/3gpp", "video/x-matroska", "video/x-flv", "video/mpeg", "video/mp2t",
        "video/x-msvideo", "video/x-motion-jpeg", "video/webm", "video/ogg",
        "audio/wav", "audio/wave", "audio/mpeg", "audio/flac", "audio/ogg", "audio/webm",
    }
)  # fmt: skip
"""Reference 7."""
_CONVERTED = frozenset({"image/webp", "image/bmp"})
"""Image types that Pillow reads, and the service does not take. `media_bytes` has converted HEIC, AVIF and TIFF."""
_LOSSLESS = frozenset({"image/bmp"})


def is_asset_id(text: object) -> bool:
    """Return whether a text is the long id of an asset."""
    return isinstance(text, str) and "-asset:" in text and owner_of(text) is not None


def common_owner(asset_ids: Iterable[str]) -> str | None:
    """Return the account that owns all assets of a task; None if there are none, or their ids do not tell.

    Raises:
        TaskInvalid: They belong to several accounts. The owner runs the task, so there must be one.
    """
    owners = list(dict.fromkeys(owner for owner in map(owner_of, asset_ids) if owner is not None))
    if len(owners) > 1:
        names = " and ".join(shorten_account(owner) for owner in owners[:3])
        raise TaskInvalid(
            f"The assets of this task belong to different accounts ({names}), and the account that owns the assets "
            "runs the task. Nothing was sent. Use assets of one account, or give files, which are uploaded.",
            parameter="assets",
        )
    return owners[0] if owners else None


def read_upload(value: Any) -> tuple[bytes, str]:
    """Return the bytes of a medium and its type, converted if the service does not accept it.

    WebP and BMP images become a PNG if they have transparency or were not compressed with losses, and a JPEG otherwise.

    Args:
        value: See `media.incoming.media_bytes`.

    Raises:
        MediaError: It is none, is broken, or is of a type that cannot be converted.
    """
    content, media_type = media_bytes(value)
    if media_type in ACCEPTED_TYPES:
        return content, media_type
    if media_type in _CONVERTED:
        return _converted(content, media_type)
    raise MediaError(
        f"useapi.net does not accept {media_type} files. The file was not sent. Convert it to PNG, JPEG, MP4, WAV or "
        "another accepted type."
    )


def file_name(digest: str, media_type: str) -> str:
    """Return the name of an upload: from its content, because a file name may contain personal data."""
    return f"{digest[:16]}{ending_for(media_type)}"


def _converted(content: bytes, media_type: str) -> tuple[bytes, str]:
    image: Any = decode(content)
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    buffer = io.BytesIO()
    try:
        if has_alpha or media_type in _LOSSLESS:
            image.convert("RGBA" if has_alpha else "RGB").save(buffer, "PNG")
            return buffer.getvalue(), "image/png"
        image.convert("RGB").save(buffer, "JPEG", quality=95, subsampling=0)
    except (OSError, ValueError) as error:
        raise MediaError(f"The {media_type} file cannot be converted: {error}. The file was not sent.") from error
    return buffer.getvalue(), "image/jpeg"
