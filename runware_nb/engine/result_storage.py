"""Results on their way to disk: the answer into the log, then its file into the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..core.items import Item
from ..core.results import Result
from ..errors import MediaError, RunLogError, RunwareNBError, TransportError
from ..media import FileMedium
from ..runlog import ResultRecord, RunRecord, State
from .provenance import with_origin

if TYPE_CHECKING:
    from ..media.preview import Preview
    from ..media.store import MediaStore
    from ..providers.base import Provider
    from ..runlog import RunLog
    from .jobs import Job

__all__ = ["FileStorage", "ResultSink", "described", "record_of", "store_file"]

_WRITE_TRIES = 4


class ResultSink:
    """Takes in the results of one job: each one's record is written first, and then its file.

    Args:
        files: Where files are stored, and found again.
        provider: Downloads them; None for a run that has ended, which has nothing to download.
        job: Whose results they are.
        task: As it is sent.
        log: Where records are written.

    Attributes:
        task: As it was sent last.
        records: What the log has of each result, by position.
        deadline: When downloads end, by the monotonic clock; None leaves the limit to the client.
    """

    def __init__(self, files: FileStorage, provider: Provider | None, job: Job, task: Item, log: RunLog) -> None:
        self.task = task
        self.records: dict[int, ResultRecord] = {}
        self.deadline: float | None = None
        self._files = files
        self._provider = provider
        self._job = job
        self._log = log
        self._tasks: list[asyncio.Task[None]] = []

    def take(self, result: Result) -> None:
        """Take in a result: record it, fetch its file, keep it. On the background loop only."""
        if self._job.record.state is State.SENT:
            self._job.record.state = State.ACCEPTED
        if self._files.fetches_media:
            self._tasks.append(asyncio.create_task(self._store(result)))
        else:
            self._arrived(result)

    async def finish(self) -> None:
        """Wait until all that was taken in is stored."""
        if self._tasks:
            await asyncio.gather(*self._tasks)

    async def surely(self, write: Callable[[], Awaitable[None]], what: str) -> None:
        """Write what has been paid for. If the log fails, try again; in the end, report it and continue."""
        for attempt in range(_WRITE_TRIES):
            try:
                await write()
                return
            except Exception as error:  # noqa: BLE001 - a fault of any kind must not lose the paid results in memory
                if attempt + 1 == _WRITE_TRIES or not isinstance(error, RunLogError):
                    self._say(f"{what} is not in the log: {described(error)}")
                    return
                await asyncio.sleep(0.1 * 4**attempt)

    async def _store(self, result: Result) -> None:
        """Record the answer, fetch the file, keep it. The answer is durable before the download begins.

        A fault with one result is reported and ends here: the others are stored, and the run is completed.
        """
        try:
            record = record_of(result)
            record.medium_state = "pending"
            self.records[result.index] = record
            await self.surely(lambda: self._log.add_results(self._job.task_uuid, [record]), "the result")
            await self._fetch(result, record)
        except Exception as error:  # noqa: BLE001 - see above
            self._say(f"{_noun(result)} #{result.index + 1} could not be stored: {described(error)}")
        self._arrived(result)

    async def _fetch(self, result: Result, record: ResultRecord) -> None:
        """Download and store a result's file.

        The result is paid for, and the run has to be completed: so no exception leaves this method. One that is not
        expected, such as a fault in a bucket's library, is reported like the others.
        """
        name = f"{_noun(result)} #{result.index + 1}"
        try:
            assert self._provider is not None
            left_s = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
            await self._provider.fetch(result, timeout_s=left_s)
            notice = await store_file(self._files, self._job.record, self.task, result, record)
        except TransportError as error:
            record.medium_state = "missing"
            self._say(f"{name} could not be downloaded yet: {error}. It is still available at {result.url}")
        except Exception as error:  # noqa: BLE001 - see above
            is_expired = isinstance(error, MediaError) and error.is_expired
            record.medium_state = "expired" if is_expired else "missing"
            if result.text is None and result.structured is None:
                kept = "" if result.medium is None else "; kept in memory"
                self._say(f"{name}: {described(error)}{kept}")
        else:
            if notice is not None:
                self._say(notice)

    def _arrived(self, result: Result) -> None:
        self._job.arrived.append(result)
        self._job.changed()  # what an observer raises, such as a display, is its own affair

    def _say(self, sentence: str) -> None:
        self._job.notices.append(sentence)


class FileStorage(Protocol):
    """Where the files of results are stored, and found again."""

    @property
    def fetches_media(self) -> bool:
        """Whether results are downloaded."""

    @property
    def media(self) -> MediaStore:
        """The folder of files.

        Raises:
            ConfigError: The bucket cannot be used.
        """

    @property
    def previews(self) -> Callable[[Path], Preview | None]:
        """A function that returns the preview of a file, and keeps it. It can be pickled."""

    def find(self, run: RunRecord, result: ResultRecord, *, polls: bool = False) -> Path | None:
        """Return the path of a result's file. See `MediaRecovery.find`."""


async def store_file(
    files: FileStorage, run: RunRecord, task: Item, result: Result, record: ResultRecord
) -> str | None:
    """Store the bytes of a result that was fetched, and note in its record what was stored.

    Args:
        files: Where to store it.
        run: The run that made it.
        task: Its task as it was sent.
        result: Fetched; its medium becomes the file.
        record: Updated when the file is complete on this disk.

    Returns:
        What could not be copied to the bucket, as a sentence; None if all is well.

    Raises:
        MediaError: The bytes are of no known type, or the disk refuses them.
        ConfigError: The bucket cannot be used.
    """
    store = files.media
    stored = await asyncio.to_thread(store.put, result.bytes, dress=with_origin(run, task, result))
    record.medium_state = "stored"
    record.media_type, record.size_bytes = stored.media_type, stored.size_bytes
    record.received_sha256, record.stored_sha256, record.file = stored.sha256, stored.stored_sha256, stored.name
    result.medium = FileMedium(
        stored.path,
        lambda: files.find(run, record, polls=True),
        received_sha256=stored.sha256,
        previews=files.previews,
    )
    try:
        await asyncio.to_thread(store.share, stored)
    except Exception as error:  # noqa: BLE001 - the file is safe on this disk, whatever the bucket's library raises
        return described(error)
    return None


def record_of(result: Result) -> ResultRecord:
    """Make the record of a result, as its answer came."""
    return ResultRecord(
        position=result.index, item_uuid=result.item_uuid, url=result.url, seed=result.seed,
        cost=result.cost_usd, raw=_without_inline(result.raw),
    )  # fmt: skip


def described(error: Exception) -> str:
    """Format an error; one that is not ours with its class, since its text alone may be a bare word."""
    return error.problem if isinstance(error, RunwareNBError) else f"{type(error).__name__}: {error}"


def _without_inline(raw: dict[str, Any]) -> dict[str, Any]:
    """Leave inline media out of the log: the file holds them."""
    return {key: value for key, value in raw.items() if not key.endswith(("Base64Data", "DataURI"))}


def _noun(result: Result) -> str:
    """Return what a result is called in a sentence, as its fields tell."""
    names = [name for name in result.raw if name.endswith(("URL", "Base64Data", "DataURI", "UUID"))]
    kinds = ("image", "video", "audio")
    return next((kind for kind in kinds if any(name.startswith(kind) for name in names)), "result")
