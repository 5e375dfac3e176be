"""A password field whose text is never part of the state of a widget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

from .scripts import script

__all__ = ["SecretBox"]


class SecretBox(anywidget.AnyWidget):
    """Hands over what is typed, and forgets it. Neither the browser nor the kernel keeps it in the widget.

    Args:
        take: Called with the text.
        label: What it is called.
        **values: Further traits, such as `layout`.
    """

    _esm = script("secret")
    label = traitlets.Unicode("").tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)

    def __init__(self, take: Callable[[str], None], *, label: str, **values: Any) -> None:
        super().__init__(label=label, **values)
        self._take = take
        self.on_msg(self._received)

    def _received(self, _: Any, content: Any, buffers: list[Any]) -> None:
        del buffers
        if isinstance(content, dict) and content.get("kind") == "secret" and isinstance(content.get("text"), str):
            self._take(content["text"])
