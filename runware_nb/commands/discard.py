"""discard: hide a run that is not finished; what it makes is paid for, and collected quietly."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..errors import MagicUsageError
from .base import Answer
from .log import row_of

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "hide an unfinished run; its result is collected all the same"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("ref", metavar="UUID", help="task UUID, or its first characters")


def run(session: Session, options: argparse.Namespace) -> Answer:
    """Hide it."""
    record = session.log.find(options.ref)
    if record.is_finished:
        raise MagicUsageError(f"run {record.task_uuid[:8]} is finished ({record.state.value}); nothing to discard")
    session.discard(record)
    sentence = f"run {record.task_uuid[:8]} is hidden; if it was sent, its result goes to the log all the same"
    return Answer({"text/plain": sentence}, row_of(session.log.find(record.task_uuid)), value=record)
