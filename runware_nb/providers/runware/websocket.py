"""Tasks over a WebSocket: results are pushed as they finish, and a lost connection is opened again and resumed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Sequence

from ...core.items import Item
from ...core.redaction import host_of
from ...core.retry import falls_back_to_rest, reconnect_delay_s
from ...errors import AuthenticationFailed, ProtocolError, RunwareNBError, TaskError, TaskFailed, TransportError
from ...forking import disconnect, restart_after_fork
from ...net.proxies import proxy_for
from ...net.websocket import HandshakeFailed, WebSocket, handshake_message, open_websocket
from ...settings import Settings
from .classify import task_error
from .frames import Frame, authentication_task, encode_frame, encode_task, names_task, parse_frame, ping_task
from .transport import Listener

__all__ = ["WebSocketTransport"]

_logger = logging.getLogger("runware_nb.websocket")
_chance = random.Random()  # noqa: S311 - spreads retries; our own, so that a user's random.seed() is left alone
_SILENCE_PINGS = 4
_LONGEST_GAP_S = 120.0
_CLOCK_JUMP_S = 5.0
_SHORT_LIFE_S = 5.0
_MOST_SHORT_LIVES = 5
_MOST_TASKS = 16
_LARGEST_FRAME = 256 * 1024
_PASSING = (TransportError, TimeoutError, ProtocolError, TaskError)
"""What ends a try to connect without being a fault of this package. Only `AuthenticationFailed` is final among them."""


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
        self._host = host_of(settings.ws_url)
        self._socket: WebSocket | None = None
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
            socket.leave_to_parent()
            disconnect((), self)

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
            if socket is None:
                raise TransportError(f"the connection to {self._host} was lost", may_have_arrived=has_left)
            size = _frame_length(texts)
            try:
                await socket.send(f"[{','.join(texts[:size])}]")
            except TransportError as error:
                error.may_have_arrived |= has_left  # the error is for all texts, and earlier ones have left
                raise
            texts, has_left = texts[size:], True

    async def aclose(self) -> None:
        """Close the connection."""
        self._is_closing = True
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await supervisor

    def _key(self) -> str:
        """Return the key where it is used, so that no attribute or variable keeps it as text."""
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
                # The service has stated that the key is wrong, or has denied access at the handshake, as it would over
                # REST: no further try can succeed. Tasks that were sent before may be running and charged. Nothing is
                # known about them, and they can be collected with another key.
                self._give_up(error)
                return
            except Exception as error:
                # Anything else may pass: a fault of the server, a web page of a gateway, a network that is down. The
                # tasks in flight may be paid for, so the connection is opened again to collect them.
                if not isinstance(error, _PASSING):
                    _logger.exception("an unexpected error while connecting")
                # A permanent refusal ends the first attempts. After a connection has worked at this URL, the same
                # refusal is a passing fault of a gateway: paid tasks may be in flight, so it is waited out for a while.
                failures += 2 if isinstance(error, HandshakeFailed) and error.is_permanent else 1
                if falls_back_to_rest(failed_handshakes=failures, was_connected=was_connected):
                    self._give_up(error if isinstance(error, HandshakeFailed) else self._unusable(error))
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
                await socket.aclose()
            lost_at = time.monotonic()
            self._ready = asyncio.get_running_loop().create_future()
            self._listener.on_gap()
            # If a service accepts connections and ends them at once, there is a pause before the next try.
            short_lives = min(short_lives + 1, _MOST_SHORT_LIVES) if lost_at - connected_at < _SHORT_LIFE_S else 0
            await asyncio.sleep(reconnect_delay_s(short_lives - 1, jitter=_chance.random()))

    async def _connect(self) -> WebSocket:
        socket = await open_websocket(
            self._settings.ws_url,
            user_agent=self._user_agent,
            connect_timeout_s=self._settings.connect_timeout_s,
            max_bytes=self._settings.max_frame_bytes,
            key=self._key,
        )
        try:
            await self._authenticate(socket)
        except BaseException:
            await socket.aclose()
            raise
        return socket

    async def _authenticate(self, socket: WebSocket) -> None:
        await socket.send(encode_frame([authentication_task(self._key(), self._session_uuid)]), is_traced=False)
        self._early = []
        async with asyncio.timeout(self._settings.connect_timeout_s):
            while True:
                frame = parse_frame(await socket.receive(), key=self._key())
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

    def _unusable(self, error: Exception) -> HandshakeFailed:
        """Build the error for a connection that opens, and then cannot be used."""
        reason = _reason(error)
        return HandshakeFailed(handshake_message(self._host, reason, proxy_for(self._settings.ws_url)), reason=reason)

    def _on_connected(self, socket: WebSocket, *, resumed: bool) -> None:
        self._socket = socket
        self._heard_at = time.monotonic()
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)
        if resumed:
            self._listener.on_resumed()
        frames, self._early = self._early, []
        for frame in frames:  # what a resumed session delivers before it confirms the key
            self._hand_on(frame)

    async def _read(self, socket: WebSocket) -> None:
        """Hand on frames until the connection ends."""
        pinger = asyncio.create_task(self._ping(socket), name="runware ping")
        try:
            while True:
                message = await socket.receive()
                self._heard_at = time.monotonic()
                try:
                    frame = parse_frame(message, key=self._key())
                except ProtocolError as error:
                    self._listener.on_unreadable(error)
                except Exception as error:
                    _logger.exception("a frame could not be parsed")
                    self._listener.on_unreadable(_unexpected(error))
                else:
                    self._hand_on(frame)
        except TransportError:  # the connection has ended
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

    async def _ping(self, socket: WebSocket) -> None:
        """Show that we live, notice when the service does not, and when this machine has slept."""
        ping_s = self._settings.ping_s
        text = encode_frame([ping_task()])
        offset = time.time() - time.monotonic()
        with contextlib.suppress(TransportError):
            while True:
                await asyncio.sleep(ping_s)
                if time.monotonic() - self._heard_at > _SILENCE_PINGS * ping_s:
                    await socket.aclose()
                    return
                jump = abs(time.time() - time.monotonic() - offset)
                if jump > _CLOCK_JUMP_S:
                    offset = time.time() - time.monotonic()
                    self._listener.on_resumed()
                await socket.send(text, is_traced=False)

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


def _reason(error: Exception) -> str:
    """Format why a try to connect failed."""
    if isinstance(error, HandshakeFailed):
        return error.reason
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, _PASSING):
        return str(error)[:200] or type(error).__name__
    return f"{type(error).__name__}: {error}"
