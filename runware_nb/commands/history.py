"""history: what a run was made from, and what was made from it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.results import Outcome
from ..engine.jobs import Job
from ..errors import MagicUsageError
from ..runlog import RunRecord
from ..runlog.filters import RunFilter
from ..session.history import history
from .base import CommandResult
from .images_in import find_image

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "show the runs that a run was made from, and those made from it, as a tree"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "ref", metavar="RUN", nargs="?",
        help="task UUID or its first characters, _rw, #3, a variable, or the file of a result; the last run by default",
    )  # fmt: skip


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Draw the tree.

    Raises:
        MagicUsageError: No run is named, and the log contains none.
    """
    names, ref = getattr(options, "names", {}), options.ref
    if ref is None:
        found = history(_last_run(session), session=session)
        return CommandResult(found.bundle, found.json, value=found)
    if isinstance(names.get(ref), Outcome | Job):  # all its results have one history
        found = history(names[ref], session=session)
        return CommandResult(found.bundle, found.json, value=found)
    is_word = ref in names or ref.startswith(("_rw", "#")) or Path(ref).expanduser().is_file()
    found = history(find_image(ref, session, names) if is_word else ref, session=session)
    return CommandResult(found.bundle, found.json, value=found)


def _last_run(session: Session) -> RunRecord:
    newest = session.log.select(RunFilter(limit=1))
    if not newest:
        raise MagicUsageError("The log contains no run, so there is no history. Generate an image first.")
    return newest[0]
