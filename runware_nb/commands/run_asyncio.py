"""asyncio: lets pasted code with `asyncio.run(...)` work in cells."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from ..errors import ConfigError, MagicUsageError
from ..session.hooks import hooks
from .base import Answer

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "let pasted asyncio.run(...) work in cells (nest-asyncio); nothing of ours needs it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("state", choices=["on"], help="on; a restart of the kernel ends it")


def run(session: Session, options: argparse.Namespace) -> Answer:  # noqa: ARG001 - every command has them
    """Patch asyncio, as the user asked."""
    if hooks.find_cell is None:
        raise MagicUsageError("`asyncio` is for notebooks: here nothing runs a loop that asyncio.run could not replace")
    try:
        if sys.version_info >= (3, 14):
            import nest_asyncio2 as nest
        else:
            import nest_asyncio as nest
    except ImportError as error:
        raise ConfigError("pip install 'runware-nb[asyncio]' brings nest-asyncio, which this needs") from error
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = None
    nest.apply(loop)
    said = "asyncio.run(...) works in cells now; Stop does not end what it runs, so `await` is better where you can"
    return Answer({"text/plain": said}, {"asyncio": "on"})
