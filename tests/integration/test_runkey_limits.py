"""The limits of a RunKey account: our own requests never provoke a refusal, whatever this process does with a key."""

import asyncio
import os
import threading

import pytest

from runware_nb.errors import TaskFailed, TransportTimeout
from runware_nb.providers.runkey.client import RunKey
from runware_nb.providers.runkey.pace import pace_of
from runware_nb.runlog import State
from runware_nb.session import Session
from runware_nb.settings import Settings
from tests.runkey_sandbox import SCALE, Receiver, RunKeyProcess, new_clock, runkey_package

TASKS = 100


@pytest.fixture(scope="module")
def _process():
    process = RunKeyProcess("--time-scale", str(SCALE))
    yield process
    process.close()


@pytest.fixture
def runkey(_process, monkeypatch):
    _process.clear()
    _process.template("tpl_20s", output="inline", run_s=20)
    _process.set("account", {"plan": "free"})
    monkeypatch.setenv("RUNKEY_API_KEY", _process.api_key)
    return _process


SLOW_SCALE = 20


@pytest.fixture(scope="module")
def _slow_process():
    process = RunKeyProcess("--time-scale", str(SLOW_SCALE))
    yield process
    process.close()


@pytest.fixture
def slow_runkey(_slow_process):
    """A sandbox whose minute is long enough for other programs to use up the limit within it."""
    _slow_process.clear()
    _slow_process.set("account", {"plan": "free"})
    return _slow_process


@pytest.fixture
def open_session(runkey, tmp_path):
    sessions = []

    def build(clock=None, callbacks=None, **values):
        settings = Settings(home=tmp_path / ".runware").with_values(runkey_url=runkey.url, **values)
        sessions.append(Session(settings, packages=[runkey_package(clock, callbacks)]))
        return sessions[-1]

    yield build
    for session in sessions:
        session.close()


class Board:
    """Wakes those that wait for a task of which a callback has arrived at a receiver."""

    def __init__(self, receiver):
        self.receiver = receiver
        self.woken = []

    async def wait(self, service, task_id, seconds, clock):
        assert service == "runkey"
        end = clock.now() + seconds
        while clock.now() < end:
            if task_id not in self.woken and any(task_id.encode() in body for body, _ in list(self.receiver.got)):
                self.woken.append(task_id)
                return True
            await asyncio.sleep(0.001)
        return False

    def has_received(self, service):
        return bool(self.receiver.got)


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


def tasks(count=TASKS):
    return [
        {"taskType": "runkey/run", "model": "tpl_20s", "input": {"prompt": f"ship {number}", "seed": number}}
        for number in range(count)
    ]


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "behaviour",
    [{}, {"window": "sliding", "rate_headers": "never", "retry_after": "none"}, {"rate_headers": "success"}],
    ids=["fixed", "sliding-without-headers", "headers-on-success"],
)
def test_a_hundred_tasks_within_the_smallest_plan(runkey, open_session, behaviour):
    """All finish, each was sent once, and the service refused no request."""
    runkey.set("behaviour", behaviour)
    session = open_session()
    jobs = session.submit_all(tasks(), service="runkey", agreed=True)
    for job in jobs:
        job.result(150)
    runs = [session.log.find(job.task_uuid) for job in jobs]
    assert all((run.state, run.attempts) == (State.SUCCEEDED, 1) for run in runs)
    requests = runkey.read("requests")
    assert (requests["run"], requests["account"], requests["refused"]) == (TASKS, 1, 0)
    charged = [charge["task_id"] for charge in runkey.read("ledger")["charges"]]
    assert sorted(charged) == sorted(run.remote_id for run in runs)


def polls_of(runkey, session, *, count=3, **more):
    """Run tasks of 100 s, and return how many polls they took."""
    before = runkey.read("requests")["task"]
    batch = [{**task, "model": "tpl_100s", **more} for task in tasks(count)]
    for job in session.submit_all(batch, service="runkey", agreed=True, fresh=True):
        assert job.result(60)[0].structured["labels"] == ["sandbox"]
    return runkey.read("requests")["task"] - before


@pytest.mark.timeout(120)
def test_callbacks_shorten_the_wait(runkey, open_session, receiver):
    """Each of them wakes the one poll that finds the end. Without them, the first poll would come later than that."""
    runkey.set("account", {"plan": "team"})
    runkey.template("tpl_100s", output="inline", run_s=100)
    without = polls_of(runkey, open_session())
    board = Board(receiver)
    with_callbacks = polls_of(runkey, open_session(new_clock(scale=1), board), webhookURL=receiver.url)
    assert (len(board.woken), with_callbacks) == (3, 3)
    assert without > 3
    assert runkey.read("requests")["refused"] == 0


