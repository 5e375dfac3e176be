import asyncio
import datetime as dt
import warnings

import pytest
from sqlalchemy.dialects import sqlite

from runware_nb.commands.cost import budget_line
from runware_nb.core.money import Money, dollars
from runware_nb.errors import ArgumentInvalid, BudgetExceeded, MagicUsageError, RunLogError, RunNotFound
from runware_nb.notebook.extension import _count_unfinished
from runware_nb.providers.runware.tasks import expected_results
from runware_nb.runlog import UNFINISHED_STATES, ResultRecord, RunLog, State, TwinExists
from runware_nb.runlog.durations import _rows
from runware_nb.runlog.filters import RunFilter, parse_since
from runware_nb.runlog.maintenance import add_runs, forget_runs, rate_result, stored_files
from runware_nb.runlog.spending import Budget, budgets_of, left_clause, set_budget, sum_imported, sum_spending
from tests.runs import run_record

AT = "2026-01-01T00:00:00.000+00:00"


@pytest.fixture
def log(tmp_path, log_url):
    made = RunLog(tmp_path / ".runware", log_url)
    yield made
    made.close()


def write(log, *records, cost_usd=0.01, state=State.SUCCEEDED, results=1):
    async def live():
        for record in records:
            await log.prepare(record)
            await log.mark_sent(record.task_uuid, record.task_uuid, 1, AT, "{}")
            parts = [ResultRecord(position=n, seed=n, item_uuid=f"i{n}", file=f"{n:02x}/{record.task_uuid.replace('-', '') * 2}.jpg",
                                  received_sha256=f"{record.task_uuid}{n}", medium_state="stored")
                     for n in range(results)]  # fmt: skip
            await log.finish(record.task_uuid, state, at_utc=AT, duration_s=1.0, cost=dollars(cost_usd), error=None,
                             records=parts)  # fmt: skip

    asyncio.run(live())


def names(found):
    return [int(run.task_uuid[:8], 16) for run in found]


@pytest.fixture
def filled(log):
    write(
        log,
        run_record(1, model="a:1@1", tags=("red",), prompt="a Red airship", execution_count=3, notebook="/n/one.ipynb"),
        run_record(2, model="b:2@2", tags=("red", "big"), prompt="ein größeres Schiff 🚢", cell_id="3f2a-cell-uuid"),
        run_record(3, model="a:1@1", prompt="100% {cotton} _under", note="a note", notebook="C:\\n\\two.ipynb",
                   created_at_utc="2026-02-01T00:00:00.000+00:00"),
    )  # fmt: skip
    write(log, run_record(4, prompt="山水"), state=State.FAILED, results=0)
    return log


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [4, 3, 2, 1]), ({"sort": "oldest"}, [1, 2, 3, 4]), ({"limit": 2}, [4, 3]), ({"limit": 2, "page": 2}, [2, 1]),
        ({"model": "a:1@1"}, [3, 1]), ({"tags": ("red",)}, [2, 1]), ({"tags": ("red", "big")}, [2]), ({"tags": ("re",)}, []),
        ({"tags": ("red",), "sort": "oldest"}, [1, 2]), ({"state": "failed"}, [4]), ({"cell": "3"}, [1]),
        ({"cell": "[3]"}, [1]), ({"cell": "3f2a"}, [2]), ({"cell": "3f2a-cell-uuid"}, [2]), ({"notebook": "one.ipynb"}, [1]),
        ({"notebook": "/n/one.ipynb"}, [1]), ({"notebook": "ne.ipynb"}, []), ({"notebook": "%.ipynb"}, []),
        ({"since": "2026-01-15T00:00:00.000+00:00"}, [3]), ({"until": "2026-01-15"}, [4, 2, 1]),
        ({"search": "red"}, [1]), ({"search": "RED air"}, [1]), ({"search": "air red"}, [1]), ({"search": "irsh"}, [1]),
        ({"search": "größe"}, [2]), ({"search": "🚢"}, [2]), ({"search": "100%"}, [3]), ({"search": "%"}, [3]),
        ({"search": "{cotton}"}, [3]), ({"search": "_u"}, [3]), ({"search": 'no"quote'}, []), ({"search": "note"}, [3]),
        ({"search": "山"}, [4]), ({"search": "山水"}, [4]), ({"search": "a:1 OR b"}, []), ({"search": "'; DROP TABLE runs"}, []),
        ({"search": "airship", "model": "a:1@1", "tags": ("red",)}, [1]), ({"provider": "nobody"}, []),
        ({"search": "airship", "since": "2025-01-01"}, [1]), ({"is_imported": True}, []), ({"sort": "cost"}, [4, 3, 2, 1]),
        ({"sort": "time", "tags": ("red",)}, [2, 1]), ({"state": "discarded"}, []),
    ],
)  # fmt: skip
def test_each_filter_finds_its_runs(filled, wanted, found):
    assert names(filled.select(RunFilter(**wanted))) == found


