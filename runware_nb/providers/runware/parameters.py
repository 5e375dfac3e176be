"""The parameters of a request under their Python names: flat, in one order, with media named by their files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ...core.media_fields import holds_media, replace_media
from .operations import WIRE_NAMES

__all__ = ["DELIVERY", "in_order", "parameters_of", "python_name"]

DELIVERY = frozenset(
    {
        "taskType",
        "taskUUID",
        "deliveryMethod",
        "includeCost",
        "includeUsage",
        "outputType",
        "webhookURL",
        "uploadEndpoint",
        "ttl",
    }
)
"""Wire names that say how a result travels, not what it is: two requests that differ in these alone are the same."""
_PYTHON_NAMES = {wire: name for name, wire in WIRE_NAMES.items()}
_RANK = {name: number for number, name in enumerate(WIRE_NAMES)}
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def python_name(wire: str) -> str:
    """Return the Python name of a wire parameter: `CFGScale` is `cfg_scale`, `clipSkip` is `clip_skip`."""
    return _PYTHON_NAMES.get(wire) or _WORD_START.sub("_", wire).lower()


def parameters_of(request: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Return the parameters of a request.

    Args:
        request: In wire spelling, as logged.
        inputs: The media as logged, in the order in which they stand in the request.

    Returns:
        Values by name. A nested field has a dotted name such as `outpaint.top`, and `loras.0.model` is the model of
        the first LoRA; a list of plain values stays a list. A medium is named by its file in the store, or by the URL,
        UUID or hash that was logged. The order depends on the names alone. Delivery options are left out.
    """
    named = replace_media(request, _media_names(inputs)) if holds_media(request) else dict(request)
    values: dict[str, Any] = {}
    for wire, value in in_order(named).items():
        if wire in DELIVERY or value is None:
            continue
        for name, inner in _flatten(python_name(wire), value):
            while name in values:
                name += "_"  # noqa: PLW2901 - two spellings of one name, which no service has today
            values[name] = inner
    return values


def in_order(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request with its parameters in the order of `WIRE_NAMES`, and all others by name.

    Records that travelled come back sorted by their wire names, so the order of a dict says nothing.
    """

    def rank(wire: str) -> tuple[int, str, str]:
        name = python_name(wire)
        return _RANK.get(name, len(_RANK)), name, wire

    return {wire: request[wire] for wire in sorted(request, key=rank)}


def _media_names(inputs: Sequence[Mapping[str, Any]]) -> Any:
    remaining: Iterator[Mapping[str, Any]] = iter(inputs)

    def name(value: Any) -> Any:
        medium = next(remaining, {})
        return medium.get("file") or medium.get("named") or value

    return name


def _flatten(name: str, value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in in_order({str(key): inner for key, inner in value.items()}).items():
            if inner is not None:
                yield from _flatten(f"{name}.{python_name(key)}", inner)
    elif isinstance(value, list | tuple) and any(isinstance(inner, Mapping | list | tuple) for inner in value):
        for number, inner in enumerate(value):
            yield from _flatten(f"{name}.{number}", inner)
    else:
        yield name, list(value) if isinstance(value, tuple) else value
