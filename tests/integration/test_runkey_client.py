"""The bare client over real sockets: what it repeats, what it never repeats, and what its errors state."""

import asyncio
import http.server
import json
import pickle
import threading

import pytest

import runware_nb as rw
from runware_nb.errors import (
    AuthenticationFailed,
    ConfigError,
    FateUnknown,
    MediaError,
    ProtocolError,
    ProviderFailed,
    RateLimited,
    TaskError,
    TaskInvalid,
    TaskNotFound,
    TransportError,
    TransportTimeout,
)
from runware_nb.providers.runkey.client import RunKey
from tests.runkey_sandbox import SCALE, RunKeyProcess, new_clock


@pytest.fixture(scope="module")
def _process():
    process = RunKeyProcess("--time-scale", str(SCALE))
    yield process
    process.close()


@pytest.fixture
def runkey(_process):
    _process.clear()
    return _process


@pytest.fixture
def use(runkey, run_async):
    """Runs a coroutine function with a client."""

    def run(work, **how):
        async def opened():
            values = {"url": runkey.url, "clock": new_clock(), **how}
            async with RunKey(values.pop("api_key", runkey.api_key), **values) as client:
                return await work(client)

        return run_async(opened())

    return run


class Scripted:
    """A service that answers each request with the next of some responses: status, headers, body.

    Attributes:
        may_respond: While it is clear, responses are held back.
    """

    def __init__(self):
        self.responses, self.seen = [], []
        self.may_respond = threading.Event()
        self.may_respond.set()
        scripted = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def respond(self):
                size = int(self.headers.get("Content-Length") or 0)
                scripted.seen.append((self.command, self.path, dict(self.headers), self.rfile.read(size)))
                status, headers, body = scripted.responses.pop(0)
                scripted.may_respond.wait(30)
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response_only(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = respond  # noqa: N815 - the names that http.server calls

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def scripted():
    server = Scripted()
    yield server
    server.close()


# --- run -------------------------------------------------------------------------------------------


def test_it_is_exported():
    assert rw.RunKey is RunKey
    assert "RunKey" in dir(rw)
    assert "run, task, account, receiver" in repr(rw.runkey)


@pytest.mark.parametrize("code", [40003, 50002])
def test_run_repeats_what_was_provably_not_accepted(runkey, use, code):
    runkey.set("faults", [{"kind": "refuse", "code": code, "count": 3}])
    task = use(lambda client: client.run("tpl_inline", {"a": 1}))
    assert task.status == "queued"
    assert len(runkey.read("tasks")["tasks"]) == 1


def test_run_gives_up_when_there_is_no_gpu_for_long(runkey, use):
    runkey.set("faults", [{"kind": "refuse", "code": 50002, "count": None}])
    with pytest.raises(ProviderFailed, match="no GPU is available"):
        use(lambda client: client.run("tpl_inline"))
    assert runkey.read("requests")["run"] == 4


def test_a_limit_that_outlasts_the_longest_wait_is_told(runkey, use):
    runkey.set("faults", [{"kind": "refuse", "code": 40003, "retry_after_s": 90, "count": None}])
    with pytest.raises(RateLimited, match="a limit of the account is reached") as caught:
        use(lambda client: client.run("tpl_inline"), max_wait_s=60)
    assert caught.value.retry_after_s == 90
    assert runkey.read("requests")["run"] == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "cut", "when": "before_accept"},
        {"kind": "cut", "when": "after_accept"},
        {"kind": "cut", "when": "mid_body"},
        {"kind": "html", "status": 408},
        {"kind": "html", "status": 500},
        {"kind": "html", "status": 202},
        {"kind": "refuse", "code": 50001},
        {"kind": "refuse", "code": 50003},
    ],
)
def test_run_never_repeats_what_may_have_been_accepted(runkey, use, fault):
    runkey.set("faults", [fault])
    with pytest.raises(FateUnknown, match=r"may have been accepted and charged.*RunKey console") as caught:
        use(lambda client: client.run("tpl_inline"))
    assert not caught.value.retryable
    assert len(runkey.read("tasks")["tasks"]) <= 1
    assert runkey.read("requests")["run"] <= 1
    if fault["kind"] != "cut":
        assert caught.value.request_id.startswith("req_")