def test_the_cost_of_a_failed_run_counts_too(filled):
    with filled.reading() as connection:
        (day, later) = sum_spending(connection, "day")
        by_model = sum_spending(connection, "model")
        by_tag = {each.key: (each.runs, round(each.cost_usd, 4)) for each in sum_spending(connection, "tag")}
        cells = {each.key for each in sum_spending(connection, "cell")}
    assert (day.key, day.runs, day.results, round(day.cost_usd, 4)) == (("2026-01-01",), 3, 2, 0.03)
    assert later.key == ("2026-02-01",)
    assert [each.key for each in by_model] == [("a:1@1",), ("b:2@2",), ("m",)]
    assert by_tag == {("red",): (2, 0.02), ("big",): (1, 0.01)}
    assert ("/n/one.ipynb", "In [3]") in cells
    assert ("", "3f2a-cell-uuid") in cells


def test_finishing_twice_counts_once_and_a_later_cost_is_added(log, run_async):
    record = run_record(tags=("t",))
    write(log, record, cost_usd=None)
    write_again = {"at_utc": "t3", "duration_s": 1.0, "error": None}

    async def again():
        await log.finish(record.task_uuid, State.SUCCEEDED, cost=Money(0.5), **write_again)
        await log.finish(record.task_uuid, State.SUCCEEDED, cost=Money(0.5), **write_again)

    with log.reading() as connection:
        assert sum_spending(connection, "day")[0].unknown == 1
    run_async(again())
    with log.reading() as connection:
        for by in ("day", "tag"):
            (found,) = sum_spending(connection, by)
            assert (found.runs, found.results, found.cost_usd) == (1, 1, 0.5)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"limit": 0}, "Invalid limit 0"), ({"page": 0}, "Invalid page 0"), ({"sort": "luck"}, "newest, oldest"), ({"min_rating": 6}, "1 to 5"),
        ({"state": "lost?"}, "succeeded"), ({"search": " "}, "a word of a prompt"), ({"cell": "ab"}, "4 characters"),
    ],
)  # fmt: skip
def test_a_filter_that_makes_no_sense_is_one_sentence(log, wanted, sentence):
    with pytest.raises(MagicUsageError, match=sentence):
        log.select(RunFilter(**wanted))


def test_lists_have_no_hidden_limit_and_leave_re_runs_out(log):
    write(log, *(run_record(number) for number in range(1, 31)))
    write(log, *(run_record(number, replay_of=run_record(1).task_uuid) for number in range(31, 61)))
    assert names(log.select(RunFilter())) == list(range(30, 0, -1))
    assert names(log.recent(None)) == list(range(30, 0, -1))
    assert names(log.recent()) == list(range(30, 10, -1))
    assert len(log.select(RunFilter(with_replays=True))) == 60
    assert log.count_matching(RunFilter(limit=20, page=2), at_most=100) == 30
    assert log.count_matching(RunFilter(with_replays=True, search="größe", sort="cost"), at_most=10) == 11
    with pytest.raises(MagicUsageError, match="Invalid page 2: expected 1 where there is no limit"):
        log.select(RunFilter(page=2))


