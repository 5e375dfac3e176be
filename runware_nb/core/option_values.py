"""The values of options that have a spelling of their own: sizes and LoRAs. Each front end reads them here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import TaskInvalid
from ..reprs import short_repr

__all__ = ["LoRA", "match_size", "parse_embeddings", "parse_lora", "parse_loras", "parse_size"]


@short_repr()
@dataclass(frozen=True, slots=True)
class LoRA:
    """A low-rank adaptation to apply.

    Attributes:
        model: Its AIR identifier.
        weight: Strength, from -4 to 4.
    """

    model: str
    weight: float = 1.0

    def to_wire(self) -> dict[str, Any]:
        """Return the adaptation as a plain dict."""
        return {"model": self.model, "weight": self.weight}


_SIZE = re.compile(r"(\d{1,5})\s*[x×*]\s*(\d{1,5})", re.ASCII | re.IGNORECASE)


def match_size(text: str) -> tuple[int, int] | None:
    """Return width and height in pixels if *text* is a size such as `1024x768`, else None."""
    match = _SIZE.fullmatch(text.strip())
    return None if match is None else (int(match[1]), int(match[2]))


def parse_size(text: str) -> tuple[int, int]:
    """Return width and height in pixels of a size such as `1024x768`.

    Raises:
        TaskInvalid: It is not a size.
    """
    size = match_size(text)
    if size is None:
        raise TaskInvalid(
            f"size {text[:60]!r} is not understood; write it as 1024x768 (pixels). Nothing was sent", parameter="width"
        )
    return size


def parse_loras(values: Any) -> tuple[LoRA, ...]:
    """Return LoRAs from one of the forms that `parse_lora` accepts, or from several of them.

    A tuple of a text and a number is one LoRA with its weight, and not two.

    Raises:
        TaskInvalid: One of them is not understood.
    """
    if values is None:
        return ()
    if isinstance(values, str | LoRA | Mapping) or _is_pair(values):
        return (parse_lora(values),)
    if not isinstance(values, Iterable):
        raise _not_understood(values)
    return tuple(parse_lora(value) for value in values)


def parse_embeddings(values: Any) -> tuple[LoRA, ...]:
    """Return embeddings (textual inversions) with their weights, from the same forms as `parse_loras`.

    Raises:
        TaskInvalid: One of them is not understood.
    """
    try:
        return parse_loras(values)
    except TaskInvalid as error:
        raise TaskInvalid(str(error.problem).replace("LoRA", "embedding"), parameter="embeddings") from error


def parse_lora(value: Any) -> LoRA:
    """Return a LoRA.

    Args:
        value: An AIR identifier or an alias, alone or with its weight: `"civitai:1@2"`, `"civitai:1@2:0.8"`,
            `("civitai:1@2", 0.8)`, `{"model": "civitai:1@2", "weight": 0.8}` or a `LoRA`. Without a weight, it is 1.

    Raises:
        TaskInvalid: It is something else, or its weight is not a finite number.
    """
    if isinstance(value, LoRA):
        return value
    if isinstance(value, str):
        air, colon, weight = value.rpartition(":")
        # Before its @, an AIR has colons of its own; without one, the text is an alias, which may contain any.
        return LoRA(air, _weight(air, weight)) if colon and "@" in air else LoRA(value)
    if isinstance(value, Mapping) and isinstance(value.get("model"), str):
        return LoRA(value["model"], _weight(value["model"], value.get("weight", 1.0)))
    if isinstance(value, Iterable):
        parts = list(value)
        if len(parts) == 2 and isinstance(parts[0], str):
            return LoRA(parts[0], _weight(*parts))
    raise _not_understood(value)


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[0], str)
        and not isinstance(value[1], str | LoRA | Mapping | tuple | list)
    )


def _weight(air: str, weight: Any) -> float:
    try:
        number = float(weight)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise TaskInvalid(
            f"the weight {str(weight)[:40]!r} of the LoRA {air} is not a number; write it as {air}:0.8. "
            "Nothing was sent",
            parameter="lora",
        )
    return number


def _not_understood(value: Any) -> TaskInvalid:
    return TaskInvalid(
        f"the LoRA {str(value)[:60]!r} is not understood; write it as an AIR identifier with its weight, such as "
        "civitai:1@2:0.8. Nothing was sent",
        parameter="lora",
    )
