"""HTTP for every service: requests with its key to its own endpoint, and public files. Only this module imports httpx.

    HttpConnection.request()    one response, whole
    HttpConnection.stream()     one response, piece by piece
    HttpConnection.visit()      a file from any server, without the key; `get` and `net.downloads` use it

It knows no service: what a response means is decided by the package of its provider.
"""

from __future__ import annotations

import contextlib
import email.utils
import enum
import math
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import httpcore
import httpx

from ..core.redaction import host_of
from ..errors import RunwareNBError, TransportError, TransportTimeout
from ..forking import disconnect, restart_after_fork
from ..reprs import short_repr
from .address_policy import is_own_host, shown_url
from .addresses import CheckedBackend
from .bodies import ACCEPTED_ENCODINGS, read_body, read_pieces
from .deadlines import Deadline, now
from .proxies import Proxy, proxy_for, unreachable
from .trace import wire_trace

__all__ = [
    "Content",
    "HttpConnection",
    "HttpReply",
    "HttpResponse",
    "HttpStream",
    "normalized",
    "retry_after_s",
    "translated",
    "translating",
]

Content = bytes | Callable[[], bytes]
"""The body of a request. A function builds it each time that it is needed, so that nothing keeps a key in it."""

_MAX_DOCUMENT_BYTES = 8 * 1024 * 1024
_DOCUMENT_TIMEOUT_S = 10.0
_DOWNLOAD_SILENCE_S = 60.0
_PARTIAL = 206
_PROXY_WANTS_PASSWORD = 407

_T = TypeVar("_T")


@short_repr()
@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole response.

    Attributes:
        status: HTTP status, of any value that the server may have made up.
        headers: By name, in any case.
        body: Decompressed.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class HttpReply:
    """A response of which only the head was read.

    Attributes:
        status: HTTP status.
        headers: By name, in any case.

    Raises:
        TransportError: It is a 206. Only whole files are requested, and a part must never count as the whole file.
    """

    __slots__ = ("_body", "_host", "_proxy", "_response", "_url", "headers", "status")

    def __init__(self, response: httpx.Response, url: str, host: str, proxy: Proxy | None, body: _Body | None) -> None:
        self.status = response.status_code
        if self.status == _PARTIAL:
            raise TransportError(
                f"{host} sent only a part (HTTP 206) of the file that was requested", http_status=_PARTIAL
            )
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._url = url
        self._host = host
        self._proxy = proxy
        self._body = body

    async def read_start(self, max_bytes: int) -> bytes:
        """Read the beginning of the body as it is on the wire, and leave the rest unread.

        Raises:
            TransportError: The connection broke.
        """
        start = b""
        with translating(self._url, self._proxy, self._body):
            async for piece in self._response.aiter_raw():
                start += piece
                if len(start) >= max_bytes:
                    break
        return start[:max_bytes]

    async def read(self, *, max_bytes: int, too_large: Callable[[], RunwareNBError]) -> bytes:
        """Read the whole body.

        Args:
            max_bytes: Largest size after decompression.
            too_large: Builds the error to raise for a larger one.

        Raises:
            RunwareNBError: *too_large*'s.
            TransportError: It did not arrive as a whole.
        """
        with translating(self._url, self._proxy, self._body):
            raw = self._response.aiter_raw()
            return await read_body(raw, self.headers, self._host, max_bytes=max_bytes, too_large=too_large)


class HttpStream(HttpReply):
    """A response that is read piece by piece, up to a moment that includes all waits for it.

    Args:
        deadline: The moment by the monotonic clock, in seconds.
        late: Builds the error to raise then.
    """

    __slots__ = ("_deadline", "_late")

    def __init__(
        self,
        response: httpx.Response,
        url: str,
        host: str,
        proxy: Proxy | None,
        body: _Body | None,
        *,
        deadline: float,
        late: Callable[[], TransportTimeout],
    ) -> None:
        super().__init__(response, url, host, proxy, body)
        self._deadline = deadline
        self._late = late

    async def read(self, *, max_bytes: int, too_large: Callable[[], RunwareNBError]) -> bytes:
        """Read the whole body. See `HttpReply.read`.

        Raises:
            TransportTimeout: The deadline has passed.
        """
        async with Deadline(self._deadline, self._late):
            return await super().read(max_bytes=max_bytes, too_large=too_large)

    async def pieces(self, *, max_bytes: int, too_large: Callable[[], RunwareNBError]) -> AsyncGenerator[bytes]:
        """Yield the body as it arrives.

        Args:
            max_bytes: See `HttpReply.read`.
            too_large: See `HttpReply.read`.

        Raises:
            TransportTimeout: The deadline has passed.
            RunwareNBError: See `HttpReply.read`.
        """
        size = 0
        raw = self._response.aiter_raw()
        async with contextlib.aclosing(read_pieces(raw, self.headers, self._host)) as pieces:
            while True:
                # The deadline is set for each wait, because the reader's own code runs between two pieces, and must
                # not be cancelled.
                async with Deadline(self._deadline, self._late):
                    with translating(self._url, self._proxy, self._body):
                        piece = await anext(pieces, None)
                if piece is None:
                    return
                size += len(piece)
                if size > max_bytes:
                    raise too_large()
                yield piece


