"""HTTP: one POST carries tasks out and their answer back. The only importer of httpx."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from urllib.parse import urljoin, urlsplit

import httpx

from ..errors import MediaError, ProtocolError, TransportError
from ..settings import Settings
from ..wire.classify import task_error
from ..wire.frames import Frame, Item, authentication_task, encode_frame, parse_frame
from ..wire.redact import host_of, redact_text, show_url
from .base import Listener
from .safety import check_address, check_hop
from .trace import wire_trace

__all__ = ["MAX_MEDIA_BYTES", "RestTransport"]

MAX_MEDIA_BYTES = 512 * 1024 * 1024
"""Largest file downloaded, in bytes."""

_MAX_REDIRECTS = 5
_GONE = {401, 403, 404, 410}


class RestTransport:
    """Tasks over HTTP, and media downloads.

    Args:
        settings: Addresses, key and bounds.
        listener: Hears the answers; None for a transport that is only asked through `exchange`.
        user_agent: How we call ourselves.
    """

    pushes = False
    is_open = True  # each request makes its own connection

    def __init__(self, settings: Settings, listener: Listener | None, *, user_agent: str) -> None:
        self._settings = settings
        self._listener = listener
        self._user_agent = user_agent
        self._rest_url = httpx.URL(settings.rest_url)
        self._lines: set[httpx.AsyncHTTPTransport] = set()
        self._free_lines: list[httpx.AsyncHTTPTransport] = []
        self._is_proxied: bool | None = None
        self._media: httpx.AsyncClient | None = None
        self._certificates: ssl.SSLContext | None = None

    async def open(self) -> None:
        """Nothing to do: every request stands alone."""

    async def send(self, tasks: Sequence[Item], *, timeout_s: float) -> None:
        """Post tasks and hand on the answer. See `Transport.send`."""
        frame = await self.exchange(tasks, timeout_s=timeout_s)
        orphans = [error for error in frame.errors if not error.get("taskUUID")]
        if orphans and not frame.items:
            raise task_error(orphans[0], http_status=frame.http_status, retry_after_s=frame.retry_after_s)
        if self._listener is not None:
            self._listener.on_frame(frame)

    async def exchange(self, tasks: Sequence[Item], *, timeout_s: float) -> Frame:
        """Post tasks and return the answer as it comes.

        Raises:
            TransportError: It was not sent, or its answer was lost.
            ProtocolError: The answer cannot be read.
        """
        key = self._settings.require_key().reveal()
        headers = {"Content-Type": "application/json"}
        if self._settings.auth_in_payload:
            tasks = [authentication_task(key), *tasks]
        else:
            headers["Authorization"] = f"Bearer {key}"
        timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, self._settings.connect_timeout_s))
        body, host = encode_frame(tasks), host_of(self._settings.rest_url)
        if wire_trace.is_on:
            wire_trace.note("sent", host, body, key)
        try:
            answer = await self._post(body.encode(), headers, timeout)
        except httpx.HTTPError as error:
            raise _translated(error, self._settings.rest_url) from error
        text = answer.content
        if wire_trace.is_on:
            wire_trace.note("received", host, text, key)
        if key.encode() in text:
            text = redact_text(answer.text, [key]).encode()
        return parse_frame(text, http_status=answer.status_code, retry_after_s=_retry_after_s(answer.headers))

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
        key = self._settings.require_key().reveal()
        tasks = [] if self._settings.auth_in_payload else [authentication_task(key)]  # `exchange` adds it then
        frame = await self.exchange(tasks, timeout_s=self._settings.connect_timeout_s)
        if frame.errors:
            error = task_error(frame.errors[0], http_status=frame.http_status, retry_after_s=frame.retry_after_s)
            raise error
        if not any(item.get("taskType") == "authentication" for item in frame.items):
            host = urlsplit(self._settings.rest_url).netloc.rpartition("@")[2]
            raise ProtocolError(f"{host} neither accepted nor refused the key (HTTP {frame.http_status}).")

    @contextlib.asynccontextmanager
    async def stream(self, tasks: Sequence[Item], *, timeout_s: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """Post a task whose answer is a stream of events, and give its bytes as they come.

        Args:
            tasks: One text task with `deliveryMethod` stream.
            timeout_s: Longest silence, in seconds.

        Raises:
            TaskError: The service refused it before the stream began.
            TransportError: It was not sent, or the connection broke.
            ProtocolError: The answer is neither a stream nor an error.
        """
        timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, self._settings.connect_timeout_s))
        key = self._settings.require_key().reveal()
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream", "Authorization": f"Bearer {key}"}
        client = self._make_client()  # its own: a long stream must not keep a place from short requests
        try:
            async with client.stream("POST", self._settings.rest_url, content=encode_frame(tasks).encode(),
                                     headers=headers, timeout=timeout) as answer:  # fmt: skip
                if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                    body = redact_text((await answer.aread()).decode("utf-8", "replace"), [key])
                    frame = parse_frame(body, http_status=answer.status_code)
                    error = frame.errors[0] if frame.errors else {"message": "the service sent no stream"}
                    raise task_error({**error, "taskUUID": tasks[0]["taskUUID"]}, http_status=answer.status_code,
                                     retry_after_s=_retry_after_s(answer.headers))  # fmt: skip
                yield answer.aiter_bytes()
        except httpx.HTTPError as error:
            raise _translated(error, self._settings.rest_url) from error
        finally:
            await client.aclose()

    async def get(self, url: str, etag: str | None) -> tuple[int, bytes, str | None]:
        """Fetch a public document, without the key, unless it is the one with this ETag.

        Returns:
            HTTP status (304 where nothing has changed), body, and the ETag of what came.

        Raises:
            TransportError: The server could not be reached.
        """
        self._media = self._media or self._make_client()
        try:
            answer = await self._media.get(url, headers={"If-None-Match": etag} if etag else {}, timeout=10.0)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TransportError(f"{show_url(url)[:200]} cannot be fetched: {error}") from error
        return answer.status_code, answer.content, answer.headers.get("etag")

    async def download(self, url: str, *, max_bytes: int = MAX_MEDIA_BYTES) -> bytes:
        """Fetch a medium, without the key, from where it may come.

        Args:
            url: Its address.
            max_bytes: Largest file taken.

        Raises:
            MediaError: The address is not allowed, the file is gone or too large.
            TransportError: The connection failed; trying again may help.
        """
        if self._media is None:
            self._media = self._make_client()
        came_from: str | None = None
        for _ in range(_MAX_REDIRECTS + 1):
            is_local = check_hop(url, came_from=came_from, endpoint=self._settings.rest_url)
            await _check_name(url, is_local=is_local)
            try:
                async with self._media.stream("GET", url, timeout=60.0) as answer:
                    _check_connection(answer, is_local=is_local)
                    if not answer.is_redirect:
                        return await _read(answer, url, max_bytes)
                    came_from, url = url, urljoin(url, answer.headers.get("location", ""))
            except httpx.HTTPError as error:
                raise _translated(error, url) from error
        raise MediaError(f"media address {show_url(url)[:200]!r} refused: more than {_MAX_REDIRECTS} redirects")

    async def aclose(self) -> None:
        """Close all connections."""
        lines, self._lines, self._free_lines = self._lines, set(), []
        media, self._media = self._media, None
        for line in lines:
            await line.aclose()
        if media is not None:
            await media.aclose()

    async def _post(self, body: bytes, headers: dict[str, str], timeout: httpx.Timeout) -> httpx.Response:
        """Post to the service, on a connection of its own while it lasts.

        httpx's client spends half of its time on redirects, cookies, authentication and a pool that looks at every
        connection for each request. A bare transport for each connection spares that; where a proxy is to be used,
        which the client knows how to, it is taken all the same.
        """
        if self._is_proxied is None:
            self._is_proxied = _uses_proxy(self._settings.rest_url)
        if self._is_proxied:
            self._media = self._media or self._make_client()
            return await self._media.post(self._settings.rest_url, content=body, headers=headers, timeout=timeout)
        line = self._free_lines.pop() if self._free_lines else self._make_line()
        request = httpx.Request(
            "POST", self._rest_url, headers={**headers, "User-Agent": self._user_agent, "Accept": "*/*"}, content=body,
            extensions={"timeout": timeout.as_dict()},
        )  # fmt: skip
        try:
            answer = await line.handle_async_request(request)
            try:
                await answer.aread()
            finally:
                await answer.aclose()
        finally:
            if line in self._lines:
                self._free_lines.append(line)
        return answer

    def _make_line(self) -> httpx.AsyncHTTPTransport:
        if self._certificates is None:
            self._certificates = httpx.create_ssl_context()
        line = httpx.AsyncHTTPTransport(verify=self._certificates, limits=httpx.Limits(max_connections=1))
        self._lines.add(line)
        return line

    def _make_client(self) -> httpx.AsyncClient:
        if self._certificates is None:
            self._certificates = httpx.create_ssl_context()
        return httpx.AsyncClient(verify=self._certificates, headers={"User-Agent": self._user_agent})


def _translated(error: httpx.HTTPError, url: str) -> TransportError:
    """Make our error of httpx's, with the host and what to try."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError):
        return TransportError(
            f"{host} cannot be reached ({str(error) or type(error).__name__}); check the network and the address",
            may_have_arrived=False,
        )
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL | httpx.LocalProtocolError):
        return TransportError(f"{show_url(url)[:200]!r} is no address to send to: {error}", may_have_arrived=False)
    if isinstance(error, httpx.TimeoutException):
        return TransportError(f"{host} did not answer in time")
    return TransportError(f"the connection to {host} broke ({str(error) or type(error).__name__})")


