"""A small HTTP/1.1 server for callbacks. Only this module imports h11.

It accepts POST requests on known paths, reads each body up to a limit, and responds with a status and no content. What
is sent to it decides neither how much memory it uses nor how long a connection stays open.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import h11

from ..errors import ConfigError
from ..forking import disconnect, restart_after_fork
from ..remedies import Option, Remedy
from ..reprs import short_repr

__all__ = ["HttpServer", "Limits", "ReceivedRequest"]

_READ_BYTES = 16 * 1024
"""Bytes that are parsed without a pause: a body in chunks of one byte is the slowest input."""
_MOST_DRAINED_BYTES = 4 * 1024 * 1024
_ANOTHER_PORT = Remedy("Use another port with {0}, or 0 for a free one.", (Option("port"),))


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection may use.

    Attributes:
        body_bytes: Size of the largest body.
        head_bytes: Size of the largest request line with its headers.
        request_s: Seconds until a request has to be complete, and also until its response has to be read.
        idle_s: Seconds until the next request has to begin.
        drain_s: Seconds for reading what a client still sends after it was refused.
        connections: How many connections may be open; further ones are closed at once.
        all_bodies_bytes: Size of all incomplete bodies together.
    """

    body_bytes: int = 1024 * 1024
    head_bytes: int = 16 * 1024
    request_s: float = 10.0
    idle_s: float = 15.0
    drain_s: float = 1.0
    connections: int = 256
    all_bodies_bytes: int = 32 * 1024 * 1024


@short_repr("path")
@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A complete POST request on a known path.

    Attributes:
        path: Its path, without a query.
        headers: Names in lower case and values, in the order of arrival. A name may be repeated.
        body: Its bytes as they arrived, without chunked framing.
    """

    path: str
    headers: list[tuple[str, str]] = field(repr=False)
    body: bytes = field(repr=False)


class _Refused(Exception):
    """A request that gets an error, after which the connection is closed."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(slots=True)
class _Memory:
    """What the incomplete bodies of all connections use together.

    Attributes:
        used_bytes: Their size.
    """

    used_bytes: int = 0