def test_a_slow_response_is_an_unknown_fate(runkey, use):
    runkey.set("faults", [{"kind": "slow", "seconds": 3 * SCALE}])
    with pytest.raises(FateUnknown, match=r"did not respond within 0\.3 s"):
        use(lambda client: client.run("tpl_inline"), timeout_s=0.3)


def test_the_longest_wait_for_a_limit_does_not_cut_off_a_response(runkey, use):
    runkey.set("faults", [{"kind": "slow", "seconds": SCALE}])
    assert use(lambda client: client.run("tpl_inline"), max_wait_s=1).status == "queued"


@pytest.mark.parametrize(
    "response",
    [
        (200, {}, {"code": 0, "data": {}}),
        (202, {}, {"code": 0}),
        (500, {}, {"code": 0, "data": {"task_id": "t"}}),
        (202, {}, {"code": 0, "data": {"task_id": "../account"}}),
        (400, {}, {"code": 40005, "msg": "x", "data": {"task_id": "../account"}}),
        (400, {}, {"code": 40005, "msg": "x", "data": {"task_id": 7}}),
        (500, {}, {"code": 1, "msg": "upstream timed out"}),
        (400, {}, {"code": -4001}),
        (504, {}, {"code": 60001, "msg": "busy"}),
        (400, {}, {"code": 400, "msg": "bad"}),
        (400, {}, {"code": 400051, "msg": "bad"}),
        (202, {}, {"code": 200, "data": {"id": "task_1"}}),
        (302, {"Location": "https://elsewhere.example/"}, b""),
    ],
)
def test_a_response_without_a_usable_id_is_an_unknown_fate(scripted, use, response):
    """And a redirect is not followed: the key stays here."""
    scripted.responses = [response]
    with pytest.raises(FateUnknown):
        use(lambda client: client.run("tpl"), url=scripted.url)
    assert len(scripted.seen) == 1


@pytest.mark.parametrize(
    "response",
    [
        (500, {}, {"code": 50001, "msg": "x", "data": {"task_id": "task_1", "status": "failed"}}),
        (400, {}, {"code": 40005, "msg": "x", "data": {"task_id": "task_1"}}),
        (504, {}, {"code": 1, "msg": "upstream timed out", "data": {"task_id": "task_1", "status": 7}}),
        (202, {}, {"code": 0, "data": {"task_id": "task_1", "status": None}}),
    ],
)
def test_an_id_is_never_dropped_whatever_else_the_response_states(scripted, use, response):
    """There is a task under it, which may be charged. Reading it shows what became of it."""
    scripted.responses = [response]
    task = use(lambda client: client.run("tpl"), url=scripted.url)
    assert (task.task_id, task.status, len(scripted.seen)) == ("task_1", "queued", 1)


@pytest.mark.parametrize("code", [40005, 40099])
def test_a_code_of_4xxxx_refuses_the_request(scripted, use, code):
    scripted.responses = [(500, {}, {"code": code, "msg": "x", "data": {}})]
    with pytest.raises(TaskError, match="x"):
        use(lambda client: client.run("tpl"), url=scripted.url)


def test_no_connection_is_tried_again_and_was_not_sent(use):
    with pytest.raises(TransportError, match="cannot be reached") as caught:
        use(lambda client: client.run("tpl"), url="http://127.0.0.1:9/v1")
    assert not caught.value.may_have_arrived


def test_what_is_sent(scripted, use, runkey):
    scripted.responses = [(202, {}, {"code": 0, "data": {"task_id": "t", "status": "queued"}})]
    use(lambda client: client.run("tpl", {"a": "ü"}, "https://hooks.example/x"), url=scripted.url)
    method, path, headers, body = scripted.seen[0]
    assert (method, path, headers["Authorization"]) == ("POST", "/v1/run", f"Bearer {runkey.api_key}")
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"template_id": "tpl", "input": {"a": "ü"}, "webhook_url": "https://hooks.example/x"}


