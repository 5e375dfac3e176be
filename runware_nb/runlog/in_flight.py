"""What this process has written about unfinished runs, so that it can be written again to a log that lost it."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from .databases import Change
from .queries import in_chunks
from .records import RunRecord
from .rows import parent_rows, result_row, run_row
from .schema import runs
from .statements import Statements

__all__ = ["InFlight"]


class InFlight:
    """The unfinished runs of this process, as it wrote them.

    A log can be replaced while runs are in flight: they are paid for, and only this process knows of them. Used by the
    thread that writes; `hold` may be called from any thread.

    Args:
        sql: Statements of the database.
    """

    def __init__(self, sql: Statements) -> None:
        self._sql = sql
        self._steps: dict[str, list[Change]] = {}

    def __len__(self) -> int:
        return len(self._steps)

    def hold(self, run: RunRecord) -> None:
        """Keep a run that another process began and this one continues, as the log has it."""
        steps: list[Change] = [(self._sql.insert_run, run_row(run), None)]
        steps += [(self._sql.insert_parent, row, None) for row in parent_rows(run)]
        steps += [(self._sql.insert_tag, {"run_uuid": run.task_uuid, "tag": tag}, None) for tag in run.tags]
        steps += [(self._sql.put_result, result_row(run.task_uuid, result), None) for result in run.results]
        if run.attempts > 1 and run.sent_at_utc is not None:
            attempt = {"run_uuid": run.task_uuid, "attempt_uuid": run.attempt_uuid, "number": run.attempts,
                       "at_utc": run.sent_at_utc}  # fmt: skip
            steps.append((self._sql.insert_attempt, attempt, None))
        self._steps.setdefault(run.task_uuid, steps)

    def note(self, run_uuid: str, steps: Iterable[Change]) -> None:
        """Keep what was committed about a run: everything from its first row on."""
        steps = list(steps)
        if run_uuid in self._steps:
            self._steps[run_uuid] += steps
        elif steps and steps[0][0] == self._sql.insert_run:
            self._steps[run_uuid] = steps

    def drop(self, run_uuid: str) -> None:
        """Drop a run that has ended, and whose end is in the log."""
        self._steps.pop(run_uuid, None)

    def missing(self, connection: sa.Connection) -> list[str]:
        """List the runs that the log does not have."""
        present: set[str] = set()
        for some in in_chunks(list(self._steps)):
            present.update(connection.execute(sa.select(runs.c.task_uuid).where(runs.c.task_uuid.in_(some))).scalars())
        return [name for name in self._steps if name not in present]

    def steps(self, missing: Iterable[str]) -> list[Change]:
        """Build the statements that write every run again; what the log has already stays as it is.

        Args:
            missing: Runs that the log does not have: their estimates are reserved again. No limit is checked, because
                these runs have left.
        """
        absent = set(missing)
        steps: list[Change] = []
        for run_uuid, written in list(self._steps.items()):
            for sql, values, _ in written:
                if sql == self._sql.insert_run:
                    steps.append((self._sql.carry_run, values, None))
                    # The index of joinable runs may hold another run of the same request; this one is kept too.
                    steps.append((self._sql.carry_run, {**values, "is_joinable": 0}, None))
                elif sql in self._sql.carried:
                    steps.append((self._sql.carried[sql], values, None))
                elif sql == self._sql.reserve and run_uuid in absent:
                    steps.append((sql, values, None))
        return steps
