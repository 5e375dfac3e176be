"""Servers that take their time: every piece of work has one deadline, however many bytes arrive before it."""

import asyncio
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from runware_nb import Client, Result
from runware_nb.errors import RateLimited, RunwareNBError, TransportError, TransportTimeout
from runware_nb.net.deadlines import Deadline, now
from runware_nb.providers.runware.tracker import pause
from runware_nb.runlog import State
from runware_nb.session import Session
from runware_nb.settings import Key, Settings
from tests.conftest import TASK
from tests.hostile.slow_server import SlowServer, SlowSocket, authenticates, http, no_certificates, silent

LIMIT_S = 0.6
TALK = {"taskType": "textInference", "model": "google:gemma@4-31b", "messages": [{"role": "user", "content": "hi"}]}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: 1000000\r\n\r\n"

__all__ = ["no_certificates"]  # a fixture for every test of this module


def timed(run_async, work):
    """Run something that must end in an error soon; return the error."""

    async def main():
        await work()

    started_at = time.monotonic()
    with pytest.raises(RunwareNBError) as caught:
        run_async(main())
    assert time.monotonic() - started_at < 5 * LIMIT_S
    return caught.value


def client_of(urls, **values):
    return Client("key", **{**urls, **values})


# --- WebSocket -----------------------------------------------------------------------------------------------


def test_a_socket_without_a_handshake_ends_at_the_deadline(run_async):
    with SlowServer(silent) as server:

        async def work():
            async with client_of(server.urls) as client:
                await client.run(TASK, timeout_s=LIMIT_S)

        error = timed(run_async, work)
    assert isinstance(error, TransportTimeout)
    assert (error.may_have_arrived, error.task_uuid) == (False, None)
    assert "was not sent, and cost nothing" in str(error)


@pytest.mark.parametrize("transport", ["websocket", "rest"])
def test_whatever_is_asked_has_a_deadline_that_is_kept(run_async, transport):
    with SlowServer(silent) as server:
        settings = Settings(connect_timeout_s=LIMIT_S / 4, timeout_s=LIMIT_S)

        async def work():
            async with client_of(server.urls, settings=settings, transport=transport, max_retries=0) as client:
                await client.run({"taskType": "modelSearch", "search": "x"})

        assert isinstance(timed(run_async, work), TransportError)


def test_a_socket_that_never_authenticates_ends_at_the_deadline(run_async):
    with SlowSocket() as server:

        async def work():
            async with client_of(server.urls) as client:
                await client.run(TASK, timeout_s=LIMIT_S)

        error = timed(run_async, work)
        assert [frame[0]["taskType"] for frame in server.frames] == ["authentication"]
    assert isinstance(error, TransportTimeout)
    assert error.may_have_arrived is False


def test_a_socket_that_accepts_and_never_responds_ends_at_the_deadline(run_async):
    with SlowSocket(authenticates) as server:

        async def work():
            async with client_of(server.urls) as client:
                await client.run({**TASK, "taskUUID": "u" * 8}, timeout_s=LIMIT_S)

        error = timed(run_async, work)
    assert isinstance(error, TransportTimeout)
    assert error.may_have_arrived is True
    assert error.task_uuid
    assert "can be collected later" in str(error)


def test_collecting_ends_at_its_deadline_and_may_have_arrived(run_async):
    with SlowServer(silent) as server:

        async def work():
            async with client_of(server.urls) as client:
                await client.collect({**TASK, "taskUUID": "u"}, timeout_s=LIMIT_S)

        error = timed(run_async, work)
    assert isinstance(error, TransportTimeout)
    assert error.may_have_arrived is True


# --- HTTP ----------------------------------------------------------------------------------------------------


async def drip_headers(exchange):
    await exchange.write(b"HTTP/1.1 200 OK\r\nX: ")
    await exchange.drip(b"x")


async def drip_body(exchange):
    await exchange.write(HEAD % b"application/json")
    await exchange.drip()


async def drip_chunks(exchange):
    await exchange.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    await exchange.drip(b"1\r\n \r\n")


async def drip_comments(exchange):
    await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    await exchange.drip(b"8\r\n: still\n\r\n")


