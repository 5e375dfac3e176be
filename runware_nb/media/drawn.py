"""What the preview process draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..reprs import short_repr

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Drawn", "NoPreview"]


class NoPreview(Exception):
    """A file has no preview; the text states why, as a clause."""


@short_repr()
@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture, and what is known of the file.

    Attributes:
        image: The picture.
        facts: Short phrases about the file.
    """

    image: Image
    facts: tuple[str, ...]
