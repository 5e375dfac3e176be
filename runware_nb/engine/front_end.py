"""What a notebook lends to the session: where a cell is, how a job is shown, and how to ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RunwareNBError
from ..remedies import PYTHON, Remedy, Syntax

if TYPE_CHECKING:
    from ..runlog.filters import RunFilter
    from ..settings import Settings
    from .context import CellContext

__all__ = ["Hooks", "hooks"]


@dataclass
class Hooks:
    """Filled in when the extension loads; a script has none.

    Attributes:
        find_cell: Describes the cell that is running; with `counts=False` without counting a run of it.
        show_job: Shows a job in the running cell, and keeps it up to date there.
        show_progress: Shows how many of how many are done, with a sentence; None where nobody looks.
        ask: Asks the user a question and returns whether the answer was yes; None in a session that cannot ask.
        open_gallery: Shows a gallery of the runs that a filter lets pass, in the running cell.
        open_ballot: Shows pairs of images to vote on, in the running cell.
        open_form: Shows a form for what a word means, in the running cell.
        notebook_folder: The folder of the notebook, from which its links to files are resolved.
        working_folder: The working directory when the extension was loaded, which contains `.runware` by default.
        syntax: How this front end writes commands and options; as Python where there is none.
        session_settings: Returns the settings of this process's session, once there is one.
    """

    find_cell: Callable[..., CellContext] | None = None
    show_job: Callable[[Any], None] | None = None
    show_progress: Callable[[int, int, str], None] | None = None
    ask: Callable[[str], bool] | None = None
    open_gallery: Callable[[RunFilter], None] | None = None
    open_ballot: Callable[[Any], None] | None = None
    open_form: Callable[[str | None], None] | None = None
    notebook_folder: Path | None = None
    working_folder: Path | None = None
    syntax: Syntax = PYTHON
    session_settings: Callable[[], Settings] | None = None

    def remedy(self, remedy: Remedy) -> str:
        """Return what the user can do, in the syntax of this front end."""
        return remedy.word(self.syntax)

    def message(self, error: BaseException) -> str:
        """Return the message of an error, with its remedy in the syntax of this front end."""
        return error.worded(self.syntax) if isinstance(error, RunwareNBError) else str(error)


hooks = Hooks()
