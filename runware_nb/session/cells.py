"""The cell that is running, as the log records it."""

from __future__ import annotations

from dataclasses import replace

from ..core.cell_source import redact_source
from ..engine.context import CellContext
from ..engine.front_end import FrontEnd
from ..settings import remember_secrets

__all__ = ["current_cell"]


def current_cell(front_end: FrontEnd, *, counts: bool = True) -> CellContext:
    """Return a description of the cell that is running in a front end, with the keys redacted in its source.

    Args:
        front_end: Where it is running.
        counts: Whether a run of the cell begins, which counts towards the ordinals of its runs.
    """
    remember_secrets()
    cell = front_end.current_cell(counts=counts)
    # Here, because from here on the source is stored, hashed and compared, and it must be the same text each time.
    return cell if cell.cell_source is None else replace(cell, cell_source=redact_source(cell.cell_source))
