"""Models in the response to a search, with texts and numbers of the expected types."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ....core.air import parse_air
from ....printable import hides, printable
from ....reprs import short_repr

__all__ = ["ListedModel", "listed_models"]

_LONGEST_AIR = 200
_LONGEST_TEXT = 200


@short_repr()
@dataclass(frozen=True, slots=True)
class ListedModel:
    """One model of a list.

    Attributes:
        air: AIR identifier, with a version.
        name: For people.
        category: Such as `checkpoint`; empty where the service does not state it, as all that follow.
        architecture: Such as `flux1d`.
        scheduler: The usual one.
        hero: URL of the image that its publisher shows.
        steps: The usual number; None where the service does not state it.
        cfg_scale: The usual guidance; None where the service does not state it.
    """

    air: str
    name: str
    category: str = ""
    architecture: str = ""
    scheduler: str = ""
    hero: str = ""
    steps: int | float | None = None
    cfg_scale: int | float | None = None


def listed_models(answer: Any) -> list[ListedModel]:
    """Read a response to a search; entries without a usable AIR identifier are left out.

    Source:
        Runware reference 5.14 (`modelSearch`).
    """
    results = answer.get("results") if isinstance(answer, Mapping) else None
    entries = [entry for entry in results if isinstance(entry, Mapping)] if isinstance(results, list) else []
    return [_read(entry) for entry in entries if _is_air(entry.get("air"))]


def _read(entry: Mapping[str, Any]) -> ListedModel:
    hero = entry.get("heroImage")
    return ListedModel(
        air=entry["air"],
        name=_text(entry.get("name")) or entry["air"],
        category=_text(entry.get("category")),
        architecture=_text(entry.get("architecture")),
        scheduler=_text(entry.get("defaultScheduler")),
        hero=hero if isinstance(hero, str) else "",
        steps=_number(entry.get("defaultSteps")),
        cfg_scale=_number(entry.get("defaultCFG")),
    )


def _is_air(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_AIR and not hides(value) and parse_air(value) is not None


def _text(value: Any) -> str:
    return " ".join(printable(value[:_LONGEST_TEXT]).split()) if isinstance(value, str) else ""


def _number(value: Any) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9 or math.isnan(value):
        return None
    return value
