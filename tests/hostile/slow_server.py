"""A server in a thread of its own whose responses are written by a script: slow, endless, too large, or none at all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Self

import httpx
import pytest

NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture(autouse=True)
def no_certificates(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust nothing over TLS, except in tests with a certificate: reading the system's takes longer than most tests."""
    if "certificate" not in request.fixturenames:
        monkeypatch.setattr(httpx, "create_ssl_context", lambda: NO_CERTIFICATES)


Script = Callable[["Exchange"], Awaitable[None]]


class Exchange:
    """One connection: its request, if one was read, and the way to respond."""

    def __init__(self, server: SlowServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.path = ""
        self.head = b""
        self.body = b""

    async def read_request(self) -> None:
        self.head = await self.reader.readuntil(b"\r\n\r\n")
        self.path = self.head.split(b" ")[1].decode()
        for line in self.head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                self.body = await self.reader.readexactly(int(value))
        self.server.requests.append(self.head + self.body)

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def respond(self, body: Any, *, status: str = "200 OK", **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Length": str(len(data)), **{name.replace("_", "-"): text for name, text in headers.items()}}
        lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        await self.write(f"HTTP/1.1 {status}\r\n{lines}Connection: close\r\n\r\n".encode() + data)

    async def drip(self, data: bytes = b" ", *, pause_s: float = 0.02) -> None:
        """Send the same bytes again and again, so that no single read ever waits for long."""
        while True:
            await self.write(data)
            await asyncio.sleep(pause_s)


class SlowServer:
    """Runs a script for each connection.

    Attributes:
        connections: How many connections were accepted.
        received: How many bytes the scripts can have seen, in each connection that sent any.
        requests: Heads and bodies of the requests that scripts have read.
    """

    def __init__(self, script: Script, *, host: str = "127.0.0.1") -> None:
        self.script = script
        self.connections = 0
        self.requests: list[bytes] = []
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._start(host), self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.host = f"[{host}]" if ":" in host else host

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def urls(self) -> dict[str, str]:
        return {"rest_url": f"{self.url}/v1", "ws_url": f"ws://{self.host}:{self.port}/v1"}

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _start(self, host: str) -> asyncio.Server:
        return await asyncio.start_server(self._on_connection, host, 0)

    async def _stop(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self.script(Exchange(self, reader, writer))
        finally:
            writer.close()


async def silent(exchange: Exchange) -> None:
    """Accept a connection and never send anything."""
    await asyncio.sleep(60)


def http(respond: Callable[[Exchange], Awaitable[None]]) -> Script:
    """Read a request, then respond."""

    async def script(exchange: Exchange) -> None:
        await exchange.read_request()
        await respond(exchange)

    return script


class SlowSocket:
    """A WebSocket server whose responses come from a function: given the tasks of a frame, what to send back.

    Without one, or for None, it never responds.
    """

    def __init__(self, answer: Callable[[list[dict[str, Any]]], Any] | None = None) -> None:
        self.frames: list[Any] = []
        self._answer = answer
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        self.port: int = next(iter(self._server.sockets)).getsockname()[1]

    @property
    def urls(self) -> dict[str, str]:
        return {"rest_url": "http://127.0.0.1:9/v1", "ws_url": f"ws://127.0.0.1:{self.port}/v1"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        async def stop() -> None:
            self._server.close()
            await self._server.wait_closed()

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> Any:
        from websockets.asyncio.server import serve

        return await serve(self._on_connection, "127.0.0.1", 0, close_timeout=0.1)

    async def _on_connection(self, socket: Any) -> None:
        async for message in socket:
            tasks = json.loads(message)
            self.frames.append(tasks)
            answer = None if self._answer is None else self._answer(tasks)
            if answer is not None:
                await socket.send(json.dumps(answer))


def authenticates(tasks: list[dict[str, Any]]) -> Any:
    """Accept the key, and respond to nothing else."""
    if tasks[0]["taskType"] == "authentication":
        return {"data": [{"taskType": "authentication", "connectionSessionUUID": "s"}]}
    return None
