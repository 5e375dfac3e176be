"""WebSocket: one connection, results pushed as they finish, lost and found again. The only importer of websockets."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import random
import time
from collections.abc import Callable, Sequence

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidProxy,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)

from ...core.items import Item
from ...core.redaction import host_of
from ...core.retry import falls_back_to_rest, reconnect_delay_s
from ...errors import AuthenticationFailed, ProtocolError, RunwareNBError, TaskError, TaskFailed, TransportError
from ...forking import disconnect, restart_after_fork
from ...net.proxies import Proxy, proxy_for
from ...net.trace import wire_trace
from ...settings import Settings
from .classify import task_error
from .frames import Frame, authentication_task, encode_frame, encode_task, names_task, parse_frame, ping_task
from .transport import Listener

__all__ = ["HandshakeFailed", "WebSocketTransport"]

_logger = logging.getLogger("runware_nb.websocket")
_logger.setLevel(logging.WARNING)  # below that the library writes out frames, and the first one holds the key
_chance = random.Random()  # noqa: S311 - spreads retries; our own, so that a user's random.seed() is left alone
_SILENCE_PINGS = 4
_LONGEST_GAP_S = 120.0
_CLOCK_JUMP_S = 5.0
_SHORT_LIFE_S = 5.0
_MOST_SHORT_LIVES = 5
_MOST_TASKS = 16
_LARGEST_FRAME = 256 * 1024
_CONNECT_ERRORS = (WebSocketException, OSError, EOFError, ValueError, ImportError)
"""What a failed connection raises: all of websockets' own exceptions; sockets, TLS and timeouts (all `OSError`); an
unusable proxy or host name; a missing package for SOCKS."""
_PASSING = (*_CONNECT_ERRORS, ProtocolError, TaskError)
"""What ends a try to connect without being a fault of this package. Only `AuthenticationFailed` is final among them."""


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
    """No WebSocket can be had here; REST may work."""


class _Handshake(connect):
    """A handshake that follows no redirects: the key is sent right after it, and must not reach another host."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Return the error itself, which is then raised."""
        return exc


