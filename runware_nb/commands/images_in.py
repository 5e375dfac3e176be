"""Images as a line names them: a variable, `_rw`, `#3`, a run, a file, an address."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.parsing import is_uuid
from ..core.results import Outcome, Result
from ..engine.jobs import Job
from ..engine.sources import choose
from ..errors import MagicUsageError, RunNotFound

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["find_image"]

_OF_LAST = re.compile(r"#([1-9]\d{0,3})")
_OF_RUN = re.compile(r"([0-9a-fA-F][0-9a-fA-F-]{3,35})(?:#([1-9]\d{0,3}))?")


def find_image(text: str, session: Session, names: Mapping[str, Any]) -> Any:
    """Find out what a word on a line means.

    Args:
        text: A variable of the user's, `_rw` for the last result, `#3` for its third, a task UUID (or its first
            characters) with `#3` behind it if need be, a path, an address, or the UUID of a medium.
        session: Whose last result and log count.
        names: The user's variables; empty in a terminal.

    Returns:
        What a task takes as a medium.

    Raises:
        MagicUsageError: It means nothing, or nothing that is an image.
    """
    of_last = _OF_LAST.fullmatch(text)
    if of_last:
        return _result_of(session, session.last, int(of_last[1]), "the last result")
    if text.isidentifier() and text in names:
        value = names[text]
        if isinstance(value, str):  # a word itself: a path, an address, a run
            return find_image(value, session, {})
        return _result_of(session, value, 1, text) if isinstance(value, Outcome | Job) else value
    if text.startswith(("http://", "https://", "data:")) or Path(text).expanduser().is_file():
        return text
    of_run = _OF_RUN.fullmatch(text)
    if of_run:
        return _file_of(session, of_run[1], int(of_run[2] or 1), text)
    raise MagicUsageError(
        f"Cannot find image {text!r}: no variable, file, URL or run has this name. Nothing was sent. `_rw` is the last "
        "result, `#3` its third."
    )


def _result_of(session: Session, value: Any, number: int, what: str) -> Any:
    if isinstance(value, Result) and number == 1:
        return value
    if not isinstance(value, Outcome | Job):
        raise MagicUsageError(f"{what} is no result yet, so it has no image")
    results = choose(session, value) if isinstance(value, Job) else value.results
    if number > len(results):
        raise MagicUsageError(f"{what} has {len(results)} images, and no #{number}")
    return results[number - 1]


def _file_of(session: Session, ref: str, number: int, text: str) -> Any:
    try:
        run = session.log.find(ref)
    except RunNotFound:
        if is_uuid(text):
            return text  # a medium that the service knows
        raise
    found = [result for result in run.results if result.position == number - 1]
    path = session.recovery.find(run, found[0], polls=True) if found else None
    if path is None:
        raise MagicUsageError(f"run {run.task_uuid[:8]} has no image #{number} here")
    return path
