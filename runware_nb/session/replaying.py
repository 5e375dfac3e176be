"""Replay mode: every task is answered from the log, by what was asked; nobody is asked, and nothing is spent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import NotRecorded, RunLogError
from ..runlog import RunRecord
from ..settings import SERVICES
from ..wire.canonical import request_hash
from ..wire.frames import Item
from ..wire.tasks import prompt_of
from .lineage import by_content, look_into

if TYPE_CHECKING:
    from .context import CellContext
    from .session import Session

__all__ = ["find_replay"]


def find_replay(session: Session, task: Item, context: CellContext) -> RunRecord:
    """Find the run that answered this request before.

    The cell chooses among equals: the one of the same cell and the same place in it, else of the same notebook,
    else the newest.

    Raises:
        NotRecorded: There is none; the message names the cell.
    """
    inputs = look_into(session, task, keeps=False)
    named = by_content(task, inputs)
    try:
        found = session.log.asked([request_hash(named, service=service) for service in SERVICES])
    except RunLogError as error:
        raise NotRecorded(f"replay mode: {error}") from error
    if not found:
        raise NotRecorded(_sentence(session, task, context))
    return max(enumerate(found), key=lambda each: (_nearness(each[1], context), -each[0]))[1]


def _nearness(run: RunRecord, context: CellContext) -> Sequence[bool]:
    in_cell = context.cell_id is not None and run.cell_id == context.cell_id
    same_source = context.cell_hash is not None and run.cell_hash == context.cell_hash
    return (
        bool(run.results),
        in_cell and run.cell_ordinal == context.cell_ordinal,
        same_source and run.cell_ordinal == context.cell_ordinal,
        in_cell,
        same_source,
        context.notebook is not None and run.notebook == context.notebook,
    )


def _sentence(session: Session, task: Item, context: CellContext) -> str:
    cell = "this call" if context.execution_count is None else f"cell [{context.execution_count}]"
    if context.cell_id:
        cell += f" (id {context.cell_id})"
    asked = " ".join((prompt_of(task) or str(task.get("taskType", ""))).split())
    shown = asked if len(asked) <= 80 else f"{asked[:79]}…"
    return (
        f"replay mode: {cell} has no record of this request ({shown!r}, model {task.get('model')}); "
        f"{_what_was(session, context)}`%runware config mode live` asks the service"
    )


def _what_was(session: Session, context: CellContext) -> str:
    """Say what the same cell asked for when it was recorded."""
    from ..runlog.filters import RunFilter

    if context.cell_id is not None and len(context.cell_id) >= 4:
        cell = context.cell_id
    elif context.execution_count is not None:
        cell = str(context.execution_count)  # nbclient tells no ids
    else:
        return ""
    earlier = session.log.select(RunFilter(cell=cell, notebook=context.notebook, limit=1))
    if not earlier or earlier[0].prompt is None:
        return ""
    return f"recorded for it: {' '.join(earlier[0].prompt.split())[:80]!r}; "
