"""The prompt of a conversation: one text, sent as the last message of the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import ipywidgets as widgets

from ...providers.runware.catalog import Field, FieldProblem
from .controls import label_of
from .look import Look

__all__ = ["MessagesControl"]


class MessagesControl:
    """A text box for the next message of the user. Earlier messages of the conversation are kept, and sent before it.

    Args:
        field: The field of the messages.
        look: Builds the widgets.
    """

    def __init__(self, field: Field, look: Look) -> None:
        self.field = replace(field, title="Prompt")
        self._earlier: list[Any] = []
        self._text = look.make(
            widgets.Textarea, description=label_of(self.field), rows=4, continuous_update=False,
            tooltip=field.help or "what to answer",
        )  # fmt: skip
        self._note = look.make(widgets.HTML)
        self.widget = look.column(self._text)

    def read(self) -> Any:
        """Return the messages; see `Control`."""
        if self._text.value.strip():
            return [*self._earlier, {"role": "user", "content": self._text.value}]
        if self.field.is_required:
            raise FieldProblem("Prompt is needed")
        return None

    def show(self, value: Any) -> None:
        """Show the last message of the user, and keep the earlier ones; see `Control`."""
        messages = list(value) if isinstance(value, list | tuple) else []
        last = messages[-1] if messages else None
        is_prompt = isinstance(last, Mapping) and last.get("role") == "user" and isinstance(last.get("content"), str)
        self._earlier = messages[:-1] if is_prompt else messages
        self._text.value = last["content"] if is_prompt and isinstance(last, Mapping) else ""
        count = len(self._earlier)
        noun = "message" if count == 1 else "messages"
        self._note.value = f"continues a conversation of {count} {noun}" if count else ""
        self.widget.children = (self._text, self._note) if count else (self._text,)

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have changes reported; see `Control`."""
        self._text.observe(lambda _: changed(), "value")
