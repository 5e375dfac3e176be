"""show: one run, with its request, its results and where it came from."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..errors import RunwareNBError
from ..runlog import RunRecord
from ..session.show import render_outcome
from ..view.html import muted
from ..view.results import format_usd
from ..view.table import render_facts
from .base import Answer
from .log import row_of

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "show one run: request, results, cell"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("ref", metavar="UUID", help="task UUID, or its first characters")


def run(session: Session, options: argparse.Namespace) -> Answer:
    """Find it and show it."""
    record = session.log.find(options.ref)
    facts = [
        ("run", record.task_uuid),
        ("state", record.state.value),
        ("service", record.provider),
        ("time (UTC)", record.created_at_utc),
        ("took", "" if record.duration_s is None else f"{record.duration_s:.2f} s"),
        ("cost", format_usd(record.cost_usd)),
        ("cell", "" if record.execution_count is None else f"[{record.execution_count}] {record.notebook or ''}"),
        *((name, value) for name, value in record.request.items() if name not in {"taskUUID", "taskType"}),
    ]
    facts += [
        (
            f"#{result.position}",
            result.error["message"] if result.error else f"seed {result.seed}, {result.medium_state}",
        )
        for result in record.results
    ]
    bundle = render_facts([(name, value) for name, value in facts if value not in {"", None}])
    images = _images(session, record) if record.is_finished else ""
    return Answer(
        {"text/html": images + bundle["text/html"], "text/plain": bundle["text/plain"]},
        {**row_of(record), "request": record.request},
        value=record,
    )


def _images(session: Session, record: RunRecord) -> str:
    try:
        outcome = session.job(record.task_uuid).result(timeout_s=30)
    except RunwareNBError as error:
        return muted(str(error))
    return render_outcome(outcome)["text/html"]
