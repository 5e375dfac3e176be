"""An image from a file, an earlier result, a variable or an address."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets

from ...errors import RunwareNBError
from ...providers.runware.catalog import Field, Kind, check_value
from .controls import label_of
from .look import Look

__all__ = ["FramesControl", "MediumControl"]


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


_PLACE = re.compile(r"(first|last|\d+): *(\S.*)")


_ENDS = ("first", "last")


class FramesControl(MediumControl):
    """Images with their places in a video: a line for each, such as `last: ship.png`.

    Without a place, one image is the first frame, and two are the first and the last.
    """

    def read(self) -> Any:
        """Return an object for each image; see `Control`."""
        words = super().read()
        if words is None:
            return None
        frames = []
        for place, word in zip(_usual_places(len(words)), words, strict=True):
            stated = _PLACE.fullmatch(word)
            frame: Any = place if stated is None else int(stated[1]) if stated[1].isdecimal() else stated[1]
            image = word if stated is None else stated[2]
            frames.append({"image": image} if frame is None else {"image": image, "frame": frame})
        return frames

    def show(self, value: Any) -> None:
        """Show images with their places, if these are not the usual ones; see `Control`."""
        entries = value if isinstance(value, list | tuple) else []
        frames = [each if isinstance(each, Mapping) else {"image": each} for each in entries]
        places = [frame.get("frame") for frame in frames]
        words = [str(frame.get("image")) for frame in frames]
        if places != _usual_places(len(frames)):
            words = [
                word if place is None else f"{place}: {word}" for place, word in zip(places, words, strict=True)
            ]  # fmt: skip
        super().show(words or None)


def _usual_places(count: int) -> list[str | None]:
    return [*_ENDS[:count]] if count <= len(_ENDS) else [None] * count
