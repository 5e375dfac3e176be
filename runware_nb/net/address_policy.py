"""Which addresses a download may go to. Pure rules; `net.downloads` applies them at every hop."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from ..core.redaction import host_of, show_url
from ..errors import MediaError

__all__ = ["check_address", "check_hop", "is_own_host", "is_private_host", "shown_url"]

_PORTS = {"http": 80, "https": 443}


def shown_url(url: str) -> str:
    """Format a URL for a message: without user, password, query and fragment, where secrets travel."""
    url = show_url(url)
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(a URL that cannot be parsed)"
    host = host_of(url)
    if parts.scheme in {*_PORTS, "ws", "wss"} and host:
        return repr(f"{parts.scheme}://{host}{parts.path}"[:200])
    return repr(url.partition("?")[0].partition("#")[0].rpartition("@")[2][:200])


def is_own_host(host: str, port: int | None, *, scheme: str, endpoint: str) -> bool:
    """Return whether a host and port are the endpoint's own, which may be inside a private network."""
    own = urlsplit(endpoint)
    return (host, port or _PORTS.get(scheme)) == (own.hostname, own.port or _PORTS.get(own.scheme))


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
        raise MediaError(f"media URL {shown_url(url)} refused: {error}") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise MediaError(f"media URL {shown_url(url)} refused: only http and https are fetched")
    if came_from is not None and urlsplit(came_from).scheme == "https" and parts.scheme == "http":
        raise MediaError(f"media URL {shown_url(url)} refused: a redirect from https to http")
    is_own = is_own_host(parts.hostname, port, scheme=parts.scheme, endpoint=endpoint)
    is_private = is_private_host(parts.hostname)
    is_local = is_own and is_private is not False
    if is_private and not is_local:
        raise MediaError(f"media URL {shown_url(url)} refused: it points into a private network")
    return is_local


def check_address(address: str, *, is_local: bool) -> None:
    """Check an address that a name was resolved to, before a connection to exactly this address is made.

    Args:
        address: IP address in text form.
        is_local: Whether the host is the endpoint's own.

    Raises:
        MediaError: It is private and must not be.
    """
    if not is_local and is_private_host(address):
        raise MediaError(f"media from {address} refused: it is inside a private network")


def is_private_host(host: str) -> bool | None:
    """Return whether a host is inside a private network; None for a name, which is not known before it is resolved.

    Args:
        host: Name or IP address, without brackets and port.
    """
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return not address.is_global or address.is_multicast
