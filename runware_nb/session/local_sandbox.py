"""The sandbox as a child process, which ends with this process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..core.provider_secrets import ProviderSecret, declared_secrets
from ..core.redaction import HiddenText, redact_text
from ..errors import ConfigError, TransportError
from ..forking import disconnect, restart_after_fork
from ..providers.registry import packages
from ..remedies import Remedy, command
from ..settings import Key, child_environment

__all__ = ["LocalSandbox", "check_listening"]

_ANOTHER_SERVICE = Remedy(
    "Start it again, or set another service with {0}.",
    (command("connect", rest_url="URL", ws_url="URL", python='rw.connect(rest_url="URL", ws_url="URL")'),),
)
_RUNWARE_URLS = ("rest_url", "ws_url", "schemas_url")
_START_S = 30.0
_CONNECT_S = 1.0


class LocalSandbox:
    """A running sandbox.

    Args:
        arguments: For `python -m runware_nb.sandbox`.
        state_dir: Folder for what outlives it.
        on_end: Called on a thread when it ends without `stop`.

    Attributes:
        info: Its first line: URLs and key.

    Raises:
        ConfigError: It did not start; the message contains its error.
    """

    def __init__(
        self,
        arguments: Sequence[str] = (),
        *,
        state_dir: Path | None = None,
        on_end: Callable[[LocalSandbox], None] | None = None,
    ) -> None:
        command = [sys.executable, "-m", "runware_nb.sandbox", "--watch-stdin", *arguments]
        if state_dir is not None:
            command += ["--state-dir", str(state_dir)]
        # Its stdin is a pipe of ours: when this process ends, however it ends, the pipe closes and it ends too.
        self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment(),  # it does not need the user's keys, and its environment can be read while it runs
            start_new_session=os.name == "posix",  # Stop is meant for the cell, not for it
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        try:
            self.info: dict[str, Any] = json.loads(line)
        except ValueError:
            raise ConfigError(self._why()) from None
        del line  # it contains the key, and a traceback may show variables
        for name in ("api_key", *(variable.lower() for variable in declared_secrets.variables)):
            if name in self.info:
                self.info[name] = HiddenText(self.info[name], "<key from the sandbox>")
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        self._is_ours = True
        restart_after_fork(self)
        self._is_stopping = False
        if on_end is not None:
            threading.Thread(target=self._watch, args=(on_end,), name="runware sandbox", daemon=True).start()

    def restart_in_child(self) -> None:
        """Leave the sandbox to the parent: it ends with the parent, and is not this process's to stop."""
        self._is_ours = False
        if self._process.stdin is not None:
            disconnect([self._process.stdin.fileno()], self._process)

    @property
    def values(self) -> dict[str, Any]:
        """The settings that point a session at it, of all providers."""
        # Its first line names more URLs, such as that of its own media. A setting of the same name is another thing:
        # `media_url` is where the user's images are kept.
        of_packages = (setting.name for package in packages() for setting in package.settings if setting.is_url)
        urls = {name: self.info[name] for name in (*_RUNWARE_URLS, *of_packages) if name in self.info}
        return {"api_key": Key(self.info["api_key"], "the sandbox"), **urls}

    def secret(self, secret: ProviderSecret) -> Key | None:
        """Return its secret of a provider, which its first line names like the variable; None if it has none."""
        names = (variable.lower() for variable in secret.variables)
        value = next((self.info[name] for name in names if name in self.info), None)
        return None if value is None else Key(value, "the sandbox", secret)

    @property
    def is_running(self) -> bool:
        """Return whether the process is alive."""
        if self._is_ours:
            return self._process.poll() is None
        try:
            os.kill(self._process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    @property
    def end(self) -> str:
        """How the process ended, for a message."""
        return f"exit status {self._process.returncode}"

    def stop(self) -> None:
        """End the process. A forked process leaves its parent's sandbox alone."""
        if not self._is_ours:
            return
        self._is_stopping = True
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _watch(self, on_end: Callable[[LocalSandbox], None]) -> None:
        self._process.wait()
        if not self._is_stopping:
            on_end(self)

    def _why(self) -> str:
        _, errors = self._process.communicate(timeout=_START_S)
        text = errors.decode("utf-8", "replace").strip()
        if "No module named" in text:
            missing = text.rpartition("No module named")[2].strip().strip("'\"")
            return f"The sandbox needs {missing}: pip install 'runware-nb[sandbox]'"
        return redact_text(text.splitlines()[-1]) if text else "The sandbox did not start, and reported no reason."


def check_listening(url: str) -> None:
    """Raise at once if nothing listens at a URL on this machine, where a refused connection is certain knowledge.

    Raises:
        TransportError: The connection is refused.
    """
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "ws": 80}.get(parts.scheme, 443)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=_CONNECT_S).close()
    except ConnectionRefusedError as error:
        raise TransportError(
            f"Nothing listens at {parts.hostname}:{port}: the local service has ended. Nothing was sent.",
            may_have_arrived=False,
        ).with_remedy(_ANOTHER_SERVICE) from error
    except OSError:
        pass  # not certain: the client finds out
