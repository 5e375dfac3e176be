"""Controls below each other, each with room for a sentence about what is wrong with it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from ...present.html import element, text
from ...providers.runware.catalog import Field, FieldProblem
from .controls import Control
from .look import Look

__all__ = ["Section", "arrange", "close_widget", "fields_of_control", "form_style"]


def fields_of_control(control: Control) -> Sequence[Field]:
    """List the fields that a control fills: one, or width and height."""
    several: Sequence[Field] = getattr(control, "fields", ())
    return several or (control.field,)


_MOST_CHILDREN = 90


def arrange(column: Any, children: Sequence[Any], problems: Sequence[tuple[Any, Any]]) -> None:
    """Put widgets into a column, and each sentence below the one it is about.

    Sentences are the last children, and stand where they belong by the order that the style sheet gives: a child that
    is put between others has all that follow made anew in the browser, and whoever is typing there loses the focus.

    Args:
        column: A `VBox` inside a form.
        children: In order.
        problems: Some of them, each with the sentence about it.
    """
    place = {id(child): number for number, child in enumerate(children, 1)}
    for about, said in problems:
        said.layout.order = str(10 * place.get(id(about), len(children)) + 5)
    column.children = (*children, *(said for _, said in problems))


def close_widget(widget: Any) -> None:
    """Close a widget and all inside it: the kernel keeps each until then."""
    for child in getattr(widget, "children", ()):
        close_widget(child)
    widget.close()


def form_style() -> str:
    """Return the style sheet of a form, whose column has the class `runware-nb-form`."""
    return (
        "<style>.runware-nb-form :focus-visible{outline:2px solid var(--jp-brand-color1,#1565c0);outline-offset:1px}"
        ".runware-nb-form>button,.runware-nb-form .widget-vbox>button{align-self:flex-start}"
        ".runware-nb-form input::placeholder,.runware-nb-form textarea::placeholder"
        f"{{color:var(--jp-ui-font-color2,#616161);opacity:1}}{_order_rules()}</style>"
    )


def _order_rules() -> str:
    """Return the part of the style sheet that `arrange` counts on."""
    numbers = range(1, _MOST_CHILDREN + 1)
    return "".join(
        f".runware-nb-form>:nth-child({n}),.runware-nb-form .widget-vbox>:nth-child({n}){{order:{10 * n}}}"
        for n in numbers
    )


class Section:
    """Part of a form.

    Args:
        controls: In order.
        look: Makes the widgets.
        changed: Called when the user changes one of them.
        placed: Called when a sentence came or went, so that `widgets` are placed anew.
    """

    def __init__(
        self, controls: Sequence[Control], look: Look, changed: Callable[[], None], placed: Callable[[], None]
    ) -> None:
        self.controls = list(controls)
        self._look = look
        self._changed = changed
        self._problems: dict[int, Any] = {}
        self._placed = placed
        for number, control in enumerate(controls):
            control.on_change(functools.partial(self._check, number))

    @property
    def widgets(self) -> list[Any]:
        """The controls, in order."""
        return [control.widget for control in self.controls]

    @property
    def problems(self) -> list[tuple[Any, Any]]:
        """Controls whose value is wrong, each with the sentence about it."""
        return [(self.controls[number].widget, said) for number, said in self._problems.items()]

    def read(self, *, tells: bool = True) -> tuple[dict[tuple[str, ...], Any], list[str]]:
        """Give the values by path, and the sentences about what is wrong.

        Args:
            tells: Whether each sentence is put beside its field, too: not before the user has had a chance to type.
        """
        values: dict[tuple[str, ...], Any] = {}
        problems = []
        for number, control in enumerate(self.controls):
            try:
                value = control.read()
            except FieldProblem as error:
                problems.append(f"{control.field.title}: {error}")
                if tells:
                    self._tell(number, str(error))
                continue
            if tells:
                self._tell(number, "")
            paths = [field.path for field in fields_of_control(control)]
            for path, one in zip(paths, value if len(paths) > 1 and value is not None else [value], strict=False):
                values |= {path: one} if one is not None else {}
        return values, problems

    def tell(self, name: str, sentence: str) -> bool:
        """Put a sentence beside the field of a parameter; False where it is not here."""
        for number, control in enumerate(self.controls):
            paths = [".".join(field.path) for field in fields_of_control(control)]
            if any(name == path or name.startswith((f"{path}.", f"{path}[")) for path in paths):
                self._tell(number, sentence)
                return True
        return False

    def _check(self, number: int) -> None:
        control = self.controls[number]
        try:
            control.read()
        except FieldProblem as error:
            self._tell(number, str(error))
        else:
            self._tell(number, "")
        self._changed()

    def _tell(self, number: int, sentence: str) -> None:
        if not sentence and number not in self._problems:
            return
        said = element("div", text(f"✗ {sentence}"), class_="runware-nb-problem", role="alert",
                       style="color:var(--jp-error-color1,#b00020);margin-left:12.5em")  # fmt: skip
        if sentence and number in self._problems:
            self._problems[number].value = said
            return
        if sentence:
            self._problems[number] = self._look.make(widgets.HTML, value=said, layout=widgets.Layout())
        else:
            gone = self._problems.pop(number)
            gone.layout.close()  # its own: it says where it stands
            gone.close()
        self._placed()
