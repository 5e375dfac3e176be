"""Where the bytes of a result are: in memory, or in a file."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import stat
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.media_types import ending_for, sniff
from ..errors import MediaError
from .decode import decode

if TYPE_CHECKING:
    from PIL.Image import Image

    from .preview import Preview

__all__ = ["FileMedium", "MemoryMedium", "MissingMedium", "write_new", "write_whole"]


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
    def received_sha256(self) -> str | None:
        """SHA-256 of the bytes received; None if it is not known."""
        return hashlib.sha256(self._body).hexdigest()

    @property
    def image(self) -> Image:
        """The decoded image, a new one each time: a long sweep must not fill the memory."""
        return decode(self.bytes)

    @functools.cached_property
    def preview(self) -> Preview | None:
        """The preview of a video, of audio or of a 3D model; None for any other type.

        Raises:
            MediaError: The bytes cannot be had.
        """
        from .preview import preview_of

        body = self.bytes
        return preview_of(body, sniff(body) or "")

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
    """Bytes held in a file, and read when they are needed.

    Args:
        path: The file.
        restore: Called if the file has been deleted; returns its path once it exists again, or None.
        received_sha256: Hash of the bytes received, which the file contains with its provenance added.
        previews: Returns the preview of a file, and keeps it; None keeps none. It is pickled with the medium.
    """

    def __init__(
        self,
        path: Path,
        restore: Callable[[], Path | None] | None = None,
        *,
        received_sha256: str | None = None,
        previews: Callable[[Path], Preview | None] | None = None,
    ) -> None:
        super().__init__(b"")
        self.path = path
        self._restore = restore
        self._received_sha256 = received_sha256
        self._previews = previews

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave *restore* out of a pickle: it belongs to a session of this process, and so does a relative path."""
        path = self.path.absolute() if self.path else None
        build = functools.partial(FileMedium, received_sha256=self._received_sha256, previews=self._previews)
        return build, (path,)

    @functools.cached_property
    def preview(self) -> Preview | None:
        """The preview of the file, from an earlier time if it was kept. See `MemoryMedium.preview`."""
        return super().preview if self.path is None or self._previews is None else self._previews(self.path)

    @property
    def received_sha256(self) -> str | None:
        """SHA-256 of the bytes received; None if it is not known."""
        return self._received_sha256

    @property
    def bytes(self) -> bytes:
        """The stored file, with its provenance.

        Raises:
            MediaError: The file cannot be read, and could not be downloaded again.
        """
        assert self.path is not None
        try:
            try:
                return self.path.read_bytes()
            except FileNotFoundError:
                restored = None if self._restore is None else self._restore()
                if restored is None:
                    raise
                self.path = restored
                return restored.read_bytes()
        except OSError as error:
            raise MediaError(f"{self.path} cannot be read: {error.strerror or error}") from error


class MissingMedium(MemoryMedium):
    """Bytes that cannot be had: each use raises an error with the reason.

    Args:
        reason: A sentence that states what is missing and what to do.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(b"")
        self._reason = reason

    @property
    def received_sha256(self) -> None:
        """No hash."""
        return None

    @property
    def bytes(self) -> bytes:
        """No bytes.

        Raises:
            MediaError: Always.
        """
        raise MediaError(self._reason)


def write_whole(target: Path, body: bytes) -> None:
    """Write a file completely or not at all, even if the power fails.

    A new file gets the permissions that the umask allows, as from `open()`; a file that is replaced keeps its own.

    Raises:
        OSError: The disk is full, the folder is read-only, or the like.
    """
    part = _write_part(target, body)
    try:
        with contextlib.suppress(OSError):
            part.chmod(stat.S_IMODE(target.stat().st_mode))
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_new(target: Path, body: bytes) -> bool:
    """Write a file completely, unless it exists already; return whether it was written.

    Of several threads or processes that write the same file at once, exactly one writes it.

    Raises:
        OSError: The disk is full, the folder is read-only, or the like.
    """
    part = _write_part(target, body)
    try:
        os.link(part, target)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links, such as exFAT: the last writer wins there
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return True


def _write_part(target: Path, body: bytes) -> Path:
    """Write the bytes to a new file next to *target*, and return its path.

    `tempfile` would create it with mode 0600, whatever the umask; reading the umask changes it for all threads.
    So the kernel applies the umask here.
    """
    part = target.parent / f".part-{uuid.uuid4().hex}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    handle = os.open(part, flags, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return part
