"""The sandbox as a child process of this one, and gone with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..forking import disconnect, restart_after_fork
from ..settings import Key

__all__ = ["LocalSandbox"]

_START_S = 30.0


class LocalSandbox:
    """A running sandbox.

    Args:
        arguments: For `python -m runware_nb.sandbox`.
        state_dir: Where it remembers what outlives it.

    Attributes:
        info: Its first line: addresses and key.

    Raises:
        ConfigError: It did not start; the message says why.
    """

    def __init__(self, arguments: Sequence[str] = (), *, state_dir: Path | None = None) -> None:
        command = [sys.executable, "-m", "runware_nb.sandbox", "--watch-stdin", *arguments]
        if state_dir is not None:
            command += ["--state-dir", str(state_dir)]
        # Its stdin is a pipe of ours: when this process ends, however it ends, the pipe closes and it ends too.
        self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=os.name == "posix",  # Stop is meant for the cell, not for it
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        try:
            self.info: dict[str, Any] = json.loads(line)
        except ValueError:
            raise ConfigError(self._why()) from None
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        self._is_ours = True
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Leave the sandbox to the parent: it ends with the parent, and is not this process's to stop."""
        self._is_ours = False
        if self._process.stdin is not None:
            disconnect([self._process.stdin.fileno()], self._process)

    @property
    def values(self) -> dict[str, Any]:
        """The settings that point a session at it."""
        key = Key(self.info["api_key"], "the sandbox")
        return {"api_key": key, **{name: self.info[name] for name in ("rest_url", "ws_url", "schemas_url")}}

    @property
    def is_running(self) -> bool:
        """Whether it is still there."""
        if self._is_ours:
            return self._process.poll() is None
        try:
            os.kill(self._process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def stop(self) -> None:
        """End it, in the process that started it."""
        if not self._is_ours:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _why(self) -> str:
        _, errors = self._process.communicate(timeout=_START_S)
        said = errors.decode("utf-8", "replace").strip()
        if "No module named" in said:
            missing = said.rpartition("No module named")[2].strip().strip("'\"")
            return f"the sandbox needs {missing}: pip install 'runware-nb[sandbox]'"
        return said.splitlines()[-1] if said else "the sandbox did not start and did not say why"