async def drip_error_body(exchange):
    await exchange.write(b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n")
    await exchange.drip(b"1\r\n \r\n")


@pytest.mark.parametrize("script", [silent, http(drip_headers), http(drip_body), http(drip_chunks)])
def test_a_response_in_single_bytes_ends_at_the_deadline(run_async, script):
    with SlowServer(script) as server:

        async def work():
            async with client_of(server.urls, transport="rest") as client:
                await client.run(TASK, timeout_s=LIMIT_S)

        error = timed(run_async, work)
    assert isinstance(error, TransportTimeout)
    assert error.may_have_arrived is True


@pytest.mark.parametrize("script", [silent, http(drip_headers), http(drip_comments), http(drip_error_body)])
def test_a_stream_of_comments_ends_at_the_deadline(run_async, script):
    with SlowServer(script) as server:

        async def work():
            async with client_of(server.urls) as client, client.stream(TALK, timeout_s=LIMIT_S) as stream:
                async for _ in stream:
                    pass

        error = timed(run_async, work)
    assert isinstance(error, TransportTimeout)
    assert error.task_uuid
    assert error.outcome is not None


def test_a_stream_keeps_what_came_before_its_deadline(run_async):
    async def respond(exchange):
        await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await exchange.write(b'data: {"delta": {"text": "so far"}}\n\n')
        await exchange.drip(b": \n")

    with SlowServer(http(respond)) as server:

        async def work():
            async with client_of(server.urls) as client, client.stream(TALK, timeout_s=LIMIT_S) as stream:
                async for _ in stream:
                    pass

        error = timed(run_async, work)
    assert isinstance(error, TransportTimeout)
    assert [result.text for result in error.outcome.results] == ["so far"]


def test_the_readers_own_code_is_never_cancelled_by_a_streams_deadline(run_async):
    """A timeout that spanned a `yield` would cancel whatever the reader awaits at that moment."""

    async def respond(exchange):
        await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await exchange.drip(b'data: {"delta": {"text": "x"}}\n\n')

    slept = []
    with SlowServer(http(respond)) as server:

        async def work():
            async with client_of(server.urls) as client, client.stream(TALK, timeout_s=LIMIT_S) as stream:
                async for _ in stream:
                    await asyncio.sleep(2 * LIMIT_S)
                    slept.append(True)

        assert isinstance(timed(run_async, work), TransportTimeout)
    assert slept == [True]


@pytest.mark.parametrize("script", [silent, http(drip_headers), http(drip_chunks)])
def test_an_image_in_single_bytes_ends_at_the_deadline(run_async, script):
    with SlowServer(script) as server:

        async def work():
            async with client_of(server.urls, transport="rest") as client:
                await client.fetch(Result({"imageURL": f"{server.url}/x.png"}, "u"), timeout_s=LIMIT_S)

        error = timed(run_async, work)
        assert server.connections == 1  # a deadline that has passed is not tried again
    assert isinstance(error, TransportTimeout)


def test_a_schema_document_in_single_bytes_ends_at_the_deadline(run_async):
    from runware_nb.net.http import HttpConnection

    with SlowServer(http(drip_chunks)) as server:

        async def work():
            http = HttpConnection(server.url, user_agent="test", connect_timeout_s=10)
            try:
                await http.get(f"{server.url}/resolve/x", None, timeout_s=LIMIT_S)
            finally:
                await http.aclose()

        assert isinstance(timed(run_async, work), TransportTimeout)


def test_an_upload_has_a_deadline(run_async):
    with SlowServer(http(drip_body)) as server:

        async def work():
            async with client_of(server.urls, timeout_s=LIMIT_S) as client:
                await client.upload(Image.new("RGB", (8, 8)))

        assert isinstance(timed(run_async, work), TransportTimeout)


# --- pauses --------------------------------------------------------------------------------------------------


def refuse(retry_after, status="429 Too Many"):
    async def respond(exchange):
        error = {"code": "rateLimitExceeded", "message": "too many"}
        await exchange.respond({"errors": [error]}, status=status, Retry_After=retry_after)

    return http(respond)


@pytest.mark.parametrize(
    ("what", "retry_after"),
    [("stream", "100000"), ("run", "1e400"), ("utility", "inf"), ("upload", "100000"), ("raw utility", "100000"),
     ("stream", "Fri, 31 Dec 2100 23:59:59 GMT"), ("run", "100000")],
)  # fmt: skip
def test_a_pause_that_does_not_fit_fails_at_once_and_says_so(run_async, what, retry_after):
    with SlowServer(refuse(retry_after)) as server:

        async def work():
            async with client_of(server.urls, transport="rest") as client:
                if what == "stream":
                    async for _ in client.stream(TALK):
                        pass
                elif what == "run":
                    await client.run(TASK)
                elif what == "utility":
                    await client.search_models("x")
                elif what == "raw utility":
                    await client.run({"taskType": "modelSearch", "search": "x"})
                else:
                    await client.upload(Image.new("RGB", (8, 8)))

        error = timed(run_async, work)
        assert server.connections == 1
    assert isinstance(error, RateLimited)
    assert "The next try would be in" in str(error)


def test_a_pause_that_is_no_number_is_no_pause(run_async):
    with SlowServer(refuse("nan")) as server:

        async def work():
            async with client_of(server.urls, transport="rest", max_retries=1) as client:
                await client.search_models("x")

        assert isinstance(timed(run_async, work), RateLimited)
        assert server.connections == 2


@settings(max_examples=50, deadline=None)
@given(delay_s=st.floats(min_value=0) | st.just(float("nan")), left_s=st.floats(min_value=-10, max_value=0.01))
def test_no_pause_is_longer_than_the_time_left(delay_s, left_s):
    async def main():
        deadline = now() + left_s
        try:
            await pause(delay_s, deadline, TransportError("x"))
        except TransportError:
            return
        assert delay_s < 0.02

    asyncio.run(asyncio.wait_for(main(), 1))


def test_a_deadline_that_has_passed_runs_nothing():
    ran = []

    async def main():
        with pytest.raises(TransportTimeout):
            async with Deadline(now() - 1, lambda: TransportTimeout("late")):
                ran.append(True)

    asyncio.run(main())
    assert ran == []


def test_an_error_inside_a_deadline_stays_itself():
    async def main():
        async with Deadline(now() + 60, lambda: TransportTimeout("late")):
            raise TimeoutError("of something else")

    with pytest.raises(TimeoutError, match="of something else"):
        asyncio.run(main())


# --- sessions ------------------------------------------------------------------------------------------------


class SlowImages:
    """A service over REST whose first image never ends, until it is told to hurry."""

    def __init__(self):
        self.is_slow = True
        self.png = b"\x89PNG\r\n\x1a\n" + bytes(64)

    async def __call__(self, exchange):
        await exchange.read_request()
        if exchange.path.startswith("/image"):
            if self.is_slow and exchange.path == "/image/0.png":
                await exchange.write(HEAD % b"image/png" + self.png)
                await exchange.drip(b"\0")
            await exchange.respond(self.png + exchange.path.encode(), Content_Type="image/png")
            return
        items = [
            {"taskType": "imageInference", "taskUUID": task["taskUUID"], "imageUUID": f"i{number}", "cost": 0.01,
             "imageURL": f"{exchange.server.url}/image/{number}.png", "seed": task["seed"] + number}
            for task in json.loads(exchange.body) for number in range(task.get("numberResults", 1))
        ]  # fmt: skip
        await exchange.respond({"data": items})


@pytest.fixture
def session_of(tmp_path):
    sessions = []

    def build(server, **values):
        settings = Settings(api_key=Key("key", "the test"), home=tmp_path / ".runware", transport="rest",
                            schemas_url="", **server.urls, **values)  # fmt: skip
        sessions.append(Session(settings))
        return sessions[-1]

    yield build
    for session in sessions:
        session.close()


def test_a_slow_image_delays_no_other_and_is_collected_later(session_of):
    script = SlowImages()
    with SlowServer(script) as server:
        session = session_of(server, timeout_s=3.0)
        started_at = time.monotonic()
        job = session.submit({**TASK, "numberResults": 3, "seed": 1}, agreed=True)
        while len(job.arrived) < 2 and time.monotonic() < started_at + 2.5:
            time.sleep(0.02)
        assert sorted(result.index for result in job.arrived) == [1, 2]  # shown long before the deadline
        assert not job.future.done()
        outcome = job.result(30)
        assert time.monotonic() - started_at < 12
        assert len(outcome.results) == 3
        run = session.log.find(job.task_uuid)
        assert run.state is State.SUCCEEDED
        assert run.cost_usd == pytest.approx(0.03)
        assert [result.medium_state for result in sorted(run.results, key=lambda r: r.position)] == [
            "missing", "stored", "stored",
        ]  # fmt: skip
        assert any("could not be downloaded yet" in notice for notice in job.notices)
        script.is_slow = False
        (missing,) = [result for result in run.results if result.medium_state == "missing"]
        session.recovery._unreachable.clear()
        path = session.recovery.find(run, missing)
        assert path is not None
        assert path.read_bytes().startswith(script.png)
        posts = [request for request in server.requests if request.startswith(b"POST")]
    assert len(posts) == 1  # nothing was paid for twice


def test_a_run_that_was_not_sent_by_its_deadline_is_recorded_as_not_sent(session_of):
    with SlowServer(silent) as server:
        session = session_of(server, timeout_s=LIMIT_S)
        session.configure(transport="websocket")
        job = session.submit({**TASK, "seed": 1}, agreed=True)
        with pytest.raises(TransportTimeout, match="cost nothing"):
            job.result(20)
        assert session.log.find(job.task_uuid).state is State.FAILED
        assert session.pending() == []
