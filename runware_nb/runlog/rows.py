"""Between records and rows."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy.engine import RowMapping

from ..wire.amounts import parse_amount
from .records import ResultRecord, RunRecord, State, UseRecord

__all__ = [
    "RESULT_COLUMNS", "RUN_COLUMNS", "USE_COLUMNS", "result_of", "result_row", "run_of", "run_row", "use_of", "use_row",
]  # fmt: skip

RUN_COLUMNS = (
    "task_uuid", "attempt_uuid", "provider", "task_type", "model", "request", "request_hash", "asked_hash",
    "seed_given", "prompt_template", "prompt", "notebook", "cell_id", "cell_hash", "cell_ordinal",
    "execution_count", "kernel", "parent_uuid", "state", "attempts", "created_at_utc", "sent_at_utc",
    "environment_hash", "note", "inputs", "estimate_usd", "sender", "replay_of", "is_joinable", "is_imported",
)  # fmt: skip
RESULT_COLUMNS = (
    "run_uuid", "position", "item_uuid", "url", "seed", "cost_usd", "media_type", "size_bytes",
    "received_sha256", "stored_sha256", "file", "medium_state", "raw", "error",
)  # fmt: skip
USE_COLUMNS = (
    "run_uuid", "how", "notebook", "cell_id", "cell_hash", "cell_ordinal", "execution_count", "kernel", "tags", "note",
    "used_at_utc",
)  # fmt: skip
_TYPED = ("prompt_template", "prompt", "note", "notebook", "cell_id", "model")
_AMOUNTS = ("cost_usd", "estimate_usd")
_LARGEST_INTEGER = 2**63


def run_row(run: RunRecord) -> dict[str, Any]:
    """Write a run as a row."""
    row = {name: getattr(run, name) for name in RUN_COLUMNS}
    for name in _TYPED:
        if row[name] is not None:
            row[name] = _storable(row[name])
    row["request"] = json.dumps(run.request)
    row["inputs"] = json.dumps(run.inputs) if run.inputs else None
    row["estimate_usd"] = parse_amount(run.estimate_usd)
    row["state"] = run.state.value
    row["seed_given"] = int(run.seed_given)
    row["is_joinable"] = int(run.is_joinable)
    row["is_imported"] = int(run.is_imported)
    return row


def run_of(row: RowMapping) -> RunRecord:
    """Read a run from its row, without results and tags."""
    values = {name: row[name] for name in RUN_COLUMNS}
    values |= {name: row[name] for name in ("finished_at_utc", "duration_s", "cost_usd", "best_rating")}
    values["request"] = json.loads(row["request"])
    values["inputs"] = json.loads(row["inputs"]) if row["inputs"] else []
    values["error"] = None if row["error"] is None else json.loads(row["error"])
    values["seed_given"] = bool(row["seed_given"])
    values["is_joinable"] = bool(row["is_joinable"])
    values["is_imported"] = bool(row["is_imported"])
    values["state"] = State(row["state"])
    for name in _AMOUNTS:
        values[name] = parse_amount(values[name])
    return RunRecord(**values)


def result_row(run_uuid: str, record: ResultRecord) -> dict[str, Any]:
    """Write a result as a row."""
    row = {name: getattr(record, name) for name in RESULT_COLUMNS if name != "run_uuid"}
    row["run_uuid"] = run_uuid
    row["raw"] = json.dumps(record.raw)
    row["error"] = None if record.error is None else json.dumps(record.error)
    row["cost_usd"] = parse_amount(record.cost_usd)
    row["item_uuid"] = None if record.item_uuid is None else _storable(record.item_uuid)[:36]
    row["url"] = None if record.url is None else _storable(record.url)
    if record.seed is not None and not -_LARGEST_INTEGER <= record.seed < _LARGEST_INTEGER:
        row["seed"] = None  # no database holds it; the raw answer does
    return row


def result_of(row: RowMapping) -> ResultRecord:
    """Read a result from its row."""
    values = {name: row[name] for name in RESULT_COLUMNS if name != "run_uuid"}
    values |= {"rating": row["rating"], "perceptual_hash": row["perceptual_hash"]}
    values["is_favourite"] = bool(row["is_favourite"])
    values["cost_usd"] = parse_amount(row["cost_usd"])
    values["raw"] = json.loads(row["raw"])
    values["error"] = None if row["error"] is None else json.loads(row["error"])
    return ResultRecord(**values)


def use_row(use: UseRecord) -> dict[str, Any]:
    """Build the row of a use."""
    row = {name: getattr(use, name) for name in USE_COLUMNS}
    for name in ("notebook", "cell_id", "kernel", "note"):
        if row[name] is not None:
            row[name] = _storable(row[name])
    row["tags"] = json.dumps(list(use.tags)) if use.tags else None
    return row


def use_of(row: RowMapping) -> UseRecord:
    """Build a use from its row."""
    values = {name: row[name] for name in USE_COLUMNS}
    values["tags"] = tuple(json.loads(row["tags"])) if row["tags"] else ()
    return UseRecord(**values)


def _storable(text: str) -> str:
    """Leave out what no database takes as text: NUL and halves of surrogate pairs. The request keeps them."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
