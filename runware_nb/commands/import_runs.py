"""import: runs of somebody else's log, from JSON lines or a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BundleError
from ..reproduce.bundle import merge_bundle
from .base import CommandResult

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "add the runs of a file that export or bundle made; yours stay as they are"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", help="JSON lines, or a bundle")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Add them."""
    path = Path(options.file).expanduser()
    if not path.exists():
        raise BundleError(f"there is no {path}")
    merged = merge_bundle(session, path)
    said = f"{len(merged.added)} runs added, {merged.known} were here already"
    return CommandResult(
        {"text/plain": said},
        {"added": merged.added, "known": merged.known, "skipped": list(merged.skipped)},
        merged.skipped,
        value=merged,
    )
