"""A second provider goes through the whole engine: its service chooses ids, charges credits, and knows no safe resend."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from pathlib import Path

import pytest
from PIL import Image

from runware_nb.engine.consent import priced
from runware_nb.engine.input_lineage import hashes_of
from runware_nb.engine.job_view import render_job
from runware_nb.errors import (
    BudgetExceeded,
    FateUnknown,
    NotConfirmed,
    RunCancelled,
    TaskError,
    TaskFailed,
    TaskInvalid,
    TaskNotFound,
    TransportError,
    TransportTimeout,
)
from runware_nb.loop import background_loop
from runware_nb.net.deadlines import now
from runware_nb.providers.package import ProviderPackage
from runware_nb.runlog import RunRecord, State
from runware_nb.runlog.spending import sum_spending
from runware_nb.session import Session
from runware_nb.settings import Settings
from tests.echo_service import PRICE_CREDITS
from tests.fake_provider import FakeProvider, fake_package
from tests.integration.test_resume import command

REPO = Path(__file__).parents[2]
TASK = {"prompt": "a lighthouse", "seed": 7}


class Echo:
    """The process of the service, and what it was asked to do."""

    def __init__(self, process):
        info = json.loads(process.stdout.readline())
        self.url, self.key = info["echo_url"], info["api_key"]

    def control(self, path, body=None):
        payload = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url}/_sandbox/{path}", payload, {"Authorization": f"Bearer {self.key}"}
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.loads(response.read())

    def order(self, *faults):
        self.control("faults", list(faults))

    @property
    def charged(self):
        return self.control("ledger")["total"]["amount"]


def start_echo(folder, *options):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.echo_service", "--watch-stdin", "--state-dir", str(folder), *options],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPO,
    )  # fmt: skip


@pytest.fixture(scope="module")
def _echo(tmp_path_factory):
    process = start_echo(tmp_path_factory.mktemp("echo"), "--latency", "0.2")
    yield Echo(process)
    process.stdin.close()
    process.wait(timeout=20)
    process.stdout.close()


@pytest.fixture
def echo(_echo):
    _echo.control("reset", {})
    return _echo


@pytest.fixture
def open_session(echo, tmp_path, request):
    """Opens sessions on one log: SQLite, or PostgreSQL for the tests that ask for both."""
    sessions = []
    log_url = request.getfixturevalue("log_url") if "log_url" in request.fixturenames else None

    def build(*, can_find_lost=False, price=float(PRICE_CREDITS), pause_s=0.01, **values):
        settings = Settings(home=tmp_path / ".runware", log_url=log_url, **values)
        package = fake_package(echo.url, can_find_lost=can_find_lost, price=price, pause_s=pause_s)
        sessions.append(Session(settings, packages=[package]))
        return sessions[-1]

    yield build
    for session in sessions:
        session.close()


def submit(session, task=TASK, **options):
    return session.submit(task, service="fake", **options)


def unknown_run(session, **options):
    job = submit(session, **options)
    with pytest.raises(FateUnknown):
        job.result(20)
    return job


def test_an_accepted_task_is_followed_and_recorded_in_credits(log_url, echo, open_session):
    session = open_session()
    job = submit(session, tags="coast")
    outcome = job.result(20)
    assert str(outcome.cost) == "15 credits"
    assert outcome.cost_usd is None
    assert outcome[0].image.size == (8, 8)
    record = session.log.find(job.task_uuid)
    assert record.state is State.SUCCEEDED
    assert (record.provider, record.operation, record.cost, record.cost_unit) == ("fake", "echo", 15.0, "credits")
    assert record.remote_id.startswith("echo/task 1?é")
    assert len(record.remote_id) > 60
    assert record.cost_usd is None
    assert outcome[0].path.exists()
    assert "a lighthouse" in outcome._repr_mimebundle_()["text/html"]
    assert echo.charged == PRICE_CREDITS


def test_a_refused_task_is_not_charged_and_releases_its_reservation(echo, open_session):
    session = open_session(budget_credits=20.0)
    echo.order({"kind": "refuse", "status": 400})
    with pytest.raises(TaskError, match="A fault was ordered"):
        submit(session).result(20)
    assert submit(session).result(20).cost is not None
    assert echo.charged == PRICE_CREDITS


def test_a_task_that_fails_after_acceptance_is_not_repeated(echo, open_session):
    session = open_session()
    echo.order({"kind": "fail"})
    job = submit(session)
    with pytest.raises(TaskError, match="The service failed"):
        job.result(20)
    assert session.log.find(job.task_uuid).attempts == 1
    assert echo.charged == PRICE_CREDITS


def test_a_refusal_for_the_rate_is_followed_by_another_attempt(echo, open_session):
    session = open_session()
    echo.order({"kind": "refuse", "status": 429, "count": 2})
    job = submit(session)
    shown = []
    job.on_change(lambda: shown.append(render_job(job)["text/plain"]))
    job.result(20)
    assert session.log.find(job.task_uuid).attempts == 1  # the log counts those that may have been accepted
    assert echo.charged == PRICE_CREDITS
    waited = [text for text in shown if text.startswith("waiting to be sent again: ")]
    assert waited
    assert not shown[-1].startswith("waiting")


def refused_run(log_url, echo, open_session, **options):
    """Return a session, and its job that waits to be sent again: its service refuses the first attempt."""
    session = open_session(pause_s=600, timeout_s=3600.0)
    echo.order({"kind": "refuse", "status": 429, "count": 1})
    job = submit(session, **options)
    wait_until(lambda: job.waiting)
    return session, job


def wait_until(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_refused_run_that_waits_to_be_sent_again_counts_as_not_sent(log_url, echo, open_session):
    session, job = refused_run(log_url, echo, open_session)
    record = session.log.find(job.task_uuid)
    assert (record.state, record.attempts, record.sent_at_utc) == (State.PREPARED, 0, None)
    assert job.cancel()
    with pytest.raises(RunCancelled):
        job.result(20)
    assert session.log.find(job.task_uuid).state is State.DISCARDED
    assert echo.charged == 0


def test_a_refused_run_of_a_session_that_ends_can_be_sent_by_the_next(log_url, echo, open_session):
    session, job = refused_run(log_url, echo, open_session)
    session.close()
    after = open_session()
    (left,) = after.pending()
    assert (left.task_uuid, left.attempts) == (job.task_uuid, 0)
    again = after.engine.known.resume_run(left, sends=True)
    assert again.result(20)[0].image.size == (8, 8)
    assert echo.charged == PRICE_CREDITS


def test_another_kernel_may_send_what_waits_and_then_its_answer_is_ours_too(log_url, echo, open_session):
    session = open_session(pause_s=3.0)
    echo.order({"kind": "refuse", "status": 429, "count": 1})
    job = submit(session)
    wait_until(lambda: job.waiting)
    other = submit(open_session())
    assert other.result(20)[0].image.size == (8, 8)
    assert job.result(30)[0].image.size == (8, 8)
    assert echo.charged == PRICE_CREDITS
    assert session.log.find(job.task_uuid).state is State.SUCCEEDED


@pytest.mark.parametrize(("fault", "charged"), [("lose", PRICE_CREDITS), ("drop", 0)])
def test_a_task_of_unknown_fate_is_never_sent_again(log_url, echo, open_session, fault, charged):
    """Accepted or not: without an id nobody can tell, so neither the same request nor a new kernel sends it again."""
    session = open_session()
    echo.order({"kind": fault})
    job = unknown_run(session)
    record = session.log.find(job.task_uuid)
    assert (record.state, record.remote_id) == (State.UNKNOWN, None)
    assert [run.task_uuid for run in session.pending()] == [job.task_uuid]
    assert unknown_run(session).task_uuid == job.task_uuid
    session.close()
    again = open_session()
    assert unknown_run(again).task_uuid == job.task_uuid
    with pytest.raises(FateUnknown, match="may have been accepted and charged"):
        again.job(job.task_uuid[:8]).result(20)
    taken_up = again.engine.known.resume_run(again.log.find(job.task_uuid), sends=True)
    with pytest.raises(FateUnknown):
        taken_up.result(20)
    assert again.log.find(job.task_uuid).state is State.UNKNOWN
    assert echo.charged == charged


@pytest.mark.parametrize("status", [429, 404])
def test_a_refused_question_says_nothing_about_an_accepted_task(echo, open_session, status):
    """The task was accepted and is charged: it is neither sent again nor recorded as not sent, and can be collected."""
    session = open_session(budget_credits=20.0)
    echo.order({"kind": "deny", "on": "question", "status": status})
    job = submit(session)
    with pytest.raises(TaskError, match="A question was refused"):
        job.result(20)
    record = session.log.find(job.task_uuid)
    assert (record.state, record.attempts, record.is_finished) == (State.ACCEPTED, 1, False)
    with pytest.raises(BudgetExceeded):
        submit(session, {"prompt": "another", "seed": 1}).result(20)
    assert session.job(job.task_uuid).result(20)[0].image.size == (8, 8)
    assert echo.charged == PRICE_CREDITS


@pytest.mark.parametrize("status", [429, 404, 500])
def test_a_refused_question_after_the_deadline_says_nothing_either(echo, open_session, status):
    """The kernel goes on asking after the deadline. An error of these questions must not end a run that is charged."""
    session = open_session()
    submit(session, {"prompt": "the connection is open from here on", "seed": 1}).result(20)
    session.configure(timeout_s=1.5)
    echo.order({"kind": "slow", "seconds": 3.0})
    job = submit(session)
    with pytest.raises(TransportTimeout):
        job.result(20)
    echo.order({"kind": "deny", "on": "question", "status": status, "count": 100})
    time.sleep(3)
    assert not session.log.find(job.task_uuid).is_finished
    echo.control("faults", [])
    assert session.job(job.task_uuid).result(20)[0].image.size == (8, 8)
    assert echo.charged == 2 * PRICE_CREDITS


def test_a_refused_question_of_a_kernel_that_joined_does_not_end_the_run(echo, open_session):
    first, second = open_session(), open_session()
    echo.order({"kind": "slow", "seconds": 3.0})
    job = submit(first)
    wait_until(lambda: job.record.remote_id)
    joined = submit(second)
    echo.order({"kind": "deny", "on": "question", "status": 429, "count": 100})
    for waiting in (job, joined):
        with pytest.raises(TaskError):
            waiting.result(20)
    assert not first.log.find(job.task_uuid).is_finished
    echo.control("faults", [])
    assert first.job(job.task_uuid).result(20)[0].image.size == (8, 8)
    assert echo.charged == PRICE_CREDITS


def test_a_task_that_its_service_has_forgotten_is_unknown_and_never_lost(echo, open_session):
    """It was accepted and may be charged: the user decides."""
    session = open_session()
    name, at = str(uuid.uuid4()), "2020-01-01T00:00:00.000+00:00"
    old = RunRecord(
        task_uuid=name, attempt_uuid=name, provider="fake", task_type="echo", model=None, request={**TASK, "taskUUID": name},
        request_hash="1:0", asked_hash="1:0", created_at_utc=at, cost_unit="credits",
    )  # fmt: skip

    async def write():
        await session.log.prepare(old)
        await session.log.mark_sent(name, name, 1, at, json.dumps(old.request))
        await session.log.accepted(name, "gone", at)

    background_loop().submit(write()).result(20)
    with pytest.raises(TaskNotFound):
        session.engine.known.resume_run(session.log.find(old.task_uuid), sends=False).result(20)
    left = session.log.find(old.task_uuid)
    assert (left.state, left.is_finished) == (State.UNKNOWN, False)
    assert "gone" in left.error["message"]


def test_a_search_that_is_refused_leaves_the_fate_unknown(echo, open_session):
    session = open_session(can_find_lost=True)
    echo.order({"kind": "lose"}, {"kind": "deny", "on": "question", "status": 429})
    job = unknown_run(session)
    assert session.log.find(job.task_uuid).state is State.UNKNOWN
    assert session.job(job.task_uuid).result(20)[0].image.size == (8, 8)
    assert echo.charged == PRICE_CREDITS


def test_a_service_that_is_gone_while_a_task_is_followed_does_not_end_the_run(tmp_path):
    process = start_echo(tmp_path / "echo", "--latency", "30")
    try:
        echo = Echo(process)
        session = Session(Settings(home=tmp_path / ".runware"), packages=[fake_package(echo.url)])
        job = session.submit(TASK, service="fake")
        while job.record.remote_id is None:
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    with pytest.raises(TransportError):
        job.result(30)
    record = session.log.find(job.task_uuid)
    assert (record.state, record.is_finished) == (State.ACCEPTED, False)
    session.close()


def test_replay_goes_to_the_service_of_the_run(echo, open_session):
    from runware_nb.reproduce.replay import original_of, send_again

    session = open_session()
    job = submit(session)
    job.result(20)
    made = send_again(session, original_of(session, session.log.find(job.task_uuid)), agreed=True)
    assert made.job.record.provider == "fake"
    assert echo.charged == 2 * PRICE_CREDITS


def test_a_lost_task_is_located_where_the_service_can_be_searched(echo, open_session):
    session = open_session(can_find_lost=True)
    echo.order({"kind": "lose"})
    job = submit(session)
    assert job.result(20)[0].image.size == (8, 8)
    record = session.log.find(job.task_uuid)
    assert (record.state, record.attempts) == (State.SUCCEEDED, 1)
    assert record.remote_id is not None
    assert echo.charged == PRICE_CREDITS


def test_a_lost_task_that_the_service_does_not_list_stays_unknown(echo, open_session):
    session = open_session(can_find_lost=True)
    echo.order({"kind": "drop"})
    job = unknown_run(session)
    assert session.log.find(job.task_uuid).state is State.UNKNOWN
    assert echo.charged == 0


def test_a_task_that_turns_up_after_all_is_collected(echo, open_session):
    """A run that was recorded as unknown ends normally once the service can be searched for it."""
    session = open_session()
    echo.order({"kind": "lose"})
    job = unknown_run(session)
    session.close()
    again = open_session(can_find_lost=True)
    assert again.job(job.task_uuid).result(20)[0].image.size == (8, 8)
    assert again.log.find(job.task_uuid).state is State.SUCCEEDED
    assert echo.charged == PRICE_CREDITS


def test_a_budget_in_credits_refuses_what_it_does_not_cover(log_url, echo, open_session):
    session = open_session(budget_credits=20.0, budget_usd=1.0)
    submit(session).result(20)
    with pytest.raises(BudgetExceeded, match="15 credits, and 5 credits are left"):
        submit(session, {"prompt": "another", "seed": 1}).result(20)
    assert echo.charged == PRICE_CREDITS


def test_a_run_of_unknown_fate_keeps_its_reservation(echo, open_session):
    session = open_session(budget_credits=20.0)
    echo.order({"kind": "drop"})
    unknown_run(session)
    with pytest.raises(BudgetExceeded):
        submit(session, {"prompt": "another", "seed": 1}).result(20)


def test_an_unknown_price_is_asked_about_and_then_known_from_own_runs(echo, open_session):
    session = open_session(price=None)
    with pytest.raises(NotConfirmed, match="price of echo is unknown"):
        submit(session)
    submit(session, agreed=True).result(20)
    plan = session.plan({"prompt": "another"}, service="fake")
    assert str(plan.price) == "about 15 credits (median of 1 of your similar runs)"
    assert plan.price.usd is None


def test_a_sum_of_credits_above_the_threshold_is_asked_about(echo, open_session):
    session = open_session(ask_above_credits=20.0)
    tasks = [{"prompt": "one", "seed": 1}, {"prompt": "two", "seed": 2}]
    with pytest.raises(
        NotConfirmed, match="30 credits for these 2 tasks is above your confirmation threshold of 20 cred"
    ):
        session.submit_all(tasks, service="fake")
    assert echo.charged == 0


class Silent(FakeProvider):
    """A service that never states what a task cost."""

    async def follow(self, accepted, observer, deadline):
        outcome = await super().follow(accepted, observer, deadline)
        outcome.charged = None
        return outcome


def silent(url, price):
    build = lambda context: Silent(url, price=price)  # noqa: E731
    return ProviderPackage(name="fake", services=("fake",), build=build)


@pytest.fixture
def silent_session(echo, tmp_path):
    sessions = []

    def build(price, **values):
        settings = Settings(home=tmp_path / ".runware", **values)
        sessions.append(Session(settings, packages=[silent(echo.url, price)]))
        return sessions[-1]

    yield build
    for session in sessions:
        session.close()


def said(session, name, *words):
    answer = command(session, name, *words)
    return "\n".join([answer.bundle["text/plain"], *answer.notes])


def test_an_accepted_task_that_fails_without_a_stated_cost_counts_with_its_estimate(echo, silent_session):
    session = silent_session(15.0, budget_credits=40.0)
    echo.order({"kind": "fail", "count": 3})
    for seed in (1, 2):
        with pytest.raises(TaskFailed):
            submit(session, {**TASK, "seed": seed}).result(20)
    with pytest.raises(BudgetExceeded, match="15 credits, and 10 credits are left"):
        submit(session, {**TASK, "seed": 3}).result(20)
    assert echo.charged == 2 * PRICE_CREDITS
    with session.log.reading() as connection:
        (spent,) = sum_spending(connection, "model")
    assert (spent.runs, spent.results, spent.unknown, spent.cost, spent.unit) == (2, 0, 2, 0.0, "credits")
    command(
        session, "budget", "100", "--all", "--unit", "credits", "--service", "fake"
    )  # set later, it counts the same
    assert "budget (fake): 30 credits of 100 credits spent, 70 credits left" in said(
        session, "budget", "--service", "fake"
    )


def test_a_refused_task_without_a_stated_cost_counts_nothing(echo, silent_session):
    session = silent_session(15.0, budget_credits=20.0)
    echo.order({"kind": "refuse", "status": 400})
    with pytest.raises(TaskError):
        submit(session).result(20)
    with session.log.reading() as connection:
        (spent,) = sum_spending(connection, "model")
    assert (spent.runs, spent.unknown) == (1, 0)
    submit(session).result(20)
    assert echo.charged == PRICE_CREDITS


def test_under_a_budget_that_cannot_count_each_batch_is_asked_about(echo, silent_session):
    session = silent_session(None)
    submit(session, {**TASK, "seed": 1}, agreed=True).result(20)
    submit(session, {**TASK, "seed": 2}).result(20)  # without a budget, a yes covers the kind for the session
    command(session, "budget", "20", "--all", "--unit", "credits", "--service", "fake")
    with pytest.raises(
        NotConfirmed,
        match=r"The price of echo is unknown.*\. The budget of 20 credits cannot count this task\. "
        r"2 runs of unknown cost are not counted\. This session cannot ask",
    ):
        submit(session, {**TASK, "seed": 3})
    with pytest.raises(NotConfirmed, match="cannot count these tasks"):
        session.submit_all([{**TASK, "seed": 4}, {**TASK, "seed": 5}], service="fake")
    submit(session, {**TASK, "seed": 3}, agreed=True).result(20)
    with pytest.raises(NotConfirmed, match="3 runs of unknown cost are not counted"):  # a yes covered one batch
        submit(session, {**TASK, "seed": 4})
    plan = session.plan(TASK, service="fake")
    question = session.consent.question([priced(plan.task, plan.price, "fake")], scope=object())
    assert "3 runs of unknown cost are not counted." in question
    assert echo.charged == 3 * PRICE_CREDITS


@pytest.mark.parametrize("name", ["budget", "cost", "status"])
def test_runs_of_unknown_cost_are_never_shown_as_nothing(echo, silent_session, name):
    session = silent_session(None)
    command(session, "budget", "20", "--all", "--unit", "credits", "--service", "fake")
    submit(session, agreed=True).result(20)
    text = said(session, name, *(["--service", "fake"] if name == "budget" else []))
    assert "1 run of unknown cost is not counted" in text
    if name != "budget":  # its last line states the threshold for questions
        assert "$0" not in text
    if name == "cost":
        assert "the cost of 1 run is unknown" in text
        assert command(session, "cost").json["totals"] == {}


class Patient(FakeProvider):
    """A provider that closes after its submissions in flight have their answer."""

    def __init__(self, url):
        super().__init__(url)
        self.submitting = 0

    async def submit(self, attempt, deadline):
        self.submitting += 1
        try:
            return await super().submit(attempt, deadline)
        finally:
            self.submitting -= 1

    async def aclose(self):
        end = now() + 5
        while self.submitting and now() < end:
            await asyncio.sleep(0.01)
        await super().aclose()


def test_the_id_of_a_task_that_is_submitted_while_the_session_closes_is_written(echo, tmp_path):
    settings = Settings(home=tmp_path / ".runware")
    package = ProviderPackage(name="fake", services=("fake",), build=lambda context: Patient(echo.url))
    session = Session(settings, packages=[package])
    echo.order({"kind": "late", "seconds": 2.5})
    job = submit(session)
    provider = session.provider("fake")
    deadline = time.monotonic() + 20
    while not (provider.submitting and echo.charged):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    session.close()
    again = Session(settings, packages=[fake_package(echo.url)])
    try:
        record = again.log.find(job.task_uuid)
        assert record.remote_id.startswith("echo/task")
        assert record.state is not State.UNKNOWN
        assert str(again.job(job.task_uuid).result(20).cost) == "15 credits"
        assert echo.charged == PRICE_CREDITS
    finally:
        again.close()


def test_providers_close_at_the_same_time_and_one_that_fails_stops_no_other(tmp_path):
    closed, both = [], threading.Barrier(2)

    class Slow(FakeProvider):
        def __init__(self, name):
            super().__init__("http://127.0.0.1:9")
            self.name = name

        async def aclose(self):
            await asyncio.to_thread(both.wait, 8)  # ends only once the other one closes too
            await super().aclose()
            closed.append(self.name)
            raise RuntimeError("the connection is gone already")

    packages = [
        ProviderPackage(name=name, services=(name,), build=lambda context, name=name: Slow(name))
        for name in ("one", "two")
    ]
    session = Session(Settings(home=tmp_path / ".runware"), packages=packages)
    assert [session.provider(name).name for name in ("one", "two")] == ["one", "two"]
    session.close()
    assert sorted(closed) == ["one", "two"]


def test_sums_are_per_unit(echo, open_session):
    session = open_session()
    submit(session).result(20)
    with session.log.reading() as connection:
        sums = sum_spending(connection, "model")
    assert [(spent.cost, spent.unit) for spent in sums] == [(15.0, "credits")]


def test_the_same_request_joins_and_is_then_answered_from_the_log(echo, open_session):
    session = open_session()
    first, second = submit(session), submit(session)
    assert first.result(20)[0].path == second.result(20)[0].path
    third = submit(session)
    assert third.result(20).is_recorded
    assert "answered at 0 credits (it cost 15 credits" in " ".join(third.notices)
    assert echo.charged == PRICE_CREDITS


def test_a_kernel_that_joins_waits_for_the_id_that_another_one_is_about_to_get(log_url, echo, open_session):
    """While a living kernel waits for the response, the fate of its run is not unknown to anybody."""
    echo.order({"kind": "late", "seconds": 3.0})
    first, second = open_session(), open_session()
    job = submit(first)
    while not job.is_leaving or job.record.attempts == 0:
        time.sleep(0.01)
    joined, found = submit(second), open_session().job(job.task_uuid)
    assert joined.task_uuid == job.task_uuid
    for waiting in (job, joined, found):
        assert waiting.result(30)[0].image.size == (8, 8)
    record = second.log.find(job.task_uuid)
    assert (record.state, record.attempts) == (State.SUCCEEDED, 1)
    assert record.remote_id is not None
    assert echo.charged == PRICE_CREDITS


def test_media_under_any_name_are_uploaded_once_and_known_by_their_content(echo, open_session, tmp_path):
    session = open_session()
    image = tmp_path / "start.png"
    Image.new("RGB", (8, 8), "navy").save(image)
    first = submit(session, {**TASK, "assets": {"startFrame": image}})
    first.result(20)
    record = session.log.find(first.task_uuid)
    assert record.request["assets"]["startFrame"].startswith("fake:")
    assert record.inputs[0]["sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()
    assert hashes_of(record) == (record.request_hash, record.asked_hash)
    again = submit(session, {**TASK, "assets": {"startFrame": image.read_bytes()}})
    assert again.result(20).is_recorded
    by_name = submit(session, {**TASK, "assets": {"startFrame": record.request["assets"]["startFrame"]}})
    assert by_name.result(20).is_recorded
    assert echo.charged == PRICE_CREDITS


def test_a_result_that_another_task_is_made_from_is_its_parent(echo, open_session):
    session = open_session()
    parent = submit(session)
    child = submit(session, {"prompt": "closer", "seed": 8, "assets": {"startFrame": parent.result(20)[0]}})
    child.result(20)
    assert session.log.find(child.task_uuid).parent_uuid == parent.task_uuid


def test_replay_mode_answers_runs_of_the_provider(echo, open_session):
    session = open_session()
    session.submit({"prompt": "no seed"}, service="fake").result(20)
    session.close()
    replay = open_session(mode="replay")
    assert replay.submit({"prompt": "no seed"}, service="fake").result(20).is_recorded
    assert echo.charged == PRICE_CREDITS


def test_invalid_tasks_are_refused_before_anything_is_written(echo, open_session):
    session = open_session()
    with pytest.raises(TaskInvalid, match="Nothing was sent"):
        submit(session, {"prompt": ""})
    assert session.log.count() == 0


def test_a_deadline_does_not_end_the_task(echo, open_session):
    session = open_session()
    submit(session, {"prompt": "the connection is open from here on", "seed": 1}).result(20)
    session.configure(timeout_s=2.0)
    echo.order({"kind": "slow", "seconds": 4.0})
    job = submit(session)
    with pytest.raises(TransportTimeout):
        job.result(20)
    deadline = time.monotonic() + 20
    while session.log.find(job.task_uuid).state is not State.SUCCEEDED:
        assert time.monotonic() < deadline, session.log.find(job.task_uuid)
        time.sleep(0.05)
    assert echo.charged == 2 * PRICE_CREDITS


KILLED = """
import sys, time
from pathlib import Path
from runware_nb.session import Session
from runware_nb.settings import Settings
from tests.fake_provider import fake_package
session = Session(Settings(home=Path(sys.argv[1])), packages=[fake_package(sys.argv[2])])
jobs = [session.submit({"prompt": f"ship {n}", "seed": n}, service="fake") for n in range(6)]
while sum(job.record.remote_id is not None for job in jobs) < int(sys.argv[3]):
    time.sleep(0.005)
