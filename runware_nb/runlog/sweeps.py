"""Plans of sweeps and their points. A plan is in the log before the first of its tasks is sent."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from ..errors import RunLogError
from ..reprs import short_repr
from .schema import sweep_points, sweeps
from .store import RunLog

__all__ = [
    "SweepPoint", "SweepRecord", "SweepState", "add_sweep", "find_sweep", "open_points", "points_of",
    "set_run_of_point", "set_state_of_sweep",
]  # fmt: skip

_AT_ONCE = 1000
"""Points that are written or read at a time, so that memory does not grow with their number."""


class SweepState(enum.StrEnum):
    """State of a sweep."""

    OPEN = "open"
    """Points may be left to submit."""
    STOPPED = "stopped"
    """The user stopped it; `resume` continues with the points that are left."""
    FINISHED = "finished"
    """Each point has a run."""


@short_repr("id", "operation", "provider", "state", "points")
@dataclass(slots=True, kw_only=True)
class SweepRecord:
    """One sweep.

    Attributes:
        id: Its UUID.
        plan: Axes, design and seed: what the points can be computed from again.
        operation: Name of the operation, such as `text-to-image`.
        provider: The service that its tasks are sent to.
        created_at_utc: ISO 8601.
        points: How many points the plan has; counted when the sweep is written.
        state: Its state.
        notebook: Path of the notebook.
        cell_id: The cell, as the front end names it.
        cell_hash: Hash of the cell's source.
        execution_count: The cell's number.
        kernel: The kernel's session.
        tags: Tags.
        note: Free text.
    """

    id: str
    plan: dict[str, Any]
    operation: str
    provider: str
    created_at_utc: str
    points: int = 0
    state: SweepState = SweepState.OPEN
    notebook: str | None = None
    cell_id: str | None = None
    cell_hash: str | None = None
    execution_count: int | None = None
    kernel: str | None = None
    tags: tuple[str, ...] = ()
    note: str | None = None


@short_repr("number", "coordinates", "run_uuid")
@dataclass(slots=True, kw_only=True)
class SweepPoint:
    """One point of a sweep.

    Attributes:
        number: Its place in the plan, from 0.
        coordinates: The value of each axis by its name.
        requested_hash: Hash of the request, before a seed is picked.
        run_uuid: Task UUID of the run that answers it; None as long as there is none.
    """

    number: int
    requested_hash: str
    coordinates: dict[str, Any] = field(default_factory=dict)
    run_uuid: str | None = None


def add_sweep(log: RunLog, sweep: SweepRecord, points: Iterable[SweepPoint]) -> None:
    """Write a plan with all its points in one transaction.

    Args:
        log: The log.
        sweep: The sweep; its number of points is set.
        points: Read once, as they are written.

    Raises:
        RunLogError: It cannot be written. Then the log has no part of it.
    """
    row = {name: getattr(sweep, name) for name in _SWEEP if name not in {"plan", "tags", "state"}}
    row |= {
        "plan": json.dumps(sweep.plan), "tags": json.dumps(list(sweep.tags)) if sweep.tags else None,
        "state": sweep.state.value,
    }  # fmt: skip
    with log.changing() as connection:
        connection.execute(sa.insert(sweeps).values({**row, "points": 0}))
        count = 0
        for some in _in_parts(points):
            connection.execute(sa.insert(sweep_points), [_point_row(sweep.id, point) for point in some])
            count += len(some)
        connection.execute(sa.update(sweeps).where(sweeps.c.id == sweep.id).values(points=count))
    sweep.points = count


def find_sweep(log: RunLog, sweep_id: str) -> SweepRecord | None:
    """Return a sweep without its points; None if the log has none with this id.

    Raises:
        RunLogError: The log cannot be read, or the plan is damaged.
    """
    with log.reading() as connection:
        row = connection.execute(sa.select(sweeps).where(sweeps.c.id == sweep_id)).mappings().first()
    return None if row is None else _sweep_of(row)


def points_of(log: RunLog, sweep_id: str) -> Iterator[SweepPoint]:
    """Read the points of a sweep in their order, a thousand at a time.

    Raises:
        RunLogError: The log cannot be read, or a point is damaged.
    """
    return _read_points(log, sweep_id, sa.true())


def open_points(log: RunLog, sweep_id: str) -> Iterator[SweepPoint]:
    """Read the points of a sweep that no run answers yet, in their order, a thousand at a time.

    Raises:
        RunLogError: The log cannot be read, or a point is damaged.
    """
    return _read_points(log, sweep_id, sweep_points.c.run_uuid.is_(None))


def set_run_of_point(log: RunLog, sweep_id: str, number: int, run_uuid: str) -> None:
    """Record which run answers a point.

    Raises:
        RunLogError: The sweep has no such point, or the log cannot be written.
    """
    which = sa.and_(sweep_points.c.sweep_id == sweep_id, sweep_points.c.number == number)
    with log.changing() as connection:
        changed = connection.execute(sa.update(sweep_points).where(which).values(run_uuid=run_uuid))
        if changed.rowcount != 1:
            raise RunLogError(f"the sweep {sweep_id[:8]} has no point {number}")


def set_state_of_sweep(log: RunLog, sweep_id: str, state: SweepState) -> None:
    """Record the state of a sweep.

    Raises:
        RunLogError: The log has no such sweep, or cannot be written.
    """
    with log.changing() as connection:
        changed = connection.execute(sa.update(sweeps).where(sweeps.c.id == sweep_id).values(state=state.value))
        if changed.rowcount != 1:
            raise RunLogError(f"the log has no sweep {sweep_id[:8]}")


_SWEEP = tuple(column.name for column in sweeps.columns)


def _in_parts(points: Iterable[SweepPoint]) -> Iterator[list[SweepPoint]]:
    part: list[SweepPoint] = []
    for point in points:
        part.append(point)
        if len(part) == _AT_ONCE:
            yield part
            part = []
    if part:
        yield part


def _point_row(sweep_id: str, point: SweepPoint) -> dict[str, Any]:
    return {
        "sweep_id": sweep_id, "number": point.number, "coordinates": json.dumps(point.coordinates),
        "requested_hash": point.requested_hash, "run_uuid": point.run_uuid,
    }  # fmt: skip


def _read_points(log: RunLog, sweep_id: str, which: sa.ColumnElement[bool]) -> Iterator[SweepPoint]:
    mine = sa.select(sweep_points).where(sweep_points.c.sweep_id == sweep_id, which)
    after = -1
    while True:  # no connection is held between two parts: the reader may send a task for each point
        part = mine.where(sweep_points.c.number > after).order_by(sweep_points.c.number).limit(_AT_ONCE)
        with log.reading() as connection:
            rows = connection.execute(part).mappings().all()
        yield from (_point_of(row) for row in rows)
        if len(rows) < _AT_ONCE:
            return
        after = rows[-1]["number"]


def _sweep_of(row: RowMapping) -> SweepRecord:
    values = dict(row)
    try:
        plan, tags, state = json.loads(row["plan"]), json.loads(row["tags"] or "[]"), SweepState(row["state"])
    except (ValueError, TypeError, RecursionError) as error:
        raise RunLogError(f"the sweep {str(row['id'])[:8]} cannot be read: {error}") from error
    return SweepRecord(**{**values, "plan": plan, "tags": tuple(tags), "state": state})


def _point_of(row: RowMapping) -> SweepPoint:
    try:
        coordinates = json.loads(row["coordinates"])
    except (ValueError, TypeError, RecursionError) as error:
        raise RunLogError(
            f"point {row['number']} of the sweep {str(row['sweep_id'])[:8]} cannot be read: {error}"
        ) from error
    return SweepPoint(
        number=row["number"], requested_hash=row["requested_hash"], coordinates=coordinates, run_uuid=row["run_uuid"]
    )