def test_what_imported_runs_cost_is_summed_apart(log):
    theirs = [run_record(number, state=State.SUCCEEDED, finished_at_utc=AT, cost=cost, tags=("t",), cell_id=cell,
                         execution_count=3, notebook="n.ipynb")
              for number, cost, cell in ((1, 0.5, "cell"), (2, 0.25, None), (3, None, "cell"))]  # fmt: skip
    for run in theirs:
        run.results = [ResultRecord(position=0)]
    write(log, run_record(9))
    add_runs(log, theirs, sources={}, snapshots={})
    with log.reading() as connection:
        for by in ("day", "model", "tag", "notebook"):
            (row,) = sum_imported(connection, by)
            assert (row.runs, row.results, row.cost_usd, row.unknown) == (3, 3, 0.75, 1)
        cells = {row.key: row.cost_usd for row in sum_imported(connection, "cell")}
        assert cells == {("n.ipynb", "cell"): 0.5, ("n.ipynb", "In [3]"): 0.25}
        assert sum_imported(connection, "day", since="2099-01-01") == []
        assert sum_imported(connection, "day", provider="nobody") == []


def test_points_in_time_are_read_as_people_write_them():
    now = dt.datetime(2026, 11, 22, 15, 30, tzinfo=dt.UTC)
    assert parse_since("7d", now=now) == "2026-11-15T15:30:00.000+00:00"
    assert parse_since("90 m", now=now) == "2026-11-22T14:00:00.000+00:00"
    assert parse_since("today", now=now) == "2026-11-22T00:00:00.000+00:00"
    assert parse_since("Yesterday", now=now) == "2026-11-21T00:00:00.000+00:00"
    assert parse_since("2026-11-01T12:00:00+02:00") == "2026-11-01T10:00:00.000+00:00"
    for nonsense in ("tomorrowish", "", "99999999999w", "2026-13-01", "-3d"):
        with pytest.raises(ArgumentInvalid, match="expected a time"):
            parse_since(nonsense, now=now)


def test_stars_are_rows_and_find_runs_again(filled):
    first = run_record(1).task_uuid
    rate_result(filled, first, 0, 4)
    assert names(filled.select(RunFilter(min_rating=4))) == [1]
    assert filled.select(RunFilter(min_rating=5)) == []
    assert filled.find(first).results[0].rating == 4
    rate_result(filled, first, None, None)
    assert filled.select(RunFilter(min_rating=1)) == []
    assert names(filled.select(RunFilter(sort="rating", limit=1))) == [4]
    for run, position in ((first, 7), (run_record(4).task_uuid, None)):
        with pytest.raises(RunNotFound, match="to rate"):
            rate_result(filled, run, position, 3)


def test_an_unfinished_twin_is_kept_out_by_the_database(log, run_async):
    async def live():
        await log.prepare(run_record(1, is_joinable=True))
        with pytest.raises(TwinExists):
            await log.prepare(run_record(2, is_joinable=True))
        await log.prepare(run_record(3))  # one that may not be joined stands apart
        await log.mark_sent(run_record(1).task_uuid, run_record(1).task_uuid, 1, AT, "{}")
        await log.set_state(run_record(1).task_uuid, State.DISCARDED)
        await log.prepare(run_record(4, is_joinable=True))
        await log.finish(run_record(4).task_uuid, State.FAILED, at_utc=AT, duration_s=0, cost=None, error=None)
        await log.prepare(run_record(5, is_joinable=True))

    run_async(live())
    assert log.find_twin("1:r").task_uuid == run_record(5).task_uuid


def test_two_twins_in_one_commit_leave_one(log, run_async):
    async def live():
        both = [log.prepare(run_record(n, is_joinable=True)) for n in (1, 2)]
        both.append(log.mark_sent(run_record(2).task_uuid, run_record(2).task_uuid, 1, AT, "{}"))
        return await asyncio.gather(*both, return_exceptions=True)

    first, second, claim = run_async(live())
    assert first is None
    assert isinstance(second, TwinExists)
    assert isinstance(claim, RunLogError)
    assert log.count() == 1


