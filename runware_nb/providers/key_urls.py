"""Which URLs of a service a key may be sent to."""

from __future__ import annotations

from urllib.parse import urlsplit

from ..errors import ConfigError
from ..net.address_policy import is_private_host

__all__ = ["check_key_url", "is_local_url"]


def check_key_url(url: str, *, service: str, key_label: str) -> str:
    """Return the URL of a service without a slash at its end.

    Args:
        url: The URL.
        service: Name of the service, for the error.
        key_label: What is sent there, for the error.

    Raises:
        ConfigError: The key must not be sent there: only https, or this machine, is safe.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"Invalid {service} URL: its host or its port cannot be read. Nothing was sent.") from error
    if not parts.hostname or parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(
            f"Invalid {service} URL: expected https:// and a host, without user, password and query. Nothing was sent."
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and is_local_url(url)):
        raise ConfigError(
            f"The {key_label} is not sent to {parts.scheme}://{parts.hostname}: expected https, or http on "
            "this machine. Nothing was sent."
        )
    return url.rstrip("/")


def is_local_url(url: str) -> bool:
    """Return whether a URL leads to this machine, where a sandbox may run."""
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or (host.startswith("127.") and is_private_host(host) is True)
