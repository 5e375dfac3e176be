"""`{name}` in a prompt or on a line: the value of a variable, or a part of it."""

from __future__ import annotations

import inspect
import math
import numbers
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..core.results import Outcome, Result
from ..reprs import short_repr

__all__ = [
    "PATH",
    "Filled",
    "NoValueError",
    "escape_names",
    "fill_names",
    "find_formatted",
    "find_name",
    "notice_about",
    "read_name",
    "value_of_path",
]

_STEP = r"""\.[^\W\d]\w*|\[-?\d{1,18}\]|\[[^\W\d]\w*\]|\['[^'\\{}\n]*'\]|\["[^"\\{}\n]*"\]"""
PATH = rf"[^\W\d]\w*(?:{_STEP})*"
"""A pattern for `name`, `row.prompt`, `names[0]` and the like."""
_SAVED = r"@[^\W_][\w/-]*"
_PLACE = re.compile(rf"\{{\{{({PATH}|{_SAVED})\}}\}}|\{{({PATH})\}}")
_STEPS = re.compile(_STEP)
_FORMATTED = re.compile(
    rf"(?<!\{{)\{{(?P<name>[^\W\d]\w*)(?:{_STEP})*(?:![rsa](?::[^{{}}\s]*)?|:[^{{}}\s]*|\([^{{}}\n]*\))\}}"
)
_ESCAPABLE = re.compile(rf"\{{({PATH}|{_SAVED})\}}")
_MEMORY_ADDRESS = re.compile(r"\bat 0x[0-9A-Fa-f]+>")
_SHOWN = 5


class NoValueError(Exception):
    """The path has no value that can stand in a text; the message states why."""


@short_repr()
@dataclass(frozen=True, slots=True)
class Filled:
    """A text after names were replaced.

    Attributes:
        text: The result.
        problems: Each `{...}` that stayed as it was although a variable was probably meant, and why.
    """

    text: str
    problems: tuple[tuple[str, str], ...] = ()


def fill_names(template: str, names: Mapping[str, Any], *, leaves_texts: bool = False) -> Filled:
    """Replace `{name}` and paths such as `{row.prompt}`, `{names[0]}`, `{d[key]}` and `{d['a key']}` by their values.

    A path has attributes, integers and text keys. A key without quotes is text, as in `str.format`. Nothing is called,
    and names that begin with an underscore are not read from objects. Replacement happens once: braces in a value are
    not expanded. `{{name}}` is the literal text `{name}`, and `{{@name}}` is `{@name}`. Every other brace stays.

    Args:
        template: The text as typed.
        names: The user's variables.
        leaves_texts: Whether generated texts stay, because the prompt is rendered later, which also records their runs.
    """
    problems: list[tuple[str, str]] = []

    def replace(match: re.Match[str]) -> str:
        literal, path = match.groups()
        if literal is not None:
            return f"{{{literal}}}"
        try:
            value = value_of_path(path, names)
            return match[0] if leaves_texts and _is_generated_text(value) else _text_of(value)
        except NoValueError as reason:
            problems.append((match[0], str(reason)))
            return match[0]

    text = _PLACE.sub(replace, template)
    problems += find_formatted(template, names)
    return Filled(text, tuple(dict(problems).items()))


