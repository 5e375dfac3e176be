"""A place to drop or paste an image on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

from .scripts import script

__all__ = ["DropZone"]


class DropZone(anywidget.AnyWidget):
    """Hands over the bytes of what is dropped or pasted.

    Args:
        take: Called with the bytes.
        label: What it says, and is called.
    """

    _esm = script("drop")
    label = traitlets.Unicode("").tag(sync=True)

    def __init__(self, take: Callable[[bytes], None], *, label: str) -> None:
        super().__init__(label=label)
        self._take = take
        self.on_msg(self._received)

    def _received(self, _: Any, content: Any, buffers: list[Any]) -> None:
        if isinstance(content, dict) and content.get("kind") == "file" and buffers:
            self._take(bytes(buffers[0]))
