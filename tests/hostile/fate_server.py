"""A service whose every response is written by the test: WebSocket, REST and images on one machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from runware_nb import Client
from runware_nb.settings import Settings

QUESTIONS = {"getResponse", "getTaskDetails", "ping", "authentication"}
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc000000301010018dd8db0"
    "0000000049454e44ae426082"
)


class FateServer:
    """Records what it is sent, and responds as its functions say.

    Attributes:
        on_handshake: Returns the HTTP status that refuses a handshake, or None; it gets its number, from 1.
        on_task: Gives the WebSocket messages in response to a task; each an object, or text or bytes to send as it is.
        on_question: The same for `getResponse` and `getTaskDetails`.
        on_authentication: The same for the authentication; it gets the number of the connection, from 1.
        on_post: Gives status and body in response to the tasks of a POST.
        submitted: Tasks other than questions, in order of arrival.
        questions: Questions, in order of arrival.
        sockets: Open WebSockets.
        connections: How many WebSockets were opened.
        handshakes: How many were asked for, those that were refused included.
    """

    def __init__(self) -> None:
        self.on_handshake: Callable[[int], int | None] = lambda number: None
        self.on_task: Callable[[dict[str, Any]], list[Any]] = lambda task: [done(task)]
        self.on_question: Callable[[dict[str, Any]], list[Any]] = lambda question: [{"data": []}]
        self.on_authentication: Callable[[int], list[Any]] = lambda number: [CONFIRMED]
        self.on_post: Callable[[list[dict[str, Any]]], tuple[int, Any]] = lambda tasks: (200, done(tasks[0]))
        self.submitted: list[dict[str, Any]] = []
        self.questions: list[dict[str, Any]] = []
        self.sockets: list[ServerConnection] = []
        self.connections = 0
        self.handshakes = 0
        self.urls: dict[str, str] = {}

    @contextlib.asynccontextmanager
    async def running(self):
        http = await asyncio.start_server(self._http, "127.0.0.1", 0)
        async with serve(self._socket, "127.0.0.1", 0, process_request=self._handshake) as server:
            self.urls = {
                "ws_url": f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1",
                "rest_url": f"http://127.0.0.1:{http.sockets[0].getsockname()[1]}/v1",
            }
            try:
                yield self
            finally:
                http.close()

    def _handshake(self, socket: ServerConnection, _request: Any) -> Any:
        self.handshakes += 1
        status = self.on_handshake(self.handshakes)
        return None if status is None else socket.respond(status, "refused")

    async def push(self, *messages: Any) -> None:
        """Send messages over every open WebSocket."""
        for socket in list(self.sockets):
            for message in messages:
                await socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def cut(self) -> None:
        for socket in list(self.sockets):
            socket.transport.abort()

    async def _socket(self, socket: ServerConnection) -> None:
        self.connections += 1
        number = self.connections
        self.sockets.append(socket)
        with contextlib.suppress(ConnectionClosed):
            async for message in socket:
                for task in json.loads(message):
                    for response in self._respond(task, number):
                        if response is None:
                            await socket.close()
                            continue
                        await socket.send(response if isinstance(response, str | bytes) else json.dumps(response))
        self.sockets.remove(socket)

    def _respond(self, task: dict[str, Any], number: int) -> list[Any]:
        match task["taskType"]:
            case "authentication":
                return self.on_authentication(number)
            case "ping":
                return [{"data": [{"taskType": "ping", "pong": True}]}]
            case "getResponse" | "getTaskDetails":
                self.questions.append(task)
                return self.on_question(task)
        self.submitted.append(task)
        return self.on_task(task)

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            if head.startswith("GET"):
                self._write(writer, 200, PNG)
            else:
                (length,) = re.findall(r"(?i)content-length: (\d+)", head)
                tasks = json.loads(await reader.readexactly(int(length)))
                for task in tasks:
                    (self.questions if task["taskType"] in QUESTIONS else self.submitted).append(task)
                status, body = self.on_post(tasks)
                self._write(writer, status, body if isinstance(body, bytes) else json.dumps(body).encode())
            await writer.drain()
        writer.close()

    def _write(self, writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
        writer.write(f"HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


CONFIRMED = {"data": [{"taskType": "authentication", "connectionSessionUUID": "s"}]}


def done(task: dict[str, Any], **values: Any) -> dict[str, Any]:
    """Build the response with a task's one result."""
    return {"data": [result(task, **values)]}


def result(task: dict[str, Any], number: int = 0, **values: Any) -> dict[str, Any]:
    return {
        "taskType": task.get("originalType", "imageInference"), "taskUUID": task["taskUUID"],
        "imageUUID": f"00000000-0000-4000-8000-{number:012d}", "imageURL": f"http://127.0.0.1:1/{number}.png",
        "seed": 7 + number, "cost": 0.01, **values,
    }  # fmt: skip


def error(code: str, task: dict[str, Any] | None = None, **values: Any) -> dict[str, Any]:
    """Build the response with one error, which names a task or none."""
    name = {} if task is None else {"taskUUID": task["taskUUID"]}
    return {"errors": [{"code": code, "message": f"the service says {code}", **name, **values}]}


def connect(server: FateServer, **values: Any) -> Client:
    """Build a client of this server; it waits half a second for a confirmation."""
    return Client("k" * 24, settings=Settings(connect_timeout_s=0.5), **server.urls, **values)


def play(work: Callable[[FateServer], Awaitable[Any]], timeout_s: float = 30) -> Any:
    """Run a test against a server of its own, and give what it returns."""

    async def main() -> Any:
        async with FateServer().running() as server, asyncio.timeout(timeout_s):
            return await work(server)

    return asyncio.run(main())