@pytest.mark.parametrize("arguments", [("",), ("tpl", [1]), ("tpl", {}, "not a URL"), ("tpl", {"a": "x" * 2**20})])
def test_what_cannot_be_sent_is_not_sent(scripted, use, arguments):
    with pytest.raises(TaskInvalid, match="Nothing was sent"):
        use(lambda client: client.run(*arguments), url=scripted.url)
    assert scripted.seen == []


# --- questions -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "cut"},
        {"kind": "cut", "when": "mid_body"},
        {"kind": "html", "status": 503},
        {"kind": "refuse", "code": 40003},
        {"kind": "refuse", "code": 50001},
        {"kind": "refuse", "code": 50099},
    ],
)
def test_a_question_is_asked_up_to_four_times(runkey, use, fault):
    task_id = runkey.start("tpl_inline")
    runkey.set("faults", [{**fault, "on": "task", "count": 3}])
    assert use(lambda client: client.task(task_id)).task_id == task_id
    runkey.set("faults", [{**fault, "on": "task", "count": 4}])
    with pytest.raises((TaskError, TransportError)):
        use(lambda client: client.task(task_id))
    assert use(lambda client: client.task(task_id)).task_id == task_id


@pytest.mark.parametrize("code", [40001, 40006, 40099])
def test_a_final_error_is_not_asked_about_again(runkey, use, code):
    runkey.set("faults", [{"kind": "refuse", "code": code, "on": "account", "count": None}])
    with pytest.raises(TaskError) as caught:
        use(lambda client: client.account())
    assert caught.value.request_id.startswith("req_")
    assert runkey.read("requests")["account"] == 1


def test_a_wait_that_the_service_asks_for_is_waited(scripted, use):
    """In the order of the reference: body, `Retry-After`, reset by the clock of the server."""
    account = (200, {}, {"code": 0, "data": {"balance": 1}})
    reset = {"X-RateLimit-Reset": "1772877640", "Date": "Sat, 07 Mar 2026 10:00:00 GMT"}
    waits = []
    for response in (
        (429, {"Retry-After": "99"}, {"code": 40003, "retry_after": "20"}),
        (429, {"Retry-After": "30", **reset}, {"code": 40003}),
        (429, reset, {"code": 40003}),
    ):

        async def measure(client):
            before = client.clock.now()
            await client.account()
            return client.clock.now() - before

        scripted.responses = [response, account]
        waits.append(use(measure, url=scripted.url))
    assert [wait >= least for wait, least in zip(waits, (20, 30, 40), strict=True)] == [True] * 3


def test_a_task_that_is_not_known_yet_is_asked_for_again(runkey, use):
    runkey.set("faults", [{"kind": "refuse", "code": 40006, "on": "task", "count": 2}])

    async def run(client):
        return await client.wait(await client.run("tpl_inline"))

    assert use(run).status == "completed"
    with pytest.raises(TaskNotFound, match="the task does not exist"):
        use(lambda client: client.wait("task_never_there", timeout_s=20))


def test_a_wait_has_a_deadline(runkey, use):
    task_id = runkey.start("tpl_slow")
    runkey.template("tpl_never", run_s=10**6)
    endless = runkey.start("tpl_never")
    with pytest.raises(TransportTimeout, match="goes on at the service"):
        use(lambda client: client.wait(endless, timeout_s=0.3))
    assert use(lambda client: client.wait(task_id, timeout_s=20)).status == "completed"


def test_a_wait_is_over_while_the_service_is_silent(runkey, use):
    endless = runkey.start("tpl_slow")
    runkey.set("faults", [{"kind": "slow", "seconds": 3 * SCALE, "on": "task", "count": None}])
    with pytest.raises(TransportTimeout):
        use(lambda client: client.wait(endless, timeout_s=0.3))


def test_another_task_than_asked_for_is_not_taken(scripted, use):
    scripted.responses = [(200, {}, {"code": 0, "data": {"task_id": "other", "status": "completed"}})]
    with pytest.raises(ProtocolError, match="another task"):
        use(lambda client: client.task("mine"), url=scripted.url)


def test_an_unsafe_id_is_not_asked_for(scripted, use):
    with pytest.raises(TaskInvalid, match="cannot be part of a URL"):
        use(lambda client: client.task("../account"), url=scripted.url)
    assert scripted.seen == []