class HttpServer:
    """A server on one event loop.

    Args:
        respond: Returns the HTTP status for a request. It runs on the event loop and must not block. If it raises an
            exception, the status is 500.
        paths: The paths on which requests are accepted.
        host: Address or name to listen on.
        port: Port to listen on; 0 for a free one.
        limits: What one connection may use.
    """

    def __init__(
        self,
        respond: Callable[[ReceivedRequest], int],
        paths: Collection[str],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: Limits | None = None,
    ) -> None:
        self._respond = respond
        self._paths = frozenset(paths)
        self._host = host
        self._port = port
        self._limits = Limits() if limits is None else limits
        self._memory = _Memory()
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Leave the port and the connections to the parent."""
        server, self._server = self._server, None
        connections, self._connections = self._connections, {}
        if server is None:
            return
        sockets = [writer.get_extra_info("socket") for writer in connections]
        descriptors = [each.fileno() for each in (*server.sockets, *sockets) if each is not None]
        disconnect([descriptor for descriptor in descriptors if descriptor >= 0], server, connections)

    @property
    def port(self) -> int:
        """The port in use; the one that was asked for while the server does not run."""
        if self._server is None or not self._server.sockets:
            return self._port
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def is_running(self) -> bool:
        """Whether it accepts connections."""
        return self._server is not None

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: The port is in use, is not allowed or does not exist, or there is no such host.
        """
        if self._server is not None:
            return
        if not self._host:  # asyncio would listen on all addresses
            raise ConfigError("Invalid host '': expected an address or a name, such as 127.0.0.1.")
        if not 0 <= self._port <= 65535:
            raise ConfigError(f"Invalid port {self._port}: expected 1 to 65535, or 0 for a free port.")
        try:
            self._server = await asyncio.start_server(
                self._accept, self._host, self._port, limit=_READ_BYTES, backlog=128
            )
        except OSError as error:
            raise self._why(error) from None
        except ValueError:  # a name with an empty or an overlong part, or with a null character
            raise ConfigError(f"Cannot listen on {self._host!r}: it is not the name of a host.") from None

    def _why(self, error: OSError) -> ConfigError:
        where = f"port {self._port} of {self._host}"
        if error.errno == errno.EADDRINUSE:
            return ConfigError(f"Cannot listen on {where}: another program uses it.").with_remedy(_ANOTHER_PORT)
        if error.errno == errno.EACCES:
            return ConfigError(f"Cannot listen on {where}: this user may not open it.").with_remedy(_ANOTHER_PORT)
        return ConfigError(f"Cannot listen on {where}: {error.strerror or error}.")

    async def aclose(self) -> None:
        """Stop listening, and close all connections."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        tasks = [task for task in self._connections.values() if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None or len(self._connections) >= self._limits.connections:
            writer.transport.abort()
            return
        self._connections[writer] = asyncio.current_task()
        # Responses are tiny, and those that a client does not read must not fill the memory of the system.
        with contextlib.suppress(OSError):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _READ_BYTES)
        try:
            # Any client may break off, and a task that ends with an error would be logged by asyncio.
            with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
                await _Connection(
                    reader, writer,
                    limits=self._limits, memory=self._memory, paths=self._paths, respond=self._respond,
                ).serve()  # fmt: skip
        finally:
            del self._connections[writer]
            # `abort` and not `close`: a client that does not read would keep what was written, and so the connection.
            # What a client has to get was flushed before, by `_Connection._send`.
            writer.transport.abort()


class _Connection:
    """One connection, request after request."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        limits: Limits,
        memory: _Memory,
        paths: frozenset[str],
        respond: Callable[[ReceivedRequest], int],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._limits = limits
        self._memory = memory
        self._paths = paths
        self._respond = respond
        self._protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes)
        self._received = 0
        # Bytes in a buffer are written at once, so that what is left in it is what the client has not read.
        writer.transport.set_write_buffer_limits(high=0)

    async def serve(self) -> None:
        """Answer requests until one of both sides ends the connection."""
        while True:
            try:
                if not self._protocol.trailing_data[0] and not await self._is_used_again():
                    return
                body = bytearray()
                try:
                    async with asyncio.timeout(self._limits.request_s):
                        request = await self._next_request(body)
                finally:
                    self._memory.used_bytes -= len(body)
                if request is None:
                    return
                await self._send(self._status_of(request))
            except _Refused as refused:
                await self._refuse(refused.status)
                return
            except h11.RemoteProtocolError as error:
                await self._refuse(error.error_status_hint)
                return
            except TimeoutError:
                await self._refuse(408)
                return
            if self._protocol.our_state is not h11.DONE or self._protocol.their_state is not h11.DONE:
                await self._linger()
                return
            self._protocol.start_next_cycle()
            self._received = len(self._protocol.trailing_data[0])

    async def _is_used_again(self) -> bool:
        """Wait for the first bytes of a request; return whether there were any.

        An idle connection is closed without a 408, which a client could take for the response to its next request.
        """
        try:
            async with asyncio.timeout(self._limits.idle_s):
                return await self._read()
        except TimeoutError:
            return False

    def _status_of(self, request: ReceivedRequest) -> int:
        try:
            return self._respond(request)
        except Exception:  # noqa: BLE001 - one request must not end the server, and its sender learns nothing of the error
            return 500

    async def _read(self) -> bool:
        """Pass the next bytes to the parser; return whether there were any.

        Raises:
            _Refused: The request is longer than its limits, counted as it travels: framing in tiny chunks can be
                longer than the body, and takes time to parse.
        """
        data = await self._reader.read(_READ_BYTES)
        self._received += len(data)
        if self._received > self._limits.body_bytes + 2 * self._limits.head_bytes + _READ_BYTES:
            raise _Refused(413)
        self._protocol.receive_data(data)
        return bool(data)

    async def _next_request(self, body: bytearray) -> ReceivedRequest | None:
        """Read a request; None if the client has ended.

        Args:
            body: Where its body is collected. It counts towards the memory of the server.

        Raises:
            _Refused: The request is not accepted.
            h11.RemoteProtocolError: It is not HTTP.
        """
        head: h11.Request | None = None
        path = ""
        while True:
            event = self._protocol.next_event()
            if event is h11.NEED_DATA:
                if head is not None and self._protocol.they_are_waiting_for_100_continue:
                    # Only here, after the head was accepted: a body that is refused is not asked for.
                    self._write(h11.InformationalResponse(status_code=100, headers=[]))
                await self._read()
            elif isinstance(event, h11.Request):
                head, path = event, self._check(event)
            elif isinstance(event, h11.Data):
                body += event.data
                self._memory.used_bytes += len(event.data)
                if len(body) > self._limits.body_bytes:
                    raise _Refused(413)
                if self._memory.used_bytes > self._limits.all_bodies_bytes:
                    raise _Refused(503)  # the service sends it again later
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                headers = [(name.decode("ascii"), value.decode("latin-1")) for name, value in head.headers]
                return ReceivedRequest(path, headers, bytes(body))
            else:  # the connection was closed
                return None

    def _check(self, head: h11.Request) -> str:
        """Return the path of a request whose head is accepted; its body has not been read yet."""
        path = head.target.partition(b"?")[0].decode("latin-1")
        if path not in self._paths:
            raise _Refused(404)
        if head.method != b"POST":
            raise _Refused(405)
        names = [name for name, _ in head.headers]
        if b"content-length" in names and b"transfer-encoding" in names:
            # A proxy in front could end the request elsewhere than h11 does, and pass on another one inside of it.
            raise _Refused(400)
        lengths = [value for name, value in head.headers if name == b"content-length"]
        if any(int(value) > self._limits.body_bytes for value in lengths):
            raise _Refused(413)
        return path

    def _write(self, event: h11.Event) -> None:
        data = self._protocol.send(event)
        if data:
            self._writer.write(data)

    async def _send(self, status: int, *, closes: bool = False) -> None:
        """Send a response without content, and wait until the client's side has it."""
        headers = [] if status == 204 else [(b"content-length", b"0")]  # a 204 may not have one
        if status == 405:
            headers.append((b"allow", b"POST"))
        if closes:
            headers.append((b"connection", b"close"))
        self._write(h11.Response(status_code=status, headers=headers, reason=b""))
        self._write(h11.EndOfMessage())
        async with asyncio.timeout(self._limits.request_s):
            await self._writer.drain()

    async def _refuse(self, status: int) -> None:
        if self._protocol.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        await self._send(status, closes=True)
        await self._linger()

    async def _linger(self) -> None:
        """Read on for a moment: if a connection is closed with unread bytes, the client loses the response."""
        if self._writer.can_write_eof():
            self._writer.write_eof()
        drained = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.drain_s):
                while drained < _MOST_DRAINED_BYTES:
                    data = await self._reader.read(_READ_BYTES)
                    if not data:
                        return
                    drained += len(data)
