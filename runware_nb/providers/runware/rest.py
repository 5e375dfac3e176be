"""HTTP: tasks are sent and answered in one POST, and media are downloaded. Only this module imports httpx."""

from __future__ import annotations

import contextlib
import email.utils
import enum
import math
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from typing import NoReturn
from urllib.parse import urljoin, urlsplit

import httpcore
import httpx

from ...core.items import Item
from ...core.redaction import host_of
from ...errors import MediaError, ProtocolError, RunwareNBError, TransportError, TransportTimeout
from ...net.address_policy import check_hop, is_own_host, shown_url
from ...net.addresses import CheckedBackend
from ...net.bodies import ACCEPTED_ENCODINGS, read_body, read_pieces
from ...net.deadlines import Deadline, now
from ...net.proxies import Proxy, proxy_for, unreachable
from ...net.trace import wire_trace
from ...settings import Settings
from .classify import task_error
from .frames import Frame, authentication_task, encode_frame, parse_frame, split_orphans
from .transport import Listener

__all__ = ["DOWNLOAD_TIMEOUT_S", "MAX_MEDIA_BYTES", "RestTransport", "translated"]

MAX_MEDIA_BYTES = 512 * 1024 * 1024
"""Largest file downloaded, in bytes."""
DOWNLOAD_TIMEOUT_S = 600.0
"""Longest download, in seconds, unless the caller has a deadline of its own."""

_MAX_DOCUMENT_BYTES = 8 * 1024 * 1024
_DOCUMENT_TIMEOUT_S = 10.0
_DOWNLOAD_SILENCE_S = 60.0
_MAX_REDIRECTS = 5
_GONE = {401, 403, 404, 410}
_PARTIAL = 206
_PROXY_WANTS_PASSWORD = 407


class _Route:
    """The way to a server: a transport of httpx, with its connections and the proxy that they go through."""

    def __init__(self, transport: httpx.AsyncHTTPTransport, proxy: Proxy | None) -> None:
        self.transport = transport
        self.proxy = proxy
        self.aclose = transport.aclose

    async def close_desynchronized(self) -> None:
        """Close idle connections that received bytes after the response that was read.

        httpcore would take those bytes for the response to the next request, which is about another task. It offers
        no way to see them, so its own state is looked at; where that is gone, nothing is closed.
        """
        pool = getattr(self.transport, "_pool", None)
        for connection in list(getattr(pool, "connections", ())):
            inner = connection
            while inner is not None and not hasattr(inner, "_h11_state"):
                inner = getattr(inner, "_connection", None)
            if inner is not None and connection.is_idle() and inner._h11_state.trailing_data[0]:  # noqa: SLF001
                await connection.aclose()


class _CheckedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport on a network that connects to checked addresses only."""

    def __init__(self, certificates: ssl.SSLContext, may_be_private: Callable[[str, int], bool]) -> None:
        super().__init__(verify=certificates)
        # httpx has no argument for the network; a slow download may not keep a connection from the others, so there
        # is no limit on connections
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=certificates, max_connections=None, max_keepalive_connections=20, keepalive_expiry=5.0,
            network_backend=CheckedBackend(may_be_private),
        )  # fmt: skip


class _KeyAuth(httpx.Auth):
    """Adds the key to a request. No other object of this module and no variable in its frames holds the header."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header."""
        request.headers["Authorization"] = f"Bearer {self._settings.require_key().reveal()}"
        yield request


class _TaskBody:
    """Tasks to send, encoded when the connection asks for the body.

    Attributes:
        has_left: Whether a byte of them can have been sent. As long as the body was not asked for, at most headers
            were sent, so no task can have been accepted: this is the proof that nothing was charged.
    """

    def __init__(
        self,
        tasks: Sequence[Item],
        settings: Settings,
        on_leaving: Callable[[], None] | None = None,
        *,
        authenticates: bool = False,
    ) -> None:
        self._tasks = tasks
        self._authenticates = authenticates or settings.auth_in_payload
        self._encoded = None if self._authenticates else encode_frame(tasks).encode()  # a medium is large: only once
        self._settings = settings
        self._on_leaving = on_leaving
        self.has_left = False

    def encoded(self) -> bytes:
        """Encode the tasks, after an authentication task if the key is in the payload; then nothing keeps the text."""
        if self._encoded is not None:
            return self._encoded
        return encode_frame([authentication_task(self._settings.require_key().reveal()), *self._tasks]).encode()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.has_left = True
        if self._on_leaving is not None:
            self._on_leaving()
        yield self.encoded()


