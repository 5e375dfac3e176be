"""What the controls of a form share: each layout and style is a comm of its own, so all of a kind have one."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

__all__ = ["Look"]

_LABEL = "12em"
_WIDTHS = {"field": "min(46em, 100%)", "tight": "auto"}
_BUTTONS = (widgets.Button, widgets.FileUpload)
_DESCRIBED = (
    widgets.Text,
    widgets.Textarea,
    widgets.Combobox,
    widgets.IntText,
    widgets.FloatText,
    widgets.BoundedIntText,
    widgets.Dropdown,
)


class Look:
    """Makes the widgets of one form."""

    def __init__(self) -> None:
        self._layouts: dict[str, Any] = {}
        self._styles: dict[type, Any] = {}

    def make(self, kind: type, *, width: str = "field", **values: Any) -> Any:
        """Make a widget.

        Args:
            kind: Its class, of ipywidgets.
            width: `field` or `tight`.
            **values: Its traits.
        """
        made = {"layout": self._layout(width), **values}
        if issubclass(kind, _BUTTONS):
            made["style"] = self._style(widgets.widget_button.ButtonStyle)
        elif issubclass(kind, _DESCRIBED):  # a text's style has what the others want, and one is enough for all
            made["style"] = self._style(widgets.widget_string.TextStyle, description_width=_LABEL)
        elif issubclass(kind, widgets.HTML):
            made["style"] = self._style(widgets.widget_string.HTMLStyle)
        return kind(**made)

    def column(self, *children: Any) -> Any:
        """Put widgets below each other."""
        return widgets.VBox(children, layout=self._layout("tight"))

    def row(self, *children: Any) -> Any:
        """Put widgets beside each other, as far as there is room."""
        return widgets.HBox(children, layout=self._layout("row"))

    def _layout(self, name: str) -> Any:
        if name not in self._layouts:
            flow = {"flex_flow": "row wrap", "align_items": "center"} if name == "row" else {"width": _WIDTHS[name]}
            self._layouts[name] = widgets.Layout(**flow)
        return self._layouts[name]

    def _style(self, kind: type, **values: Any) -> Any:
        if kind not in self._styles:
            self._styles[kind] = kind(**values)
        return self._styles[kind]
