"""Each use of a recorded answer is a row: its tags and notes count, and no money counts twice."""

import argparse

import pytest
import sqlalchemy as sa

from runware_nb.commands import show
from runware_nb.runlog.filters import RunFilter
from runware_nb.runlog.maintenance import forget_runs
from runware_nb.runlog.spending import sum_spending
from runware_nb.session import CellContext
from tests.conftest import TASK

SEEDED = {**TASK, "seed": 7}
FIRST = CellContext(
    notebook="/home/me/pilot.ipynb", cell_id="c-one", cell_source="a = 1", execution_count=3, cell_ordinal=0
)
SECOND = CellContext(notebook="/home/me/final.ipynb", cell_id="c-two", cell_source="a = 1  # final", execution_count=9,
                     cell_ordinal=0, kernel="k")  # fmt: skip


def drained(session):
    """Wait until every queued write is durable."""
    session.close()
    return session.log


def test_a_pilot_run_that_becomes_the_final_one_is_found_as_both(sandbox, make_session):
    session = make_session(sandbox)
    outcome = session.submit(SEEDED, tags=("pilot",), note="first", context=FIRST).result()
    again = session.submit(SEEDED, tags=("final", "pilot"), note="for the paper", context=SECOND)
    assert again.is_recorded
    again.result()
    log = drained(session)
    (use,) = log.uses_of([outcome.task_uuid])
    assert (use.how, use.cell_id, use.notebook, use.execution_count, use.tags, use.note, use.kernel) == (
        "recorded", "c-two", "/home/me/final.ipynb", 9, ("final", "pilot"), "for the paper", "k",
    )  # fmt: skip
    assert log.cell_source(use.cell_hash) == "a = 1  # final"
    for tags in (("final",), ("pilot",), ("final", "pilot")):
        assert [run.task_uuid for run in log.select(RunFilter(tags=tags))] == [outcome.task_uuid]
    assert log.find(outcome.task_uuid).tags == ("final", "pilot")
    with log.reading() as connection:
        spent = {row.key[-1]: (row.runs, row.cost_usd) for row in sum_spending(connection, "tag")}
    assert spent == {"pilot": (1, pytest.approx(outcome.cost_usd))}
    assert len(sandbox.charges()) == 1
    answer = show.run(session, argparse.Namespace(ref=outcome.task_uuid))
    assert "for the paper" in answer.bundle["text/plain"]
    assert "[9] final.ipynb" in answer.bundle["text/plain"]


def test_a_joined_request_is_a_use_of_the_run_in_flight(sandbox, make_session):
    session = make_session(sandbox)
    jobs = [session.submit(SEEDED, tags=(name,), context=FIRST) for name in ("one", "two", "three")]
    assert len({job.result().task_uuid for job in jobs}) == 1
    log = drained(session)
    assert sorted((use.how, use.tags) for use in log.uses_of([jobs[0].task_uuid])) == [
        ("joined", ("three",)), ("joined", ("two",)),
    ]  # fmt: skip
    assert log.find(jobs[0].task_uuid).tags == ("one", "three", "two")
    with log.reading() as connection:
        assert [row.key[-1] for row in sum_spending(connection, "tag")] == ["one"]
    assert len(sandbox.charges()) == 1


def test_replay_mode_records_its_uses_and_a_log_that_cannot_be_written_takes_no_answer_away(
    sandbox, make_session, caplog
):
    session = make_session(sandbox)
    outcome = session.submit(SEEDED, context=FIRST).result()
    session.configure(mode="replay")
    assert session.submit(SEEDED, note="seen", context=SECOND).result().task_uuid == outcome.task_uuid
    log = drained(session)
    assert [(use.how, use.note) for use in log.uses_of([outcome.task_uuid])] == [("replayed", "seen")]
    with log.changing() as connection:
        connection.execute(sa.text("DROP TABLE uses"))
    assert session.submit(SEEDED, context=SECOND).result().task_uuid == outcome.task_uuid
    session.close()
    assert caplog.records == []
    session.configure(mode="live")
    assert session.submit(SEEDED, context=SECOND).result().task_uuid == outcome.task_uuid
    session.close()
    assert "was not recorded" in caplog.text
    assert len(sandbox.charges()) == 1


def test_forgetting_a_run_forgets_its_uses_and_their_cells(sandbox, make_session):
    session = make_session(sandbox)
    outcome = session.submit(SEEDED, context=FIRST).result()
    session.submit(SEEDED, context=SECOND).result()
    other = session.submit({**SEEDED, "seed": 8}, context=FIRST).result()
    session.submit({**SEEDED, "seed": 8}, context=FIRST).result()
    log = drained(session)
    forget_runs(log, [outcome.task_uuid])
    assert log.uses_of([outcome.task_uuid]) == []
    assert log.cell_source(SECOND.cell_hash) is None
    assert log.cell_source(FIRST.cell_hash) == "a = 1"
    assert len(log.uses_of([other.task_uuid])) == 1
