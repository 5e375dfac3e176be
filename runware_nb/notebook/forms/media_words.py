"""The words of a form that mean images, as images, and as Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...commands.as_cell import as_cell
from ...commands.images_in import find_image
from ...core.media_fields import replace_media
from ...engine.display import relative_path
from ...reproduce.code import run_call

if TYPE_CHECKING:
    from ...session import Session

__all__ = ["cell_of", "with_images"]


class _Expression:
    """Python that stands for a value."""

    def __init__(self, source: str) -> None:
        self._source = source

    def __repr__(self) -> str:
        return self._source


def with_images(task: Mapping[str, Any], session: Session, names: Mapping[str, Any]) -> dict[str, Any]:
    """Put the images in the place of the words that mean them.

    Raises:
        MagicUsageError: A word means no image.
    """
    return replace_media(task, lambda value: find_image(value, session, names) if isinstance(value, str) else value)


def cell_of(task: Mapping[str, Any], session: Session, names: Mapping[str, Any]) -> str:
    """Format the cell that makes the same request: `%%runware` if it can express the request, else Python."""
    cell = as_cell(task)
    if cell is not None:
        return cell
    written = replace_media(task, lambda value: _as_python(value, session, names))
    return f"import runware_nb as rw\n\n{run_call(written)}.result()"


def _as_python(value: Any, session: Session, names: Mapping[str, Any]) -> Any:
    if not isinstance(value, str):
        return value
    if value.isidentifier() and value in names:
        return _Expression(value)
    of_last = re.fullmatch(r"#([1-9]\d*)", value)
    if of_last:
        return _Expression(f"_rw[{int(of_last[1]) - 1}]")
    found = find_image(value, session, names)
    return relative_path(found) if isinstance(found, Path) else value
