"""Which addresses a download may go to. Pure rules; `rest` applies them at every hop."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from ..errors import MediaError
from ..wire.redact import show_url

__all__ = ["check_address", "check_hop"]

_PORTS = {"http": 80, "https": 443}


def check_hop(url: str, *, came_from: str | None, endpoint: str) -> bool:
    """Check one address of a download before it is asked for.

    Args:
        url: Where to go.
        came_from: The address that redirected there; None for the first.
        endpoint: The service's own address.

    Returns:
        Whether it is the endpoint's own host and port on this machine, where private addresses are fine.

    Raises:
        MediaError: The address is not one to go to.
    """
    try:
        parts, port = urlsplit(url), urlsplit(url).port
    except ValueError as error:
        raise MediaError(f"media address {show_url(url)[:200]!r} refused: {error}") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise MediaError(f"media address {show_url(url)[:200]!r} refused: only http and https are fetched")
    if came_from is not None and urlsplit(came_from).scheme == "https" and parts.scheme == "http":
        raise MediaError(f"media address {show_url(url)[:200]!r} refused: a redirect from https to http")
    own = urlsplit(endpoint)
    is_own = (parts.hostname, port or _PORTS[parts.scheme]) == (own.hostname, own.port or _PORTS[own.scheme])
    is_local = is_own and _is_private(parts.hostname) is not False
    if not is_local and _is_private(parts.hostname):
        raise MediaError(f"media address {show_url(url)[:200]!r} refused: it points into a private network")
    return is_local


def check_address(address: str, *, is_local: bool) -> None:
    """Check the address that a connection really has, so that no name can hide a private one.

    Args:
        address: IP address in text form.
        is_local: What `check_hop` said.

    Raises:
        MediaError: It is private and must not be.
    """
    if not is_local and _is_private(address):
        raise MediaError(f"media from {address} refused: it is inside a private network")


def _is_private(host: str) -> bool | None:
    """Say whether a host is private; None for a name, of which nobody knows before it is looked up."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return not address.is_global or address.is_multicast