# --- files, keys, URLs -----------------------------------------------------------------------------


def test_files_are_fetched_without_the_key(scripted, use):
    """A broken download is tried again; a file that is gone is not."""
    scripted.responses = [(503, {}, b"x"), (200, {}, b"bytes"), (404, {}, b"")]
    base = scripted.url.removesuffix("/v1")

    async def fetch(client):
        body = await client.fetch(f"{base}/file.png")
        with pytest.raises(MediaError) as caught:
            await client.fetch(f"{base}/gone.png")
        return body, caught.value.is_expired

    assert use(fetch, url=scripted.url) == (b"bytes", True)
    assert all("authorization" not in {name.lower() for name in headers} for _, _, headers, _ in scripted.seen)


def test_files_of_private_networks_are_refused(use):
    with pytest.raises(MediaError, match="private network"):
        use(lambda client: client.fetch("http://10.0.0.1/secret"))


def test_the_key_comes_from_the_environment_and_is_not_shown(runkey, use, monkeypatch):
    monkeypatch.setenv("RUNKEY_API_KEY", runkey.api_key)
    monkeypatch.setenv("RUNWARE_NB_RUNKEY_URL", runkey.url)
    assert use(lambda client: client.account(), api_key=None, url=None).plan == "pro"
    assert runkey.api_key not in repr(RunKey())
    with pytest.raises((TypeError, AttributeError)):
        pickle.dumps(RunKey())


def test_without_a_key_there_is_no_client():
    with pytest.raises(ConfigError, match="Set RUNKEY_API_KEY"):
        RunKey()


def test_a_key_is_not_sent_without_encryption():
    with pytest.raises(ConfigError, match="is not sent to http"):
        RunKey("rk_live_abcdefgh12", url="http://api.runkey.ai/v1")


def test_a_wrong_key_is_refused(use):
    with pytest.raises(AuthenticationFailed, match="code 40001"):
        use(lambda client: client.account(), api_key="rk_live_abcdefgh12")


def test_many_tasks_at_once_in_one_client(runkey, use):
    runkey.set("account", {"plan": "team"})
    runkey.template("tpl_quick", output="inline", run_s=5)

    async def run(client):
        await client.account()
        accepted = await asyncio.gather(*(client.run("tpl_quick", {"n": number}) for number in range(20)))
        return await asyncio.gather(*(client.wait(task) for task in accepted))

    ended = use(run)
    assert [task.output["input"]["n"] for task in ended] == list(range(20))
    assert runkey.read("requests")["refused"] == 0


# --- closing ---------------------------------------------------------------------------------------


def test_closing_waits_for_the_id_of_a_submission_and_refuses_new_requests(scripted, use):
    scripted.responses = [(202, {}, {"code": 0, "data": {"task_id": "task_1", "status": "queued"}})]
    scripted.may_respond.clear()

    async def work(client):
        running = asyncio.ensure_future(client.run("tpl"))
        while not scripted.seen:
            await asyncio.sleep(0.001)
        closing = asyncio.ensure_future(client.aclose())
        await asyncio.sleep(0)
        for request in (client.run("tpl"), client.task("task_1"), client.account()):
            with pytest.raises(TransportError, match="was closed, so this request was not sent") as caught:
                await request
            assert not caught.value.may_have_arrived
        assert not closing.done()
        scripted.may_respond.set()
        assert (await running).task_id == "task_1"
        await closing

    use(work, url=scripted.url)
    assert len(scripted.seen) == 1


def test_a_request_that_waits_for_the_limit_does_not_leave_after_closing(scripted, use):
    scripted.responses = [(202, {"X-RateLimit-Remaining": "0"}, {"code": 0, "data": {"task_id": "task_1"}})]

    async def work(client):
        await client.run("tpl")
        waiting = [asyncio.ensure_future(request) for request in (client.run("tpl"), client.account())]
        await asyncio.sleep(0)
        await client.aclose()
        for error in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(error, TransportError)
            assert not error.may_have_arrived

    use(work, url=scripted.url)
    assert len(scripted.seen) == 1
