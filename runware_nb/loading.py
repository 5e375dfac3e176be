"""Loading of this package's modules on first use, in a way that neither Stop nor a fork leaves half done.

Stop raises KeyboardInterrupt in the main thread, at any instruction. Raised inside an import, it can leave a library
partly initialized, or Python's own import lock taken permanently, and the next cell then fails or hangs. So the main
thread lets another thread import, and only waits.
"""

from __future__ import annotations

import importlib
import sys
import threading
from types import FrameType, ModuleType

from .forking import block_fork
from .interrupts import interrupts, is_in_task

__all__ = ["FIRST_NEEDED", "load", "show_as_line"]

FIRST_NEEDED = (
    "notebook.cell",
    "notebook.display",
    "notebook.magic_runner",
    "engine.execution",
    "runlog.store",
    "net.downloads",
    "providers.runware.client",
    "providers.runware.rest",
    "providers.runware.websocket",
    "providers.runware.catalog.check",
)
"""What the first image in a notebook needs."""
STOPPED = "Stopped while runware_nb was loading. Run the cell again."
_TICK_S = 0.05

_loaded: set[str] = set()


def load(*names: str) -> ModuleType:
    """Import modules of this package.

    Args:
        *names: Names without the package, such as `session`.

    Returns:
        The last of them.
    """
    full = [f"{__package__}.{name}" for name in names]
    if not _loaded.issuperset(full):
        try:
            _load(full)
        except BaseException as stop:
            show_as_line(stop)
            raise
    return sys.modules[full[-1]]


def show_as_line(stop: BaseException) -> None:
    """Have IPython show Stop as a line: it asks the object, so that no class of ours has to be loaded for it."""
    if not isinstance(stop, Exception):
        stop._render_traceback_ = lambda: [STOPPED]  # type: ignore[attr-defined]


def _load(names: list[str]) -> None:
    if threading.current_thread() is threading.main_thread() and not _is_importing():
        _import_elsewhere(names)
    else:
        _import(names)
    _loaded.update(names)


def _import(names: list[str]) -> None:
    with block_fork():  # the child could never take the import lock of a module that was being imported
        for name in names:
            importlib.import_module(name)


def _import_elsewhere(names: list[str]) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            _import(names)
        except BaseException as error:  # noqa: BLE001 - raised where the modules are wanted
            failures.append(error)

    thread = threading.Thread(target=work, name="runware imports", daemon=True)
    thread.start()
    with interrupts:
        stops = interrupts.count
        while thread.is_alive():
            thread.join(_TICK_S)  # Stop ends this wait, and the import goes on
            if interrupts.count != stops and is_in_task():
                import asyncio

                raise asyncio.CancelledError("Stopped")
    if failures:
        raise failures[0]


def _is_importing() -> bool:
    """Return whether this thread is inside an import: another thread could then wait for it permanently."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - the public way, inspect, is slow to import
    while frame is not None:
        if frame.f_code.co_name == "_find_and_load" and frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False
