"""Plans of sweeps in the log."""

import pytest
import sqlalchemy as sa

from runware_nb.errors import RunLogError
from runware_nb.runlog import RunLog
from runware_nb.runlog.schema import sweep_points, sweeps
from runware_nb.runlog.sweeps import (
    SweepPoint,
    SweepRecord,
    SweepState,
    add_sweep,
    find_sweep,
    open_points,
    points_of,
    set_run_of_point,
    set_state_of_sweep,
)

ID = "5eeb0000-0000-4000-8000-000000000000"


@pytest.fixture
def log(tmp_path, log_url):
    made = RunLog(tmp_path / ".runware", log_url)
    yield made
    made.close()


def sweep(**changes):
    plan = {"axes": {"steps": [10, 20]}, "design": "grid", "seed": 7}
    values = {"id": ID, "plan": plan, "operation": "text-to-image", "provider": "sandbox", "created_at_utc": "2026-01-01",
              "tags": ("study",), "note": "größe", "cell_id": "c1", "execution_count": 4}  # fmt: skip
    return SweepRecord(**(values | changes))


def points(count):
    return (SweepPoint(number=n, coordinates={"steps": n}, requested_hash=f"1:{n}") for n in range(count))


def test_a_plan_reads_back_with_its_points_in_order(log):
    made = sweep()
    add_sweep(log, made, points(2500))  # more than one part
    assert made.points == 2500
    assert find_sweep(log, ID) == made
    assert find_sweep(log, "another") is None
    assert list(points_of(log, ID)) == list(points(2500))
    set_state_of_sweep(log, ID, SweepState.STOPPED)
    assert find_sweep(log, ID).state is SweepState.STOPPED


def test_points_without_a_run_are_what_is_left(log):
    add_sweep(log, sweep(), points(5))
    add_sweep(log, sweep(id="other"), points(1))
    for number in (0, 3):
        set_run_of_point(log, ID, number, f"run {number}")
    assert [point.number for point in open_points(log, ID)] == [1, 2, 4]
    assert [point.run_uuid for point in points_of(log, ID)] == ["run 0", None, None, "run 3", None]
    with log.reading() as connection:  # indexed the other way, too
        which = sa.select(sweep_points.c.number).where(sweep_points.c.run_uuid == "run 3")
        assert connection.execute(which).scalars().all() == [3]


def test_a_plan_is_written_whole_or_not_at_all(log):
    def broken():
        yield from points(1500)
        raise ValueError("the design ends")

    with pytest.raises(ValueError, match="the design ends"):
        add_sweep(log, sweep(), broken())
    with log.reading() as connection:
        counts = [
            connection.execute(sa.select(sa.func.count()).select_from(t)).scalar_one() for t in (sweeps, sweep_points)
        ]
    assert counts == [0, 0]


def test_what_does_not_exist_is_one_sentence(log):
    with pytest.raises(RunLogError, match="has no point 7"):
        set_run_of_point(log, ID, 7, "r")
    with pytest.raises(RunLogError, match="the log has no sweep 5eeb0000"):
        set_state_of_sweep(log, ID, SweepState.FINISHED)
    add_sweep(log, sweep(), points(1))
    with pytest.raises(RunLogError, match="cannot be written"):
        add_sweep(log, sweep(), points(1))
    with log.changing() as connection:
        connection.execute(sa.update(sweeps).values(plan="{"))
        connection.execute(sa.update(sweep_points).values(coordinates="{"))
    with pytest.raises(RunLogError, match="the sweep 5eeb0000 cannot be read"):
        find_sweep(log, ID)
    with pytest.raises(RunLogError, match="point 0 of the sweep 5eeb0000 cannot be read"):
        list(points_of(log, ID))
