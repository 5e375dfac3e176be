"""Media in a bucket that several machines share; files are copied from it when they are needed."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path
from typing import Any

from ..core.redaction import redact_urls, show_url
from ..errors import ConfigError, MediaError
from ..forking import make_lock
from .medium import write_whole

__all__ = ["Bucket"]

_WHOLE_UPLOADS = frozenset(
    {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "ocilake", "obs", "memory"}
)
"""Protocols of object stores: an object becomes visible when its upload is complete, so no second name is needed."""


class Bucket:
    """A location that fsspec can reach, such as `s3://bucket/folder`. Safe for many threads and processes.

    Args:
        url: Its URL.

    Raises:
        ConfigError: fsspec is missing, or does not support the URL.
    """

    def __init__(self, url: str) -> None:
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise ConfigError("media in a bucket need fsspec: pip install 'runware-nb[cloud]'") from error
        try:
            self._files, self._root = url_to_fs(url)
        except (ValueError, ImportError, OSError) as error:
            shown = f"RUNWARE_NB_MEDIA_URL={show_url(url)!r}"
            # Not chained: what fsspec raises may quote the URL with its password, in its message and its variables.
            raise ConfigError(
                f"{shown} cannot be used: {redact_urls(str(error).replace(url, show_url(url)))}"
            ) from None
        protocol = self._files.protocol
        self._is_whole_at_once = bool(
            _WHOLE_UPLOADS.intersection([protocol] if isinstance(protocol, str) else protocol)
        )
        self._backlog: dict[str, Path] = {}
        self._lock = make_lock()

    def push(self, name: str, path: Path) -> None:
        """Copy a file to the bucket, then the files whose earlier copies failed.

        Raises:
            MediaError: This file could not be copied. It is tried again after the next file that can be.
        """
        try:
            self._upload(name, path)
        except Exception as error:  # each kind of location has errors of its own
            with self._lock:
                self._backlog[name] = path
            raise MediaError(
                f"{name} is stored on this machine, but could not be copied to the bucket yet: {_one_line(error)}"
            ) from error
        self._retry_backlog()

    def pull(self, name: str, path: Path) -> bool:
        """Copy a file from the bucket to *path*; return False if the bucket does not have it.

        Raises:
            MediaError: The bucket cannot be read, or the file cannot be written here.
        """
        try:
            body: Any = self._files.cat_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return False
        except Exception as error:
            raise MediaError(f"{name} cannot be downloaded from the bucket: {_one_line(error)}") from error
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, body)
        except OSError as error:
            raise MediaError(f"{path} cannot be written: {error.strerror or error}") from error
        return True

    def remove(self, name: str) -> None:
        """Remove a file from the bucket, if it is there."""
        with self._lock:
            self._backlog.pop(name, None)
        with contextlib.suppress(Exception):
            self._files.rm_file(f"{self._root}/{name}")

    def _retry_backlog(self) -> None:
        """Copy the files whose copies failed before.

        A failure here was reported when it first happened, and must not be reported as a failure of another file.
        Each thread takes the files that it tries, so no two threads try the same one.
        """
        with self._lock:
            taken, self._backlog = self._backlog, {}
        for name, path in taken.items():
            try:
                self._upload(name, path)
            except Exception:  # noqa: BLE001 - of any kind, as in `push`
                if path.exists():  # a file that was deleted here meanwhile cannot be copied any more
                    with self._lock:
                        self._backlog.setdefault(name, path)

    def _upload(self, name: str, path: Path) -> None:
        """Copy a file so that other machines see it completely or not at all."""
        target = f"{self._root}/{name}"
        if self._files.exists(target):
            return
        body = path.read_bytes()
        folder, _, last = target.rpartition("/")
        self._files.makedirs(folder, exist_ok=True)
        if self._is_whole_at_once:
            self._files.pipe_file(target, body)
            return
        part = f"{folder}/.part-{uuid.uuid4().hex}-{last}"
        try:
            self._files.pipe_file(part, body)
            self._files.mv(part, target)
        except Exception:
            with contextlib.suppress(Exception):
                self._files.rm_file(part)
            if not self._files.exists(target):  # else another machine was quicker, and some locations do not replace
                raise


def _one_line(error: Exception) -> str:
    return redact_urls((str(error).splitlines() or [""])[0]) or type(error).__name__
