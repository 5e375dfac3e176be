"""Where the bytes of a result are: in memory, or in a file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MediaError
from ..wire.media import ending_for, sniff
from .decode import decode

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["FileMedium", "MemoryMedium"]


class MemoryMedium:
    """Bytes held in memory."""

    path: Path | None = None

    def __init__(self, body: bytes) -> None:
        self._body = body

    @property
    def bytes(self) -> bytes:
        """The bytes as received."""
        return self._body

    @property
    def image(self) -> Image:
        """The decoded image, a new one each time: a long sweep must not fill the memory."""
        return decode(self.bytes)

    def save(self, path: str | Path) -> Path:
        """Copy them to *path*, whole or not at all.

        Args:
            path: A file, or an existing folder, where the name is made from the content.

        Raises:
            MediaError: It cannot be written.
        """
        body = self.bytes
        target = Path(path)
        if target.is_dir():
            name = self.path.stem if self.path else "image"
            target /= f"{name}{ending_for(sniff(body) or '')}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, body)
        except OSError as error:
            raise MediaError(f"{target} cannot be written: {error.strerror or error}") from error
        return target


class FileMedium(MemoryMedium):
    """Bytes held in a file, and read when they are wanted."""

    def __init__(self, path: Path) -> None:
        super().__init__(b"")
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return FileMedium, (self.path.absolute() if self.path else None,)  # another process may stand elsewhere

    @property
    def bytes(self) -> bytes:
        """The bytes as received.

        Raises:
            MediaError: The file is gone.
        """
        assert self.path is not None
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise MediaError(f"{self.path} cannot be read: {error.strerror or error}") from error


def write_whole(target: Path, body: bytes) -> None:
    """Write a file so that it is there whole or not at all, even if the power fails.

    Raises:
        OSError: The disk is full, the folder is read-only, or the like.
    """
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".part-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
