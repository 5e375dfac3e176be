"""Files of recorded results that are not on this machine: downloaded again while the service has them, never bought."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..core.results import Medium, Result
from ..errors import ConfigError, MediaError, ProtocolError, RunLogError, RunwareNBError, TransportError
from ..loop import background_loop, wait
from ..media import FileMedium
from ..media.kept_previews import kept_preview
from ..providers.base import Attempt
from ..remedies import Option, Remedy
from ..reprs import short_repr
from ..runlog import ResultRecord, RunRecord
from .result_storage import described, record_of, store_file

if TYPE_CHECKING:
    from ..media.preview import Preview
    from ..media.store import MediaStore
    from .ports import Ports

__all__ = ["Located", "MediaRecovery", "expects_file", "missing_sentence"]

_AT_ONCE = 8
_PAY_AGAIN = Remedy("To pay for a new result, use {0}.", (Option("fresh", True),))
_UNREACHABLE_S = 30.0
"""How long a host is left alone after a failed download: a page of 60 images must not wait 60 times."""


@short_repr()
@dataclass(frozen=True, slots=True)
class Located:
    """The search for the file of one recorded result.

    Attributes:
        medium: Its bytes; None if they cannot be had.
        reason: Why not, as a clause without a full stop.
    """

    medium: Medium | None
    reason: str = ""


class MediaRecovery:
    """Finds the files of recorded results, and downloads the missing ones from their recorded URLs.

    A download costs nothing. In replay mode, and for runs of other people's logs, nothing is downloaded: replay mode
    is offline, and a URL in an imported record was chosen by a stranger.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._expired: dict[tuple[str, int], str] = {}
        self._polled: set[tuple[str, int]] = set()
        self._unreachable: dict[str, float] = {}

    def find(self, run: RunRecord, result: ResultRecord, *, polls: bool = False) -> Path | None:
        """Return the path of a result's file, downloading it if needed; None if it cannot be had. From any thread.

        Args:
            run: The run as logged.
            result: One of its results; updated if its file is downloaded.
            polls: Whether to ask the service for a new URL if nothing can be had from the recorded one.
        """
        path = self._here(result.file)
        if path is not None or background_loop().is_current() or not self._may_download(run):
            return path
        medium = wait(background_loop().submit(self.locate(run, result, polls=polls))).medium
        return None if medium is None else medium.path

    def find_file(self, name: str | None) -> Path | None:
        """Return the path of a stored file by its name, as `find` does."""
        path = self._here(name)
        if path is not None or not name:
            return path
        sha256 = Path(name).stem  # files are named by the hash of the bytes received
        try:
            known = self._ports.log.find_result(sha256=sha256)
            run = None if known is None else self._ports.log.find(known[0])
        except RunLogError:
            return None
        for result in [] if run is None else run.results:
            if run is not None and sha256 in {result.received_sha256, result.stored_sha256}:
                return self.find(run, result, polls=True)
        return None

    def fetch(self, runs: Iterable[RunRecord]) -> None:
        """Download the missing files of runs, several at once; what cannot be had is left as it is."""
        missing = [
            (run, result)
            for run in runs
            if self._may_download(run)
            for result in run.results
            if expects_file(result) and self._here(result.file) is None
        ]
        if missing and not background_loop().is_current():
            wait(background_loop().submit(self._locate_all(missing)))

    async def locate(self, run: RunRecord, kept: ResultRecord, *, polls: bool = True) -> Located:
        """Find or download a result's file. On the background loop only.

        Args:
            run: The run as logged.
            kept: One of its results; updated, in the log too, if its file is downloaded or has expired.
            polls: Whether to ask the service for a new URL if nothing can be had from the recorded one.
        """
        store = self._ports.media
        path = store.find_here(kept.file) or await asyncio.to_thread(self._here, kept.file)
        if path is not None:
            return Located(self._medium(path, run, kept))
        if not expects_file(kept):
            return Located(None, "it has no file")
        if not self._may_download(run):
            return Located(None, self._refusal(run))
        try:
            result = await self._download(run, kept, polls=polls)
        except MediaError as error:
            if error.is_expired:
                await self._note_expired(run, kept, error.problem)
            return Located(None, error.problem)
        except RunwareNBError as error:
            return Located(None, error.problem)
        except Exception as error:  # noqa: BLE001 - one file that cannot be had must not hide the other results
            return Located(None, described(error))
        return await self._keep(run, kept, result)

    @property
    def fetches_media(self) -> bool:
        """Whether this session downloads results."""
        return self._ports.fetches_media

    @property
    def media(self) -> MediaStore:
        """The folder of files. See `Ports.media`."""
        return self._ports.media

    @property
    def previews(self) -> Callable[[Path], Preview | None]:
        """A function that returns the preview of a file, and keeps it with the small copies. It can be pickled."""
        return functools.partial(kept_preview, kept_in=(self._ports.settings.home / "thumbnails").absolute())

    # --- inside --------------------------------------------------------------------------------------

    def _here(self, name: str | None) -> Path | None:
        """Look on this machine and in the bucket."""
        with contextlib.suppress(ConfigError):  # the bucket cannot be used: storing reports that
            return self._ports.media.find(name)
        return None

    def _medium(self, path: Path, run: RunRecord, kept: ResultRecord) -> FileMedium:
        return FileMedium(
            path,
            lambda: self.find(run, kept, polls=True),
            received_sha256=kept.received_sha256,
            previews=self.previews,
        )

    def _may_download(self, run: RunRecord) -> bool:
        return self._ports.settings.mode == "live" and self._ports.fetches_media and not run.is_imported

    def _refusal(self, run: RunRecord) -> str:
        if self._ports.settings.mode != "live":
            return "replay mode downloads nothing"
        return "files of imported runs are not downloaded" if run.is_imported else "this session downloads no files"

    async def _locate_all(self, missing: Iterable[tuple[RunRecord, ResultRecord]]) -> None:
        slots = asyncio.Semaphore(_AT_ONCE)

        async def locate(run: RunRecord, result: ResultRecord) -> None:
            async with slots:
                await self.locate(run, result, polls=False)

        await asyncio.gather(*(locate(run, result) for run, result in missing))

    async def _download(self, run: RunRecord, kept: ResultRecord, *, polls: bool) -> Result:
        """Download from the recorded URL; if nothing can be had from it, from the URL that one poll returns.

        Polling is free and sends no task, so it cannot be charged. A result is polled for once per session.

        Raises:
            MediaError: The file has expired, is refused, or is not the recorded one.
            RunwareNBError: The service cannot be reached, or there is no key.
        """
        place = (run.task_uuid, kept.position)
        result = Result(kept.raw, run.attempt_uuid, kept.position)
        try:
            if place in self._expired:
                raise MediaError(self._expired[place], is_expired=True)
            if result.url is None and result.inline is None:
                raise MediaError("no URL is recorded for it", is_expired=True)
            return await self._fetch(run, result, kept)
        except (MediaError, TransportError):
            # Whatever is wrong with the recorded URL or the file behind it (it has expired, cannot be used, or names a
            # host that does not exist), the service may give another one, and asking costs nothing.
            is_polled = place in self._polled or not self._ports.serves(run.provider)
            if not polls or is_polled:
                raise
            self._polled.add(place)
            with contextlib.suppress(TransportError, ProtocolError, ConfigError):
                fresh = await self._poll(run, kept)
                if fresh is not None:
                    return await self._fetch(run, fresh, kept)
            raise

    async def _fetch(self, run: RunRecord, result: Result, kept: ResultRecord) -> Result:
        """Download a result, and compare it with the recorded hash.

        Raises:
            MediaError: See `_download`; it is also raised if the host could not be reached a moment ago.
        """
        host = urlsplit(result.url or "").netloc.rpartition("@")[2]
        if time.monotonic() < self._unreachable.get(host, 0.0):
            raise MediaError(f"{host} could not be reached a moment ago")
        # A file needs no account of the service that made it, so whichever is in use here downloads it.
        provider = self._ports.provider(run.provider if self._ports.serves(run.provider) else "")
        try:
            await provider.fetch(result)
        except TransportError:
            self._unreachable[host] = time.monotonic() + _UNREACHABLE_S
            raise
        if kept.received_sha256 not in {None, hashlib.sha256(result.bytes).hexdigest()}:
            raise MediaError(f"{host} now returns another file than the recorded one")
        return result

    async def _poll(self, run: RunRecord, kept: ResultRecord) -> Result | None:
        """Ask the service once for the same result; return None if it does not return it with another URL."""
        attempt = Attempt({**run.request, "taskUUID": run.attempt_uuid}, run.attempts, run.remote_id)
        return await self._ports.provider(run.provider).locate_result(
            attempt, Result(kept.raw, run.attempt_uuid, kept.position)
        )

    async def _keep(self, run: RunRecord, kept: ResultRecord, result: Result) -> Located:
        """Store a downloaded file, and write its record if it changed."""
        before = (kept.medium_state, kept.file, kept.url)
        task = {**run.request, "taskUUID": run.attempt_uuid}
        try:
            await store_file(self, run, task, result, kept)
        except Exception as error:  # noqa: BLE001 - whatever the disk or the bucket raises, the bytes are here
            return Located(result.medium, described(error))
        if result.url != kept.url and result.url is not None:
            fresh = record_of(result)
            kept.url, kept.raw = fresh.url, fresh.raw
        self._expired.pop((run.task_uuid, kept.position), None)
        if before != (kept.medium_state, kept.file, kept.url):
            await self._write(run, kept)
        path = None if result.medium is None else result.medium.path
        return Located(result.medium if path is None else self._medium(path, run, kept))

    async def _note_expired(self, run: RunRecord, kept: ResultRecord, reason: str) -> None:
        """Remember that a URL has expired, so that it is not asked for again by each page that shows the result.

        A result that is recorded as stored stays so: its file may exist on another machine that shares the log.
        """
        self._expired[run.task_uuid, kept.position] = reason
        if kept.medium_state in {"pending", "missing"}:
            kept.medium_state = "expired"
            await self._write(run, kept)

    async def _write(self, run: RunRecord, kept: ResultRecord) -> None:
        with contextlib.suppress(RunLogError):  # the next search finds the same again
            log = await self._ports.open_log()
            await log.add_results(run.task_uuid, [kept], accepted=False)


def expects_file(kept: ResultRecord) -> bool:
    """Return whether a result comes with a file, rather than as text or as values."""
    if kept.error is not None:
        return False
    if kept.url is not None or kept.file is not None:
        return True
    result = Result(kept.raw, "", kept.position)
    is_other = result.text is not None or result.structured is not None or result.air is not None
    return kept.medium_state != "none" and not is_other


def missing_sentence(ports: Ports, run: RunRecord, kept: ResultRecord, reason: str) -> str:
    """Format what a recorded answer lacks, why, and what to do."""
    noun = (kept.media_type or "").partition("/")[0]
    what = noun.capitalize() if noun in {"image", "video", "audio"} else "The file of result"
    place = "" if kept.file is None else f" Its file was expected at {ports.media.folder / kept.file}."
    return (
        f"{what} #{kept.position + 1} of run {run.task_uuid} is missing: {reason}.{place} Nothing was sent or charged. "
        f"{ports.front_end.remedy(_PAY_AGAIN)}"
    )
