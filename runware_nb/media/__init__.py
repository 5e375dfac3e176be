"""Images: opened safely, made small, kept."""

from .decode import MAX_PIXELS, decode
from .medium import FileMedium, MemoryMedium, MissingMedium
from .thumbnail import THUMBNAIL_BYTES, Thumbnail, make_thumbnail

__all__ = [
    "MAX_PIXELS",
    "THUMBNAIL_BYTES",
    "FileMedium",
    "MemoryMedium",
    "MissingMedium",
    "Thumbnail",
    "decode",
    "make_thumbnail",
]
