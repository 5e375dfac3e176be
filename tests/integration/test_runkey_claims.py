"""Between the claim of a RunKey attempt in the log and its first byte nothing waits, and closing keeps its id."""

import asyncio
import http.server
import json
import threading
import time
from dataclasses import replace

import pytest

from runware_nb.errors import RateLimited
from runware_nb.net.clock import Clock
from runware_nb.net.deadlines import now
from runware_nb.providers.runkey.pace import pace_of
from runware_nb.providers.runkey.package import PACKAGE
from runware_nb.providers.runkey.protocol import RateHeaders
from runware_nb.providers.runkey.provider import RunKeyProvider
from runware_nb.runlog import State
from runware_nb.session import Session
from runware_nb.settings import Settings

KEY = "rk_live_" + "x" * 24


class HeldClock(Clock):
    """A clock that only the test moves. Whoever sleeps looks again soon."""

    def __init__(self):
        super().__init__()
        self.time = 1000.0

    def now(self):
        return self.time

    def move(self, seconds):
        self.time += seconds

    async def sleep(self, seconds):
        until = self.time + seconds
        while self.time < until:
            await asyncio.sleep(0.002)


class Service:
    """RunKey as far as these tests need it. The prompt is the id of a task.

    Attributes:
        prompts: Of the submissions that arrived, in their order.
        left: What the response to the next submission states as left in this minute.
        may_respond: While it is clear, responses to submissions are held back.
    """

    def __init__(self):
        self.prompts = []
        self.left = 20
        self.may_respond = threading.Event()
        self.may_respond.set()
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.prompts.append(body["input"]["prompt"])
                service.may_respond.wait(30)
                data = {"task_id": f"task_{body['input']['prompt']}", "status": "queued"}
                self.respond(202, data, {"X-RateLimit-Remaining": str(service.left)})

            def do_GET(self):
                if self.path.endswith("/account"):
                    self.respond(200, {"balance": 1, "plan": "free"})
                    return
                output = {"text": "words"}
                task_id = self.path.rpartition("/")[2]
                self.respond(200, {"task_id": task_id, "status": "completed", "output": output, "credits_used": 5})

            def respond(self, status, data, headers=None):
                content = json.dumps({"code": 0, "data": data}).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def close(self):
        self.may_respond.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def service():
    service = Service()
    yield service
    service.close()


@pytest.fixture
def clock():
    return HeldClock()


@pytest.fixture
def pace(service, clock):
    return pace_of(service.url, KEY, clock)


