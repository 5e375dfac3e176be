"""WebSocket for every service: one connection, and what its failures mean. Only this module imports websockets."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidProxy,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)

from ..core.redaction import host_of
from ..errors import AuthenticationFailed, TransportError
from ..forking import disconnect
from .proxies import Proxy, proxy_for
from .trace import wire_trace

__all__ = ["HandshakeFailed", "WebSocket", "handshake_error", "handshake_message", "open_websocket"]

_logger = logging.getLogger("runware_nb.websocket")
_logger.setLevel(logging.WARNING)  # below that the library writes out frames, and the first one holds the key
_CLOSE_TIMEOUT_S = 0.3
_CONNECT_ERRORS = (WebSocketException, OSError, EOFError, ValueError, ImportError)
"""What a failed handshake raises: all of websockets' own exceptions; sockets, TLS and timeouts (all `OSError`); an
unusable proxy or host name; a missing package for SOCKS."""


class _Fate(enum.Enum):
    """What the failure of a handshake means for the next one."""

    TRANSIENT = "the next handshake may succeed"
    PERMANENT = "the next handshake would fail as well; REST may work"
    STATUS = "the HTTP status decides"


_FATES = {
    "InvalidURI": _Fate.PERMANENT,
    "InvalidProxy": _Fate.PERMANENT,
    "ImportError": _Fate.PERMANENT,  # the package for SOCKS proxies
    "ValueError": _Fate.PERMANENT,  # a host name that cannot be encoded
    "InvalidStatus": _Fate.STATUS,
    "InvalidProxyStatus": _Fate.STATUS,
    # A server or gateway that does not speak WebSocket as the standard has it.
    "InvalidHeader": _Fate.PERMANENT,
    "InvalidHeaderFormat": _Fate.PERMANENT,
    "InvalidHeaderValue": _Fate.PERMANENT,
    "InvalidMethod": _Fate.PERMANENT,
    "InvalidOrigin": _Fate.PERMANENT,
    "InvalidProtocol": _Fate.PERMANENT,
    "InvalidUpgrade": _Fate.PERMANENT,
    "NegotiationError": _Fate.PERMANENT,
    "DuplicateParameter": _Fate.PERMANENT,
    "InvalidParameterName": _Fate.PERMANENT,
    "InvalidParameterValue": _Fate.PERMANENT,
    "SecurityError": _Fate.PERMANENT,
    "RequestLineTooLong": _Fate.PERMANENT,
    "StatusLineTooLong": _Fate.PERMANENT,
    "HeaderLineTooLong": _Fate.PERMANENT,
    "TooManyHeaders": _Fate.PERMANENT,
    # A connection that broke, or bytes that a restarting gateway cut off.
    "WebSocketException": _Fate.TRANSIENT,
    "InvalidHandshake": _Fate.TRANSIENT,
    "InvalidMessage": _Fate.TRANSIENT,
    "ProxyError": _Fate.TRANSIENT,
    "InvalidProxyMessage": _Fate.TRANSIENT,
    "ConnectionClosed": _Fate.TRANSIENT,
    "ConnectionClosedOK": _Fate.TRANSIENT,
    "ConnectionClosedError": _Fate.TRANSIENT,
    "ProtocolError": _Fate.TRANSIENT,
    "PayloadTooBig": _Fate.TRANSIENT,
    "TooManyFragments": _Fate.TRANSIENT,
    "InvalidState": _Fate.TRANSIENT,
    "ConcurrencyError": _Fate.TRANSIENT,
}
"""What each exception of websockets, by its name, means for the next handshake. Names, because older versions of the
library lack some of the classes. Anything else that ends a handshake (`OSError`, a refusal in a frame) may pass."""
_ACCESS_DENIED = {401, 403}
_TRANSIENT_STATUSES = {408, 425, 429}
_PERMANENT_SERVER_ERRORS = {501, 505}


class HandshakeFailed(TransportError):
    """No WebSocket could be opened. Nothing was sent over it.

    Attributes:
        reason: The cause, without the host.
        is_permanent: Whether the next handshake would fail in the same way.
    """

    def __init__(self, message: str, *, reason: str = "", is_permanent: bool = False) -> None:
        super().__init__(message, may_have_arrived=False)
        self.reason = reason
        self.is_permanent = is_permanent


class _Handshake(connect):
    """A handshake that follows no redirects: the key is sent right after it, and must not reach another host."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Return the error itself, which is then raised."""
        return exc


