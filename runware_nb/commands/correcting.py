"""The line that would have worked: a refused value, and the nearest good one in its place."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.operations import OPERATIONS, TEXT_TO_IMAGE
from ..core.option_values import match_size
from ..errors import SeveralResults, TaskInvalid
from ..providers.runware.operations import flags_by_field
from .arguments import quote_typed

__all__ = ["corrected_line", "line_with_choice"]


def corrected_line(
    prog: str,
    words: Sequence[str],
    error: TaskInvalid,
    *,
    command: str = TEXT_TO_IMAGE.name,
    flags: Mapping[str, Sequence[str]] | None = None,
) -> str | None:
    """Write a line again with one value made right.

    Args:
        prog: What the line begins with, such as `%%runware`.
        words: The rest of it.
        error: Names the parameter, and what it takes.
        command: The command on the line; its options are those of the operation of this name.
        flags: The options of each parameter, for a command that is no operation.

    Returns:
        The line; None where the value is not on it, or nothing near it would do.
    """
    if flags is None:
        flags = next((flags_by_field(operation) for operation in OPERATIONS if operation.name == command), {})
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name not in flags.get(error.parameter or "", ()):
            continue
        typed = value if equals else words[number + 1] if number + 1 < len(words) else ""
        good = _nearest(typed, error)
        if good is None or good == typed:
            return None
        replaced = [f"{name}={good}"] if equals else [name, good]
        rest = words[number + (1 if equals else 2) :]
        return " ".join([prog, *map(quote_typed, [*words[:number], *replaced, *rest])])
    return None


def line_with_choice(prog: str, words: Sequence[str], error: SeveralResults) -> str | None:
    """Return a line with the first of several results in the place of all; None if the word is not on it.

    Args:
        prog: What the line begins with, such as `%%runware`.
        words: The rest of it.
        error: Names the word.
    """
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if word == error.word or (equals and value == error.word):
            right = f"{name}={error.first}" if word != error.word else error.first
            return " ".join([prog, *map(quote_typed, [*words[:number], right, *words[number + 1 :]])])
    return None


def _nearest(typed: str, error: TaskInvalid) -> str | None:
    allowed: list[Any] = list(error.allowed_values)
    if not allowed:
        return None
    numbers = [each for each in allowed if isinstance(each, int | float) and not isinstance(each, bool)]
    if error.parameter in {"width", "height"}:
        return _size(typed, error.parameter, numbers) if numbers else str(allowed[0])
    if numbers:
        try:
            value = float(typed)
        except ValueError:
            return None
        return f"{min(numbers, key=lambda each: abs(each - value)):g}"
    names = [str(each) for each in allowed]
    near = difflib.get_close_matches(typed, names, n=1, cutoff=0.4)
    return near[0] if near else names[0] if error.parameter == "model" else None


def _size(typed: str, side: str, numbers: Sequence[float]) -> str | None:
    size = match_size(typed)
    if size is None:
        return None
    sides = {"width": size[0], "height": size[1]}
    sides[side] = int(min(numbers, key=lambda each: abs(each - sides[side])))
    return f"{sides['width']}x{sides['height']}"
