"""Pictures side by side, and trees of what was made from what."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..reprs import short_repr
from .html import MUTED, element, text
from .table import Picture, picture_html

__all__ = ["Branch", "Side", "render_sides", "render_slider", "render_tree"]


@short_repr()
@dataclass(frozen=True, slots=True)
class Side:
    """One picture of a row.

    Attributes:
        caption: What stands below.
        picture: None where there is nothing to see.
    """

    caption: str
    picture: Picture | None = None


@short_repr()
@dataclass(slots=True)
class Branch:
    """A run, and what was made from it.

    Attributes:
        label: What the run is, in one line.
        pictures: What it made.
        is_chosen: Whether it is the one that was asked about.
        children: Made from it.
        texts: What it wrote, each in a few words.
        drawings: SVG files that are too large to be part of the page, as words and the link to the file.
    """

    label: str
    pictures: list[Picture] = field(default_factory=list)
    is_chosen: bool = False
    children: list[Branch] = field(default_factory=list)
    texts: tuple[str, ...] = ()
    drawings: tuple[tuple[str, str], ...] = ()


def render_sides(rows: Sequence[Sequence[Side]]) -> str:
    """Write rows of pictures, as HTML."""
    if not rows:
        return ""
    style = "display:flex;flex-wrap:wrap;gap:8px;margin-top:6px"
    lines = [element("div", "".join(_side(side) for side in row), style=style) for row in rows]
    return element("div", "".join(lines), class_="runware-nb")


def render_slider(before: Picture, after: Picture) -> str:
    """Write a slider between two pictures, as HTML: the corner of the upper one is dragged. No script is needed.

    Both are shown in the size of the second, and side by side below for who cannot drag.
    """
    side = after.side_px
    upper = _sized(before, "max-width:none")
    style = ("position:absolute;left:0;top:0;height:100%;width:50%;min-width:2px;max-width:100%;overflow:hidden;"
             "resize:horizontal;border-right:3px solid #ffffff;box-shadow:1px 0 0 #000000")  # fmt: skip
    cover = element("div", upper, style=style, title="drag the lower right corner")
    frame = f"position:relative;display:inline-block;line-height:0;width:{side}px;max-width:100%;overflow:hidden"
    stack = element("div", _sized(after, "max-width:none") + cover, style=frame)
    said = f"left: {before.alt} · right: {after.alt} · drag the corner of the left one"
    return element("div", stack + element("div", text(said), style=f"{MUTED};font-size:85%"), class_="runware-nb")


def _sized(picture: Picture, style: str) -> str:
    source = f"data:{picture.media_type};base64,{base64.b64encode(picture.body).decode()}"
    return f'<img alt="{text(picture.alt)}" style="display:block;width:{picture.side_px}px;{style}" src="{source}">'


def render_tree(roots: Sequence[Branch], *, caption: str = "") -> dict[str, str]:
    """Build the MIME bundle of trees.

    Args:
        roots: The first run of each tree.
        caption: A line below.
    """
    html = element("ul", "".join(_branch(root) for root in roots), style="list-style:none;padding-left:0;margin:0")
    lines = [line for root in roots for line in _lines(root, "", "")]
    if caption:
        html += element("div", text(caption), style=f"{MUTED};font-size:85%")
        lines.append(caption)
    return {"text/html": element("div", html, class_="runware-nb"), "text/plain": "\n".join(lines)}


def _side(side: Side) -> str:
    shown = "" if side.picture is None else picture_html(side.picture)
    return element("figure", shown + element("figcaption", text(side.caption), style=f"{MUTED};font-size:85%"),
                   style="margin:0")  # fmt: skip


def _branch(branch: Branch) -> str:
    pictures = "".join([*map(picture_html, branch.pictures), *(_drawing(*each) for each in branch.drawings)])
    row = element("div", pictures, style="display:flex;flex-wrap:wrap;gap:4px") if pictures else ""
    row += "".join(element("div", f"“{text(each)}”", style=MUTED) for each in branch.texts)
    name = element("strong" if branch.is_chosen else "span", text(branch.label))
    below = "".join(_branch(child) for child in branch.children)
    style = "list-style:none;margin:0;padding-left:18px;border-left:1px solid var(--jp-border-color2,#cccccc)"
    return element("li", name + row + (element("ul", below, style=style) if below else ""), style="margin:4px 0")


def _drawing(alt: str, link: str) -> str:
    """Write an SVG file by its link: its content is not part of the page, and as an image it runs no script."""
    image = f'<img alt="{text(alt)}" src="{text(link)}" style="display:block;max-width:72px;max-height:72px">'
    return element("a", image, href=link, title="full size", target="_blank")


def _lines(branch: Branch, first: str, rest: str) -> list[str]:
    lines = [f"{first}{'> ' if branch.is_chosen else ''}{branch.label}"]
    lines += [f"{rest}{'│  ' if branch.children else '   '}“{each}”" for each in branch.texts]
    for number, child in enumerate(branch.children):
        is_last = number == len(branch.children) - 1
        lines += _lines(child, rest + ("└─ " if is_last else "├─ "), rest + ("   " if is_last else "│  "))
    return lines
