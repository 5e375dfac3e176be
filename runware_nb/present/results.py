"""Images in a cell: a grid of small copies, what differs below each, one line about all."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..core.money import format_amount
from ..reprs import short_repr
from .html import MUTED, element, muted, text

__all__ = [
    "ResultsView", "Tile", "failure_line", "folded_json", "format_stars", "format_usd", "render_plain",
    "render_progress", "render_results", "with_notices",
]  # fmt: skip

_MOST_DATA = 100_000
_OPEN_LINES = 40
_NO_POSTER = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
"""One transparent pixel. Without a poster, Chromium paints a gray area over the picture below the player."""
_GRID = "display:flex;flex-wrap:wrap;gap:8px;align-items:flex-start"
_CHECKERS = (
    "background:repeating-conic-gradient(#d0d0d0 0% 25%,#ffffff 0% 50%) 0 0/16px 16px"  # shows through transparency
)


@short_repr()
@dataclass(frozen=True, slots=True)
class Tile:
    """One image.

    Attributes:
        alt: Its description, for those who do not see it: the prompt.
        caption: What tells it from the others.
        body: The small copy, encoded; None when there is no image to show.
        media_type: Of the small copy.
        width: Pixels of the small copy.
        height: Pixels of the small copy.
        href: Relative path of the full size; None when it is nowhere.
        is_flagged: Whether the service's safety check marked it.
        words: What to read where there is no image: a text, what is known of the file, or why there is none.
        facts: Its parameters, as names and values, for the panel below it.
        player: `video` or `audio`, where the browser plays the file that *href* leads to. The small copy is then the
            poster of the video, or the waveform of the audio.
        data: JSON in several lines, which can be folded; *words* has the same in one line.
        file_name: A readable name for a download; empty for an image, which is opened by a click.
        source: Relative path of a file that the browser shows as an image where it can reach it, instead of a copy.
        note: A sentence below the caption.
        is_only_saved: Whether browsers and JupyterLab do not open files of this type, so that it is only downloaded.
    """

    alt: str
    caption: str = ""
    body: bytes | None = None
    media_type: str = "image/jpeg"
    width: int = 0
    height: int = 0
    href: str | None = None
    is_flagged: bool = False
    words: str = ""
    facts: Sequence[tuple[str, str]] = ()
    player: str = ""
    data: str = ""
    file_name: str = ""
    source: str = ""
    note: str = ""
    is_only_saved: bool = False


@short_repr()
@dataclass(frozen=True, slots=True)
class ResultsView:
    """All that a cell shows of a run.

    Attributes:
        prompt: What was asked for.
        tiles: The images.
        failures: A sentence for each result that failed.
        facts: What the footer says: count, cost, time, seeds, task.
        notices: Sentences a user should know.
    """

    prompt: str
    tiles: Sequence[Tile]
    failures: Sequence[str] = ()
    facts: Sequence[str] = ()
    notices: Sequence[str] = field(default=())


def render_results(view: ResultsView) -> dict[str, str]:
    """Make the MIME bundle: HTML to look at, one line of text for everything else."""
    footer = " · ".join(view.facts)
    parts = []
    if view.tiles:
        place = _place(len(view.tiles))
        parts.append(element("div", "".join(_figure(tile, place) for tile in view.tiles), style=_GRID))
    parts += [failure_line(sentence) for sentence in view.failures]
    parts += [muted(sentence) for sentence in view.notices]
    parts += [muted(footer)] if footer else []
    said = [_short(f"{tile.caption} {tile.words}".strip(), 300) for tile in view.tiles if tile.words]
    plain = [
        *([footer] if footer else []),
        *said,
        *(f"failed: {sentence}" for sentence in view.failures),
        *view.notices,
    ]
    return {
        "text/html": element("div", "".join(parts), class_="runware-nb"),
        "text/plain": f"{' · '.join(plain)} · {_short(view.prompt)}",
    }


def with_notices(bundle: Mapping[str, str], notices: Sequence[str]) -> dict[str, str]:
    """Return a MIME bundle with sentences below it, for an output that has no other place for them."""
    if not notices:
        return dict(bundle)
    made = dict(bundle)
    made["text/html"] = made.get("text/html", "") + "".join(muted(notice) for notice in notices)
    made["text/plain"] = "\n".join([made.get("text/plain", ""), *notices])
    return made


def render_plain(view: ResultsView, sheet: bytes | None, media_type: str) -> dict[str, str]:
    """Make the MIME bundle for what reads no HTML, such as PDF export and GitHub: a picture, and a line of text.

    Args:
        view: What the cell shows.
        sheet: All images in one; None where there is none.
        media_type: Of that picture.
    """
    said = render_results(view)["text/plain"]
    return {media_type: base64.b64encode(sheet).decode(), "text/plain": said} if sheet else {"text/plain": said}


def render_progress(
    *, prompt: str, count: int, width: int, height: int, percent: float | None, note: str
) -> dict[str, str]:
    """Return the stand-in that keeps the place while a task runs.

    Args:
        prompt: What was asked for.
        count: How many results are expected; 0 keeps no place.
        width: Pixels of one, at full size.
        height: Pixels of one, at full size.
        percent: 0 to 100; None when it is not known.
        note: What is going on, in words.
    """
    shrink = min(1.0, 512 / max(width, height, 1))
    box = (
        f"width:{round(width * shrink)}px;max-width:100%;aspect-ratio:{width}/{height};"
        "background:var(--jp-layout-color2,#eeeeee);border-radius:2px"
    )
    caption = _caption("\u00a0") * (2 if count > 1 else 1)  # what will stand below: its caption, its parameters
    boxes = element("figure", element("div", "", style=box) + caption, style=_place(count)) * min(count, 20)
    bar = (
        "<progress max='100'></progress>"
        if percent is None
        else f"<progress max='100' value='{percent:.0f}'></progress>"
    )
    said = note if percent is None else f"{note} · {percent:.0f} %"
    line = element("div", f"{bar} {text(said)}", style=f"{MUTED};font-size:90%;margin-top:4px")
    grid = element("div", boxes, style=_GRID)
    return {
        "text/html": element("div", grid + line, class_="runware-nb runware-nb-progress"),
        "text/plain": f"{said} · {_short(prompt)}",
    }


def format_usd(cost_usd: float | None) -> str:
    """Format an amount in US dollars: four decimals where they matter, and unknown as unknown."""
    return format_amount(cost_usd)


def format_stars(rating: int | None) -> str:
    """Format a rating as up to five stars; a log may hold any number that an earlier version imported."""
    return "★" * min(5, rating or 0)


def _place(count: int) -> str:
    """Place one of *count* images, the same before and after it is there: as many columns as rows, four at most."""
    columns = next(n for n in (1, 2, 3, 4) if n * n >= count or n == 4)
    width = "100%" if columns == 1 else f"calc({100 / columns:g}% - 8px)"
    return f"margin:0;flex:0 1 auto;max-width:{width}"


def _caption(line: str) -> str:
    return element("figcaption", text(line), style=f"{MUTED};font-size:85%")


def _figure(tile: Tile, place: str) -> str:
    if tile.player and tile.href:
        inner = _player(tile)
    elif tile.data:
        inner = folded_json(tile.data)
    elif tile.source:
        style = "display:block;max-width:100%;max-height:512px"
        image = f'<img alt="{text(tile.alt)}" width="{tile.width}" style="{style}" src="{text(tile.source)}">'
        inner = element("a", image, href=tile.source, title="full size", target="_blank")
    elif tile.file_name and tile.body is None:
        inner = ""  # the caption states what the file is, and links it
    elif tile.body is None:
        inner = element("div", text(tile.words or "no image"), style=f"{MUTED};padding:1em;white-space:pre-wrap")
        inner = element("a", inner, href=tile.href, title="the file", target="_blank") if tile.href else inner
    else:
        source = f"data:{tile.media_type};base64,{base64.b64encode(tile.body).decode()}"
        is_see_through = tile.media_type != "image/jpeg" and not tile.file_name  # previews have no background
        style = "display:block;max-width:100%;height:auto" + (f";{_CHECKERS}" if is_see_through else "")
        height = f' height="{tile.height}"' if tile.height else ""  # a drawing has none of its own
        image = f'<img alt="{text(tile.alt)}" width="{tile.width}"{height} style="{style}" src="{source}">'
        is_link = tile.href and not tile.is_only_saved
        inner = element("a", image, href=tile.href, title="full size", target="_blank") if is_link else image
    if tile.is_flagged:
        inner = element("details", element("summary", "flagged by the service; open to see") + inner)
    caption = _caption(tile.caption) if tile.caption else ""
    is_text = tile.body is None and not (tile.player or tile.file_name or tile.source)
    shown = caption + inner if is_text else inner + caption  # a long text would separate its number from its beginning
    return element("figure", shown + _file_line(tile) + _panel(tile), style=place)


def folded_json(data: str) -> str:
    """Fold JSON: a short one is open, and a long one is cut, because a notebook is no place for megabytes."""
    lines = data.count("\n") + 1
    shown = data if len(data) <= _MOST_DATA else f"{data[:_MOST_DATA]}\n… {len(data) - _MOST_DATA:,} more characters"
    summary = element("summary", f"JSON, {lines} line{'' if lines == 1 else 's'}", style="cursor:pointer")
    style = "margin:0;padding:4px 0 4px 1em;white-space:pre-wrap;overflow-wrap:anywhere;max-height:30em;overflow:auto"
    is_open = " open" if lines <= _OPEN_LINES else ""
    return f"<details{is_open}>{summary}{element('pre', text(shown), style=style, tabindex='0')}</details>"


def _player(tile: Tile) -> str:
    """Return the player of a video or of audio, and the still picture that stands for it.

    The still picture is an image of its own, and the player of a video lies on top of it. So the picture is stored
    once, and is seen wherever the player is not: on a code host, which removes it, and without the file, where it is
    empty.
    """
    attributes = f'src="{text(tile.href)}" title="{text(tile.alt)}" controls'
    if tile.body is None:
        style = "display:block;width:512px;max-width:100%"
        return f'<{tile.player} {attributes} preload="metadata" style="{style}"></{tile.player}>'
    source = f"data:{tile.media_type};base64,{base64.b64encode(tile.body).decode()}"
    size = f'width="{tile.width}" height="{tile.height}"'
    image = f'<img alt="{text(tile.alt)}" {size} style="display:block;width:100%;height:auto" src="{source}">'
    width = f"width:{tile.width}px;max-width:100%"
    if tile.player == "audio":
        player = f'<audio {attributes} preload="metadata" style="display:block;width:100%"></audio>'
        return element("div", image + player, style=width)
    # Nothing is fetched before the user plays it: the picture stays, and a notebook of many videos opens quickly.
    over = "position:absolute;left:0;top:0;width:100%;height:100%"
    player = f'<video {attributes} preload="metadata" poster="{_NO_POSTER}" playsinline style="{over}"></video>'
    return element("div", image + player, style=f"position:relative;{width}")


def _file_line(tile: Tile) -> str:
    """Return the line below a file that is no image: what it is, and the links to it."""
    if not tile.file_name:
        return ""
    parts = [text(tile.words)]
    if tile.href:
        if not tile.is_only_saved:
            parts.append(element("a", "open full file", href=tile.href, target="_blank"))
        parts.append(element("a", "download", href=tile.href, download=tile.file_name))
    line = element("div", " · ".join(parts), style=f"{MUTED};font-size:85%")
    return line + (element("div", text(tile.note), style=f"{MUTED};font-size:85%") if tile.note else "")


def _panel(tile: Tile) -> str:
    """Fold away the parameters of one image: a click or Enter opens them, in a saved notebook and a page, too."""
    if not tile.facts:
        return ""
    cell = "text-align:left;padding:0 8px 0 0;vertical-align:top;overflow-wrap:anywhere"
    rows = "".join(
        element("tr", element("th", text(name), scope="row", style=f"{cell};font-weight:normal;{MUTED}")
                + element("td", text(value), style=cell))
        for name, value in tile.facts
    )  # fmt: skip
    summary = element("summary", "parameters", style=f"{MUTED};font-size:85%;cursor:pointer")
    return element("details", summary + element("table", rows, style="font-size:85%"))


def failure_line(sentence: str) -> str:
    """Write a sentence about what went wrong."""
    return element("div", text(f"✗ {sentence}"), style="color:var(--jp-error-color1,#b00020);margin-top:4px")


def _short(words: str, most: int = 80) -> str:
    one_line = " ".join(words.split())
    return one_line if len(one_line) <= most else f"{one_line[: most - 1]}…"
