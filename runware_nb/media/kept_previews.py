"""Previews that are drawn once and kept beside the small copies of images."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ..core.media_types import SNIFFED_BYTES, sniff
from .medium import write_whole
from .preview import PREVIEW_BYTES, Preview, format_preview, has_preview, parse_preview, preview_of
from .store import ensure_private_folder

__all__ = ["kept_preview"]

_MOST_BYTES = 4 * PREVIEW_BYTES


def kept_preview(path: Path, kept_in: Path | None) -> Preview | None:
    """Return the preview of a file, from an earlier time if it was kept; None if its type has none.

    Args:
        path: The file.
        kept_in: The folder of previews; None keeps nothing.
    """
    try:
        with path.open("rb") as file:
            media_type = sniff(file.read(SNIFFED_BYTES)) or ""
    except OSError:
        return None
    if not has_preview(media_type):
        return None
    # Small copies have names of this form, so whatever deletes the copies of a file deletes its preview too.
    kept = None if kept_in is None else kept_in / path.parent.name / f"{path.stem}-preview"
    found = None if kept is None else _read(kept)
    if found is not None:
        return found
    made = preview_of(path, media_type)
    if kept is not None and made is not None and made.is_lasting:
        with contextlib.suppress(OSError):  # a full disk is no reason not to show it
            _write(kept, made)
    return made


def _read(kept: Path) -> Preview | None:
    try:
        return parse_preview(kept.read_bytes()) if kept.stat().st_size <= _MOST_BYTES else None
    except OSError:
        return None


def _write(kept: Path, preview: Preview) -> None:
    ensure_private_folder(kept.parent.parent)
    kept.parent.mkdir(exist_ok=True)
    write_whole(kept, format_preview(preview))
