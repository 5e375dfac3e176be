"""Text as it is written, over real sockets."""

import asyncio

import pytest

from runware_nb import Client
from runware_nb.errors import (
    AuthenticationFailed,
    ContentRefused,
    RateLimited,
    TaskInvalid,
    TransportError,
)

TALK = {
    "taskType": "textInference", "model": "google:gemma@4-31b", "includeUsage": True,
    "messages": [{"role": "user", "content": "hello ☕"}], "settings": {"thinkingLevel": "low"},
}  # fmt: skip


def read(sandbox, run_async, task=TALK, *, key=None, stop_after=None, **settings):
    async def main():
        async with Client(key or sandbox.api_key, **sandbox.urls, **settings) as client, client.stream(task) as stream:
            deltas = []
            async for delta in stream:
                deltas.append(delta)
                if len(deltas) == stop_after:
                    break
            return deltas, stream

    return run_async(main())


def test_the_pieces_make_the_text(sandbox, run_async):
    deltas, stream = read(sandbox, run_async)
    assert len(deltas) > 10
    assert "".join(delta.text for delta in deltas) == stream.text == stream.outcome[0].text
    assert "hello ☕" in stream.text
    assert "慎重に" in stream.reasoning == stream.outcome[0].reasoning
    assert stream.outcome[0].usage["completionTokens"] > 5
    assert stream.outcome[0].finish_reason == "stop"
    (charge,) = sandbox.charges()
    assert stream.outcome.cost_usd == charge["cost_usd"] > 0


def test_characters_cut_between_packets_stay_whole(sandbox, run_async):
    """Reference 5.14: the vendor's SDK makes replacement characters of them."""
    sandbox.faults({"kind": "split"})
    _, stream = read(sandbox, run_async)
    assert "hello ☕" in stream.text
    assert "\ufffd" not in stream.text


def test_a_stream_that_breaks_off_is_collected(sandbox, run_async):
    whole = read(sandbox, run_async, {**TALK, "seed": 1})[1].text
    sandbox.faults({"kind": "cut", "when": "mid_stream"})
    deltas, stream = read(sandbox, run_async, {**TALK, "seed": 1, "routing": {}})
    assert stream.text == whole
    assert "".join(delta.text for delta in deltas) == whole
    assert stream.outcome[0].finish_reason == "stop"
    assert len(sandbox.charges()) == 2


def test_an_error_in_the_stream_keeps_what_came(sandbox, run_async):
    sandbox.faults({"kind": "fail", "code": "contentModeration", "message": "no"})
    with pytest.raises(ContentRefused, match="no") as caught:
        read(sandbox, run_async)
    assert caught.value.task_uuid
    assert caught.value.outcome.results[0].raw["reasoningContent"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "refuse", "status": 429, "code": "rateLimitExceeded", "retry_after_s": 2}, RateLimited),
        ({"kind": "refuse", "status": 400, "code": "invalidModel"}, TaskInvalid),
    ],
)
def test_errors_before_the_stream(sandbox, run_async, fault, error):
    sandbox.faults(fault)
    with pytest.raises(error) as caught:
        read(sandbox, run_async, max_retries=0)
    assert caught.value.http_status == fault["status"]
    assert sandbox.charges() == []


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "refuse", "status": 429, "code": "rateLimitExceeded", "retry_after_s": 0.1},
        {"kind": "refuse", "status": 503, "code": "serviceUnavailable", "names_task": False},
        {"kind": "html"},
        {"kind": "cut", "when": "before_accept"},
        {"kind": "cut", "when": "after_accept"},
    ],
)
def test_what_passes_before_the_first_piece_is_sat_out(sandbox, run_async, fault):
    sandbox.faults(fault)
    deltas, stream = read(sandbox, run_async)
    assert "hello ☕" in stream.text == "".join(delta.text for delta in deltas)
    assert len(sandbox.charges()) == 1


def test_a_wrong_key_before_the_stream(sandbox, run_async):
    with pytest.raises(AuthenticationFailed):
        read(sandbox, run_async, key="wrong-key")


def test_leaving_early_ends_the_reading_and_not_the_task(sandbox, run_async):
    async def main():
        async with Client(sandbox.api_key, **sandbox.urls) as client:
            async with client.stream(TALK) as stream:
                async for _ in stream:
                    break
            whole = await client.collect(stream.task)
            return stream, whole

    stream, whole = run_async(main())
    assert len(stream.text) < len(whole[0].text)
    assert len(sandbox.charges()) == 1


def test_cancelling_ends_at_once(start_sandbox, run_async):
    sandbox = start_sandbox("--latency-s", "20")

    async def main():
        async with Client(sandbox.api_key, **sandbox.urls) as client:

            async def reading():
                async for _ in client.stream(TALK):
                    pass

            task = asyncio.ensure_future(reading())
            await asyncio.sleep(0.5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, 1)

    run_async(main())


def test_run_returns_the_whole_text_of_a_stream(sandbox, run_async):
    async def main():
        async with Client(sandbox.api_key, **sandbox.urls) as client:
            return await client.run({**TALK, "deliveryMethod": "stream"})

    outcome = run_async(main())
    assert "hello ☕" in outcome[0].text
    assert not outcome[0].is_partial
    assert len(sandbox.charges()) == 1


def test_a_dead_server_is_one_sentence(run_async):
    async def main():
        async with Client("key", rest_url="http://127.0.0.1:9/v1", ws_url="ws://127.0.0.1:9/v1") as client:
            async for _ in client.stream(TALK):
                pass

    with pytest.raises(TransportError, match="cannot be reached"):
        run_async(main())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"taskType": "imageInference"}, "imageInference does not generate text"),
        ({"numberResults": 2}, "Only one result"),
    ],
)
def test_only_one_text_can_be_streamed(sandbox, run_async, change, problem):
    with pytest.raises(TaskInvalid, match=problem):
        read(sandbox, run_async, {**TALK, **change})