class RestTransport:
    """Tasks over HTTP, and media downloads.

    Args:
        settings: URLs, key and bounds.
        listener: Hears the responses; None for a transport that is only asked through `exchange`.
        user_agent: How we call ourselves.
    """

    pushes = False
    is_open = True  # each request makes its own connection

    def __init__(self, settings: Settings, listener: Listener | None, *, user_agent: str) -> None:
        self._settings = settings
        self._listener = listener
        self._user_agent = user_agent
        self._host = host_of(settings.rest_url)
        self._routes: set[_Route] = set()
        self._free_routes: list[_Route] = []
        self._shared_routes: dict[tuple[Proxy | None, bool], _Route] = {}
        self._certificates: ssl.SSLContext | None = None

    async def open(self) -> None:
        """Do nothing: every request has its own response."""

    async def send(
        self, tasks: Sequence[Item], *, timeout_s: float, on_leaving: Callable[[], None] | None = None
    ) -> None:
        """Post tasks and hand on the response. See `Transport.send`."""
        response = await self.exchange(tasks, timeout_s=timeout_s, on_leaving=on_leaving)
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
        return await self._exchange(_TaskBody(tasks, self._settings, on_leaving), timeout_s)

    async def _exchange(self, body: _TaskBody, timeout_s: float) -> Frame:
        if wire_trace.is_on:
            wire_trace.note("sent", self._host, body.encoded(), self._settings.require_key().reveal())
        proxy: Proxy | None = None
        async with Deadline(now() + timeout_s, lambda: self._late(body, proxy, timeout_s)):
            route = self._take_route()
            proxy = route.proxy
            is_usable = False
            try:
                response, content = await self._post(route, body)
                is_usable = True
            finally:
                await self._return_route(route, is_usable=is_usable)
        if wire_trace.is_on:
            wire_trace.note("received", self._host, content, self._settings.require_key().reveal())
        return parse_frame(
            content,
            key=self._settings.require_key().reveal(),
            http_status=response.status_code,
            retry_after_s=_retry_after_s(response.headers),
        )

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
        body = _TaskBody([], self._settings, authenticates=True)
        frame = await self._exchange(body, self._settings.connect_timeout_s)
        if frame.errors:
            error = task_error(frame.errors[0], http_status=frame.http_status, retry_after_s=frame.retry_after_s)
            raise error
        if not any(item.get("taskType") == "authentication" for item in frame.items):
            raise ProtocolError(f"{self._host} neither accepted nor refused the key (HTTP {frame.http_status}).")

    @contextlib.asynccontextmanager
    async def stream(self, tasks: Sequence[Item], *, timeout_s: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """Post a task whose response is a stream of events, and yield its bytes as they arrive.

        Args:
            tasks: One text task with `deliveryMethod` stream.
            timeout_s: Longest time until the stream ends, in seconds.

        Raises:
            TaskError: The service refused it before the stream began.
            TransportTimeout: The time is over. It is also raised by the iterator.
            TransportError: It was not sent, or the connection broke.
            ProtocolError: The response is neither a stream nor an error.
        """
        deadline = now() + timeout_s
        body = _TaskBody(tasks, self._settings)
        route = self._new_route(self._settings.rest_url)  # its own: a long stream must not keep one from short requests
        response: httpx.Response | None = None

        def late() -> TransportTimeout:
            return self._late(body, route.proxy, timeout_s, tasks[0]["taskUUID"])

        try:
            async with Deadline(deadline, late):
                response = await self._respond(route, self._request(body, accept="text/event-stream"), body)
                _refuse_partial(response, self._settings.rest_url)
                if not response.headers.get("content-type", "").startswith("text/event-stream"):
                    content = await self._read(response, body, route.proxy)
                    key = self._settings.require_key().reveal()
                    frame = parse_frame(content, key=key, http_status=response.status_code)
                    error = frame.errors[0] if frame.errors else {"message": "the service sent no stream"}
                    raise task_error({**error, "taskUUID": tasks[0]["taskUUID"]}, http_status=response.status_code,
                                     retry_after_s=_retry_after_s(response.headers))  # fmt: skip
            async with contextlib.aclosing(self._pieces(response, route.proxy, deadline, late)) as pieces:
                yield pieces
        finally:
            if response is not None:
                await response.aclose()
            await route.aclose()

    async def get(
        self,
        url: str,
        etag: str | None,
        *,
        timeout_s: float = _DOCUMENT_TIMEOUT_S,
        max_bytes: int = _MAX_DOCUMENT_BYTES,
    ) -> tuple[int, bytes, str | None]:
        """Fetch a public document, without the key, unless it is the one with this ETag.

        Args:
            url: Where it is.
            etag: Of the version that is known.
            timeout_s: Longest time for all of it, in seconds.
            max_bytes: Largest document, after decompression.

        Returns:
            HTTP status (304 where nothing has changed), body, and the ETag of what came.

        Raises:
            TransportError: The server could not be reached, or the document is too large or incomplete.
        """
        shown = shown_url(url)

        def late() -> TransportTimeout:
            return TransportTimeout(f"{shown} was not fetched within {timeout_s:g} s")

        async with Deadline(now() + timeout_s, late):
            route = self._shared_route(url, checks=False)
            with translating(url, route.proxy):
                request = self._get_request(url, {"If-None-Match": etag} if etag else {})
                response = await route.transport.handle_async_request(request)
                try:
                    _refuse_partial(response, url)
                    content = await read_body(
                        response.aiter_raw(), response.headers, host_of(url), max_bytes=max_bytes,
                        too_large=lambda: TransportError(f"{shown} has more than the {max_bytes:,} bytes accepted"),
                    )  # fmt: skip
                finally:
                    await response.aclose()
                    await route.close_desynchronized()
        return response.status_code, content, response.headers.get("etag")

    async def download(
        self, url: str, *, max_bytes: int = MAX_MEDIA_BYTES, timeout_s: float = DOWNLOAD_TIMEOUT_S
    ) -> bytes:
        """Fetch a medium, without the key, from where it may come.

        Args:
            url: Where it is.
            max_bytes: Largest file accepted, after decompression.
            timeout_s: Longest time for all of it, redirects included, in seconds.

        Raises:
            MediaError: The URL is not allowed, the file is gone or too large.
            TransportTimeout: The time is over.
            TransportError: The connection failed, or the file is incomplete; trying again may help.
        """

        def late() -> TransportTimeout:
            return TransportTimeout(f"{host_of(url)} did not send the whole file within {timeout_s:.3g} s")

        async with Deadline(now() + timeout_s, late):
            came_from: str | None = None
            for _ in range(_MAX_REDIRECTS + 1):
                hop = _normalized(url)
                check_hop(hop, came_from=came_from, endpoint=self._settings.rest_url)
                content, location = await self._hop(hop, max_bytes)
                if location is None:
                    return content
                came_from, url = hop, location
        raise MediaError(f"media URL {shown_url(url)} refused: more than {_MAX_REDIRECTS} redirects")

    async def aclose(self) -> None:
        """Close all connections."""
        routes = [*self._routes, *self._shared_routes.values()]
        self._routes, self._free_routes, self._shared_routes = set(), [], {}
        for route in routes:
            await route.aclose()

    # --- requests --------------------------------------------------------------------------------------

    def _request(self, body: _TaskBody, *, accept: str = "*/*") -> httpx.Request:
        headers = {
            "Content-Type": "application/json", "Content-Length": str(len(body.encoded())), "Accept": accept,
            "Accept-Encoding": ACCEPTED_ENCODINGS, "User-Agent": self._user_agent,
        }  # fmt: skip
        timeouts = {"connect": self._settings.connect_timeout_s, "read": None, "write": None, "pool": None}
        with translating(self._settings.rest_url, None, body):
            request = httpx.Request(
                "POST", self._settings.rest_url, headers=headers, content=body, extensions={"timeout": timeouts}
            )
        if self._settings.auth_in_payload:
            return request
        return next(_KeyAuth(self._settings).auth_flow(request))

    def _get_request(self, url: str, headers: Mapping[str, str]) -> httpx.Request:
        timeouts = {
            "connect": self._settings.connect_timeout_s,
            "read": _DOWNLOAD_SILENCE_S,
            "write": None,
            "pool": None,
        }
        return httpx.Request(
            "GET", url, extensions={"timeout": timeouts},
            headers={"Accept": "*/*", "Accept-Encoding": ACCEPTED_ENCODINGS, "User-Agent": self._user_agent, **headers},
        )  # fmt: skip

    async def _respond(self, route: _Route, request: httpx.Request, body: _TaskBody) -> httpx.Response:
        """Send a request to the service and wait for the head of its response."""
        with translating(self._settings.rest_url, route.proxy, body):
            response = await route.transport.handle_async_request(request)
        if response.status_code == _PROXY_WANTS_PASSWORD and route.proxy is not None:
            await response.aclose()
            _proxy_failed(route.proxy, self._host, "it requires a user and a password", may_have_arrived=False)
        return response

    async def _post(self, route: _Route, body: _TaskBody) -> tuple[httpx.Response, bytes]:
        response = await self._respond(route, self._request(body), body)
        try:
            return response, await self._read(response, body, route.proxy)
        finally:
            await response.aclose()
            await route.close_desynchronized()

    async def _read(self, response: httpx.Response, body: _TaskBody, proxy: Proxy | None) -> bytes:
        """Read a response of the service, up to the largest size accepted."""
        with translating(self._settings.rest_url, proxy, body):
            _refuse_partial(response, self._settings.rest_url)
            return await read_body(response.aiter_raw(), response.headers, self._host,
                                   max_bytes=self._settings.max_frame_bytes, too_large=self._too_large)  # fmt: skip

    async def _pieces(
        self, response: httpx.Response, proxy: Proxy | None, deadline: float, late: Callable[[], TransportTimeout]
    ) -> AsyncGenerator[bytes]:
        """Yield the bytes of a stream as they arrive, up to its deadline and the largest size accepted."""
        size = 0
        async with contextlib.aclosing(read_pieces(response.aiter_raw(), response.headers, self._host)) as pieces:
            while True:
                # The deadline is set for each wait, because the reader's own code runs between two pieces, and must
                # not be cancelled.
                async with Deadline(deadline, late):
                    with translating(self._settings.rest_url, proxy):
                        piece = await anext(pieces, None)
                if piece is None:
                    return
                size += len(piece)
                if size > self._settings.max_frame_bytes:
                    raise self._too_large()
                yield piece

    async def _hop(self, url: str, max_bytes: int) -> tuple[bytes, str | None]:
        """Request a medium; return its bytes, or the URL that a redirect names."""
        route = self._shared_route(url, checks=True)
        with translating(url, route.proxy):
            response = await route.transport.handle_async_request(self._get_request(url, {}))
            try:
                if response.has_redirect_location:
                    return b"", _joined(url, response.headers["location"])
                return await _read_file(response, url, max_bytes), None
            finally:
                await response.aclose()
                await route.close_desynchronized()

    # --- connections -----------------------------------------------------------------------------------

    def _take_route(self) -> _Route:
        """Return a connection to the service, for one request at a time.

        httpx's client spends half of its time on redirects, cookies, authentication and a pool that looks at every
        connection for each request. A bare transport for each connection spares that.
        """
        if self._free_routes:
            return self._free_routes.pop()
        route = self._new_route(self._settings.rest_url)
        self._routes.add(route)
        return route

    async def _return_route(self, route: _Route, *, is_usable: bool) -> None:
        if route not in self._routes:
            return  # closed in the meantime
        if is_usable or route.proxy is None:
            self._free_routes.append(route)
            return
        self._routes.discard(route)  # the next request looks for a proxy again: the user may have changed the variable
        await route.aclose()

    def _shared_route(self, url: str, *, checks: bool) -> _Route:
        """Return the connections for downloads, which all URLs with the same proxy share."""
        place = (proxy_for(url), checks)
        route = self._shared_routes.get(place)
        if route is None:
            route = self._shared_routes[place] = self._new_route(url, checks=checks)
        return route

    def _new_route(self, url: str, *, checks: bool = False) -> _Route:
        """Build a transport for a URL, through the proxy that applies to it.

        Args:
            url: Where requests go.
            checks: Whether direct connections are made to checked addresses only.

        Raises:
            TransportError: The proxy cannot be used.
        """
        if self._certificates is None:
            self._certificates = httpx.create_ssl_context()
        proxy = proxy_for(url)
        if proxy is None and checks:
            return _Route(_CheckedTransport(self._certificates, self._is_own_host), None)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20 if checks else 1)
        if proxy is None:
            return _Route(httpx.AsyncHTTPTransport(verify=self._certificates, limits=limits), None)
        try:
            _ = urlsplit(proxy.url).port  # httpx connects to a port of 99999
            transport = httpx.AsyncHTTPTransport(verify=self._certificates, limits=limits, proxy=httpx.Proxy(proxy.url))
        except (ValueError, ImportError, httpx.InvalidURL) as error:
            # the library's text may quote the proxy's URL, which may contain a password
            is_missing = isinstance(error, ImportError)
            reason = "the package httpx[socks] is not installed" if is_missing else "its URL is not valid"
            _proxy_failed(proxy, host_of(url), reason, may_have_arrived=False)
        return _Route(transport, proxy)

    def _is_own_host(self, host: str, port: int) -> bool:
        """Return whether a connection goes to the endpoint's own host, which may be in a private network."""
        return is_own_host(host, port, scheme="", endpoint=self._settings.rest_url)

    # --- messages ----------------------------------------------------------------------------------

    def _late(
        self, body: _TaskBody, proxy: Proxy | None, timeout_s: float, task_uuid: str | None = None
    ) -> TransportTimeout:
        if body.has_left:
            return TransportTimeout(f"{self._host} did not respond within {timeout_s:.3g} s", task_uuid=task_uuid)
        reason = f"no connection within {timeout_s:.3g} s"
        return TransportTimeout(unreachable(self._host, reason, proxy), may_have_arrived=False)

    def _too_large(self) -> TransportError:
        error = TransportError(
            f"The response of {self._host} has more than the {self._settings.max_frame_bytes:,} bytes accepted "
            "(setting max_frame_bytes). A task in it may have been charged. Raise the setting and collect the task, "
            "and request outputType URL instead of images inside the response"
        )
        error.retryable = False  # the same response would come again
        return error


