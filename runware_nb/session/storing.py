"""Results on their way to disk: the answer into the log, then its file into the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..errors import MediaError, RunLogError, TransportError
from ..images import FileMedium
from ..runlog import ResultRecord, State
from ..wire.frames import Item
from ..wire.results import Result
from .origin import with_origin

if TYPE_CHECKING:
    from ..runlog import RunLog
    from .jobs import Job
    from .session import Session

__all__ = ["Storing", "record_of"]

_WRITE_TRIES = 4


class Storing:
    """Takes in the results of one job.

    Attributes:
        task: As it was sent last.
        records: What the log has of each result, by position.
    """

    def __init__(self, session: Session, job: Job, task: Item, log: RunLog) -> None:
        self.task = task
        self.records: dict[int, ResultRecord] = {}
        self._session = session
        self._job = job
        self._log = log
        self._tasks: list[asyncio.Task[None]] = []

    def take(self, result: Result) -> None:
        """Take in a result: record it, fetch its file, keep it. On the background loop only."""
        if self._job.record.state is State.SENT:
            self._job.record.state = State.ACCEPTED
        if self._session.fetches_media:
            self._tasks.append(asyncio.create_task(self._store(result)))
        else:
            self._arrived(result)

    async def finish(self) -> None:
        """Wait until all that was taken in is stored."""
        if self._tasks:
            await asyncio.gather(*self._tasks)

    async def fetch_again(self, kept: ResultRecord) -> Result:
        """Try once more to get a file that could not be fetched or kept when its answer came."""
        result = Result(kept.raw, self._job.record.attempt_uuid, kept.position)
        await self._fetch(result, kept)
        if kept.medium_state == "stored":
            await self.surely(lambda: self._log.add_results(self._job.task_uuid, [kept], accepted=False), "the file")
        return result

    async def surely(self, write: Callable[[], Awaitable[None]], what: str) -> None:
        """Write what has been paid for; where the log fails, try again, and in the end say so and go on."""
        for attempt in range(_WRITE_TRIES):
            try:
                await write()
                return
            except RunLogError as error:
                if attempt + 1 == _WRITE_TRIES:
                    self._say(f"{what} is not in the log: {error}")
                else:
                    await asyncio.sleep(0.1 * 4**attempt)

    async def _store(self, result: Result) -> None:
        """Record the answer, fetch the file, keep it. The answer is durable before the download begins."""
        record = record_of(result)
        record.medium_state = "pending"
        self.records[result.index] = record
        await self.surely(lambda: self._log.add_results(self._job.task_uuid, [record]), "the answer")
        await self._fetch(result, record)
        self._arrived(result)

    async def _fetch(self, result: Result, record: ResultRecord) -> None:
        store = self._session.media
        service = await self._session.open_service()
        try:
            await service.fetch(result)
            dress = with_origin(self._job.record, self.task, result)
            stored = await asyncio.to_thread(store.put, result.bytes, dress=dress)
        except MediaError as error:
            record.medium_state = "expired" if error.is_expired else "missing"
            if result.text is None and result.structured is None:
                self._say(f"image #{result.index + 1}: {error}" + ("" if result.medium is None else "; kept in memory"))
            return
        except TransportError as error:
            record.medium_state = "missing"
            self._say(f"image #{result.index + 1} could not be fetched yet: {error}; it is still at {result.url}")
            return
        record.medium_state = "stored"
        record.media_type, record.size_bytes = stored.media_type, stored.size_bytes
        record.received_sha256, record.stored_sha256, record.file = stored.sha256, stored.stored_sha256, stored.name
        result.medium = FileMedium(stored.path)
        try:
            await asyncio.to_thread(store.share, stored)
        except MediaError as error:
            self._say(str(error))

    def _arrived(self, result: Result) -> None:
        self._job.arrived.append(result)
        self._job.changed()

    def _say(self, sentence: str) -> None:
        self._job.notices.append(sentence)


def record_of(result: Result) -> ResultRecord:
    """Make the record of a result, as its answer came."""
    return ResultRecord(
        position=result.index, item_uuid=result.item_uuid, url=result.url, seed=result.seed,
        cost_usd=result.cost_usd, raw=_without_inline(result.raw),
    )  # fmt: skip


def _without_inline(raw: dict[str, Any]) -> dict[str, Any]:
    """Leave inline media out of the log: the file holds them."""
    return {key: value for key, value in raw.items() if not key.endswith(("Base64Data", "DataURI"))}
