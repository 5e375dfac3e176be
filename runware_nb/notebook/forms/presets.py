"""Named values of a form, kept beside the log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import ConfigError, MagicUsageError
from ...media.medium import write_whole
from ...media.store import ensure_private_folder

__all__ = ["PresetStore"]


class PresetStore:
    """The presets of a home folder: by name, each a request in wire spelling.

    Args:
        home: The folder.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._path = home / "presets.json"

    def names(self) -> list[str]:
        """List them.

        Raises:
            ConfigError: The file cannot be read.
        """
        return sorted(self._read())

    def find(self, name: str) -> Mapping[str, Any]:
        """Give one.

        Raises:
            MagicUsageError: There is none of that name.
            ConfigError: The file cannot be read.
        """
        kept = self._read()
        if name not in kept:
            there = ", ".join(sorted(kept)) or "there are none yet"
            raise MagicUsageError(f"no preset {name!r}; {there}")
        return kept[name]

    def save(self, name: str, request: Mapping[str, Any]) -> None:
        """Keep one, in place of another of that name.

        Raises:
            MagicUsageError: The name is empty.
            ConfigError: It cannot be written.
        """
        if not name.strip():
            raise MagicUsageError("the preset has no name yet: type one beside the button")
        self._write({**self._read(), name.strip(): dict(request)})

    def delete(self, name: str) -> None:
        """Remove one.

        Raises:
            MagicUsageError: There is none of that name.
            ConfigError: The file cannot be written.
        """
        self.find(name)
        self._write({each: request for each, request in self._read().items() if each != name})

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f"{self._path} cannot be read: {error}") from error
        if not isinstance(kept, dict) or not all(isinstance(each, dict) for each in kept.values()):
            raise ConfigError(f"{self._path} holds no presets; move it away and new ones can be saved")
        return kept

    def _write(self, kept: Mapping[str, Any]) -> None:
        try:
            ensure_private_folder(self._home)
            write_whole(self._path, json.dumps(kept, ensure_ascii=False, indent=1).encode())
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be written: {error.strerror or error}") from error