class _Failure(enum.Enum):
    """What an exception means for a request."""

    UNREACHABLE = "there was no connection"
    PROXY = "the proxy refused"
    UNUSABLE = "the URL cannot be requested"
    SILENT = "no response in time"
    BROKEN = "the connection or the response broke off"


_FAILURES: dict[type[Exception], _Failure] = {
    httpx.ConnectError: _Failure.UNREACHABLE,
    httpx.ConnectTimeout: _Failure.UNREACHABLE,
    httpx.PoolTimeout: _Failure.UNREACHABLE,
    httpx.ProxyError: _Failure.PROXY,
    httpx.InvalidURL: _Failure.UNUSABLE,
    httpx.UnsupportedProtocol: _Failure.UNUSABLE,
    httpx.LocalProtocolError: _Failure.UNUSABLE,
    httpx.CookieConflict: _Failure.UNUSABLE,
    UnicodeError: _Failure.UNUSABLE,
    httpx.TimeoutException: _Failure.SILENT,
    httpx.ReadTimeout: _Failure.SILENT,
    httpx.WriteTimeout: _Failure.SILENT,
    httpx.HTTPError: _Failure.BROKEN,
    httpx.RequestError: _Failure.BROKEN,
    httpx.TransportError: _Failure.BROKEN,
    httpx.NetworkError: _Failure.BROKEN,
    httpx.ReadError: _Failure.BROKEN,
    httpx.WriteError: _Failure.BROKEN,
    httpx.CloseError: _Failure.BROKEN,
    httpx.ProtocolError: _Failure.BROKEN,
    httpx.RemoteProtocolError: _Failure.BROKEN,
    httpx.DecodingError: _Failure.BROKEN,
    httpx.TooManyRedirects: _Failure.BROKEN,
    httpx.HTTPStatusError: _Failure.BROKEN,
    httpx.StreamError: _Failure.BROKEN,
    httpx.StreamConsumed: _Failure.BROKEN,
    httpx.StreamClosed: _Failure.BROKEN,
    httpx.ResponseNotRead: _Failure.BROKEN,
    httpx.RequestNotRead: _Failure.BROKEN,
    httpcore.ConnectionNotAvailable: _Failure.BROKEN,
    ssl.SSLError: _Failure.BROKEN,
    OSError: _Failure.BROKEN,
    ExceptionGroup: _Failure.BROKEN,
}
"""What each exception of httpx, and each that it lets through, means. Subclasses are listed too, so that a test finds
a new one; the nearest class decides."""


