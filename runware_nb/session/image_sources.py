"""The size of an image that a request starts from."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.results import Outcome
from ..engine.input_lineage import resolve_inputs
from ..engine.jobs import Job
from ..errors import MediaError, TaskInvalid
from ..media.incoming import media_bytes
from ..providers.runware.operations import operation_name

if TYPE_CHECKING:
    from .session import Session

__all__ = ["size_of_image"]

_ORIENTATION = 0x0112
_TURNED = frozenset({5, 6, 7, 8})
"""Values of the EXIF orientation by which width and height change places."""


def size_of_image(session: Session, image: Any, needed_by: str) -> tuple[int, int]:
    """Return width and height of an image in pixels, as it is seen.

    Args:
        session: Whose log knows images of the service by their names.
        image: As a task takes it.
        needed_by: The option that needs the size, for the error.

    Raises:
        MediaError: It is not an image.
        TaskInvalid: Its size is not known before it is made or downloaded.
    """
    if isinstance(image, Job) and image.is_done:
        image = image.result()
    if isinstance(image, Job):
        request = image.record.request
        if operation_name(image.record.task_type) == "text-to-image" and _has_size(request):
            return request["width"], request["height"]
        raise _unknown(needed_by, "the source is not finished yet")
    if isinstance(image, Outcome) and len(image.results) == 1:
        image = image.results[0]
    if isinstance(image, str) and session.provider("").is_reference(image):
        body = _body_of_reference(session, image)
        if body is None:
            raise _unknown(needed_by, f"the source {image[:60]!r} is not on this machine")
        return _size(body)
    return _size(media_bytes(image)[0])


def _has_size(request: dict[str, Any]) -> bool:
    return isinstance(request.get("width"), int) and isinstance(request.get("height"), int)


def _body_of_reference(session: Session, name: str) -> bytes | None:
    if name.startswith("data:"):
        return media_bytes(name)[0]
    found = resolve_inputs(session, session.provider(""), {"seedImage": name}, keeps=False)
    file = found[0].file if found else None
    path = None if file is None else session.media.folder / file
    return path.read_bytes() if isinstance(path, Path) and path.is_file() else None


def _size(body: bytes) -> tuple[int, int]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(body)) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION) in _TURNED
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaError(f"The source is not an image that can be read: {error}. Nothing was sent.") from error
    return (height, width) if turned else (width, height)


def _unknown(needed_by: str, reason: str) -> TaskInvalid:
    return TaskInvalid(
        f"{needed_by} needs the size of its source, and {reason}. Nothing was sent. State the pixels per side and the "
        "final size, or use an image on this machine.",
        parameter="width",
    )
