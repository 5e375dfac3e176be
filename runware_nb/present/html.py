"""The few pieces of HTML that everything is made of: inline style, theme colours, no script."""

from __future__ import annotations

from html import escape

from ..printable import printable

__all__ = ["MUTED", "element", "muted", "text"]

MUTED = "color:var(--jp-ui-font-color2,#616161)"


def text(value: object) -> str:
    """Escape anything for use between or inside tags.

    Characters that set a direction are shown as escapes, as in plain text: otherwise a prompt could reorder what is
    written beside it.
    """
    return escape(printable(str(value)), quote=True)


def element(name: str, inner: str, **attributes: str | int | None) -> str:
    """Write one element.

    Args:
        name: Tag.
        inner: HTML, escaped already.
        **attributes: Values are escaped here; None leaves one out; `class_` is `class`.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{inner}</{name}>"


def muted(line: str) -> str:
    """Write a line of small print."""
    return element("div", text(line), style=f"{MUTED};font-size:90%;margin-top:4px")
