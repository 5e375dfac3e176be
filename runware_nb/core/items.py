"""Items: the JSON objects that tasks and results are on the wire."""

from __future__ import annotations

from typing import Any

__all__ = ["ITEM_IDS", "Item"]

Item = dict[str, Any]

ITEM_IDS = (
    "imageUUID", "videoUUID", "audioUUID", "maskImageUUID", "guideImageUUID", "mediaUUID", "modelUUID",
)  # fmt: skip
"""Names of the UUID of one result."""
