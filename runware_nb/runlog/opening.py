"""Opening a log: making, migrating or refusing it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine

from ..errors import RunLogError, SchemaTooNew
from ..wire.redact import show_url
from .databases import BUSY_S, in_words, is_locked, quieten_driver, redact_parameters
from .files import ensure_private_folder
from .schema import HEAD, metadata

__all__ = ["name_of_log", "open_engine"]

_CONNECT_S = 10
_AGAIN_S = 0.02
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
    if log_url is None:
        try:
            ensure_private_folder(home)
        except OSError as error:
            raise RunLogError(f"the folder {home} cannot be made: {error.strerror or error}") from error
        log_url = URL.create("sqlite", database=str(home / "runs.sqlite")).render_as_string()
    engine = _make_engine(log_url)
    sa.event.listen(engine, "before_cursor_execute", redact_parameters, retval=True)
    name = name_of_log(engine.url)
    try:
        _patiently(lambda: _bring_up_to_date(engine, name))
    except sa.exc.SQLAlchemyError as error:
        engine.dispose()
        raise RunLogError(f"the log {name} cannot be opened: {in_words(error)}") from error
    except BaseException:
        engine.dispose()
        raise
    return engine


def name_of_log(url: URL) -> str:
    """Return where a log is, in words, without passwords."""
    return str(url.database) if url.get_backend_name() == "sqlite" else show_url(url.render_as_string())


def _make_engine(log_url: str) -> Engine:
    remedy = "write sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
    try:
        url = sa.engine.make_url(log_url)
    except (sa.exc.ArgumentError, ValueError):
        raise RunLogError(f"RUNWARE_NB_LOG_URL is no database address; {remedy}") from None  # it quotes the URL
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


def _set_pragmas(connection: Any, _: Any) -> None:
    """Make each commit durable, and readers free of writers."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")  # where WAL cannot work SQLite keeps its rollback journal
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _patiently(open_it: Callable[[], None]) -> None:
    """Try again while SQLite calls the file locked.

    While another process turns a new file to WAL, or removes the WAL as the last to leave, SQLite refuses at once
    instead of waiting as long as it was told to.
    """
    until = time.monotonic() + BUSY_S
    while True:
        try:
            return open_it()
        except sa.exc.OperationalError as error:
            if not is_locked(error) or time.monotonic() > until:
                raise
        time.sleep(_AGAIN_S)


def _bring_up_to_date(engine: Engine, name: str) -> None:
    with engine.connect() as connection:
        version = _version(connection)
    if version == HEAD:
        return
    if version is not None and not version.isdecimal():
        raise RunLogError(f"{name} is no run log of ours (version {version!r})")
    if version is not None and version > HEAD:
        raise SchemaTooNew(f"the log {name} has version {version}, this package knows {HEAD}; upgrade runware-nb")
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
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


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
