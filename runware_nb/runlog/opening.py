"""Opening a log: making, migrating or refusing it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine

from ..errors import RunLogError, SchemaTooNew
from .files import ensure_private_folder
from .schema import HEAD, metadata

__all__ = ["open_engine"]

_BUSY_S = 30.0


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
    try:
        url = sa.engine.make_url(log_url)
        if url.get_backend_name() != "sqlite":
            raise RunLogError(f"log database {url.get_backend_name()!r} is not supported; use sqlite:///FILE")
        engine = sa.create_engine(url, paramstyle="named", connect_args={"timeout": _BUSY_S})
    except sa.exc.ArgumentError as error:
        raise RunLogError("RUNWARE_NB_LOG_URL is no database address; write sqlite:///FILE") from error
    sa.event.listen(engine, "connect", _set_pragmas)
    try:
        _bring_up_to_date(engine, str(url.database))
    except sa.exc.SQLAlchemyError as error:
        engine.dispose()
        raise RunLogError(f"the log {url.database} cannot be opened: {_cause(error)}") from error
    return engine


def _set_pragmas(connection: Any, _: Any) -> None:
    """Make each commit durable, and readers free of writers."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")  # where WAL cannot work SQLite keeps its rollback journal
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _bring_up_to_date(engine: Engine, name: str) -> None:
    version = _version(engine)
    if version == HEAD:
        return
    if version is not None and not version.isdecimal():
        raise RunLogError(f"{name} is no run log of ours (version {version!r})")
    if version is not None and version > HEAD:
        raise SchemaTooNew(f"the log {name} has version {version}, this package knows {HEAD}; upgrade runware-nb")
    if version is None and _is_empty(engine):
        _create(engine)
    else:
        _migrate(engine)


def _version(engine: Engine) -> str | None:
    if not sa.inspect(engine).has_table("alembic_version"):
        return None
    with engine.connect() as connection:
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _is_empty(engine: Engine) -> bool:
    return not sa.inspect(engine).get_table_names()


def _create(engine: Engine) -> None:
    """Make a new log at once in the newest version: a test holds it equal to the migrated one."""
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL)"))
        metadata.create_all(connection)
        present = connection.execute(sa.text("SELECT count(*) FROM alembic_version")).scalar()
        if not present:
            connection.execute(sa.text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def _migrate(engine: Engine) -> None:
    """Run the migrations that are missing; each commits together with its record."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _cause(error: sa.exc.SQLAlchemyError) -> str:
    original = getattr(error, "orig", None)
    return str(original or error).splitlines()[0]
