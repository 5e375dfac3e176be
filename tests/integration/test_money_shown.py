"""Commands show each amount in its unit, and say what is known about a run whose fate is unknown."""

import pytest

from runware_nb.commands.cost import _table as cost_table
from runware_nb.core.money import Money
from runware_nb.errors import MagicUsageError, RunLogError
from runware_nb.loop import background_loop, wait
from runware_nb.reproduce.records import read_lines, write_lines
from runware_nb.runlog import ResultRecord, State
from runware_nb.runlog.spending import Spent
from tests.integration.test_resume import command
from tests.runs import run_record
from tests.unit.core.test_money import AT, budget_of, credits_run, send

UNKNOWN, DOLLARS, CREDITS = (run_record(number).task_uuid for number in (1, 2, 3))


@pytest.fixture
def session(sandbox, make_session):
    """A log with a run in dollars, one in credits, and one in credits whose fate is unknown."""
    made = make_session(sandbox)

    async def fill():
        log = await made.open_log()
        for run in (
            credits_run(1, estimate=4.0), run_record(2, request_hash="1:2"), credits_run(3, tags=("t",)),
        ):  # fmt: skip
            await send(log, run)
        error = {"code": "fateUnknown", "message": "The connection broke."}
        await log.mark_unknown(log.find(UNKNOWN), error, AT)
        for name, cost in ((DOLLARS, Money(0.02)), (CREDITS, Money(12.0, "credits"))):
            result = ResultRecord(position=0, seed=1, cost=cost.amount, raw={"id": "x"})
            await log.finish(name, State.SUCCEEDED, at_utc=AT, duration_s=1.0, cost=cost, error=None, records=[result])

    wait(background_loop().submit(fill()))
    return made


def said(answer):
    return "\n".join([answer.bundle["text/plain"], *answer.notes])


@pytest.mark.parametrize("by", ["day", "model", "cell", "notebook"])
def test_costs_in_two_units_are_two_lines_and_two_totals(session, by):
    answer = command(session, "cost", "--by", by)
    assert "$0.02 and 12 credits in all" in said(answer)
    assert [(row["cost_usd"], row["cost"], row["cost_unit"]) for row in answer.json["rows"]] == [
        (0.02, 0.02, "USD"), (None, 12.0, "credits")
    ]  # fmt: skip
    assert (answer.json["total_usd"], answer.json["totals"]) == (0.02, {"USD": 0.02, "credits": 12.0})
    assert "12.02" not in said(answer)


def test_every_view_shows_credits_as_credits(session):
    assert "2 runs · $0.02 and 12 credits" in said(command(session, "log", "--state", "succeeded"))
    assert "12 credits" in said(command(session, "show", CREDITS))
    assert "12 credits" in said(command(session, "history", CREDITS))
    assert "The cost was $0.02 and 12 credits." in said(command(session, "methods", "--state", "succeeded"))
    row = next(row for row in command(session, "log").json if row["task_uuid"] == CREDITS)
    assert (row["cost_usd"], row["cost"], row["cost_unit"], row["results"][0]["cost"]) == (None, 12.0, "credits", 12.0)


def test_records_never_write_credits_as_dollars(session):
    runs = [session.log.find(name) for name in (DOLLARS, CREDITS)]
    lines = list(write_lines(session.log, runs))
    assert '"cost_usd":0.02' in lines[1]
    assert '"cost":12.0' in lines[2]
    assert "cost_usd" not in lines[2]
    again = read_lines(lines).runs
    assert [(run.cost, run.cost_unit, run.results[0].cost, run.results[0].cost_unit) for run in again] == [
        (0.02, "USD", 0.02, "USD"), (12.0, "credits", 12.0, "credits")
    ]  # fmt: skip


def test_an_unknown_cost_is_not_shown_as_nothing():
    unknown = Spent(("gen4",), 2, 3, 0.0, 2, "credits")
    free, paid = Spent(("a",), 1, 1, 0.0, 0, "credits"), Spent(("b",), 1, 1, 12.0, 1, "credits")
    for rows, cells, total in [
        ([unknown], ["unknown"], "the cost of 2 runs is unknown"),
        ([free, unknown], ["0 credits", "unknown"], "0 credits in all; 2 runs of unknown cost are not counted"),
        ([paid], ["12 credits"], "12 credits in all; 1 run of unknown cost is not counted"),
        ([free], ["0 credits"], "0 credits in all"),
    ]:
        table = cost_table("model", rows, limit=9, is_recorded=False)
        assert ([row[3].label for row in table.rows], table.caption) == (cells, total)


