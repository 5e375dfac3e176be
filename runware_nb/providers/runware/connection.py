"""The way to the service: WebSocket where it can be had, else REST; opened once, on first use."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...errors import RunwareNBError, TransportError
from ...settings import Settings

if TYPE_CHECKING:
    from ...net.downloads import Downloads
    from .rest import RestTransport
    from .transport import Listener, Transport, TransportFactory

__all__ = ["Connection", "closed"]


def closed() -> TransportError:
    """Return the error of whoever waits at a client that was closed for no other reason."""
    return TransportError("the client was closed")


class Connection:
    """Opens transports when they are wanted, and closes them all.

    Args:
        settings: Which transport, and where to.
        listener: Hears what arrives.
        user_agent: How we call ourselves.
        on_notice: Told, in a sentence, that REST takes over.
        factory: Builds the transport for tasks, instead of the one that the settings name. REST does not take over
            from it.
    """

    def __init__(
        self,
        settings: Settings,
        listener: Listener,
        *,
        user_agent: str,
        on_notice: Callable[[str], None],
        factory: TransportFactory | None = None,
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._user_agent = user_agent
        self._on_notice = on_notice
        self._factory = factory
        self._transport: Transport | None = None
        self._rest: RestTransport | None = None
        self._downloads: Downloads | None = None
        self._opening: asyncio.Task[Transport] | None = None
        self._closed: TransportError | None = None

    async def ready(self) -> Transport:
        """Give an open transport; fall back to REST, once and saying so, where no WebSocket can be had.

        Raises:
            TransportError: The service cannot be reached.
            AuthenticationFailed: The key is refused.
        """
        self._check_open()
        if self._transport is None:
            # One attempt serves all who wait, and does not end with the first of them: otherwise, each task with a
            # short limit would make the others start again, and they could miss their own limits.
            if self._opening is None or self._opening.done():
                self._opening = asyncio.create_task(self._choose(), name="runware opening")
                self._opening.add_done_callback(_retrieve)
            opening = self._opening
            try:
                transport = await asyncio.shield(opening)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if opening.cancelled() and task is not None and not task.cancelling():  # by `aclose`
                    self._check_open()
                raise
            except RunwareNBError as error:
                raise copy.copy(error) from error  # each task notes its own outcome in it
            self._check_open()
            self._transport = transport
        return self._transport

    @property
    def is_lost(self) -> bool:
        """Return whether the transport in use had a connection, and it is interrupted."""
        return self._transport is not None and not self._transport.is_open

    def rest(self) -> RestTransport:
        """Return the REST transport, which uploads and streams whatever carries the tasks."""
        self._check_open()
        if self._rest is None:
            from .rest import RestTransport

            self._rest = RestTransport(self._settings, self._listener, user_agent=self._user_agent)
        return self._rest

    def downloads(self) -> Downloads:
        """Return what downloads files, over the connections of REST."""
        rest = self.rest()
        if self._downloads is None:
            from ...net.downloads import Downloads

            self._downloads = Downloads(rest.http)
        return self._downloads

    def _check_open(self) -> None:
        if self._closed is not None:
            raise copy.copy(self._closed) from None

    async def aclose(self, reason: TransportError) -> None:
        """Close all of them, for good.

        Args:
            reason: Error of each call that needs one of them from now on.
        """
        self._closed = reason
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await opening
        transports = {id(each): each for each in (self._transport, self._rest) if each is not None}
        self._transport = self._rest = None
        for transport in transports.values():
            await transport.aclose()

    async def _choose(self) -> Transport:
        if self._factory is not None:
            own = self._factory(self._settings, self._listener)
            try:
                await own.open()
            except BaseException:
                await own.aclose()
                raise
            return own
        if self._settings.transport == "rest":
            return self.rest()
        from ...net.websocket import HandshakeFailed
        from .websocket import WebSocketTransport

        transport = WebSocketTransport(self._settings, self._listener, user_agent=self._user_agent)
        try:
            await transport.open()
        except HandshakeFailed as error:
            await transport.aclose()
            self._on_notice(f"{error}; using REST instead")
            return self.rest()
        except BaseException:
            await transport.aclose()
            raise
        return transport


def _retrieve(opening: asyncio.Task[Transport]) -> None:
    """Mark an error as seen: whoever waits gets it, and nobody may be waiting any more."""
    if not opening.cancelled():
        opening.exception()
