"""AIR identifiers: `source:family@version`, the names of models."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..reprs import short_repr

__all__ = ["Air", "parse_air"]

_AIR = re.compile(r"([A-Za-z0-9._-]+):([A-Za-z0-9._-]+)@([A-Za-z0-9._-]+)")


@short_repr()
@dataclass(frozen=True, slots=True)
class Air:
    """One model, named.

    Attributes:
        source: Who serves or publishes it, such as `runware` or `civitai`.
        family: Model or model id.
        version: Version or version id.

    Source:
        Runware reference 6.1; words, dots and dashes are as valid as digits.
    """

    source: str
    family: str
    version: str

    def __str__(self) -> str:
        return f"{self.source}:{self.family}@{self.version}"


def parse_air(text: str) -> Air | None:
    """Read an AIR identifier; None when *text* is not one (a slug or an alias, perhaps)."""
    match = _AIR.fullmatch(text)
    return Air(*match.groups()) if match else None
