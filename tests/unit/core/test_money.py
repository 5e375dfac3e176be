"""Money in several units: what counts against which limit, and what the log sums up."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import runware_nb.runlog.schema as tables
from runware_nb.core.money import COST_UNITS, Money, dollars, format_amount, format_costs, format_sums, sums_by_unit
from runware_nb.errors import BudgetExceeded, RunLogError, RunNotFound
from runware_nb.runlog import ResultRecord, RunLog, State
from runware_nb.runlog.filters import RunFilter
from runware_nb.runlog.records import RunClaimed
from runware_nb.runlog.spending import (
    FROM_SETTINGS,
    budgets_in_force,
    budgets_of,
    set_budget,
    sum_spending,
    uncounted_sentence,
)
from tests.runs import run_record

AT = "2026-01-01T00:00:00.000+00:00"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def log(tmp_path, log_url):
    made = RunLog(tmp_path / ".runware", log_url)
    yield made
    made.close()


def credits_run(number, **changes):
    """A run of a service that chooses its ids and charges in credits."""
    return run_record(number, **{"provider": "fake", "cost_unit": "credits", "request_hash": f"1:{number}", **changes})


async def send(log, run, **settings):
    await log.prepare(run, **settings)
    await log.mark_sent(run.task_uuid, run.task_uuid, 1, AT, "{}")


def budget_of(log, unit, provider="fake"):
    with log.reading() as connection:
        return next(each for each in budgets_of(connection, provider) if each.unit == unit)


@pytest.mark.parametrize(
    ("amount", "unit", "text"),
    [(None, "USD", "cost unknown"), (None, "credits", "cost unknown"), (0.0, "USD", "$0.00"), (0.00123, "USD", "$0.0012"),
     (12, "credits", "12 credits"), (1, "credits", "1 credit"), (0.5, "credits", "0.5 credits"), (0, "credits", "0 credits"),
     (100.0, "credits", "100 credits"), (0.000023, "USD", "$0.000023"), (0.00004, "USD", "$0.00004"),
     (1e-12, "USD", "$0.00")],
)  # fmt: skip
def test_an_amount_is_shown_with_its_unit(amount, unit, text):
    assert format_amount(amount, unit) == text


@pytest.mark.parametrize(
    ("amounts", "text"),
    [([0.0023, None], "$0.0023 + 1 unknown"), ([None], "cost unknown"), ([], "$0.00"), ([0.01, 0.02], "$0.03")],
)
def test_a_sum_names_the_costs_that_it_does_not_contain(amounts, text):
    assert format_costs((amount, "USD") for amount in amounts) == text


def test_a_unit_that_no_service_has_is_refused():
    with pytest.raises(ValueError, match="expected one of USD, credits"):
        Money(1.0, "EUR")
    assert dollars(None) is None
    assert dollars(0.0) == Money(0.0, "USD")


@given(st.lists(st.tuples(st.none() | st.integers(0, 1000), st.sampled_from(COST_UNITS)), max_size=20))
def test_sums_never_mix_units(amounts):
    sums = sums_by_unit(amounts)
    assert list(sums) == [
        unit for unit in COST_UNITS if any(each[1] == unit and each[0] is not None for each in amounts)
    ]
    for unit, total in sums.items():
        assert total == sum(amount for amount, of_unit in amounts if of_unit == unit and amount is not None)
    assert format_sums(sums).count(" and ") == max(0, len(sums) - 1)


def test_a_budget_in_credits_refuses_and_one_in_dollars_does_not_count_credits(log, run_async):
    with log.changing() as connection:
        set_budget(connection, "fake", "", 10.0, unit="credits")
        set_budget(connection, "fake", "", 0.01)

    async def live():
        await send(log, credits_run(1, estimate=8.0), limit=Money(0.001))  # dollars do not limit credits
        with pytest.raises(BudgetExceeded) as caught:
            await log.prepare(credits_run(2, estimate=3.0))
        await log.finish(credits_run(1).task_uuid, State.SUCCEEDED, at_utc=AT, duration_s=1, cost=Money(7.0, "credits"),
                         error=None, records=[ResultRecord(position=0, cost=7.0)])  # fmt: skip
        await log.prepare(credits_run(3, estimate=3.0))
        with pytest.raises(BudgetExceeded, match=r"about \$0.02, and \$0.01 is left of the budget of \$0.01"):
            await log.prepare(run_record(4, provider="fake", estimate=0.02, request_hash="1:4"))
        return str(caught.value)

    message = run_async(live())
    assert message == (
        "This run costs about 3 credits, and 2 credits are left of the budget of 10 credits. Nothing was sent. "
        '`rw.command("budget", "11.00", all=True, unit="credits", service="fake")` raises the budget.'
    )
    in_credits, in_dollars = budget_of(log, "credits"), budget_of(log, "USD")
    assert (in_credits.spent, in_credits.reserved, in_credits.left) == (7.0, 3.0, 0.0)
    assert (in_credits.spent_usd, in_credits.left_usd) == (None, None)
    assert (in_dollars.spent, in_dollars.reserved, in_dollars.left_usd) == (0.0, 0.0, 0.01)
    run = log.find(credits_run(1).task_uuid)
    assert (run.cost, run.cost_unit, run.cost_usd, run.estimate, run.estimate_usd) == (7.0, "credits", None, 8.0, None)
    assert (run.results[0].cost, run.results[0].cost_unit, run.results[0].cost_usd) == (7.0, "credits", None)


def test_a_budget_that_is_set_later_counts_its_own_unit(log, run_async):
    async def live():
        for number, unit, cost in ((1, "credits", 5.0), (2, "USD", 0.25), (3, "credits", None)):
            await send(log, credits_run(number, cost_unit=unit, estimate=2.0))
            await log.finish(run_record(number).task_uuid, State.SUCCEEDED, at_utc=AT, duration_s=1, error=None,
                             cost=None if cost is None else Money(cost, unit))  # fmt: skip
        await send(log, credits_run(4, estimate=1.5))

    run_async(live())
    with log.changing() as connection:
        set_budget(connection, "fake", "", 100.0, unit="credits")
        set_budget(connection, "fake", "", 1.0)
    in_credits = budget_of(log, "credits")
    assert (in_credits.spent, in_credits.reserved) == (7.0, 1.5)  # the cost that was not reported counts as estimated
    assert (budget_of(log, "USD").spent, budget_of(log, "USD").reserved) == (0.25, 0.0)
    with log.changing() as connection:
        set_budget(connection, "fake", "", None)
    with log.reading() as connection:
        assert [each.unit for each in budgets_of(connection)] == ["credits"]


def test_a_run_that_ended_without_a_stated_cost_counts_by_who_chose_its_id(log, run_async):
    """Runware, which takes our id, charges nothing for a task that failed. Another service may have charged."""
    with log.changing() as connection:
        set_budget(connection, "fake", "", 100.0, unit="credits")
    error = {"code": "failed", "message": "It failed."}

    async def end():
        ends = [(State.FAILED, error), (State.FAILED, error), (State.LOST, error), (State.SUCCEEDED, None)]
        for number, (state, why) in enumerate(ends, 1):
            run = credits_run(number, estimate=10.0)
            await send(log, run)
            if number != 2:
                await log.accepted(run.task_uuid, f"task_{number}", AT)
            for _ in range(2):  # a run can end again when something arrives late; it counts once
                await log.finish(run.task_uuid, state, at_utc=AT, duration_s=1.0, cost=None, error=why)

    run_async(end())
    assert (budget_of(log, "credits").spent, budget_of(log, "credits").reserved) == (30.0, 0.0)
    with log.reading() as connection:
        (spent,) = sum_spending(connection, "model")
    assert (spent.runs, spent.unknown, spent.cost) == (4, 3, 0.0)
    with log.changing() as connection:
        set_budget(connection, "fake", "", 50.0, unit="credits")
    assert budget_of(log, "credits").spent == 30.0

    async def learn():  # the service states the cost after all
        await log.finish(
            credits_run(1).task_uuid, State.FAILED, at_utc=AT, duration_s=1.0, cost=Money(7.0, "credits"), error=error
        )

    run_async(learn())
    assert budget_of(log, "credits").spent == 27.0


def test_a_budget_states_how_many_runs_it_cannot_count(log, run_async):
    with log.changing() as connection:
        set_budget(connection, "fake", "", 100.0, unit="credits")
        set_budget(connection, "fake", "", 1.0)

    async def end():
        for number, estimate in ((1, None), (2, 10.0), (3, None), (4, None)):
            run = credits_run(number, estimate=estimate)
            await log.prepare(run)
            if number == 4:
                continue  # never sent
            await log.mark_sent(run.task_uuid, run.task_uuid, 1, AT, "{}")
            await log.accepted(run.task_uuid, f"task_{number}", AT)
            if number == 1:
                await log.finish(run.task_uuid, State.SUCCEEDED, at_utc=AT, duration_s=1.0, cost=None, error=None)

    run_async(end())
    assert (budget_of(log, "credits").uncounted, budget_of(log, "USD").uncounted) == (2, 0)
    assert [uncounted_sentence(number) for number in (0, 1, 2)] == [
        "", "1 run of unknown cost is not counted", "2 runs of unknown cost are not counted"
    ]  # fmt: skip


def test_the_limit_of_the_settings_holds_in_its_unit_only(log, run_async):
    limit = Money(4.0, "credits")
    with log.changing() as connection:
        for unit in COST_UNITS:
            set_budget(connection, "fake", FROM_SETTINGS, 0.0, unit=unit)

    async def live():
        await log.prepare(run_record(1, provider="fake", estimate=5.0), limit=limit)
        await log.prepare(credits_run(2, estimate=3.0), limit=limit)
        with pytest.raises(BudgetExceeded, match="1 credit is left of the budget of your settings"):
            await log.prepare(credits_run(3, estimate=3.0), limit=limit)

    run_async(live())
    with log.reading() as connection:
        assert [each.limit for each in budgets_in_force(connection, "fake", None, limit, unit="credits")] == [4.0]
        assert budgets_in_force(connection, "fake", None, limit) == []


def test_the_roll_up_has_one_line_for_each_unit(log, run_async):
    async def live():
        for number, (unit, cost) in enumerate([("USD", 0.5), ("credits", 12.0), ("credits", 3.0), ("credits", None)]):
            run = credits_run(number + 1, cost_unit=unit, tags=("t",))
            await send(log, run)
            await log.finish(run.task_uuid, State.SUCCEEDED, at_utc=AT, duration_s=1, error=None,
                             cost=None if cost is None else Money(cost, unit))  # fmt: skip

    run_async(live())
    for by in ("cell", "day", "model", "tag", "notebook"):
        with log.reading() as connection:
            lines = [
                (line.unit, line.runs, line.cost, line.cost_usd, line.unknown) for line in sum_spending(connection, by)
            ]
        assert lines == [("USD", 1, 0.5, 0.5, 0), ("credits", 3, 15.0, None, 1)], by
    by_cost = log.select(RunFilter(sort="cost"))
    assert [(run.cost_unit, run.cost) for run in by_cost] == [
        ("USD", 0.5), ("credits", 12.0), ("credits", 3.0), ("credits", None)
    ]  # fmt: skip


def test_the_median_of_own_runs_is_that_of_one_unit(log, run_async):
    async def live():
        for number, (unit, cost) in enumerate([("USD", 0.5), ("credits", 12.0), ("credits", 14.0)]):
            run = credits_run(number + 1, cost_unit=unit)
            await send(log, run)
            await log.finish(
                run.task_uuid, State.SUCCEEDED, at_utc=AT, duration_s=1, error=None, cost=Money(cost, unit)
            )

    run_async(live())
    task = {"taskType": "imageInference", "model": "m"}
    in_credits, in_dollars = (
        log.median_cost(task, "fake", results_of=lambda request: 1, unit=unit) for unit in ("credits", "USD")
    )
    assert (in_credits.amount, in_credits.unit, in_credits.usd, in_credits.runs) == (13.0, "credits", None, 2)
    assert (in_dollars.amount, in_dollars.usd) == (0.5, 0.5)


def test_a_cost_in_another_unit_than_the_run_is_unknown(log, run_async):
    """Credits are not written as dollars; the budget counts the estimate, as for every cost that is not reported."""
    with log.changing() as connection:
        set_budget(connection, "fake", "", 10.0, unit="credits")

    async def live():
        await send(log, credits_run(1, estimate=2.0))
        await log.finish(
            credits_run(1).task_uuid, State.SUCCEEDED, at_utc=AT, duration_s=1, cost=Money(0.5), error=None
        )

    run_async(live())
    assert log.find(credits_run(1).task_uuid).cost is None
    assert (budget_of(log, "credits").spent, budget_of(log, "credits").reserved) == (2.0, 0.0)
    with log.reading() as connection:
        assert [(line.cost, line.unknown, line.unit) for line in sum_spending(connection, "day")] == [
            (0.0, 1, "credits")
        ]


RESERVE = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from runware_nb.errors import BudgetExceeded
from runware_nb.runlog import RunLog
from tests.unit.core.test_money import credits_run

async def main():
    log = RunLog(Path(sys.argv[1]), sys.argv[2] or None)
    first = int(sys.argv[3])
    input()
    tries = [log.prepare(credits_run(first + n, estimate=1.0)) for n in range(20)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert all(answer is None or isinstance(answer, BudgetExceeded) for answer in answers), answers
    print(sum(answer is None for answer in answers))
    log.close()

asyncio.run(main())
"""


