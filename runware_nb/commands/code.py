"""code: the Python cell that makes a run again."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..present.html import element, text
from ..reproduce.code import code_for
from .base import CommandResult

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "write the Python that makes a run again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("ref", metavar="UUID", help="task UUID, or its first characters")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Write it; in a notebook it also stands in a new cell below."""
    record = session.log.find(options.ref)
    written = code_for(record, session.media.folder)
    bundle = {"text/html": element("pre", text(written)), "text/plain": written}
    return CommandResult(bundle, {"task_uuid": record.task_uuid, "code": written}, value=written, next_cell=written)
