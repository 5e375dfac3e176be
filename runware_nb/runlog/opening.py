"""Opening a log: making, migrating or refusing it."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine

from ..core.redaction import show_url
from ..errors import RunLogError, SchemaTooNew
from ..media.store import ensure_private_folder
from ..printable import printable
from .databases import BUSY_S, in_words, is_locked, is_unread, quieten_driver, redact_parameters
from .schema import HEAD, metadata

__all__ = ["bring_up_to_date", "name_of_log", "open_engine", "patiently", "sqlite_path"]

_T = TypeVar("_T")
_CONNECT_S = 10
_AGAIN_S = 0.02
_UNREAD_S = 5.0
_VERSIONS = tuple(f"{number:04}" for number in range(1, int(HEAD) + 1))
_LOCK = 5_786_249_312
"""Held while tables are made or changed: kernels may open a new PostgreSQL log at the same moment."""


def open_engine(home: Path, log_url: str | None) -> Engine:
    """Open the log's database, in the newest version.

    Args:
        home: Folder for the SQLite file, made if needed.
        log_url: A database instead of that file; None for the file.

    Raises:
        SchemaTooNew: A newer version of this package wrote it.
        RunLogError: It cannot be opened, read or written.
    """
    engine = _make_engine(URL.create("sqlite", database=str(home / "runs.sqlite")) if log_url is None else log_url)
    sa.event.listen(engine, "before_cursor_execute", redact_parameters, retval=True)
    try:
        bring_up_to_date(engine, home if log_url is None else None)
    except BaseException:
        engine.dispose()
        raise
    return engine


def name_of_log(url: URL) -> str:
    """Return where a log is, in words, without passwords."""
    return printable(str(url.database) if url.get_backend_name() == "sqlite" else show_url(url.render_as_string()))


def bring_up_to_date(engine: Engine, home: Path | None) -> None:
    """Create what is missing: the folder, the database, its tables, and newer versions of them.

    Args:
        engine: The database.
        home: Folder of the SQLite file, created if needed; None where the user named the database.

    Raises:
        SchemaTooNew: A newer version of this package wrote it.
        RunLogError: It cannot be opened, read or written.
    """
    if home is not None:
        try:
            ensure_private_folder(home)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise RunLogError(f"the folder {printable(str(home))} cannot be created: {reason}") from error
    name = name_of_log(engine.url)
    try:
        patiently(lambda: _bring_up_to_date(engine, name))
    except sa.exc.SQLAlchemyError as error:
        raise RunLogError(f"the log {name} cannot be opened: {in_words(error)}") from error


def sqlite_path(engine: Engine) -> Path | None:
    """Return the path of the file that an engine opens; None if there is none to look at."""
    url = engine.url
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name)


def _make_engine(log_url: str | URL) -> Engine:
    remedy = "write sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
    try:
        url = sa.engine.make_url(log_url)
    except (sa.exc.ArgumentError, ValueError):
        # Not chained: the original error quotes the URL with its password.
        raise RunLogError(f"Invalid RUNWARE_NB_LOG_URL: it is not the URL of a database; {remedy}") from None
    if "@" in (url.host or ""):
        del url  # its repr shows the second half of the password
        raise RunLogError(
            "Invalid RUNWARE_NB_LOG_URL: its password contains an @, which ends the password. Write %40 instead."
        )
    if "password" in url.query:  # SQLAlchemy hides a password only where it expects it
        password = url.query["password"]
        url = url.set(password=password if isinstance(password, str) else password[-1])
        url = url.difference_update_query(["password"])
    kind = url.get_backend_name()
    if kind == "sqlite":
        if url.database and url.database != ":memory:" and not url.database.startswith("file:"):
            url = url.set(database=_absolute(url.database))  # the working directory may change, or be deleted
        engine = sa.create_engine(url, paramstyle="named", connect_args={"timeout": BUSY_S})
        sa.event.listen(engine, "connect", _set_pragmas)
        return engine
    if kind not in {"postgresql", "postgres"}:
        raise RunLogError(f"log database {kind!r} is not supported; {remedy}")
    quieten_driver()
    try:
        return sa.create_engine(
            url.set(drivername="postgresql+psycopg"), pool_pre_ping=True, connect_args={"connect_timeout": _CONNECT_S}
        )
    except ImportError as error:
        raise RunLogError("a log in PostgreSQL needs its driver: pip install 'runware-nb[postgres]'") from error


def _absolute(path: str) -> str:
    try:
        return os.path.abspath(path)  # noqa: PTH100 - Path.resolve would follow links, which may be changed later
    except OSError as error:
        raise RunLogError(
            f"the log {path} cannot be opened: the working directory was deleted; change to another one"
        ) from error


def _set_pragmas(connection: Any, _: Any) -> None:
    """Make each commit durable, and readers free of writers."""
    # Bytes that are not UTF-8 would end the reading of all rows. They are escaped, so that only their row is damaged.
    connection.text_factory = functools.partial(str, encoding="utf-8", errors="backslashreplace")
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")  # where WAL cannot work SQLite keeps its rollback journal
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def patiently(open_it: Callable[[], _T]) -> _T:
    """Try again while SQLite calls the file locked, for `BUSY_S`, or cannot read it, for `_UNREAD_S`.

    While another process turns a new file to WAL, or removes the WAL as the last to leave, SQLite refuses at once
    instead of waiting as long as it was told to.

    Args:
        open_it: What is tried; it must be safe to repeat.
    """
    started_at = time.monotonic()
    while True:
        try:
            return open_it()
        except (sa.exc.OperationalError, sqlite3.OperationalError) as error:
            # The index of the WAL may be removed between two steps of opening, as by a sync tool: then SQLite reports
            # that it could not read it, and the next try makes a new one. A disk that fails goes on failing.
            patience_s = BUSY_S if is_locked(error) else _UNREAD_S if is_unread(error) else 0.0
            if time.monotonic() - started_at >= patience_s:
                raise
        time.sleep(_AGAIN_S)


def _bring_up_to_date(engine: Engine, name: str) -> None:
    with engine.connect() as connection:
        version = _version(connection)
    if version == HEAD:
        return
    if version is not None and version not in _VERSIONS:
        if re.fullmatch(r"[0-9]{4,9}", version) and version > HEAD:
            raise SchemaTooNew(f"the log {name} has version {version}: expected {HEAD} at most; upgrade runware-nb")
        raise RunLogError(
            f"{name} is not a run log, or its version {version[:40]!r} is damaged: expected {_VERSIONS[0]} to "
            f"{HEAD}. Nothing was changed. Move it away to begin a new log"
        )
    with _alone(engine) as connection:
        if _version(connection) == HEAD:
            return  # another kernel was quicker
        if version is None and not sa.inspect(connection).get_table_names():
            _create(connection)
        else:
            _migrate(connection)


@contextlib.contextmanager
def _alone(engine: Engine) -> Iterator[sa.Connection]:
    """Lend a connection while no other process changes tables; all of it is committed, or nothing."""
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        yield connection
        connection.commit()


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    versions = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars().all()
    if not versions and sa.inspect(connection).has_table("runs"):
        return ""
    return ", ".join(str(version) for version in versions) if versions else None


def _create(connection: sa.Connection) -> None:
    """Make a new log at once in the newest version: a test holds it equal to the migrated one."""
    connection.execute(sa.text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
    metadata.create_all(connection)
    connection.execute(sa.text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def _migrate(connection: sa.Connection) -> None:
    """Run the migrations that are missing; they commit together."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
