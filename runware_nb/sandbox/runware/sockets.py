"""The WebSocket side: authentication first, results pushed, sessions resumed."""

from __future__ import annotations

import asyncio
import collections
import json
import uuid
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from ..core.connections import CutConnection
from .delivery import dump
from .windows import BUFFER_S, IDLE_S

if TYPE_CHECKING:
    from .service import RunwareService

__all__ = ["Sessions", "serve_socket"]

Json = dict[str, Any]


class Session:
    """One client across its connections.

    Attributes:
        uuid: Its connectionSessionUUID.
        socket: The connection of the moment; None in a gap.
        refusals: How its next authentications are refused, one by one.
    """

    def __init__(self, service: RunwareService) -> None:
        self.uuid = str(uuid.uuid4())
        self.socket: WebSocket | None = None
        self.refusals: collections.deque[str] = collections.deque()
        self._service = service
        self._undelivered: collections.deque[tuple[float, str]] = collections.deque()

    async def push(self, frame: Json) -> None:
        """Send a frame, or keep it for the next connection."""
        text = _frame_text(frame)
        socket = self.socket
        if frame.get("_cut"):
            self.socket = None
            _break_off(socket, text)
            return
        if socket is not None and socket.application_state is WebSocketState.CONNECTED:
            try:
                await socket.send_text(text)
                return
            except (RuntimeError, WebSocketDisconnect):
                self.socket = None
        self._undelivered.append((self._service.clock.now(), text))

    async def resume(self, socket: WebSocket) -> None:
        """Take over a connection and deliver what was kept, if it is not too old."""
        self.socket = socket
        oldest = self._service.clock.now() - self._service.clock.real_s(BUFFER_S)
        while self._undelivered:
            kept_at, text = self._undelivered.popleft()
            if kept_at >= oldest:
                await socket.send_text(text)


def _break_off(socket: WebSocket | None, text: str) -> None:
    """Announce a whole frame, send half of it, and break the connection."""
    transport = socket.scope.get("sandbox.transport") if socket is not None else None
    if transport is not None:
        body = text.encode()
        transport.write(b"\x81\x7f" + len(body).to_bytes(8, "big") + body[: len(body) // 2])
        transport.abort()


class Sessions:
    """All sessions of a server, by UUID."""

    def __init__(self, service: RunwareService) -> None:
        self._service = service
        self._by_uuid: dict[str, Session] = {}

    def find_or_make(self, session_uuid: Any) -> Session:
        """Resume a known session, or begin one under a new UUID."""
        known = self._by_uuid.get(session_uuid) if isinstance(session_uuid, str) else None
        if known is not None:
            return known
        made = Session(self._service)
        self._by_uuid[made.uuid] = made
        return made


class _IdleWatch:
    """Closes a connection that has been silent for too long; one timer, not one for each message."""

    def __init__(self, socket: WebSocket, idle_s: float) -> None:
        self._socket = socket
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._closing: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(idle_s, self._look)

    def heard(self) -> None:
        """Note a message."""
        self._heard_at = self._loop.time()

    def end(self) -> None:
        """Stop watching."""
        self._timer.cancel()

    def _look(self) -> None:
        left = self._heard_at + self._idle_s - self._loop.time()
        if left <= 0:
            self._closing = asyncio.ensure_future(self._socket.close(1000, "idle"))
        else:
            self._timer = self._loop.call_later(left, self._look)


async def serve_socket(socket: WebSocket, service: RunwareService, sessions: Sessions) -> None:
    """Speak with one connection until it ends."""
    await socket.accept()
    watch = _IdleWatch(socket, service.clock.real_s(IDLE_S))
    session: Session | None = None
    try:
        while True:
            text = await socket.receive_text()
            watch.heard()
            tasks = _parse(text)
            if tasks is None:
                error = {"code": "invalidRequest", "message": "A message is a JSON array of tasks."}
                await socket.send_text(_frame_text({"errors": [error]}))
                continue
            for task in tasks:
                if session is None or task.get("taskType") == "authentication":
                    session = await _authenticate(socket, task, service, sessions)
                    if session is None:
                        return
                else:
                    await service.handle(task, session.push, waits=False)
    except CutConnection as cut:
        if session is not None:
            session.refusals.extend(cut.refusals)
        await socket.close(1012)
    except (WebSocketDisconnect, RuntimeError):
        return
    finally:
        watch.end()
        if session is not None and session.socket is socket:
            session.socket = None


async def _authenticate(socket: WebSocket, task: Json, service: RunwareService, sessions: Sessions) -> Session | None:
    if task.get("taskType") != "authentication" or task.get("apiKey") != service.api_key:
        missing = "apiKey" not in task
        error = {
            "code": "missingApiKey" if missing else "invalidApiKey",
            "message": "Invalid API key. Get one at https://runware.ai/signup",
            "parameter": "apiKey",
            "taskType": "authentication",
        }
        await socket.send_text(_frame_text({"errors": [error]}))
        await socket.close(1008)
        return None
    session = sessions.find_or_make(task.get("connectionSessionUUID"))
    if session.refusals:
        await socket.send_text(_refusal_text(session.refusals.popleft()))
        await socket.close(1013)
        return None
    answer = {"taskType": "authentication", "connectionSessionUUID": session.uuid}
    await socket.send_text(_frame_text({"data": [answer]}))
    await session.resume(socket)
    return session


def _refusal_text(how: str) -> str:
    """Format a refusal of an authentication that says nothing about the key."""
    if how in _ODD_REFUSALS:
        return _ODD_REFUSALS[how]
    error = {"code": how, "message": "A fault was ordered.", "taskType": "authentication"}
    return _frame_text({"errors": [error]})


def _parse(text: str) -> list[Json] | None:
    try:
        tasks = json.loads(text)
    except ValueError:
        return None
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        return None
    return tasks


def _frame_text(frame: Json) -> str:
    """Write a frame: an errors frame carries no data, and nothing of ours."""
    if "_raw" in frame:
        return str(frame["_raw"])
    errors = frame.get("errors")
    if errors and errors[0]["code"] == "html":
        return _HTML
    kept = {"errors": errors} if errors and not frame.get("data") else frame
    return dump({key: value for key, value in kept.items() if not key.startswith("_")})


_HTML = "<html><body>502 Bad Gateway</body></html>"
_ODD_REFUSALS = {"html": _HTML, "empty": "{}"}
