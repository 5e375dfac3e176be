"""rate: a rating of 1 to 5 for a result, recorded in the log."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..session.api import rate_reference
from .arguments import whole_number
from .base import CommandResult

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "rate a result from 1 to 5, or remove its rating with 0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("ref", metavar="UUID[#N]", help="a run, or its result number N from 1, as in its caption")
    parser.add_argument("stars", type=whole_number, metavar="STARS", help="1 to 5; 0 removes the rating")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Record the rating.

    Raises:
        MagicUsageError: The rating is out of range, or the reference names no result.
        RunNotFound: There is no such run or result.
    """
    task_uuid, number = rate_reference(session, options.ref, options.stars)
    which = f"run {task_uuid[:8]}" if number is None else f"#{number} of run {task_uuid[:8]}"
    text = f"{which}: {'★' * options.stars or 'no rating'}"
    return CommandResult({"text/plain": text}, {"task_uuid": task_uuid, "index": number, "rating": options.stars})
