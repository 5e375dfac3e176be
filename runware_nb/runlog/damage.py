"""Rows that cannot be read: left out one by one, and named."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import RunNotFound
from ..forking import make_lock
from ..remedies import Remedy, command
from ..reprs import short_repr
from .rows import RowError

__all__ = ["Damage", "DamagedRow", "RunDamaged"]

_MOST_KEPT = 10_000
_Record = TypeVar("_Record")


@short_repr()
@dataclass(frozen=True, slots=True)
class DamagedRow:
    """One row that cannot be read.

    Attributes:
        table: Its table.
        number: Its number in the table, or its key where the table has no numbers.
        run_uuid: The run that it belongs to, as far as that can be read; empty otherwise.
        reason: What is wrong with it.
    """

    table: str
    number: str
    run_uuid: str
    reason: str

    @property
    def sentence(self) -> str:
        """What is wrong, as a sentence."""
        run = f" (run {self.run_uuid})" if self.run_uuid else ""
        return (
            f"Row {self.number} of the table {self.table}{run} in the log is damaged and was left out: {self.reason}."
        )


class RunDamaged(RunNotFound):
    """The run is in the log, but its row cannot be read.

    Args:
        rows: Its damaged row, and those of others that the reference could mean.
    """

    def __init__(self, rows: Iterable[DamagedRow]) -> None:
        self.rows = tuple(rows)
        first = self.rows[0]
        super().__init__(first.sentence)
        self.remedy = Remedy("{0} removes it.", (command("forget", f"row:{first.number}"),))


class Damage:
    """The damaged rows that were met since they were last asked for. Safe for many threads."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], DamagedRow] = {}
        self._lock = make_lock()

    def note(self, table: str, number: Any, run_uuid: Any, error: Exception) -> DamagedRow:
        """Note a row that could not be read."""
        name = run_uuid[:36] if isinstance(run_uuid, str) and run_uuid.isprintable() else ""
        row = DamagedRow(table, str(number)[:60], name, str(error))
        with self._lock:
            if len(self._rows) < _MOST_KEPT:
                self._rows[table, row.number] = row
        return row

    def take(self) -> list[DamagedRow]:
        """Return the rows, each once."""
        with self._lock:
            rows, self._rows = self._rows, {}
        return list(rows.values())

    def read(
        self,
        rows: Iterable[Any],
        build: Callable[[Any], _Record],
        *,
        table: str,
        number: str = "id",
        run: str = "run_uuid",
    ) -> list[_Record]:
        """Build records from rows, one by one; a row that cannot be read is noted and left out.

        Args:
            rows: Mappings by column.
            build: Raises `RowError` for a row that it cannot read.
            table: Name of the table.
            number: The column that tells rows apart.
            run: The column that names the run.
        """
        records = []
        for row in rows:
            try:
                records.append(build(row))
            except RowError as error:
                self.note(table, row[number], row[run], error)
        return records
