"""Galleries in a cell: the widget where it can be, a page of pictures everywhere."""

from __future__ import annotations

from typing import Any

from ..runlog.filters import RunFilter
from ..session import current_session, log
from .display import show_bundle, show_widget
from .static_gallery import wall_of

__all__ = ["gallery", "open_gallery"]

_KEPT = 12


def gallery(**filters: Any) -> None:
    """Show the images of the log: search, stars, favourites, side by side, parameters used again.

    Args:
        **filters: To begin with, as `rw.log.select` takes them.

    Raises:
        MagicUsageError: A filter makes no sense.
    """
    open_gallery(log.filter_of(**filters))


def open_gallery(wanted: RunFilter) -> None:
    """Show it in the running cell; what is seen without widgets stays below."""
    session = current_session()
    try:
        from .canvas.gallery import Gallery
    except ImportError:
        show_bundle(
            wall_of(session, wanted, words="pip install 'runware-nb[canvas]' makes this a gallery to search in")
        )
        return
    show_widget(Gallery(session, wanted), "[gallery: run the cell to search in it]")
    words = "run the cell again to search among them"
    show_bundle(wall_of(session, wanted, words=words, count=_KEPT, is_folded=True))
