"""The size of an image that a request starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.results import Outcome
from ..engine.jobs import Job
from ..engine.media_sources import look_up
from ..errors import TaskInvalid
from ..media.incoming import cannot_use, load_medium
from ..providers.runware.operations import operation_name

if TYPE_CHECKING:
    from .session import Session

__all__ = ["size_of_image"]


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
        file = _file_of_reference(session, image)
        if file is None:
            raise _unknown(needed_by, f"the source {image[:60]!r} is not on this machine")
        return _size(file)
    return _size(image)


def _has_size(request: dict[str, Any]) -> bool:
    return isinstance(request.get("width"), int) and isinstance(request.get("height"), int)


def _file_of_reference(session: Session, name: str) -> Any:
    """Return the file of an earlier result that is named by a URL or UUID; None if it is not on this machine."""
    if name.startswith("data:"):
        return name
    found = look_up(session, session.provider(""), {"seedImage": name}, keeps=False).inputs
    file = found[0].file if found else None
    return None if file is None else session.media.find_here(file)


def _size(value: Any) -> tuple[int, int]:
    medium = load_medium(value, kind="image")
    if medium.size_px is None:
        raise cannot_use(medium.name, "it is not an image of pixels", "Choose another file.")
    return medium.size_px


def _unknown(needed_by: str, reason: str) -> TaskInvalid:
    return TaskInvalid(
        f"{needed_by} needs the size of its source, and {reason}. Nothing was sent. State the pixels per side and the "
        "final size, or use an image on this machine.",
        parameter="width",
    )
