"""Where a task came from: the cell, the notebook, the versions of everything."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import sys
from dataclasses import dataclass
from functools import cache

__all__ = ["CellContext", "environment_snapshot"]

_WATCHED = ("runware-nb", "httpx", "websockets", "pillow", "sqlalchemy", "ipython", "ipykernel")


@dataclass(frozen=True, slots=True, kw_only=True)
class CellContext:
    """The cell a task came from. Anything may be unknown: a script has no cell.

    Attributes:
        notebook: Path of the notebook.
        cell_id: The cell, as the front end names it.
        cell_source: Its text.
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
    def cell_hash(self) -> str | None:
        """SHA-256 of the source."""
        return None if self.cell_source is None else hashlib.sha256(self.cell_source.encode()).hexdigest()


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
    described = {"python": sys.version.split()[0], "platform": platform.platform(), "packages": versions}
    text = json.dumps(described, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest(), text
