"""Keeping secrets out of everything that is written, shown or saved."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

__all__ = ["REDACTED", "looks_like_key", "redact_account", "redact_task", "redact_text", "redact_url"]

REDACTED = "[redacted]"

_KEY_SHAPE = re.compile(r"(?=[A-Za-z0-9_-]*\d)(?=[A-Za-z0-9_-]*[A-Za-z])[A-Za-z0-9_-]{24,}")
_UUID_SHAPE = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_BEARER = re.compile(r"(?i)(bearer\s+)[^\s\"',]+")
_SECRET_QUERIES = ("webhookURL", "uploadEndpoint")
_SECRET_FIELDS = {"apiKey", "email"}


def redact_text(text: str, secrets: Iterable[str]) -> str:
    """Replace every secret in *text*, and whatever follows `Bearer`."""
    for secret in secrets:
        if secret and secret in text:
            text = text.replace(secret, REDACTED)
    return _BEARER.sub(rf"\g<1>{REDACTED}", text) if "earer " in text else text


def looks_like_key(word: str) -> bool:
    """Whether a word has the shape of an API key: 24 or more letters and digits mixed, and no UUID."""
    return bool(_KEY_SHAPE.fullmatch(word)) and not _UUID_SHAPE.fullmatch(word)


def redact_url(url: str) -> str:
    """Take the query, where tokens travel, and any password out of an address."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, REDACTED if parts.query else "", ""))


def redact_task(task: Mapping[str, Any]) -> dict[str, Any]:
    """Make the form of a task that may be written to disk."""
    return {
        key: redact_url(value) if key in _SECRET_QUERIES and isinstance(value, str) else value
        for key, value in task.items()
        if key not in _SECRET_FIELDS
    }


def redact_account(value: Any) -> Any:
    """Take keys and e-mail addresses out of an account answer, at any depth."""
    if isinstance(value, Mapping):
        return {
            key: REDACTED if key in _SECRET_FIELDS and inner else redact_account(inner) for key, inner in value.items()
        }
    if isinstance(value, list):
        return [redact_account(inner) for inner in value]
    return value
