"""Tables, as HTML and as aligned text."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from ..printable import printable
from ..reprs import short_repr
from .html import MUTED, element, muted, text

__all__ = ["Bar", "Picture", "Table", "picture_html", "render_facts", "render_table"]

_CELL = "text-align:left;padding:2px 10px 2px 0;vertical-align:top"


@short_repr()
@dataclass(frozen=True, slots=True)
class Picture:
    """A small picture in a table.

    Attributes:
        body: The file.
        media_type: Its type.
        alt: What it shows, in words.
        side_px: Longest side as shown.
        href: Where a click leads.
    """

    body: bytes
    media_type: str
    alt: str
    side_px: int = 56
    href: str | None = None

    def __str__(self) -> str:
        return ""


@short_repr()
@dataclass(frozen=True, slots=True)
class Bar:
    """A number with a bar as long as its share of the largest.

    Attributes:
        label: The number as written.
        share: 0 to 1.
    """

    label: str
    share: float

    def __str__(self) -> str:
        return f"{self.label} {'█' * round(self.share * 20)}".rstrip()


@short_repr()
@dataclass(frozen=True, slots=True)
class Table:
    """Rows of values.

    Attributes:
        columns: Headings.
        rows: As many values in each as there are headings.
        caption: A line below.
        empty: What to say when there is no row.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""
    empty: str = "nothing to show"


def render_table(table: Table) -> dict[str, str]:
    """Make the MIME bundle of a table."""
    if not table.rows:
        return {"text/html": muted(table.empty), "text/plain": table.empty}
    shown = [i for i, name in enumerate(table.columns) if name or any(str(row[i]) for row in table.rows)]
    cells = [[printable(" ".join(str(row[i]).split())) for i in shown] for row in table.rows]
    names = [table.columns[i] for i in shown]
    head = "".join(element("th", text(name), scope="col", style=_CELL) for name in table.columns)
    body = "".join(
        element("tr", "".join(element("td", _inside(each), style=_CELL) for each in row)) for row in table.rows
    )
    html = element("table", f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>", style="border-collapse:collapse")
    widths = [max(len(row[i]) for row in [names, *cells]) for i in range(len(names))]
    lines = ["  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)).rstrip() for row in [names, *cells]]
    if table.caption:
        html += muted(table.caption)
        lines.append(table.caption)
    return {"text/html": element("div", html, class_="runware-nb"), "text/plain": "\n".join(lines)}


def render_facts(facts: Sequence[tuple[str, object]], *, title: str = "") -> dict[str, str]:
    """Make the MIME bundle of names and their values."""
    width = max((len(name) for name, _ in facts), default=0)
    rows = "".join(
        element(
            "tr",
            element("th", text(name), scope="row", style=f"{_CELL};{MUTED}") + element("td", text(value), style=_CELL),
        )
        for name, value in facts
    )
    html = (element("div", text(title), style="font-weight:bold") if title else "") + element("table", rows)
    lines = ([title] if title else []) + [f"{name.ljust(width)}  {value}" for name, value in facts]
    return {"text/html": element("div", html, class_="runware-nb"), "text/plain": "\n".join(lines)}


def picture_html(picture: Picture) -> str:
    """Write a small picture."""
    source = f"data:{picture.media_type};base64,{base64.b64encode(picture.body).decode()}"
    size = f"display:block;max-width:{picture.side_px}px;max-height:{picture.side_px}px;border-radius:2px"
    size += ";outline:1px solid var(--jp-border-color2,#cccccc)"  # or the white of a mask is lost on white
    image = f'<img alt="{text(picture.alt)}" style="{size}" src="{source}">'
    return element("a", image, href=picture.href, title="full size", target="_blank") if picture.href else image


def _inside(value: object) -> str:
    if isinstance(value, Picture):
        return picture_html(value)
    if isinstance(value, Bar):
        style = f"display:inline-block;height:0.8em;width:{value.share * 12:.2f}em;margin-left:6px;background:#4a7fb5"
        return text(value.label) + element("span", "", style=style, aria_hidden="true")
    return text(" ".join(str(value).split()))
