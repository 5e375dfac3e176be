"""Files: made when they are asked for, kept for a while, gone when they expire."""

from __future__ import annotations

import asyncio
import collections
import struct
import zlib
from collections.abc import Callable
from typing import Any

from ..core.clock import Clock
from .inputs import Uploads
from .work import Item, Work

__all__ = ["MediaShelf"]

_CACHE_BYTES = 64 * 1024 * 1024
_TYPES = {
    "jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "bmp": "image/bmp", "gif": "image/gif",
    "mp4": "video/mp4", "webm": "video/webm", "mov": "video/quicktime", "mp3": "audio/mpeg", "wav": "audio/wav",
    "flac": "audio/flac", "ogg": "audio/ogg", "glb": "model/gltf-binary", "svg": "image/svg+xml",
}  # fmt: skip


class MediaShelf:
    """Everything under the media address: uploads, and what tasks made.

    Args:
        uploads: Media that came in.
        clock: For the life of a file.
    """

    def __init__(self, uploads: Uploads, clock: Clock) -> None:
        self._uploads = uploads
        self._clock = clock
        self._items: dict[str, tuple[Work, Item]] = {}
        self._cache: collections.OrderedDict[str, tuple[bytes, str]] = collections.OrderedDict()
        self._cached_bytes = 0
        self._told: dict[str, dict[str, Any]] = {}
        self._making = asyncio.Semaphore(2)

    def add(self, work: Work) -> None:
        """Know a task's items from now on."""
        for item in work.items:
            self._items[item.uuid] = (work, item)

    def clear(self) -> None:
        """Forget everything but uploads."""
        self._items.clear()
        self._cache.clear()
        self._told.clear()
        self._cached_bytes = 0

    async def serve(self, name: str) -> tuple[bytes, str] | None:
        """Give a file and its media type; None when there is none, or it is not ready or has expired."""
        stem, _, ending = name.partition(".")
        stored = self._uploads.body(name)
        if stored is not None:
            return stored, _TYPES.get(ending, "application/octet-stream")
        found = self._items.get(stem)
        if found is None:
            return None
        work, item = found
        now = self._clock.now()
        ttl = work.task.get("ttl")
        is_gone = isinstance(ttl, int) and now > item.ready_at + ttl / self._clock.time_scale
        if item.ready_at > now or item.error or is_gone or name != work.file_name(item):
            return None
        if work.media_fault == "expire":
            return None
        body, media_type = await self.made(work, item)
        if work.media_fault == "truncate":
            return body[: len(body) // 2], media_type
        if work.media_fault == "bomb":
            return _bomb(), "image/png"
        return body, media_type

    def fault_of(self, name: str) -> str:
        """Say what is wrong with a file, if anything."""
        found = self._items.get(name.partition(".")[0])
        return found[0].media_fault if found else ""

    def drip_of(self, name: str) -> dict[str, Any] | None:
        """Return how a file is sent byte by byte; None if it is sent as usual."""
        found = self._items.get(name.partition(".")[0])
        return found[0].drip if found else None

    def read(self, value: Any, parameter: str) -> bytes:
        """Give the bytes of a media value in a request."""
        return self._uploads.read(value, parameter=parameter, own_body=self.own_body)

    def own_body(self, path: str) -> bytes | None:
        """Give the bytes behind one of our own addresses, or behind a UUID of ours."""
        name = path.rpartition("/")[2]
        stored = self._uploads.body(name)
        if stored is not None:
            return stored
        found = self._items.get(name.partition(".")[0])
        if found is None or found[1].ready_at > self._clock.now() or found[0].kind.make is None:
            return None
        return self.made_now(*found)[0]

    def knows(self, value: str) -> bool:
        """Whether an address or UUID is of an upload, or of a finished file of ours."""
        name = value.rpartition("/")[2]
        if self._uploads.body(name) is not None:
            return True
        found = self._items.get(name.partition(".")[0])
        return found is not None and found[1].ready_at <= self._clock.now() and found[0].kind.make is not None

    async def made(self, work: Work, item: Item) -> tuple[bytes, str]:
        """Give an item's file, making it without holding up anyone else."""
        async with self._making:
            if item.uuid not in self._cache:
                self._keep(item.uuid, await asyncio.to_thread(self._make, work, item))
            return self._cache[item.uuid]

    def made_now(self, work: Work, item: Item) -> tuple[bytes, str]:
        """Give an item's file at once."""
        if item.uuid not in self._cache:
            self._keep(item.uuid, self._make(work, item))
        return self._cache[item.uuid]

    def told(self, work: Work, item: Item) -> dict[str, Any]:
        """Give what an item's kind tells besides its file, such as a text."""
        tell = work.kind.tell
        if tell is None:
            return {}
        if item.uuid not in self._told:
            self._told[item.uuid] = tell(work, item, self._reader())
        return self._told[item.uuid]

    def _make(self, work: Work, item: Item) -> tuple[bytes, str]:
        make = work.kind.make
        assert make is not None
        return make(work, item, self._reader())

    def _reader(self) -> Callable[[Any], bytes]:
        return lambda value: self.read(value, "inputs")

    def _keep(self, key: str, product: tuple[bytes, str]) -> None:
        self._cache[key] = product
        self._cached_bytes += len(product[0])
        while self._cached_bytes > _CACHE_BYTES and len(self._cache) > 32:
            _, (dropped, _) = self._cache.popitem(last=False)
            self._cached_bytes -= len(dropped)


def _bomb() -> bytes:
    """Write a PNG of 30,000 by 30,000 pixels in some hundred kilobytes."""
    side = 30_000
    rows = zlib.compress(b"\0" * (side // 8 + 1) * side, 9)

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