print("now", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("accepted", [0, 2, 6])
def test_accepted_tasks_are_collected_after_a_kill_and_the_others_are_listed(tmp_path, accepted):
    """After `SIGKILL`, what has an id is collected, what has none is listed as unknown, and nothing is sent again."""
    process = start_echo(tmp_path / "echo", "--latency", "0.4")
    try:
        echo = Echo(process)
        home = tmp_path / ".runware"
        kernel = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(home), echo.url, str(accepted)],
            stdout=subprocess.PIPE, text=True, cwd=REPO, env={**os.environ, "PYTHONPATH": str(REPO)},
        )  # fmt: skip
        assert kernel.stdout.readline() == "now\n"
        kernel.send_signal(signal.SIGKILL)
        kernel.wait()
        kernel.stdout.close()
        session = Session(Settings(home=home), packages=[fake_package(echo.url)])
        charged_before = echo.charged
        ended = {}
        for run in session.pending():
            if run.attempts == 0:
                continue
            job = session.job(run.task_uuid)
            try:
                job.result(20)
            except FateUnknown:
                ended[run.task_uuid] = State.UNKNOWN
            else:
                ended[run.task_uuid] = State.SUCCEEDED
            assert session.log.find(run.task_uuid).state is ended[run.task_uuid]
        states = list(ended.values())
        with_id = [run for run in session.log.recent(None) if run.remote_id is not None]
        assert len(with_id) >= accepted
        assert {session.log.find(run.task_uuid).state for run in with_id} <= {State.SUCCEEDED}
        assert echo.charged == charged_before  # nothing was sent a second time
        assert echo.charged >= PRICE_CREDITS * len(with_id)
        assert states.count(State.UNKNOWN) == len(
            [run for run in session.log.recent(None) if run.attempts and run.remote_id is None]
        )
        session.close()
    finally:
        process.stdin.close()
        process.wait(timeout=20)
        process.stdout.close()


def test_the_fake_is_a_provider():
    """Every member of the interface exists, so that the example in the documentation is complete."""
    from runware_nb.providers.base import Provider

    wanted = {name for name in vars(Provider) | vars(Provider.__mro__[1]) if not name.startswith("_")}
    provider = FakeProvider("http://127.0.0.1:1")
    assert not {name for name in wanted if not hasattr(provider, name)}
