"""Media under the service's media URL: uploads, and the results of tasks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from ..core.clock import Clock
from ..core.media import MediaFile, MediaFiles
from .inputs import Uploads
from .validation import Refused
from .work import Item, Work

__all__ = ["MediaShelf"]


class MediaShelf:
    """Uploads and results of tasks, by file name.

    Args:
        uploads: Uploaded media.
        clock: Decides whether a result is ready or has expired.
    """

    def __init__(self, uploads: Uploads, clock: Clock) -> None:
        self._uploads = uploads
        self._clock = clock
        self._files = MediaFiles(clock)
        self._told: dict[str, dict[str, Any]] = {}

    def add(self, work: Work) -> None:
        """Add the files of a task's items. An item that fails has none."""
        if work.kind.make is None:
            return
        ttl_s = work.task.get("ttl")
        life_s = self._clock.real_s(ttl_s) if isinstance(ttl_s, int) else None
        for item in work.items:
            if not item.error:
                self._files.add(
                    MediaFile(
                        work.file_name(item),
                        functools.partial(self._make, work, item),
                        ready_at=item.ready_at,
                        expires_at=None if life_s is None else item.ready_at + life_s,
                        fault=work.media_fault,
                        drip=work.drip,
                    )
                )

    def clear(self) -> None:
        """Delete everything except uploads."""
        self._files.clear()
        self._told.clear()

    async def serve(self, name: str) -> Response:
        """Return the response to a download."""
        stored = self._uploads.body(name)
        return await self._files.serve(name) if stored is None else self._files.serve_stored(name, stored)

    def read(self, value: Any, parameter: str) -> bytes:
        """Return the bytes of a media value in a request."""
        return self._uploads.read(value, parameter=parameter, own_body=self.own_body)

    def own_body(self, path: str) -> bytes | None:
        """Return the bytes behind a URL or UUID of this service; None if there is no such file or it is not ready."""
        name = path.rpartition("/")[2]
        stored = self._uploads.body(name)
        if stored is not None:
            return stored
        file = self._files.finished(name)
        return None if file is None else self._files.body_now(file.id)[0]

    def knows(self, value: str) -> bool:
        """Return whether a URL or UUID belongs to an upload or to a finished file of this service.

        Raises:
            Refused: The file has expired.
        """
        name = value.rpartition("/")[2]
        if self._uploads.body(name) is not None:
            return True
        if self._files.is_gone(name):
            raise Refused("mediaExpired", f"The medium {name} has expired.")
        return self._files.finished(name) is not None

    def is_drawing(self, value: Any) -> bool:
        """Return whether a URL or UUID belongs to an SVG file of this service, which has no pixels."""
        file = self._files.finished(value.rpartition("/")[2]) if isinstance(value, str) else None
        return file is not None and file.name.endswith(".svg")

    async def made(self, item: Item) -> tuple[bytes, str]:
        """Return an item's file and its media type, made on a thread if it is missing."""
        return await self._files.body(item.uuid)

    def made_now(self, item: Item) -> tuple[bytes, str]:
        """Return an item's file and its media type at once."""
        return self._files.body_now(item.uuid)

    def told(self, work: Work, item: Item) -> dict[str, Any]:
        """Return the fields of an item's response besides its file, such as a text."""
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
