"""Money: every path asks by the same rules, nothing is sent before a yes, and an unknown price is never 0."""

import functools
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runware_nb.commands import find_command
from runware_nb.commands.arguments import LineParser
from runware_nb.core.money import Money
from runware_nb.engine.consent import Consent, Priced
from runware_nb.engine.context import CellContext
from runware_nb.engine.estimates import Estimate
from runware_nb.errors import BudgetExceeded, NotConfirmed, SpendingRefused, TaskInvalid
from runware_nb.runlog import State
from runware_nb.runlog.spending import budgets_of, set_budget
from runware_nb.session.raw import send_raw
from tests.conftest import TASK
from tests.fake_front_end import FakeFrontEnd

BIG = {**TASK, "width": 1024, "height": 1024}  # $0.0038 by the price list
UNKNOWN = {**BIG, "model": "runware:106@1"}  # no price is listed


@pytest.fixture
def make_session(make_session, front_end):
    """Makes sessions whose user and cell the test plays."""
    return functools.partial(make_session, front_end=front_end)


@pytest.fixture
def answers(front_end):
    """What the user answers; every question is recorded."""

    def script(*replies):
        asked, left = [], list(replies)

        def ask(question):
            asked.append(question)
            return left.pop(0)

        front_end.asks = ask
        return asked

    return script


@pytest.fixture
def cell(front_end):
    """Makes sessions believe that a cell of a number is running."""

    def run(number, notebook="study.ipynb"):
        context = CellContext(notebook=notebook, execution_count=number, kernel="k")
        front_end.cell = lambda: context

    return run


def command(session, name, *words):
    module = find_command(name)
    parser = LineParser(name, module.SUMMARY)
    module.add_arguments(parser)
    return module.run(session, parser.read(list(words)))


# --- the sum of a cell ------------------------------------------------------------------------------


def test_a_loop_of_cheap_tasks_is_asked_about_when_its_sum_passes_the_threshold(sandbox, make_session, answers, cell):
    session = make_session(sandbox, ask_above_usd=0.01)
    cell(1)
    asked = answers(True)
    jobs = [session.submit({**BIG, "seed": seed}) for seed in range(1, 6)]  # the yes covers up to twice 0.0114
    assert len(asked) == 1
    assert "this cell has submitted so far cost about $0.0076" in asked[0]
    assert "the sum is about $0.0114, above your confirmation threshold of $0.01" in asked[0]
    asked = answers(False)
    with pytest.raises(NotConfirmed, match=r"^You answered no\. Nothing was sent\.$"):
        session.submit({**BIG, "seed": 6})
    assert "You agreed to about $0.0114 for this cell" in asked[0]
    assert "twice that amount" in asked[0]
    for job in jobs:
        job.result()
    assert len(sandbox.charges()) == 5


def test_each_cell_has_a_sum_of_its_own(sandbox, make_session, answers, cell):
    session = make_session(sandbox, ask_above_usd=0.01)
    asked = answers()
    for number in range(1, 5):
        cell(number)
        for seed in (1, 2):
            session.submit({**BIG, "seed": 10 * number + seed}).result()
    assert asked == []


def test_a_script_counts_as_one_cell_and_is_refused_where_nobody_can_be_asked(sandbox, make_session):
    session = make_session(sandbox, ask_above_usd=0.01)
    for seed in (1, 2):
        session.submit({**BIG, "seed": seed}).result()
    with pytest.raises(NotConfirmed, match=r"this process has submitted so far.*cannot ask.*Nothing was sent.*agreed"):
        session.submit({**BIG, "seed": 3})
    session.submit({**BIG, "seed": 3}, agreed=True).result()
    with pytest.raises(NotConfirmed):
        session.submit({**BIG, "seed": 4})
    assert len(sandbox.charges()) == 3


def test_a_recorded_answer_adds_nothing_to_the_sum(sandbox, make_session):
    session = make_session(sandbox, ask_above_usd=0.005)
    for _ in range(4):
        session.submit({**BIG, "seed": 1}).result()
    assert len(sandbox.charges()) == 1


def known(usd):
    return Priced("m", Estimate(Money(usd), "price list"))


class FakeSession:
    """As much of a session as the sums of a cell need: no budgets, a threshold, and a user who cannot be asked."""

    front_end = FakeFrontEnd()

    def __init__(self, threshold_usd):
        self.settings = type("Settings", (), {"ask_above_usd": threshold_usd, "service": "sandbox"})


