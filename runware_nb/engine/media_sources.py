"""Media of a task, looked up once: what each is, what the service has of it already, and whether it can be used."""

from __future__ import annotations

import asyncio
import datetime as dt
import io
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from ..core.items import Item
from ..core.media_fields import (
    MASK_FIELDS,
    MASKED_FIELDS,
    holds_media,
    kind_of_field,
    list_media,
    replace_media_at,
)
from ..core.media_types import CONVERTED_TYPES, SNIFFED_BYTES, sniff
from ..core.parsing import is_uuid
from ..core.results import Outcome, Result, TaskOrigin
from ..errors import ConfigError, MediaError, RunLogError, RunwareNBError
from ..forking import make_lock
from ..loop import background_loop, wait
from ..media.incoming import LoadedMedium, cannot_use, check_kind, load_medium
from ..net.address_policy import shown_url
from ..providers.base import Provider
from ..reprs import short_repr
from .input_lineage import Input, inline_bytes

if TYPE_CHECKING:
    from ..runlog import FoundResult, RunLog, Uploaded
    from .ports import Ports

__all__ = ["RemembersUploads", "Sources", "UrlChecks", "check_masks", "forget_uploads", "load_again", "look_up",
           "upload_media"]  # fmt: skip

_KEPT_FOR = dt.timedelta(days=29)
"""How long after its last use an uploaded medium is named again: the service deletes it after 30 days."""
_NOTED_AGAIN = dt.timedelta(days=1)
"""How old the record of the last use is before another use is recorded: one row a day instead of one for each task."""
_UPLOAD_LIFE = dt.timedelta(days=30)
_RESULT_KEPT_FOR = dt.timedelta(days=6)
"""How long after its run a result is named by its UUID: its URL was seen to live for about 7 days (reference 3.2)."""
_UUIDS = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MOST_URLS = 500
_NOTHING_SENT = "Nothing was sent."


@runtime_checkable
class RemembersUploads(Protocol):
    """A provider whose service keeps media under ids that any later task can name."""

    def upload_scope(self) -> str:
        """Return the service and the account that media are uploaded to, without secrets: no other account has them."""

    def may_have(self, url: str | None) -> bool:
        """Return whether the service may have a result that it made under this URL: another sandbox has not."""

    def serves_media(self, url: str) -> bool:
        """Return whether a URL is one at which the service serves media. It needs neither a key nor the network."""

    def forget_upload(self, sha256: str) -> None:
        """Upload a medium again the next time that a task brings it along: the service no longer has it.

        Args:
            sha256: Hash of what was sent.
        """

    async def read_start(self, url: str) -> bytes:
        """Return the first bytes of the file behind a URL of the user's, without the key.

        Raises:
            MediaError: The URL may not be visited from here.
            TransportError: It could not be reached from here, which proves nothing about the service.
        """


def with_nothing_sent(error: MediaError) -> MediaError:
    """Return the error about a medium that was found before anything of its task was sent, and state that."""
    if _NOTHING_SENT in error.problem:
        return error
    return MediaError(f"{error.problem.removesuffix('.')}. {_NOTHING_SENT}", is_expired=error.is_expired)


@short_repr()
@dataclass(slots=True)
class Sources:
    """The media of a task, each looked up once.

    Attributes:
        task: The task, in which each medium is what the service calls it, or is loaded and still has to be uploaded.
        inputs: What each medium is, in the order in which the media are in the task.
    """

    task: Item
    inputs: list[Input] = field(default_factory=list)


def look_up(
    ports: Ports, provider: Provider, task: Mapping[str, Any], *, urls: UrlChecks | None = None, keeps: bool = True
) -> Sources:
    """Look up the media of a task: each file is read once, and its content is hashed once.

    Args:
        ports: Whose log has the results and uploads of earlier runs, and whose store keeps what comes from elsewhere.
        provider: The service that performs it, which has its own names of media.
        task: In the form of that service, with anything where a medium may be.
        urls: Looks at URLs; None if nothing may be visited.
        keeps: Whether media from elsewhere are stored, so that the run can be made again.

    Raises:
        MediaError: A medium does not exist, is broken, or cannot be used in its place. Nothing was sent.
    """
    if not holds_media(task):
        return Sources(dict(task))
    return _LookUp(ports, provider, urls, keeps=keeps).run(task)


