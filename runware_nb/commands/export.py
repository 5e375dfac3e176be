"""export: runs as lines of JSON, for people who share by git."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BundleError
from ..media.medium import write_whole
from ..reproduce.records import write_lines
from ..reproduce.secrets import refuse_secrets, secrets_in_use
from .base import CommandResult
from .filters import add_filters, filter_from

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "write finished runs as JSON lines; the same runs give the same file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", help="where to, such as runs.jsonl; replaced if it is there")
    add_filters(parser, limit=None)


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Write them."""
    runs = [
        each
        for each in session.log.select(dataclasses.replace(filter_from(options, session), with_replays=True))
        if each.is_finished
    ]
    lines = list(write_lines(session.log, runs))
    known = secrets_in_use(session.settings)
    for number, line in enumerate(lines, 1):
        refuse_secrets(line, f"record {number}", known)
    target = Path(options.file).expanduser()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, "".join(lines).encode())
    except OSError as error:
        raise BundleError(f"{target} cannot be written: {error.strerror or error}") from error
    return CommandResult({"text/plain": f"{target}: {len(runs)} runs"}, {"path": str(target), "runs": len(runs)})
