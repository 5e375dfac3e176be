"""Media that come in: data URIs, base64, addresses of our own, UUIDs of earlier media."""

from __future__ import annotations

import base64
import binascii
import io
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from PIL import Image, ImageOps, UnidentifiedImageError

from ..core.journal import Journal
from .validation import Refused

__all__ = ["Uploads", "guiding_media"]

_TYPES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "BMP": "bmp", "GIF": "gif"}
_OTHERS = ((b"ID3", "mp3"), (b"fLaC", "flac"), (b"OggS", "ogg"), (b"glTF", "glb"), (b"\x1aE\xdf\xa3", "webm"))
_LONGEST_SIDE_PX = 2048
_GUIDING = {
    "controlNet": ("guideImage",), "ipAdapters": ("guideImages", "guideImage"), "puLID": ("inputImages",),
    "pulid": ("images",), "photoMaker": ("images",),
}  # fmt: skip
"""Objects of a task with images in them, and the names of these."""


class Uploads:
    """Uploaded media by UUID."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._names: dict[str, str] = {}
        self._bodies: dict[str, bytes] = {}

    def restore(self, media_uuid: str, name: str) -> None:
        """Take up an upload of an earlier process."""
        body = self._journal.load_upload(name)
        if body is not None:
            self._names[media_uuid], self._bodies[name] = name, body

    def forget(self, media_uuid: str) -> bool:
        """Delete one; False when there is none."""
        name = self._names.pop(media_uuid, None)
        if name is None:
            return False
        self._bodies.pop(name, None)
        return True

    def clear(self) -> None:
        """Delete all."""
        self._names.clear()
        self._bodies.clear()

    def all(self) -> list[tuple[str, str, bytes]]:
        """List UUID, file name and bytes of each, oldest first."""
        return [(media_uuid, name, self._bodies[name]) for media_uuid, name in self._names.items()]

    def name(self, media_uuid: str) -> str | None:
        """File name of an upload."""
        return self._names.get(media_uuid)

    def body(self, name: str) -> bytes | None:
        """Bytes of an upload by file name."""
        return self._bodies.get(name)

    def add(self, value: Any, *, parameter: str, own_body: Any, shrink: bool) -> tuple[str, str]:
        """Store a medium and give its UUID and file name.

        Args:
            value: Data URI, base64 or an address of this server.
            parameter: Its name in the request, for the error.
            own_body: Function that gives the bytes behind one of our own addresses, or None.
            shrink: Whether images are reduced to 2048 px, as imageUpload does.

        Raises:
            Refused: It is none of these, or no image where one is due.
        """
        body = self.read(value, parameter=parameter, own_body=own_body)
        ending = "bin"
        try:
            with Image.open(io.BytesIO(body)) as image:
                ending = _TYPES.get(image.format or "", "")
                if shrink and max(image.size) > _LONGEST_SIDE_PX:
                    kind = image.format
                    upright = ImageOps.exif_transpose(image)
                    upright.thumbnail((_LONGEST_SIDE_PX, _LONGEST_SIDE_PX))
                    buffer = io.BytesIO()
                    upright.save(buffer, kind)
                    body = buffer.getvalue()
        except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
            ending = "" if shrink else _other_ending(body)
        if not ending:
            raise _no_image(parameter)
        media_uuid = str(uuid.uuid4())
        name = f"{media_uuid}.{ending}"
        self._names[media_uuid], self._bodies[name] = name, body
        self._journal.save_upload(name, body)
        self._journal.write({"op": "upload", "uuid": media_uuid, "name": name})
        return media_uuid, name

    def check(self, value: Any, *, parameter: str, is_own: Callable[[str], bool], reads_image: bool) -> None:
        """See that a media value stands for something, before anything is promised.

        Args:
            value: As in the request.
            parameter: Its name, for the error.
            is_own: Tells whether an address or UUID is one of ours.
            reads_image: Whether it has to be an image.

        Raises:
            Refused: It stands for nothing that can be read.
        """
        if isinstance(value, str) and (value in self._names or is_own(value)):
            return
        if isinstance(value, str) and _is_uuid(value):
            raise Refused("mediaNotFound", f"There is no medium {value}.", parameter=parameter)
        body = self.read(value, parameter=parameter, own_body=lambda _: None)
        if reads_image:
            try:
                with Image.open(io.BytesIO(body)) as image:
                    image.verify()
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
                raise _no_image(parameter) from None

    def read(self, value: Any, *, parameter: str, own_body: Any) -> bytes:
        """Give the bytes that a request's media value stands for.

        Raises:
            Refused: It stands for nothing that can be read.
        """
        if not isinstance(value, str) or not value:
            raise Refused(f"missing{parameter[:1].upper()}{parameter[1:]}",
                          f"Missing value for '{parameter}' parameter.", parameter=parameter)  # fmt: skip
        if value in self._names:
            return self._bodies[self._names[value]]
        if value.startswith(("http://", "https://")):
            body = own_body(urlsplit(value).path)
            if body is None:
                raise Refused("downloadFailed", "The sandbox fetches only from itself.", parameter=parameter)
            return bytes(body)
        own = own_body(f"/media/{value}")
        if own is not None:
            return bytes(own)
        text = value.partition(",")[2] if value.startswith("data:") else value
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            message = f"Invalid value for '{parameter}' parameter: no UUID, address, data URI or base64."
            raise Refused(f"invalid{parameter[:1].upper()}{parameter[1:]}", message, parameter=parameter) from None


def guiding_media(task: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Return the images that guide a task and are not under `inputs`, each with the path of its parameter."""
    for name, keys in _GUIDING.items():
        value = task.get(name)
        for number, entry in enumerate(value if isinstance(value, list) else [value] if value else []):
            if not isinstance(entry, dict):
                continue
            at = f"{name}.{number}" if isinstance(value, list) else name
            for key in keys:
                found = entry.get(key)
                for medium in found if isinstance(found, list) else [found]:
                    if medium is not None:
                        yield f"{at}.{key}", medium


def _is_uuid(value: str) -> bool:
    try:
        return str(uuid.UUID(value)) == value.lower()
    except ValueError:
        return False


def _no_image(parameter: str) -> Refused:
    return Refused("invalidImage", f"The '{parameter}' parameter holds no image.", parameter=parameter)


def _other_ending(body: bytes) -> str:
    """Name the kind of a medium that is no image."""
    if body[4:8] == b"ftyp":
        return "mov" if body[8:10] == b"qt" else "mp4"
    if body[:4] == b"RIFF" and body[8:12] == b"WAVE":
        return "wav"
    return next((ending for start, ending in _OTHERS if body.startswith(start)), "bin")