@contextlib.contextmanager
def translating(url: str, proxy: Proxy | None, body: _TaskBody | None = None) -> Iterator[None]:
    """Translate every exception of httpx in a block into one of ours.

    Args:
        url: Where the request goes.
        proxy: What it goes through.
        body: What it carries; None for a download, which can be repeated freely.

    Raises:
        TransportError: Of any of them.
    """
    try:
        yield
    except RunwareNBError:
        raise
    except tuple(_FAILURES) as error:
        _forget_frames(error)
        raise translated(error, url, proxy, has_left=body is None or body.has_left) from error


def translated(error: Exception, url: str, proxy: Proxy | None = None, *, has_left: bool = True) -> TransportError:
    """Translate an exception of httpx, with the host and what to try.

    Args:
        error: Of httpx, or one that it lets through.
        url: Where the request went.
        proxy: What it went through.
        has_left: Whether a part of a task can have reached the service.
    """
    host = host_of(url) or shown_url(url)
    reason = str(error)[:200] or type(error).__name__
    failure = next((_FAILURES[kind] for kind in type(error).__mro__ if kind in _FAILURES), _Failure.BROKEN)
    if failure is _Failure.UNUSABLE:
        unusable = TransportError(f"{shown_url(url)} cannot be used as a URL: {reason}", may_have_arrived=has_left)
        unusable.retryable = False
        return unusable
    if proxy is not None and (failure in {_Failure.PROXY, _Failure.UNREACHABLE} or not has_left):
        # Before the body has left, only the proxy can have failed: the tunnel through it was not ready.
        failed = TransportError(proxy.failure(host, reason), may_have_arrived=has_left)
        failed.retryable = failure is not _Failure.PROXY  # such as a wrong password: it stays wrong
        return failed
    if failure is _Failure.UNREACHABLE:
        return TransportError(
            f"{host} cannot be reached ({reason}); check the network and the URL", may_have_arrived=has_left
        )
    if failure is _Failure.SILENT:
        return TransportError(f"{host} did not respond in time", may_have_arrived=has_left)
    return TransportError(f"the connection to {host} broke ({reason})", may_have_arrived=has_left)


