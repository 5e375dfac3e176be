"""The way out for answer frames, on which things may happen to them."""

from __future__ import annotations

import asyncio
import json
import math
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from ..core.faults import Fault

__all__ = ["Push", "drip_options", "dump", "spoilt", "stray_errors"]

Json = dict[str, Any]
Push = Callable[[Json], Awaitable[None]]
"""Sends a frame. A frame with `_raw` goes out as that text; one with `_cut` breaks the connection half way.
Over HTTP, `_status` is the status where there is no data, and `_drip` sends the body byte by byte."""

_REORDER_S = 0.15


def dump(body: Json) -> str:
    """Format a body as JSON. Infinity becomes 1e400: a valid JSON number that no float can hold."""
    text = json.dumps(body)
    return text.replace(f'"{_INFINITE}"', "1e400") if _INFINITE in text else text


def drip_options(fault: Fault) -> Json:
    """Return how a fault sends a body byte by byte, as arguments of `drip`: seconds for all of it, bytes at a time."""
    return {"seconds": float(fault.options.get("seconds", 1.0)), "size": int(fault.options.get("bytes", 1))}


def stray_errors(fault: Fault, task_type: Any) -> list[Json]:
    """Build the frames of a `stray_error`, one error in each."""
    error = {"code": str(fault.options.get("code", "maintenanceSoon")),
             "message": str(fault.options.get("message", "A fault was ordered."))}  # fmt: skip
    if fault.options.get("names_type"):
        error["taskType"] = str(task_type)
    status = int(fault.options.get("status", 503))
    return [{"errors": [dict(error)], "_status": status} for _ in range(int(fault.options.get("times", 1)))]


def spoilt(push: Push, hit: dict[str, Fault]) -> Push:
    """Wrap a way out with the faults that hit a task."""
    for kind, wrap in _WRAPS.items():
        if kind in hit:
            push = wrap(push, hit[kind])
    return push


def _first_only(push: Push, change: Callable[[Json, Push], Awaitable[None]]) -> Push:
    is_first = True

    async def changed(frame: Json) -> None:
        nonlocal is_first
        if is_first:
            is_first = False
            await change(frame, push)
        else:
            await push(frame)

    return changed


def _lose(push: Push, _: Fault) -> Push:
    async def lost(frame: Json, __: Push) -> None:
        """Nothing arrives."""

    return _first_only(push, lost)


