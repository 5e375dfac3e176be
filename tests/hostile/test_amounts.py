"""An amount is finite, not negative, bounded and not a boolean; any other value is unknown, wherever it comes from."""

import asyncio
import json
import math

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from runware_nb.core.amounts import MOST_USD, parse_amount
from runware_nb.core.money import dollars
from runware_nb.core.results import Outcome, Result
from runware_nb.errors import BudgetExceeded, ConfigError, MagicUsageError
from runware_nb.providers.runware.catalog import estimate_usd
from runware_nb.providers.runware.sse import delta_of
from runware_nb.runlog import ResultRecord, RunLog, State
from runware_nb.runlog.spending import budgets_of, set_budget, sum_spending
from runware_nb.settings import Settings
from tests.runs import run_record

IMPOSSIBLE = [
    -5,
    -1e-9,
    math.inf,
    -math.inf,
    math.nan,
    True,
    False,
    10**400,
    -(10**400),
    1e9,
    10**18,
    "0.1",
    "",
    [],
    {},
]

anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just(10**400),
    st.lists(st.integers(), max_size=2),
)  # fmt: skip


@given(anything)
def test_an_amount_is_finite_not_negative_and_bounded_or_unknown(value):
    amount = parse_amount(value)
    assert amount is None or (type(amount) is float and 0 <= amount < MOST_USD and math.copysign(1, amount) == 1)


@given(st.floats(0, MOST_USD, exclude_max=True) | st.integers(0, int(MOST_USD) - 1))
def test_every_proper_amount_is_kept(value):
    assert parse_amount(value) == value


@pytest.mark.parametrize("value", IMPOSSIBLE, ids=str)
def test_a_cost_that_is_no_amount_is_unknown_in_results_and_streams(value):
    result = Result({"cost": value}, "u")
    assert result.cost_usd is None
    assert Outcome({}, "u", [result, Result({"cost": 0.1}, "u", 1)], []).cost_usd is None
    delta = delta_of(json.dumps({"cost": value, "delta": {}}))
    assert delta.cost_usd is None


@given(st.lists(anything, min_size=1, max_size=8))
def test_a_sum_of_costs_is_an_amount_or_unknown(costs):
    total = Outcome({}, "u", [Result({"cost": cost}, "u", n) for n, cost in enumerate(costs)], []).cost_usd
    assert total is None or (math.isfinite(total) and total >= 0)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A log with a budget of $0.05 for each provider `p0`, `p1`, and so on."""
    made = RunLog(tmp_path_factory.mktemp("log"))
    with made.changing() as connection:
        for number in range(40):
            set_budget(connection, f"p{number}", "", 0.05)
    yield made
    made.close()


def budget_of(log, provider):
    with log.reading() as connection:
        return next(budget for budget in budgets_of(connection, provider) if budget.provider == provider)


@pytest.mark.parametrize(("number", "value"), list(enumerate(IMPOSSIBLE[:11])), ids=str)
def test_no_such_cost_enters_a_budget_or_a_roll_up(log, number, value):
    """A cost of -5 would let more through than the budget; infinity would fill it permanently; NaN corrupts sums."""
    run, provider = run_record(2 * number, provider=f"p{number}", estimate=0.04), f"p{number}"

    async def main():
        await log.prepare(run)
        await log.mark_sent(run.task_uuid, run.task_uuid, 1, "2026-01-01", "{}")
        results = [ResultRecord(position=0, cost=value)]
        await log.finish(run.task_uuid, State.SUCCEEDED, at_utc="2026-01-01", duration_s=1, cost=dollars(value),
                         error=None, records=results)  # fmt: skip
        with pytest.raises(BudgetExceeded):
            await log.prepare(run_record(2 * number + 1, provider=provider, estimate=0.02))

    asyncio.run(main())
    kept = log.find(run.task_uuid)
    assert kept.cost_usd is None
    assert kept.results[0].cost_usd is None
    assert budget_of(log, provider).spent_usd == pytest.approx(0.04)  # unknown: its estimate counts
    with log.reading() as connection:
        assert all(math.isfinite(spent.cost_usd) for spent in sum_spending(connection, "day"))


@pytest.mark.parametrize(("number", "value"), list(enumerate([-5, math.inf, True, 10**400], 30)), ids=str)
def test_no_such_estimate_enters_a_budget(log, number, value):
    run = run_record(100 + number, provider=f"p{number}", estimate=value)

    async def main():
        await log.prepare(run)

    asyncio.run(main())
    assert log.find(run.task_uuid).estimate_usd is None
    assert budget_of(log, f"p{number}").reserved_usd == 0


def test_a_row_with_an_impossible_cost_is_read_as_unknown(log):
    """An older version of this package stored whatever the service sent."""
    run = run_record(200, provider="p39")

    async def main():
        await log.prepare(run)

    asyncio.run(main())
    with log.changing() as connection:
        connection.execute(sa.text("UPDATE runs SET cost = 9e999 WHERE task_uuid = :name"), {"name": run.task_uuid})
    assert log.find(run.task_uuid).cost_usd is None


@pytest.mark.parametrize(
    "change", [{"numberResults": -5}, {"width": 10**400}, {"width": -1}, {"width": 10**60, "height": 10**60}], ids=str
)
def test_an_estimate_is_never_negative_or_infinite(change):
    task = {"taskType": "imageInference", "model": "runware:101@1", "width": 512, "height": 512, **change}
    estimate = estimate_usd(task)
    assert estimate is None or estimate > 0


@pytest.mark.parametrize("name", ["budget_usd", "ask_above_usd"])
@pytest.mark.parametrize("value", ["-5", "nan", "inf", True, 10**400, 1e9, "5 dollars", [5]], ids=str)
def test_a_limit_that_is_no_amount_is_one_sentence(name, value):
    with pytest.raises(ConfigError, match=f"^Invalid {name} .* expected .*") as caught:
        Settings().with_values(**{name: value})
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("text", ["-5", "nan", "inf", "1e400", "five", "1e9", ""])
def test_a_budget_that_is_no_amount_is_one_sentence(text):
    from runware_nb.commands.budget import _amount

    with pytest.raises(MagicUsageError, match=r"^Invalid budget .*: expected an amount in US dollars"):
        _amount(text)
