"""Putting media where a model wants them: at the top level, as older clients did, or under `inputs`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ....core.items import Item
from .models import find_model

__all__ = ["place_media"]

_FLAT = {
    "seedImage": "seedImage", "maskImage": "maskImage", "referenceImages": "referenceImages", "inputImage": "image",
    "inputImages": "images", "frameImages": "frameImages", "inputVideo": "video", "inputAudio": "audio",
    "inputAudios": "audios", "referenceVideos": "referenceVideos",
}  # fmt: skip
"""Names at the top level, and what they are called under `inputs` (reference 5.1, 5.12)."""


def place_media(task: Mapping[str, Any], *, schema: Mapping[str, Any] | None = None) -> Item:
    """Rewrite a task so that its media stand where its model's schema has them.

    Args:
        task: In wire spelling; not changed.
        schema: The model's request schema; the snapshot's where None.

    Returns:
        A copy. A task of an older name, or for a model without a known schema, is left as it is: the service
        accepts both forms there.
    """
    made = dict(task)
    flat = [name for name in _FLAT if name in made]
    if not flat:
        return made
    allowed = _inputs_of(made, schema)
    given = made.get("inputs") or {}
    if not isinstance(given, Mapping):
        return made
    nested = dict(given)
    for name in flat:
        inner, value = _FLAT[name], made[name]
        listed = value if isinstance(value, list | tuple) else None
        if inner == "images" and "images" not in allowed and "image" in allowed and listed and len(listed) == 1:
            inner, value = "image", listed[0]
        if inner in allowed:
            del made[name]
            is_frames = name == "frameImages" and listed is not None
            nested.setdefault(inner, [_frame(each) for each in listed or ()] if is_frames else value)
    if nested:
        made["inputs"] = nested
    return made


def _inputs_of(task: Mapping[str, Any], schema: Mapping[str, Any] | None) -> Collection[str]:
    if schema is None:
        model = find_model(str(task.get("model", "")))
        return model.inputs if model is not None and model.task_type == task.get("taskType") else ()
    inputs = schema.get("properties", {}).get("inputs", {})
    names = inputs.get("properties", {}) if isinstance(inputs, Mapping) else {}
    return names if isinstance(names, Mapping) else ()


def _frame(value: Any) -> Any:
    if isinstance(value, Mapping) and "inputImage" in value:
        return {"image": value["inputImage"], **{key: each for key, each in value.items() if key != "inputImage"}}
    return value
