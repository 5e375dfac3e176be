"""asyncio: lets pasted code with `asyncio.run(...)` work in cells."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from ..errors import MagicUsageError
from .base import CommandResult

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "let pasted asyncio.run(...) work in cells (through nest-asyncio)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("state", choices=["on"], help="on; restart the kernel to end it")


def run(session: Session, options: argparse.Namespace) -> CommandResult:  # noqa: ARG001 - every command has them
    """Patch asyncio. It is done on request only, because Stop does not end what nest-asyncio runs.

    Raises:
        MagicUsageError: There is no notebook.
    """
    if not session.front_end.has_cells:
        raise MagicUsageError("`asyncio on` is for notebooks. Elsewhere asyncio.run(...) works as it is.")
    if sys.version_info >= (3, 14):
        import nest_asyncio2 as nest
    else:
        import nest_asyncio as nest
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = None
    nest.apply(loop)
    sentence = "asyncio.run(...) works in cells now. Stop does not end what it runs, so prefer `await` where you can."
    return CommandResult({"text/plain": sentence}, {"asyncio": "on"})
