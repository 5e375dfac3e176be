"""Media at full size, once each, named by what they are."""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
import uuid
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from ..core.media_types import SNIFFED_BYTES, ending_for, sniff
from ..errors import MediaError
from ..reprs import short_repr
from .bucket import Bucket
from .medium import write_new, write_whole
from .provenance import is_same_medium

__all__ = ["FILE_NAME", "MediaStore", "StoredFile", "ensure_private_folder", "exported_name", "imported_name"]

FILE_NAME = re.compile(r"(?:imported/)?[0-9a-f]{2}/[0-9a-f]{64}\.\w+")
"""The names that this store gives to its files."""
_IMPORTED = "imported/"
"""Folder of the files that came with records of others. They are named by their own content, so that none of them can
take the place of a file of the user."""


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
                stored = _kept_or_written(path, body, dress)
            except FileNotFoundError:  # the folder was deleted or replaced at this moment
                stored = _kept_or_written(path, body, dress)
            if stored is None:
                # Another file has this name: edited by hand, synced from elsewhere, or planted. It is neither trusted
                # nor replaced: the bytes received were paid for, and the other file may be the user's own work.
                stored = dress(body) if dress is not None else body
                digest = hashlib.sha256(stored).hexdigest()
                name = f"{digest[:2]}/{digest}{ending_for(kind)}"
                path = self.folder / name
                if _read_if_there(path) != stored:
                    path.parent.mkdir(exist_ok=True)
                    write_whole(path, stored)
        except OSError as error:
            raise MediaError(f"{path} cannot be written: {error.strerror or error}") from error
        return StoredFile(path, name, sha256, hashlib.sha256(stored).hexdigest(), len(stored), kind)

    def adopt(self, pieces: Iterable[bytes], *, name: str | None = None) -> tuple[StoredFile, bool]:
        """Store a file of somebody else's apart from one's own, named by the hash of what it contains.

        Args:
            pieces: Its bytes.
            name: Its name, in a folder that holds nothing of the user's own; by default the name is made as above.

        Returns:
            The file, and whether it is new.

        Raises:
            MediaError: It is of no known kind.
            OSError: The disk refuses it.
        """
        folder = self.folder / _IMPORTED
        ensure_private_folder(self.folder)
        folder.mkdir(exist_ok=True)
        part = folder / f".part-{uuid.uuid4().hex}"
        digest, size, start = hashlib.sha256(), 0, b""
        try:
            with part.open("xb") as file:
                for piece in pieces:
                    file.write(piece)
                    digest.update(piece)
                    size += len(piece)
                    start += piece[: SNIFFED_BYTES - len(start)]
            kind = sniff(start)
            if kind is None:
                raise MediaError(f"a file that begins with {start[:16]!r} is no medium")
            sha256 = digest.hexdigest()
            name = name or imported_name(f"{sha256[:2]}/{sha256}{ending_for(kind)}")
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            is_new = not path.exists()
            part.replace(path)  # a file that is there already has the same content, or should have
        finally:
            part.unlink(missing_ok=True)
        return StoredFile(path, name, sha256, sha256, size, kind), is_new

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

    def find_hash(self, sha256: str) -> Path | None:
        """Return the path of the file that was received with this hash; None if it is not on this machine."""
        return next((self.folder / sha256[:2]).glob(f"{sha256}.*"), None)

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
        for path in (*self.folder.glob("*/*"), *self.folder.glob("imported/*/*")):
            name = path.relative_to(self.folder).as_posix()
            is_ours = FILE_NAME.fullmatch(name) is not None or path.name.startswith(".part-")
            with contextlib.suppress(OSError):
                if is_ours and name not in known and path.stat().st_mtime < old:
                    found.append(name)
        return sorted(found)


def _kept_or_written(path: Path, body: bytes, dress: Callable[[bytes], bytes] | None) -> bytes | None:
    """Return the bytes of the file that holds *body*, written now if needed; None if the name is taken by another file.

    A name proves nothing. The file counts as *body* only if its content says so.
    """
    known = _read_if_there(path)
    if known is None:
        stored = dress(body) if dress is not None else body
        ensure_private_folder(path.parent.parent)
        path.parent.mkdir(exist_ok=True)
        if write_new(path, stored):
            return stored
        known = path.read_bytes()  # another run stored the same bytes at this moment, as it made them
    if is_same_medium(known, body):
        return known
    if len(known) < len(body):  # cut short by something other than us
        stored = dress(body) if dress is not None else body
        write_whole(path, stored)
        return stored
    return None


def _read_if_there(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def imported_name(name: str) -> str:
    """Return the name of a file of others in the store; see `MediaStore.adopt`."""
    return _IMPORTED + name


@overload
def exported_name(name: str) -> str: ...
@overload
def exported_name(name: None) -> None: ...
def exported_name(name: str | None) -> str | None:
    """Return the name that a file of the store has in records and bundles, where nothing is one's own."""
    return None if name is None else name.removeprefix(_IMPORTED)


def ensure_private_folder(folder: Path) -> None:
    """Make a folder that git leaves alone."""
    folder.mkdir(parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("# made by runware_nb: outputs may be private\n*\n", encoding="utf-8")
