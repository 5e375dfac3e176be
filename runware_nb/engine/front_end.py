"""Where the user is: a notebook, a terminal or a script. A front end is an object that is handed to the session.

The engine and the commands use the front end of their session. `current_front_end` is for what has no session: results
that draw themselves, also after unpickling, and the widgets of the notebook.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import RunwareNBError
from ..printable import printable
from ..remedies import PYTHON, Remedy, Syntax

if TYPE_CHECKING:
    from ..runlog.filters import RunFilter
    from .context import CellContext
    from .jobs import Job

__all__ = ["FrontEnd", "ScriptFrontEnd", "current_front_end", "use_front_end"]


class FrontEnd(Protocol):
    """What the session and the commands need of the place where the user is.

    A front end that subclasses this inherits `remedy` and `message`.

    Attributes:
        syntax: How this front end writes commands and options.
        can_ask: Whether there is a way to ask the user; a question may still be refused, see `confirm`.
        has_cells: Whether code runs in cells.
        notebook_folder: The folder of the notebook, from which links to files are resolved; None without a notebook.
        working_folder: The working directory that contains `.runware` by default; None for the current one.
    """

    syntax: Syntax
    can_ask: bool
    has_cells: bool
    notebook_folder: Path | None
    working_folder: Path | None

    def current_cell(self, *, counts: bool = True) -> CellContext:
        """Return a description of the cell that is running.

        Args:
            counts: Whether a run of the cell begins, which counts towards the ordinals of its runs.
        """

    def confirm(self, question: str) -> bool | None:
        """Ask the user a question; return whether the answer was yes, or None if this front end cannot ask."""

    def tell(self, sentence: str) -> bool:
        """Show the user a sentence beside all outputs; return False if it has to be part of the next output."""

    def show_job(self, job: Job) -> bool:
        """Show a job, and keep it up to date there; return whether this front end can."""

    def wait_for(self, job: Job) -> bool:
        """Wait for a job, and show its progress, results and notices; return whether this front end showed them.

        Raises:
            TaskError: It failed.
            TransportError: Its results could not be had.
            WaitInterrupted: Stop was pressed.
        """

    def show_progress(self, done: int, total: int, what: str) -> None:
        """Show how many of how many are done, if the user can see it.

        Args:
            done: How many are done.
            total: How many there are.
            what: What happened to them, such as `generated again`.
        """

    def show_gallery(self, wanted: RunFilter) -> bool:
        """Show a gallery of the runs that a filter matches; return whether this front end can."""

    def show_ballot(self, ballot: Any) -> bool:
        """Show pairs of images to vote on; return whether this front end can.

        Args:
            ballot: A `curation.Ballot`, which is above this layer.
        """

    def show_form(self, what: str | None, **values: Any) -> bool:
        """Show a form for what a word means; return whether this front end can."""

    def remedy(self, remedy: Remedy) -> str:
        """Return what the user can do, in the syntax of this front end."""
        return remedy.word(self.syntax)

    def message(self, error: BaseException) -> str:
        """Return the message of an error, with its remedy in the syntax of this front end."""
        return error.worded(self.syntax) if isinstance(error, RunwareNBError) else str(error)

    def option_for(self, field: str | None) -> str | None:  # noqa: ARG002 - Python has parameters
        """Return the option of a line that sets a field of a task; None if there is none."""
        return None


class ScriptFrontEnd(FrontEnd):
    """Plain Python: there are no cells, no questions can be asked, and nothing is displayed."""

    syntax: Syntax = PYTHON
    can_ask = False
    has_cells = False
    notebook_folder: Path | None = None
    working_folder: Path | None = None

    def current_cell(self, *, counts: bool = True) -> CellContext:  # noqa: ARG002 - there are no cells to count
        """Return the script as the place of its runs."""
        from ..settings import notebook_name
        from .context import CellContext, script_path

        return CellContext(notebook=script_path() or notebook_name())

    def confirm(self, question: str) -> bool | None:  # noqa: ARG002 - see the protocol
        """Return None: a script cannot ask."""
        return None

    def tell(self, sentence: str) -> bool:
        """Print it to stderr: the results of a script are not displayed, so its notices would not be seen."""
        if sys.stderr is not None:
            print(printable(sentence), file=sys.stderr)  # noqa: T201 - beside what the script prints
        return True

    def show_job(self, job: Job) -> bool:  # noqa: ARG002 - see the protocol
        """Return False: a script has no display."""
        return False

    def wait_for(self, job: Job) -> bool:
        """Wait for a job, and show nothing. See `FrontEnd.wait_for`."""
        job.result()
        return False

    def show_progress(self, done: int, total: int, what: str) -> None:
        """Show nothing."""

    def show_gallery(self, wanted: RunFilter) -> bool:  # noqa: ARG002 - see the protocol
        """Return False: a script has no display."""
        return False

    def show_ballot(self, ballot: Any) -> bool:  # noqa: ARG002 - see the protocol
        """Return False: a script has no display."""
        return False

    def show_form(self, what: str | None, **values: Any) -> bool:  # noqa: ARG002 - see the protocol
        """Return False: a script has no display."""
        return False


_front_end: FrontEnd = ScriptFrontEnd()
"""The front end of this process, as there is one current session; only `use_front_end` replaces it."""


def current_front_end() -> FrontEnd:
    """Return the front end of this process: a script's, until a notebook or a terminal begins to use its own."""
    return _front_end


def use_front_end(front_end: FrontEnd) -> FrontEnd:
    """Make a front end that of this process, also for sessions that were created before; return the earlier one."""
    global _front_end
    earlier, _front_end = _front_end, front_end
    return earlier
