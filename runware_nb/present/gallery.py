"""A page of pictures that opens without Jupyter: one file, no script, readable by everyone."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from ..reprs import short_repr
from .html import element, text

__all__ = ["Exhibit", "render_gallery"]

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1.5rem; max-width: 88rem; }
ul { list-style: none; padding: 0; display: grid; gap: 1.5rem;
     grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr)); }
figure { margin: 0; } img { max-width: 100%; height: auto; display: block; border-radius: 4px;
     background: repeating-conic-gradient(#d0d0d0 0% 25%, #fff 0% 50%) 0 0 / 16px 16px; }
figcaption p { margin: .4rem 0; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 .75rem; margin: 0; font-size: .875rem; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
"""


@short_repr()
@dataclass(frozen=True, slots=True)
class Exhibit:
    """One picture.

    Attributes:
        prompt: What was asked for; its alt text too.
        facts: Names and values below it.
        body: The file, or a small copy; None where there is none.
        media_type: Of the file.
        width: Pixels.
        height: Pixels.
        href: Where the full size is, relative to the page.
        words: What to read where there is no picture.
        is_flagged: Whether the service's safety check marked it.
    """

    prompt: str
    facts: Sequence[tuple[str, str]]
    body: bytes | None = None
    media_type: str = "image/jpeg"
    width: int = 0
    height: int = 0
    href: str | None = None
    words: str = ""
    is_flagged: bool = False


def render_gallery(title: str, summary: str, exhibits: Sequence[Exhibit]) -> str:
    """Write the page.

    Args:
        title: Its heading.
        summary: A line below it.
        exhibits: The pictures, in order.
    """
    items = "".join(element("li", _figure(each)) for each in exhibits)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data: 'self'; "
        "style-src 'unsafe-inline'\">\n"
        f"<title>{text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{text(title)}</h1>\n<p>{text(summary)}</p>\n<ul>{items}</ul>\n</main>\n</body>\n</html>\n"
    )


def _figure(each: Exhibit) -> str:
    if each.body is None:
        shown = element("p", text(each.words or "no image"))
    else:
        source = f"data:{each.media_type};base64,{base64.b64encode(each.body).decode()}"
        size = f' width="{each.width}" height="{each.height}"' if each.width and each.height else ""
        shown = f'<img alt="{text(each.prompt)}"{size} loading="lazy" src="{source}">'
    if each.href:
        shown = element("a", shown, href=each.href)
    if each.is_flagged:
        shown = element("details", element("summary", "Flagged by the service; open to see") + shown)
    facts = "".join(element("dt", text(name)) + element("dd", text(value)) for name, value in each.facts)
    caption = element("figcaption", element("p", text(each.prompt)) + element("dl", facts))
    return element("figure", shown + caption)