class _LookUp:
    """The media of one task while they are looked up."""

    def __init__(self, ports: Ports, provider: Provider, urls: UrlChecks | None, *, keeps: bool) -> None:
        self._ports = ports
        self._provider = provider
        self._urls = urls
        self._keeps = keeps
        self._found: list[Input] = []
        self._sizes: list[tuple[str, Callable[[], tuple[int, int] | None]]] = []
        self._passes_names = keeps and isinstance(provider, RemembersUploads)

    def run(self, task: Mapping[str, Any]) -> Sources:
        media = list_media(task)
        if self._urls is not None:
            given = [
                value for _, value in media if isinstance(value, str) and value.startswith(("http://", "https://"))
            ]
            self._urls.look_at(self._provider, [url for url in given if self._of_result(url) is None])
        try:
            ready = replace_media_at(task, self._look_at)
            if any(role in MASK_FIELDS for role, _ in self._sizes):
                check_masks([(role, size()) for role, size in self._sizes])
        except MediaError as error:
            raise with_nothing_sent(error) from error
        return Sources(ready, self._found)

    def _look_at(self, role: str, value: Any) -> Any:
        if isinstance(value, Outcome) and len(value.results) == 1:
            value = value.results[0]
        if isinstance(value, Result) and value.item_uuid:
            found = self._made_here(item_uuid=value.item_uuid)
            if found is not None:
                return self._earlier(role, found, value)
        if isinstance(value, str) and self._provider.is_reference(value) and not _is_data(value):
            return self._named(role, value)
        medium = load_medium(value, kind=kind_of_field(role), is_mask=role in MASK_FIELDS)
        found = self._made_here(sha256=medium.sha256)
        if found is not None:
            return self._earlier(role, found, value, medium)
        self._add(role, self._stored(medium, value), lambda: medium.size_px)
        return self._to_send(value, medium)

    def _to_send(self, value: Any, medium: LoadedMedium) -> Any:
        """Return what is sent for a medium that was loaded."""
        if not isinstance(self._provider, RemembersUploads):
            return value  # a provider that uploads in its own way reads it itself
        if not self._keeps:
            return value
        if isinstance(value, str) and self._provider.is_reference(value) and medium.body is medium.original:
            return value  # inline data, which needs no upload
        return _known_upload(self._ports, self._provider, medium) or medium

    def _earlier(self, role: str, found: FoundResult, value: Any, medium: LoadedMedium | None = None) -> Any:
        """Return what is sent for a result of an earlier run: its UUID as long as the service has it."""
        if found.media_type is not None:
            check_kind(f"result #{found.position + 1} of run {found.task_uuid[:8]}", found.media_type,
                       kind_of_field(role))  # fmt: skip
        known = Input(found.sha256, found.file, maker=found.task_uuid, index=found.position)
        has_it = self._service_has(found)
        if medium is None and (not has_it or role in MASK_FIELDS):  # a mask with transparency is sent in another form
            medium = load_medium(value, kind=kind_of_field(role), is_mask=role in MASK_FIELDS)
        if medium is None:
            self._add(role, known, lambda: self._size_of_file(found))
            return found.item_uuid
        size = medium.size_px
        self._add(role, known, lambda: size)
        return found.item_uuid if has_it and medium.body is medium.original else self._to_send(value, medium)

    def _service_has(self, found: FoundResult) -> bool:
        """Return whether a result can be named by its UUID. If the service has deleted it, it refuses the task."""
        if not self._passes_names or found.provider != self._provider.name or not is_uuid(found.item_uuid or ""):
            return False
        assert isinstance(self._provider, RemembersUploads)
        if not self._provider.may_have(found.url):
            return False
        return found.finished_at_utc is None or found.finished_at_utc >= _at(-_RESULT_KEPT_FOR)

    def _named(self, role: str, value: str) -> Any:
        """Look up a URL or a UUID: a medium of an earlier run is known by the UUID in its name."""
        found = self._of_result(value)
        if found is not None:
            known = Input(found.sha256, found.file, value, found.task_uuid, found.position)
            self._add(role, known, lambda: self._size_of_file(found))
            path = self._file_here(found)
            if path is None or not self._passes_names or self._service_has(found):
                return value
            # The service has deleted it, as far as can be told from its age, and its file is here.
            return self._to_send(path, load_medium(path, is_mask=role in MASK_FIELDS))
        upload = self._upload_named(value)
        if upload is not None and upload.used_at_utc < _at(-_UPLOAD_LIFE):
            return self._expired_upload(role, value, upload)
        size = None if self._urls is None else self._urls.check(value, kind_of_field(role))
        # The log has the same hash for each session; it may not be there yet for what was uploaded a moment ago.
        sha256 = self._provider.uploaded_hashes.get(value) if upload is None else upload.given_sha256
        self._add(role, Input(sha256=sha256, named=value), lambda: size)
        return value

    def _expired_upload(self, role: str, value: str, upload: Uploaded) -> Any:
        """Return the file of an upload that the service has deleted, to be uploaded again.

        Raises:
            MediaError: It is not here.
        """
        path = None
        with suppress(ConfigError):
            path = self._ports.media.find_hash(upload.given_sha256)
        if path is None:
            raise cannot_use(
                f"the medium {value}",
                f"it has expired: it was used last on {upload.used_at_utc[:10]}, and the service deletes uploads 30 "
                "days after their last use",
                "Give the file itself, which is then uploaded again.",
            )
        medium = load_medium(path, kind=kind_of_field(role), is_mask=role in MASK_FIELDS)
        self._add(role, self._stored(medium, path), lambda: medium.size_px)
        return self._to_send(path, medium)  # which finds that the last use is too long ago

    def _add(self, role: str, known: Input, size: Callable[[], tuple[int, int] | None]) -> None:
        self._found.append(known)
        self._sizes.append((role, size))

    def _stored(self, medium: LoadedMedium, value: Any) -> Input:
        try:
            file = self._ports.media.put(medium.original).name if self._keeps else None
        except (MediaError, ConfigError):
            file = None  # what is sent matters more than what is kept
        return Input(sha256=medium.sha256, file=file, maker=_maker_in_memory(value))

    def _of_result(self, name: str) -> FoundResult | None:
        """Return the result that a UUID names, or the URL of one. Any other URL may contain such a UUID, too."""
        is_name = is_uuid(name) or self._is_media_url(name)
        for part in _UUIDS.findall(name):
            found = self._made_here(item_uuid=part.lower())
            if found is not None and (is_name or _leads_to(name, found.url)):
                return found
        return None

    def _is_media_url(self, name: str) -> bool:
        """Return whether only the service names the files under a URL, so that a UUID in it is one of the service's."""
        return isinstance(self._provider, RemembersUploads) and self._provider.serves_media(name)

    def _upload_named(self, name: str) -> Uploaded | None:
        """Return the earlier upload that the user names by its UUID."""
        if not self._passes_names or not is_uuid(name):
            return None
        assert isinstance(self._provider, RemembersUploads)
        try:
            return self._ports.log.find_uploaded(self._provider.upload_scope(), name)
        except RunLogError:
            return None

    def _file_here(self, found: FoundResult) -> Path | None:
        with suppress(ConfigError):  # the bucket cannot be used: storing results reports that
            return self._ports.media.find_here(found.file)
        return None

    def _size_of_file(self, found: FoundResult) -> tuple[int, int] | None:
        path = self._file_here(found)
        if path is None:
            return None
        with suppress(OSError), path.open("rb") as file:
            return _size_of(file.read(SNIFFED_BYTES))
        return None

    def _made_here(self, **which: str) -> FoundResult | None:
        try:
            # An imported record proves nothing about the origin of a file: it must not decide which request is
            # answered from the log. Replay mode sends nothing, and finds the media of a bundle by what its records
            # state.
            return self._ports.log.find_result(**which, with_imported=self._ports.settings.mode == "replay")
        except RunLogError:
            return None  # the run itself meets the same fault, and reports it