def find_formatted(template: str, names: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return each place such as `{price:.2f}` or `{name()}` whose name is a variable, with the reason why it stays."""
    # JSON and CSS have such braces too, but rarely with the name of a variable.
    formatted = [match[0] for match in _FORMATTED.finditer(template) if match["name"] in names]
    return [(place, "formats and calls are not evaluated") for place in formatted]


def read_name(path: str, names: Mapping[str, Any]) -> str:
    """Return the text of what a path such as `row.prompt` names.

    Raises:
        NoValueError: It has no value that can stand in a text; the message states why.
    """
    return _text_of(value_of_path(path, names))


def find_name(text: str, names: Mapping[str, Any]) -> tuple[bool, Any]:
    """Return whether a text is nothing but one `{name}` that has a value, and the value itself.

    Values that have no text for a reader, such as functions and missing values, are left to `fill_names`, which states
    the reason; results are values here.

    Args:
        text: The text as typed.
        names: The user's variables.
    """
    match = _PLACE.fullmatch(text)
    if match is None or match[2] is None:
        return False, None
    try:
        value = value_of_path(match[2], names)
    except NoValueError:
        return False, None
    is_readable = not (inspect.isroutine(value) or inspect.isclass(value) or inspect.ismodule(value))
    return (True, value) if is_readable and not _is_missing(value) else (False, None)


def escape_names(text: str) -> str:
    """Double the braces around everything that `fill_names` would replace, so that the text stays as it is."""
    return _ESCAPABLE.sub(r"{{\1}}", text)


def notice_about(problems: Iterable[tuple[str, str]]) -> str | None:
    """Return one sentence that names what was not replaced; None if there is nothing to name."""
    listed = list(dict(problems).items())
    if not listed:
        return None
    shown = [f"{place} ({reason})" for place, reason in listed[:_SHOWN]]
    if len(listed) > _SHOWN:
        shown.append(f"and {len(listed) - _SHOWN} more")
    first = next((place for place, _ in listed if place.startswith("{")), None)
    literal = "" if first is None else f" For the literal text, write {{{first}}}."
    return f"Not replaced, used as typed: {', '.join(shown)}.{literal}"


def value_of_path(path: str, names: Mapping[str, Any]) -> Any:
    """Return what a path such as `row.prompt` names.

    Raises:
        NoValueError: There is no such variable, attribute, key or item; the message states why.
    """
    steps = _STEPS.findall(path)
    name = path[: len(path) - sum(map(len, steps))]
    if name not in names:
        raise NoValueError("no variable has this name")
    value, so_far = names[name], name
    for step in steps:
        value = _attribute(value, step[1:]) if step.startswith(".") else _item(value, step[1:-1], so_far)
        so_far += step
    return value


def _attribute(value: Any, name: str) -> Any:
    if name.startswith("_"):
        raise NoValueError("private attributes are not read")
    try:
        return getattr(value, name)
    except Exception as error:  # a property of the user's may raise anything
        if isinstance(error, AttributeError):
            raise NoValueError(f"{type(value).__name__} has no attribute {name!r}") from error
        raise NoValueError(_reason(error)) from error


def _item(value: Any, written: str, container: str) -> Any:
    is_quoted = written[0] in "'\""
    key: str | int = written[1:-1] if is_quoted else int(written) if written.lstrip("-").isdecimal() else written
    try:
        return value[key]
    except Exception as error:  # so may a __getitem__
        if isinstance(error, KeyError):
            raise NoValueError(f"{container} has no key {key!r}") from error
        if isinstance(error, IndexError):
            raise NoValueError(f"{container} has no item {key}") from error
        raise NoValueError(_reason(error)) from error


def _text_of(value: Any) -> str:
    """Return the text of a value, unless it has none that a user can mean: a function, a table, an object in memory."""
    if inspect.isroutine(value) or inspect.isclass(value) or inspect.ismodule(value):
        raise NoValueError(f"this is a {type(value).__name__}, which is not called")
    if _is_missing(value):
        raise NoValueError(f"its value is {value}")
    if isinstance(getattr(value, "ndim", 0), int) and getattr(value, "ndim", 0) > 0:
        raise NoValueError(f"this is a {type(value).__name__} of several values; choose one")
    if hasattr(type(value), "_repr_mimebundle_"):  # a job, a result or a figure: it is shown, not read
        raise NoValueError(f"its type, {type(value).__name__}, has no text")
    try:
        text = str(value)
    except Exception as error:  # so may a __str__
        raise NoValueError(_reason(error)) from error
    if not isinstance(value, str) and _MEMORY_ADDRESS.search(text):
        raise NoValueError(f"its type, {type(value).__name__}, has no text")
    return text


def _is_generated_text(value: Any) -> bool:
    results = value if isinstance(value, Outcome) else [value]
    return any(isinstance(each, Result) and each.text is not None for each in results)


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(value, numbers.Real | Decimal) and math.isnan(value)


def _reason(error: Exception) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:100]}" if words else type(error).__name__
