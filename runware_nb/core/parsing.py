"""JSON from a service, as values that every other module can use: finite numbers, valid text, no endless nesting.

Responses are normalized here, once. The modules behind can therefore convert any number to a float, store and show any
text, and walk any value.
"""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["TOO_DEEP", "as_identifier", "is_uuid", "parse_json"]

TOO_DEEP = "[nested too deep]"
"""Stands for a value that was left out because of its depth."""
_DEEPEST = 64
"""Levels of nesting that are kept. The deepest known response has 8; encoders and viewers fail at several hundred."""
_MOST_DIGITS = 300
"""Digits of an integer that is kept as a number: with more, it cannot be converted to a float."""
_LONGEST_IDENTIFIER = 200
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def parse_json(text: str | bytes) -> Any:
    """Parse JSON that was written by others.

    What no JSON reader, database or text file could hold is replaced, and everything else is kept:

    * A number that is not finite, or has more than 300 digits, becomes its text, such as `"NaN"` or `"1e999"`. It is
      kept for the reader of the raw response, and is not taken for a number.
    * Half of a surrogate pair becomes U+FFFD.
    * A value below 64 levels of nesting becomes `TOO_DEEP`.
    * Of several equal keys in an object, the last counts.

    Raises:
        ValueError: It is not JSON, or it is nested so deep that it cannot be read.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "replace")
    text = text.removeprefix("\ufeff")
    try:
        value = json.loads(text, parse_int=_parse_int, parse_float=_parse_float, parse_constant=str)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    # Most responses need no second look. Counting and searching take microseconds, even in a response of megabytes.
    if text.count("[") + text.count("{") > _DEEPEST or "\\ud" in text or "\\uD" in text or not _is_valid(text):
        return _cleaned(value, _DEEPEST)
    return value


def as_identifier(value: Any) -> str | None:
    """Return an identifier as text: printable characters alone, at most 200; None if the value is not one."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    if value.isprintable() and 0 < len(value) <= _LONGEST_IDENTIFIER:
        return value
    return "".join(character for character in value[:10_000] if character.isprintable())[:_LONGEST_IDENTIFIER] or None


def is_uuid(text: str) -> bool:
    """Return whether a text is a UUID in its usual 36 characters."""
    return _UUID.fullmatch(text) is not None


def _parse_int(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def _parse_float(digits: str) -> float | str:
    number = float(digits)
    return number if number - number == 0 else digits  # infinity minus itself is NaN


def _is_valid(text: str) -> bool:
    """Return whether text can be encoded, which half of a surrogate pair cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _cleaned(value: Any, levels: int) -> Any:
    """Rebuild a value with valid text and not too many levels; *levels* bounds this function's own recursion too."""
    if isinstance(value, str):
        return value if _is_valid(value) else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict | list) and levels == 0:
        return TOO_DEEP
    if isinstance(value, dict):
        return {_cleaned(key, levels): _cleaned(inner, levels - 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [_cleaned(inner, levels - 1) for inner in value]
    return value