@pytest.fixture
def open_session(service, clock, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNKEY_API_KEY", KEY)
    sessions = []

    def build(callbacks=None, **values):
        settings = Settings(home=tmp_path / ".runware").with_values(runkey_url=service.url, **values)
        package = replace(PACKAGE, build=lambda context: RunKeyProvider(context, clock=clock, callbacks=callbacks))
        sessions.append(Session(settings, packages=[package]))
        return sessions[-1]

    yield build
    clock.move(1e6)  # nothing waits any more
    for session in sessions:
        session.close()


def submit(session, prompt, **more):
    task = {"taskType": "runkey/run", "model": "tpl_text", "input": {"prompt": prompt, "seed": 1}, **more}
    return session.submit(task, service="runkey", agreed=True)


def until(condition):
    """Wait for a condition."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def test_a_run_that_waits_for_the_limit_of_requests_is_not_claimed(service, open_session, pace, clock):
    """The wait may be longer than a minute. Claimed before it, the run would look like one whose response is lost."""
    session = open_session()
    service.left = 0
    submit(session, "first")
    until(lambda: service.prompts)
    until(lambda: pace.is_held("submit") or pace._stated_left <= 0)
    job = submit(session, "second")
    until(lambda: pace._waiting["submit"] and job.task_uuid in {run.task_uuid for run in session.log.recent(None)})
    record = session.log.find(job.task_uuid)
    assert (record.state, record.attempts, record.sent_at_utc) == (State.PREPARED, 0, None)
    assert not job.is_leaving
    service.left = 20
    clock.move(61)
    until(lambda: len(service.prompts) == 2)
    until(lambda: session.log.find(job.task_uuid).remote_id == "task_second")
    clock.move(100)
    assert job.result(30)[0].raw["text"] == "words"
    assert session.log.find(job.task_uuid).attempts == 1
    assert service.prompts == ["first", "second"]


def test_a_run_that_waits_for_the_limit_of_requests_can_be_withdrawn(service, open_session, pace, clock):
    session = open_session()
    service.left = 0
    submit(session, "first")
    until(lambda: service.prompts)
    until(lambda: pace._stated_left <= 0)
    job = submit(session, "second")
    until(lambda: pace._waiting["submit"])
    assert job.cancel()
    clock.move(1000)
    until(lambda: not taken_of(pace))
    assert service.prompts == ["first"]


def attempt_of(session, prompt):
    provider = session.providers.provider("runkey")
    task = {"taskType": "runkey/run", "model": "tpl_text", "input": {"prompt": prompt, "seed": 1}}
    return provider, provider.first_attempt(provider.complete(provider.plan(task).task))


def test_a_refusal_between_claim_and_request_leads_to_another_attempt(service, open_session, pace, clock, run_async):
    """It is an explicit refusal, so that the claim is withdrawn, and the next attempt waits before its own."""
    provider, attempt = attempt_of(open_session(), "late")

    async def work():
        await provider.limiter.acquire()
        pace.refused("submit", 30.0, RateHeaders(30, 12, 40.0), is_wait_stated=True)
        with pytest.raises(RateLimited, match="was not sent") as caught:
            await provider.submit(attempt, now() + 30)
        await provider.limiter.release()
        following = provider.next_attempt(attempt, caught.value)
        assert (following.attempt.number, following.attempt.attempt_uuid) == (2, attempt.attempt_uuid)
        asyncio.get_running_loop().call_later(0.02, clock.move, 31)
        began = clock.now()
        await provider.limiter.acquire()
        assert (clock.now() - began, service.prompts) == (31, [])
        accepted = await provider.submit(following.attempt, now() + 30)
        await provider.limiter.release()
        await provider.aclose()
        return accepted.remote_id

    assert run_async(work()) == "task_late"
    assert not taken_of(pace)


def taken_of(pace):
    """Return the places and turns that are still taken."""
    return pace.places._taken or pace._in_flight


def test_a_turn_that_nothing_has_used_is_returned_with_the_place(open_session, pace, clock, run_async):
    provider, _ = attempt_of(open_session(), "unused")

    async def work():
        for _ in range(100):
            await provider.limiter.acquire()
            await provider.limiter.release()
        pace.learn(RateHeaders(30, 0, 60.0))
        waiting = asyncio.ensure_future(provider.limiter.acquire())
        await asyncio.sleep(0.02)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await provider.aclose()

    run_async(work())
    assert not taken_of(pace)


def test_closing_a_session_keeps_the_id_of_a_submission_in_flight(service, open_session, clock):
    session = open_session()
    service.may_respond.clear()
    job = submit(session, "leaving")
    until(lambda: service.prompts)
    client = session.providers.provider("runkey").client
    closing = threading.Thread(target=session.close)
    closing.start()
    until(lambda: client._is_closed)
    service.may_respond.set()
    closing.join(30)
    record = open_session().log.find(job.task_uuid)
    assert (record.state, record.remote_id) == (State.ACCEPTED, "task_leaving")
    later = open_session()
    resumed = later.job(job.task_uuid)
    assert resumed.result(30)[0].raw["text"] == "words"
    assert (service.prompts, later.log.find(job.task_uuid).cost) == (["leaving"], 5.0)


class Board:
    """Notes how long the first wait for each task may be, and wakes it at once."""

    def __init__(self, *, has_received=False):
        self.waits = []
        self.is_used = has_received

    async def wait(self, service, task_id, seconds, clock):
        self.waits.append(seconds)
        return True

    def has_received(self, service):
        return self.is_used


@pytest.mark.parametrize(
    ("has_received", "url", "is_slow"),
    [(False, "https://hook.example/runkey", False), (True, "https://hook.example/runkey", True), (True, "", False)],
)
def test_polls_are_slow_only_if_callbacks_arrive(open_session, has_received, url, is_slow):
    """A URL without a tunnel behind it must not make the user wait longer than without a URL."""
    board = Board(has_received=has_received)
    session = open_session(board, runkey_webhook_url=url)
    submit(session, "polled").result(30)
    assert (board.waits[0] >= 12) == is_slow


def test_polls_are_slow_while_the_receiver_of_the_session_runs(open_session, monkeypatch):
    monkeypatch.setenv("RUNKEY_WEBHOOK_SECRET", "whsec_" + "s" * 24)
    board = Board()
    session = open_session(board)
    session.callbacks.start()
    submit(session, "polled").result(30)
    assert board.waits[0] >= 12
