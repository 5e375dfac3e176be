"""Assets: uploaded files, and the results of tasks."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from ..core.making.films import decode_first_frame
from ..core.making.painter import encode
from ..core.making.pictures import open_image
from .refusals import Refused

__all__ = ["Asset", "Upload", "media_kind", "read_upload"]

_VIDEO = (
    "mp4",
    "quicktime",
    "3gpp",
    "x-matroska",
    "x-flv",
    "mpeg",
    "mp2t",
    "x-msvideo",
    "x-motion-jpeg",
    "webm",
    "ogg",
)
_ACCEPTED = {
    **{f"image/{name}": name for name in ("png", "jpeg", "gif")},
    **{f"video/{name}": name for name in _VIDEO},
    **{f"audio/{name}": name for name in ("wav", "wave", "mpeg", "flac", "ogg", "webm")},
}
_EXTENSIONS = {"jpeg": "jpg", "quicktime": "mov", "wave": "wav"}


@dataclass(frozen=True)
class Upload:
    """A file as it is stored.

    Attributes:
        content: The file.
        media_type: Its media type.
        extension: Extension of its name.
        metadata: Size and duration, as far as they are known.
    """

    content: bytes
    media_type: str
    extension: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Asset:
    """An asset of one account.

    Attributes:
        uuid: Bare UUID.
        owner: Start of its long id.
        email: E-mail of the account that owns it.
        name: Name given by the caller.
        media_type: Media type of the content.
        created_at: Seconds since the epoch. A result exists from then on.
        metadata: Size and duration, as far as they are known.
        content: The file; None for the result of a task.
        extension: Extension of its file.
    """

    uuid: str
    owner: str
    email: str
    name: str
    media_type: str
    created_at: float
    metadata: dict[str, Any]
    content: bytes | None
    extension: str

    def to_record(self) -> dict[str, Any]:
        """Return all attributes but the content, as the journal keeps them."""
        return {**asdict(self), "content": None}

    @property
    def id(self) -> str:
        """The long id."""
        return f"{self.owner}-asset:{self.uuid}"

    @property
    def file_name(self) -> str:
        """Name of its file."""
        return f"{self.uuid}.{self.extension}"


def media_kind(media_type: str) -> str:
    """Return `image`, `video` or `audio`."""
    return media_type.partition("/")[0]


def read_upload(content: bytes, media_type: str, sizes: dict[str, float], *, webp: str) -> Upload:
    """Return an upload as it is stored.

    The content decides about WebP: under an accepted media type it is converted to JPEG, which is what the vendor's
    advice to rename such a file amounts to.

    Args:
        content: The file.
        media_type: Its declared media type.
        sizes: `duration`, `width` and `height` as the caller states them.
        webp: What happens to a file declared as WebP: `refuse` or `convert`.

    Raises:
        Refused: The type is not accepted, or the file is not of that type.
    """
    declared = media_type.partition(";")[0].strip().lower()
    if declared == "image/webp" and webp == "convert":
        declared = "image/jpeg"
    if declared not in _ACCEPTED:
        raise Refused(400, f"Content-Type {declared or 'missing'} is not supported.")
    if not content:
        raise Refused(400, "The body is empty.")
    metadata: dict[str, Any] = {}
    try:
        if media_kind(declared) == "image":
            image = open_image(content)
            if _format(content) == "WEBP":
                content, declared, _ = encode(image, "JPEG", 95)
            metadata = {"width": image.width, "height": image.height}
        elif media_kind(declared) == "video":
            image, rate, duration = decode_first_frame(content)
            metadata = {"frameRate": rate, "duration": duration, "width": image.width, "height": image.height}
    except OSError as error:
        raise Refused(400, f"The file is not a valid {media_kind(declared)}.") from error
    name = _ACCEPTED[declared]
    return Upload(content, declared, _EXTENSIONS.get(name, name), {**metadata, **sizes})


def _format(content: bytes) -> str:
    with Image.open(io.BytesIO(content)) as image:
        return str(image.format)
