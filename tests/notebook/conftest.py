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

    from runware_nb.engine.front_end import hooks
    from runware_nb.session import current as session_module

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(session_module, "_session", None)
    before = dict(vars(hooks))
    InteractiveShell.clear_instance()
    made = InteractiveShell.instance()
    made.run_line_magic("load_ext", "runware_nb")
    yield Shell(made)
    if session_module._session is not None:
        session_module._session.close()
    vars(hooks).update(before)
    made.history_manager.end_session()
    InteractiveShell.clear_instance()


@pytest.fixture
def shell(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """A shell connected to the sandbox through the environment, as a user's would be."""
    with open_shell(sandbox.environment, monkeypatch) as connected:
        yield connected
