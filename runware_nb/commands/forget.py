"""forget: remove runs from the log, with their files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..engine.consent import confirm
from ..engine.thumbnails import forget_copies
from ..remedies import Option, Remedy
from ..runlog import RunRecord
from ..runlog.damage import DamagedRow, RunDamaged
from ..runlog.maintenance import forget_runs
from .base import CommandResult

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "remove runs with their files, after a question"
_DELETE = Remedy("Add {0} to delete them.", (Option("yes", True),))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "refs", nargs="+", metavar="UUID", help="task UUIDs, or their first characters; row:N for a damaged row"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Ask, and remove them."""
    runs: list[RunRecord] = []
    damaged: list[DamagedRow] = []
    for ref in options.refs:
        try:
            runs.append(session.log.find(ref))
        except RunDamaged as error:
            if len(error.rows) > 1:
                raise
            damaged += error.rows
    return remove(session, runs, agreed=options.yes, damaged=damaged)


def remove(
    session: Session,
    runs: list[RunRecord],
    *,
    agreed: bool,
    strays: list[str] | None = None,
    damaged: Sequence[DamagedRow] = (),
) -> CommandResult:
    """Remove runs, damaged rows of runs, and stray files after a question."""
    files = sum(result.file is not None for each in runs for result in each.results) + len(strays or ())
    count = len(runs) + len(damaged)
    noun = "run" if count == 1 else "runs"
    what = f"{count} {noun} and up to {files} files"
    if not count and not strays:
        return CommandResult({"text/plain": "nothing to remove"}, {"removed": 0, "files": 0, "freed_bytes": 0})
    if not agreed:
        statement = f"{what} will be deleted permanently. Their costs stay in the summaries."
        if damaged:
            # Whether such a run has ended cannot be read: its result may be paid for, and not collected yet.
            statement += f" {len(damaged)} of them cannot be read: results that were not collected are lost."
        confirm(session.front_end, statement, verb="Delete them", undone="Nothing was deleted.", remedy=_DELETE)
    numbers = [int(row.number) for row in damaged]
    left = forget_runs(session.log, [run.task_uuid for run in runs], damaged=numbers) if count else []
    session.log.damage.take()  # what was removed is not left out any more
    gone = [*left, *(strays or ())] if session.storage.owns_media else []
    freed = session.media.remove(gone)
    forget_copies(session, left)
    notes = () if session.storage.owns_media else ("the files stay: other logs may share them",)
    said = f"removed {count} {noun} and {len(gone)} files ({freed / 1e6:.1f} MB)"
    return CommandResult({"text/plain": said}, {"removed": count, "files": len(gone), "freed_bytes": freed}, notes)
