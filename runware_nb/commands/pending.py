"""pending: runs that are not finished, whichever kernel began them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..session.show import runs_table
from ..view.table import render_table
from .base import Answer
from .log import row_of

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "list unfinished runs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments: there are none."""


def run(session: Session, options: argparse.Namespace) -> Answer:  # noqa: ARG001 - commands share one signature
    """List them."""
    runs = session.pending()
    if not runs:
        sentence = "nothing is pending"
        return Answer({"text/plain": sentence}, [], value=runs)
    unsent = sum(run.attempts == 0 for run in runs)
    note = "`%runware resume` collects what was sent" + (
        f"; {unsent} never left: `--send` sends them" if unsent else ""
    )
    return Answer(render_table(runs_table(runs)), [row_of(run) for run in runs], (note,), value=runs)
