"""rate: stars for a result, as data in the log."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from ..errors import MagicUsageError
from ..runlog.keeping import rate_result
from .base import Answer

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "give a result 1 to 5 stars, or 0 to take them away"

_REF = re.compile(r"([^#]+)(?:#([1-9]\d{0,3}))?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("ref", metavar="UUID[#N]", help="a run, or its result number N from 1, as its caption says")
    parser.add_argument("stars", type=int, metavar="STARS", help="1 to 5; 0 takes them away")


def run(session: Session, options: argparse.Namespace) -> Answer:
    """Write it down."""
    if not 0 <= options.stars <= 5:
        raise MagicUsageError(f"{options.stars} stars: it is 1 to 5, or 0 to take them away")
    match = _REF.fullmatch(options.ref)
    if match is None:
        raise MagicUsageError(f"{options.ref!r} names no result; write 3f2a9c1b, or 3f2a9c1b#3 for its third")
    record = session.log.find(match[1])
    position = int(match[2]) - 1 if match[2] else None
    rate_result(session.log, record.task_uuid, position, options.stars or None)
    which = f"run {record.task_uuid[:8]}" if position is None else f"#{position + 1} of run {record.task_uuid[:8]}"
    said = f"{which}: {'★' * options.stars or 'no stars'}"
    return Answer({"text/plain": said}, {"task_uuid": record.task_uuid, "index": position, "rating": options.stars})
