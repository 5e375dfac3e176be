"""Only an error that says that the key is wrong ends the waiting; everything else at authentication may pass."""

import asyncio
import contextlib

import pytest

from runware_nb.errors import AuthenticationFailed, TransportError
from tests.conftest import TASK

from .fate_server import CONFIRMED, connect, done, error, play, result

PASSING = {
    "server fault": error("internalServerError"),
    "rate": error("rateLimitExceeded"),
    "unknown": error("somethingNew"),
    "out of credit": error("insufficientCredits"),
    "invalid session": error("invalidConnectionSessionUUID", taskType="authentication"),
    "empty object": {},
    "web page": "<!doctype html><html>maintenance</html>",
    "empty frame": "",
    "bytes": b"\xff\xfe\x00\x80",
    "nothing said": {"data": []},
    "other JSON": "[]",
    "text": {"errors": "down"},
    "close": None,
    "odd session": {"data": [{"taskType": "authentication", "connectionSessionUUID": [1]}]},
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("runware_nb.providers.runware.websocket.reconnect_delay_s", lambda attempt, *, jitter: 0.01)


async def run_through_gap(server, client, first_response):
    """Lose the connection with one task in flight; the first authentication after it gets this response."""
    server.on_task = lambda task: []
    server.on_authentication = lambda number: [first_response] if number == 2 else [CONFIRMED]
    server.on_question = lambda question: [done(question)]
    running = asyncio.ensure_future(client.run(TASK, timeout_s=20))
    while not server.submitted:
        await asyncio.sleep(0.005)
    await server.cut()
    return await running


@pytest.mark.parametrize("response", PASSING.values(), ids=PASSING)
def test_whatever_may_pass_is_waited_out_and_the_results_are_collected(response):
    async def work(server):
        async with connect(server) as client:
            outcome = await run_through_gap(server, client, response)
        return outcome, server

    outcome, server = play(work)
    assert len(outcome) == 1
    assert len(server.submitted) == 1  # nothing was sent, or paid for, twice


@pytest.mark.parametrize("response", PASSING.values(), ids=PASSING)
def test_a_first_authentication_that_may_pass_ends_in_a_result(response):
    """Over WebSocket at the second try, or over REST."""

    async def work(server):
        server.on_authentication = lambda number: [response] if number == 1 else [CONFIRMED]
        async with connect(server) as client:
            return await client.run(TASK, timeout_s=20), len(server.submitted)

    outcome, sent = play(work)
    assert (len(outcome), sent) == (1, 1)


def test_a_service_that_never_confirms_leads_to_rest():
    async def work(server):
        server.on_authentication = lambda number: [error("internalServerError")]
        notices = []
        async with connect(server, on_notice=notices.append) as client:
            return await client.run(TASK, timeout_s=20), notices

    outcome, notices = play(work)
    assert len(outcome) == 1
    assert "the service says internalServerError" in notices[0]


WRONG_KEY = [error("invalidApiKey", taskType="authentication"), error("accountSuspended"), error("tokenRevoked"),
             {"error": True, "errorId": 19, "errorMessage": "Invalid api key"}]  # fmt: skip


@pytest.mark.parametrize("response", WRONG_KEY, ids=str)
def test_a_wrong_key_is_final_and_the_task_stays_collectable(response):
    async def work(server):
        async with connect(server) as client:
            await run_through_gap(server, client, response)

    with pytest.raises(AuthenticationFailed) as caught:
        play(work)
    assert caught.value.may_have_arrived  # so the log keeps the run as unfinished


@pytest.mark.parametrize("response", WRONG_KEY, ids=str)
def test_a_wrong_key_is_final_at_the_first_authentication(response):
    async def work(server):
        server.on_authentication = lambda number: [response]
        async with connect(server) as client:
            with contextlib.suppress(TimeoutError):
                await client.run(TASK, timeout_s=20)
        return server

    with pytest.raises(AuthenticationFailed):
        play(work)


@pytest.mark.parametrize("status", [401, 403])
def test_a_later_handshake_that_denies_access_is_final_and_the_task_stays_collectable(status):
    async def work(server):
        server.on_handshake = lambda number: status if number > 1 else None
        async with connect(server) as client:
            with pytest.raises(AuthenticationFailed, match=f"HTTP {status}") as caught:
                await run_through_gap(server, client, CONFIRMED)
        return caught.value, server

    error, server = play(work)
    assert error.may_have_arrived  # so the log keeps the run as unfinished
    assert server.handshakes == 2
    assert len(server.submitted) == 1


@pytest.mark.parametrize("status", [404, 426, 503])
def test_a_refusal_that_is_not_about_access_is_waited_out_once_a_connection_has_worked(status):
    """A gateway may refuse for a moment; the paid task is collected over the next connection."""

    async def work(server):
        server.on_handshake = lambda number: status if number == 2 else None
        async with connect(server) as client:
            return await run_through_gap(server, client, CONFIRMED), len(server.submitted)

    outcome, sent = play(work)
    assert (len(outcome), sent) == (1, 1)


def test_an_error_of_a_task_before_the_confirmation_is_not_about_the_key():
    """A resumed session delivers results and errors, and nothing says that the confirmation comes first."""

    async def work(server):
        async with connect(server) as client:
            server.on_task = lambda task: []
            server.on_question = lambda question: []
            running = asyncio.ensure_future(client.run({**TASK, "numberResults": 2}, timeout_s=20))
            while not server.submitted:
                await asyncio.sleep(0.005)
            task = server.submitted[0]
            early = [error("forbidden", {"taskUUID": "20000000-0000-4000-8000-000000000000"}), done(task)]
            server.on_authentication = lambda number: [*early, CONFIRMED, {"data": [result(task, 1)]}]
            await server.cut()
            return await running

    assert len(play(work)) == 2


def test_a_service_that_ends_each_connection_at_once_is_not_asked_in_a_tight_loop(monkeypatch):
    delays = []
    monkeypatch.setattr(
        "runware_nb.providers.runware.websocket.reconnect_delay_s",
        lambda attempt, *, jitter: delays.append(attempt) or 0.01,
    )

    async def work(server):
        server.on_authentication = lambda number: [CONFIRMED, None]
        async with connect(server) as client:
            await client.open()
            while len(delays) < 8:
                await asyncio.sleep(0.01)

    play(work)
    assert delays[:6] == [0, 1, 2, 3, 4, 4]


@pytest.mark.parametrize("seam", ["_authenticate", "_read", "_on_connected"])
@pytest.mark.parametrize("fault", [RuntimeError("odd"), KeyError("x"), RecursionError(), UnicodeError("bad")], ids=repr)
def test_an_unexpected_error_in_the_supervisor_leads_to_a_new_connection(seam, fault, caplog):
    """Nobody waits in silence: the task is collected over the next connection."""
    from runware_nb.providers.runware.websocket import WebSocketTransport

    real = getattr(WebSocketTransport, seam)
    is_broken = [False]

    def broken(self, *arguments, **values):
        if is_broken[0]:
            is_broken[0] = False
            raise fault
        return real(self, *arguments, **values)

    faulty = type("Faulty", (WebSocketTransport,), {seam: broken})

    def build(settings, listener):
        return faulty(settings, listener, user_agent="test")

    async def work(server):
        async with connect(server, transport=build) as client:
            await client.open()
            is_broken[0] = True
            return await run_through_gap(server, client, CONFIRMED)

    assert len(play(work)) == 1


@pytest.mark.parametrize("retries", [0, 3])
def test_an_unexpected_error_that_ends_the_supervisor_is_named_or_overcome(monkeypatch, retries):
    from runware_nb.providers.runware import Router

    def broken(self):
        raise RuntimeError("something odd")

    monkeypatch.setattr(Router, "on_gap", broken)

    async def work(server):
        async with connect(server, max_retries=retries) as client:
            return await run_through_gap(server, client, CONFIRMED)

    if retries:
        assert len(play(work)) == 1
        return
    with pytest.raises(TransportError, match=r"unexpected error \(RuntimeError: something odd\)") as caught:
        play(work)
    assert caught.value.may_have_arrived
