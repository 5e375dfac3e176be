"""The pixels by which outpainting extends an image: per side, or up to a ratio of width and height."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import TaskInvalid
from ..reprs import short_repr

__all__ = ["SIDES", "STEP_PX", "Outpaint", "Ratio", "extend_to_ratio", "parse_outpaint"]

SIDES = ("left", "right", "top", "bottom")
STEP_PX = 64
"""Each side is extended by a multiple of this."""
_MOST_PX = 10_000
_MOST_BLUR_PX = 32
_MOST_RATIO = 1000
_RATIO = re.compile(r"(\d{1,4}(?:\.\d{1,4})?)\s*:\s*(\d{1,4}(?:\.\d{1,4})?)", re.ASCII)


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class Outpaint:
    """By how many pixels an image is extended.

    Attributes:
        left: Pixels; each side is a multiple of 64.
        right: Pixels.
        top: Pixels.
        bottom: Pixels.
        blur: Pixels by which the transition is blurred, 0 to 32; None leaves it to the service.

    Source:
        Runware reference 5.2.
    """

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0
    blur: int | None = None

    def to_wire(self) -> dict[str, int]:
        """Return the sides that are extended, and the blur, as a plain dict."""
        made = {side: getattr(self, side) for side in SIDES if getattr(self, side)}
        return made if self.blur is None else {**made, "blur": self.blur}

    def size_of(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of the extended image, in pixels."""
        return width + self.left + self.right, height + self.top + self.bottom


@short_repr()
@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of width and height, such as 16:9.

    Attributes:
        width: The first number.
        height: The second number.
    """

    width: float
    height: float

    def __str__(self) -> str:
        return f"{self.width:g}:{self.height:g}"


def parse_outpaint(value: Any) -> Outpaint | Ratio:
    """Parse the value of `--outpaint`.

    Args:
        value: A text such as `left=128,right=128` or `16:9`, a mapping of sides, an `Outpaint` or a `Ratio`.

    Raises:
        TaskInvalid: It is something else, a side has an unknown name, or a number is out of range.
    """
    if isinstance(value, Outpaint | Ratio):
        return value
    if isinstance(value, str):
        ratio = _RATIO.fullmatch(value.strip())
        if ratio is not None:
            return _ratio(value, float(ratio[1]), float(ratio[2]))
        return _sides(value, _pairs(value))
    if isinstance(value, Mapping):
        return _sides(value, value)
    raise _not_understood(value)


def extend_to_ratio(width: int, height: int, ratio: Ratio) -> Outpaint:
    """Return the extension that brings an image nearest to a ratio.

    Only one of width and height grows, which is the smaller change. Each side grows by a multiple of 64 pixels. The
    image stays in the center as far as these steps allow: otherwise, right or bottom grows by one step more.

    Args:
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        ratio: The ratio of the result.

    Raises:
        TaskInvalid: The image is already as near to the ratio as the steps allow.
    """
    wanted_width = height * ratio.width / ratio.height
    if wanted_width >= width:
        before, after = _both_sides(wanted_width - width)
        made = Outpaint(left=before, right=after)
    else:
        before, after = _both_sides(width * ratio.height / ratio.width - height)
        made = Outpaint(top=before, bottom=after)
    if not before + after:
        raise TaskInvalid(
            f"outpaint {ratio}: the source of {width}x{height} px is already as near to this ratio as steps of "
            f"{STEP_PX} px allow. Nothing was sent.",
            parameter="outpaint",
        )
    return made


def _both_sides(pixels: float) -> tuple[int, int]:
    whole = _nearest_step(pixels)
    before = whole // 2 // STEP_PX * STEP_PX
    return before, whole - before


def _nearest_step(pixels: float) -> int:
    return int(pixels / STEP_PX + 0.5) * STEP_PX


def _ratio(text: str, width: float, height: float) -> Ratio:
    if not width or not height or not 1 / _MOST_RATIO <= width / height <= _MOST_RATIO:
        raise _not_understood(text)
    return Ratio(width, height)


def _pairs(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in text.split(","):
        name, equals, number = part.partition("=")
        name = name.strip().lower()
        if not equals or name in pairs:
            raise _not_understood(text)
        pairs[name] = number.strip()
    return pairs


def _sides(value: Any, pairs: Mapping[Any, Any]) -> Outpaint:
    numbers: dict[str, int] = {}
    for name, number in pairs.items():
        if name not in {*SIDES, "blur"}:
            raise _not_understood(value)
        numbers[name] = _pixels(str(name), number)
    if not any(numbers.get(side) for side in SIDES):
        raise TaskInvalid(
            f"outpaint {_shown(value)!r} extends no side; write it as left=128,right=128. Nothing was sent.",
            parameter="outpaint",
        )
    return Outpaint(**numbers)


def _pixels(name: str, value: Any) -> int:
    high, step = (_MOST_BLUR_PX, 1) if name == "blur" else (_MOST_PX, STEP_PX)
    try:
        pixels = float(value)
    except (TypeError, ValueError):
        pixels = -1.0
    if isinstance(value, bool) or not 0 <= pixels <= high or pixels % step:
        of = f" that is a multiple of {step}" if step > 1 else ""
        near = ""
        if step > 1 and 0 <= pixels <= high:
            near = f"; the nearest is {_nearest_step(pixels)}"
        raise TaskInvalid(
            f"outpaint {name}={_shown(value)}: expected a whole number of pixels from 0 to {high}{of}{near}. "
            "Nothing was sent.",
            parameter="outpaint",
        )
    return int(pixels)


def _not_understood(value: Any) -> TaskInvalid:
    return TaskInvalid(
        f"outpaint {_shown(value)!r} is not understood; write pixels per side, such as left=128,right=128, or a ratio, "
        "such as 16:9. Nothing was sent.",
        parameter="outpaint",
    )


def _shown(value: Any) -> str:
    return str(value)[:60]
