"""Media in a bucket, shared by several machines; what is there is copied here when it is wanted."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from ..errors import ConfigError, MediaError
from ..images.medium import write_whole

__all__ = ["Bucket"]


class Bucket:
    """A place that fsspec knows, such as `s3://bucket/folder`.

    Args:
        url: Its address.

    Raises:
        ConfigError: fsspec is missing, or does not know the kind of place.
    """

    def __init__(self, url: str) -> None:
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise ConfigError("media in a bucket need fsspec: pip install 'runware-nb[cloud]'") from error
        try:
            self._files, self._root = url_to_fs(url)
        except (ValueError, ImportError, OSError) as error:
            raise ConfigError(f"RUNWARE_NB_MEDIA_URL={url!r} cannot be used: {error}") from error
        self._waiting: dict[str, Path] = {}

    def push(self, name: str, path: Path) -> None:
        """Copy a file there, and those that could not be copied before.

        Raises:
            MediaError: It cannot be written now; it is tried again with the next one.
        """
        self._waiting[name] = path
        for each, source in list(self._waiting.items()):
            target = f"{self._root}/{each}"
            try:
                if not self._files.exists(target):
                    self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
                    self._files.pipe_file(target, source.read_bytes())
            except Exception as error:  # each kind of place has errors of its own
                raise MediaError(f"{each} is kept here, and not in the bucket yet: {_one_line(error)}") from error
            del self._waiting[each]

    def pull(self, name: str, path: Path) -> bool:
        """Copy a file here; False when it is not there.

        Raises:
            MediaError: The bucket cannot be read, or the file cannot be written here.
        """
        try:
            body: Any = self._files.cat_file(f"{self._root}/{name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, body)
        except FileNotFoundError:
            return False
        except Exception as error:
            raise MediaError(f"{name} cannot be fetched from the bucket: {_one_line(error)}") from error
        return True

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(Exception):
            self._files.rm_file(f"{self._root}/{name}")


def _one_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
