"""The size that an SVG file states."""

from __future__ import annotations

import math
import re

__all__ = ["svg_size"]

_HEAD_BYTES = 65_536
_TAG = re.compile(r"<(?:\w+:)?svg\b([^>]*)>", re.DOTALL)
_LENGTH = re.compile(r"\s*([0-9.]+)\s*(?:px)?\s*")


def svg_size(body: bytes) -> tuple[float, float] | None:
    """Return the width and height of an SVG file in pixels, or in the units of its view box; None if it states none."""
    found = _TAG.search(body[:_HEAD_BYTES].decode("utf-8", "replace"))
    if found is None:
        return None
    attributes = dict(re.findall(r"([\w:-]+)\s*=\s*[\"']([^\"']*)[\"']", found[1]))
    lengths = [_LENGTH.fullmatch(attributes.get(name, "")) for name in ("width", "height")]
    values = [length[1] for length in lengths if length is not None]
    if len(values) < 2:
        values = attributes.get("viewBox", "").replace(",", " ").split()[2:4]
    try:
        width, height = (float(value) for value in values)
    except ValueError:
        return None
    is_usable = all(math.isfinite(value) and 0 < value < 1e6 for value in (width, height))
    return (width, height) if is_usable else None
