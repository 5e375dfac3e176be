"""`%load_ext runware_nb`: the magics, the cell's context, and one line about version, key and log."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import Any

from .. import __version__
from ..engine.front_end import current_front_end, use_front_end
from ..loading import FIRST_NEEDED
from ..loading import load as load_modules
from ..printable import printable
from ..remedies import PYTHON
from ..session.current import settings_in_use, stop_current_cell
from ..settings import Settings, current_folder, load_settings
from .completion import install_completion, remove_completion
from .front_end import NotebookFrontEnd
from .magics import RunwareMagics, allow_empty_bodies, forbid_empty_bodies
from .provider_magics import install_provider_magics, remove_provider_magics
from .stop_line import install_stop_line, remove_stop_line

__all__ = ["attach", "load", "unload"]

_WARM_UP_AFTER_S = 0.2


def load(shell: Any) -> None:
    """Add the magics to a shell, and print one line; one more for each part of the settings that cannot be read.

    Broken settings do not prevent loading: `%runware login` and `%runware config` are the way to correct them.
    """
    attach(shell)
    settings = settings_in_use() or load_settings(cwd=current_front_end().working_folder, strict=False)
    magics = RunwareMagics(shell)
    shell.register_magics(magics)
    install_provider_magics(shell, magics.defaults)
    allow_empty_bodies(shell)
    install_completion(shell)
    install_stop_line(shell)
    _say(_first_line(settings))
    for problem in settings.problems:
        _say(f"{problem.sentence} Until this is corrected, nothing is sent.")
    warm_up = threading.Timer(_WARM_UP_AFTER_S, _warm_up)
    warm_up.daemon = True
    warm_up.start()


def unload(shell: Any) -> None:
    """Remove the magics from a shell; runs in progress go on."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("runware", None)
    remove_provider_magics(shell)
    forbid_empty_bodies(shell)
    remove_completion(shell)
    remove_stop_line(shell)
    current_front_end().syntax = PYTHON  # the magics cannot be typed any more
    with contextlib.suppress(ValueError):  # it was never loaded here
        shell.events.unregister("post_run_cell", _after_cell)


def attach(shell: Any) -> None:
    """Make the shell the front end of this process. The working directory of the first time continues to apply."""
    folder = current_front_end().working_folder or current_folder()
    use_front_end(NotebookFrontEnd(shell, folder))
    # Stop anywhere in a cell, also in its own code between two submissions, ends the sending of its runs.
    shell.events.register("post_run_cell", _after_cell)


def _after_cell(result: Any) -> None:
    """Withdraw the runs of a cell that was stopped, if they have not been sent, and say how many."""
    if not isinstance(result.error_in_exec, KeyboardInterrupt | asyncio.CancelledError):
        return
    sentence = stop_current_cell()
    if sentence:
        _say(sentence)


def _say(sentence: str) -> None:
    """Print one line below the cell: when the extension is loaded, and after Stop."""
    print(printable(sentence))  # noqa: T201 - see above


def _warm_up() -> None:
    """Load what the first image needs while the user is still typing."""
    load_modules(*FIRST_NEEDED)


def _first_line(settings: Settings) -> str:
    key = settings.api_key
    if any("api_key" in problem.names for problem in settings.problems):
        where = "no usable key: see below"
    elif key is None:
        where = "no key yet: %runware login, or %runware sandbox to try without one"
    else:
        where = f"key from {key.source}"
    log = "log in a database" if settings.log_url else f"log in {_near(settings.home / 'runs.sqlite')}"
    if settings.mode == "replay":
        where = "replay mode: all requests are answered from the log, without a key or network"
    parts = [f"runware_nb {__version__}", where, log]
    unfinished = {} if settings.log_url else _count_unfinished(settings.home / "runs.sqlite")
    of_sandbox = 0 if settings.is_local else unfinished.pop("sandbox", 0)
    count = sum(unfinished.values())
    if count:
        parts.append(f"{_runs(count)}: %runware pending lists {'it' if count == 1 else 'them'}")
    if of_sandbox:
        parts.append(f"{_runs(of_sandbox)} of the sandbox: %runware sandbox, then %runware resume")
    return " · ".join(parts)


def _runs(count: int) -> str:
    return "1 unfinished run" if count == 1 else f"{count} unfinished runs"


def _near(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def _count_unfinished(path: Path) -> dict[str, int]:
    """Count the unfinished runs of each service by the standard library alone: SQLAlchemy takes 200 ms to load."""
    if not path.is_file():
        return {}
    query = (
        "SELECT provider, count(*) FROM runs WHERE state IN ('prepared', 'sent', 'accepted', 'detached', 'unknown') "
        "GROUP BY provider"
    )
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path, timeout=0.1)) as log:
        return {str(provider): int(count) for provider, count in log.execute(query)}
    return {}