@given(
    prices=st.lists(st.floats(0, 2), min_size=1, max_size=40), threshold=st.floats(0, 5), data=st.data()
)  # fmt: skip
def test_spending_never_doubles_without_a_question(prices, threshold, data):
    """Whatever is submitted: what was sent stays below the threshold, or below twice what was last agreed to."""
    consent, here = Consent(FakeSession(threshold)), CellContext(execution_count=1)
    sent, allowed = 0.0, threshold
    for price in prices:
        try:
            consent.require([known(price)], context=here)
        except NotConfirmed:
            if not data.draw(st.booleans()):
                continue  # the user said no
            consent.accept([known(price)], scope=here.scope)
            sent += price
            allowed = 2 * sent
        else:
            sent += price
            assert sent <= allowed + 1e-6


# --- unknown prices ---------------------------------------------------------------------------------


def test_an_unknown_price_is_asked_about_once_for_each_model_and_session(sandbox, make_session, answers):
    session = make_session(sandbox)
    with pytest.raises(NotConfirmed, match=r"price of runware:106@1 is unknown.*cannot ask.*Nothing was sent"):
        session.submit({**UNKNOWN, "seed": 1})
    assert sandbox.charges() == []
    asked = answers(True)
    for seed in (1, 2, 3):
        session.submit({**UNKNOWN, "seed": seed}).result()
    assert len(asked) == 1
    later = make_session(sandbox)  # the log knows the cost by now, also for another size
    asked = answers()
    later.submit({**UNKNOWN, "seed": 9, "width": 512}).result()
    assert asked == []
    assert later.plan(UNKNOWN).price.basis == "median of 3 of your similar runs"


def test_tasks_without_a_model_are_asked_about_too(sandbox, make_session, answers):
    session = make_session(sandbox)
    asked = answers(False)
    with pytest.raises(NotConfirmed, match="You answered no"):
        session.submit({"taskType": "promptEnhance", "prompt": "a cat"})
    (question,) = asked
    assert "price of promptEnhance is unknown" in question


def test_under_a_budget_runs_of_unknown_price_are_sent_one_at_a_time_until_one_has_a_cost(start_sandbox, make_session):
    sandbox = start_sandbox("--latency-s", "0.2")
    session = make_session(sandbox, budget_usd=0.02)
    jobs = [session.submit({**UNKNOWN, "seed": seed}, agreed=True) for seed in range(1, 30)]
    errors = [job.future.exception(timeout=60) for job in jobs]
    assert {type(error) for error in errors} == {type(None), BudgetExceeded}
    # only one was sent without knowing its price
    price = max(job.record.cost_usd or 0 for job in jobs)
    assert 0 < sandbox.ledger()["total_usd"] <= 0.02 + price


def test_a_cost_that_the_service_does_not_report_counts_with_its_estimate(sandbox, make_session):
    session = make_session(sandbox, budget_usd=0.01)
    for seed in (1, 2):
        assert send_raw(session, [{**BIG, "seed": seed}]).errors == []  # sent as it is, so without includeCost
    assert session.log.recent(1)[0].cost_usd is None
    with pytest.raises(BudgetExceeded):
        send_raw(session, [{**BIG, "seed": 3}])
    assert len(sandbox.charges()) == 2


# --- budgets ----------------------------------------------------------------------------------------


def test_a_budget_of_the_settings_ends_with_the_setting(sandbox, make_session, log_url):
    limited = make_session(sandbox, budget_usd=0.005, log_url=log_url)
    limited.submit({**BIG, "seed": 1}).result()
    with pytest.raises(BudgetExceeded, match="budget of your settings"):
        limited.submit({**BIG, "seed": 2}).result()
    free = make_session(sandbox, log_url=log_url)
    free.submit({**BIG, "seed": 2}).result()
    with free.log.reading() as connection:
        assert budgets_of(connection) == []
    # what was spent without the limit counts when there is one again
    again = make_session(sandbox, budget_usd=0.009, log_url=log_url)
    with pytest.raises(BudgetExceeded, match=r"\$0\.0014 is left"):
        again.submit({**BIG, "seed": 3}).result()


