"""The one session of this process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..forking import make_lock
from ..loading import FIRST_NEEDED, load
from ..settings import Settings

if TYPE_CHECKING:
    from .session import Session

__all__ = ["current_session", "settings_in_use", "stop_current_cell"]

_session: Session | None = None
_making = make_lock()


def current_session() -> Session:
    """Return this process's session, made on first use."""
    global _session  # noqa: PLW0603 - one per process is the point
    if _session is not None:
        return _session
    if "IPython" in sys.modules:  # elsewhere Ctrl-C ends the program, and a script loads only what it uses
        load(*FIRST_NEEDED)
    from .session import Session  # here: `%load_ext` asks for the settings in use, and must not load the engine

    made = Session()  # before the lock: files of settings are read
    with _making:
        if _session is None:
            import atexit

            _session = made
            atexit.register(made.close)
        return _session


def settings_in_use() -> Settings | None:
    """Return the settings of this process's session; None before there is one."""
    session = _session
    if session is None:
        return None
    session.connection.follow_environment()
    return session.settings


def stop_current_cell() -> str:
    """Withdraw what the cell that was stopped has not sent yet; return a sentence, or an empty text for nothing.

    It makes no session: a cell that was stopped before the first one existed has submitted nothing.
    """
    if _session is None:
        return ""
    stopped = _session.queue.stop_cell()
    return f"Stopped. {stopped.sentence}" if stopped.dropped else ""
