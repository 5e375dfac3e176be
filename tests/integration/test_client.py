"""The real client against the real sandbox."""

import asyncio
import io
import socket

import pytest
from PIL import Image

from runware_nb import Client
from runware_nb.errors import (
    AuthenticationFailed,
    MediaError,
    ProtocolError,
    ProviderFailed,
    TaskInvalid,
    TaskNotFound,
    TransportError,
    TransportTimeout,
)
from runware_nb.net.trace import wire_trace
from tests.conftest import TASK


@pytest.fixture
def lasting(tmp_path):
    """Arguments of a sandbox that comes back under the same address, state and key."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return ("--port", port, "--state-dir", str(tmp_path / "state"), "--key-file", str(tmp_path / "key"))


BOTH = pytest.mark.parametrize("transport", ["websocket", "rest"])


def connect(sandbox, transport="websocket", **values):
    return Client(sandbox.api_key, transport=transport, **sandbox.urls, **values)


@BOTH
@pytest.mark.parametrize("delivery", ["sync", "async"])
@pytest.mark.parametrize("count", [1, 3, 20])
def test_every_result_comes_in_order(sandbox, run_async, transport, delivery, count):
    async def main():
        async with connect(sandbox, transport) as client:
            return await client.run({**TASK, "numberResults": count, "seed": 5, "deliveryMethod": delivery})

    outcome = run_async(main())
    assert [(result.index, result.seed) for result in outcome] == [(n, 5 + n) for n in range(count)]
    assert outcome.errors == []
    (charge,) = sandbox.charges()
    assert outcome.cost_usd == pytest.approx(charge["cost_usd"])
    assert charge["results"] == count


@BOTH
def test_the_image_is_the_size_that_was_asked_for(sandbox, run_async, transport):
    async def main():
        async with connect(sandbox, transport) as client:
            (result,) = await client.run({**TASK, "width": 320, "height": 192})
            return await client.fetch(result)

    result = run_async(main())
    assert result.image.size == (320, 192)
    assert Image.open(io.BytesIO(result.bytes)).format == "JPEG"
    assert result.path is None


@BOTH
@pytest.mark.parametrize("output_type", ["base64Data", "dataURI"])
def test_inline_results_need_no_download(sandbox, run_async, transport, output_type):
    async def main():
        async with connect(sandbox, transport) as client:
            (result,) = await client.run({**TASK, "outputType": output_type, "outputFormat": "PNG"})
            return await client.fetch(result)

    assert run_async(main()).image.format == "PNG"


def test_a_large_frame_over_websocket_arrives(sandbox, run_async):
    """The vendor's SDK loses frames above 1 MiB without a word."""
    noisy = {
        **TASK,
        "width": 2048,
        "height": 2048,
        "outputType": "base64Data",
        "outputFormat": "PNG",
        "numberResults": 2,
    }

    async def main():
        async with connect(sandbox) as client:
            return await client.run(noisy)

    assert all(len(result.raw["imageBase64Data"]) > 1024 * 1024 for result in run_async(main()))


@BOTH
def test_one_failure_among_four_keeps_the_three(sandbox, run_async, transport):
    sandbox.faults({"kind": "fail", "items": [2], "code": "inferenceError", "message": "out of paint"})

    async def main():
        async with connect(sandbox, transport) as client:
            return await client.run({**TASK, "numberResults": 4, "seed": 1})

    outcome = run_async(main())
    assert [result.index for result in outcome] == [0, 1, 3]
    assert [str(error) for error in outcome.errors] == ["out of paint"]
    assert sandbox.charges()[0]["results"] == 3


@BOTH
def test_a_transient_failure_is_made_again_under_a_fresh_uuid(sandbox, run_async, transport):
    sandbox.faults({"kind": "fail", "code": "timeoutProvider"})
    attempts = []

    async def remember(task, number):
        attempts.append((number, task["taskUUID"]))

    async def main():
        async with connect(sandbox, transport) as client:
            return await client.run(TASK, on_attempt=remember)

    outcome = run_async(main())
    assert [number for number, _ in attempts] == [1, 2]
    assert attempts[0][1] != attempts[1][1] == outcome.task_uuid
    assert len(sandbox.charges()) == 1


