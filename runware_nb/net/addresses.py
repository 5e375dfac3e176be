"""Connections to checked addresses only: a name is resolved once, and the address that was checked is the one used.

If httpx resolved the name again after the check, a name server could answer the check with a public address and the
connection with a private one (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpcore

from ..errors import MediaError, TransportError
from .address_policy import check_address

__all__ = ["CheckedBackend"]

_STAGGER_S = 0.25
"""How long one address is tried alone before the next is tried as well (RFC 8305)."""


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """The network, as far as downloads may reach it.

    TLS, and with it the server's name in SNI and certificate, stays with httpcore, which knows the host by its name.

    Args:
        may_be_private: Tells for a host and port whether its address may be inside a private network.
    """

    def __init__(self, may_be_private: Callable[[str, int], bool]) -> None:
        self._may_be_private = may_be_private
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve a host, check all of its addresses, and connect to one of them.

        Raises:
            MediaError: One of them is inside a private network, or the host is no valid name.
            TransportError: The host has no address.
            httpcore.ConnectError: None of them accepts connections.
            httpcore.ConnectTimeout: None of them answered in time.
        """
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolve(host, port)
                return await _first(addresses, lambda address: self._network.connect_tcp(
                    address, port, None, local_address, socket_options))  # fmt: skip
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"no connection within {timeout:g} s") from error

    async def connect_unix_socket(self, *_args: Any, **_values: Any) -> httpcore.AsyncNetworkStream:
        """Refuse: no download comes from a Unix socket."""
        raise httpcore.ConnectError("Unix sockets are not used for downloads")

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)

    async def _resolve(self, host: str, port: int) -> list[str]:
        try:
            entries = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise MediaError(f"media from {host[:200]!r} refused: it is not a valid host name") from error
        except OSError as error:
            raise TransportError(f"the host name {host} cannot be resolved: {error}", may_have_arrived=False) from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
        is_local = self._may_be_private(host, port)
        for address in addresses:
            check_address(address, is_local=is_local)
        return _interleaved(addresses)


def _interleaved(addresses: Sequence[str]) -> list[str]:
    """Order addresses so that IPv6 and IPv4 alternate, beginning with the resolver's first."""
    first = [address for address in addresses if (":" in address) == (":" in addresses[0])]
    second = [address for address in addresses if address not in first]
    pairs = itertools.zip_longest(first, second)
    return [address for pair in pairs for address in pair if address is not None]


async def _first(addresses: Sequence[str], connect: Callable[[str], Any]) -> httpcore.AsyncNetworkStream:
    """Connect to the first address that accepts, trying the next one after a short wait or a failure."""
    waiting = list(addresses)
    trying: set[asyncio.Task[httpcore.AsyncNetworkStream]] = set()
    failure: BaseException = httpcore.ConnectError("the host has no address")
    try:
        while waiting or trying:
            if waiting:
                trying.add(asyncio.ensure_future(connect(waiting.pop(0))))
            timeout_s = _STAGGER_S if waiting else None
            done, trying = await asyncio.wait(trying, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is None:
                    trying |= done - {task}  # a second success of the same moment is closed below
                    return task.result()
                failure = error
        raise failure
    finally:
        for task in trying:
            task.cancel()
        for late in await asyncio.gather(*trying, return_exceptions=True):
            if not isinstance(late, BaseException):
                with contextlib.suppress(Exception):
                    await late.aclose()