def _leads_to(url: str, recorded: str | None) -> bool:
    """Return whether a URL is the recorded one of a result, whatever its query says."""
    if recorded is None:
        return False
    try:
        given, known = urlsplit(url), urlsplit(recorded)
    except ValueError:
        return False
    return (given.netloc.lower(), given.path) == (known.netloc.lower(), known.path)


def _is_data(value: str) -> bool:
    return value.startswith("data:") or inline_bytes(value) is not None


def _maker_in_memory(value: Any) -> str | None:
    """Return the run that an image in memory came from, if a result of this process gave it.

    A PNG file can have a text of the same name; Pillow puts it into `info`, too, but not as a `TaskOrigin`.
    """
    info = getattr(value, "info", None)
    origin = info.get("runware_nb") if isinstance(info, dict) else None
    return str(origin) if isinstance(origin, TaskOrigin) and is_uuid(origin) else None


class UrlChecks:
    """What is behind the URLs of the user's: each is looked at once in a session. Safe for many threads."""

    def __init__(self) -> None:
        self._starts: OrderedDict[str, bytes | None] = OrderedDict()
        self._lock = make_lock()

    def look_at(self, provider: Provider, urls: Iterable[str]) -> None:
        """Read the first bytes behind URLs that were not looked at yet, all at the same time."""
        if not isinstance(provider, RemembersUploads) or background_loop().is_current():
            return
        with self._lock:
            unknown = [url for url in dict.fromkeys(urls) if url not in self._starts]
        if not unknown:
            return

        async def read(url: str) -> bytes | None:
            try:
                return await provider.read_start(url)
            except RunwareNBError:  # the service may reach it all the same
                return None

        async def read_all() -> Sequence[bytes | None]:
            return await asyncio.gather(*map(read, unknown))

        starts = wait(background_loop().submit(read_all()))
        with self._lock:
            self._starts.update(zip(unknown, starts, strict=True))
            while len(self._starts) > _MOST_URLS:
                self._starts.popitem(last=False)

    def check(self, url: str, kind: str | None) -> tuple[int, int] | None:
        """Raise if a URL leads to something that cannot be used; return the size in pixels if it is known.

        Args:
            url: Looked at before.
            kind: What its place in the task takes: `image`, `video` or `audio`; None if several kinds are accepted.

        Raises:
            MediaError: It leads to a web page, or to a file of another kind.
        """
        with self._lock:
            start = self._starts.get(url)
        if not start:
            return None
        name = f"the URL {shown_url(url)}"
        media_type = sniff(start)
        if media_type is None:
            if _is_html(start):
                raise cannot_use(name, "it leads to a web page (HTML), not to a file", "Copy the URL of the file.")
            if kind is not None:
                what = "audio" if kind == "audio" else f"an {kind}" if kind == "image" else f"a {kind}"
                raise cannot_use(name, f"it does not lead to {what} of a known type", "Copy the URL of the file.")
            return None
        check_kind(name, media_type, kind)
        if kind == "image" and media_type in CONVERTED_TYPES:
            raise cannot_use(
                name,
                f"it leads to a file of type {media_type}, which the service does not take",
                "Download it, and give its path: then it is converted.",
            )
        return _size_of(start)


