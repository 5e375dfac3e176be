"""Tasks over HTTP: sent and answered in one POST."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from ...core.items import Item
from ...errors import ProtocolError, TransportError
from ...net.http import Content, HttpConnection, retry_after_s
from ...settings import Settings
from .classify import task_error
from .frames import Frame, authentication_task, encode_frame, parse_frame, split_orphans
from .transport import Listener

__all__ = ["RestTransport"]


class RestTransport:
    """Tasks over HTTP.

    Args:
        settings: URLs, key and bounds.
        listener: Hears the responses; None for a transport that is only asked through `exchange`.
        user_agent: How we call ourselves.

    Attributes:
        http: The connections, for downloads as well.
    """

    pushes = False
    is_open = True  # each request makes its own connection

    def __init__(self, settings: Settings, listener: Listener | None, *, user_agent: str) -> None:
        self._settings = settings
        self._listener = listener
        self.http = HttpConnection(
            settings.rest_url,
            user_agent=user_agent,
            connect_timeout_s=settings.connect_timeout_s,
            key=lambda: settings.require_key().reveal(),
            sends_key=not settings.auth_in_payload,
        )

    async def open(self) -> None:
        """Do nothing: every request has its own response."""

    async def send(
        self, tasks: Sequence[Item], *, timeout_s: float, on_leaving: Callable[[], None] | None = None
    ) -> None:
        """Post tasks and hand on the response. See `Transport.send`."""
        self._hand_on(await self.exchange(tasks, timeout_s=timeout_s, on_leaving=on_leaving), tasks)

    async def exchange(
        self, tasks: Sequence[Item], *, timeout_s: float, on_leaving: Callable[[], None] | None = None
    ) -> Frame:
        """Post tasks and return the response unchanged.

        Args:
            tasks: In wire spelling.
            timeout_s: Longest time for all of it, from connecting to the last byte of the response, in seconds.
            on_leaving: See `Transport.send`.

        Raises:
            TransportTimeout: The time is over.
            TransportError: It was not sent, or its response was lost or is too large.
            ProtocolError: The response cannot be read.
        """
        return await self._exchange(self._content(tasks), timeout_s, on_leaving)

    async def authenticate(self) -> None:
        """Have the service confirm the key by an authentication task, which costs nothing.

        Raises:
            AuthenticationFailed: The service refused the key.
            TransportError: The service cannot be reached.
            ProtocolError: The response neither accepts nor refuses the key.

        Source:
            reference/runware.md section 1.2: an authentication task may be posted alone; its response contains
            `errors` for a wrong key.
        """
        frame = await self._exchange(self._content([], authenticates=True), self._settings.connect_timeout_s)
        if frame.errors:
            error = task_error(frame.errors[0], http_status=frame.http_status, retry_after_s=frame.retry_after_s)
            raise error
        if not any(item.get("taskType") == "authentication" for item in frame.items):
            raise ProtocolError(f"{self.http.host} neither accepted nor refused the key (HTTP {frame.http_status}).")

    @contextlib.asynccontextmanager
    async def stream(
        self, tasks: Sequence[Item], *, timeout_s: float, on_leaving: Callable[[], None] | None = None
    ) -> AsyncIterator[AsyncIterator[bytes] | None]:
        """Post a task whose response is a stream of events, and yield its bytes as they arrive.

        Any other response is handed on as by `send`, and None is yielded.

        Args:
            tasks: One text task with `deliveryMethod` stream.
            timeout_s: Longest time until the stream ends, in seconds.
            on_leaving: See `Transport.send`.

        Raises:
            TaskError: The service refused it before the stream began, without naming the task.
            TransportTimeout: The time is over. It is also raised by the iterator.
            TransportError: It was not sent, or the connection broke.
            ProtocolError: The response is neither a stream nor an error.
        """
        max_bytes = self._settings.max_frame_bytes
        async with self.http.stream(
            "POST", content=self._content(tasks), headers={"Accept": "text/event-stream"}, timeout_s=timeout_s,
            on_leaving=on_leaving,
        ) as response:  # fmt: skip
            if response.headers.get("content-type", "").startswith("text/event-stream"):
                pieces = response.pieces(max_bytes=max_bytes, too_large=self._too_large)
                async with contextlib.aclosing(pieces):
                    yield pieces
                return
            content = await response.read(max_bytes=max_bytes, too_large=self._too_large)
            key = self._settings.require_key().reveal()
            frame = parse_frame(
                content, key=key, http_status=response.status, retry_after_s=retry_after_s(response.headers)
            )
            self._hand_on(frame, tasks)
            yield None

    async def aclose(self) -> None:
        """Close all connections."""
        await self.http.aclose()

    def _hand_on(self, response: Frame, tasks: Sequence[Item]) -> None:
        """Pass a response to the listener.

        Raises:
            TaskError: It refuses the tasks of this request, and names none of them.
        """
        frame, orphans = split_orphans(response, tasks)
        names = {task.get("taskUUID") for task in tasks}
        is_answered = any(entry.get("taskUUID") in names for entry in (*frame.items, *frame.errors))
        status = frame.http_status or 200
        if not is_answered and (orphans or status >= 400):
            # The response is about exactly this request, whatever its errors name. The caller decides what it means.
            reason = {"message": f"the service responded with HTTP {status} and gave no reason"}
            entry = next(iter((*orphans, *frame.errors)), reason)
            raise task_error({**entry, "taskUUID": ""}, http_status=status, retry_after_s=frame.retry_after_s)
        if self._listener is not None and (frame.items or frame.errors):
            self._listener.on_frame(frame)

    async def _exchange(
        self, content: Content, timeout_s: float, on_leaving: Callable[[], None] | None = None
    ) -> Frame:
        response = await self.http.request(
            "POST",
            content=content,
            timeout_s=timeout_s,
            max_bytes=self._settings.max_frame_bytes,
            too_large=self._too_large,
            on_leaving=on_leaving,
        )
        return parse_frame(
            response.body,
            key=self._settings.require_key().reveal(),
            http_status=response.status,
            retry_after_s=retry_after_s(response.headers),
        )

    def _content(self, tasks: Sequence[Item], *, authenticates: bool = False) -> Content:
        """Encode tasks: at once, or with the key, if it is in the payload, when they are sent."""
        if not (authenticates or self._settings.auth_in_payload):
            return encode_frame(tasks).encode()  # a medium is large: only once
        settings = self._settings
        return lambda: encode_frame([authentication_task(settings.require_key().reveal()), *tasks]).encode()

    def _too_large(self) -> TransportError:
        error = TransportError(
            f"The response of {self.http.host} has more than the {self._settings.max_frame_bytes:,} bytes accepted "
            "(setting max_frame_bytes). A task in it may have been charged. Raise the setting and collect the task, "
            "and request outputType URL instead of images inside the response"
        )
        error.retryable = False  # the same response would come again
        return error
