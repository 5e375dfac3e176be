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
from ..errors import MagicUsageError, RunNotFound, SeveralResults

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["find_image"]

_OF_LAST = re.compile(r"#([1-9]\d{0,3})")
_OF_NAME = re.compile(r"([^\W\d]\w*)#([1-9]\d{0,3})")
_OF_RUN = re.compile(r"([0-9a-fA-F][0-9a-fA-F-]{3,35})(?:#([1-9]\d{0,3}))?")


def find_image(text: str, session: Session, names: Mapping[str, Any]) -> Any:
    """Find out what a word on a line means.

    Args:
        text: A variable of the user's, `_rw` for the last result, `#3` for its third, a task UUID (or its first
            characters), a path, a URL, or the UUID of a medium. `#3` after a variable or a task UUID chooses one of
            several results.
        session: Whose last result and log count.
        names: The user's variables; empty in a terminal.

    Returns:
        What a task takes as a medium.

    Raises:
        MagicUsageError: It means nothing, or nothing that is an image.
        SeveralResults: It means a run with several results.
    """
    of_last = _OF_LAST.fullmatch(text)
    if of_last:
        return _result_of(session, session.last, int(of_last[1]), "the last result")
    if text.isidentifier() and text in names:
        value = names[text]
        if value is None:
            raise MagicUsageError(f"The variable {text} is None, so there is no image. Nothing was sent.")
        if isinstance(value, str):  # a word itself: a path, an address, a run
            return find_image(value, session, {})
        return _only_result_of(session, value, text) if isinstance(value, Outcome | Job) else value
    if text.startswith(("http://", "https://", "data:")) or _exists(text):
        return text
    of_name = _OF_NAME.fullmatch(text)
    if of_name and of_name[1] in names:
        return _result_of(session, names[of_name[1]], int(of_name[2]), of_name[1])
    of_run = _OF_RUN.fullmatch(text)
    if of_run:
        return _file_of(session, of_run[1], int(of_run[2] or 0), text)
    if not session.front_end.has_cells and not names:
        raise MagicUsageError(
            f"Cannot find image {text!r}: no file, URL or run has this name. Nothing was sent. A run is named by its "
            "task UUID or the first characters of it."
        )
    raise MagicUsageError(
        f"Cannot find image {text!r}: no variable, file, URL or run has this name. Nothing was sent. `_rw` is the last "
        "result, `#3` its third."
    )


def _exists(text: str) -> bool:
    """Return whether there is something at a path; whether it is a file that can be used is found out by reading it."""
    try:
        return Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long, with a NUL, or in the home of an unknown user
        return False


def _only_result_of(session: Session, value: Outcome | Job, name: str) -> Any:
    """Return the result of a variable.

    Which of several is meant is for the user to decide: the operation on it is paid for.

    Raises:
        SeveralResults: There are several.
    """
    count = len(choose(session, value) if isinstance(value, Job) else value.results)
    if count > 1:
        raise SeveralResults(name, count)
    return _result_of(session, value, 1, name)


def _result_of(session: Session, value: Any, number: int, what: str) -> Any:
    if isinstance(value, Result) and number == 1:
        return value
    if not isinstance(value, Outcome | Job):
        what = f"{what[:1].upper()}{what[1:]}"
        raise MagicUsageError(f"{what} is not a result with images yet. Nothing was sent. Generate one first.")
    results = choose(session, value) if isinstance(value, Job) else value.results
    if number > len(results):
        what, count = f"{what[:1].upper()}{what[1:]}", len(results)
        images = "1 image" if count == 1 else f"{count} images"
        last = f"#1 to #{count}" if count > 1 else "#1"
        raise MagicUsageError(
            f"{what} has {images}, and no #{number}. Nothing was sent. Use {last}."
            if count
            else f"{what} has no image. Nothing was sent. Choose another result."
        )
    return results[number - 1]


def _file_of(session: Session, ref: str, number: int, text: str) -> Any:
    """Return the file of a result of a run; the number 0 is its only result."""
    try:
        run = session.log.find(ref)
    except RunNotFound:
        if is_uuid(text):
            return text  # a medium that the service knows
        raise
    count = sum(result.error is None for result in run.results)
    if not number and count > 1:
        raise SeveralResults(text, count)
    number = number or 1
    found = [result for result in run.results if result.position == number - 1]
    path = session.recovery.find(run, found[0], polls=True) if found else None
    if path is None:
        have = sum(result.error is None for result in run.results)
        which = f"Its results are #1 to #{have}." if have > 1 else "It has one result." if have else "It has no result."
        raise MagicUsageError(f"Run {run.task_uuid[:8]} has no image #{number} here. Nothing was sent. {which}")
    return path