def check_masks(media: Sequence[tuple[str, tuple[int, int] | None]]) -> None:
    """Raise if a mask has no image, or another size than its image.

    Args:
        media: The field of each medium of a task, and its size in pixels where it is known.

    Raises:
        MediaError: A mask cannot be used.
    """
    masks = [size for field, size in media if field in MASK_FIELDS]
    if not masks:
        return
    if len(masks) == len(media):
        raise MediaError("A mask needs the image that it is for, and no image was given. Give the image, too.")
    images = [size for field, size in media if field in MASKED_FIELDS]
    if len(images) != 1 or images[0] is None:
        return
    for size in masks:
        if size is not None and size != images[0]:
            raise MediaError(
                f"The mask has {size[0]}x{size[1]} px, and its image has {images[0][0]}x{images[0][1]} px (as it is "
                "shown, with its EXIF orientation). Give a mask of the size of the image."
            )


def _known_upload(ports: Ports, provider: RemembersUploads, medium: LoadedMedium) -> str | None:
    """Return the UUID under which the service has a medium from an earlier task; None if it has to be uploaded."""
    try:
        found = ports.log.find_upload(provider.upload_scope(), medium.sent_sha256)
        if found is None:
            return None
        if found.used_at_utc < _at(-_KEPT_FOR):
            provider.forget_upload(medium.sent_sha256)  # the client of this process remembers it, too
            return None
        if found.used_at_utc < _at(-_NOTED_AGAIN):
            _remember_upload(ports.log, provider, medium, found.media_uuid)
    except RunLogError:
        return None  # the run itself meets the same fault, and reports it
    return found.media_uuid


