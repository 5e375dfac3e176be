"""Recording that a cell used an answer it did not pay for: from the log, of a run in flight, or in replay mode."""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING

from ..errors import RunwareNBError
from ..printable import printable
from ..runlog import RunRecord, UseRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from .context import CellContext
    from .jobs import Job
    from .ports import Ports

__all__ = ["record_takeover", "record_use"]

_logger = logging.getLogger("runware_nb")


def record_use(
    ports: Ports, job: Job, context: CellContext, *, tags: tuple[str, ...], note: str | None, how: str
) -> None:
    """Record a use of a run that was not sent for it.

    One write is queued without waiting for it: the answer is there already, and a log that is locked, full or
    read-only must not take it away.

    Args:
        ports: Whose log.
        job: The job that answers.
        context: The cell that uses it.
        tags: Tags given with this use.
        note: Note given with this use.
        how: `recorded`, `joined` or `replayed`.
    """
    now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
    use = UseRecord(
        run_uuid=job.task_uuid, how=how, used_at_utc=now, notebook=context.notebook, cell_id=context.cell_id,
        cell_hash=context.cell_hash, cell_ordinal=context.cell_ordinal, execution_count=context.execution_count,
        kernel=context.kernel, tags=tuple(dict.fromkeys(tags)), note=note,
    )  # fmt: skip
    _write(ports, job, use, context.cell_source)


def record_takeover(ports: Ports, job: Job, own: RunRecord, cell_source: str | None) -> None:
    """Record that a prepared run was given up for the same request of another kernel.

    Args:
        ports: Whose log.
        job: The job, which follows the other kernel's run by now.
        own: The run that was given up: it names the cell, tags and note of this use.
        cell_source: Source of the cell.
    """
    use = UseRecord(
        run_uuid=job.task_uuid, how="joined", used_at_utc=own.created_at_utc, notebook=own.notebook,
        cell_id=own.cell_id, cell_hash=own.cell_hash, cell_ordinal=own.cell_ordinal,
        execution_count=own.execution_count, kernel=own.kernel, tags=own.tags, note=own.note,
    )  # fmt: skip
    _write(ports, job, use, cell_source)


def _write(ports: Ports, job: Job, use: UseRecord, cell_source: str | None) -> None:
    on_error = _reporter(ports, use)
    try:
        log = ports.log
        log.add_use(use, on_error, cell_source=cell_source)
    except RunwareNBError as error:
        on_error(error)
        return
    if use.how == "joined" and use.tags:
        # the run may not be on disk yet, and then it has no row that a tag could belong to
        job.future.add_done_callback(lambda _: log.add_tags_of_use(use, on_error))


def _reporter(ports: Ports, use: UseRecord) -> Callable[[Exception], None]:
    # an opened bundle may be read-only, and nobody wants to hear of it at each cell
    level = logging.DEBUG if ports.settings.mode == "replay" else logging.WARNING

    def report(error: Exception) -> None:
        _logger.log(
            level, "The use of run %s was not recorded: %s. Its answer is not affected, and nothing was sent.",
            use.run_uuid[:8], printable(str(error)),
        )  # fmt: skip

    return report