@BOTH
def test_no_retries_means_none(sandbox, run_async, transport):
    sandbox.faults({"kind": "fail", "code": "timeoutProvider"})

    async def main():
        async with connect(sandbox, transport, max_retries=0) as client:
            await client.run(TASK)

    with pytest.raises(ProviderFailed) as caught:
        run_async(main())
    assert caught.value.outcome is not None
    assert len(caught.value.outcome) == 0
    assert sandbox.charges() == []


FAULTS = [
    {"kind": "cut", "when": "before_accept"},
    {"kind": "cut", "when": "after_accept"},
    {"kind": "html"},
    {"kind": "refuse", "status": 429, "code": "rateLimitExceeded", "retry_after_s": 0.1},
    {"kind": "refuse", "status": 429, "code": "rateLimitExceeded", "names_task": False},
    {"kind": "refuse", "status": 503, "code": "serviceUnavailable", "names_task": False},
    {"kind": "refuse", "status": 500, "code": "internalServerError"},
    {"kind": "refuse", "status": 504, "code": "gatewayTimeout", "names_task": False},
    {"kind": "fail", "code": "timeoutProvider"},
    {"kind": "cut", "when": "mid_frame"},
    {"kind": "lose"},
    {"kind": "double"},
    {"kind": "reorder"},
    {"kind": "late", "seconds": 0.3},
    {"kind": "malform"},
    {"kind": "misaddress"},
    {"kind": "slow_ack", "seconds": 0.3},
    {"kind": "mute"},
]