class _Body:
    """The body of a request, and whether the request can have reached the service.

    Args:
        content: What is sent.
        on_leaving: Called just before the first byte that can have an effect leaves.

    Attributes:
        has_left: Whether such a byte can have left. As long as the connection did not ask for the body, at most headers
            were sent, so no task can have been accepted: this is the proof that nothing was charged. A request without
            a body is complete with its headers, so there the first byte of the headers counts.
    """

    __slots__ = ("_content", "_on_leaving", "has_left")

    def __init__(self, content: Content, on_leaving: Callable[[], None] | None = None) -> None:
        self._content = content
        self._on_leaving = on_leaving
        self.has_left = False

    def encoded(self) -> bytes:
        """Return the bytes; no attribute keeps those that a function builds."""
        return self._content if isinstance(self._content, bytes) else self._content()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._leave()
        yield self.encoded()

    async def on_event(self, name: str, values: Mapping[str, Any]) -> None:
        """Hear from httpcore what it does for a request without a body (its extension `trace`)."""
        # The headers of a CONNECT stay at the proxy.
        if name.endswith("send_request_headers.started") and values["request"].method != b"CONNECT":
            self._leave()

    def _leave(self) -> None:
        self.has_left = True
        if self._on_leaving is not None:
            self._on_leaving()


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


