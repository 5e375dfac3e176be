"""The history of a run or a result, in Python."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.history import History
from ..errors import ArgumentInvalid, RunNotFound
from ..runlog import RunRecord

if TYPE_CHECKING:
    from .session import Session

__all__ = ["history"]


def history(source: Any, *, session: Session | None = None) -> History:
    """Show the runs that a run was made from, and those made from it, as a tree with small pictures.

    Args:
        source: A run, a job, an outcome, a result, the file of a result, or a task UUID or its first characters.
        session: Whose log is read; the current session by default.

    Returns:
        The tree. It is a sequence of the runs, too, oldest first; `str()` is the tree as plain text.

    Raises:
        RunNotFound: The log does not have it.
        ArgumentInvalid: The source is none of these.
    """
    if session is None:
        from .current import current_session

        session = current_session()
    return History(session, session.log, _run_of(session, source))


def _run_of(session: Session, source: Any) -> RunRecord:
    if isinstance(source, RunRecord):
        return source
    name = getattr(source, "task_uuid", None)
    if isinstance(name, str):
        return session.log.find(name)
    if isinstance(source, os.PathLike) or (isinstance(source, str) and Path(source).expanduser().is_file()):
        path = Path(source).expanduser()
        found = session.log.find_result(sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        if found is None:
            raise RunNotFound(f"No run of the log has made the file {str(path)!r}.")
        return session.log.find(found.task_uuid)
    if isinstance(source, str):
        return session.log.find(source)
    raise ArgumentInvalid("source", source, "a run, a job, an outcome, a result, a file or a task UUID")
