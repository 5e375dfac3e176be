"""Tables, as HTML and as aligned text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .html import MUTED, element, muted, text

__all__ = ["Table", "render_facts", "render_table"]

_CELL = "text-align:left;padding:2px 10px 2px 0;vertical-align:top"


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
    cells = [[" ".join(str(value).split()) for value in row] for row in table.rows]
    head = "".join(element("th", text(name), scope="col", style=_CELL) for name in table.columns)
    body = "".join(element("tr", "".join(element("td", text(value), style=_CELL) for value in row)) for row in cells)
    html = element("table", f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>", style="border-collapse:collapse")
    widths = [max(len(row[i]) for row in [list(table.columns), *cells]) for i in range(len(table.columns))]
    lines = [
        "  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)).rstrip()
        for row in [list(table.columns), *cells]
    ]
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
