"""Model search, and the models that users bring."""

from __future__ import annotations

from typing import Any

from .models import LORAS, MODELS

__all__ = ["entry_of_upload", "search"]

Json = dict[str, Any]
_CATEGORIES = {
    "imageInference": "checkpoint",
    "videoInference": "video",
    "textInference": "text",
    "audioInference": "audio",
}


def _entries() -> list[Json]:
    made = [
        {
            "air": model.air, "name": model.name, "version": "1",
            "category": _CATEGORIES.get(model.task_type, "others"),
            "architecture": model.architecture or None, "type": "base", "tags": ["base model", model.architecture],
            "capabilities": [model.task_type, *(["image-to-image"] if "seedImage" in model.inputs else [])],
            "comment": "", "private": False, "source": "official", "heroImage": None,
            "shortDescription": f"{model.name}, as a sandbox has it.", "defaultWidth": 1024, "defaultHeight": 1024,
            "defaultSteps": model.steps, "defaultCFG": model.cfg, "defaultScheduler": "Default", "defaultStrength": 0.8,
        }
        for model in MODELS.values()
    ]  # fmt: skip
    made += [
        {
            "air": air, "name": name, "version": "1", "category": "lora", "architecture": architecture,
            "type": "", "tags": tags, "capabilities": ["text-to-image"], "comment": "", "private": False,
            "source": "community", "heroImage": None, "shortDescription": f"{name}: {', '.join(tags)}.",
            "positiveTriggerWords": words, "defaultWeight": 1.0,
        }
        for air, name, architecture, tags, words in LORAS
    ]  # fmt: skip
    return made


_ENTRIES = _entries()


def entry_of_upload(task: Json, air: str) -> Json:
    """Make the entry of a model that a user uploaded or trained."""
    kept = ("name", "version", "category", "architecture", "type", "tags", "comment", "shortDescription",
            "positiveTriggerWords", "negativeTriggerWords", "defaultWeight", "defaultSteps")  # fmt: skip
    made = {key: task[key] for key in kept if key in task}
    defaults = {"tags": [], "comment": "", "version": "1", "category": "lora", "architecture": "flux1d", "type": ""}
    return {**defaults, **made, "air": air, "private": task.get("private", True) is not False, "source": "community",
            "capabilities": [], "heroImage": task.get("heroImageURL")}  # fmt: skip


def search(query: Json, own: list[Json], *, source_word: str) -> Json:
    """Answer a modelSearch: every word must occur in name, tags, description or identifier.

    Args:
        query: The request.
        own: Entries of this account's models.
        source_word: What our own models' `source` is called.
    """
    words = str(query.get("search", "")).lower().split()
    wanted_source = query.get("source")
    found = []
    for entry in [*own, *_ENTRIES]:
        source = source_word if entry["source"] == "official" else entry["source"]
        text = f"{entry['name']} {entry['air']} {' '.join(entry['tags'])} {entry.get('shortDescription', '')}".lower()
        if not _fits(entry, query) or (wanted_source not in {None, source, "merged"}):
            continue
        if all(word in text for word in words):
            found.append({**entry, "source": source})
    key = str(query.get("sort", "")).lstrip("-")
    if key == "name":
        found.sort(key=lambda entry: str(entry["name"]), reverse=str(query["sort"]).startswith("-"))
    offset, limit = int(query.get("offset", 0)), int(query.get("limit", 20))
    return {"totalResults": len(found), "results": found[offset : offset + limit]}


def _fits(entry: Json, query: Json) -> bool:
    if any(entry.get(key) != query[key] for key in ("category", "architecture", "type") if query.get(key)):
        return False
    if not set(query.get("tags") or []) <= set(entry["tags"]):
        return False
    if not set(query.get("capabilities") or []) <= set(entry["capabilities"]):
        return False
    visibility = query.get("visibility", "all")
    return bool(visibility == "all" or (visibility == "public") != bool(entry["private"]))
