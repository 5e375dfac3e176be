"""What a file is to its viewer: an image, a video, audio or a 3D model."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["MediumKind", "kind_of"]


class MediumKind(StrEnum):
    """What a file is shown as. The values are the words that users read."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    MODEL = "3D model"
    OTHER = "file"


def kind_of(media_type: str) -> MediumKind:
    """Return what a file of a media type is shown as."""
    first = media_type.partition("/")[0]
    kinds = {
        "image": MediumKind.IMAGE, "video": MediumKind.VIDEO, "audio": MediumKind.AUDIO, "model": MediumKind.MODEL,
    }  # fmt: skip
    return kinds.get(first, MediumKind.OTHER)
