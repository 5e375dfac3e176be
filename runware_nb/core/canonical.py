"""The canonical form of a request: two requests that ask for the same thing have the same hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ..errors import TaskInvalid
from .items import Item

__all__ = ["canonical_request", "request_hash"]

VERSION = 1
"""Goes into every hash; raised when the rules below change."""

_LEFT_OUT = frozenset(
    {"taskUUID", "deliveryMethod", "outputType", "webhookURL", "uploadEndpoint", "ttl", "includeCost", "includeUsage"}
)
_PROTOCOL_DEFAULTS: Mapping[str, Any] = {"numberResults": 1, "outputFormat": "JPG", "outputQuality": 95}


def canonical_request(task: Mapping[str, Any], *, service: str) -> Item:
    """Reduce a wire task to what decides its result.

    How it is delivered is left out, the protocol's own defaults are left out, names and numbers are
    written one way. A model's own defaults are kept apart: they may change under us.

    Args:
        task: In wire spelling.
        service: Who answers, such as `runware` or `sandbox`: theirs are different pictures.
    """
    made: Item = {"service": service}
    for key, value in task.items():
        name = "model" if key == "modelId" else key
        if name in _LEFT_OUT or value is None:
            continue
        one_way = _one_way(value)
        if name == "outputFormat" and isinstance(one_way, str):
            one_way = "JPG" if one_way.upper() == "JPEG" else one_way.upper()
        if _PROTOCOL_DEFAULTS.get(name) != one_way:
            made[name] = one_way
    return made


def request_hash(task: Mapping[str, Any], *, service: str) -> str:
    """Hash the canonical form.

    Returns:
        The version, a colon, and SHA-256 in hex.

    Raises:
        TaskInvalid: A value is NaN or infinite, or has no JSON form.
    """
    try:
        text = json.dumps(
            canonical_request(task, service=service),
            sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"),
        )  # fmt: skip
    except (ValueError, TypeError) as error:
        raise TaskInvalid(f"the request cannot be written as JSON: {error}") from error
    return f"{VERSION}:{hashlib.sha256(text.encode()).hexdigest()}"


def _one_way(value: Any) -> Any:
    """Write whole floats as integers, at any depth, since JSON does not tell 7 from 7.0."""
    if isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {str(key): _one_way(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [_one_way(inner) for inner in value]
    return value
