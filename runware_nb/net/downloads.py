"""Downloads of media: without the service's key, only from where they may come, as a whole, and up to a size."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import urljoin, urlsplit

from ..core.redaction import host_of
from ..errors import MediaError, TransportError, TransportTimeout
from .address_policy import check_hop, is_private_host, shown_url
from .deadlines import Deadline, now
from .http import HttpConnection, HttpReply, normalized

__all__ = ["DOWNLOAD_TIMEOUT_S", "MAX_MEDIA_BYTES", "Downloads"]

MAX_MEDIA_BYTES = 512 * 1024 * 1024
"""Largest file downloaded, in bytes."""
DOWNLOAD_TIMEOUT_S = 600.0
"""Longest download, in seconds, unless the caller has a deadline of its own."""

_MAX_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_GONE = {401, 403, 404, 410}


class Downloads:
    """Downloads of the files that a service names in its results.

    Args:
        http: The connections to the service, whose own host may be inside a private network.
    """

    def __init__(self, http: HttpConnection) -> None:
        self._http = http

    async def download(
        self, url: str, *, max_bytes: int = MAX_MEDIA_BYTES, timeout_s: float = DOWNLOAD_TIMEOUT_S
    ) -> bytes:
        """Fetch a medium, without the key, from where it may come.

        Args:
            url: Where it is.
            max_bytes: Largest file accepted, after decompression.
            timeout_s: Longest time for all of it, redirects included, in seconds.

        Raises:
            MediaError: The URL is not allowed, the file is gone (`is_expired`) or too large.
            TransportTimeout: The time is over.
            TransportError: The connection failed, or the file is incomplete; trying again may help.
        """
        return await self._visit(url, partial(_read, max_bytes=max_bytes), timeout_s=timeout_s, reach_local=False)

    async def read_start(self, url: str, *, max_bytes: int, timeout_s: float) -> bytes:
        """Read the first bytes of a file that a user named, without the key.

        Args:
            url: Where it is. It may be on this machine if the service is, too, as a sandbox is.
            max_bytes: How much is read.
            timeout_s: Longest time for all of it, redirects included, in seconds.

        Raises:
            MediaError: The URL is not one to visit.
            TransportTimeout: The time is over.
            TransportError: The file could not be read.
        """
        host = urlsplit(self._http.endpoint).hostname or ""
        reach_local = is_private_host(host) is True
        read = partial(_read_start, max_bytes=max_bytes)
        return await self._visit(url, read, timeout_s=timeout_s, reach_local=reach_local)

    async def _visit(
        self, url: str, read: Callable[..., Awaitable[bytes | str]], *, timeout_s: float, reach_local: bool
    ) -> bytes:
        """Visit a URL and what it redirects to, each only if it is one to go to."""

        def late() -> TransportTimeout:
            return TransportTimeout(f"{host_of(url)} did not send the whole file within {timeout_s:.3g} s")

        async with Deadline(now() + timeout_s, late):
            came_from: str | None = None
            for _ in range(_MAX_REDIRECTS + 1):
                try:
                    hop = normalized(url)
                except ValueError as error:
                    raise MediaError(f"media URL {shown_url(url)} refused: {error}") from error
                is_local = reach_local and is_private_host(urlsplit(hop).hostname or "") is True
                if not is_local:
                    check_hop(hop, came_from=came_from, endpoint=self._http.endpoint)
                received = await self._http.visit(hop, partial(read, host=host_of(hop)), checks=not is_local)
                if isinstance(received, bytes):
                    return received
                came_from, url = hop, _joined(hop, received)
        raise MediaError(f"media URL {shown_url(url)} refused: more than {_MAX_REDIRECTS} redirects")


def _joined(url: str, location: str) -> str:
    """Return where a redirect leads.

    Raises:
        MediaError: It is not a URL.
    """
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise MediaError(f"media URL {shown_url(url)} refused: it redirects to an invalid URL ({error})") from error


async def _read_start(reply: HttpReply, *, host: str, max_bytes: int) -> bytes | str:
    """Read the beginning of a file; of a redirect, return the URL that it names.

    Raises:
        TransportError: There is no file, or its beginning is compressed.
    """
    if reply.status in _REDIRECTS and "location" in reply.headers:
        return reply.headers["location"]
    if not 200 <= reply.status < 300 or reply.headers.get("content-encoding", "identity") != "identity":
        raise TransportError(f"{host} responded with HTTP {reply.status}", http_status=reply.status)
    return await reply.read_start(max_bytes)


async def _read(reply: HttpReply, *, host: str, max_bytes: int) -> bytes | str:
    """Read a medium; of a redirect, return the URL that it names.

    Raises:
        MediaError: It is gone, or too large.
        TransportError: It did not come, or not as a whole.
    """
    if reply.status in _REDIRECTS and "location" in reply.headers:
        return reply.headers["location"]
    if reply.status in _GONE:
        raise MediaError(f"{host} no longer has this file (HTTP {reply.status})", is_expired=True)
    if not 200 <= reply.status < 300:
        raise TransportError(f"{host} responded with HTTP {reply.status}", http_status=reply.status)

    def too_large() -> MediaError:
        return MediaError(f"the file from {host} has more than the {max_bytes:,} bytes accepted for a download")

    content = await reply.read(max_bytes=max_bytes, too_large=too_large)
    if not content:
        raise TransportError(f"{host} sent an empty file (HTTP {reply.status})", http_status=reply.status)
    return content
