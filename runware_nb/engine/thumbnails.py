"""Small pictures of the results in the log, drawn once and kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from ..core.media_types import IMAGE_TYPES, SNIFFED_BYTES, sniff
from ..errors import MediaError
from ..media import decode, make_thumbnail
from ..media.kept_previews import kept_preview
from ..media.medium import write_whole
from ..media.medium_kinds import MediumKind, kind_of
from ..media.store import ensure_private_folder
from ..present.table import Picture
from ..runlog import ResultRecord, RunRecord
from .display import relative_link

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..settings import Settings
    from .media_recovery import MediaRecovery

__all__ = ["first_picture", "forget_copies", "kept_copy", "picture_of", "small_copy", "small_picture"]

_ROW_PX = 56
_BYTES_PER_PX = 54
"""6 KiB for a picture in a table, 17 for one to compare."""


class ImageSource(Protocol):
    """Where stored images are found: a session."""

    @property
    def settings(self) -> Settings:
        """The settings that apply."""

    @property
    def recovery(self) -> MediaRecovery:
        """Finds files."""


def first_picture(source: ImageSource, run: RunRecord) -> Picture | str:
    """Give a small picture of a run's first image; an empty text where it has none."""
    for result in run.results:
        found = picture_of(source, run, result)
        if found is not None:
            return found
    return ""


def picture_of(source: ImageSource, run: RunRecord, result: ResultRecord, *, side_px: int = _ROW_PX) -> Picture | None:
    """Give a small picture of one result; None where there is nothing to see."""
    path = source.recovery.find(run, result) if _may_be_shown(result) else None
    body = None if path is None else small_copy(source, path, side_px=2 * side_px)  # sharp on fine screens
    if body is None:
        return None
    kind = kind_of(result.media_type or "image/")
    name = run.prompt or run.task_type
    alt = name if kind in {MediumKind.IMAGE, MediumKind.OTHER} else f"{kind}: {name}"
    return Picture(body, sniff(body) or "image/jpeg", alt, side_px, relative_link(path))


def small_picture(image: Image, alt: str, *, side_px: int) -> Picture:
    """Make a small picture of an image that is in no file of ours."""
    small = make_thumbnail(image, side_px=2 * side_px, max_bytes=2 * _BYTES_PER_PX * side_px)
    return Picture(small.body, small.media_type, alt, side_px)


def forget_copies(source: ImageSource, names: Iterable[str]) -> None:
    """Remove the small copies of files that are removed from the store."""
    folder = source.settings.home / "thumbnails"
    for name in names:
        stored = PurePosixPath(name)
        path = folder / stored.parent.name / stored.name
        for kept in path.parent.glob(f"{path.stem}-*"):
            with contextlib.suppress(OSError):
                kept.unlink()


def kept_copy(source: ImageSource, path: Path, *, side_px: int) -> bytes | None:
    """Give a copy that was made before; None where none was."""
    try:
        return _place_of(source, path, side_px).read_bytes()
    except OSError:
        return None


def small_copy(source: ImageSource, path: Path, *, side_px: int) -> bytes | None:
    """Return a small picture of a file, at most so many pixels wide and high; None if it cannot be shown as one.

    An image is shrunk. A video, audio and a 3D model are shown by their previews, and a drawing is small enough or left
    out, because nothing here can turn it into pixels.
    """
    made = kept_copy(source, path, side_px=side_px)
    if made is not None:
        return made
    kept = _place_of(source, path, side_px)
    try:
        body = _pictured(path, source.settings.home / "thumbnails")
        if body is None or (sniff(body) == "image/svg+xml" and len(body) <= _BYTES_PER_PX * side_px):
            return body
        small = make_thumbnail(decode(body), side_px=side_px, max_bytes=_BYTES_PER_PX * side_px).body
    except (MediaError, OSError):
        return None
    with contextlib.suppress(OSError):  # a full disk is no reason not to show it
        ensure_private_folder(source.settings.home)
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, small)
    return small


def _pictured(path: Path, previews: Path) -> bytes | None:
    """Return an image file, or the preview of another file; None if there is none."""
    with path.open("rb") as file:
        kind = sniff(file.read(SNIFFED_BYTES))
    if kind in IMAGE_TYPES or kind == "image/svg+xml":
        return path.read_bytes()
    preview = kept_preview(path, previews)
    return None if preview is None else preview.body


def _may_be_shown(result: ResultRecord) -> bool:
    """Return whether a result can be shown, or is one whose file was never stored, so that its type is not known."""
    media_type = result.media_type or ("image/" if result.url else "")
    return result.error is None and kind_of(media_type) is not MediumKind.OTHER


def _place_of(source: ImageSource, path: Path, side_px: int) -> Path:
    return source.settings.home / "thumbnails" / path.parent.name / f"{path.stem}-{side_px}"
