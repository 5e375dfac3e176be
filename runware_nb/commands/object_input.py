"""The input of a task as an object: from the body of a cell, from a file, and from `KEY=VALUE` on a line."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..core.key_shapes import contains_key
from ..core.redaction import known_secrets
from ..core.results import Outcome
from ..errors import MagicUsageError
from ..settings import remember_secrets
from .image_options import key_in_line
from .names import fill_names, find_name

__all__ = ["fill_strings", "parse_object", "parse_pairs", "read_object_file", "refuse_keys_inside"]

_MOST_BYTES = 4 * 1024 * 1024
_DEEPEST = 50
_TOML_POSITION = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")
_TOML_START = re.compile(
    r"(?m)^\s*(?:\[{1,2}[\w .\"'-]+\]{1,2}\s*(?:#.*)?$|(?:[\w-]+|\"[^\"\n]*\"|'[^'\n]*')(?:\.[\w\"'-]+)*\s*=)"
)
"""What only TOML begins with: a table, or a name and an equals sign."""


def parse_object(text: str, *, where: str) -> dict[str, Any]:
    """Parse JSON or TOML that states an object.

    It is TOML if it begins with `name =`, with a comment, or with a table such as `[name]` that is not valid JSON.

    Args:
        text: JSON or TOML; nothing at all is an empty object.
        where: What it is, such as `the cell`, for errors.

    Raises:
        MagicUsageError: It cannot be parsed, or is not an object; the message has line and column.
    """
    text = text.removeprefix("\ufeff")
    if not text.strip():
        return {}
    if len(text) > _MOST_BYTES:
        raise MagicUsageError(
            f"The input in {where} has {len(text):,} characters, and at most {_MOST_BYTES:,} are read. Nothing was "
            "sent. Pass files by their URLs."
        )
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    is_toml = text.lstrip().startswith("#") or (_TOML_START.match(next(lines, "#")) and not _is_json(text))
    value = _toml(text, where) if is_toml else _json(text, where)
    if not isinstance(value, dict):
        raise MagicUsageError(
            f'The input in {where} is {_kind(value)}: expected an object, such as {{"prompt": "a ship"}}. Nothing was '
            "sent."
        )
    _check_depth(value, where)
    return value


def read_object_file(path: str) -> dict[str, Any]:
    """Read a file with JSON or TOML that states an object.

    Raises:
        MagicUsageError: It cannot be read or parsed.
    """
    file = Path(path).expanduser()
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise MagicUsageError(
                f"The file {path} has {file.stat().st_size:,} bytes, and at most {_MOST_BYTES:,} are read. Nothing was "
                "sent."
            )
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise MagicUsageError(f"There is no file {path}. Nothing was sent.") from None
    except UnicodeDecodeError as error:
        raise MagicUsageError(f"The file {path} is not UTF-8 text. Nothing was sent.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MagicUsageError(f"The file {path} cannot be read: {reason}. Nothing was sent.") from error
    return parse_object(text, where=f"the file {path}")


def parse_pairs(pairs: Iterable[str], option: str = "--input") -> dict[str, Any]:
    """Return what `KEY=VALUE` options state. A value is JSON if it is valid JSON, and text otherwise.

    Args:
        pairs: The values of the option.
        option: Its name, for errors.

    Raises:
        MagicUsageError: One has no key, or a key is given twice.
    """
    given: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.strip()
        if not equals or not key:
            raise MagicUsageError(
                f"Invalid {option} {pair!r:.80}: expected KEY=VALUE, such as {option} seed=7. Nothing was sent."
            )
        if key in given:
            raise MagicUsageError(f"{option} {key} is given twice. Keep one of them. Nothing was sent.")
        given[key] = _value(text)
    return given


def fill_strings(value: Any, names: Mapping[str, Any]) -> tuple[Any, list[tuple[str, str]]]:
    """Replace `{name}` in the texts of a parsed value, so that no variable can change its structure.

    Only values are filled, and no names of fields. A text that is nothing but one `{name}` becomes the value of the
    variable itself: a number stays a number, a result stays a result, and an outcome is its first result. Anywhere
    else the text of the value is put in. See `fill_names` for what a name may be.

    Returns:
        The value, and what was not replaced, each with the reason.
    """
    problems: list[tuple[str, str]] = []

    def filled(inner: Any) -> Any:
        if isinstance(inner, str):
            is_name, found = find_name(inner, names)
            if is_name:
                return found.results[0] if isinstance(found, Outcome) and found.results else found
            result = fill_names(inner, names)
            problems.extend(result.problems)
            return result.text
        if isinstance(inner, dict):
            return {key: filled(one) for key, one in inner.items()}
        return [filled(one) for one in inner] if isinstance(inner, list) else inner

    return filled(value), problems


def refuse_keys_inside(value: Any) -> None:
    """Refuse an input that contains a key: notebooks and logs are saved and shared.

    Raises:
        MagicUsageError: A text in it is a key; the message does not repeat it.
    """
    remember_secrets()
    for text in _texts(value):
        if known_secrets.is_in(text) or contains_key(text):
            raise key_in_line(text)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _value(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        return text
    return value


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"the number {digits[:40]} is too large")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"the field {key[:80]!r} is there twice")
        made[key] = value
    return made


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
            ending = len(text.rstrip().splitlines())
            raise MagicUsageError(f"The JSON in {where} ends too early (line {ending}). Nothing was sent.") from error
        line = text.splitlines()[error.lineno - 1] if error.lineno <= len(text.splitlines()) else ""
        shown = f" ({line.strip()[:60]!r})" if line.strip() else ""
        is_json = text.lstrip().startswith(("{", "["))
        hint = "" if is_json else ' Write JSON, such as {"prompt": "a ship"}, or TOML, such as prompt = "a ship".'
        raise MagicUsageError(
            f"The JSON in {where} is broken at line {error.lineno}, column {error.colno}{shown}: "
            f"{error.msg[:1].lower()}{error.msg[1:]}. Nothing was sent.{hint}"
        ) from error
    except RecursionError as error:
        raise MagicUsageError(f"The JSON in {where} is nested too deep. Nothing was sent.") from error
    except ValueError as error:
        raise MagicUsageError(f"The JSON in {where} is invalid: {error}. Nothing was sent.") from error


def _toml(text: str, where: str) -> Any:
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        position = _TOML_POSITION.search(message)
        place = (
            " at its end"
            if position is None or position[1] is None
            else f" at line {position[1]}, column {position[2]}"
        )
        reason = message[: position.start()] if position is not None else message
        raise MagicUsageError(
            f"The TOML in {where} is broken{place}: {reason[:1].lower()}{reason[1:]}. Nothing was sent."
        ) from error
    except RecursionError as error:
        raise MagicUsageError(f"The TOML in {where} is nested too deep. Nothing was sent.") from error
    return _with_plain_numbers(value, where)


def _with_plain_numbers(value: Any, where: str) -> Any:
    """Return a value of TOML with its dates as text, as JSON has them."""
    if isinstance(value, dict):
        return {key: _with_plain_numbers(inner, where) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_plain_numbers(inner, where) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise MagicUsageError(f"The TOML in {where} contains {value}: expected a finite number. Nothing was sent.")
    return value if isinstance(value, str | int | float | bool) else value.isoformat()


def _check_depth(value: Any, where: str) -> None:
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return
    raise MagicUsageError(f"The input in {where} is nested too deep. Nothing was sent.")


def _kind(value: Any) -> str:
    names = {list: "an array", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)