def _retry_after_s(headers: httpx.Headers) -> float | None:
    """Read `Retry-After`: seconds, or a date."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


async def _check_name(url: str, *, is_local: bool) -> None:
    """Look the name up first, so that no request is even sent to a private address."""
    parts = urlsplit(url)
    if is_local or _uses_proxy(url):
        return
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, None)
    except OSError as error:
        raise TransportError(f"{parts.hostname} cannot be found: {error}", may_have_arrived=False) from error
    for entry in found:
        check_address(str(entry[4][0]), is_local=is_local)


def _check_connection(answer: httpx.Response, *, is_local: bool) -> None:
    stream = answer.extensions.get("network_stream")
    address = stream.get_extra_info("server_addr") if stream is not None else None
    if address and not _uses_proxy(str(answer.url)):
        check_address(str(address[0]), is_local=is_local)


def _uses_proxy(url: str) -> bool:
    """Whether a proxy makes the connection: then its address says nothing about the target."""
    import urllib.request

    parts = urlsplit(url)
    has_proxy = parts.scheme in urllib.request.getproxies() or "all" in urllib.request.getproxies()
    return has_proxy and not urllib.request.proxy_bypass(parts.hostname or "")


async def _read(answer: httpx.Response, url: str, max_bytes: int) -> bytes:
    host = host_of(url)
    if answer.status_code in _GONE:
        raise MediaError(f"{host} no longer has this file (HTTP {answer.status_code})", is_expired=True)
    if not answer.is_success:
        raise TransportError(f"{host} answered HTTP {answer.status_code}", http_status=answer.status_code)
    if int(answer.headers.get("content-length") or 0) > max_bytes:
        raise MediaError(
            f"a file of {answer.headers['content-length']} bytes from {host} is over the {max_bytes} taken"
        )
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > max_bytes:
            raise MediaError(f"a file from {host} is over the {max_bytes} bytes taken")
    return bytes(body)