class WebSocket:
    """One open connection.

    Args:
        socket: Of the library.
        host: Of the service, for messages and the trace.
        key: Returns the key of the service when it is needed, so that no attribute keeps it.
    """

    __slots__ = ("_host", "_key", "_socket")

    def __init__(self, socket: ClientConnection, host: str, key: Callable[[], str]) -> None:
        self._socket = socket
        self._host = host
        self._key = key

    async def send(self, text: str, *, is_traced: bool = True) -> None:
        """Send a frame.

        Args:
            text: The frame.
            is_traced: Whether the trace shows it.

        Raises:
            TransportError: The connection has ended. `may_have_arrived` is False if it had ended before.
        """
        if self._socket.transport.is_closing():  # asyncio would log each write to a lost connection
            raise TransportError(f"the connection to {self._host} was lost", may_have_arrived=False)
        if is_traced and wire_trace.is_on:
            wire_trace.note("sent", self._host, text, self._key())
        try:
            await self._socket.send(text)
        except (WebSocketException, OSError) as error:
            raise TransportError(f"the connection to {self._host} was lost while sending") from error

    async def receive(self) -> str | bytes:
        """Wait for the next message.

        Raises:
            TransportError: The connection has ended.
        """
        try:
            message = await self._socket.recv()
        except ConnectionClosed as error:
            raise TransportError(_reason(error)) from error
        if wire_trace.is_on:
            wire_trace.note("received", self._host, message, self._key())
        return message

    async def aclose(self) -> None:
        """Close the connection, in at most 0.3 s."""
        await self._socket.close()

    def leave_to_parent(self) -> None:
        """Leave the connection to the process that this one was forked from: a goodbye from here would end it there."""
        disconnect([self._socket.transport.get_extra_info("socket").fileno()], self._socket)


async def open_websocket(
    url: str, *, user_agent: str, connect_timeout_s: float, max_bytes: int, key: Callable[[], str]
) -> WebSocket:
    """Open a connection, through the proxy that applies to the URL.

    Args:
        url: With the scheme ws or wss. Redirects are not followed.
        user_agent: How we call ourselves.
        connect_timeout_s: Longest time until it is open, in seconds.
        max_bytes: Largest message accepted.
        key: See `WebSocket`. The handshake does not carry it.

    Raises:
        AuthenticationFailed: The service denied access (HTTP 401 or 403).
        HandshakeFailed: It could not be opened for any other reason.
    """
    proxy = proxy_for(url)
    try:
        socket = await _Handshake(
            url,
            proxy=None if proxy is None else proxy.url,
            open_timeout=connect_timeout_s,
            close_timeout=_CLOSE_TIMEOUT_S,
            ping_interval=None,  # a service may have a ping of its own, as Runware has
            max_size=max_bytes,
            compression=None,  # frames are small, and media are compressed already
            user_agent_header=user_agent,
            logger=_logger,
        )
    except _CONNECT_ERRORS as error:
        failure = handshake_error(error, url, proxy)
    else:
        return WebSocket(socket, host_of(url), key)
    raise failure  # without its cause: frames of the library hold the URL of the proxy with its password


def handshake_error(error: Exception, url: str, proxy: Proxy | None = None) -> AuthenticationFailed | HandshakeFailed:
    """Translate what a handshake raised.

    A proxy that refuses its CONNECT raises `InvalidProxyStatus`: that says nothing about the service.

    Args:
        error: Of websockets, or one that it lets through.
        url: Where the connection was to go.
        proxy: What it was to go through; it is named, because it is the likely cause.
    """
    host = host_of(url)
    if isinstance(error, InvalidStatus) and error.response.status_code in _ACCESS_DENIED:
        status = error.response.status_code
        return AuthenticationFailed(
            f"{host} denied access at the WebSocket handshake (HTTP {status}). No task was sent over this connection. "
            "Check the key and the account. If a gateway of your network refuses WebSockets, set transport to rest",
            http_status=status,
        )
    reason = _reason(error)
    message = handshake_message(host, reason, proxy)
    return HandshakeFailed(message, reason=reason, is_permanent=_is_permanent(error))


def handshake_message(host: str, reason: str, proxy: Proxy | None) -> str:
    """Format why a WebSocket cannot be opened."""
    if proxy is None:
        return f"the WebSocket to {host} cannot be opened ({reason})"
    return proxy.failure(host, reason)


def _is_permanent(error: Exception) -> bool:
    """Return whether the next handshake would fail in the same way."""
    fate = next((_FATES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _FATES), _Fate.TRANSIENT)
    if fate is _Fate.STATUS and isinstance(error, InvalidStatus | InvalidProxyStatus):
        status = error.response.status_code
        if status >= 500:
            return status in _PERMANENT_SERVER_ERRORS
        return status not in _TRANSIENT_STATUSES
    return fate is _Fate.PERMANENT


def _reason(error: Exception) -> str:
    """Format the cause of a failed connection, without the URLs that the library quotes with their passwords."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, InvalidURI | InvalidProxy):
        return error.msg
    if isinstance(error, ImportError):
        return "the package python-socks[asyncio] is not installed"
    if isinstance(error, InvalidStatus) and 300 <= error.response.status_code < 400:
        return f"it redirects to another URL (HTTP {error.response.status_code}), which is not followed"
    return str(error)[:200] or type(error).__name__
