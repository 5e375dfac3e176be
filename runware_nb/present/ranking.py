"""Ranks with their uncertainty, as a picture and as text."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from ..reprs import short_repr
from .html import element, muted, text
from .table import Picture, picture_html

__all__ = ["RankRow", "render_ranking"]

_WIDTH, _HEIGHT = 320, 20
_CELL = "padding:2px 10px 2px 0;vertical-align:middle;text-align:left"


@short_repr()
@dataclass(frozen=True, slots=True)
class RankRow:
    """One line of a ranking.

    Attributes:
        name: Which image or condition.
        strength: Log-odds against an average one.
        low: Lower end of the 95 % interval.
        high: Upper end.
        record: Wins and votes, in words.
        picture: A small picture; None where there is none.
    """

    name: str
    strength: float
    low: float
    high: float
    record: str
    picture: Picture | None = None


def render_ranking(rows: Sequence[RankRow], caption: str, *, what: str = "image") -> dict[str, str]:
    """Make the MIME bundle: a line for each, with its strength as a point and its interval as a bar."""
    left = min([row.low for row in rows], default=0.0)
    right = max([row.high for row in rows], default=0.0)
    span = (left - 0.1, right + 0.1)
    heads = ("rank", "", what, "strength and 95 % interval (log-odds)", "record")
    head = "".join(element("th", text(name), scope="col", style=_CELL) for name in heads)
    body = "".join(_row(number, row, span) for number, row in enumerate(rows, 1))
    table = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    lines = [f"{number:>3}  {row.name}  {_numbers(row)}  {row.record}" for number, row in enumerate(rows, 1)]
    html = element("table", table, style="border-collapse:collapse") + muted(caption)
    return {"text/html": element("div", html, class_="runware-nb"), "text/plain": "\n".join([*lines, caption])}


def _row(number: int, row: RankRow, span: tuple[float, float]) -> str:
    picture = "" if row.picture is None else picture_html(row.picture)
    plot = _interval(row, span) + element("div", text(_numbers(row)), style="font-size:85%")
    cells = [str(number), picture, text(row.name), plot, text(row.record)]
    return element("tr", "".join(element("td", cell, style=_CELL) for cell in cells))


def _numbers(row: RankRow) -> str:
    return f"{row.strength:+.2f} ({row.low:+.2f} to {row.high:+.2f})"


def _interval(row: RankRow, span: tuple[float, float]) -> str:
    """Draw one interval; as an image, since not every front end lets inline drawings pass."""

    def x(value: float) -> float:
        return 8 + (value - span[0]) / max(span[1] - span[0], 1e-9) * (_WIDTH - 16)

    middle = _HEIGHT / 2
    zero = x(0.0)
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}">'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>'
        f'<line x1="{zero:.1f}" y1="0" x2="{zero:.1f}" y2="{_HEIGHT}" stroke="#9e9e9e" stroke-dasharray="2 2"/>'
        f'<line x1="{x(row.low):.1f}" y1="{middle}" x2="{x(row.high):.1f}" y2="{middle}" stroke="#37618e" '
        f'stroke-width="3"/><circle cx="{x(row.strength):.1f}" cy="{middle}" r="5" fill="#1a3d66"/></svg>'
    )
    source = f"data:image/svg+xml;base64,{base64.b64encode(drawing.encode()).decode()}"
    alt = f"{row.name}: strength {_numbers(row)}"
    return f'<img alt="{text(alt)}" width="{_WIDTH}" height="{_HEIGHT}" src="{source}" style="display:block">'
