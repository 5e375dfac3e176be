"""history: what a run was made from, and what was made from it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..core.money import format_amount
from ..engine.thumbnails import picture_of
from ..errors import RunNotFound
from ..present.compare import Branch, render_tree
from ..runlog import RunLog, RunRecord
from .base import CommandResult

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "show the edits that led to a run, and those made from it, as a tree"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("ref", metavar="UUID", help="task UUID, or its first characters")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Draw the tree."""
    chosen = session.log.find(options.ref)
    root = _root_of(session.log, chosen)
    below = _below(session.log, root)
    branch = _branch(session, root, below, chosen.task_uuid)
    return CommandResult(render_tree([branch]), _as_json(root, below), value=root)


def _root_of(log: RunLog, record: RunRecord) -> RunRecord:
    seen = {record.task_uuid}
    while record.parent_uuid is not None and record.parent_uuid not in seen:
        seen.add(record.parent_uuid)  # an imported log could hold a ring
        try:
            record = log.find(record.parent_uuid)
        except RunNotFound:
            break  # forgotten since
    return record


def _below(log: RunLog, root: RunRecord) -> dict[str, list[RunRecord]]:
    """Find all that was made from a run, a generation at a time."""
    found: dict[str, list[RunRecord]] = {}
    seen = {root.task_uuid}
    generation = [root.task_uuid]
    while generation:
        children = [each for each in log.children_of(generation) if each.task_uuid not in seen]
        for child in children:
            found.setdefault(str(child.parent_uuid), []).append(child)
        generation = [child.task_uuid for child in children]
        seen.update(generation)
    return found


def _branch(session: Session, record: RunRecord, below: dict[str, list[RunRecord]], chosen: str) -> Branch:
    pictures = [picture_of(session, record, result, side_px=72) for result in record.results]
    children = [_branch(session, child, below, chosen) for child in below.get(record.task_uuid, [])]
    shown = [picture for picture in pictures if picture is not None]
    return Branch(_label(record), shown, record.task_uuid == chosen, children)


def _label(record: RunRecord) -> str:
    words = " ".join((record.prompt or "").split())
    cost = "" if record.cost is None else f", {format_amount(record.cost, record.cost_unit)}"
    what = f"{record.task_type}: {words[:60]}" if words else record.task_type
    state = "" if record.state == "succeeded" else f", {record.state.value}"
    imported = ", imported" if record.is_imported else ""
    when = record.created_at_utc[:16].replace("T", " ")
    return f"{record.task_uuid[:8]}  {what} ({when}{cost}{state}{imported})"


def _as_json(record: RunRecord, below: dict[str, list[RunRecord]]) -> dict[str, Any]:
    return {
        "task_uuid": record.task_uuid, "task_type": record.task_type, "model": record.model, "prompt": record.prompt,
        "state": record.state.value, "created_at_utc": record.created_at_utc, "cost_usd": record.cost_usd,
        "cost": record.cost, "cost_unit": record.cost_unit,
        "files": [result.file for result in record.results if result.file],
        "children": [_as_json(child, below) for child in below.get(record.task_uuid, [])],
    }  # fmt: skip