def test_a_budget_is_reserved_spent_and_freed(log, run_async):
    with log.changing() as connection:
        set_budget(connection, "sandbox", "", 1.0)
        set_budget(connection, "sandbox", "n.ipynb", 0.25)

    async def live():
        here = {"estimate": 0.2, "notebook": "n.ipynb"}
        await log.prepare(run_record(1, **here))
        with pytest.raises(BudgetExceeded, match=r"about \$0.2, and \$0.05 is left of the budget of n.ipynb of \$0.25"):
            await log.prepare(run_record(2, **here))
        await log.prepare(run_record(3, estimate=0.7, notebook="other.ipynb"))
        with pytest.raises(BudgetExceeded, match=r"left of the budget of \$1"):
            await log.prepare(run_record(4, estimate=0.2))
        await log.prepare(run_record(5, estimate=50.0, provider="elsewhere"))
        await log.mark_sent(run_record(1).task_uuid, run_record(1).task_uuid, 1, AT, "{}")
        for _ in range(2):  # twice is once
            await log.finish(
                run_record(1).task_uuid, State.SUCCEEDED, at_utc=AT, duration_s=1, cost=Money(0.1), error=None
            )
        await log.drop_unsent(run_record(3).task_uuid, AT)
        await log.drop_unsent(run_record(3).task_uuid, AT)
        await log.prepare(run_record(6, estimate=0.15, notebook="n.ipynb"))

    run_async(live())
    with log.reading() as connection:
        whole, notebook = budgets_of(connection, "sandbox")
    assert (round(whole.spent_usd, 6), round(whole.reserved_usd, 6)) == (0.1, 0.15)
    assert (round(notebook.spent_usd, 6), round(notebook.reserved_usd, 6), round(notebook.left_usd, 6)) == (
        0.1,
        0.15,
        0.0,
    )
    assert log.find(run_record(3).task_uuid).is_finished
    with log.changing() as connection:
        set_budget(connection, "sandbox", "", 2.0)  # set anew, it knows what was spent and is on its way
    with log.reading() as connection:
        assert budgets_of(connection, "sandbox")[0].left_usd == pytest.approx(2.0 - 0.1 - 0.15)


def test_budgets_hold_where_many_reserve_at_once(log, run_async):
    with log.changing() as connection:
        set_budget(connection, "sandbox", "", 1.0)

    async def live():
        tries = [log.prepare(run_record(n, estimate=0.1)) for n in range(1, 31)]
        return await asyncio.gather(*tries, return_exceptions=True)

    answers = run_async(live())
    assert sum(answer is None for answer in answers) == 10
    assert sum(isinstance(answer, BudgetExceeded) for answer in answers) == 20
    assert log.count() == 10


def test_forgetting_takes_runs_files_and_nothing_else(filled):
    kept = filled.find(run_record(2).task_uuid)
    shared = kept.results[0].file
    left = forget_runs(filled, [run_record(1).task_uuid, run_record(3).task_uuid])
    assert len(left) == 2
    assert shared not in left
    assert names(filled.select(RunFilter())) == [4, 2]
    assert filled.select(RunFilter(search="airship")) == []
    assert names(filled.select(RunFilter(tags=("red",)))) == [2]
    with filled.reading() as connection:
        assert stored_files(connection) == {shared}
        assert sum(each.cost_usd for each in sum_spending(connection, "day")) == pytest.approx(0.04)  # it was spent


def test_a_forgotten_run_leaves_the_whole_name_of_an_imported_file(log):
    """Files of others have a folder of their own: without it, the name of a file of one's own would be left."""
    write(log, run_record(1))
    name = f"imported/ab/{'ab' * 32}.jpg"
    with log.changing() as connection:
        connection.exec_driver_sql(f"UPDATE results SET file = '{name}'")
        assert stored_files(connection) == {name}
    assert forget_runs(log, [run_record(1).task_uuid]) == [name]


def test_the_text_of_a_cell_goes_with_its_last_run_and_comes_back_with_the_next(log, run_async):
    cell = "c" * 64

    async def live(number):
        await log.prepare(run_record(number, cell_hash=cell), cell_source="%%runware\nsomething private")
        await log.finish(run_record(number).task_uuid, State.FAILED, at_utc=AT, duration_s=0, cost=None, error=None)

    run_async(live(1))
    run_async(live(2))
    forget_runs(log, [run_record(1).task_uuid])
    assert "private" in log.cell_source(cell)
    forget_runs(log, [run_record(2).task_uuid])
    assert log.cell_source(cell) is None
    run_async(live(3))
    assert "private" in log.cell_source(cell)


@pytest.mark.parametrize("number", ["4", None, -1, True, [2]])
def test_an_odd_number_of_results_is_no_reason_to_fail(log, number):
    write(log, run_record(1, model="a:1@1", request={"numberResults": number}), cost_usd=0.5)
    own = log.median_cost({"model": "a:1@1", "taskType": "imageInference", "numberResults": number}, "sandbox",
                          results_of=expected_results)  # fmt: skip
    assert (own.usd, own.runs, own.is_similar) == (0.5, 1, True)


