"""Width and height: by ratio, by number, or one of the pairs a model takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from ...providers.runware.catalog import Field, FieldProblem, check_value
from .look import Look

__all__ = ["SizeControl", "sizes_by_ratio"]

_RATIOS = ((1, 1), (5, 4), (4, 3), (3, 2), (16, 9), (21, 9), (4, 5), (3, 4), (2, 3), (9, 16))
_OTHER = "other"


class SizeControl:
    """Two fields that are chosen together.

    Args:
        width: The field of the width, in pixels.
        height: Likewise.
        pairs: The only pairs that are taken; any within the bounds where empty.
        look: Makes the widgets.
    """

    def __init__(self, width: Field, height: Field, pairs: Sequence[tuple[int, int]], look: Look) -> None:
        self.field = width
        self.fields = (width, height)
        self._pairs = list(pairs)
        self._is_open = not self._pairs
        self._is_needed = width.is_required
        start = self._pairs[0] if self._pairs else _nearest(width, height, 1, 1)
        named = {f"{w} × {h}": (w, h) for w, h in self._pairs} or {
            f"{ratio} ({w} × {h})": (w, h) for ratio, (w, h) in sizes_by_ratio(width, height).items()
        }
        unset = [] if self._is_needed else [("(as the model has it)", None)]
        more = [("other: type it", _OTHER)] if self._is_open else []
        self._choice = look.make(
            widgets.Dropdown, description="Size (needed)" if self._is_needed else "Size",
            options=[*unset, *named.items(), *more], tooltip="width × height in pixels",
        )  # fmt: skip
        self._look = look
        self._start = start
        self._sides: list[Any] = []
        self._changed: Callable[[], None] | None = None
        self.widget = look.row(self._choice) if self._is_open else self._choice
        if self._is_open:
            self._choice.observe(lambda change: self._chosen(change["new"]), "value")

    def read(self) -> tuple[int, int] | None:
        """Give width and height; None where the service is to choose.

        Raises:
            FieldProblem: They are out of bounds.
        """
        chosen = self._choice.value
        if chosen is None:
            return None
        if chosen != _OTHER:
            return int(chosen[0]), int(chosen[1])
        width, height = (int(side.value) for side in self._sides)
        for field, value in zip(self.fields, (width, height), strict=True):
            try:
                check_value(field, value)
            except FieldProblem as error:
                raise FieldProblem(f"{field.name}: {error}") from error
        return width, height

    def show(self, value: Any) -> None:
        """Show a value; see `Control`."""
        listed = [each for _, each in self._choice.options]
        if value is None and not self._is_needed:
            self._choice.value = None
        elif value is not None and tuple(value) in listed:
            self._choice.value = tuple(value)
        elif value is not None and self._is_open:
            self._start = (int(value[0]), int(value[1]))
            self._choice.value = _OTHER
            self._open_sides()
        elif value is not None:
            shown = ", ".join(f"{w}x{h}" for w, h in self._pairs)
            raise FieldProblem(f"{value[0]}x{value[1]} is none of the sizes of this model: {shown}")

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have changes told; see `Control`."""
        self._changed = changed
        self._choice.observe(lambda _: changed(), "value")

    def _chosen(self, value: Any) -> None:
        if isinstance(value, tuple):
            self._start = value
            self.widget.children = (self._choice,)
        elif value == _OTHER:
            self._open_sides()

    def _open_sides(self) -> None:
        """Show a field for each side; a size that is chosen by name needs none."""
        if not self._sides:
            self._sides = [self._side("Width in px", self.fields[0]), self._side("Height in px", self.fields[1])]
        for side, pixels in zip(self._sides, self._start, strict=True):
            side.value = pixels
        self.widget.children = (self._choice, *self._sides)

    def _side(self, title: str, field: Field) -> Any:
        made = self._look.make(widgets.IntText, description=title, step=int(field.step or 1),
                               tooltip=f"pixels: {field.bounds}")  # fmt: skip
        made.observe(lambda _: self._tell(), "value")
        return made

    def _tell(self) -> None:
        if self._changed is not None:
            self._changed()


def sizes_by_ratio(width: Field, height: Field) -> dict[str, tuple[int, int]]:
    """List common ratios with the size of about a megapixel that fits the bounds and steps."""
    made: dict[str, tuple[int, int]] = {}
    for one, other in _RATIOS:
        size = _nearest(width, height, one, other)
        if abs(math.log(size[0] / size[1] * other / one)) < 0.06 and size not in made.values():
            made[f"{one}:{other}"] = size
    return made or {"1:1": _nearest(width, height, 1, 1)}


def _nearest(width: Field, height: Field, one: int, other: int) -> tuple[int, int]:
    scale = math.sqrt(1024 * 1024 / (one * other))
    return _stepped(width, one * scale), _stepped(height, other * scale)


def _stepped(field: Field, pixels: float) -> int:
    step = max(1, int(field.step or 8))
    low, high = max(1, int(field.low or step)), max(1, int(field.high or 1_000_000))
    first, last = math.ceil(low / step) * step, max(1, high // step) * step
    return min(max(round(pixels / step) * step, first), last)
