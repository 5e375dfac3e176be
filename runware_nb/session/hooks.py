"""What a notebook lends to the session: where a cell is, how a job is shown, and how to ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .context import CellContext
    from .jobs import Job

__all__ = ["Hooks", "hooks"]


@dataclass
class Hooks:
    """Filled in when the extension loads; a script has none.

    Attributes:
        find_cell: Describes the cell that is running.
        show_job: Shows a job in the running cell, and keeps it up to date there.
        ask: Asks the user a question to be answered with yes or no; None where nobody can answer.
    """

    find_cell: Callable[[], CellContext] | None = None
    show_job: Callable[[Job], None] | None = None
    ask: Callable[[str], bool] | None = None


hooks = Hooks()
