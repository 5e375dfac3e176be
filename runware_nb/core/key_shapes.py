"""What a key looks like: the one home of these patterns.

A key in use is found by its value (`redact`). These patterns find the others: a key of another service, or one that a
cell contains and no code has used yet. They are guesses, so they decide only what is stored with a cell's source, what
a magic's line may contain and what may be exported. They never change a request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from .parsing import is_uuid
from .provider_secrets import ProviderSecret, declared_secrets
from .redaction import REDACTED

__all__ = [
    "contains_key",
    "is_secret_name",
    "key_like_spans",
    "looks_like_key",
    "passwords_in_urls",
    "spans_in_line",
]

_KEY_SHAPE = re.compile(r"(?=[A-Za-z0-9_-]*\d)(?=[A-Za-z0-9_-]*[A-Za-z])[A-Za-z0-9_-]{24,}")
_MEDIA = re.compile(r"data:[\w.+/-]+;base64,[A-Za-z0-9+/=\s]+|[A-Za-z0-9+/]{300,}={0,2}")
_KNOWN = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|r8_[A-Za-z0-9]{20,}"
    r"|AKIA[A-Z0-9]{16}|xox[abps]-[A-Za-z0-9-]{10,}|AIza[A-Za-z0-9_-]{30,})"
)
_NAMED = re.compile(
    r"(?i)(?:api[_-]?key|apikey|access[_-]?key|secret|token|password|passwd|bearer|authorization)"
    r"(?:[\"'\s:=(,>]{1,12}|[\"']\]\s*=\s*[rbfu]{0,2}[\"']{1,3})([^\s\"'<>,;)]{8,})"
)
_PASSWORD_IN_URL = re.compile(r"[A-Za-z][\w+.-]{0,40}://[^\s/:@\"'{}]{0,400}:([^\s@\"'{}]{1,400})@")
"""Every part has a limit: without one, each letter of a long word would be the start of another search to its end."""
_WORD = re.compile(r"[A-Za-z0-9_-]{24,}")
_HEX = re.compile(r"(?:IPY_MODEL_)?[0-9a-fA-F-]+")
"""Hashes, and the references to widgets in the state of widgets that a notebook saves."""
_URL = re.compile(r"https?://\S+")
_SECRET_NAME = re.compile(
    r"(?i)(?:api[_-]?key|access[_-]?key|secret[_-]?key|(?:^|[_-])(?:secret|token|password|passwd|authorization))$"
)


@lru_cache(maxsize=4)
def _declared_values(entries: tuple[ProviderSecret, ...]) -> re.Pattern[str] | None:
    """Return the pattern of a value that follows a variable of a declared secret; None if nothing is declared."""
    names = "|".join(re.escape(name) for secret in entries for name in secret.variables)
    return re.compile(rf"\b(?:{names})\b[\"'\]\s:=,]+(?![{{$\[])([^\s\"']+)") if names else None


@lru_cache(maxsize=4)
def _declared_shapes(entries: tuple[ProviderSecret, ...]) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return the shape and the label of each declared secret that has a shape of its own."""
    return tuple(
        (re.compile(rf"(?<![A-Za-z0-9_-])(?:{secret.shape})(?![A-Za-z0-9_-])"), secret.label)
        for secret in entries
        if secret.shape
    )


def looks_like_key(word: str) -> bool:
    """Return whether a word has the shape of an API key.

    It is a declared shape, or 24 or more letters and digits mixed that are not a UUID.
    """
    if any(shape.fullmatch(word) for shape, _ in _declared_shapes(declared_secrets.entries)):
        return True
    return bool(_KEY_SHAPE.fullmatch(word)) and not is_uuid(word)


def contains_key(text: str) -> bool:
    """Return whether a text contains a key of a declared or well-known shape.

    It does not guess from the length of a word: ids of media and signed URLs, which belong into requests, are as long.
    """
    return bool(_KNOWN.search(text)) or any(
        shape.search(text) for shape, _ in _declared_shapes(declared_secrets.entries)
    )


def is_secret_name(name: str) -> bool:
    """Return whether a variable, argument or field of this name holds a secret, such as `api_key` or `HF_TOKEN`."""
    return bool(_SECRET_NAME.search(name)) or name in declared_secrets.variables


def key_like_spans(text: str) -> Iterator[tuple[int, int, str]]:
    """Find what looks like a key in a text; media in base64 are skipped.

    Args:
        text: Any text.

    Yields:
        Start, end, and what gives it away, without the key.
    """
    text = _MEDIA.sub(_blank, text)
    for match in _KNOWN.finditer(text):
        yield match.start(), match.end(), "a key of a well-known shape"
    for shape, label in _declared_shapes(declared_secrets.entries):
        for match in shape.finditer(text):
            yield match.start(), match.end(), f"what looks like a {label}"
    for match in _NAMED.finditer(text):
        value = match[1]
        if any(c.isdigit() for c in value) and any(c.isalpha() for c in value) and REDACTED not in value:
            name = match[0][: match.start(1) - match.start(0)].strip()
            yield match.start(1), match.end(1), f"something that follows {name!r}"
    for match in _WORD.finditer(_URL.sub(_blank, text)):
        word = match[0]
        if looks_like_key(word) and not _HEX.fullmatch(word) and word.lower() != word and word.upper() != word:
            yield match.start(), match.end(), f"a word of {len(word)} letters and digits, as keys are"


def spans_in_line(line: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each key or password in a line of a magic or of a shell.

    There, any value of a provider's variable is one, and so is a password in a URL.
    """
    yield from ((start, end) for start, end, _ in key_like_spans(line))
    values = _declared_values(declared_secrets.entries)
    for match in values.finditer(line) if values is not None else ():
        if match[1] != REDACTED:
            yield match.start(1), match.end(1)
    yield from passwords_in_urls(line)


def passwords_in_urls(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each password in a URL."""
    for match in _PASSWORD_IN_URL.finditer(text):
        if match[1] != REDACTED:
            yield match.start(1), match.end(1)


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])
