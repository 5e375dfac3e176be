"""Media on their way in: sent once, remembered by their content, named by UUID ever after."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any, Self

from ...core.items import Item
from ...core.media_fields import holds_media, replace_media
from ...core.parsing import is_uuid
from ...core.results import Result
from ...errors import ProtocolError
from ...media.incoming import is_sendable, load_medium
from ...printable import printable
from .tracker import Tracker

__all__ = ["Upload", "Uploader"]


class Upload(str):
    """The UUID of an uploaded medium. As a text, it is a medium for any task.

    Attributes:
        url: Where the service has the medium; None if it did not state it.
    """

    __slots__ = ("url",)
    url: str | None

    def __new__(cls, media_uuid: str, url: str | None = None) -> Self:
        """Build an upload from the UUID and the URL that the service stated."""
        made = super().__new__(cls, media_uuid)
        made.url = url
        return made

    def __getnewargs__(self) -> tuple[str, str | None]:  # type: ignore[override]
        return str(self), self.url

    def __repr__(self) -> str:
        return printable(f"Upload({str(self)!r}, url={self.url!r})")


class Uploader:
    """Uploads what a task brings along.

    Args:
        tracker: Carries the uploads.
        timeout_s: Longest time for one upload, every try included, in seconds.

    Attributes:
        urls: URL of each medium that was uploaded here, by its UUID, where the service stated it.
        hashes: SHA-256 of each medium that went through here, as it was given, by the UUID the service gave it.
    """

    def __init__(self, tracker: Tracker, *, timeout_s: float) -> None:
        self.hashes: dict[str, str] = {}
        self.urls: dict[str, str] = {}
        self._tracker = tracker
        self._timeout_s = timeout_s
        self._known: dict[str, asyncio.Future[str]] = {}

    async def upload(self, value: Any) -> str:
        """Upload a medium, unless one of the same content has been.

        Args:
            value: See `media.incoming.load_medium`.

        Returns:
            Its UUID.

        Raises:
            MediaError: It is none, or broken.
            TransportError: It could not be sent.
        """
        medium = await asyncio.to_thread(load_medium, value)
        digest = medium.sent_sha256
        known = self._known.get(digest)
        if known is None:  # the same medium twice at once is uploaded once
            known = self._known[digest] = asyncio.ensure_future(self._send(medium.body, medium.media_type))
        try:
            media_uuid = await asyncio.shield(known)
        except BaseException:
            if known.done():
                self._known.pop(digest, None)
            raise
        self.hashes[media_uuid] = medium.sha256
        return media_uuid

    async def upload_named(self, value: Any) -> Upload:
        """Upload a medium and return its UUID and URL. A medium that the service has already is not uploaded.

        Args:
            value: As for `upload`; also a URL, which the service fetches, the UUID of a medium, and an earlier result.

        Raises:
            MediaError: It is not a medium, or it is broken.
            TransportError: It could not be sent.
        """
        if isinstance(value, str) and is_uuid(value):
            return Upload(value, self.urls.get(value))
        if isinstance(value, str) and value.startswith(("http://", "https://")):
            media_uuid = await self._send_text(value)
        else:
            media_uuid = await self._name_of(value)
        known = value.url if isinstance(value, Result) and value.item_uuid == media_uuid else None
        return Upload(media_uuid, self.urls.get(media_uuid, known))

    def forget(self, media_uuid: str) -> None:
        """Note that the service has deleted a medium: the same content must be uploaded again."""
        self.hashes.pop(media_uuid, None)
        for digest, known in list(self._known.items()):
            is_it = known.done() and not known.cancelled() and known.exception() is None
            if is_it and known.result() == media_uuid:
                del self._known[digest]

    def forget_hash(self, sha256: str) -> None:
        """Note that the service no longer has the medium of this content."""
        self._known.pop(sha256, None)

    async def settle(self, task: Mapping[str, Any]) -> Item:
        """Give a task in which every medium stands as text: an address, a UUID, a data URI, base64.

        Raises:
            MediaError: A medium is none, or broken; the sentence says which.
            TransportError: One could not be sent.
        """
        if not holds_media(task):
            return dict(task)
        found: list[Any] = []

        def note(value: Any) -> Any:
            if not is_sendable(value):
                found.append(value)
            return value

        replace_media(task, note)
        if not found:
            return dict(task)
        uploaded = await asyncio.gather(*(self._name_of(value) for value in found))
        by_identity = {id(value): name for value, name in zip(found, uploaded, strict=True)}
        return replace_media(task, lambda value: by_identity.get(id(value), value))

    async def _name_of(self, value: Any) -> str:
        """Name a medium for the wire: an earlier result of this service has a UUID already."""
        if isinstance(value, Result) and value.text is None and is_uuid(value.item_uuid or ""):
            return str(value.item_uuid)
        return await self.upload(value)

    async def _send(self, body: bytes, media_type: str) -> str:
        return await self._send_text(f"data:{media_type};base64,{base64.b64encode(body).decode()}")

    async def _send_text(self, uri: str) -> str:
        task = {"taskType": "mediaStorage", "operation": "upload", "media": uri}
        response = await self._tracker.ask(task, over_rest=True, timeout_s=self._timeout_s)
        media_uuid = response.get("mediaUUID")
        if not isinstance(media_uuid, str) or not is_uuid(media_uuid):
            # Without this check, a paid task would be sent with an empty or unknown image.
            raise ProtocolError(
                f"the service's response to the upload of a medium has no usable mediaUUID ({str(media_uuid)[:60]!r}); "
                "the task that needs it was not sent, and nothing was charged"
            )
        url = response.get("mediaURL")
        if isinstance(url, str):
            self.urls[media_uuid] = url
        return media_uuid
