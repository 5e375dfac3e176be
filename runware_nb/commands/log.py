"""log: what was run, newest first."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..engine.display import extent_of, runs_table
from ..engine.thumbnails import first_picture
from ..present.table import render_table
from ..providers.runware.parameters import parameters_of
from ..runlog import RunRecord
from .base import CommandResult
from .filters import add_filters, filter_from

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "list runs, newest first; filters choose some"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_filters(parser, limit=20)


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Return the runs, and how many there are of them where not all are listed."""
    wanted = filter_from(options, session)
    runs = session.log.select(wanted)
    pictures = [first_picture(session, run) for run in runs]
    empty = {} if runs or session.log.count() == 0 else {"empty": "no run fits"}
    extent = extent_of(session.log, wanted, len(runs))
    table = runs_table(runs, pictures, extent=extent, **empty)
    note = (f"{extent}; `--limit all` lists every run",) if extent else ()
    return CommandResult(render_table(table), [row_of(run) for run in runs], value=runs, json_notes=note)


def row_of(run: RunRecord) -> dict[str, Any]:
    """Return a run as JSON; `parameters` has the names of `rw.log.df`."""
    return {
        "task_uuid": run.task_uuid,
        "state": run.state.value,
        "provider": run.provider,
        "operation": run.operation,
        "task_type": run.task_type,
        "model": run.model,
        "prompt": run.prompt,
        "parameters": parameters_of(run.request, run.inputs),
        "created_at_utc": run.created_at_utc,
        "sent_at_utc": run.sent_at_utc,
        "finished_at_utc": run.finished_at_utc,
        "duration_s": run.duration_s,
        "cost_usd": run.cost_usd,
        "estimate_usd": run.estimate_usd,
        "cost": run.cost,
        "estimate": run.estimate,
        "cost_unit": run.cost_unit,
        "attempts": run.attempts,
        "notebook": run.notebook,
        "cell_id": run.cell_id,
        "execution_count": run.execution_count,
        "cell_ordinal": run.cell_ordinal,
        "tags": list(run.tags),
        "note": run.note,
        "rating": run.best_rating,
        "parent_uuid": run.parent_uuid,
        "replay_of": run.replay_of,
        "is_imported": run.is_imported,
        "error": run.error,
        "results": [
            {
                "index": result.position, "seed": result.seed, "cost_usd": result.cost_usd, "cost": result.cost,
                "url": result.url,
                "file": result.file, "sha256": result.received_sha256, "medium_state": result.medium_state,
                "rating": result.rating, "error": result.error,
            }
            for result in run.results
        ],
    }  # fmt: skip
