"""One control for one field: what is typed becomes a value, or a sentence about what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

import ipywidgets as widgets
from traitlets import TraitError

from ...providers.runware.catalog import Field, FieldProblem, Kind, check_value, read_value
from ...reprs import shortened
from .look import Look

__all__ = ["ChoiceControl", "Control", "NumberControl", "TextControl", "plain_control"]

_UNSET = "(as the model has it)"


class Control(Protocol):
    """What a form holds for each field."""

    field: Field
    widget: Any

    def read(self) -> Any:
        """Give the value; None leaves it to the service.

        Raises:
            FieldProblem: What was typed is no value of this field.
        """

    def show(self, value: Any) -> None:
        """Show a value; None empties the control."""

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have *changed* called when the user changes it."""


def plain_control(field: Field, look: Look, *, unset: str = _UNSET) -> Control:
    """Build the control of a field that holds a single value, a list of words, or JSON.

    Args:
        field: What is asked for.
        look: Makes the widgets.
        unset: The entry of a menu that leaves the value to the service.
    """
    if field.kind is Kind.CHOICE:
        return ChoiceControl(field, look, field.choices, unset=unset)
    if field.kind is Kind.FLAG:
        return ChoiceControl(field, look, (("yes", True), ("no", False)), unset=unset)
    is_number = field.kind in {Kind.WHOLE, Kind.NUMBER}
    if is_number and isinstance(field.default, int | float) and not isinstance(field.default, bool):
        return NumberControl(field, look, field.default)
    return TextControl(field, look)


class TextControl:
    """A text, a number that may be left out, a list with a line for each entry, or JSON."""

    def __init__(self, field: Field, look: Look) -> None:
        self.field = field
        is_long = field.kind in {Kind.LONG_TEXT, Kind.LIST, Kind.JSON}
        more: dict[str, Any] = {"rows": 4 if field.is_required else 2} if is_long else {}
        self.widget = look.make(
            widgets.Textarea if is_long else widgets.Text, description=label_of(field), placeholder=_hint(field),
            tooltip=field.help or field.title,
            continuous_update=False, **more,
        )  # fmt: skip

    def read(self) -> Any:
        """Give the value; see `Control`."""
        return read_value(self.field, self.widget.value)

    def show(self, value: Any) -> None:
        """Show a value; see `Control`."""
        if value is None:
            text = ""
        elif self.field.kind is Kind.JSON:
            text = json.dumps(value, ensure_ascii=False)
        else:
            text = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
        self.widget.value = text

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have changes told; see `Control`."""
        self.widget.observe(lambda _: changed(), "value")


class NumberControl:
    """A number that is always there: it begins with the default, and is sent where it differs."""

    def __init__(self, field: Field, look: Look, start: float, *, is_sent_always: bool = False) -> None:
        self.field = field
        self._start = start
        self._is_sent_always = is_sent_always or field.is_required
        whole = field.kind is Kind.WHOLE
        self.widget = look.make(
            widgets.IntText if whole else widgets.FloatText, description=label_of(field),
            value=int(start) if whole else float(start), tooltip=_hint(field) or field.title,
            step=int(field.step or 1) if whole else field.step or 0.1,
        )  # fmt: skip

    def read(self) -> Any:
        """Give the value; see `Control`."""
        value = self.widget.value
        check_value(self.field, value)
        return value if self._is_sent_always or value != self._start else None

    def show(self, value: Any) -> None:
        """Show a value; see `Control`."""
        try:
            self.widget.value = self._start if value is None else value
        except (TypeError, ValueError, TraitError) as error:
            raise FieldProblem(f"{self.field.title} cannot be {value!r}") from error

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have changes told; see `Control`."""
        self.widget.observe(lambda _: changed(), "value")


class ChoiceControl:
    """One of several values; the first entry leaves it to the service, unless it is needed."""

    def __init__(self, field: Field, look: Look, choices: tuple[tuple[str, Any], ...], *, unset: str = _UNSET) -> None:
        self.field = field
        self._values = [value for _, value in choices]
        titles = {value: title for title, value in choices if isinstance(value, str | int | float | bool)}
        unset = f"{titles.get(field.default, field.default)} (default)" if field.default is not None else unset
        options = [(title, number) for number, (title, _) in enumerate(choices)]
        self.widget = look.make(
            widgets.Dropdown, description=label_of(field), tooltip=field.help or field.title,
            options=options if field.is_required else [(unset, -1), *options],
        )  # fmt: skip

    def read(self) -> Any:
        """Give the value; see `Control`."""
        number = self.widget.value
        return None if number is None or number < 0 else self._values[number]

    def show(self, value: Any) -> None:
        """Show a value; see `Control`."""
        if value is None:
            self.widget.index = 0
            return
        check_value(self.field, value)
        if value not in self._values:
            raise FieldProblem(f"{self.field.title} cannot be {value!r}")
        self.widget.value = self._values.index(value)

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have changes told; see `Control`."""
        self.widget.observe(lambda _: changed(), "value")


def label_of(field: Field) -> str:
    """Write the label of a field."""
    return f"{field.title} (needed)" if field.is_required else field.title


def _hint(field: Field) -> str:
    bounds = "one on each line" if field.kind is Kind.LIST else "JSON" if field.kind is Kind.JSON else field.bounds
    default = "" if field.default is None else shortened(f"default {field.default}")
    return " · ".join(filter(None, [default, bounds]))
