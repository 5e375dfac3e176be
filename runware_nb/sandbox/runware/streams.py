"""Streamed text: server-sent events, as textInference sends them (reference 5.14)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from ..core.clock import Clock
from ..core.connections import CutConnection, drip
from ..core.faults import Fault
from . import answers
from .delivery import drip_options
from .work import Work

__all__ = ["stream_events"]

Json = dict[str, Any]


async def stream_events(work: Work, told: Json, clock: Clock, hit: dict[str, Fault]) -> AsyncIterator[bytes]:
    """Send a text piece by piece.

    Args:
        work: The task; its first item is streamed.
        told: The whole answer.
        clock: When each piece is due.
        hit: `cut` (mid_stream) breaks off and `fail` ends in an error, both half way or after so many words; `hold`
            waits to be released, `unended` omits the end, `split` cuts characters in two, `drip` sends byte by byte.

    Raises:
        CutConnection: A fault wants the connection broken.
    """
    item = work.items[0]
    pieces = [{"delta": {"reasoningContent": piece}} for piece in _pieces(str(told.get("reasoningContent") or ""))]
    pieces += [{"delta": {"text": piece}} for piece in _pieces(str(told["text"]))]
    is_cut = "cut" in hit and hit["cut"].options.get("when") == "mid_stream"
    turn = _turn(hit, len(pieces))
    held_at = int(hit["hold"].options.get("after", 3)) if "hold" in hit else None
    pause_s = 0.0 if held_at is not None else max(0.0, item.ready_at - clock.now()) / max(1, len(pieces))
    yield b": welcome\n\n"
    for number, piece in enumerate(pieces):
        await asyncio.sleep(pause_s)
        if number == held_at and work.released is not None:
            await work.released.wait()
        if number == turn:
            if is_cut:
                raise CutConnection
            if item.error:
                yield _event({"errors": [answers.failure(work, item)]})
                return
        event = _event({**work.scope(), **piece})
        if "drip" in hit:
            options = drip_options(hit["drip"])
            async for part in drip(event, seconds=options["seconds"] / max(1, len(pieces)), size=options["size"]):
                yield part
            continue
        for part in _parts(event, splits="split" in hit):
            yield part
    last = {**work.scope(), "delta": {}, "finishReason": told["finishReason"]}
    if "usage" in told:
        last["usage"] = told["usage"]
    if work.task.get("includeCost"):
        last["cost"] = work.cost_usd
    yield _event(last)
    if "unended" in hit:
        await asyncio.Event().wait()  # until the client closes the connection
    yield b"data: [DONE]\n\n"


def _turn(hit: dict[str, Fault], count: int) -> int:
    """Return how many words are sent before a fault breaks off the stream."""
    options = [hit[kind].options for kind in ("cut", "fail") if kind in hit]
    return next((int(each["after"]) for each in options if "after" in each), count // 2)


def _pieces(text: str) -> list[str]:
    """Cut a text into words, each with the blank before it."""
    words = text.split(" ")
    return [word if number == 0 else f" {word}" for number, word in enumerate(words)] if text else []


def _event(body: Json) -> bytes:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()


def _parts(event: bytes, *, splits: bool) -> list[bytes]:
    """Cut an event in the middle of its first character beyond ASCII, or not at all."""
    at = next((place for place, byte in enumerate(event) if byte >= 0x80), None) if splits else None
    return [event] if at is None else [event[: at + 1], event[at + 1 :]]
