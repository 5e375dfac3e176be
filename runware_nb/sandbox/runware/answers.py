"""Answers about an accepted task: results, news of progress, failures."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable
from typing import Any

from .behaviour import Behaviour
from .kinds import OUTPUTS
from .work import Item, Work, checks_content

__all__ = ["failure", "processing", "result"]

Json = dict[str, Any]
_OPERATIONS = {"upscale", "removeBackground", "imageMasking", "controlNetPreprocess"}


def result(work: Work, item: Item, *, media_url: str, fields: Json, body: Callable[[], tuple[bytes, str]]) -> Json:
    """Make the answer for a finished item.

    Args:
        work: The task.
        item: Which of its results.
        media_url: Where files are served.
        fields: What its kind tells besides.
        body: Gives the file and its media type, for inline delivery.
    """
    made = {**work.scope(), **_file(work, item, media_url, body), **fields}
    if work.kind.has_seed:
        made["seed"] = item.seed
    if work.task["taskType"] in _OPERATIONS and isinstance((work.task.get("inputs") or {}).get("image"), str):
        made["inputImageUUID"] = str(uuid.uuid5(uuid.NAMESPACE_OID, str(work.task["inputs"]["image"])))
    if item.flagged or checks_content(work.task):
        made["NSFWContent"] = item.flagged
    if work.task.get("includeCost"):
        made["cost"] = work.cost_usd
    return made


def _file(work: Work, item: Item, media_url: str, body: Callable[[], tuple[bytes, str]]) -> Json:
    stem = work.stem
    if stem is None:
        return {}
    url = f"{media_url}/{work.file_name(item)}"
    if stem == OUTPUTS:
        return {"outputs": {"files": [{"uuid": item.uuid, "url": url}]}}
    made = {f"{stem}UUID": item.uuid}
    if not work.is_inline:
        return {**made, f"{stem}URL": url}
    content, media_type = body()
    text = base64.b64encode(content).decode()
    if work.task["outputType"] == "base64Data":
        return {**made, f"{stem}Base64Data": text}
    return {**made, f"{stem}DataURI": f"data:{media_type};base64,{text}"}


def processing(work: Work, item: Item, now: float, behaviour: Behaviour) -> Json:
    """Make the answer for an item under way: its UUID is known already, its file is not."""
    made = {**work.scope(), "status": behaviour.running_status, "progress": work.progress(item, now)}
    if work.stem not in {None, OUTPUTS}:
        made[f"{work.stem}UUID"] = item.uuid
    return made


def failure(work: Work, item: Item) -> Json:
    """Make the error object for an item that failed."""
    return {**(item.error or {}), **work.scope(), "status": "error",
            "documentation": "https://runware.ai/docs/platform/errors"}  # fmt: skip
