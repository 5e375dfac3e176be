"""Whether a URL from a service can be used at all, before a resolver or a library fails on it."""

from __future__ import annotations

from urllib.parse import urlsplit

from ..errors import MediaError

__all__ = ["check_media_url"]

_LONGEST_URL = 8192
_LONGEST_LABEL = 63
_LONGEST_HOST = 253


def check_media_url(url: str) -> str:
    """Return a URL of a medium if a request can be written for it.

    Raises:
        MediaError: It cannot be used: it has no host or one that no resolver accepts, or contains characters that no
            URL has.
    """
    fault = _fault_of(url)
    if fault is not None:
        shown = url[:200].encode("unicode_escape").decode()
        raise MediaError(f"the URL '{shown}' cannot be used: {fault}")
    return url


def _fault_of(url: str) -> str | None:
    if len(url) > _LONGEST_URL:
        return f"it has {len(url):,} characters"
    if not url.isprintable() or " " in url:
        return "it contains a character that is not allowed in a URL"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in {"http", "https"}:
        return "only http and https are fetched"
    host = parts.hostname or ""
    try:
        name = host if ":" in host else host.encode("idna").decode()
    except UnicodeError:
        name = ""
    labels = name.removesuffix(".").split(".")
    if (":" not in name and not all(0 < len(label) <= _LONGEST_LABEL for label in labels)) or len(name) > _LONGEST_HOST:
        return "its host is not a valid name"
    return None