def test_an_unfinished_run_is_not_forgotten(log, run_async):
    async def live():
        await log.prepare(run_record(1))

    run_async(live())
    with pytest.raises(RunLogError, match="may have been charged"):
        forget_runs(log, [run_record(1).task_uuid])
    assert log.count() == 1


def test_runs_of_others_are_added_once_and_never_counted(filled):
    theirs = run_record(9, prompt="theirs", tags=("x", "x"), cell_hash="c" * 64, state=State.SUCCEEDED,
                        finished_at_utc=AT, cost=5.0)  # fmt: skip
    theirs.results = [ResultRecord(position=0, rating=5)]
    theirs.best_rating = 5
    mine = run_record(1, prompt="not what I wrote", state=State.SUCCEEDED, finished_at_utc=AT)
    merged = add_runs(filled, [theirs, mine], sources={"c" * 64: "source"}, snapshots={})
    assert (merged.added, merged.known) == ([theirs.task_uuid], 1)
    assert filled.find(mine.task_uuid).prompt == "a Red airship"
    assert names(filled.select(RunFilter(is_imported=True))) == [9]
    assert filled.cell_source("c" * 64) == "source"
    assert filled.find_recorded("1:r").task_uuid != theirs.task_uuid
    with filled.reading() as connection:
        assert all(each.cost_usd < 1 for each in sum_spending(connection, "day"))
    assert names(filled.select(RunFilter(min_rating=5, search="theirs"))) == [9]


def test_what_no_database_can_hold_is_still_written(log):
    odd = "a\x00b \ud800 c"
    write(log, run_record(1, prompt=odd, note=odd, request={"positivePrompt": odd, "taskUUID": "x"}))
    record = ResultRecord(position=0, seed=2**70, item_uuid="x" * 100, raw={"seed": 2**70})

    async def live():
        await log.add_results(run_record(1).task_uuid, [record])

    asyncio.run(live())
    found = log.find(run_record(1).task_uuid)
    assert found.results[0].raw == {"seed": 2**70}
    assert found.results[0].seed is None
    assert "a" in found.prompt


def test_no_filter_says_anything_to_the_user(filled):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filled.select(RunFilter(notebook="one.ipynb", search="red", tags=("red",), since="2020-01-01"))


@pytest.mark.parametrize("state", list(State))
def test_the_line_of_load_ext_counts_what_is_unfinished(tmp_path, state):
    """It reads the file without this package's own queries, so a new state has to be named there too."""
    log = RunLog(tmp_path)
    write(log, run_record(1))
    with log.changing() as connection:
        connection.exec_driver_sql(f"UPDATE runs SET state = '{state}'")
        connection.commit()
    log.close()
    counted = {run_record(1).provider: 1} if state in UNFINISHED_STATES else {}
    assert _count_unfinished(tmp_path / "runs.sqlite") == counted


def test_what_is_left_of_a_budget_is_worded_by_its_number():
    assert left_clause("the budget", "2 credits", "10 credits") == "2 credits are left of the budget of 10 credits"
    assert left_clause("the budget", "1 credit", "10 credits") == "1 credit is left of the budget of 10 credits"
    assert left_clause("the budget", "$0.05", "$1") == "$0.05 is left of the budget of $1"
    assert left_clause("the budget", "0 credits", "0 credits") == "the budget is 0 credits"
    spent = Budget("runkey", "", 0.0, 105.0, 0.0, "credits")
    assert budget_line(spent) == "budget (runkey): 0 credits, so nothing more is sent; 105 credits spent"


@pytest.mark.parametrize("model", ["a:1@1", None])
def test_the_durations_of_a_model_are_found_by_its_index(tmp_path, model):
    """Each plan asks for them: neither the runs of other models nor all of this one are read.

    It is about SQLite, whose plans are stable; PostgreSQL chooses by the number of rows.
    """
    log = RunLog(tmp_path / ".runware")
    query = _rows(model, "imageInference", "sandbox")
    written = str(query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    with log.reading() as connection:
        steps = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {written}")]
    log.close()
    assert any("USING INDEX ix_runs_model (model=?)" in step for step in steps), steps
    assert not any("ix_runs_state" in step for step in steps), steps
