"""The guide images of a run, which are shown beside its results."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.media_fields import replace_media
from ..reprs import short_repr
from ..runlog import RunRecord

__all__ = ["Guide", "guides_of"]


@short_repr()
@dataclass(frozen=True, slots=True)
class Guide:
    """A guide image.

    Attributes:
        path: Its file.
        caption: What it was used for.
    """

    path: Path
    caption: str


def guides_of(run: RunRecord, media_folder: Path) -> tuple[Guide, ...]:
    """Return the guide images of a run whose files are in the media folder.

    Args:
        run: Its request, and its media in the order in which they stand in the request.
        media_folder: The folder of the files.
    """
    entries = run.request.get("controlNet")
    if not isinstance(entries, list) or not run.inputs:
        return ()
    numbers = itertools.count()
    numbered = replace_media(run.request, lambda _: next(numbers))
    guides = []
    for entry in numbered["controlNet"]:
        number = entry.get("guideImage") if isinstance(entry, Mapping) else None
        if isinstance(number, int) and number < len(run.inputs):
            name = run.inputs[number].get("file")
            path = media_folder / name if isinstance(name, str) else None
            if path is not None and path.is_file():
                guides.append(Guide(path, _caption(entry)))
    return tuple(guides)


def _caption(entry: Mapping[str, Any]) -> str:
    weight = entry.get("weight")
    details = [str(entry.get("model", "")), "" if weight is None else f"weight {weight:g}"]
    return " · ".join(["guide image", *filter(None, details)])
