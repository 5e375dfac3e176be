"""Files that a service serves: made when they are first requested, cached, and gone when they expire."""

from __future__ import annotations

import asyncio
import collections
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response, StreamingResponse

from .clock import Clock
from .connections import cut_short, drip

__all__ = ["MEDIA_FAULTS", "MediaFile", "MediaFiles", "media_type_of"]

MEDIA_FAULTS = {
    "expire": "have the files gone at once",
    "truncate": "serve half of each file",
    "drop": "break the connection in the middle of a download",
    "bomb": "serve an image of 900 megapixels in few bytes",
}
"""Faults of files, with their effects. A service lists those it offers in its fault table."""

_OPEN = {"Access-Control-Allow-Origin": "*"}
_CACHE_BYTES = 64 * 1024 * 1024
_TYPES = {
    "jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "bmp": "image/bmp", "gif": "image/gif",
    "mp4": "video/mp4", "webm": "video/webm", "mov": "video/quicktime", "mp3": "audio/mpeg", "wav": "audio/wav",
    "flac": "audio/flac", "ogg": "audio/ogg", "glb": "model/gltf-binary", "svg": "image/svg+xml",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class MediaFile:
    """One result file.

    Attributes:
        name: File name: an id, a dot and an extension.
        make: Returns the body and the media type. The same on every call.
        ready_at: When the file is finished, in seconds since the epoch.
        expires_at: When the file is deleted, in seconds since the epoch; None to keep it.
        fault: What is wrong with it, from `MEDIA_FAULTS`; empty if nothing.
        drip: How it is sent byte by byte, as arguments of `drip`; None to send it as usual.
    """

    name: str
    make: Callable[[], tuple[bytes, str]]
    ready_at: float = 0.0
    expires_at: float | None = None
    fault: str = ""
    drip: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        """The name without the extension."""
        return self.name.partition(".")[0]


class MediaFiles:
    """All result files of a service, by id.

    Args:
        clock: Decides whether a file is ready or has expired.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._files: dict[str, MediaFile] = {}
        self._cache: collections.OrderedDict[str, tuple[bytes, str]] = collections.OrderedDict()
        self._cached_bytes = 0
        self._making = asyncio.Semaphore(2)

    def add(self, file: MediaFile) -> None:
        """Add a file."""
        self._files[file.id] = file

    def clear(self) -> None:
        """Delete all files."""
        self._files.clear()
        self._cache.clear()
        self._cached_bytes = 0

    def finished(self, name: str) -> MediaFile | None:
        """Return the file with a name or id, whether expired or not; None if there is none or it is not ready."""
        file = self._files.get(name.partition(".")[0])
        return file if file is not None and file.ready_at <= self._clock.now() else None

    def is_gone(self, name: str) -> bool:
        """Return whether there was a file with a name or id, and it has expired."""
        file = self.finished(name)
        return file is not None and (file.fault == "expire" or self._is_expired(file))

    async def serve(self, name: str) -> Response:
        """Return the response to a download, with the file's faults."""
        file = self.finished(name)
        if file is None or file.name != name or self.is_gone(name):
            return Response("no such medium", 404, _OPEN, "text/plain")
        body, media_type = await self.body(file.id)
        if file.fault == "truncate":
            body = body[: len(body) // 2]
        elif file.fault == "bomb":
            body, media_type = _bomb(), "image/png"
        headers = {**_OPEN, "Content-Length": str(len(body))}
        if file.fault == "drop":
            return StreamingResponse(cut_short(body[: len(body) // 2]), 200, headers, media_type)
        if file.drip is not None:
            return StreamingResponse(drip(body, **file.drip), 200, headers, media_type)
        return Response(body, 200, _OPEN, media_type)

    @staticmethod
    def serve_stored(name: str, body: bytes) -> Response:
        """Return the response to a download of a file that was uploaded."""
        return Response(body, 200, _OPEN, media_type_of(name))

    async def body(self, file_id: str) -> tuple[bytes, str]:
        """Return a file's body and media type. A missing one is made on a thread, at most two at a time."""
        async with self._making:
            if file_id not in self._cache:
                self._keep(file_id, await asyncio.to_thread(self._files[file_id].make))
            return self._cache[file_id]

    def body_now(self, file_id: str) -> tuple[bytes, str]:
        """Return a file's body and media type, made on this thread if it is missing."""
        if file_id not in self._cache:
            self._keep(file_id, self._files[file_id].make())
        return self._cache[file_id]

    def _is_expired(self, file: MediaFile) -> bool:
        return file.expires_at is not None and self._clock.now() > file.expires_at

    def _keep(self, file_id: str, product: tuple[bytes, str]) -> None:
        self._cache[file_id] = product
        self._cached_bytes += len(product[0])
        while self._cached_bytes > _CACHE_BYTES and len(self._cache) > 32:
            _, (dropped, _) = self._cache.popitem(last=False)
            self._cached_bytes -= len(dropped)


def media_type_of(name: str) -> str:
    """Return the media type of a file name, by its extension."""
    return _TYPES.get(name.partition(".")[2], "application/octet-stream")


def _bomb() -> bytes:
    """Return a PNG of 30,000 by 30,000 pixels in some hundred kilobytes."""
    side = 30_000
    rows = zlib.compress(b"\0" * (side // 8 + 1) * side, 9)

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
