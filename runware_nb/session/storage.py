"""Where a session keeps its work: the log and the folder of media, each opened on first use."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..forking import Workers, disconnect, make_lock, restart_after_fork
from ..loading import load
from ..loop import wait
from ..media.bucket import Bucket
from ..runlog import MediaStore
from ..settings import Settings

if TYPE_CHECKING:
    from ..runlog import RunLog

__all__ = ["Storage"]


class Storage:
    """The log and the media store that the settings name. It can be used from any thread.

    Args:
        settings: Returns the settings that apply.
    """

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        self._log: RunLog | None = None
        self._media: tuple[Any, MediaStore] | None = None
        self._opening: dict[tuple[Path, str | None], concurrent.futures.Future[RunLog | None]] = {}
        self._budgeted: set[tuple[Any, ...]] = set()
        self._lock = make_lock()
        """Guards log and media: only ever held to look and to assign, never during I/O."""
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Open the media store again after a fork. The log starts again by itself."""
        disconnect((), self._opening, self._media)
        self._media, self._opening = None, {}

    def on_settings_changed(self, before: Settings, after: Settings) -> None:
        """Leave the log if the settings name another one."""
        if _log_place(after) != _log_place(before):
            with self._lock:
                self._log = None

    async def open_log(self) -> RunLog:
        """Give the log, opening it if needed. On the background loop only."""
        log = self._log
        return log if log is not None else await asyncio.to_thread(self._open_log)

    @property
    def log(self) -> RunLog:
        """The log.

        Raises:
            RunLogError: It cannot be opened.
        """
        log = self._log
        return log if log is not None else self._open_log()

    @property
    def has_log(self) -> bool:
        """Whether the log is open."""
        return self._log is not None

    @property
    def media(self) -> MediaStore:
        """The folder of media: next to the home folder, since Jupyter serves no hidden ones; a bucket where one is set.

        Raises:
            ConfigError: The bucket cannot be used, or the setting could not be read.
        """
        settings, media = self._settings(), self._media
        settings.check("home", "media_url")
        place = (settings.home, settings.media_url)
        if media is not None and media[0] == place:
            return media[1]
        url, beside = settings.media_url, settings.home.parent / "runware_images"
        is_bucket = url is not None and "://" in url
        store = MediaStore(beside, Bucket(url)) if is_bucket and url else MediaStore(Path(url or beside))
        with self._lock:  # another thread may have been faster: all use the first one
            if self._media is None or self._media[0] != place:
                self._media = place, store
            return self._media[1]

    @property
    def owns_media(self) -> bool:
        """Whether the folder of media is this log's alone, so that a file it does not know is nobody's."""
        own = None if self._settings().log_url else self._settings().home / "runs.sqlite"
        beside = {path for path in self._settings().home.parent.glob("*/runs.sqlite") if path != own}
        return self._settings().media_url is None and not beside

    def apply_budget(self, service: str, unit: str) -> None:
        """Have the log count what is spent at a service, if the settings have a budget in its unit.

        The limit itself is handed to the log with each run. It ends with the setting.

        Args:
            service: As runs of the log name it.
            unit: The unit in which it charges.

        Raises:
            RunLogError: The log cannot be written.
        """
        settings = self._settings()
        place = (service, unit, settings.home, settings.log_url)
        if settings.budget(unit) is None or place in self._budgeted:
            return
        from ..runlog.spending import count_for_settings

        with self.log.changing() as connection:
            count_for_settings(connection, service, unit)
        self._budgeted.add(place)

    def _open_log(self) -> RunLog:
        """Open the log once, however many threads want it: they all wait for the one that opens it.

        That one is a thread of its own, which Stop does not interrupt: a half-opened log would block the next cell.
        """
        while True:
            with self._lock:
                if self._log is not None:
                    return self._log
                place = _log_place(self._settings())
                opening = self._opening.get(place)
                if opening is None:
                    opening = self._opening[place] = Workers(1, "runware log opening").submit(self._open_log_at, place)
            is_main = threading.current_thread() is threading.main_thread()
            log: RunLog | None = wait(opening) if is_main else opening.result()
            if log is not None:
                return log

    def _open_log_at(self, place: tuple[Path, str | None]) -> RunLog | None:
        """Open the log of a place; return None if the settings have named another one meanwhile."""
        log: RunLog | None = None
        try:
            load("runlog.store")
            from ..runlog import RunLog

            self._settings().check("home", "log_url")
            log = RunLog(*place)
        finally:
            with self._lock:
                self._opening.pop(place, None)
                is_wanted = _log_place(self._settings()) == place and self._log is None
                if is_wanted and log is not None:
                    self._log = log
        if not is_wanted:
            log.close()
            return None
        return log

    def close(self) -> None:
        """Close the log."""
        with self._lock:
            log, self._log = self._log, None
        if log is not None:
            log.close()


def _log_place(settings: Settings) -> tuple[Path, str | None]:
    return settings.home, settings.log_url
