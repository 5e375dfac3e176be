"""Stop in one line, also where the exception that ends the cell is Python's own.

`asyncio.wait_for(job)`, a TaskGroup and `asyncio.shield(job)` end a stopped cell with a CancelledError that asyncio
made, and Stop in the middle of our code raises a plain KeyboardInterrupt. Neither has a line of ours, and IPython would
print a traceback.
"""

from __future__ import annotations

import asyncio
import sys
from types import TracebackType
from typing import Any

__all__ = ["install_stop_line", "remove_stop_line"]

_STOPPED = "Stopped. %runware pending lists the runs that were sent and are not finished."
_OURS = __name__.partition(".")[0]
_LOOP = f"{_OURS}.loop"
"""Looked up when a cell ends badly: importing it here would make `%load_ext` slower."""


def install_stop_line(shell: Any) -> None:
    """Have a shell show Stop as one line; a handler that the user has set stays."""
    if not shell.custom_exceptions:
        shell.set_custom_exc((KeyboardInterrupt, asyncio.CancelledError), _show)
        shell.events.register("pre_run_cell", _forget)


def remove_stop_line(shell: Any) -> None:
    """Undo `install_stop_line`."""
    if _forget in shell.events.callbacks["pre_run_cell"]:
        shell.events.unregister("pre_run_cell", _forget)
        shell.set_custom_exc((), None)


def _forget(_: Any) -> None:
    loop = sys.modules.get(_LOOP)  # before it is loaded, nothing can have waited
    if loop is not None:
        loop.take_stop_sentence()  # of an earlier cell


def _show(
    shell: Any, kind: type[BaseException], error: BaseException, traceback: TracebackType, tb_offset: int | None = None
) -> list[str] | None:
    loop = sys.modules.get(_LOOP)
    sentence = None if loop is None else loop.take_stop_sentence()
    if not hasattr(error, "_render_traceback_"):
        is_ours = (
            _is_ours(traceback) if isinstance(error, KeyboardInterrupt) else loop is not None and loop.is_awaited()
        )
        if sentence is None and is_ours:
            sentence = _STOPPED
        if sentence is not None:
            error._render_traceback_ = lambda: [sentence]  # type: ignore[attr-defined]
    shell.showtraceback((kind, error, traceback), tb_offset=tb_offset, running_compiled_code=True)
    stb: list[str] | None = getattr(shell, "_last_traceback", None)
    return stb


def _is_ours(traceback: TracebackType | None) -> bool:
    while traceback is not None:
        if str(traceback.tb_frame.f_globals.get("__name__")).partition(".")[0] == _OURS:
            return True
        traceback = traceback.tb_next
    return False
