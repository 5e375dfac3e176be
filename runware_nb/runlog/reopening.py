"""The database of a log, opened again when it was deleted, moved or replaced while it was open."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from ..errors import RunLogError
from ..forking import make_lock
from .databases import execute_all, in_words
from .in_flight import InFlight
from .opening import bring_up_to_date, name_of_log, patiently, sqlite_path
from .presence import FileChange, LogFile
from .schema import budgets
from .spending import carry_budgets, count_for_settings
from .statements import Statements
from .writer import Written

__all__ = ["Database"]

_ERROR_CODE = re.compile(r"error code=(\d+)")
_READERS_S = 5.0
"""Longest wait for other threads to return their connections, in seconds."""


class Database:
    """The source of the writer's connection.

    Before each commit, the file that is open is compared with the file at the path. If they differ, the path is opened
    again, and the unfinished runs of this process are written there: they are paid for, and no other record of them
    may be left.

    Args:
        engine: The database.
        sql: Its statements.
        home: Folder of the SQLite file, which is created again if it is gone; None where the user named the database.
        on_replaced: Called when another database is at the place.

    Attributes:
        in_flight: The unfinished runs of this process.
        limited: Services and units with a limit from the session's settings, which counts in the next database too.
    """

    def __init__(self, engine: Engine, sql: Statements, home: Path | None, *, on_replaced: Callable[[], None]) -> None:
        self._engine = engine
        self._sql = sql
        self._home = home
        self._on_replaced = on_replaced
        self.in_flight = InFlight(sql)
        self.limited: set[tuple[str, str]] = set()
        path = sqlite_path(engine)
        self._file = None if path is None else LogFile(path)
        self._budgets: list[Mapping[str, Any]] = []
        self._is_ready = True
        self._is_other = False
        self._opening = make_lock()
        """Held while a connection is taken from the pool, and while the file is opened again."""

    # --- for readers, on any thread ------------------------------------------------------------------

    def is_changed(self) -> bool:
        """Return whether the file at the path is no longer the one that is open, or could not be opened again yet."""
        return not self._is_ready or (self._file is not None and self._file.change() is not None)

    def lend(self) -> sa.Connection:
        """Return a connection; the first one after all were closed decides which file is open."""
        with self._opening:
            connection = self._engine.connect()
            self._note_opened(connection.connection.driver_connection)
            return connection

    def release(self) -> None:
        """Close the connections of the pool before a fork; the writer's is closed already."""
        self._engine.dispose()
        self._file_closed()

    def restart_in_child(self) -> None:
        """Drop what belongs to the parent, which also keeps its runs."""
        self.in_flight = InFlight(self._sql)
        self._file_closed()

    # --- for the writer, on its thread ---------------------------------------------------------------

    def connect(self, held: Any, *, again: bool = False) -> Any:
        """Return a connection to the database that is at its place now, with all unfinished runs of this process in it.

        Args:
            held: The connection in use; None for none. It is returned if it is still the right one, or closed.
            again: Whether it is closed in any case, because what was read through it makes no sense.

        Raises:
            RunLogError: The place cannot be used. Nothing may be sent.
        """
        change = None if self._file is None else self._file.change()
        if held is not None and change is None and not again and self._is_ready:
            return held
        with self._opening:
            if change is not None or again:
                self._close_all(held, change)
                held = None
                self._is_ready = False
                self._is_other = True
            elif held is None and len(self.in_flight):
                self._is_ready = False  # a server, or another process, may have another database there by now
            if held is not None:
                _close(held)
            try:
                # All of it again, not only its first step: the index of the log may be removed between any two.
                return patiently(lambda: self._open(checks=change is FileChange.DISTURBED or again))
            except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:
                raise RunLogError(f"the log {self.name} cannot be written: {in_words(error)}") from error

    def carry(self, connection: Any) -> bool:
        """Write the unfinished runs again that the database lacks; return whether there were any."""
        with self._engine.connect() as reader:
            missing = self.in_flight.missing(reader)
        if missing:
            execute_all(connection, self.in_flight.steps(missing))
        return bool(missing)

    def note(self, writes: Sequence[Written]) -> None:
        """Note what was committed about runs."""
        for write in writes:
            if write.run_uuid is None:
                continue
            if write.ends:
                self.in_flight.drop(write.run_uuid)
            else:
                self.in_flight.note(write.run_uuid, [*write.steps, *write.kept])

    def finish(self, held: Any) -> Any:
        """Return a connection as `connect` does if unfinished runs would be lost otherwise, else *held*."""
        return self.connect(held) if len(self.in_flight) and self.is_changed() else held

    def _file_closed(self) -> None:
        """Note that nothing holds the file: until the next connection, it can be replaced without a sign."""
        if self._file is not None:
            self._file.forget()
            self._is_ready = False

    # --- inside --------------------------------------------------------------------------------------

    def _open(self, *, checks: bool) -> Any:
        """Open the place once, and write there what must not be lost; if that fails, nothing stays open."""
        if not self._is_ready:
            self._engine.dispose()  # an attempt that failed may have left a connection to what was there then
            bring_up_to_date(self._engine, self._home)
        connection = self._engine.raw_connection()
        try:
            self._note_opened(connection.driver_connection)
            if checks:
                self._check(connection)
            if not self._is_ready:
                self._carry_all(connection)
        except BaseException:
            _close(connection)
            raise
        return connection

    def _note_opened(self, driver: Any) -> None:
        """Remember which file is open, if none was; only SQLite's own read makes it open the file and its log."""
        if self._file is None or self._file.is_noted:
            return
        driver.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
        self._file.note()

    def _close_all(self, held: Any, change: FileChange | None) -> None:
        """Close every connection of this process to the file that was open."""
        assert self._file is not None or change is None
        if held is not None:
            if not self._budgets:
                self._remember_budgets(held)
            if change is FileChange.DISTURBED:
                # What is in the log that was removed is in no other file: it goes to the database first. The log is not
                # cut short: another kernel may have noticed earlier, and have written to it with the new index.
                with contextlib.suppress(Exception):
                    held.driver_connection.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
            _close(held)
        if self._file is not None and change is FileChange.REPLACED:
            self._file.remove_leftovers()
        pool = self._engine.pool
        self._engine.dispose()
        if change is not FileChange.REPLACED:
            # The same file must not be opened next to connections that use the log which was removed.
            until = time.monotonic() + _READERS_S
            while pool.checkedout() > 0 and time.monotonic() < until:  # type: ignore[attr-defined]
                time.sleep(0.005)
        if self._file is not None:
            self._file.forget()

    def _remember_budgets(self, held: Any) -> None:
        """Read the limits of the database that is being left: they hold for this session in the next one too."""
        with contextlib.suppress(Exception):
            cursor = held.driver_connection.cursor()
            names = [column.name for column in budgets.columns]
            rows = cursor.execute(f"SELECT {', '.join(names)} FROM budgets").fetchall()  # noqa: S608 - our own names
            cursor.close()
            self._budgets = [dict(zip(names, row, strict=True)) for row in rows]

    def _carry_all(self, connection: Any) -> None:
        """Write to the database what must not be lost: limits first, then the unfinished runs, in their order."""
        with self._engine.connect() as changing:
            if self._is_other:
                carry_budgets(changing, self._budgets)
            missing = self.in_flight.missing(changing)
            for provider, unit in sorted(self.limited):
                count_for_settings(changing, provider, unit)
            changing.commit()
        self._on_replaced()
        execute_all(connection, self.in_flight.steps(missing))
        self._budgets = []
        self._is_ready, self._is_other = True, False

    def _check(self, connection: Any) -> None:
        """Refuse a file that was cut short or overwritten: what would be written to it could not be read again.

        Raises:
            RunLogError: It is damaged.
        """
        if self._file is None:
            return
        verdict = connection.driver_connection.execute("PRAGMA quick_check(1)").fetchone()
        code = _ERROR_CODE.search(str(verdict[0])) if verdict else None
        if code is not None and int(code[1]) & 0xFF == sqlite3.SQLITE_IOERR:
            # A page could not be read, which is no damage yet: another kernel may still use the index that was removed,
            # and be writing that page. It notices before its next commit.
            unread = sqlite3.OperationalError("disk I/O error")
            unread.sqlite_errorname = "SQLITE_IOERR"
            raise unread
        if verdict != ("ok",):
            raise RunLogError(
                f"the log {self.name} is damaged ({str(verdict and verdict[0])[:80]}). Move it away to begin a new "
                f"log; `sqlite3 FILE .recover` saves what is left of the old one"
            )

    @property
    def name(self) -> str:
        """Where the database is, in words, without passwords."""
        return name_of_log(self._engine.url)


def _close(connection: Any) -> None:
    with contextlib.suppress(Exception):
        connection.close()
