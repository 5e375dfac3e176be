"""The way out for answer frames, on which things may happen to them."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from .faults import Fault

__all__ = ["CutConnection", "Push", "spoilt"]

Json = dict[str, Any]
Push = Callable[[Json], Awaitable[None]]
"""Sends a frame. A frame with `_raw` goes out as that text; one with `_cut` breaks the connection half way."""

_REORDER_S = 0.15


class CutConnection(Exception):
    """A fault: the connection is to break here.

    Attributes:
        started: What has gone out by then, as text.
    """

    def __init__(self, started: str = "") -> None:
        super().__init__("cut")
        self.started = started


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


_released: set[asyncio.Task[None]] = set()
_WRAPS: dict[str, Callable[[Push, Fault], Push]] = {
    "lose": _lose, "malform": _malform, "misaddress": _misaddress, "cut": _cut, "double": _double, "late": _late,
    "reorder": _reorder,
}  # fmt: skip
