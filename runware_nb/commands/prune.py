"""prune: remove what nobody wants: failed and hidden runs, or those that filters choose."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING

from ..errors import MagicUsageError
from ..runlog import RunRecord, State
from ..runlog.filters import RunFilter
from ..runlog.maintenance import stored_files
from .base import CommandResult
from .filters import add_filters, filter_from
from .forget import remove

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "remove failed and hidden runs, or the runs that filters choose, with their files, after a question"

_BY_DEFAULT = (State.FAILED, State.DISCARDED, State.LOST)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_filters(parser, limit=None)
    parser.add_argument("--keep-rated", action="store_true", help="leave runs that have stars")
    parser.add_argument("--damaged", action="store_true", help="remove the runs that cannot be read, and no others")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Choose, ask, and remove; files that no run refers to go too."""
    if options.damaged:
        return remove(session, [], agreed=options.yes, damaged=session.log.find_damaged())
    chosen = _chosen(session, filter_from(options, session))
    if options.keep_rated:
        chosen = [each for each in chosen if each.best_rating is None]
    strays: list[str] = []
    if session.storage.owns_media:
        with session.log.reading() as connection:
            strays = session.media.strays(stored_files(connection))
    return remove(session, chosen, agreed=options.yes, strays=strays)


def _chosen(session: Session, wanted: RunFilter) -> list[RunRecord]:
    wanted = dataclasses.replace(wanted, with_replays=True)  # a re-run that failed is no less in the way
    if wanted != RunFilter(limit=wanted.limit, page=wanted.page, with_replays=True):
        found = session.log.select(wanted)
    else:
        states = [RunFilter(state=state.value, limit=wanted.limit, with_replays=True) for state in _BY_DEFAULT]
        found = [each for state in states for each in session.log.select(state)]
    if wanted.page != 1:
        raise MagicUsageError("--page means nothing here: prune takes all that the filters choose")
    return [each for each in found if each.is_finished]
