"""Checks of the values in records of others: each has a type, a form and a range, and anything else is refused."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping
from typing import Any

from ..core.parsing import is_uuid
from ..errors import BundleError

__all__ = [
    "LONGEST_PROMPT", "check_json", "is_media_name", "read_amount", "read_count", "read_flag", "read_hash",
    "read_media_name", "read_object", "read_text", "read_time", "read_uuid", "read_word", "shortened_value",
]  # fmt: skip

LONGEST_PROMPT = 1_000_000
_DEEPEST = 40
"""Levels of lists and objects in a value. A request of the service has about five."""
_SMALLEST_INTEGER, _LARGEST_INTEGER = -(2**63), 2**64 - 1
_MEDIA_NAME = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}\.[a-z0-9]{1,8}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters except tab and line breaks, and marks that change the direction in which a text is read."""
_BREAK = re.compile("[\t\n\r\u2028\u2029]+")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+-]*")
_HASH = re.compile(r"[0-9a-f]{64}")
_FIRST_DAY, _LAST_DAY = dt.datetime(2000, 1, 1, tzinfo=dt.UTC), dt.datetime(2200, 1, 1, tzinfo=dt.UTC)


def is_media_name(name: object) -> bool:
    """Return whether this is a name that the media folder uses, so that it cannot lead outside the folder."""
    return isinstance(name, str) and _MEDIA_NAME.fullmatch(name) is not None


def shortened_value(value: Any) -> str:
    """Format a value for a sentence: in one line, short, and without control characters."""
    text = ascii(value[:60] if isinstance(value, str) else value) if _is_small(value) else f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:79]}…"


def _is_small(value: Any) -> bool:
    """Return whether a value can be formatted quickly: no list that is nested deeply, no integer of many digits."""
    return isinstance(value, str | float | bool | None) or (isinstance(value, int) and abs(value) < 2**200)


def check_json(value: Any, name: str) -> None:
    """Check a value at any depth: views, other programs and every database must be able to hold it.

    Raises:
        BundleError: It is nested too deeply, or has an integer above 64 bits, NaN, infinity or half a surrogate pair.
    """
    waiting = [(value, 1)]
    while waiting:
        inner, depth = waiting.pop()
        if isinstance(inner, dict | list):
            if depth > _DEEPEST:
                raise BundleError(f"{name} is nested more than {_DEEPEST} levels deep")
            waiting += [(part, depth + 1) for part in (inner.values() if isinstance(inner, dict) else inner)]
            waiting += [(key, depth) for key in (inner if isinstance(inner, dict) else ())]
        elif isinstance(inner, str):
            if _SURROGATE.search(inner):
                raise BundleError(
                    f"{name} contains half of a surrogate pair, which is not valid text: {shortened_value(inner)}"
                )
        elif isinstance(inner, float):
            if not math.isfinite(inner):
                raise BundleError(f"{name} contains {inner}, which is not a finite number")
        elif isinstance(inner, int) and not _SMALLEST_INTEGER <= inner <= _LARGEST_INTEGER:
            raise BundleError(f"{name} contains an integer of more than 64 bits")


def read_object(item: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """Return an object that `check_json` accepts; None if it is not given."""
    value = item.get(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _unexpected(name, value, "an object")
    check_json(value, name)
    return value


def read_text(item: Mapping[str, Any], name: str, *, most: int = 1000, has_lines: bool = False) -> str | None:
    """Return a text without control characters; None if it is not given.

    Args:
        item: The record.
        name: The field.
        most: Longest text, in characters.
        has_lines: Whether line breaks and tabs are kept; otherwise each becomes a space.
    """
    value = item.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _unexpected(name, value, "text")
    if len(value) > most:
        raise BundleError(f"{name} has {len(value):,} characters: expected {most:,} at most")
    check_json(value, name)
    cleaned = _CONTROL.sub("\ufffd", value)
    return cleaned if has_lines else _BREAK.sub(" ", cleaned)


def read_word(item: Mapping[str, Any], name: str, *, most: int) -> str | None:
    """Return a name of ASCII letters, digits and `._:/+-`; None if it is not given."""
    value = item.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > most or _WORD.fullmatch(value) is None:
        raise _unexpected(name, value, f"a name of up to {most} letters, digits and ._:/+-")
    return value


def read_uuid(item: Mapping[str, Any], name: str) -> str | None:
    """Return a UUID in lower case; None if it is not given."""
    value = item.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not is_uuid(value):
        raise _unexpected(name, value, "a task UUID")
    return value.lower()


def read_hash(item: Mapping[str, Any], name: str) -> str | None:
    """Return a SHA-256 in hex; None if it is not given."""
    value = item.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or _HASH.fullmatch(value) is None:
        raise _unexpected(name, value, "64 hexadecimal digits")
    return value


def read_media_name(item: Mapping[str, Any], name: str = "file") -> str | None:
    """Return the name of a file in a media folder; None if it is not given."""
    value = item.get(name)
    if value is not None and not is_media_name(value):
        raise _unexpected(name, value, "the name of a media file, such as ab/abcd….png")
    return value


def read_time(item: Mapping[str, Any], name: str) -> str | None:
    """Return a point in time as the log writes it, in UTC; None if it is not given."""
    value = item.get(name)
    if value is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(value) if isinstance(value, str) and len(value) <= 40 else None
        if moment is None or moment.tzinfo is None or not _FIRST_DAY <= moment < _LAST_DAY:
            raise ValueError
        return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError):
        raise _unexpected(name, value, "an ISO 8601 time with its zone, from 2000 to 2199") from None


def read_count(item: Mapping[str, Any], name: str, *, least: int = 0, most: int = 2**31 - 1) -> int | None:
    """Return an integer in a range; None if it is not given."""
    value = item.get(name)
    if value is None:
        return None
    if type(value) is not int or not least <= value <= most:
        raise _unexpected(name, value, f"an integer from {least} to {most}")
    return value


def read_amount(item: Mapping[str, Any], name: str, *, most: float) -> float | None:
    """Return a number from 0 to *most*; None if it is not given."""
    value = item.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise _unexpected(name, value, f"a number from 0 to {most:g}")
    return float(value)


def read_flag(item: Mapping[str, Any], name: str) -> bool:
    """Return a boolean; False if it is not given."""
    value = item.get(name)
    if value is not None and not isinstance(value, bool):
        raise _unexpected(name, value, "true or false")
    return bool(value)


def _unexpected(name: str, value: Any, expected: str) -> BundleError:
    return BundleError(f"{name} is {shortened_value(value)}: expected {expected}")
