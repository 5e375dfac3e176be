"""Which proxy a connection goes through, and how to tell the user that it cannot be used."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..core.redaction import host_of
from ..reprs import short_repr

__all__ = ["Proxy", "proxy_for", "unreachable"]

_SETTINGS_FOR = {
    "https": ("https", "all"),
    "http": ("http", "all"),
    "wss": ("wss", "socks", "https", "all"),
    "ws": ("ws", "socks", "https", "http", "all"),
}
"""The settings that apply to each scheme, in the order in which httpx and websockets look for them. `all` counts for
WebSockets too, so that one variable sends both transports the same way."""


@short_repr()
@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that the environment or the system asks for.

    Attributes:
        url: With its password, if it has one. Never shown.
        variable: The environment variable that names it, in capitals (the same in small letters counts as well), or a
            description of where else it was set.
    """

    url: str = field(repr=False)
    variable: str

    @property
    def shown(self) -> str:
        """Scheme, host and port, without user and password."""
        scheme = self.url.partition("://")[0]
        return f"{scheme}://{host_of(self.url)}" if host_of(self.url) else "without a host"

    def failure(self, host: str, reason: str) -> str:
        """Format the sentence for a connection that this proxy did not make."""
        return (
            f"{host} cannot be reached through the proxy {self.shown} of {self.variable} ({reason}). Nothing was sent. "
            f"Correct or unset {self.variable}, or add the host to NO_PROXY"
        )


def unreachable(host: str, reason: str, proxy: Proxy | None) -> str:
    """Format the sentence for a connection that was not made before anything was sent, with its proxy if it has one."""
    if proxy is not None:
        return proxy.failure(host, reason)
    return f"{host} cannot be reached ({reason}). Nothing was sent"


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy for a URL; None if the connection is made directly.

    Both transports ask here, and so do the rules for downloads: if they disagreed, a download could be made directly
    without the check of the address that direct connections need.

    Args:
        url: With the scheme http, https, ws or wss.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    proxies = urllib.request.getproxies()
    for name in _SETTINGS_FOR.get(parts.scheme, ()):
        proxy_url = proxies.get(name)
        if not proxy_url:
            continue
        if urllib.request.proxy_bypass(f"{host}:{port}" if port else host):
            return None
        if "://" not in proxy_url:
            proxy_url = f"http://{proxy_url}"
        elif name == "socks" and proxy_url.startswith("http://"):  # how operating systems write a SOCKS proxy
            proxy_url = f"socks5h://{proxy_url[7:]}"
        return Proxy(proxy_url, _variable(name))
    return None


def _variable(name: str) -> str:
    is_variable = name in urllib.request.getproxies_environment()
    return f"{name.upper()}_PROXY" if is_variable else "the system's proxy settings"
