"""The words of a form that mean images, as images, and as Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...commands.as_cell import as_cell
from ...commands.images_in import find_image
from ...core.media_fields import replace_media
from ...core.results import Outcome, Result
from ...engine.display import relative_path
from ...engine.jobs import Job
from ...errors import MagicUsageError
from ...media.incoming import media_bytes
from ...reproduce.code import run_call

if TYPE_CHECKING:
    from ...session import Session

__all__ = ["cell_of", "with_images", "words_of_media"]


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


def words_of_media(task: Mapping[str, Any], session: Session, names: Mapping[str, Any]) -> dict[str, Any]:
    """Put words that mean media in the place of the media, as a form shows them.

    A variable that holds the medium is named. A result is named by its run. Other images and bytes are kept in the
    folder of media, and named by their file.

    Raises:
        MediaError: A value is not a medium.
        MagicUsageError: A job has no result yet and no variable holds it.
    """
    return replace_media(task, lambda value: _word_of(value, session, names))


def _word_of(value: Any, session: Session, names: Mapping[str, Any]) -> Any:
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    for name, held in names.items():
        if held is value and name.isidentifier() and not name.startswith("_"):
            return name
    if isinstance(value, Job):
        if not value.is_done:
            raise MagicUsageError(
                "The job is not done, and no variable holds it. Assign it to a variable, or wait for its result. "
                "Nothing was sent."
            )
        value = value.result()
    if isinstance(value, Outcome) and len(value.results) == 1:
        value = value.results[0]
    if isinstance(value, Result) and value.task_uuid:
        return f"{value.task_uuid}#{value.index + 1}"
    if isinstance(value, Path):
        return relative_path(value)
    return relative_path(session.media.put(media_bytes(value)[0]).path)


def cell_of(task: Mapping[str, Any], session: Session, names: Mapping[str, Any]) -> str:
    """Format the cell that makes the same request: one with the magic if it can express the request, else Python."""
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
