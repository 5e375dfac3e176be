"""A field for a secret. What is typed leaves the field at once, and is never in the state of a widget.

A front end can save the state of all widgets in the notebook, and echoes of it travel to every client of the kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import ipywidgets as widgets
from traitlets import Unicode

from .look import Look

__all__ = ["SecretField"]

T = TypeVar("T")
_EMPTY = "typed text is hidden and not saved"
_ENTERED = "entered, and not shown; type again to replace it"


class SecretField(Generic[T]):
    """A password field.

    Args:
        look: Makes the widgets.
        label: What it is called.
        wrap: Builds what protects the text, such as a `Password`.

    Attributes:
        widget: The field.
    """

    def __init__(self, look: Look, label: str, wrap: Callable[[str], T]) -> None:
        self._wrap = wrap
        self._held: T | None = None
        self.widget = _box(look, label, self._receive)
        self._describe(_EMPTY)

    def take(self) -> T | None:
        """Return what was entered, and forget it; None if nothing was."""
        held, self._held = self._held, None
        self._describe(_EMPTY)
        return held

    def _receive(self, text: str) -> None:
        self._held = self._wrap(text) if text else None
        self._describe(_ENTERED if text else _EMPTY)

    def _describe(self, note: str) -> None:
        if isinstance(self.widget, _PlainBox):
            self.widget.placeholder = note
        else:
            self.widget.note = note


def _box(look: Look, label: str, take: Callable[[str], None]) -> Any:
    try:
        from ..canvas.secret import SecretBox
    except ImportError:  # without the extra `canvas`
        return look.make(_PlainBox, description=label, take=take)
    return look.make(SecretBox, label=label, take=take)


class _PlainBox(widgets.Password):
    """A field of ipywidgets. The browser has the text in its state until the kernel has taken it; the kernel never has.

    Args:
        take: Called with the text.
        **values: Traits.
    """

    value = Unicode("").tag(sync=True, echo_update=False)

    def __init__(self, *, take: Callable[[str], None], **values: Any) -> None:
        super().__init__(continuous_update=False, **values)
        self._take = take

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Move a text that arrives out of the field, and empty the field."""
        rest = {name: value for name, value in sync_data.items() if name != "value"}
        text = sync_data.get("value")
        super().set_state(rest)
        if isinstance(text, str) and text:
            self._take(text)
            self.send_state("value")