async def upload_media(log: RunLog, provider: Provider, task: Item) -> Item:
    """Upload what a task brings along, and remember what the service has now.

    Returns:
        The task, in which each medium is what the service calls it.

    Raises:
        MediaError: A medium cannot be used.
        TransportError: A medium could not be uploaded. The task was not sent.
    """
    prepared = await provider.prepare(task)
    if isinstance(provider, RemembersUploads):
        before, after = list_media(task), list_media(prepared)
        for (_, medium), (_, name) in zip(before, after, strict=True):
            if isinstance(medium, LoadedMedium) and isinstance(name, str):
                _remember_upload(log, provider, medium, name)
    return prepared


def _remember_upload(log: RunLog, provider: RemembersUploads, medium: LoadedMedium, media_uuid: str) -> None:
    """Write that the service has a medium. A failure costs another upload, and nothing else."""
    log.note_upload(provider.upload_scope(), medium.sent_sha256, media_uuid, _at(), _ignore, given_sha256=medium.sha256)


def forget_uploads(log: RunLog, provider: RemembersUploads, media: Iterable[LoadedMedium]) -> None:
    """Forget that the service has media, because it refused a task that named them."""
    for medium in media:
        provider.forget_upload(medium.sent_sha256)
        log.forget_upload(provider.upload_scope(), medium.sent_sha256, _ignore)


def load_again(task: Mapping[str, Any], files: Mapping[int, Any]) -> tuple[Item, list[LoadedMedium]]:
    """Put files back into a task in place of what the service called them.

    Args:
        task: As it was sent.
        files: Path of a file by the number of its medium in the task.

    Raises:
        MediaError: A file cannot be read.
    """
    loaded: list[LoadedMedium] = []
    number = iter(range(len(list_media(task))))

    def put_back(field: str, value: Any) -> Any:
        path = files.get(next(number))
        if path is None:
            return value
        medium = load_medium(path, kind=None, is_mask=field in MASK_FIELDS)
        loaded.append(medium)
        return medium

    return replace_media_at(task, put_back), loaded


def _at(later: dt.timedelta = dt.timedelta()) -> str:
    return (dt.datetime.now(dt.UTC) + later).isoformat(timespec="milliseconds")


def _ignore(error: Exception) -> None:
    del error


def _is_html(start: bytes) -> bool:
    text = start[:1000].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return text.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script")) or b"<html" in text


def _size_of(start: bytes) -> tuple[int, int] | None:
    """Return the size of an image from its first bytes, if they contain it; EXIF may turn it."""
    from PIL import Image

    with suppress(Exception), Image.open(io.BytesIO(start)) as image:
        return image.size
    return None