@pytest.mark.timeout(120)
def test_all_tasks_finish_although_every_callback_is_lost(runkey, open_session, receiver):
    runkey.set("faults", [{"kind": "webhook", "how": "lost", "count": None}])
    board = Board(receiver)
    session = open_session(callbacks=board, runkey_webhook_url=receiver.url)
    jobs = session.submit_all(tasks(25), service="runkey", agreed=True)
    for job in jobs:
        job.result(60)
    assert (board.woken, receiver.got, runkey.read("requests")["refused"]) == ([], [], 0)


@pytest.mark.timeout(120)
def test_a_canceled_task_is_found_although_no_callback_exists_for_it(runkey, open_session, receiver):
    runkey.template("tpl_canceled", run_s=20, scenario="cancel_running")
    session = open_session(callbacks=Board(receiver), runkey_webhook_url=receiver.url)
    job = session.submit({**tasks(1)[0], "model": "tpl_canceled"}, service="runkey", agreed=True)
    with pytest.raises(TaskFailed, match="was canceled"):
        job.result(60)


@pytest.mark.timeout(120)
def test_a_session_and_bare_clients_in_several_threads_share_the_limit(runkey, open_session):
    clock = new_clock()
    session = open_session(clock)
    jobs = session.submit_all(tasks(10), service="runkey", agreed=True)

    def read_often():
        async def use():
            async with RunKey(runkey.api_key, url=runkey.url, clock=clock, max_wait_s=1000) as client:
                for _ in range(12):
                    await client.account()

        asyncio.run(use())

    threads = [threading.Thread(target=read_often) for _ in range(3)]
    for thread in threads:
        thread.start()
    for job in jobs:
        job.result(60)
    for thread in threads:
        thread.join()
    requests = runkey.read("requests")
    assert (requests["run"], requests["refused"]) == (10, 0)
    assert requests["account"] >= 36


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")
def test_a_forked_child_counts_what_its_parent_has_sent(runkey, run_async):
    clock = new_clock(scale=1)

    async def use(count):
        async with RunKey(runkey.api_key, url=runkey.url, clock=clock, max_wait_s=0.5) as client:
            for _ in range(count):
                await client.account()

    run_async(use(27))  # a tenth of the 30 is left to submissions
    child = os.fork()
    if not child:
        try:
            asyncio.run(use(1))
        except TransportTimeout:
            os._exit(42)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 42
    assert runkey.read("requests")["account"] == 27


def test_a_wait_beyond_the_limit_of_the_caller_fails_at_once(runkey, run_async):
    async def use():
        async with RunKey(runkey.api_key, url=runkey.url, clock=new_clock(scale=1), max_wait_s=5) as client:
            for _ in range(27):
                await client.account()
            with pytest.raises(TransportTimeout, match=r"limit of 30 requests in a minute.*was not sent") as caught:
                await client.account()
            return caught.value, await client.run("tpl_20s", {})

    error, task = run_async(use())
    assert not error.may_have_arrived
    assert task.status == "queued"  # a submission may use what is left


def test_other_programs_that_use_the_account_slow_us_down(slow_runkey, run_async):
    """What the headers state as left counts, and not only what this process has sent."""
    runkey = slow_runkey
    for _ in range(26):
        runkey.call("/account")

    async def use():
        clock = new_clock(SLOW_SCALE)
        async with RunKey(runkey.api_key, url=runkey.url, clock=clock, max_wait_s=500) as client:
            await client.account()
            before = clock.now()
            await client.account()
            return clock.now() - before

    assert run_async(use()) > 10
    assert runkey.read("requests")["refused"] == 0


def test_a_limit_that_others_have_used_up_is_waited_for(slow_runkey, run_async):
    runkey = slow_runkey
    for _ in range(30):
        runkey.call("/account")

    async def use():
        async with RunKey(runkey.api_key, url=runkey.url, clock=new_clock(SLOW_SCALE), max_wait_s=500) as client:
            account = await client.account()
            return account, await client.run("tpl_image", {})

    account, task = run_async(use())
    assert (account.plan, task.status) == ("free", "queued")
    assert runkey.read("requests")["refused"] == 1


def test_the_pace_is_one_for_url_and_key():
    clock = new_clock()
    assert pace_of("https://a.example", "k" * 20, clock) is pace_of("https://a.example", "k" * 20, clock)
    assert pace_of("https://a.example", "k" * 20, clock) is not pace_of("https://b.example", "k" * 20, clock)
    assert pace_of("https://a.example", "k" * 20, clock) is not pace_of("https://a.example", "l" * 20, clock)
