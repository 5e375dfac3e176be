"""Fields within fields: folded groups, made when they are opened, and rows that come and go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets

from ...providers.runware.catalog import Field, FieldProblem, check_value
from .controls import Control
from .look import Look

__all__ = ["Fold", "GroupControl", "RowsControl"]


class Fold:
    """A button, and what it opens: nothing is made before that.

    Args:
        title: What is inside.
        look: Makes the widgets.
        fill: Makes what is inside.
        placed: Called when it was opened or closed.
    """

    def __init__(self, title: str, look: Look, fill: Callable[[], Any], placed: Callable[[], None]) -> None:
        self._title = title
        self._fill = fill
        self._placed = placed
        self._inside: Any = None
        self.is_open = False
        self._button = look.make(widgets.Button, width="tight", description=f"▸ {title}", tooltip=f"show: {title}")
        self._button.on_click(lambda _: self.open(not self.is_open))

    @property
    def widgets(self) -> tuple[Any, ...]:
        """The button, and what is inside while it is open."""
        return (self._button, self._inside) if self.is_open else (self._button,)

    def open(self, is_open: bool = True) -> None:
        """Open or close it."""
        if self._inside is None and is_open:
            self._inside = self._fill()
        self.is_open = is_open
        self._button.description = f"{'▾' if is_open else '▸'} {self._title}"
        self._button.tooltip = f"{'hide' if is_open else 'show'}: {self._title}"
        self._placed()


class GroupControl:
    """An object of its own: folded, and left out while none of its fields is given."""

    def __init__(self, field: Field, look: Look, make: Callable[[Field], Control]) -> None:
        self.field = field
        self._make = make
        self._look = look
        self._controls: list[Control] = []
        self._others: dict[str, Any] = {}
        """What a request contains in this object and no field shows: it is sent along."""
        self._changed: Callable[[], None] = _nothing
        self._fold = Fold(field.title, look, self._fill, self._place)
        self.widget = look.column(*self._fold.widgets)
        if field.is_required:
            self._fold.open()

    def read(self) -> Any:
        """Give the value; see `Control`."""
        values = {**self._others, **_read_all(self._controls)}
        check_value(self.field, values or None)
        return values or None

    def show(self, value: Any) -> None:
        """Show a value; see `Control`."""
        given = value if isinstance(value, Mapping) else {}
        shown = {field.name for field in self.field.fields}
        self._others = {name: inner for name, inner in given.items() if name not in shown}
        if given:
            self._fold.open()
        for control in self._controls:
            control.show(given.get(control.field.name))

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have changes told; see `Control`."""
        self._changed = changed
        for control in self._controls:
            control.on_change(changed)

    def _place(self) -> None:
        self.widget.children = self._fold.widgets

    def _fill(self) -> Any:
        self._controls = [self._make(each) for each in self.field.fields]
        for control in self._controls:
            control.on_change(self._changed)
        return self._look.column(*[control.widget for control in self._controls])


class RowsControl:
    """A list of objects, such as LoRAs: rows are added and removed."""

    def __init__(self, field: Field, look: Look, make: Callable[[Field], Control]) -> None:
        self.field = field
        self._make = make
        self._look = look
        self._rows: list[tuple[list[Control], Any]] = []
        self._changed: Callable[[], None] = _nothing
        self._add = look.make(
            widgets.Button, width="tight", description=f"Add {field.title}", tooltip=f"add a row: {field.title}"
        )
        self._add.on_click(lambda _: self._new_row())
        self.widget = look.column(self._add)

    def read(self) -> Any:
        """Give the value; see `Control`."""
        rows = []
        for number, (controls, _) in enumerate(self._rows, 1):
            try:
                rows.append(_read_all(controls))
            except FieldProblem as error:
                raise FieldProblem(f"row {number}, {error}") from error
        value = rows or None
        check_value(self.field, value)
        return value

    def show(self, value: Any) -> None:
        """Show a value; see `Control`."""
        self._rows = []
        for row in value if isinstance(value, list) else []:
            if isinstance(row, Mapping):
                for control in self._new_row():
                    control.show(row.get(control.field.name))
        self._place()

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have changes told; see `Control`."""
        self._changed = changed
        for controls, _ in self._rows:
            for control in controls:
                control.on_change(changed)

    def _new_row(self) -> list[Control]:
        controls = [self._make(each) for each in self.field.fields]
        remove = self._look.make(widgets.Button, width="tight", description="Remove",
                                 tooltip=f"remove this row: {self.field.title}")  # fmt: skip
        row = (controls, self._look.row(*[control.widget for control in controls], remove))
        remove.on_click(lambda _: self._drop(row))
        for control in controls:
            control.on_change(self._changed)
        self._rows.append(row)
        self._place()
        self._changed()
        return controls

    def _drop(self, row: tuple[list[Control], Any]) -> None:
        self._rows = [each for each in self._rows if each is not row]
        self._place()
        self._changed()

    def _place(self) -> None:
        self.widget.children = (*[widget for _, widget in self._rows], self._add)


def _read_all(controls: Sequence[Control]) -> dict[str, Any]:
    """Return the values of several controls by name; what was left out is left out."""
    values = {}
    for control in controls:
        try:
            values[control.field.name] = control.read()
        except FieldProblem as error:
            raise FieldProblem(f"{control.field.title}: {error}") from error
    return {name: value for name, value in values.items() if value is not None}


def _nothing() -> None:
    """Do nothing: nobody listens yet."""
