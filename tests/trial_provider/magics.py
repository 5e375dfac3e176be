"""The cell magic of the trial: `%%trial` with a text below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...commands.names import fill_names, notice_about
from ...notebook.parsing import fill_line

if TYPE_CHECKING:
    from ...notebook.running import Runner

__all__ = ["run_cell"]


def run_cell(runner: Runner, line: str, cell: str) -> None:
    """Send the text of a cell with the command `echo`."""
    words, problems = fill_line(line, runner.names)
    text = fill_names(cell.strip(), runner.names)
    notice = notice_about([*problems, *text.problems])
    runner.run_words(["trial", "echo", *words, f"--prompt={text.text}"], notice=notice)
