"""What is written into each image about where it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

from ..core.infotext import write_infotext
from ..core.items import Item
from ..core.redaction import known_secrets, redact_values
from ..core.results import Result
from ..media.provenance import embed
from ..runlog import RunRecord
from .input_lineage import storable_request

__all__ = ["origin_record", "with_origin"]

_VERSION = 1
_LONGEST = 2000
"""A longer text without a blank is a medium somewhere unexpected: its hash says as much, in 64 characters."""


def origin_record(run: RunRecord, task: Mapping[str, Any], result: Result) -> Item:
    """Make our own JSON about one result.

    Args:
        run: The run as the log has it.
        task: The task as it was sent.
        result: Which of its results.
    """
    notebook = PurePath(run.notebook).name if run.notebook else None  # the folders above are nobody's business
    made = {
        "version": _VERSION,
        "task_uuid": run.task_uuid, "attempt_uuid": str(task.get("taskUUID", "")), "item_uuid": result.item_uuid,
        "index": result.index, "seed": result.seed, "cost_usd": result.cost_usd, "provider": run.provider,
        "task_type": run.task_type, "model": run.model, "created_at_utc": run.created_at_utc,
        "request_hash": run.request_hash, "asked_hash": run.asked_hash, "prompt_template": run.prompt_template,
        "notebook": notebook, "cell_id": run.cell_id, "cell_hash": run.cell_hash,
        "execution_count": run.execution_count, "parent_uuid": run.parent_uuid,
        "request": _shortened(storable_request(task)),
    }  # fmt: skip
    record: Item = redact_values({name: value for name, value in made.items() if value is not None})
    return record


def with_origin(run: RunRecord, task: Mapping[str, Any], result: Result) -> Callable[[bytes], bytes]:
    """Give the function that writes a result's origin into its file."""
    from .. import __version__

    seed = result.seed if result.seed is not None else task.get("seed")
    worded = task if task.get("positivePrompt") or not run.prompt else {**task, "positivePrompt": run.prompt}
    infotext = known_secrets.redact(write_infotext(worded, seed=seed, version=f"runware_nb {__version__}"))
    record = origin_record(run, task, result)

    def dress(body: bytes) -> bytes:
        return embed(body, infotext=infotext, record={**record, "received_sha256": hashlib.sha256(body).hexdigest()})

    return dress


def _shortened(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _LONGEST and " " not in value[:_LONGEST]:
        return f"sha256:{hashlib.sha256(value.encode()).hexdigest()}"
    if isinstance(value, Mapping):
        return {str(key): _shortened(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(each) for each in value]
    return value
