"""forget: remove runs from the log, with their files."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..runlog import RunRecord
from ..runlog.keeping import forget_runs
from ..session.consent import confirm
from ..session.pictures import forget_copies
from .base import Answer

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "remove runs with their files, after a question"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("refs", nargs="+", metavar="UUID", help="task UUIDs, or their first characters")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(session: Session, options: argparse.Namespace) -> Answer:
    """Ask, and remove them."""
    return remove(session, [session.log.find(ref) for ref in options.refs], agreed=options.yes)


def remove(session: Session, runs: list[RunRecord], *, agreed: bool, strays: list[str] | None = None) -> Answer:
    """Remove runs and stray files after a question."""
    files = sum(result.file is not None for each in runs for result in each.results) + len(strays or ())
    noun = "run" if len(runs) == 1 else "runs"
    what = f"{len(runs)} {noun} and up to {files} files"
    if not runs and not strays:
        return Answer({"text/plain": "nothing to remove"}, {"removed": 0, "files": 0, "freed_bytes": 0})
    if not agreed:
        statement = f"{what} will be deleted permanently. Their costs stay in the summaries."
        confirm(statement, verb="Delete them", undone="Nothing was deleted.", remedy="Add --yes to delete them.")
    left = forget_runs(session.log, [each.task_uuid for each in runs]) if runs else []
    gone = [*left, *(strays or ())] if session.owns_media else []
    freed = session.media.remove(gone)
    forget_copies(session, left)
    notes = () if session.owns_media else ("the files stay: other logs may share them",)
    said = f"removed {len(runs)} {noun} and {len(gone)} files ({freed / 1e6:.1f} MB)"
    return Answer({"text/plain": said}, {"removed": len(runs), "files": len(gone), "freed_bytes": freed}, notes)
