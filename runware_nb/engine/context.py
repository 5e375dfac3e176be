"""Where a task came from: the cell, the notebook, the versions of everything."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..core.cell_source import redact_source
from ..reprs import short_repr
from ..settings import current_folder

__all__ = ["CellContext", "environment_snapshot", "git_commit", "hash_of_source", "script_path"]

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_WATCHED = ("runware-nb", "httpx", "websockets", "pillow", "sqlalchemy", "ipython", "ipykernel")


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class CellContext:
    """The cell a task came from. Anything may be unknown: a script has no cell.

    Attributes:
        notebook: Path of the notebook, or of the script.
        cell_id: The cell, as the front end names it.
        cell_source: Its text, as it is stored: without keys, see `redact_source`.
        cell_ordinal: How many runs this execution of the cell made before.
        execution_count: Its number.
        kernel: The kernel's session.
    """

    notebook: str | None = None
    cell_id: str | None = None
    cell_source: str | None = None
    cell_ordinal: int | None = None
    execution_count: int | None = None
    kernel: str | None = None

    @property
    def scope(self) -> tuple[str | None, int] | None:
        """The execution of this cell, for sums of cost and for Stop; None for a script, where the process counts."""
        return None if self.execution_count is None else (self.kernel, self.execution_count)

    @property
    def cell_hash(self) -> str | None:
        """SHA-256 of the source, see `hash_of_source`."""
        return None if self.cell_source is None else hash_of_source(self.cell_source)


def hash_of_source(source: str) -> str:
    """Return the SHA-256 of a cell's source as the log stores it, without keys.

    It is over the stored form for three reasons: a record can be checked against its hash; the hash of a text with a
    key would let anybody test guesses of the key; and a cell keeps its hash when only the key in it changes. A source
    without keys is stored, and hashed, as it is.
    """
    return hashlib.sha256(redact_source(source).encode("utf-8", "replace")).hexdigest()


@cache
def environment_snapshot() -> tuple[str, str]:
    """Describe this environment, once a process.

    Returns:
        Its hash, and the description as JSON: Python, platform and the versions that matter.
    """
    versions = {}
    for name in _WATCHED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    described: dict[str, Any] = {
        "python": sys.version.split()[0], "platform": platform.platform(), "packages": versions,
    }  # fmt: skip
    folder = current_folder()
    commit = None if folder is None else git_commit(folder)
    if commit is not None:
        described["git_commit"] = commit
    text = json.dumps(described, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest(), text


@cache
def script_path() -> str | None:
    """Give the path of the script that is running; None for a prompt, a test runner or a program that is installed."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    if not isinstance(path, str) or not path.endswith(".py") or "site-packages" in path or "runware_nb" in path:
        return None
    try:
        return str(Path(path).resolve())
    except OSError:  # the working directory was deleted
        return path


def git_commit(folder: Path) -> str | None:
    """Give the commit that a folder has checked out, by reading git's files: starting git takes too long.

    Returns:
        40 or 64 hex digits; None outside a repository, before its first commit, or where its files are odd.
    """
    for place in (folder, *folder.parents):
        git = place / ".git"
        try:
            if git.is_file():  # a worktree or a submodule: the file says where the rest is
                git = (place / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()).resolve()
            head = (git / "HEAD").read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            continue
        return _resolved(git, head)
    return None


def _resolved(git: Path, head: str) -> str | None:
    name = head.removeprefix("ref:").strip()
    if name == head:
        return head if _COMMIT.fullmatch(head) else None
    try:
        shared = git / (git / "commondir").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        shared = git
    for folder in (git, shared):
        try:
            found = (folder / name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            continue
        return found if _COMMIT.fullmatch(found) else None
    try:
        packed = (shared / "packed-refs").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return next((line[: -1 - len(name)] for line in packed.splitlines() if line.endswith(f" {name}")), None)