class HttpConnection:
    """The connections to one service, and to the servers that it names files on. They are opened on first use.

    Args:
        endpoint: URL of the service; requests go to paths below it and to nothing else.
        user_agent: How we call ourselves.
        connect_timeout_s: Longest time until a connection is ready, in seconds.
        key: Returns the key of the service when it is needed, so that no attribute keeps it. None for a connection that
            only fetches public files.
        sends_key: Whether requests carry the key in an `Authorization: Bearer` header.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        user_agent: str,
        connect_timeout_s: float,
        key: Callable[[], str] | None = None,
        sends_key: bool = True,
    ) -> None:
        self.endpoint = endpoint
        self.host = host_of(endpoint)
        self._user_agent = user_agent
        self._connect_timeout_s = connect_timeout_s
        self._key = key
        self._sends_key = sends_key and key is not None
        self._routes: set[_Route] = set()
        self._free_routes: list[_Route] = []
        self._shared_routes: dict[tuple[Proxy | None, bool], _Route] = {}
        self._certificates: ssl.SSLContext | None = None
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Leave the connections to the parent: bytes of two processes on one connection would be mixed up."""
        disconnect((), *self._routes, *self._shared_routes.values())
        self._routes, self._free_routes, self._shared_routes = set(), [], {}

    async def aclose(self) -> None:
        """Close all connections."""
        routes = [*self._routes, *self._shared_routes.values()]
        self._routes, self._free_routes, self._shared_routes = set(), [], {}
        for route in routes:
            await route.aclose()

    # --- requests to the service ---------------------------------------------------------------------------

    async def request(
        self,
        method: str,
        path: str = "",
        *,
        content: Content = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        max_bytes: int,
        too_large: Callable[[], RunwareNBError],
        on_leaving: Callable[[], None] | None = None,
        is_traced: bool = True,
    ) -> HttpResponse:
        """Send a request with the key and return the whole response, whatever its status. Redirects are not followed.

        Args:
            method: Such as `POST`.
            path: Path and query below the endpoint, from `/` or `?` on; empty for the endpoint itself.
            content: JSON, unless *headers* has another `Content-Type`.
            headers: Further ones.
            timeout_s: Longest time for all of it, from connecting to the last byte of the response, in seconds.
            max_bytes: Largest response, after decompression.
            too_large: Builds the error to raise for a larger one.
            on_leaving: Called before the first byte of the content can leave (without content, of the headers). If the
                call is cancelled before that, the service has not received the request.
            is_traced: Whether the wire trace may keep it. False where passwords or session tokens travel, which the
                trace cannot recognize.

        Raises:
            TransportTimeout: The time is over.
            TransportError: It was not sent, or its response was lost or is too large. `may_have_arrived` is False only
                where it cannot have reached the service.
        """
        body = _Body(content, on_leaving)
        if wire_trace.is_on and is_traced:
            self._note("sent", body.encoded() or f"{method} {path}".encode())
        proxy: Proxy | None = None
        async with Deadline(now() + timeout_s, lambda: self._late(body, proxy, timeout_s)):
            route = self._take_route()
            proxy = route.proxy
            is_usable = False
            try:
                response = await self._respond(route, self._request(method, path, body, headers), body)
                try:
                    reply = HttpReply(response, self.endpoint, self.host, proxy, body)
                    received = await reply.read(max_bytes=max_bytes, too_large=too_large)
                finally:
                    await response.aclose()
                    await route.close_desynchronized()
                is_usable = True
            finally:
                await self._return_route(route, is_usable=is_usable)
        if wire_trace.is_on and is_traced:
            self._note("received", received)
        return HttpResponse(reply.status, reply.headers, received)

    @contextlib.asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str = "",
        *,
        content: Content = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        on_leaving: Callable[[], None] | None = None,
    ) -> AsyncIterator[HttpStream]:
        """Send a request with the key, and yield its response when the head is here.

        Args:
            method: See `request`.
            path: See `request`.
            content: See `request`.
            headers: See `request`.
            timeout_s: Longest time until the body has ended, in seconds.
            on_leaving: See `request`.

        Raises:
            TransportTimeout: The time is over. It is also raised while the body is read.
            TransportError: It was not sent, or the connection broke.
        """
        deadline = now() + timeout_s
        body = _Body(content, on_leaving)
        route = self._new_route(self.endpoint)  # its own: a long stream must not keep one from short requests
        response: httpx.Response | None = None

        def late() -> TransportTimeout:
            return self._late(body, route.proxy, timeout_s)

        try:
            async with Deadline(deadline, late):
                response = await self._respond(route, self._request(method, path, body, headers), body)
            yield HttpStream(response, self.endpoint, self.host, route.proxy, body, deadline=deadline, late=late)
        finally:
            try:
                if response is not None:
                    await response.aclose()
            finally:  # also if the reader is cancelled while the response is being closed
                await route.aclose()

    # --- public files --------------------------------------------------------------------------------------

    async def get(
        self,
        url: str,
        etag: str | None = None,
        *,
        timeout_s: float = _DOCUMENT_TIMEOUT_S,
        max_bytes: int = _MAX_DOCUMENT_BYTES,
    ) -> HttpResponse:
        """Fetch a public document, without the key, unless it is the one with this ETag.

        Args:
            url: Where it is.
            etag: Of the version that is known.
            timeout_s: Longest time for all of it, in seconds.
            max_bytes: Largest document, after decompression.

        Returns:
            The response, with status 304 and no body where nothing has changed.

        Raises:
            TransportError: The server could not be reached, or the document is too large or incomplete.
        """
        shown = shown_url(url)

        def late() -> TransportTimeout:
            return TransportTimeout(f"{shown} was not fetched within {timeout_s:g} s")

        def too_large() -> TransportError:
            return TransportError(f"{shown} has more than the {max_bytes:,} bytes accepted")

        async def read(reply: HttpReply) -> HttpResponse:
            content = await reply.read(max_bytes=max_bytes, too_large=too_large)
            return HttpResponse(reply.status, reply.headers, content)

        async with Deadline(now() + timeout_s, late):
            return await self.visit(url, read, headers={"If-None-Match": etag} if etag else {})

    async def visit(
        self,
        url: str,
        read: Callable[[HttpReply], Awaitable[_T]],
        *,
        headers: Mapping[str, str] | None = None,
        checks: bool = False,
    ) -> _T:
        """Request a file from any server, without the key, and return what *read* makes of the response.

        Args:
            url: Where it is. Redirects are not followed.
            read: Reads the response, or leaves its body unread.
            headers: Further ones.
            checks: Whether a direct connection is made to public addresses only, or to the endpoint's own host. A proxy
                resolves names itself, so nothing can be checked there.

        Raises:
            TransportError: The server could not be reached, or the connection broke.
        """
        route = self._shared_route(url, checks=checks)
        timeouts = {
            "connect": self._connect_timeout_s,
            "read": _DOWNLOAD_SILENCE_S,
            "write": None,
            "pool": None,
        }
        with translating(url, route.proxy):
            request = httpx.Request(
                "GET", url, extensions={"timeout": timeouts},
                headers={"Accept": "*/*", "Accept-Encoding": ACCEPTED_ENCODINGS, "User-Agent": self._user_agent,
                         **(headers or {})},
            )  # fmt: skip
            response = await route.transport.handle_async_request(request)
            try:
                return await read(HttpReply(response, url, host_of(url), route.proxy, None))
            finally:
                await response.aclose()
                await route.close_desynchronized()

    # --- the steps of a request ----------------------------------------------------------------------------

    def _request(self, method: str, path: str, body: _Body, headers: Mapping[str, str] | None) -> httpx.Request:
        if path and path[0] not in "/?":  # appended to `https://host`, any other text could name another host
            raise ValueError(f"Invalid path {path!r:.80}: expected it to begin with / or ?.")
        sent = {"Accept": "*/*", "Accept-Encoding": ACCEPTED_ENCODINGS, "User-Agent": self._user_agent}
        timeouts = {"connect": self._connect_timeout_s, "read": None, "write": None, "pool": None}
        extensions: dict[str, Any] = {"timeout": timeouts}
        length = len(body.encoded())
        if length:
            sent |= {"Content-Type": "application/json", "Content-Length": str(length)}
        else:
            extensions["trace"] = body.on_event
        with translating(self.endpoint, None, body):
            content = body if length else None
            request = httpx.Request(method, self.endpoint + path, headers=sent, content=content, extensions=extensions)
            if headers:
                request.headers.update(headers)  # which replaces those of the same name, in any case
        if self._sends_key and self._key is not None:
            request.headers["Authorization"] = f"Bearer {self._key()}"  # no variable keeps it: tracebacks show those
        return request

    async def _respond(self, route: _Route, request: httpx.Request, body: _Body) -> httpx.Response:
        """Send a request to the service and wait for the head of its response."""
        with translating(self.endpoint, route.proxy, body):
            response = await route.transport.handle_async_request(request)
        if response.status_code == _PROXY_WANTS_PASSWORD and route.proxy is not None:
            await response.aclose()
            _proxy_failed(route.proxy, self.host, "it requires a user and a password", may_have_arrived=False)
        return response

    def _note(self, direction: str, content: bytes) -> None:
        wire_trace.note(direction, self.host, content, "" if self._key is None else self._key())

    # --- connections -----------------------------------------------------------------------------------

    def _take_route(self) -> _Route:
        """Return a connection to the service, for one request at a time.

        httpx's client spends half of its time on redirects, cookies, authentication and a pool that looks at every
        connection for each request. A bare transport for each connection spares that.
        """
        if self._free_routes:
            return self._free_routes.pop()
        route = self._new_route(self.endpoint)
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
            self._certificates = _certificates()
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
        return is_own_host(host, port, scheme="", endpoint=self.endpoint)

    # --- messages ----------------------------------------------------------------------------------

    def _late(self, body: _Body, proxy: Proxy | None, timeout_s: float) -> TransportTimeout:
        if body.has_left:
            return TransportTimeout(f"{self.host} did not respond within {timeout_s:.3g} s")
        reason = f"no connection within {timeout_s:.3g} s"
        return TransportTimeout(unreachable(self.host, reason, proxy), may_have_arrived=False)


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
def translating(url: str, proxy: Proxy | None, body: _Body | None = None) -> Iterator[None]:
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
        has_left: Whether a part of the request can have reached the service.
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


def _certificates() -> ssl.SSLContext:
    """Load the certificates of trusted authorities.

    Raises:
        TransportError: The environment names a file or folder without any.
    """
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        failed = TransportError(
            f"The certificates to trust cannot be loaded ({error}). Nothing was sent. "
            "Correct or unset SSL_CERT_FILE and SSL_CERT_DIR",
            may_have_arrived=False,
        )
        failed.retryable = False
        raise failed from error


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` asks to wait, from a number or a date; None without a usable value."""
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


def normalized(url: str) -> str:
    """Return a URL as httpx parses it, so that the URL that is checked is the one that is requested.

    Raises:
        ValueError: It is not a URL.
    """
    try:
        return str(httpx.URL(url))
    except (httpx.InvalidURL, TypeError) as error:
        raise ValueError(str(error)) from error
