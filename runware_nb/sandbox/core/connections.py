"""Connections that faults break or slow down."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

__all__ = ["CutConnection", "cut_short", "drip"]


class CutConnection(Exception):
    """A fault breaks the connection here.

    Attributes:
        refusals: How the next authentications of this session are refused, one after the other.
    """

    def __init__(self, refusals: Sequence[str] = ()) -> None:
        super().__init__("cut")
        self.refusals = list(refusals)


async def drip(body: bytes, *, seconds: float, size: int = 1) -> AsyncIterator[bytes]:
    """Return *body* in pieces of *size* bytes that together take *seconds*."""
    started_at = time.monotonic()
    for place in range(0, len(body), max(1, size)):
        yield body[place : place + max(1, size)]
        await asyncio.sleep(max(0.0, started_at + seconds * place / len(body) - time.monotonic()))


async def cut_short(started: bytes) -> AsyncIterator[bytes]:
    """Return the beginning of a body, then break the connection."""
    yield started
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    raise CutConnection
