"""Results one by one, for looking through thousands of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import sqlalchemy as sa

from .filters import RunFilter
from .queries import in_chunks
from .records import RunRecord
from .schema import results, runs
from .store import RunLog

__all__ = ["SHOWN_TYPES", "Place", "list_images", "runs_of"]

Place = tuple[str, int]
"""A result: the task UUID of its run, and its position from 0."""
SHOWN_TYPES = ("image/", "video/", "audio/", "model/")
"""What the media types begin with of results that can be shown as a picture."""


def list_images(
    log: RunLog, wanted: RunFilter, *, favourites: bool = False, types: Sequence[str] = SHOWN_TYPES
) -> list[Place]:
    """List the images, videos, audio and 3D models of the runs that a filter selects, in its order.

    Args:
        log: Where to look.
        wanted: The filter; its stars count for each image, its limit is one of runs, its page does not count.
        favourites: Whether only marked ones are wanted.
        types: What their media types begin with.

    Raises:
        RunLogError: The log cannot be read.
    """
    every = dataclasses.replace(wanted, page=1)
    of_type = sa.or_(*(results.c.media_type.like(f"{start}%") for start in types))
    pictures = sa.and_(results.c.error.is_(None), of_type)
    if wanted.min_rating is not None:
        pictures = sa.and_(pictures, results.c.rating >= wanted.min_rating)
    if favourites:
        pictures = sa.and_(pictures, results.c.is_favourite == sa.literal_column("1"))
    ordered = log.statement(every).with_only_columns(runs.c.task_uuid)
    found: dict[str, list[int]] = {}
    with log.reading() as connection:
        uuids = list(connection.execute(ordered).scalars())
        for some in in_chunks(uuids):
            theirs = sa.select(results.c.run_uuid, results.c.position).where(results.c.run_uuid.in_(some), pictures)
            for uuid, position in connection.execute(theirs.order_by(results.c.position)):
                if not isinstance(position, int):
                    continue  # damaged; the run itself is listed without it
                found.setdefault(uuid, []).append(position)
    return [(uuid, position) for uuid in uuids for position in found.get(uuid, ())]


def runs_of(log: RunLog, places: Sequence[Place]) -> dict[str, RunRecord]:
    """Give the runs of results, by task UUID.

    Raises:
        RunLogError: The log cannot be read.
    """
    found: dict[str, RunRecord] = {}
    for some in in_chunks(list(dict.fromkeys(uuid for uuid, _ in places))):
        found |= {run.task_uuid: run for run in log.read(sa.select(runs).where(runs.c.task_uuid.in_(some)))}
    return found
