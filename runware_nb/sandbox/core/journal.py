"""What a sandbox remembers: JSON lines in a folder, read again by the next process."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

__all__ = ["Journal"]


class Journal:
    """An append-only file of events; without a folder, nothing at all.

    Each line is written before the event is answered and handed to the system at once, so that it survives the process
    being killed. A journal that is damaged does not keep the sandbox from starting: what can be read is used, and the
    damaged file is kept under another name. Each problem is one sentence on stderr.

    Args:
        folder: Where the file is; None to remember nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._file: TextIO | None = None
        if folder is not None:
            try:
                (folder / "uploads").mkdir(parents=True, exist_ok=True)
            except (OSError, ValueError) as error:
                self._give_up(error)

    def replay(self, apply: Callable[[dict[str, Any]], None]) -> bool:
        """Apply the events of earlier processes; a line that cannot be read or applied is left out.

        Args:
            apply: Takes an event; any exception means that the event is damaged.

        Returns:
            Whether an earlier process left a journal, readable or not.
        """
        if self._folder is None:
            return False
        path = self._folder / "journal.jsonl"
        try:
            lines = path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return False
        except OSError as error:  # a directory, or a file that may not be read
            self._set_aside(path, f"cannot be read ({error.strerror or error})", [])
            return True
        good = [line for line in lines if _is_applied(line, apply)]
        bad = len(lines) - len(good)
        if bad:
            noun = "line is" if bad == 1 else "lines are"
            reason = f"is damaged: {bad} of {len(lines)} {noun} unreadable and left out. The others are in use"
            self._set_aside(path, reason, good)
        return True

    def write(self, event: dict[str, Any]) -> None:
        """Append one event."""
        if self._folder is None:
            return
        try:
            if self._file is None:
                self._file = (self._folder / "journal.jsonl").open("a", encoding="utf-8")
            self._file.write(json.dumps(event) + "\n")
            self._file.flush()
        except OSError as error:
            self._give_up(error)

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
        if self._folder is None:
            return
        try:
            (self._folder / "uploads" / name).write_bytes(body)
        except OSError as error:
            self._give_up(error)

    def load_upload(self, name: str) -> bytes | None:
        """Find an uploaded file again.

        Raises:
            ValueError: The name is not one that `save_upload` got.
        """
        if self._folder is None:
            return None
        if Path(name).name != name:
            raise ValueError(name)
        path = self._folder / "uploads" / name
        return path.read_bytes() if path.is_file() else None

    def _set_aside(self, path: Path, reason: str, good: list[bytes]) -> None:
        """Rename a damaged journal, and begin a new one with the lines that can be read."""
        aside = path.with_name(f"journal.damaged-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.jsonl")
        fresh = path.with_name(f"journal.new-{os.getpid()}.jsonl")
        try:
            # The new one is complete on disk before the old one leaves: a crash in between loses no charge.
            with fresh.open("wb") as file:
                file.writelines(line if line.endswith(b"\n") else line + b"\n" for line in good)
                file.flush()
                os.fsync(file.fileno())
            path.rename(aside)
            fresh.rename(path)
        except OSError as error:
            _report(f"The journal {path} {reason}.")
            self._give_up(error)
        else:
            _report(f"The journal {path} {reason}. The damaged file was renamed to {aside.name}.")

    def _give_up(self, error: Exception) -> None:
        """Remember nothing from now on, and report it."""
        reason = getattr(error, "strerror", None) or error
        _report(
            f"The state folder {self._folder} cannot be used ({reason}). Tasks are forgotten when the sandbox ends."
        )
        self._folder = None


def _is_applied(line: bytes, apply: Callable[[dict[str, Any]], None]) -> bool:
    """Apply the event in a line; return whether that was possible."""
    try:
        event = json.loads(line)
        if not isinstance(event, dict):
            return False
        apply(event)
    except Exception:  # noqa: BLE001 - the line may contain anything, and the sandbox must start
        return False
    return True


def _report(sentence: str) -> None:
    text = f"sandbox: {sentence}".encode("utf-8", "backslashreplace").decode()
    print(text, file=sys.stderr, flush=True)
