"""history: what a run was made from, and what was made from it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..session.history import history
from .base import CommandResult
from .images_in import find_image

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "show the runs that a run was made from, and those made from it, as a tree"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "ref", metavar="RUN", help="task UUID or its first characters, _rw, #3, a variable, or the file of a result"
    )


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Draw the tree."""
    names, ref = getattr(options, "names", {}), options.ref
    is_word = ref in names or ref.startswith(("_rw", "#")) or Path(ref).expanduser().is_file()
    found = history(find_image(ref, session, names) if is_word else ref, session=session)
    return CommandResult(found.bundle, found.json, value=found)