def _malform(push: Push, _: Fault) -> Push:
    async def broken(frame: Json, push: Push) -> None:
        text = json.dumps(frame)
        await push({"_raw": text[: len(text) // 2]})

    return _first_only(push, broken)


def _misaddress(push: Push, _: Fault) -> Push:
    async def doubled(frame: Json, push: Push) -> None:
        entries = frame.get("data") or []
        await push({"data": [{**entry, "taskUUID": str(uuid.uuid4())} for entry in entries]})
        await push(frame)

    return _first_only(push, doubled)


def _cut(push: Push, fault: Fault) -> Push:
    if fault.options.get("when") != "mid_frame":
        return push

    async def cut(frame: Json, _: Push) -> None:
        await push({**frame, "_cut": True})

    return _first_only(push, cut)


def _double(push: Push, _: Fault) -> Push:
    async def twice(frame: Json) -> None:
        await push(frame)
        await push(frame)

    return twice


def _late(push: Push, fault: Fault) -> Push:
    async def late(frame: Json) -> None:
        await asyncio.sleep(float(fault.options.get("seconds", 0.5)))
        await push(frame)

    return late


def _reorder(push: Push, _: Fault) -> Push:
    held: list[Json] = []
    is_over = False

    async def release() -> None:
        await asyncio.sleep(_REORDER_S)
        while held:
            await push(held.pop())

    async def reordered(frame: Json) -> None:
        nonlocal is_over
        if is_over:
            await push(frame)
            while held:
                await push(held.pop())
            return
        is_over = True
        held.append(frame)
        _released.add(task := asyncio.create_task(release()))
        task.add_done_callback(_released.discard)

    return reordered


def _stray_error(push: Push, fault: Fault) -> Push:
    async def strayed(frame: Json, push: Push) -> None:
        entries = [*(frame.get("data") or []), *(frame.get("errors") or [])]
        for stray in stray_errors(fault, entries[0].get("taskType") if entries else None):
            await push(stray)
        if not fault.options.get("instead"):
            await push(frame)

    return _first_only(push, strayed)


def _drip(push: Push, fault: Fault) -> Push:
    async def dripped(frame: Json) -> None:
        await push({**frame, "_drip": drip_options(fault)})

    return dripped


def _odd(push: Push, fault: Fault) -> Push:
    is_over = False

    async def odd(frame: Json) -> None:
        nonlocal is_over
        items = frame.get("data")
        if is_over or not isinstance(items, list) or all(map(_is_news, items)):
            await push(frame)
            return
        is_over = True
        before, changed = _ODD[fault.options.get("what", "cost")](items, fault.options.get("value", math.nan))
        if before:
            await push({"data": before})
        await push({**frame, "data": changed})

    return odd


def _odd_cost(items: list[Json], value: Any) -> tuple[list[Any], list[Any]]:
    shown = _INFINITE if isinstance(value, float) and math.isinf(value) else value
    return [], [item if _is_news(item) else {**item, "cost": shown} for item in items]


def _odd_index(items: list[Json], _: Any) -> tuple[list[Any], list[Any]]:
    return [], [{**items[0], "resultIndex": 10**30}, *items[1:]]


def _odd_progress(items: list[Json], _: Any) -> tuple[list[Any], list[Any]]:
    return [{**_scope(items[0]), "status": "processing", "progress": 10**400}], items


def _odd_frame(items: list[Json], _: Any) -> tuple[list[Any], list[Any]]:
    return [{"taskType": items[0].get("taskType"), "taskUUID": [1], "status": {}, "progress": 10**400},
            {"taskType": [], "taskUUID": {}, "imageUUID": 10**400, "cost": []}], items  # fmt: skip


def _odd_preview(items: list[Json], _: Any) -> tuple[list[Any], list[Any]]:
    """Add the URL of a preview that does not exist: in an item of its own first, then before the URL of the result."""
    previews, changed = [], []
    for item in items:
        url = item.get("imageURL")
        if url is None:
            changed.append(item)
            continue
        preview = {"previewURL": f"{url.rpartition('/')[0]}/preview.jpg"}
        previews.append({**_scope(item), "imageUUID": item["imageUUID"], **preview})
        changed.append({**preview, **item})
    return previews, changed


def _odd_surrogate(items: list[Json], _: Any) -> tuple[list[Any], list[Any]]:
    return [], [
        {**item, "note": "half a character: \ud800", "n\udfffte": ["\udc00", {"deeper": "\ud83d"}]} for item in items
    ]


def _odd_stranger(items: list[Json], _: Any) -> tuple[list[Any], list[Any]]:
    return [], [*({**item, "taskUUID": str(uuid.uuid4()), "cost": 1000} for item in items), *items]


def _odd_strings(items: list[Json], _: Any) -> tuple[list[Any], list[Any]]:
    return [], ["text", 7, None, [items[0]], *items, True]


def _scope(item: Json) -> Json:
    return {key: item[key] for key in ("taskType", "taskUUID") if key in item}


def _is_news(item: Json) -> bool:
    """Return whether an item acknowledges a task or reports progress."""
    return item.keys() <= {"taskType", "taskUUID"} or item.get("status") in {"processing", "pending"}


_INFINITE = "infinite, as no float can be"
_ODD: dict[str, Callable[[list[Json], Any], tuple[list[Any], list[Any]]]] = {
    "cost": _odd_cost, "index": _odd_index, "progress": _odd_progress, "frame": _odd_frame, "preview": _odd_preview,
    "surrogate": _odd_surrogate, "stranger": _odd_stranger, "strings": _odd_strings,
}  # fmt: skip
_released: set[asyncio.Task[None]] = set()
_WRAPS: dict[str, Callable[[Push, Fault], Push]] = {
    "drip": _drip, "odd": _odd, "stray_error": _stray_error,  # next to the wire: the others expect proper items
    "lose": _lose, "malform": _malform, "misaddress": _misaddress, "cut": _cut, "double": _double, "late": _late,
    "reorder": _reorder,
}  # fmt: skip
