"""Short reprs: a notebook prints the repr of a cell's last value, and saves it."""

from __future__ import annotations

import dataclasses
import enum
import reprlib
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

__all__ = ["printable", "short_repr", "shortened"]

T = TypeVar("T")
_LONGEST = 300
_LONGEST_FIELD = 72

_shortening = reprlib.Repr()
_shortening.maxstring = _shortening.maxother = _shortening.maxlong = _LONGEST_FIELD


def printable(text: object) -> str:
    """Format a text for output: the bytes of a file name that are not UTF-8 are shown as escapes.

    Python reads such a byte as half of a surrogate pair, which neither a terminal nor a notebook file takes. Inside
    JSON the escape is read as the same half again, and so names the same file.
    """
    return str(text).encode("utf-8", "backslashreplace").decode()


def short_repr(*names: str) -> Callable[[type[T]], type[T]]:
    """Replace the repr of a dataclass by one of at most about 300 characters, whatever it contains.

    Args:
        *names: Fields to show; by default, those that differ from their default, as far as they fit. Collections
            and nested dataclasses appear with their size or name only.
    """

    def decorate(kind: type[T]) -> type[T]:
        def __repr__(self: Any) -> str:  # noqa: N807 - it becomes the method of that name
            return _format(self, names)

        kind.__repr__ = __repr__  # type: ignore[method-assign]
        return kind

    return decorate


def shortened(text: str, longest: int = _LONGEST_FIELD) -> str:
    """Cut a text that is longer than *longest* characters, and end it with an ellipsis."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _format(value: Any, names: Collection[str]) -> str:
    parts: list[str] = []
    size = len(type(value).__name__) + 2
    for field in dataclasses.fields(value):
        if not field.repr or (names and field.name not in names):
            continue
        content = getattr(value, field.name)
        if not names and _is_default(field, content):
            continue
        part = f"{field.name}={_field(content)}"
        if size + len(part) > _LONGEST:
            parts.append("…")
            break
        parts.append(part)
        size += len(part) + 2
    return f"{type(value).__name__}({', '.join(parts)})"


def _is_default(field: dataclasses.Field[Any], content: Any) -> bool:
    if content is field.default:
        return True
    is_empty = isinstance(content, str | Mapping | list | tuple) and not content
    return is_empty or (isinstance(content, str | int | float) and content == field.default)


def _field(content: Any) -> str:
    if isinstance(content, enum.Enum):
        content = content.value
    if isinstance(content, bytes | bytearray):
        return f"<{len(content)} bytes>"
    if isinstance(content, Mapping):
        return f"<{len(content)} keys>"
    if isinstance(content, Collection) and not isinstance(content, str):
        plain = _shortening.repr(content) if all(isinstance(item, str | int | float) for item in content) else ""
        return plain if plain and len(plain) <= _LONGEST_FIELD else f"<{len(content)} items>"
    if dataclasses.is_dataclass(content):
        return f"<{type(content).__name__}>"
    return shortened(_shortening.repr(content))