def _proxy_failed(proxy: Proxy, host: str, reason: str, *, may_have_arrived: bool) -> NoReturn:
    error = TransportError(proxy.failure(host, reason), may_have_arrived=may_have_arrived)
    error.retryable = False
    raise error from None


def _forget_frames(error: BaseException | None) -> None:
    """Drop the frames of an exception and its causes: those of the library hold the bytes of the request's head."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _retry_after_s(headers: httpx.Headers) -> float | None:
    """Parse `Retry-After`, which is a number of seconds or a date; None for any other value."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return None if math.isnan(seconds) else max(0.0, seconds)


def _normalized(url: str) -> str:
    """Return a URL as httpx parses it, so that the URL that is checked is the one that is requested.

    Raises:
        MediaError: It is not a URL.
    """
    try:
        return str(httpx.URL(url))
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise MediaError(f"media URL {shown_url(url)} refused: {error}") from error


def _joined(url: str, location: str) -> str:
    """Return where a redirect leads.

    Raises:
        MediaError: It is not a URL.
    """
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise MediaError(f"media URL {shown_url(url)} refused: it redirects to an invalid URL ({error})") from error


def _refuse_partial(response: httpx.Response, url: str) -> None:
    """Refuse a 206: only whole files are requested, and a part must never count as the whole file.

    Raises:
        TransportError: It is one.
    """
    if response.status_code == _PARTIAL:
        raise TransportError(
            f"{host_of(url)} sent only a part (HTTP 206) of the file that was requested", http_status=_PARTIAL
        )


async def _read_file(response: httpx.Response, url: str, max_bytes: int) -> bytes:
    """Read a medium.

    Raises:
        MediaError: It is gone, or too large.
        TransportError: It did not come, or not as a whole.
    """
    host = host_of(url)
    if response.status_code in _GONE:
        raise MediaError(f"{host} no longer has this file (HTTP {response.status_code})", is_expired=True)
    _refuse_partial(response, url)
    if not response.is_success:
        raise TransportError(f"{host} responded with HTTP {response.status_code}", http_status=response.status_code)

    def too_large() -> MediaError:
        return MediaError(f"the file from {host} has more than the {max_bytes:,} bytes accepted for a download")

    content = await read_body(response.aiter_raw(), response.headers, host, max_bytes=max_bytes, too_large=too_large)
    if not content:
        status = response.status_code
        raise TransportError(f"{host} sent an empty file (HTTP {status})", http_status=status)
    return content
