"""What every transport offers, and what it tells whoever listens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ...core.items import Item
from ...errors import ProtocolError, RunwareNBError
from ...settings import Settings
from .frames import Frame

__all__ = ["Listener", "Transport", "TransportFactory"]


class Listener(Protocol):
    """Who hears what arrives. Called on the transport's event loop; must not block."""

    def on_frame(self, frame: Frame) -> None:
        """A frame came in."""

    def on_gap(self) -> None:
        """The connection was lost; it is being made again."""

    def on_resumed(self) -> None:
        """The connection is back: what was in flight should be asked about."""

    def on_unreadable(self, error: ProtocolError) -> None:
        """A frame came in that nobody can read, so nobody knows whom it was for."""

    def on_broken(self, error: RunwareNBError) -> None:
        """The connection will not come back by itself."""


class Transport(Protocol):
    """A way to the service.

    Attributes:
        pushes: Whether answers arrive later through the listener. If not, all of them have arrived when
            `send` returns.
    """

    pushes: bool

    @property
    def is_open(self) -> bool:
        """Return whether a task could be sent now, as far as is known."""

    async def open(self) -> None:
        """Connect and authenticate.

        Raises:
            TransportError: The service cannot be reached.
            AuthenticationFailed: The key is refused.
        """

    async def send(
        self, tasks: Sequence[Item], *, timeout_s: float, on_leaving: Callable[[], None] | None = None
    ) -> None:
        """Send one frame; hold it back while a lost connection is made again.

        Args:
            tasks: In wire spelling.
            timeout_s: Longest time, in seconds.
            on_leaving: Called before the first byte of the tasks can leave. If sending is cancelled before that, the
                service has not received them. That is the only proof that a cancelled task was not charged.

        Raises:
            TransportError: It was not sent, or its answer was lost; `may_have_arrived` tells which.
            TaskError: The service refused it without naming a task.
            ProtocolError: The answer cannot be read.
        """

    async def aclose(self) -> None:
        """Close, in less than half a second."""


TransportFactory = Callable[[Settings, Listener], Transport]
"""Builds a transport that reports to the listener. A factory rather than an object, because the listener belongs to the
client, and because a forked process needs a transport of its own."""
