"""Media at full size, once each, named by what they are."""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import MediaError
from ..images.medium import write_new, write_whole
from ..reprs import short_repr
from ..wire.media import ending_for, sniff
from .bucket import Bucket

__all__ = ["MediaStore", "StoredFile", "ensure_private_folder"]

_OURS = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}\.\w+")


@short_repr()
@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of the store.

    Attributes:
        path: Where it is.
        name: Its path relative to the store.
        sha256: Hash of the bytes received.
        stored_sha256: Hash of the file itself, which says besides where it came from.
        size_bytes: Size of the file itself.
        media_type: MIME type by content.
    """

    path: Path
    name: str
    sha256: str
    stored_sha256: str
    size_bytes: int
    media_type: str


class MediaStore:
    """A folder of media.

    Args:
        folder: Made, with a `.gitignore`, when the first file comes: outputs may be private.
        bucket: Where each file goes besides, and comes from when it is not here.
    """

    def __init__(self, folder: Path, bucket: Bucket | None = None) -> None:
        self.folder = folder
        self._bucket = bucket

    def put(self, body: bytes, *, dress: Callable[[bytes], bytes] | None = None) -> StoredFile:
        """Store a file, whole or not at all; the same bytes are stored once, as they were dressed first.

        Args:
            body: The bytes as received; their hash is the file's name.
            dress: Adds to the file what it says about itself.

        Raises:
            MediaError: It is of no known kind, or the disk refuses it.
        """
        kind = sniff(body)
        if kind is None:
            raise MediaError("an empty file came" if not body else f"no medium came: it begins with {body[:16]!r}")
        sha256 = hashlib.sha256(body).hexdigest()
        name = f"{sha256[:2]}/{sha256}{ending_for(kind)}"
        path = self.folder / name
        try:
            try:
                stored = self._write(path, body, dress)
            except FileNotFoundError:  # the folder was deleted or replaced at this moment
                stored = self._write(path, body, dress)
        except OSError as error:
            raise MediaError(f"{path} cannot be written: {error.strerror or error}") from error
        return StoredFile(path, name, sha256, hashlib.sha256(stored).hexdigest(), len(stored), kind)

    def _write(self, path: Path, body: bytes, dress: Callable[[bytes], bytes] | None) -> bytes:
        """Write a file into the folder that is at the path now, unless it is there; return what the file contains."""
        is_there = path.is_file()
        if is_there and path.stat().st_size >= len(body):
            return path.read_bytes()
        stored = dress(body) if dress is not None else body
        ensure_private_folder(self.folder)
        path.parent.mkdir(exist_ok=True)
        if is_there:  # shorter than what was received: cut short by something other than us
            write_whole(path, stored)
        elif not write_new(path, stored):  # another run stored the same bytes at this moment, as it made them
            return path.read_bytes()
        return stored

    def share(self, file: StoredFile) -> None:
        """Copy a stored file to the bucket, where there is one.

        Raises:
            MediaError: It cannot be written there now; here it is safe.
        """
        if self._bucket is not None:
            self._bucket.push(file.name, file.path)

    def find_here(self, name: str | None) -> Path | None:
        """Return the path of a stored file; None if it is not on this machine."""
        path = self.folder / name if name else None
        return path if path is not None and path.is_file() else None

    def find(self, name: str | None) -> Path | None:
        """Return the path of a stored file, copied from the bucket if needed; None if neither has it."""
        path = self.find_here(name)
        if path is not None or not name or self._bucket is None:
            return path
        with contextlib.suppress(MediaError):
            if self._bucket.pull(name, self.folder / name):
                return self.folder / name
        return None

    def remove(self, names: Iterable[str]) -> int:
        """Remove files; returns how many bytes that freed here."""
        freed = 0
        for name in names:
            path = self.folder / name
            with contextlib.suppress(OSError):
                size = path.stat().st_size
                path.unlink()
                freed += size
            if self._bucket is not None:
                self._bucket.remove(name)
        return freed

    def strays(self, known: Container[str]) -> list[str]:
        """List files of ours that *known* does not hold, half-written ones of an hour ago among them."""
        if not self.folder.is_dir():
            return []
        old = time.time() - 3600
        found = []
        for path in self.folder.glob("*/*"):
            name = path.relative_to(self.folder).as_posix()
            is_ours = _OURS.fullmatch(name) is not None or path.name.startswith(".part-")
            with contextlib.suppress(OSError):
                if is_ours and name not in known and path.stat().st_mtime < old:
                    found.append(name)
        return sorted(found)


def ensure_private_folder(folder: Path) -> None:
    """Make a folder that git leaves alone."""
    folder.mkdir(parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("# made by runware_nb: outputs may be private\n*\n", encoding="utf-8")
