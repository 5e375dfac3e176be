"""`%load_ext runware_nb`: the magics, the cell's context, and one line that says where things stand."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import ConfigError
from ..session import Session, current_session
from .cell import CellFinder
from .completion import install_completion, remove_completion
from .display import Panel, show_bundle
from .magics import RunwareMagics

__all__ = ["attach", "load", "unload"]


def load(shell: Any) -> None:
    """Add everything to a shell, and print one line."""
    try:
        session = current_session()
    except ConfigError as error:
        raise error from None
    attach(shell, session)
    shell.register_magics(RunwareMagics(shell, session))
    install_completion(shell)
    show_bundle({"text/plain": _first_line(session)})


def unload(shell: Any) -> None:
    """Take it out again; runs in progress go on."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("runware", None)
    remove_completion(shell)


def attach(shell: Any, session: Session) -> None:
    """Tell a session about its notebook: where a cell is, and how a job is shown."""
    session.context = CellFinder(shell)
    if hasattr(shell, "kernel"):
        session.show_job = lambda job: Panel(job).show()


def _first_line(session: Session) -> str:
    settings = session.settings
    key = settings.api_key
    if key is None:
        where = "no key yet: %runware login, or %runware sandbox to try without one"
    else:
        where = f"key from {key.source}"
    log = "log in a database" if settings.log_url else f"log in {_near(settings.home / 'runs.sqlite')}"
    parts = [f"runware_nb {__version__}", where, log]
    unfinished = 0 if settings.log_url else _count_unfinished(settings.home / "runs.sqlite")
    if unfinished:
        parts.append(f"{unfinished} unfinished: rw.pending() lists them")
    return " · ".join(parts)


def _near(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _count_unfinished(path: Path) -> int:
    """Count by the standard library alone: SQLAlchemy takes 200 ms to load."""
    if not path.is_file():
        return 0
    query = "SELECT count(*) FROM runs WHERE state IN ('prepared', 'sent', 'accepted', 'detached')"
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path, timeout=0.1)) as log:
        return int(log.execute(query).fetchone()[0])
    return 0
