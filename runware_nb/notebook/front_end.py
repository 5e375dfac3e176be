"""The notebook as a front end: its cells, questions, displays and folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.front_end import FrontEnd
from ..printable import printable
from ..remedies import Syntax
from ..settings import current_folder
from .syntax import NOTEBOOK

if TYPE_CHECKING:
    from ..curation import Ballot
    from ..runlog.filters import RunFilter
    from ..session import CellContext, Job
    from .cell import CellFinder

__all__ = ["NotebookFrontEnd"]


class NotebookFrontEnd(FrontEnd):
    """An IPython shell with the magics. Each display is imported at its first use, so that `%load_ext` is quick.

    Args:
        shell: IPython's shell. Without a kernel, in a terminal, it shows no widgets.
        working_folder: The working directory when the extension was first loaded.
    """

    can_ask = True
    has_cells = True

    def option_for(self, field: str | None) -> str | None:
        """Return the option of a line that sets a field of a task; None if there is none."""
        from ..providers.runware.operations import option_of_field

        return option_of_field(field)

    def __init__(self, shell: Any, working_folder: Path | None) -> None:
        self.syntax: Syntax = NOTEBOOK
        self.notebook_folder = _notebook_folder(shell)
        self.working_folder = working_folder
        self._shell = shell
        self._shows_widgets = hasattr(shell, "kernel")
        self._finder: CellFinder | None = None

    def current_cell(self, *, counts: bool = True) -> CellContext:
        """Return a description of the cell that is running. See `FrontEnd.current_cell`."""
        if self._finder is None:
            from .cell import CellFinder

            self._finder = CellFinder(self._shell, self.notebook_folder)
        return self._finder(counts=counts)

    def confirm(self, question: str) -> bool | None:
        """Ask by `input`; return None where the client takes no input, such as nbconvert."""
        try:
            return input(printable(question)).strip().lower() in {"y", "yes"}
        except (EOFError, NotImplementedError, RuntimeError):  # how kernels and clients refuse a request for input
            return None

    def tell(self, sentence: str) -> bool:  # noqa: ARG002 - see the protocol
        """Return False: it is shown with the next output of a cell. See `FrontEnd.tell`."""
        return False

    def show_job(self, job: Job) -> bool:
        """Show a job in the running cell. See `FrontEnd.show_job`."""
        if self._shows_widgets:
            from .display import Panel

            Panel(job).show()
        return self._shows_widgets

    def wait_for(self, job: Job) -> bool:
        """Wait for a job in the running cell, and show it there. See `FrontEnd.wait_for`."""
        from .display import wait_and_show

        wait_and_show(job, is_live=self._shows_widgets)
        return True

    def show_progress(self, done: int, total: int, what: str) -> None:
        """Show how many are done, in the running cell. See `FrontEnd.show_progress`."""
        if self._shows_widgets:
            from .display import show_count

            show_count(done, total, what)

    def show_gallery(self, wanted: RunFilter) -> bool:
        """Show a gallery in the running cell. See `FrontEnd.show_gallery`."""
        if self._shows_widgets:
            from .gallery import open_gallery

            open_gallery(wanted)
        return self._shows_widgets

    def show_ballot(self, ballot: Ballot) -> bool:
        """Show pairs of images in the running cell. See `FrontEnd.show_ballot`."""
        if self._shows_widgets:
            from IPython.display import display

            from ..session import current_session
            from .voting import VotingBooth

            display(VotingBooth(current_session(), ballot))
        return self._shows_widgets

    def show_form(self, what: str | None, **values: Any) -> bool:
        """Show a form in the running cell. See `FrontEnd.show_form`."""
        if self._shows_widgets:
            from IPython.display import display

            from .forms import form

            display(form(what, **values))
        return self._shows_widgets


def _notebook_folder(shell: Any) -> Path:
    """Return the folder of the notebook: VS Code's, else where the kernel started, which `%cd` does not change."""
    file = shell.user_ns.get("__vsc_ipynb_file__")
    if isinstance(file, str) and Path(file).is_absolute():
        return Path(file).parent
    start = getattr(shell, "starting_dir", None)
    return Path(start) if isinstance(start, str) and start else current_folder() or Path()
