from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest


class Shell:
    """A real IPython shell, with the extension loaded and errors raised."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell

    @property
    def names(self) -> dict[str, Any]:
        return self.shell.user_ns

    def run(self, cell: str) -> Any:
        result = self.shell.run_cell(cell, store_history=True)
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            raise error
        return result.result


@contextlib.contextmanager
def open_shell(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """Open a shell in an environment, and undo whatever its cells change."""
    from IPython.core.interactiveshell import InteractiveShell

    from runware_nb.engine.front_end import ScriptFrontEnd, use_front_end
    from runware_nb.session import current

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(current, "_session", None)
    before = use_front_end(ScriptFrontEnd())
    InteractiveShell.clear_instance()
    made = InteractiveShell.instance()
    made.run_line_magic("load_ext", "runware_nb")
    yield Shell(made)
    if current._session is not None:
        current._session.close()
    use_front_end(before)
    made.history_manager.end_session()
    InteractiveShell.clear_instance()


@pytest.fixture
def shell(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """A shell connected to the sandbox through the environment, as a user's would be."""
    with open_shell(sandbox.environment, monkeypatch) as connected:
        yield connected
