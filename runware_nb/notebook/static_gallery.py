"""A page of small pictures as plain HTML: what a gallery is without widgets, and what stays of one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ..engine.thumbnails import picture_of
from ..present.html import element, muted, text
from ..present.table import picture_html
from ..runlog.exhibits import list_images, runs_of
from ..runlog.filters import RunFilter
from ..runlog.spending import sum_spending

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["models_in_use", "wall_of"]

_PAGE = 48
_SIDE_PX = 96


def wall_of(
    session: Session, wanted: RunFilter, *, words: str, count: int = _PAGE, is_folded: bool = False
) -> dict[str, str]:
    """Return one page of images.

    Args:
        session: Whose log.
        wanted: Which runs, and which page.
        words: A line below.
        count: How many on a page.
        is_folded: Whether a click shows them. Below a widget that shows the same, they would be seen twice.
    """
    places = list_images(session.log, dataclasses.replace(wanted, page=1))
    first = (wanted.page - 1) * count
    shown = places[first : first + count]
    found = runs_of(session.log, shown)
    tiles = []
    for uuid, position in shown:
        run = found.get(uuid)
        if run is None:
            continue  # its row is damaged, which a note states
        picture = next(
            (picture_of(session, run, each, side_px=_SIDE_PX) for each in run.results if each.position == position),
            None,
        )
        name = f"{uuid[:8]}#{position + 1}"
        inner = picture_html(picture) if picture is not None else text(run.prompt or name)
        tiles.append(
            element("figure", inner + element("figcaption", text(name), style="font-size:85%"), style="margin:0")
        )
    last = first + len(shown)
    span = (
        f"{len(places):,} images" if len(shown) == len(places) else f"{first + 1} to {last} of {len(places):,} images"
    )
    more = f"; `--page {wanted.page + 1}` shows more" if last < len(places) else ""
    grid = element("div", "".join(tiles), style="display:flex;flex-wrap:wrap;gap:8px")
    if is_folded:
        grid = element("details", element("summary", "copies for readers without a running kernel") + grid)
    line = f"{span}{more} · {words}" if words else f"{span}{more}"
    return {"text/html": element("div", grid + muted(line), class_="runware-nb"), "text/plain": line}


def models_in_use(session: Session) -> list[str]:
    """List the models that images were made with, by name."""
    with session.log.reading() as connection:
        keys = (spent.key for spent in sum_spending(connection, "model"))
        return sorted({model for (model,) in keys if model})
