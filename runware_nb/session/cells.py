"""The cell that is running, as the log records it."""

from __future__ import annotations

from dataclasses import replace

from ..core.cell_source import redact_source
from ..engine.context import CellContext, script_path
from ..engine.front_end import hooks
from ..settings import notebook_name, remember_secrets

__all__ = ["current_cell"]


def current_cell(*, counts: bool = True) -> CellContext:
    """Return a description of the cell that is running; a script has no cell, but a file.

    Args:
        counts: Whether a run of the cell begins, which counts towards the ordinals of its runs.
    """
    remember_secrets()
    if hooks.find_cell is None:
        return CellContext(notebook=script_path() or notebook_name())
    cell = hooks.find_cell(counts=counts)
    # Here, because from here on the source is stored, hashed and compared, and it must be the same text each time.
    return cell if cell.cell_source is None else replace(cell, cell_source=redact_source(cell.cell_source))
