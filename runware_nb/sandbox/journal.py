"""What a sandbox remembers: JSON lines in a folder, read again by the next process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

__all__ = ["Journal"]


class Journal:
    """An append-only file of events; without a folder, nothing at all.

    Each line is written before the event is answered and handed to the system at once, so that it
    survives the process being killed.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._file: TextIO | None = None
        if folder is not None:
            (folder / "uploads").mkdir(parents=True, exist_ok=True)

    def replay(self) -> Iterator[dict[str, Any]]:
        """Read the events of earlier processes, skipping a line that was cut short."""
        if self._folder is None:
            return
        path = self._folder / "journal.jsonl"
        if not path.exists():
            return
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if isinstance(event, dict):
                    yield event

    def write(self, event: dict[str, Any]) -> None:
        """Append one event."""
        if self._folder is None:
            return
        if self._file is None:
            self._file = self._open()
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()

    def clear(self) -> None:
        """Forget everything."""
        if self._folder is None:
            return
        if self._file is not None:
            self._file.close()
            self._file = None
        (self._folder / "journal.jsonl").unlink(missing_ok=True)
        for upload in (self._folder / "uploads").iterdir():
            upload.unlink()

    def save_upload(self, name: str, body: bytes) -> None:
        """Keep an uploaded file."""
        if self._folder is not None:
            (self._folder / "uploads" / name).write_bytes(body)

    def load_upload(self, name: str) -> bytes | None:
        """Find an uploaded file again."""
        if self._folder is None:
            return None
        path = self._folder / "uploads" / name
        return path.read_bytes() if path.is_file() else None

    def _open(self) -> TextIO:
        assert self._folder is not None
        path = self._folder / "journal.jsonl"
        cut_short = path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n")
        file = path.open("a", encoding="utf-8")
        if cut_short:
            file.write("\n")
        return file
