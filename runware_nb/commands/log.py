"""log: what was run, newest first."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..errors import MagicUsageError
from ..runlog import RunRecord
from ..session.show import runs_table
from ..view.table import render_table
from .base import Answer

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "list runs, newest first"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="how many")


def run(session: Session, options: argparse.Namespace) -> Answer:
    """List them."""
    if options.limit < 1:
        raise MagicUsageError(f"--limit {options.limit}: it is 1 or more")
    runs = session.log.recent(options.limit)
    return Answer(render_table(runs_table(runs)), [row_of(run) for run in runs], value=runs)


def row_of(run: RunRecord) -> dict[str, Any]:
    """Write a run as JSON."""
    return {
        "task_uuid": run.task_uuid,
        "state": run.state.value,
        "provider": run.provider,
        "task_type": run.task_type,
        "model": run.model,
        "prompt": run.prompt,
        "created_at_utc": run.created_at_utc,
        "sent_at_utc": run.sent_at_utc,
        "finished_at_utc": run.finished_at_utc,
        "duration_s": run.duration_s,
        "cost_usd": run.cost_usd,
        "attempts": run.attempts,
        "notebook": run.notebook,
        "cell_id": run.cell_id,
        "execution_count": run.execution_count,
        "tags": list(run.tags),
        "note": run.note,
        "error": run.error,
        "results": [
            {
                "index": result.position, "seed": result.seed, "cost_usd": result.cost_usd, "url": result.url,
                "file": result.file, "sha256": result.received_sha256, "medium_state": result.medium_state,
                "error": result.error,
            }
            for result in run.results
        ],
    }  # fmt: skip