def test_a_budget_in_credits_is_set_and_shown(session):
    answer = command(session, "budget", "100", "--all", "--unit", "credits", "--service", "fake")
    assert said(answer).startswith(
        "budget (fake): 12 credits of 100 credits spent, 4 credits reserved, 84 credits left"
    )
    (row,) = answer.json["budgets"]
    assert (row["limit_usd"], row["limit"], row["unit"], row["left"]) == (None, 100.0, "credits", 84.0)
    off = said(command(session, "budget", "off", "--all", "--unit", "credits", "--service", "runkey-sandbox"))
    assert "No budget limits runkey-sandbox. `budget 100 --unit credits --service runkey-sandbox` sets one." in off
    assert "This session uses runkey, and the budget of runkey-sandbox does not limit it." in off
    assert command(session, "budget", "5", "--all").json["budgets"][0]["limit_usd"] == 5.0  # dollars, service in use
    with pytest.raises(MagicUsageError, match="expected an amount in credits, such as 100"):
        command(session, "budget", "many", "--all", "--unit", "credits")


@pytest.mark.parametrize("name", ["pending", "show"])
def test_what_is_known_about_an_unknown_run_is_one_sentence(session, name):
    text = said(command(session, name, *([UNKNOWN] if name == "show" else [])))
    sentence = (
        "Run 00000001 was sent to fake at 2026-01-01 00:00 UTC and may have been accepted and charged, but no response "
        "shows whether it was (The connection broke)."
    )
    assert sentence in " ".join(text.split())
    if name == "pending":
        assert "`discard UUID --not-charged`" in text


@pytest.mark.parametrize(
    ("words", "cost", "phrase"),
    [(["--not-charged"], 0.0, "lost, not charged"), (["--charged", "3"], 3.0, "lost, charged with 3 credits")],
)
def test_the_user_ends_an_unknown_run_by_what_the_service_shows(session, words, cost, phrase):
    command(session, "budget", "100", "--all", "--unit", "credits", "--service", "fake")
    with pytest.raises(RunLogError, match="not_charged"):  # not without a decision
        command(session, "discard", UNKNOWN)
    answer = command(session, "discard", UNKNOWN, *words)
    assert phrase in said(answer)
    run = session.log.find(UNKNOWN)
    assert (run.state, run.cost, run.cost_unit, run.error["code"]) == (State.LOST, cost, "credits", "fateUnknown")
    budget = budget_of(session.log, "credits")
    assert (budget.spent, budget.reserved) == (12.0 + cost, 0.0)
    assert command(session, "pending").json == []
    with pytest.raises(MagicUsageError, match="is finished"):
        command(session, "discard", UNKNOWN, *words)


def test_a_run_that_can_be_asked_about_is_not_ended_by_a_statement(session):
    async def leave():
        await send(await session.open_log(), credits_run(4))

    wait(background_loop().submit(leave()))
    name = credits_run(4).task_uuid
    with pytest.raises(MagicUsageError, match="has the state sent: expected unknown"):
        command(session, "discard", name, "--not-charged")
    assert session.log.find(name).state is State.SENT
    for words, message in (
        (["--charged", "much"], "expected an amount in credits, such as 12"),
        (["--charged", "-1"], "expected an amount in credits"),
        (["--charged", "1", "--not-charged"], "not both"),
    ):
        with pytest.raises(MagicUsageError, match=message):
            command(session, "discard", UNKNOWN, *words)
    assert session.log.find(UNKNOWN).state is State.UNKNOWN


def test_budget_off_removes_budgets_of_either_unit_and_says_which(session):
    of_runkey = ("--service", "runkey-sandbox")
    command(session, "budget", "100", "--all", "--unit", "credits", *of_runkey)
    assert "budget (runkey-sandbox): 0 credits of 100 credits spent" in said(command(session, "budget"))
    kept = said(command(session, "budget", "off", "--notebook", "n.ipynb", *of_runkey))
    assert (
        "No budget was removed: none limits runkey-sandbox for n.ipynb. There are the budget for runkey-sandbox of "
        in kept
    )
    assert '`rw.command("budget", "off", all=True, service="runkey-sandbox")` removes it.' in kept
    kept = said(command(session, "budget", "off", "--all", "--unit", "USD", *of_runkey))
    assert "No budget was removed" in kept
    command(session, "budget", "5", "--all", *of_runkey)
    removed = said(command(session, "budget", "off", "--all", *of_runkey))
    assert removed.startswith(
        "Removed: the budget for runkey-sandbox of $5.00, the budget for runkey-sandbox of 100 credits.\n"
        "No budget limits runkey-sandbox."
    )
    assert said(command(session, "budget", "off", "--all")).startswith("No budget was removed: there is none.")
