"""Whether the file that is open is still the file at its path."""

from __future__ import annotations

import contextlib
import enum
import os
from dataclasses import dataclass
from pathlib import Path

from ..reprs import short_repr

__all__ = ["FileChange", "LogFile"]


class FileChange(enum.Enum):
    """What happened to an open SQLite file."""

    REPLACED = "replaced"
    """Another file, or none, is at the path: it was deleted, moved, or replaced by a copy."""
    DISTURBED = "disturbed"
    """The same file is at the path, but it was cut short, or its write-ahead log was removed or replaced."""


@short_repr()
@dataclass(frozen=True, slots=True)
class _Seen:
    """Device and inode of a file and of the two files beside it; None for a file that does not exist.

    Attributes:
        file: The database.
        wal: Its write-ahead log; None where the file system does not support one.
        shm: The index of the write-ahead log.
        size_bytes: Size of the database.
    """

    file: tuple[int, int] | None
    wal: tuple[int, int] | None
    shm: tuple[int, int] | None
    size_bytes: int


class LogFile:
    """The SQLite file of a log.

    An inode is not used again while a process has the file open, so that device and inode identify it. Only `stat` is
    used: closing a descriptor of our own would release the locks that SQLite holds on the same file.

    Args:
        path: Its absolute path.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names = tuple(f"{path}{ending}" for ending in ("", "-wal", "-shm"))
        self._seen: _Seen | None = None
        self._size_bytes = 0

    @property
    def is_noted(self) -> bool:
        """Whether it is known which file is open."""
        return self._seen is not None

    def look(self) -> _Seen:
        """Return what is at the path now."""
        file, wal, shm = (_status(name) for name in self._names)
        return _Seen(_place(file), _place(wal), _place(shm), 0 if file is None else file.st_size)

    def note(self) -> None:
        """Remember what is at the path as what is open; a connection has just been opened."""
        self._seen = self.look()
        self._size_bytes = self._seen.size_bytes

    def forget(self) -> None:
        """Forget what was open: no connection is open any more."""
        self._seen = None

    def change(self) -> FileChange | None:
        """Return what happened to the file since `note`; None if nothing did, or if it is not open."""
        seen = self._seen
        if seen is None:
            return None
        now = self.look()
        if now.file != seen.file:
            return FileChange.REPLACED
        if now.size_bytes < self._size_bytes or (now.wal, now.shm) != (seen.wal, seen.shm):
            return FileChange.DISTURBED
        self._size_bytes = now.size_bytes
        return None

    def remove_leftovers(self) -> None:
        """Delete the write-ahead log of a file that was replaced.

        SQLite would apply it to the new file, to which it does not belong. A write-ahead log that this process did not
        have open belongs to the new file, and stays.
        """
        seen, now = self._seen, self.look()
        if seen is None or now.file == seen.file:
            return
        for name, before, after in ((self._names[1], seen.wal, now.wal), (self._names[2], seen.shm, now.shm)):
            if before is not None and before == after:
                with contextlib.suppress(OSError):
                    os.unlink(name)  # noqa: PTH108 - as above, names are text


def _status(name: str) -> os.stat_result | None:
    try:
        return os.stat(name)  # noqa: PTH116 - before each commit: Path.stat takes twice as long
    except (OSError, ValueError):
        return None


def _place(status: os.stat_result | None) -> tuple[int, int] | None:
    return None if status is None else (status.st_dev, status.st_ino)
