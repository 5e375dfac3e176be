"""The receiver of callbacks of a session, and the board that it posts to."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..errors import ConfigError
from ..forking import make_lock, restart_after_fork
from ..loop import background_loop, wait
from ..providers.registry import load_module
from ..providers.webhook import CallbackBoard, CallbackReport, Receiver, Route
from ..remedies import Option, Remedy
from ..settings import key_of_variable

if TYPE_CHECKING:
    from ..settings import Key
    from .providers import Providers

__all__ = ["Callbacks"]

_MOST_UNREAD = 1_000
_IS_RUNNING = Remedy("Stop it first with {0}.", (Option("stop"),))


class Callbacks:
    """Receives callbacks for all providers of a session on the background loop. It ends with the session.

    Args:
        providers: The services.
        board: What the providers wait on.

    Attributes:
        receiver: The receiver that `start` started last; None before, and after `stop`.
        left_out: Why callbacks of a service are not received, for each service that has no route.
    """

    def __init__(self, providers: Providers, board: CallbackBoard) -> None:
        self._providers = providers
        self._board = board
        self._lock = make_lock()
        self._unread: asyncio.Queue[CallbackReport] | None = None
        self._kept: weakref.WeakSet[Receiver] = weakref.WeakSet()
        self.receiver: Receiver | None = None
        self.left_out: tuple[str, ...] = ()
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Leave the receiver to the parent: the port is the parent's."""
        self.receiver, self._unread = None, None

    def start(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        public_url: str | None = None,
        secret_variables: Sequence[str] = (),
        services: Sequence[str] = (),
    ) -> Receiver:
        """Start a receiver.

        Args:
            port: Port to listen on; 0 for a free one.
            host: Address to listen on.
            public_url: URL under which the services reach it.
            secret_variables: Names of environment variables with the secrets that sign callbacks, in place of those
                that the providers declare. A callback that any of them signs is accepted.
            services: Names of the providers whose callbacks are received; empty for all that can have a route.

        Raises:
            ConfigError: One is running, the port cannot be used, a variable is not set, or no provider has callbacks.
        """
        with self._lock:
            if self.receiver is not None:
                raise ConfigError(
                    f"This session receives callbacks already, at {self.receiver.local_url}."
                ).with_remedy(_IS_RUNNING)
            receiver = Receiver(
                self._routes([_key_named(name) for name in secret_variables], services),
                board=self._board, host=host, port=port, public_url=public_url, on_report=self._add,
            )  # fmt: skip
            self._unread = asyncio.Queue(_MOST_UNREAD)
            self.receiver = receiver  # first, so that it can be stopped even if Stop ends this wait for it
            try:
                return receiver.open()
            except ConfigError:
                self.receiver = None
                raise

    def stop(self) -> bool:
        """Stop the receiver; return whether one was running. Polls go on."""
        with self._lock:
            receiver, self.receiver = self.receiver, None
        if receiver is None:
            return False
        receiver.close()
        return True

    def keep(self, receiver: Receiver) -> Receiver:
        """Return a receiver that code has built itself, and close it with the session if it is still open then."""
        self._kept.add(receiver)
        return receiver

    def close(self) -> None:
        """Stop all receivers of the session."""
        self.stop()
        for receiver in list(self._kept):
            receiver.close()

    def url_of(self, service: str, *, is_local: bool) -> str | None:
        """Return the URL for callbacks of a service; None if no receiver is running that it can reach.

        Args:
            service: Name of the provider's package.
            is_local: Whether the service is on this machine. Any other one cannot reach a receiver without a public
                URL, and would only be told about a port of this machine.
        """
        receiver = self.receiver
        if receiver is None or service not in receiver.services or not (is_local or receiver.is_public):
            return None
        return receiver.url_of(service)

    def follow(self) -> Iterator[CallbackReport]:
        """Yield what becomes of each callback from the start on, as it arrives. It ends with Stop only.

        Raises:
            WaitInterrupted: Stop was pressed.
        """
        unread = self._unread
        while unread is not None:
            yield wait(background_loop().submit(unread.get()))

    def _add(self, report: CallbackReport) -> None:
        """Keep a report for `follow`; if nothing reads them, the oldest is dropped. It runs on the background loop."""
        if self._unread is not None:
            if self._unread.full():
                self._unread.get_nowait()
            self._unread.put_nowait(report)

    def _routes(self, keys: Sequence[Key], services: Sequence[str]) -> list[Route]:
        able = [package for package in self._providers.packages if package.callbacks]
        names = [package.name for package in able]
        for name in services:
            if name not in names:
                raise ConfigError(
                    f"Invalid service {name!r:.80}: expected one that sends callbacks, such as {' or '.join(names)}. "
                    "No receiver was started."
                )
        routes, left_out = [], []
        for package in able:
            if services and package.name not in services:
                continue
            build = getattr(load_module(package.name, "callbacks"), package.callbacks)
            try:
                routes.append(build(self._providers.context(), keys))
            except ConfigError as error:  # one service without a secret must not stop the others
                left_out.append(f"Callbacks of {package.name} are not received. {error.problem}")
        self.left_out = tuple(left_out)
        if not routes:
            raise ConfigError(" ".join(left_out) or "No provider has callbacks, so there is nothing to receive.")
        return routes


def _key_named(variable: str) -> Key:
    """Return the secret in an environment variable.

    Raises:
        ConfigError: It is not set. The message does not repeat the name: it may be a secret that was typed there.
    """
    key = key_of_variable(variable)
    if key is None:
        raise ConfigError(
            "A name that was given for the environment variable with a webhook secret is not set, or is not a name. It "
            "is not repeated here, because it may be a secret. Set the variable to the secret, and pass its name. No "
            "receiver was started."
        ).with_remedy(Remedy("{0} takes the name.", (Option("secret_env", "NAME"),)))
    return key
