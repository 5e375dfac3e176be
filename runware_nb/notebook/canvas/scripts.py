"""The browser's side of the widgets: each is one module, which `element.js` begins."""

from __future__ import annotations

from pathlib import Path

__all__ = ["script"]

_FOLDER = Path(__file__).parent


def script(name: str) -> str:
    """Return the module of a widget."""
    return "\n".join((_FOLDER / f"{each}.js").read_text(encoding="utf-8") for each in ("element", name))