@BOTH
@pytest.mark.parametrize("delivery", ["sync", "async"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: "-".join(str(value) for value in fault.values()))
def test_a_fault_costs_time_and_nothing_else(sandbox, run_async, transport, delivery, fault, monkeypatch, polls_soon):
    monkeypatch.setattr("runware_nb.providers.runware.fate.SYNC_SILENCE_S", 0.5)
    sandbox.faults(fault)

    async def main():
        async with connect(sandbox, transport) as client:
            return await client.run({**TASK, "numberResults": 2, "deliveryMethod": delivery}, timeout_s=30)

    outcome = run_async(main())
    assert len(outcome) == 2
    assert outcome.errors == []
    assert [charge["results"] for charge in sandbox.charges()] == [2]


def test_results_missed_in_a_gap_are_delivered_on_resuming(start_sandbox, run_async):
    """The connection breaks while a slow sync task runs; its result is buffered, or found by asking."""
    sandbox = start_sandbox("--latency-s", "0.6")
    sandbox.faults({"kind": "cut", "on": "modelSearch"})

    async def main():
        async with connect(sandbox) as client:
            running = asyncio.ensure_future(client.run({**TASK, "numberResults": 2}))
            await asyncio.sleep(0.2)
            with_gap = await client.search_models("pixel")
            return with_gap, await running

    found, outcome = run_async(main())
    assert found["totalResults"] > 0
    assert len(outcome) == 2
    assert len(sandbox.charges()) == 1


def test_a_lost_frame_is_found_by_asking(sandbox, run_async, monkeypatch):
    monkeypatch.setattr("runware_nb.providers.runware.fate.SYNC_SILENCE_S", 0.3)
    sandbox.faults({"kind": "mute"})

    async def main():
        async with connect(sandbox) as client:
            return await client.run(TASK)

    assert len(run_async(main())) == 1
    assert len(sandbox.charges()) == 1


def test_a_sync_task_that_outlives_the_window_is_polled(start_sandbox, run_async):
    sandbox = start_sandbox("--latency-s", "400", "--time-scale", "400")

    async def main():
        async with connect(sandbox, "rest") as client:
            return await client.run(TASK)

    assert len(run_async(main())) == 1
    assert len(sandbox.charges()) == 1


@BOTH
def test_a_wrong_key_is_one_sentence(sandbox, run_async, transport):
    async def main():
        async with Client("wrong-key", transport=transport, **sandbox.urls) as client:
            await client.run(TASK)

    with pytest.raises(AuthenticationFailed, match="Invalid API key") as caught:
        run_async(main())
    assert "wrong-key" not in str(vars(caught.value))


def test_the_key_may_travel_as_the_first_element(sandbox, run_async):
    from runware_nb.settings import Settings

    settings = Settings(auth_in_payload=True, transport="rest", **sandbox.urls)

    async def main():
        async with Client(sandbox.api_key, settings=settings) as client:
            await client.ping()
            return await client.run(TASK)

    assert len(run_async(main())) == 1


@BOTH
def test_a_refused_parameter_keeps_all_that_was_said(sandbox, run_async, transport):
    async def main():
        async with connect(sandbox, transport) as client:
            await client.run({**TASK, "width": 1000, "numberResults": 3})

    with pytest.raises(TaskInvalid) as caught:
        run_async(main())
    error = caught.value
    assert (error.code, error.parameter) == ("invalidWidth", "width")
    assert error.documentation.endswith("#request-width")
    assert error.task_uuid
    assert error.http_status == (400 if transport == "rest" else None)


@BOTH
def test_a_uuid_used_before_is_an_error_on_a_first_attempt(sandbox, run_async, transport):
    async def main():
        async with connect(sandbox, transport) as client:
            first = await client.run(TASK)
            await client.run({**TASK, "taskUUID": first.task_uuid})

    with pytest.raises(TaskInvalid) as caught:
        run_async(main())
    assert caught.value.code == "conflictTaskUUID"
    assert len(sandbox.charges()) == 1


@BOTH
def test_a_deadline_names_the_task_and_leaves_it_running(start_sandbox, run_async, transport):
    sandbox = start_sandbox("--latency-s", "1.5")

    async def main():
        async with connect(sandbox, transport) as client:
            await client.ping()  # connecting counts as well, and a task that was not sent by then is not named
            with pytest.raises(TransportTimeout) as caught:
                await client.run(TASK, timeout_s=0.5)
            assert caught.value.task_uuid
            task = {**TASK, "taskUUID": caught.value.task_uuid}
            return await client.collect(task, timeout_s=20)

    assert len(run_async(main())) == 1
    assert len(sandbox.charges()) == 1


@BOTH
def test_collecting_what_nobody_knows_is_one_sentence(sandbox, run_async, transport):
    async def main():
        async with connect(sandbox, transport) as client:
            await client.collect({**TASK, "taskUUID": "3f2a91c0-0000-4000-8000-000000000000"}, timeout_s=20)

    with pytest.raises(TaskNotFound, match="does not know task"):
        run_async(main())
    assert sandbox.charges() == []


def test_an_unreachable_server_is_one_sentence(run_async):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    notices = []

    async def main():
        urls = {"rest_url": f"http://127.0.0.1:{port}/v1", "ws_url": f"ws://127.0.0.1:{port}/v1"}
        async with Client("k", max_retries=1, on_notice=notices.append, **urls) as client:
            await client.run(TASK)

    with pytest.raises(TransportError, match=f"127.0.0.1:{port} cannot be reached") as caught:
        run_async(main())
    assert caught.value.may_have_arrived is False
    assert len(notices) == 1
    assert "REST" in notices[0]


def test_rest_takes_over_where_no_websocket_can_be_had(sandbox, run_async):
    notices = []

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def main():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        urls = {"rest_url": sandbox.rest_url, "ws_url": f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"}
        async with server, Client(sandbox.api_key, on_notice=notices.append, **urls) as client:
            await client.run(TASK)
            await client.run(TASK)
            return await client.open()

    assert run_async(main()) == "rest"
    assert len(notices) == 1


async def serve_html(port_ready, body=b"<!doctype html><html>hello</html>"):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port_ready(server.sockets[0].getsockname()[1])
    return server


def test_a_server_that_answers_html_is_one_sentence(run_async):
    async def main():
        ports = []
        server = await serve_html(ports.append)
        try:
            async with Client("k", transport="rest", rest_url=f"http://127.0.0.1:{ports[0]}/v1") as client:
                await client.run(TASK)
        finally:
            server.close()

    with pytest.raises(ProtocolError, match=r"a web page \(HTTP 200\) instead of JSON"):
        run_async(main())


def test_media_from_elsewhere_on_this_machine_are_refused(sandbox, run_async):
    from runware_nb import Result

    async def main():
        ports = []
        server = await serve_html(ports.append)
        try:
            async with connect(sandbox) as client:
                await client.fetch(Result({"imageURL": f"http://127.0.0.1:{ports[0]}/x.png"}, "u"))
        finally:
            server.close()

    with pytest.raises(MediaError, match="private network"):
        run_async(main())


def test_a_medium_that_has_expired_is_one_sentence(start_sandbox, run_async):
    sandbox = start_sandbox("--time-scale", "600")

    async def main():
        async with connect(sandbox) as client:
            (result,) = await client.run({**TASK, "ttl": 60})
            await asyncio.sleep(0.3)
            await client.fetch(result)

    with pytest.raises(MediaError, match="no longer has this file") as caught:
        run_async(main())
    assert caught.value.is_expired


@BOTH
def test_utilities(sandbox, run_async, transport):
    async def main():
        async with connect(sandbox, transport) as client:
            await client.ping()
            (result,) = await client.run(TASK)
            body = (await client.fetch(result)).bytes
            uploaded = await client.upload(body)
            repainted = await client.run({**TASK, "seedImage": uploaded, "strength": 0.5})
            return await client.search_models("pixel art", limit=2), await client.account(), uploaded, repainted

    found, account, uploaded, repainted = run_async(main())
    assert len(found["results"]) == 2
    assert account["balance"]["amount"] < 100
    assert account["apiKeys"][0]["apiKey"] == "[redacted]"
    assert len(uploaded) == 36
    assert len(repainted) == 1


@pytest.mark.parametrize(
    ("media", "words"),
    [(b"", "empty"), (b"hello", "not an image, video, audio or 3D file"), ("nowhere.png", "there is no such file")],
)
def test_bad_uploads_are_one_sentence(sandbox, run_async, media, words):
    async def main():
        async with connect(sandbox) as client:
            await client.upload(media)

    with pytest.raises(MediaError, match=words):
        run_async(main())


def test_no_more_than_the_bound_are_in_flight(start_sandbox, run_async):
    sandbox = start_sandbox("--latency-s", "0.2")
    running = 0
    most = 0

    async def count(task, number):
        nonlocal running, most
        running += 1
        most = max(most, running)

    async def one(client):
        nonlocal running
        await client.run(TASK, on_attempt=count)
        running -= 1

    async def main():
        async with connect(sandbox, max_in_flight=3) as client:
            await asyncio.gather(*(one(client) for _ in range(9)))

    run_async(main())
    assert most == 3


def test_progress_and_results_are_told_as_they_come(start_sandbox, run_async):
    sandbox = start_sandbox("--latency-s", "2.5")
    seen, progress = [], []

    async def main():
        async with connect(sandbox) as client:
            return await client.run({**TASK, "numberResults": 3, "deliveryMethod": "async"},
                                    on_result=seen.append, on_progress=progress.append)  # fmt: skip

    outcome = run_async(main())
    assert len(seen) == len(outcome) == 3
    assert progress
    assert all(0 <= value <= 100 for value in progress)


def test_an_observer_that_fails_costs_nothing(sandbox, run_async, caplog):
    def broken(_):
        raise ValueError("mine")

    async def main():
        async with connect(sandbox) as client:
            return await client.run(TASK, on_result=broken)

    assert len(run_async(main())) == 1
    assert "an observer failed" in caplog.text


def test_closing_is_quick_and_tells_whoever_waits(start_sandbox, run_async):
    sandbox = start_sandbox("--latency-s", "30")

    async def main():
        client = connect(sandbox, max_retries=0)
        running = asyncio.ensure_future(client.run(TASK))
        await asyncio.sleep(0.3)
        started = asyncio.get_running_loop().time()
        await client.aclose()
        took = asyncio.get_running_loop().time() - started
        with pytest.raises(TransportError, match="closed"):
            await running
        return took

    assert run_async(main()) < 5


@pytest.mark.parametrize("reached", ["opening", "in flight", "queued"])
def test_whoever_waits_at_a_closed_client_hears_the_same_reason(start_sandbox, run_async, reached):
    """Whether a task waits for the connection, for an answer or for its turn is of no interest to the user."""
    sandbox = start_sandbox("--latency-s", "60")
    silent = socket.create_server(("127.0.0.1", 0))  # it accepts, and never completes the handshake
    urls = {"ws_url": f"ws://127.0.0.1:{silent.getsockname()[1]}"} if reached == "opening" else {}

    async def work():
        client = Client(sandbox.api_key, transport="websocket", max_in_flight=1, **sandbox.urls | urls)
        running = [asyncio.create_task(client.run(TASK)) for _ in range(2 if reached == "queued" else 1)]
        await asyncio.sleep(0.3)
        await client.aclose(TransportError("it rains"))
        ended = await asyncio.gather(*running, client.run(TASK), return_exceptions=True)
        return [str(error) for error in ended]

    assert set(run_async(work())) == {"it rains"}
    silent.close()


def test_cancelling_a_run_frees_its_slot(start_sandbox, run_async):
    sandbox = start_sandbox("--latency-s", "0.5")

    async def main():
        async with connect(sandbox, max_in_flight=1) as client:
            first = asyncio.ensure_future(client.run(TASK))
            await asyncio.sleep(0.1)
            first.cancel()
            return await client.run(TASK)

    assert len(run_async(main())) == 1


def test_a_server_that_restarts_loses_nothing(start_sandbox, run_async, lasting):
    """The sandbox is killed while a task runs and started again on the same port and state."""
    state = (*lasting, "--latency-s", "1.0")
    first = start_sandbox(*state)

    async def main():
        async with connect(first) as client:
            running = asyncio.ensure_future(client.run(TASK, timeout_s=30))
            await asyncio.sleep(0.3)
            first.kill()
            await asyncio.sleep(0.3)
            second = start_sandbox(*state)
            return await running, second

    outcome, second = run_async(main())
    assert len(outcome) == 1
    assert [charge["task_uuid"] for charge in second.charges()] == [outcome.task_uuid]


def test_what_came_before_the_connection_was_lost_for_good_is_kept(start_sandbox, run_async):
    sandbox = start_sandbox("--latency-s", "1.5")

    async def main():
        async with connect(sandbox, max_retries=0) as client:
            seen = []
            running = asyncio.ensure_future(client.run({**TASK, "numberResults": 4}, on_result=seen.append))
            while not seen:
                await asyncio.sleep(0.02)
            client._router.on_broken(TransportError("gone for good"))
            with pytest.raises(TransportError, match="gone for good") as caught:
                await running
            return caught.value.outcome, seen

    outcome, seen = run_async(main())
    assert list(outcome)
    assert {one.item_uuid for one in outcome} >= {one.item_uuid for one in seen[:1]}


def test_the_same_uuid_twice_at_once_is_refused(start_sandbox, run_async):
    sandbox = start_sandbox("--latency-s", "0.5")
    task = {**TASK, "taskUUID": "3f2a91c0-0000-4000-8000-000000000000"}

    async def main():
        async with connect(sandbox) as client:
            return await asyncio.gather(client.run(task), client.run(task), return_exceptions=True)

    first, second = run_async(main())
    assert len(first) == 1
    assert isinstance(second, TaskInvalid)


@BOTH
def test_nothing_is_left_behind_by_failures(sandbox, run_async, transport):
    sandbox.faults({"kind": "fail", "code": "timeoutProvider"}, {"kind": "cut", "skip": 1}, {"kind": "html", "skip": 2})

    async def main():
        async with connect(sandbox, transport) as client:
            for _ in range(3):
                await client.run(TASK)
            board, slots = client._router, client._limiter
            return dict(board.flights), dict(board._calls), slots._turns._taken, len(slots._turns._waiting)

    assert run_async(main()) == ({}, {}, 0, 0)


def test_places_in_flight_are_given_in_the_order_of_asking(start_sandbox, run_async):
    sandbox = start_sandbox("--latency-s", "0.05")
    order = []

    async def main():
        async with connect(sandbox, max_in_flight=2) as client:

            async def one(number):
                async def started(task, attempt):
                    order.append(number)

                await client.run(TASK, on_attempt=started)

            await asyncio.gather(*(one(number) for number in range(12)))

    run_async(main())
    assert order == list(range(12))


def test_a_server_that_died_since_is_one_sentence_and_nothing_is_sent(start_sandbox, run_async):
    from runware_nb.settings import Settings

    sandbox = start_sandbox()
    settings = Settings(connect_timeout_s=1.0, **sandbox.urls)

    async def main():
        async with Client(sandbox.api_key, settings=settings) as client:
            await client.run(TASK)
            sandbox.kill()
            await asyncio.sleep(0.5)  # until it shows
            await client.run(TASK)

    with pytest.raises(TransportError, match="cannot be reached any more") as caught:
        run_async(main())
    assert caught.value.may_have_arrived is False


@BOTH
def test_an_outage_while_a_task_is_polled_is_sat_out(start_sandbox, run_async, lasting, transport):
    """The service is away for longer than the retries would take, and comes back with the result."""
    state = (*lasting, "--latency-s", "2")
    first = start_sandbox(*state)

    async def main():
        async with connect(first, transport, max_retries=0) as client:
            task = {**TASK, "deliveryMethod": "async"}
            running = asyncio.ensure_future(client.run(task, timeout_s=40))
            await asyncio.sleep(0.5)
            first.kill()
            await asyncio.sleep(4)
            second = start_sandbox(*state)
            return await running, second

    outcome, second = run_async(main())
    assert len(outcome) == 1
    assert len(second.charges()) == 1


def test_tasks_of_one_moment_share_a_frame(sandbox, run_async, monkeypatch):
    monkeypatch.setattr(wire_trace, "is_on", True)
    wire_trace.frames.clear()

    async def main():
        async with connect(sandbox, max_in_flight=64) as client:
            await client.open()
            return await asyncio.gather(*(client.run({**TASK, "seed": n}) for n in range(1, 41)))

    outcomes = run_async(main())
    frames = [len(frame.frame) for frame in wire_trace.frames if frame.direction == "sent"]
    wire_trace.frames.clear()
    assert [outcome[0].seed for outcome in outcomes] == list(range(1, 41))
    assert sum(frames) == 40
    assert max(frames) == 16
    assert len(sandbox.charges()) == 40


def test_a_task_that_is_no_json_harms_none_beside_it(sandbox, run_async):
    async def main():
        async with connect(sandbox) as client:
            await client.open()
            good = [client.run({**TASK, "seed": n}) for n in (1, 2)]
            return await asyncio.gather(good[0], client.run({**TASK, "CFGScale": float("nan")}),
                                        client.run({**TASK, "steps": 10**5000}), good[1],
                                        return_exceptions=True)  # fmt: skip

    first, refused, bad, second = run_async(main())
    assert isinstance(refused, TaskInvalid)
    assert isinstance(bad, TaskInvalid)
    assert len(first) == len(second) == 1


def test_what_left_in_an_earlier_frame_is_not_said_to_have_stayed(sandbox, run_async):
    """Forty tasks leave in three frames; the connection dies after the first."""

    async def main():
        async with connect(sandbox, max_in_flight=64) as client:
            await client.open()
            transport = client._connection._transport
            socket = transport._socket

            class Dying:
                async def send(self, text):
                    await socket.send(text)
                    socket._socket.transport.abort()

            transport._socket = Dying()
            sends = [transport.send([{"taskType": "ping", "ping": True, "n": n}], timeout_s=5) for n in range(40)]
            return await asyncio.gather(*sends, return_exceptions=True)

    errors = run_async(main())
    assert all(isinstance(error, TransportError) and error.may_have_arrived for error in errors)


def test_media_that_do_not_arrive_by_the_deadline_are_one_sentence(start_sandbox, run_async):
    sandbox = start_sandbox()
    sandbox.faults({"kind": "late", "seconds": 5, "on": "mediaStorage", "count": None})

    async def main():
        async with connect(sandbox) as client:
            await client.run({**TASK, "seedImage": Image.new("RGB", (8, 8))}, timeout_s=0.5)

    with pytest.raises(TransportTimeout, match="was not sent"):
        run_async(main())
    assert sandbox.charges() == []
