"""Replay mode: every task is answered from the log, by what was asked; nobody is asked, and nothing is spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core.canonical import request_hash
from ..core.differences import differences
from ..core.items import Item
from ..errors import ArgumentInvalid, NotRecorded, RunLogError
from ..providers.base import Provider
from ..remedies import LEAVE_REPLAY
from ..runlog import RunRecord
from ..runlog.filters import RunFilter
from .input_lineage import Input, by_content
from .media_sources import look_up
from .text_stream import partial_of

if TYPE_CHECKING:
    from .context import CellContext
    from .ports import Ports

__all__ = ["find_replay"]

_LOOKED_AT = 500
"""Newest runs among which the nearest record is looked for: a message need not read a million of them."""


def find_replay(ports: Ports, provider: Provider, task: Item, context: CellContext) -> RunRecord:
    """Find the run that answered this request before.

    The cell chooses among equals: the one of the same cell and the same place in it, else of the same notebook,
    else the newest.

    Raises:
        NotRecorded: There is none; the message names the cell, the nearest record and what differs.
    """
    inputs = look_up(ports, provider, task, keeps=False).inputs
    named = by_content(task, inputs)
    try:
        found = ports.log.asked([request_hash(named, service=service) for service in provider.services])
    except RunLogError as error:
        raise NotRecorded(f"Replay mode: {error.problem}").with_remedy(error.remedy) from error
    if not found:
        raise NotRecorded(_sentence(ports, provider, task, inputs, context)).with_remedy(LEAVE_REPLAY)
    return max(enumerate(found), key=lambda each: (_nearness(each[1], context), -each[0]))[1]


def _nearness(run: RunRecord, context: CellContext) -> Sequence[bool]:
    in_cell = context.cell_id is not None and run.cell_id == context.cell_id
    same_source = context.cell_hash is not None and run.cell_hash == context.cell_hash
    return (
        bool(run.results) and partial_of(run) is None,  # an incomplete text only if there is no complete one
        not run.is_imported,  # an imported run is used only if no own run has the request
        bool(run.results),
        in_cell and run.cell_ordinal == context.cell_ordinal,
        same_source and run.cell_ordinal == context.cell_ordinal,
        in_cell,
        same_source,
        context.notebook is not None and run.notebook == context.notebook,
    )


def _sentence(ports: Ports, provider: Provider, task: Item, inputs: Sequence[Input], context: CellContext) -> str:
    cell = "this call" if context.execution_count is None else f"cell [{context.execution_count}]"
    if context.cell_id:
        cell += f" (id {context.cell_id})"
    asked = _clip(provider.describe(task).prompt)
    return (
        f"Replay mode: {cell} has no record of this request ({asked!r}, model {task.get('model')}). "
        f"{_nearest(ports, provider, task, inputs, context)}Nothing was sent."
    )


def _nearest(ports: Ports, provider: Provider, task: Item, inputs: Sequence[Input], context: CellContext) -> str:
    """Name the record that differs in the fewest parameters, and each of them, then and now."""
    try:
        records = [*_of_cell(ports, context), *ports.log.select(RunFilter(limit=_LOOKED_AT))]
    except (RunLogError, ArgumentInvalid):
        return ""
    now = _compared(provider, task, [medium.as_item() for medium in inputs])
    operation = provider.operation(task)
    best: tuple[tuple[bool, int], RunRecord, dict[str, tuple[Any, Any]]] | None = None
    for run in records:  # of equals the first: the same cell, then the newest
        then = _compared(provider, run.request, run.inputs)
        if not run.seed_given:
            then.pop("seed", None)  # it was picked for that run: nobody asked for it
        differing = differences(then, now)
        rank = (provider.operation(run.request) != operation, len(differing))
        if best is None or rank < best[0]:
            best = rank, run, differing
    if best is None:
        return "There is no record of any run. "
    _, run, differing = best
    parts = [f"{name}: {_value(then)} then, {_value(value)} now" for name, (then, value) in differing.items()]
    if best[0][0]:
        parts.insert(0, f"operation: {run.task_type} then, {task.get('taskType')} now")
    what = "; ".join(parts) or "only the service that it was recorded with"
    return f"The nearest record is run {run.task_uuid[:8]} of {run.created_at_utc[:10]}. It differs in {what}. "


def _of_cell(ports: Ports, context: CellContext) -> list[RunRecord]:
    """List what the same cell asked for when it was recorded."""
    if context.cell_id is not None and len(context.cell_id) >= 4:
        cell = context.cell_id
    elif context.execution_count is not None:
        cell = str(context.execution_count)  # nbclient gives no ids
    else:
        return []
    return ports.log.select(RunFilter(cell=cell, notebook=context.notebook, limit=_LOOKED_AT))


def _compared(provider: Provider, request: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the parameters that decide the result, with media by their content and without the protocol's defaults."""
    by_hash = [{"named": f"sha256:{medium['sha256'][:12]}…"} if medium.get("sha256") else medium for medium in inputs]
    return provider.parameters(request, by_hash)


def _value(value: Any) -> str:
    if value is None:
        return "not given"
    return repr(_clip(value, 120)) if isinstance(value, str) else _clip(str(value), 120)


def _clip(words: str, most: int = 80) -> str:
    line = " ".join(words.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
