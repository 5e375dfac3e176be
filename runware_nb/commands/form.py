"""form: controls for a model, an operation, an earlier run or a file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..errors import MagicUsageError
from .base import CommandResult

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "show a form for a model, an operation, a run or an image file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("what", nargs="?", metavar="WHAT", help="a model, an operation such as upscale, a task UUID or "
                        "an image file (default runware:101@1)")  # fmt: skip


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Show it."""
    if not session.front_end.show_form(options.what):
        raise MagicUsageError("a form needs a notebook; here `text-to-image` and its options do the same")
    return CommandResult()
