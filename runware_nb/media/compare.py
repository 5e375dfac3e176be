"""How alike are two images? The same bytes, the same look, or not."""

from __future__ import annotations

import enum
import functools
import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..reprs import short_repr
from .decode import decode
from .provenance import is_same_medium

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["CLOSE_BITS", "CLOSE_MEAN", "Comparison", "Verdict", "compare", "heat_map", "perceptual_hash"]

CLOSE_BITS = 10
"""Bits of 64 in which the perceptual hashes of images that look alike may differ."""
CLOSE_MEAN = 0.08
"""Mean difference of their channels, 0 to 1, up to which images look alike."""

_SIDE_PX = 32
_LOW = 8
_LOOK_PX = 512


class Verdict(enum.StrEnum):
    """What became of an image that was made again."""

    EXACT = "exact"
    """The same bytes."""
    CLOSE = "close"
    """It looks the same, within the bounds above."""
    DRIFTED = "drifted"
    """It does not, or has another size."""
    MISSING = "missing"
    """There is nothing to compare."""


@short_repr()
@dataclass(frozen=True, slots=True)
class Comparison:
    """How two images differ.

    Attributes:
        verdict: The sum of it.
        hash_bits: Bits of 64 in which their perceptual hashes differ; None where one is no image.
        mean_difference: Mean difference of their channels, 0 to 1; None likewise, or where their sizes differ.
        changed_share: Share of the pixels that differ at all, 0 to 1; None likewise.
    """

    verdict: Verdict
    hash_bits: int | None = None
    mean_difference: float | None = None
    changed_share: float | None = None


def compare(
    first: bytes, second: bytes, *, first_sha256: str | None = None, second_sha256: str | None = None
) -> Comparison:
    """Compare two image files.

    Args:
        first: The one that was there before.
        second: The one made again.
        first_sha256: Hash of its bytes as received, where the file says more than that by now.
        second_sha256: Likewise.

    Raises:
        MediaError: One of them cannot be decoded, and their bytes are not the same.
    """
    one = first_sha256 or hashlib.sha256(first).hexdigest()
    other = second_sha256 or hashlib.sha256(second).hexdigest()
    # A hash may come from an imported record, which can state any hash. The files that are shown must agree as well.
    if one == other and is_same_medium(first, second):
        return Comparison(Verdict.EXACT, 0, 0.0, 0.0)
    before, after = _flat(decode(first)), _flat(decode(second))
    bits = (int(perceptual_hash(before), 16) ^ int(perceptual_hash(after), 16)).bit_count()
    if before.size != after.size:
        return Comparison(Verdict.DRIFTED, bits)
    mean, share = _differences(before, after)
    verdict = Verdict.CLOSE if bits <= CLOSE_BITS and mean <= CLOSE_MEAN else Verdict.DRIFTED
    return Comparison(verdict, bits, mean, share)


def perceptual_hash(image: Image) -> str:
    """Hash how an image looks: its 64 lowest frequencies, each above or below their median (pHash).

    Args:
        image: Any mode and size.

    Returns:
        16 hex digits; images that look alike differ in few of the 64 bits.
    """
    from PIL import Image as Images

    small = _flat(image).convert("L").resize((_SIDE_PX, _SIDE_PX), Images.Resampling.LANCZOS)
    values = small.tobytes()
    rows = [
        [sum(values[y * _SIDE_PX + x] * wave[x] for x in range(_SIDE_PX)) for wave in _waves()] for y in range(_SIDE_PX)
    ]
    lows = [sum(rows[y][u] * wave[y] for y in range(_SIDE_PX)) for wave in _waves() for u in range(_LOW)]
    rest = sorted(lows[1:])  # without the first, which is only how bright it is
    median = rest[len(rest) // 2]
    return f"{sum((low > median) << place for place, low in enumerate(lows)):016x}"


def heat_map(first: bytes, second: bytes) -> Image | None:
    """Draw where two images differ: black where they are the same, over red and yellow to white.

    Returns:
        An image of at most 512 px; None where their sizes differ.

    Raises:
        MediaError: One of them cannot be decoded.
    """
    from PIL import ImageChops, ImageOps

    before, after = _flat(decode(first)), _flat(decode(second))
    if before.size != after.size:
        return None
    red, green, blue = ImageChops.difference(before, after).split()
    strongest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    strongest.thumbnail((_LOOK_PX, _LOOK_PX))
    visible = strongest.point([min(255, round(255 * math.sqrt(level / 255))) for level in range(256)])
    return ImageOps.colorize(visible, black="#000000", mid="#d7301f", white="#ffffb2")


def _differences(before: Image, after: Image) -> tuple[float, float]:
    from PIL import ImageChops, ImageStat

    difference = ImageChops.difference(before, after)
    mean = sum(ImageStat.Stat(difference).mean) / 3 / 255
    red, green, blue = difference.split()
    strongest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    same = strongest.histogram()[0]
    return round(mean, 6), round(1 - same / (before.width * before.height), 6)


def _flat(image: Image) -> Image:
    """Lay an image on grey, so that what is transparent counts too."""
    from PIL import Image as Images

    if image.mode == "RGB":
        return image
    over = image.convert("RGBA")
    return Images.alpha_composite(Images.new("RGBA", over.size, "#808080"), over).convert("RGB")


@functools.cache
def _waves() -> list[list[float]]:
    return [[math.cos(math.pi * u * (2 * x + 1) / (2 * _SIDE_PX)) for x in range(_SIDE_PX)] for u in range(_LOW)]
