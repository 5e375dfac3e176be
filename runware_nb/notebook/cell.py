"""The cell and the notebook of a task. Everything may be unknown, and nothing here raises."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..forking import make_lock
from ..session import CellContext
from ..settings import jupyter_session_name, notebook_name

__all__ = ["CellFinder"]


class CellFinder:
    """Describes where a task comes from.

    Args:
        shell: IPython's shell.
        notebook_folder: The folder that papermill's paths are relative to; the working directory by default.
    """

    def __init__(self, shell: Any, notebook_folder: Path | None = None) -> None:
        self._shell = shell
        self._notebook_folder = notebook_folder or Path()
        self._lock = make_lock()
        self._counted: tuple[int | None, int] = (None, 0)

    def __call__(self, *, counts: bool = True) -> CellContext:
        """Return a description of the cell that is running.

        Args:
            counts: Whether a run of this cell begins: the next call then reports a higher ordinal.
        """
        names = self._shell.user_ns
        count = self._execution_count(names)
        return CellContext(
            notebook=_notebook(names, self._notebook_folder),
            cell_id=_text(self._parent_metadata().get("cellId")),
            cell_source=self._source(),
            cell_ordinal=self._ordinal(count) if counts else None,
            execution_count=count,
            kernel=_text(getattr(getattr(getattr(self._shell, "kernel", None), "session", None), "session", None)),
        )

    @staticmethod
    def _execution_count(names: dict[str, Any]) -> int | None:
        history = names.get("In")  # its length is right on every IPython; shell.execution_count is not
        return len(history) - 1 if isinstance(history, list) and history else None

    def _source(self) -> str | None:
        history = getattr(getattr(self._shell, "history_manager", None), "input_hist_raw", None)
        return _text(history[-1]) if history else None

    def _parent_metadata(self) -> dict[str, Any]:
        try:
            metadata = self._shell.get_parent().get("metadata")
        except (AttributeError, LookupError):
            return {}
        return metadata if isinstance(metadata, dict) else {}

    def _ordinal(self, count: int | None) -> int | None:
        if count is None:
            return None
        with self._lock:
            same = self._counted[0] == count
            self._counted = (count, self._counted[1] + 1 if same else 0)
            return self._counted[1]


def _notebook(names: Mapping[str, Any], folder: Path) -> str | None:
    """Return the notebook's name.

    The front end's own variables come first. A kernel that papermill starts from a notebook inherits the variable of
    that other notebook, so papermill's parameters come before JPY_SESSION_NAME. nbclient and nbconvert pass no name to
    the kernel: there RUNWARE_NB_NOTEBOOK can give one.

    Source:
        papermill 2: `--inject-paths`, `--inject-input-path` and `--inject-output-path` add the parameters
        PAPERMILL_INPUT_PATH and PAPERMILL_OUTPUT_PATH to the notebook, relative to papermill's working directory; `-`
        stands for a pipe. ipykernel puts JPY_SESSION_NAME into `__session__`.
    """
    return (
        _text(names.get("__vsc_ipynb_file__"))
        or _papermill_path(names.get("PAPERMILL_INPUT_PATH"), folder)
        or _papermill_path(names.get("PAPERMILL_OUTPUT_PATH"), folder)
        or _text(names.get("__session__"))
        or _text(jupyter_session_name())
        or notebook_name()
    )


def _papermill_path(value: object, folder: Path) -> str | None:
    """Return papermill's path, whole if the file is there: other front ends name a notebook by its whole path."""
    text = _text(value)
    if text is None or text == "-":
        return None
    path = folder / text
    return str(path.resolve()) if os.path.isfile(path) else text  # noqa: PTH113 - Path.is_file may raise


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
