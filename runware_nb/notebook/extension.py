"""`%load_ext runware_nb`: the magics, the cell's context, and one line about version, key and log."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..engine.front_end import hooks
from ..loading import FIRST_NEEDED
from ..loading import load as load_modules
from ..printable import printable
from ..remedies import PYTHON
from ..settings import Settings, current_folder, load_settings
from .completion import install_completion, remove_completion
from .magics import RunwareMagics, allow_empty_bodies, forbid_empty_bodies
from .provider_magics import install_provider_magics, remove_provider_magics
from .stop_line import install_stop_line, remove_stop_line
from .syntax import NOTEBOOK

if TYPE_CHECKING:
    from ..curation import Ballot
    from ..runlog.filters import RunFilter
    from ..session import CellContext, Job

__all__ = ["attach", "load", "unload"]

_WARM_UP_AFTER_S = 0.2


def load(shell: Any) -> None:
    """Add the magics to a shell, and print one line; one more for each part of the settings that cannot be read.

    Broken settings do not prevent loading: `%runware login` and `%runware config` are the way to correct them.
    """
    attach(shell)
    in_use = hooks.session_settings
    settings = in_use() if in_use is not None else load_settings(cwd=hooks.working_folder, strict=False)
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
    hooks.syntax = PYTHON  # the magics cannot be typed any more
    with contextlib.suppress(ValueError):  # it was never loaded here
        shell.events.unregister("post_run_cell", _after_cell)


def attach(shell: Any) -> None:
    """Connect the session to its notebook: where a cell is, how a job is shown, and which folders were in use first."""
    hooks.notebook_folder = _notebook_folder(shell)
    if hooks.working_folder is None:
        hooks.working_folder = current_folder()
    finder: Any = None

    def find_cell(*, counts: bool = True) -> CellContext:
        nonlocal finder
        if finder is None:
            from .cell import CellFinder

            finder = CellFinder(shell)
        context: CellContext = finder(counts=counts)
        return context

    def show_job(job: Job) -> None:
        from .display import Panel

        Panel(job).show()

    def ask(question: str) -> bool:
        return input(printable(question)).strip().lower() in {"y", "yes"}

    def show_progress(done: int, total: int, what: str) -> None:
        from .display import show_count

        show_count(done, total, what)

    # Stop anywhere in a cell, also in its own code between two submissions, ends the sending of its runs.
    shell.events.register("post_run_cell", _after_cell)

    hooks.find_cell = find_cell
    hooks.syntax = NOTEBOOK
    hooks.ask = ask
    if hasattr(shell, "kernel"):
        hooks.show_job = show_job
        hooks.show_progress = show_progress
        hooks.open_gallery = _open_gallery
        hooks.open_ballot = _open_ballot
        hooks.open_form = _open_form


def _after_cell(result: Any) -> None:
    """Withdraw the runs of a cell that was stopped, if they have not been sent, and say how many."""
    if not isinstance(result.error_in_exec, KeyboardInterrupt | asyncio.CancelledError):
        return
    from ..session.current import stop_current_cell

    sentence = stop_current_cell()
    if sentence:
        _say(sentence)


def _say(sentence: str) -> None:
    """Print one line below the cell: when the extension is loaded, and after Stop."""
    print(printable(sentence))  # noqa: T201 - see above


def _notebook_folder(shell: Any) -> Path:
    """Return the folder of the notebook: VS Code's, else where the kernel started, which `%cd` does not change."""
    file = shell.user_ns.get("__vsc_ipynb_file__")
    if isinstance(file, str) and Path(file).is_absolute():
        return Path(file).parent
    start = getattr(shell, "starting_dir", None)
    return Path(start) if isinstance(start, str) and start else current_folder() or Path()


def _open_gallery(wanted: RunFilter) -> None:
    from .gallery import open_gallery

    open_gallery(wanted)


def _open_ballot(ballot: Ballot) -> None:
    from IPython.display import display

    from ..session import current_session
    from .voting import VotingBooth

    display(VotingBooth(current_session(), ballot))


def _open_form(what: str | None) -> None:
    from IPython.display import display

    from .forms import form

    display(form(what))


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
    unfinished = 0 if settings.log_url else _count_unfinished(settings.home / "runs.sqlite")
    if unfinished:
        parts.append(f"{unfinished} unfinished: %runware pending lists them")
    return " · ".join(parts)


def _near(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def _count_unfinished(path: Path) -> int:
    """Count by the standard library alone: SQLAlchemy takes 200 ms to load."""
    if not path.is_file():
        return 0
    query = "SELECT count(*) FROM runs WHERE state IN ('prepared', 'sent', 'accepted', 'detached', 'unknown')"
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path, timeout=0.1)) as log:
        return int(log.execute(query).fetchone()[0])
    return 0
