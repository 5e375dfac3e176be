"""An image from a file, an earlier result, a variable or an address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ...errors import RunwareNBError
from ...providers.runware.catalog import Field, Kind, check_value
from .controls import label_of
from .look import Look

__all__ = ["MediumControl"]


class MediumControl:
    """A word that says which image, and a way to bring a file along.

    Args:
        field: For one medium, or for several with a line for each.
        look: Makes the widgets.
        keep: Stores the bytes of a file, and gives the word that means it.
        drops: Whether there is a place to drop images on: not for a field of videos or sounds.
    """

    def __init__(self, field: Field, look: Look, keep: Callable[[bytes], str], *, drops: bool = True) -> None:
        self.field = field
        self._keep = keep
        several = field.kind is Kind.MEDIA
        more: dict[str, Any] = {"rows": 2} if several else {}
        self._text = look.make(
            widgets.Textarea if several else widgets.Text, description=label_of(field), continuous_update=False,
            placeholder="file, address, variable, _rw, #3 or run" + ("; one on each line" if several else ""),
            tooltip=field.help or f"{field.title}: which image", **more,
        )  # fmt: skip
        self._upload = look.make(
            widgets.FileUpload, width="tight", description=f"{field.title}: file …", multiple=several,
            tooltip=f"{field.title}: take a file of this computer",
        )  # fmt: skip
        self._upload.observe(lambda _: self._uploaded(), "value")
        self.widget = look.row(self._text, self._upload, *(self._place_to_drop() if drops else []))

    def read(self) -> Any:
        """Give the word, or the list of words."""
        words = [line.strip() for line in self._text.value.splitlines() if line.strip()]
        value: Any = (words or None) if self.field.kind is Kind.MEDIA else (words[0] if words else None)
        check_value(self.field, value)
        return value

    def show(self, value: Any) -> None:
        """Show a value; see `Control`."""
        self._text.value = (
            "" if value is None else "\n".join(map(str, value)) if isinstance(value, list) else str(value)
        )

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have changes told; see `Control`."""
        self._text.observe(lambda _: changed(), "value")

    def take(self, body: bytes) -> None:
        """Take a file's bytes, dropped or chosen; a full disk is told in the field, since a drop has no answer."""
        try:
            word = self._keep(body)
        except (RunwareNBError, OSError) as error:
            self._text.value, self._text.placeholder = "", f"✗ not kept: {error}"
            return
        before = self._text.value.rstrip()
        self._text.value = f"{before}\n{word}" if self.field.kind is Kind.MEDIA and before else word

    def _uploaded(self) -> None:
        for each in self._upload.value:
            self.take(bytes(each["content"]))

    def _place_to_drop(self) -> list[Any]:
        """Give a place to drop files on, where the extra `canvas` is installed."""
        try:
            from ..canvas.drop import DropZone
        except ImportError:
            return []
        return [DropZone(self.take, label=f"{self.field.title}: drop or paste an image here")]