class WebSocketTransport:
    """Tasks over one WebSocket.

    A supervisor task connects, authenticates, reads, and connects again when the connection is lost,
    resuming the session so that the service delivers what was missed.

    Args:
        settings: Address, key and bounds.
        listener: Hears what arrives.
        user_agent: How we call ourselves.
    """

    pushes = True

    def __init__(self, settings: Settings, listener: Listener, *, user_agent: str) -> None:
        self._settings = settings
        self._listener = listener
        self._user_agent = user_agent
        self._socket: ClientConnection | None = None
        self._session_uuid: str | None = None
        self._early: list[Frame] = []
        self._supervisor: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None] | None = None
        self._heard_at = 0.0
        self._is_closing = False
        self._outbox: list[str] = []
        self._sending: asyncio.Future[None] | None = None
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Leave the connection to the parent: a goodbye from here would end it there."""
        socket = self._socket
        if socket is not None:
            disconnect([socket.transport.get_extra_info("socket").fileno()], self, socket)

    @property
    def is_open(self) -> bool:
        """Return whether the connection is open. See `Transport.is_open`."""
        return self._socket is not None

    async def open(self) -> None:
        """Wait until there is a connection. See `Transport.open`."""
        if self._socket is not None:
            return
        if self._supervisor is None or self._supervisor.done():
            self._ready = asyncio.get_running_loop().create_future()
            self._supervisor = asyncio.create_task(self._supervise(), name="runware websocket")
        assert self._ready is not None
        await asyncio.shield(self._ready)

    async def send(
        self, tasks: Sequence[Item], *, timeout_s: float, on_leaving: Callable[[], None] | None = None
    ) -> None:
        """Send one frame. See `Transport.send`."""
        texts = [encode_task(task) for task in tasks]
        if self._socket is None:
            wait_s = min(timeout_s, self._settings.connect_timeout_s)
            try:
                await asyncio.wait_for(self.open(), wait_s)
            except TimeoutError as error:
                lost = TransportError(
                    f"{self._host} cannot be reached any more; tried for {wait_s:.0f} s, and sent nothing",
                    may_have_arrived=False,
                )
                lost.retryable = False  # the tries were made here
                raise lost from error
        if on_leaving is not None:
            on_leaving()  # what is in the outbox is sent even if nothing waits for it any more
        self._outbox += texts
        if self._sending is None:
            self._sending = asyncio.ensure_future(self._send_outbox())
            self._sending.add_done_callback(_retrieve)
        await asyncio.shield(self._sending)

    async def _send_outbox(self) -> None:
        """Send what has gathered in this turn of the loop: many tasks in one frame cost what one does.

        Raises:
            TransportError: The connection is lost; `may_have_arrived` tells whether anything left.
        """
        texts, self._outbox, self._sending = self._outbox, [], None
        has_left = False
        while texts:
            socket = self._socket
            if socket is None or socket.transport.is_closing():  # asyncio would log each write to a lost connection
                raise TransportError(f"the connection to {self._host} was lost", may_have_arrived=has_left)
            size = _frame_length(texts)
            text = f"[{','.join(texts[:size])}]"
            if wire_trace.is_on:
                wire_trace.note("sent", self._host, text, self._key)
            try:
                await socket.send(text)
            except (WebSocketException, OSError) as error:
                raise TransportError(f"the connection to {self._host} was lost while sending") from error
            texts, has_left = texts[size:], True

    async def aclose(self) -> None:
        """Close the connection."""
        self._is_closing = True
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await supervisor

    @property
    def _host(self) -> str:
        return host_of(self._settings.ws_url)

    @property
    def _key(self) -> str:
        """The key, read where it is used, so that no attribute or variable keeps it as text."""
        return self._settings.require_key().reveal()

    async def _supervise(self) -> None:
        """Keep a connection open until `close`. An unexpected error is raised for every caller that waits."""
        try:
            await self._keep_connected()
        except Exception as error:
            _logger.exception("an unexpected error ended the connection")
            self._give_up(TransportError(
                f"the connection to {self._host} ended by an unexpected error ({_reason(error)}); "
                "what was sent is in the log and can be collected later"))  # fmt: skip

    async def _keep_connected(self) -> None:
        """Connect, read, and connect again; see the class."""
        was_connected = False
        failures = short_lives = 0
        lost_at = time.monotonic()
        while not self._is_closing:
            try:
                socket = await self._connect()
            except AuthenticationFailed as error:
                # The service has stated that the key is wrong, so no further try can succeed. Tasks that were sent can
                # be collected with another key.
                self._give_up(error)
                return
            except Exception as error:
                # Anything else may pass: a fault of the server, a web page of a gateway, a network that is down. The
                # tasks in flight may be paid for, so the connection is opened again to collect them.
                if (denied := _access_denied(error, self._host)) is not None:
                    # The service itself refuses this user, over REST as well. Tasks that were sent before may be
                    # running and charged: nothing is known about them, and they stay collectable.
                    self._give_up(denied)
                    return
                if not isinstance(error, _PASSING):
                    _logger.exception("an unexpected error while connecting")
                # A permanent refusal ends the first attempts. After a connection has worked at this URL, the same
                # refusal is a passing fault of a gateway: paid tasks may be in flight, so it is waited out for a while.
                failures += 2 if _is_permanent(error) else 1
                if falls_back_to_rest(failed_handshakes=failures, was_connected=was_connected):
                    self._give_up(HandshakeFailed(self._failure(error), may_have_arrived=False))
                    return
                if was_connected and time.monotonic() - lost_at > _LONGEST_GAP_S:
                    self._give_up(TransportError(
                        f"{self._host} has been out of reach for {_LONGEST_GAP_S:.0f} s ({_reason(error)}); "
                        "what was sent is in the log and can be collected later"))  # fmt: skip
                    return
                await asyncio.sleep(reconnect_delay_s(failures, jitter=_chance.random()))
                continue
            failures = 0
            connected_at = time.monotonic()
            try:
                self._on_connected(socket, resumed=was_connected)
                was_connected = True
                await self._read(socket)
            except Exception:
                _logger.exception("an unexpected error ended the connection; it is opened again")
                was_connected = True
            finally:
                self._socket = None
                await socket.close()
            lost_at = time.monotonic()
            self._ready = asyncio.get_running_loop().create_future()
            self._listener.on_gap()
            # If a service accepts connections and ends them at once, there is a pause before the next try.
            short_lives = min(short_lives + 1, _MOST_SHORT_LIVES) if lost_at - connected_at < _SHORT_LIFE_S else 0
            await asyncio.sleep(reconnect_delay_s(short_lives - 1, jitter=_chance.random()))

    async def _connect(self) -> ClientConnection:
        proxy = proxy_for(self._settings.ws_url)
        socket = await _Handshake(
            self._settings.ws_url,
            proxy=None if proxy is None else proxy.url,
            open_timeout=self._settings.connect_timeout_s,
            close_timeout=0.3,
            ping_interval=None,  # the service's own ping is a task
            max_size=self._settings.max_frame_bytes,
            compression=None,  # frames are small, and media are compressed already
            user_agent_header=self._user_agent,
            logger=_logger,
        )
        try:
            await self._authenticate(socket)
        except BaseException:
            await socket.close()
            raise
        return socket

    async def _authenticate(self, socket: ClientConnection) -> None:
        await socket.send(encode_frame([authentication_task(self._key, self._session_uuid)]))
        self._early = []
        async with asyncio.timeout(self._settings.connect_timeout_s):
            while True:
                frame = self._parse(await socket.recv())
                self._early.append(frame)
                for item in frame.items:
                    if item.get("taskType") == "authentication":
                        self._session_uuid = item.get("connectionSessionUUID")
                        return
                for entry in frame.errors:
                    self._check_refusal(entry)

    def _check_refusal(self, entry: Item) -> None:
        """Raise the exception for an error about the authentication; ignore other errors.

        A resumed session may deliver errors of tasks first, and an announcement may come at any time: the confirmation
        can still follow them.

        Raises:
            AuthenticationFailed: The key is wrong. This is final.
            TaskError: The service could not confirm the key. It is asked again.
        """
        if names_task(entry) or entry.get("taskType") not in {None, "authentication"}:
            return
        error = task_error(entry)
        if isinstance(error, TaskFailed):
            return
        if not error.retryable:
            self._session_uuid = None  # the session may be what is refused; polls return what it would deliver
        raise error

    def _failure(self, error: BaseException) -> str:
        """Format why the WebSocket cannot be opened; a proxy is named, because it is the likely cause."""
        proxy: Proxy | None = proxy_for(self._settings.ws_url)
        if proxy is None:
            return f"the WebSocket to {self._host} cannot be opened ({_reason(error)})"
        return proxy.failure(self._host, _reason(error))

    def _on_connected(self, socket: ClientConnection, *, resumed: bool) -> None:
        self._socket = socket
        self._heard_at = time.monotonic()
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)
        if resumed:
            self._listener.on_resumed()
        frames, self._early = self._early, []
        for frame in frames:  # what a resumed session delivers before it confirms the key
            self._hand_on(frame)

    async def _read(self, socket: ClientConnection) -> None:
        """Hand on frames until the connection ends."""
        pinger = asyncio.create_task(self._ping(socket), name="runware ping")
        try:
            async for message in socket:
                self._heard_at = time.monotonic()
                try:
                    frame = self._parse(message)
                except ProtocolError as error:
                    self._listener.on_unreadable(error)
                except Exception as error:
                    _logger.exception("a frame could not be parsed")
                    self._listener.on_unreadable(_unexpected(error))
                else:
                    self._hand_on(frame)
        except ConnectionClosed:
            pass
        finally:
            pinger.cancel()

    def _hand_on(self, frame: Frame) -> None:
        """Pass a frame to the listener. An error in one frame does not stop the next ones."""
        try:
            self._listener.on_frame(frame)
        except Exception as error:
            _logger.exception("a frame could not be handled")
            self._listener.on_unreadable(_unexpected(error))

    async def _ping(self, socket: ClientConnection) -> None:
        """Show that we live, notice when the service does not, and when this machine has slept."""
        ping_s = self._settings.ping_s
        text = encode_frame([ping_task()])
        offset = time.time() - time.monotonic()
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(ping_s)
                if time.monotonic() - self._heard_at > _SILENCE_PINGS * ping_s:
                    await socket.close()
                    return
                jump = abs(time.time() - time.monotonic() - offset)
                if jump > _CLOCK_JUMP_S:
                    offset = time.time() - time.monotonic()
                    self._listener.on_resumed()
                await socket.send(text)

    def _parse(self, message: str | bytes) -> Frame:
        if wire_trace.is_on:
            wire_trace.note("received", self._host, message, self._key)
        return parse_frame(message, key=self._key)

    def _give_up(self, error: RunwareNBError) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()  # seen: whoever waits gets it too
        self._listener.on_broken(error)


def _frame_length(texts: Sequence[str]) -> int:
    """Say how many of these tasks go into the next frame: a few, and not too much of them."""
    size = 0
    for count, text in enumerate(texts[:_MOST_TASKS]):
        size += len(text)
        if size > _LARGEST_FRAME and count:
            return count
    return min(len(texts), _MOST_TASKS)


def _retrieve(sending: asyncio.Future[None]) -> None:
    """Mark an error as seen: whoever waits gets it, and nobody may be waiting any more."""
    if not sending.cancelled():
        sending.exception()


def _unexpected(error: Exception) -> ProtocolError:
    """Build the error for a frame that could not be handled. Which task it was for is unknown."""
    return ProtocolError(f"a response could not be handled ({type(error).__name__}: {error})")


def _access_denied(error: BaseException, host: str) -> AuthenticationFailed | None:
    """Return the error for a handshake that the service refused with 401 or 403; None for any other failure.

    A proxy that refuses its CONNECT raises `InvalidProxyStatus`: that says nothing about the service.
    """
    if not isinstance(error, InvalidStatus) or error.response.status_code not in _ACCESS_DENIED:
        return None
    status = error.response.status_code
    return AuthenticationFailed(
        f"{host} denied access at the WebSocket handshake (HTTP {status}). No task was sent over this connection. "
        "Check the key and the account. If a gateway of your network refuses WebSockets, set transport to rest",
        http_status=status,
    )


def _is_permanent(error: BaseException) -> bool:
    """Return whether the next handshake would fail in the same way."""
    fate = next((_FATES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _FATES), _Fate.TRANSIENT)
    if isinstance(error, ProtocolError):  # ours: a frame that cannot be parsed
        return False
    if fate is _Fate.STATUS and isinstance(error, InvalidStatus | InvalidProxyStatus):
        status = error.response.status_code
        if status >= 500:
            return status in _PERMANENT_SERVER_ERRORS
        return status not in _TRANSIENT_STATUSES
    return fate is _Fate.PERMANENT


def _reason(error: BaseException) -> str:
    """Format the cause of a failed connection, without the URLs that the library quotes with their passwords."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, InvalidURI | InvalidProxy):
        return error.msg
    if isinstance(error, ImportError):
        return "the package python-socks[asyncio] is not installed"
    if isinstance(error, InvalidStatus) and 300 <= error.response.status_code < 400:
        return f"it redirects to another URL (HTTP {error.response.status_code}), which is not followed"
    if isinstance(error, _PASSING):
        return str(error)[:200] or type(error).__name__
    return f"{type(error).__name__}: {error}"