@pytest.mark.parametrize("path", ["submit", "raw", "replay", "verify", "resume"])
def test_every_path_keeps_the_budget_of_the_environment_in_a_new_folder(sandbox, tmp_path, path):
    """Each path in a process of its own, as users have it; nothing but the budget refuses it."""
    script = """
import json, sys
import runware_nb as rw
from runware_nb.errors import SpendingRefused
path, task = sys.argv[1], json.loads(sys.argv[2])
if path in {"replay", "verify"}:
    rw.connect(budget_usd=1.0)
    rw.run(task).result()
    rw.connect(budget_usd=0.0001)
try:
    if path == "submit":
        rw.run(task).result()
    elif path == "raw":
        open("task.json", "w").write(json.dumps([task] * 1))
        rw.command("raw", "task.json")
    elif path == "replay":
        rw.replay(rw.log.recent(1)[0].task_uuid, agreed=True)
    elif path == "verify":
        (checked,) = rw.verify(agreed=True)
        assert "BudgetExceeded" in checked.why_not, checked.why_not
    else:
        rw.command("resume", "--send")
        rw.run(task).result()
except SpendingRefused as error:
    print(error)
else:
    assert path == "verify"
print(len(rw.pending()))
"""
    environment = {**os.environ, **sandbox.environment, "RUNWARE_NB_BUDGET_USD": "0.0001"}
    done = subprocess.run([sys.executable, "-c", script, path, json.dumps({**BIG, "seed": 3})], env=environment,
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "0"
    assert len(sandbox.charges()) == (1 if path in {"replay", "verify"} else 0)


@pytest.mark.parametrize("agreed", [True, False])
def test_a_batch_that_a_budget_cannot_cover_is_refused_before_its_first_task(sandbox, make_session, agreed):
    session = make_session(sandbox, budget_usd=0.01)
    tasks = [{**BIG, "seed": seed} for seed in (1, 2, 3)]
    with pytest.raises(BudgetExceeded, match=r"These 3 tasks cost about \$0\.0114, and \$0\.01.* is left"):
        send_raw(session, tasks, agreed=agreed)
    assert session.log.count() == 0
    assert command(session, "resume", "--send").json == []
    assert sandbox.charges() == []


def test_a_batch_of_a_limited_notebook_is_refused_as_a_whole(sandbox, make_session, cell):
    cell(1)
    session = make_session(sandbox)
    with session.log.changing() as connection:
        set_budget(connection, "sandbox", "study.ipynb", 0.005)
    with pytest.raises(BudgetExceeded, match=r"left of the budget of study\.ipynb of \$0\.005"):
        session.submit_all([{**BIG, "seed": 1}, {**BIG, "seed": 2}])
    cell(1, "other.ipynb")
    assert len([job.result() for job in session.submit_all([{**BIG, "seed": 1}, {**BIG, "seed": 2}])]) == 2


def test_a_batch_with_an_invalid_task_sends_none(sandbox, make_session):
    session = make_session(sandbox)
    with pytest.raises(TaskInvalid):
        session.submit_all([{**BIG, "seed": 1}, {**BIG, "width": 1}])
    assert sandbox.charges() == []


# --- raw --------------------------------------------------------------------------------------------


def test_raw_asks_about_its_price_and_answers_from_the_log(sandbox, make_session, answers):
    session = make_session(sandbox, ask_above_usd=0.005)
    tasks = [{**BIG, "seed": 1}, {**BIG, "seed": 2}]
    with pytest.raises(NotConfirmed, match=r"\$0\.0076 for these 2 tasks"):
        send_raw(session, tasks)
    asked = answers(True)
    first = send_raw(session, tasks)
    again = send_raw(session, tasks)
    assert len(asked) == 1
    assert [item["taskUUID"] for item in again.items] == [item["taskUUID"] for item in first.items]
    assert len(sandbox.charges()) == 2
    assert len(send_raw(session, tasks, fresh=True, agreed=True).items) == 2
    assert len(sandbox.charges()) == 4


def test_raw_to_an_unreachable_host_costs_nothing_and_reserves_nothing(sandbox, make_session):
    session = make_session(sandbox, rest_url="http://127.0.0.1:9/v1", ws_url="ws://127.0.0.1:9/v1", max_retries=0)
    with session.log.changing() as connection:
        set_budget(connection, "sandbox", "", 1.0)
    with pytest.raises(Exception, match="cannot be reached"):
        send_raw(session, [dict(BIG)])
    (run,) = session.log.recent()
    assert (run.state, run.error["code"]) == (State.FAILED, "notSent")
    assert session.pending() == []
    with session.log.reading() as connection:
        (budget,) = budgets_of(connection)
    assert (budget.reserved_usd, budget.spent_usd) == (0, 0)


def test_raw_sends_a_task_uuid_once(sandbox, make_session):
    session = make_session(sandbox)
    task = {**BIG, "taskUUID": "3f2a9c1b-1111-4222-8333-944455556666"}
    first = send_raw(session, [task])
    assert send_raw(session, [task]).items == first.items
    with pytest.raises(TaskInvalid, match="has another request under taskUUID"):
        send_raw(session, [{**task, "positivePrompt": "another"}])
    assert len(sandbox.charges()) == 1


# --- verify, replay, resume -------------------------------------------------------------------------


def test_verify_and_replay_show_count_and_price_and_ask(sandbox, make_session, answers):
    session = make_session(sandbox)
    for seed in (1, 2):
        session.submit({**BIG, "seed": seed}).result()
    name = session.log.recent(1)[0].task_uuid
    with pytest.raises(
        NotConfirmed, match=r"Verification sends 2 runs again\. The estimated cost is \$0\.0076.*agreed=True"
    ):
        command(session, "verify")
    with pytest.raises(NotConfirmed, match=r"Replay sends run .* again, as 1 run\. The estimated cost is \$0\.0038"):
        command(session, "replay", name)
    assert len(sandbox.charges()) == 2
    asked = answers(False, True, True)
    with pytest.raises(NotConfirmed, match="You answered no"):
        command(session, "verify")
    assert command(session, "verify").json["counts"] == {"exact": 2}
    assert command(session, "replay", name).json["verdict"] == "exact"
    assert len(asked) == 3
    assert len(sandbox.charges()) == 5


def test_a_budget_for_verify_is_consent_up_to_its_amount(sandbox, make_session):
    session = make_session(sandbox)
    for seed in (1, 2):
        session.submit({**BIG, "seed": seed}).result()
    assert command(session, "verify", "--budget", "0.004").json["counts"] == {"exact": 1, "not made again": 1}
    assert len(sandbox.charges()) == 3


def test_a_run_of_unknown_cost_is_not_verified_for_nothing(sandbox, make_session):
    """An unknown price counted as $0, so that any budget covered it."""
    session = make_session(sandbox)
    send_raw(session, [{**UNKNOWN, "seed": 1}], agreed=True)  # sent as it is, so without includeCost
    assert session.log.recent(1)[0].cost_usd is None
    with pytest.raises(NotConfirmed, match="The cost is unknown"):
        command(session, "verify")
    answer = command(session, "verify", "--budget", "100").json
    assert answer["runs"][0]["why_not"] == "its price is unknown, so no budget can cover it"
    assert len(sandbox.charges()) == 1


def test_a_refusal_leaves_nothing_behind(sandbox, make_session):
    session = make_session(sandbox, ask_above_usd=0.0)
    for send in (
        lambda: session.submit(BIG), lambda: send_raw(session, [BIG]), lambda: session.submit_all([BIG, BIG]),
    ):  # fmt: skip
        with pytest.raises(SpendingRefused):
            send()
    assert (session.log.count(), len(session.jobs), sandbox.charges()) == (0, 0, [])


def test_a_budget_of_the_environment_ends_with_its_variable(sandbox, monkeypatch):
    """Also within one kernel: `del os.environ[...]` or `%env` takes effect with the next task."""
    from runware_nb import Session

    for name, value in {**sandbox.environment, "RUNWARE_NB_BUDGET_USD": "0.0001"}.items():
        monkeypatch.setenv(name, value)
    session = Session()
    try:
        with pytest.raises(BudgetExceeded, match="RUNWARE_NB_BUDGET_USD"):
            session.submit({**BIG, "seed": 1}).result()
        monkeypatch.delenv("RUNWARE_NB_BUDGET_USD")
        assert len(session.submit({**BIG, "seed": 1}).result()) == 1
        monkeypatch.setenv("RUNWARE_NB_BUDGET_USD", "0.0001")
        with pytest.raises(BudgetExceeded):
            session.submit({**BIG, "seed": 2}).result()
    finally:
        session.close()


def test_the_same_task_twice_in_a_batch_is_sent_and_priced_once(sandbox, make_session):
    session = make_session(sandbox, ask_above_usd=0.005)  # covers one of them, not two
    seeded = session.submit_all([{**BIG, "seed": 1}, {**BIG, "seed": 1}])
    assert seeded[0] is seeded[1]
    named = {**BIG, "taskUUID": "3f2a9c1b-1111-4222-8333-944455556666"}
    for jobs in (seeded, session.submit_all([named, named], as_is=True, agreed=True)):
        assert len({job.task_uuid for job in jobs}) == 1
        assert [len(job.result()) for job in jobs] == [1, 1]
    with pytest.raises(TaskInvalid, match="has another request under taskUUID"):
        session.submit_all([named, {**named, "positivePrompt": "another"}], as_is=True, agreed=True)
    assert len(sandbox.charges()) == 2