def test_two_processes_cannot_exceed_a_budget_in_credits(log, log_url, tmp_path):
    with log.changing() as connection:
        set_budget(connection, "fake", "", 15.0, unit="credits")
    arguments = [str(tmp_path / ".runware"), log_url or ""]
    writers = [
        subprocess.Popen([sys.executable, "-c", RESERVE, *arguments, str(first), str(ROOT)], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        for first in (100, 200)
    ]  # fmt: skip
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    prepared = [int(writer.communicate(timeout=60)[0]) for writer in writers]
    assert sum(prepared) == 15
    assert budget_of(log, "credits").reserved == 15.0


def test_the_id_of_a_service_is_any_text_and_finds_its_run(log, run_async):
    remote_id = "user:42-ann@example.org/" + "x" * 5000
    item = "item-" + "y" * 5000

    async def live():
        await send(log, credits_run(1))
        assert log.find(credits_run(1).task_uuid).remote_id is None
        await log.accepted(credits_run(1).task_uuid, remote_id, AT)
        await log.add_results(credits_run(1).task_uuid, [ResultRecord(position=0, item_uuid=item, received_sha256="s")])
        await log.prepare(credits_run(2))
        await log.mark_sent(credits_run(2).task_uuid, credits_run(2).task_uuid, 1, AT, "{}", remote_id="chosen by us")
        for number in (3, 4):
            await send(log, credits_run(number))
            await log.accepted(credits_run(number).task_uuid, "twice", AT)

    run_async(live())
    run = log.find(remote_id)
    assert (run.task_uuid, run.state, run.remote_id, run.state_at_utc) == (
        credits_run(1).task_uuid, State.ACCEPTED, remote_id, AT
    )  # fmt: skip
    assert run.results[0].item_uuid == item
    assert log.find_result(item_uuid=item)[0] == run.task_uuid
    assert log.find("chosen by us").task_uuid == credits_run(2).task_uuid
    for ref in ("twice", remote_id[:-1], "user:42", "a\x00b"):
        with pytest.raises(RunNotFound):
            log.find(ref)


def test_acceptance_keeps_what_the_user_decided(log, run_async):
    async def live():
        for number, state in ((1, State.DISCARDED), (2, State.DETACHED)):
            await send(log, credits_run(number))
            await log.set_state(credits_run(number).task_uuid, state)
            await log.accepted(credits_run(number).task_uuid, f"r{number}", AT)
        await log.prepare(credits_run(3))
        with pytest.raises(RunLogError):  # it never left
            await log.accepted(credits_run(3).task_uuid, "r3", AT)

    run_async(live())
    assert [log.find(f"r{number}").state for number in (1, 2)] == [State.DISCARDED, State.DETACHED]


def test_an_unknown_fate_keeps_its_reservation_until_it_is_decided(log, run_async):
    error = {"code": "fateUnknown", "message": "the connection broke"}
    with log.changing() as connection:
        set_budget(connection, "fake", "", 10.0, unit="credits")

    async def live():
        for number in (1, 2, 3):
            await send(log, credits_run(number, estimate=3.0))
        await log.set_state(credits_run(2).task_uuid, State.DISCARDED)
        for number in (1, 2, 3):
            await log.mark_unknown(log.find(credits_run(number).task_uuid), error, AT)
        with pytest.raises(BudgetExceeded):
            await log.prepare(credits_run(9, estimate=3.0))
        with pytest.raises(RunClaimed):  # it is never sent again by itself
            await log.mark_sent(credits_run(1).task_uuid, credits_run(1).task_uuid, 2, AT, "{}")
        await log.prepare(credits_run(4))
        await log.mark_unknown(log.find(credits_run(4).task_uuid), error, AT)  # what never left is not unknown
        assert log.find(credits_run(4).task_uuid).state is State.PREPARED
        with pytest.raises(RunLogError):
            await log.mark_unknown(credits_run(77), error, AT)

    run_async(live())
    run = log.find(credits_run(1).task_uuid)
    assert (run.state, run.error, run.state_at_utc, run.is_finished) == (State.UNKNOWN, error, AT, False)
    assert [each.state for each in log.pending()][:3] == [State.UNKNOWN] * 3, "also the hidden one is shown again"
    assert budget_of(log, "credits").reserved == 9.0

    async def decide():
        common = {"at_utc": AT, "duration_s": None, "error": error, "only_unknown": True}
        await log.finish(credits_run(1).task_uuid, State.LOST, cost=Money(0.0, "credits"), **common)
        await log.finish(credits_run(2).task_uuid, State.LOST, cost=Money(2.0, "credits"), **common)
        await log.accepted(credits_run(3).task_uuid, "found after all", AT)
        with pytest.raises(RunLogError, match="is known by now"):
            await log.finish(credits_run(3).task_uuid, State.LOST, cost=Money(0.0, "credits"), **common)

    run_async(decide())
    found = log.find("found after all")
    assert (found.state, found.error) == (State.ACCEPTED, None)
    assert [log.find(credits_run(number).task_uuid).cost for number in (1, 2)] == [0.0, 2.0]
    assert (budget_of(log, "credits").spent, budget_of(log, "credits").reserved) == (2.0, 3.0)
    with log.reading() as connection:
        assert [(line.unit, line.cost, line.unknown) for line in sum_spending(connection, "day")] == [
            ("credits", 2.0, 0)
        ]


def test_an_accepted_run_is_written_again_to_a_log_that_was_deleted(tmp_path):
    """The id of the service is the only way to a paid result: it must not end with a file."""
    log = RunLog(tmp_path / ".runware")

    async def live():
        await send(log, credits_run(1))
        await log.accepted(credits_run(1).task_uuid, "r1", AT)
        await send(log, credits_run(2))
        await log.mark_unknown(log.find(credits_run(2).task_uuid), {"message": "x"}, AT)
        for path in (tmp_path / ".runware").glob("runs.sqlite*"):
            path.unlink()
        await log.prepare(credits_run(3))

    asyncio.run(live())
    assert (log.find("r1").state, log.find("r1").remote_id) == (State.ACCEPTED, "r1")
    unknown = log.find(credits_run(2).task_uuid)
    assert (unknown.state, unknown.error) == (State.UNKNOWN, {"message": "x"})
    log.close()


def test_the_frozen_operations_of_the_migration_are_those_of_today():
    """The migration does not import the bindings; on the day when it was written, they were the same."""
    import importlib

    from runware_nb.providers.runware.operations import BINDINGS

    frozen = importlib.import_module("runware_nb.runlog.migrations.versions.0007_money")._OPERATIONS
    today = {name: each.operation for each in BINDINGS for name in (each.task_type, *each.older_names)}
    assert json.dumps(frozen, sort_keys=True) == json.dumps({name: today[name] for name in frozen}, sort_keys=True)
    assert tables.HEAD >= "0007"
