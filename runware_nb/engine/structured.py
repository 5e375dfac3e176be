"""A text that was asked for as JSON: what it contains, and whether it matches its JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.results import Result

__all__ = ["problem_of"]

_LONGEST = 300


def problem_of(result: Result, schema: Mapping[str, Any] | None) -> str | None:
    """Return why a text is not the JSON that was asked for, as a sentence; None if it is.

    Args:
        result: A text.
        schema: The JSON Schema; None if only JSON was asked for.
    """
    if result.is_partial:
        return None  # that it is incomplete is stated anyway
    value = result.json
    if value is None and (result.text or "").strip() != "null":
        return "The text is not valid JSON, so it is shown as text."
    if schema is None:
        return None
    from jsonschema_rs import validator_for

    try:
        error = next(iter(validator_for(dict(schema)).iter_errors(value)), None)
    except ValueError as invalid:
        return f"The JSON Schema is invalid, so the JSON was not checked: {_clip(str(invalid))}."
    if error is None:
        return None
    path = ".".join(str(part) for part in error.instance_path)
    where = f" at {path}" if path else ""
    return f"The JSON does not match its schema{where}: {_clip(error.message)}."


def _clip(message: str) -> str:
    line = " ".join(message.split()).removesuffix(".")
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
