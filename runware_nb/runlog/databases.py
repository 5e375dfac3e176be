"""What SQLite and PostgreSQL do differently."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable, Container, Sequence
from typing import Any

import sqlalchemy as sa

from ..core.redaction import known_secrets, redact_urls

__all__ = [
    "BUSY_S",
    "ONE_WRITER",
    "Change",
    "execute_all",
    "in_words",
    "is_connection_lost",
    "is_locked",
    "is_misplaced",
    "is_taken",
    "is_unread",
    "quieten_driver",
    "redact_parameters",
    "upsert_for",
    "without_secrets",
]

ONE_WRITER = "SELECT pg_advisory_xact_lock(5786249313)"
"""As in SQLite: kernels that add to the same sums in another order would wait for each other for ever."""
BUSY_S = 30.0
"""Longest wait for another process that is writing, in seconds."""

Change = tuple[str, dict[str, Any], Callable[[Any], None] | None]
"""SQL, its parameters, and what looks at the cursor before anything is committed, and raises where it must not be."""


def upsert_for(dialect: sa.Dialect) -> Any:
    """Give the `insert` that knows conflicts."""
    if dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        return postgresql_insert
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    return sqlite_insert


def execute_all(connection: Any, steps: Sequence[Change], *, probe: str = "", probed: Container[str] = ()) -> None:
    """Run statements in one transaction and commit them.

    Args:
        connection: SQLAlchemy's wrapper of a driver's connection.
        steps: What to run.
        probe: A query; where it finds no row, statements of *probed* are left out, if asking is cheaper than running.
        probed: Such statements.

    Raises:
        RunwareNBError: A check did not pass; nothing is committed by us.
    """
    if isinstance(connection.driver_connection, sqlite3.Connection):
        _on_sqlite(connection, steps, probe, probed)
    else:
        _on_postgresql(connection.driver_connection, steps)
    connection.commit()


def _on_sqlite(connection: Any, steps: Sequence[Change], probe: str, probed: Container[str]) -> None:
    cursor = connection.cursor()
    cursor.execute("BEGIN IMMEDIATE")
    skips = bool(probe) and cursor.execute(probe).fetchone() is None
    for sql, values, check in steps:
        if skips and sql in probed:
            continue
        cursor.execute(sql, values)
        if check is not None:
            check(cursor)
    cursor.close()


def without_secrets(steps: Sequence[Change]) -> list[Change]:
    """Redact the known secrets in everything that statements write. All writing of runs passes through here."""
    if not known_secrets.may_be_in(
        value for _, values, _ in steps for value in values.values() if isinstance(value, str)
    ):
        return list(steps)
    return [
        (sql, {name: known_secrets.redact(value) if isinstance(value, str) else value
               for name, value in values.items()}, check)
        for sql, values, check in steps
    ]  # fmt: skip


def redact_parameters(*event: Any) -> tuple[str, Any]:
    """Redact the known secrets in what any other statement of an engine writes, such as imported records.

    Args:
        *event: The arguments of SQLAlchemy's event `before_cursor_execute`: the third is the statement, the fourth its
            parameters.
    """
    _, _, statement, parameters, *_ = event
    return statement, _redacted(parameters) if known_secrets.version else parameters


def _redacted(parameters: Any) -> Any:
    if isinstance(parameters, str):
        return known_secrets.redact(parameters)
    if isinstance(parameters, dict):
        return {name: _redacted(value) for name, value in parameters.items()}
    if type(parameters) in {list, tuple}:
        return type(parameters)(map(_redacted, parameters))
    return parameters


def quieten_driver() -> None:
    """Drop psycopg's remark on ending a pipeline that failed: the failure itself is raised, and handled."""
    driver = logging.getLogger("psycopg")
    if _is_no_remark not in driver.filters:
        driver.addFilter(_is_no_remark)


def _is_no_remark(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("error ignored terminating")


def _on_postgresql(driver: Any, steps: Sequence[Change]) -> None:
    """Send them all before waiting for any answer: one round trip instead of one a statement."""
    with driver.pipeline():
        driver.execute(ONE_WRITER)
        cursors = [driver.execute(sql, values) for sql, values, _ in steps]
    for cursor, (_, _, check) in zip(cursors, steps, strict=True):
        if check is not None:
            check(cursor)


def is_taken(error: BaseException, index: str, column: str) -> bool:
    """Whether a row was refused because another has its place in a unique index."""
    said = str(error)
    if isinstance(error, sqlite3.IntegrityError):
        return column in said  # SQLite names the column, not the index
    return type(error).__name__ == "UniqueViolation" and index in said


def is_connection_lost(error: BaseException) -> bool:
    """Whether the server has gone, so that a new connection is needed."""
    return type(error).__module__.startswith("psycopg") and type(error).__name__ in {
        "OperationalError", "InterfaceError", "AdminShutdown", "CrashShutdown", "IdleInTransactionSessionTimeout",
    }  # fmt: skip


def is_misplaced(error: BaseException) -> bool:
    """Whether what was read makes no sense, as after another file was written over the one that is open."""
    if isinstance(error, sqlite3.DatabaseError):
        name = getattr(error, "sqlite_errorname", "") or ""
        is_odd = name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR", "SQLITE_READONLY_DBMOVED"))
        return is_odd or "no such table" in str(error)
    return type(error).__name__ == "UndefinedTable"


def is_locked(error: BaseException) -> bool:
    """Return whether SQLite refused because of another connection."""
    return _sqlite_name(error).startswith("SQLITE_BUSY")


def is_unread(error: BaseException) -> bool:
    """Return whether SQLite could not read or write one of its files."""
    return _sqlite_name(error).startswith("SQLITE_IOERR")


def _sqlite_name(error: BaseException) -> str:
    original = getattr(error, "orig", None) or error
    return original.sqlite_errorname if isinstance(original, sqlite3.OperationalError) else ""


def in_words(error: BaseException) -> str:
    """Say in one line what a database complains of, and what to do; without passwords that it quotes."""
    original = getattr(error, "orig", None) or error
    said = (str(original).splitlines() or [""])[0].strip() or type(original).__name__
    if isinstance(original, sqlite3.Error):
        for sign, words in (
            ("locked", f"another process has locked it for {BUSY_S:.0f} s"),
            ("readonly", "the file or its folder is read-only"),
            ("is full", "the disk is full"),
            ("not a database", "the file is not a database; move it away to begin a new log"),
            ("malformed", "the file is damaged; `sqlite3 FILE .recover` saves what is left of it"),
            ("unable to open", "the file cannot be opened or made; check that the folder exists and is writable"),
        ):
            if sign in said:
                return words
    return _USER_IN_HOST.sub('"', redact_urls(said))


_USER_IN_HOST = re.compile(r'"[^"\s]*@')
"""A password with an unescaped `@` is taken for the beginning of the host, which a driver quotes."""
