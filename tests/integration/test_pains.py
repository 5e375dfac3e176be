"""What users of the vendor's own clients struggle with (reference 11), row by row, and that it is gone here."""

import asyncio
import base64
import io
import json
import subprocess
import sys
import time
import tomllib
import uuid

import pytest
from PIL import Image

from runware_nb import Client
from runware_nb.errors import (
    AuthenticationFailed,
    MediaError,
    ProviderFailed,
    TaskInvalid,
    TransportError,
    TransportTimeout,
)
from runware_nb.providers.runware.collect import Collector
from runware_nb.providers.runware.frames import parse_frame
from tests.conftest import REPO, TASK

BOTH = pytest.mark.parametrize("transport", ["websocket", "rest"])


def connect(sandbox, transport="websocket", **values):
    return Client(sandbox.api_key, transport=transport, **{**sandbox.urls, **values})


@pytest.fixture
def sent(monkeypatch):
    """Records the task types that leave over either transport, in order."""
    from runware_nb.providers.runware.rest import RestTransport
    from runware_nb.providers.runware.websocket import WebSocketTransport

    seen = []
    over_socket, over_http = WebSocketTransport.send, RestTransport.exchange

    async def send(self, tasks, **values):
        seen.extend((task["taskType"], task.get("taskUUID")) for task in tasks)
        await over_socket(self, tasks, **values)

    async def exchange(self, tasks, **values):
        seen.extend((task["taskType"], task.get("taskUUID")) for task in tasks)
        return await over_http(self, tasks, **values)

    monkeypatch.setattr(WebSocketTransport, "send", send)
    monkeypatch.setattr(RestTransport, "exchange", exchange)
    return seen


@BOTH
@pytest.mark.parametrize("most", [0, 1, 3])
def test_row_1_retries_are_as_many_as_were_asked_for(sandbox, run_async, transport, most, sent):
    """`max_retries` was ignored, ten were made, and they ended in conflictTaskUUID."""
    sandbox.faults({"kind": "fail", "code": "timeoutProvider", "count": None})

    async def main():
        async with connect(sandbox, transport, max_retries=most) as client:
            await client.run(TASK)

    with pytest.raises(ProviderFailed, match="did not answer in time"):
        run_async(main())
    attempts = [task_uuid for task_type, task_uuid in sent if task_type == "imageInference"]
    assert len(attempts) == len(set(attempts)) == 1 + most


@BOTH
def test_row_1_a_conflict_with_ourselves_means_accepted(sandbox, run_async, transport, sent):
    sandbox.faults({"kind": "cut", "when": "after_accept"}, {"kind": "refuse", "on": "getResponse", "status": 404,
                   "code": "taskFailedOrNotFound", "count": 2}, {"kind": "refuse", "on": "getTaskDetails",
                   "status": 404, "code": "taskNotFound", "count": 2})  # fmt: skip

    async def main():
        async with connect(sandbox, transport) as client:
            return await client.run(TASK, timeout_s=40)

    outcome = run_async(main())
    assert len(outcome) == 1
    assert len(sandbox.charges()) == 1
    kinds = [task_type for task_type, _ in sent]
    assert kinds[0] == "imageInference"
    # the ladder: asked, then details, and only then the same UUID again
    again = kinds.index("imageInference", 1)
    assert kinds.index("getResponse") < kinds.index("getTaskDetails") < again
    assert {task_uuid for task_type, task_uuid in sent if task_type == "imageInference"} == {outcome.task_uuid}


def test_row_2_and_3_no_websocket_here_means_rest_and_a_sentence(sandbox, run_async):
    """The handshake timed out in some networks, and the user was left with endless reconnecting."""
    notices = []

    async def main():
        settings = {**sandbox.urls, "ws_url": "ws://127.0.0.1:9/v1"}
        async with Client(sandbox.api_key, **settings, on_notice=notices.append) as client:
            return await client.run(TASK)

    assert len(run_async(main())) == 1
    assert len(notices) == 1
    assert "using REST instead" in notices[0]


@BOTH
def test_row_3_a_wrong_key_is_told_from_a_dead_network(sandbox, run_async, transport):
    async def ask(key, **urls):
        async with Client(key, transport=transport, **{**sandbox.urls, **urls}, max_retries=0) as client:
            await client.ping()

    with pytest.raises(AuthenticationFailed, match="Invalid API key"):
        run_async(ask("wrong-key"))
    with pytest.raises(TransportError, match="cannot be reached"):
        run_async(ask(sandbox.api_key, rest_url="http://127.0.0.1:9/v1", ws_url="ws://127.0.0.1:9/v1"))


@BOTH
def test_row_4_the_whole_error_object_is_there(sandbox, run_async, transport):
    async def main():
        async with connect(sandbox, transport) as client:
            await client.run({**TASK, "scheduler": "Eulerr"})

    with pytest.raises(TaskInvalid) as caught:
        run_async(main())
    error = caught.value
    assert (error.code, error.parameter) == ("invalidScheduler", "scheduler")
    assert "Euler" in error.allowed_values
    assert error.documentation.startswith("https://")
    assert uuid.UUID(error.task_uuid)
    assert error.raw["code"] == error.code
    assert error.http_status == (400 if transport == "rest" else None)


def test_row_6_base64_is_no_file_name(sandbox, run_async, tmp_path, monkeypatch):
    """Even where a file of that very name exists, what is base64 of an image is an image."""
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    text = base64.b64encode(buffer.getvalue()).decode().replace("/", "A")[:96]

    async def main():
        async with connect(sandbox) as client:
            return await client.prepare({**TASK, "seedImage": text})

    assert run_async(main())["inputs"]["seedImage"] == text


@BOTH
def test_row_8_batches_come_whole_and_in_order(sandbox, run_async, transport):
    async def main():
        async with connect(sandbox, transport) as client:
            return await asyncio.gather(*(client.run({**TASK, "numberResults": 5, "seed": n}) for n in (10, 20, 30)))

    assert [[result.seed for result in outcome] for outcome in run_async(main())] == [
        list(range(first, first + 5)) for first in (10, 20, 30)
    ]


def test_row_9_unknown_fields_are_kept_and_harm_nothing():
    frame = parse_frame(
        '{"data":[{"taskType":"imageInference","taskUUID":"u","imageUUID":"i","imageURL":"http://x/i.jpg",'
        '"imageAltText":"a ship","novelty":{"deep":[1]}}],"meta":{"later":true}}'
    )
    (result,) = Collector({"taskType": "imageInference", "taskUUID": "u"}).add(frame.items)
    assert result.raw["imageAltText"] == "a ship"
    assert result.raw["novelty"] == {"deep": [1]}


@pytest.mark.parametrize(
    ("change", "word"),
    [({"width": "wide"}, "width"), ({"model": None}, "model"), ({"positivePrompt": None}, "positivePrompt"),
     ({"numberResults": 2.5}, "numberResults"), ({"seed": "x"}, "seed"), ({"lora": 7}, "lora")],
)  # fmt: skip
def test_row_10_a_wrong_parameter_is_named_and_nothing_else_breaks(sandbox, make_session, change, word):
    session = make_session(sandbox)
    with pytest.raises(TaskInvalid, match=word):
        session.submit({**{name: value for name, value in TASK.items() if change.get(name, 0) is not None},
                        **{name: value for name, value in change.items() if value is not None}}).result(20)  # fmt: skip
    assert sandbox.charges() == []


@BOTH
def test_row_11_closing_takes_no_time(start_sandbox, run_async, transport):
    """Closing the socket took nine seconds."""
    sandbox = start_sandbox("--latency-s", "30")

    async def main():
        client = connect(sandbox, transport)
        running = asyncio.ensure_future(client.run({**TASK, "deliveryMethod": "async"}))
        await asyncio.sleep(0.5)
        started = time.monotonic()
        await client.aclose()
        took = time.monotonic() - started
        with pytest.raises(TransportError, match="closed"):
            await running
        return took

    assert run_async(main()) < 0.5


def test_row_12_and_22_a_large_png_as_base64_arrives_over_websocket(sandbox, run_async):
    """32 MB of base64 in one frame; the vendor's SDK loses all above 1 MiB without a word."""

    async def main():
        async with connect(sandbox) as client:
            task = {**TASK, "width": 2048, "height": 2048, "outputType": "base64Data", "outputFormat": "PNG",
                    "numberResults": 7, "steps": 1}  # fmt: skip
            outcome = await client.run(task)
            return outcome, await client.collect(outcome.task)

    outcome, polled = run_async(main())
    assert len(outcome) == len(polled) == 7
    assert len(json.dumps([result.raw for result in polled])) > 32 * 1024 * 1024  # a poll's answer is one frame
    assert [result.inline for result in polled] == [result.inline for result in outcome]


def test_row_12_each_call_has_a_deadline_of_its_own(start_sandbox, run_async):
    sandbox = start_sandbox("--latency-s", "5")

    async def main():
        async with connect(sandbox) as client:
            await client.ping()  # connecting counts as well
            started = time.monotonic()
            with pytest.raises(TransportTimeout, match="goes on") as caught:
                await client.run(TASK, timeout_s=0.4)
            return time.monotonic() - started, caught.value.task_uuid

    took, task_uuid = run_async(main())
    assert took < 2
    assert task_uuid


def test_row_13_and_14_dependencies_are_few_and_loosely_bounded():
    declared = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["dependencies"]
    # One replaces another, and h11 is installed with httpx in any case: naming it adds no package.
    needed = [each for each in declared if "python_version >= '3.14'" not in each and not each.startswith("h11")]
    assert len(needed) <= 10
    assert not [each for each in declared if "==" in each]


def test_row_15_a_reset_connection_kills_nothing(sandbox, run_async):
    """A socket error that nobody handled ended the whole process."""
    script = (
        "import asyncio, sys\n"
        "from runware_nb import Client\n"
        "async def main():\n"
        "    loop = asyncio.get_running_loop()\n"
        "    unheard = []\n"
        "    loop.set_exception_handler(lambda loop, context: unheard.append(context))\n"
        "    async with Client(sys.argv[1], rest_url=sys.argv[2], ws_url=sys.argv[3]) as client:\n"
        "        await client.open()\n"
        "        client._connection._transport._socket._socket.transport.abort()\n"
        "        await asyncio.sleep(0.3)\n"
        "        await client.ping()\n"
        "    import gc; gc.collect(); await asyncio.sleep(0)\n"
        "    print(unheard)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, sandbox.api_key, sandbox.rest_url, sandbox.ws_url],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")


@BOTH
def test_row_16_and_17_a_long_task_shows_progress_and_ends_at_its_deadline(start_sandbox, run_async, transport):
    sandbox = start_sandbox("--latency-s", "3")
    seen = []

    async def main():
        async with connect(sandbox, transport) as client:
            await client.run({**TASK, "deliveryMethod": "async"}, on_progress=seen.append)

    run_async(main())
    assert seen == sorted(seen)
    assert 0 < seen[0] < 100


@BOTH
def test_row_20_a_slow_image_is_asked_for_and_never_bought_twice(start_sandbox, run_async, transport, monkeypatch):
    """A default retry sent a slow image again under another UUID, and both were billed."""
    sandbox = start_sandbox("--latency-s", "300", "--time-scale", "120")  # a window of one second

    async def main():
        async with connect(sandbox, transport) as client:
            return await client.run(TASK, timeout_s=30)

    monkeypatch.setattr("runware_nb.providers.runware.fate.SYNC_SILENCE_S", 1.5)
    assert len(run_async(main())) == 1
    assert len(sandbox.charges()) == 1


def test_row_21_a_parameter_nobody_knows_is_warned_about(sandbox, make_session):
    """It was ignored without a word, and the feature seemed to work."""
    job = make_session(sandbox).submit({**TASK, "model": "runware:101@1", "clipskip": 2})
    job.result(20)
    assert any("clipskip" in notice and "clipSkip" not in notice for notice in job.notices)


def test_media_that_lie_are_refused_and_stay_paid(sandbox, run_async):
    """Files that are gone, cut short, or a bomb: the result stays, the sentence says which it is."""
    said = {}

    async def main():
        for kind in ("expire", "truncate", "bomb", "drop"):
            sandbox.faults({"kind": kind})
            async with connect(sandbox) as client:
                (result,) = await client.run({**TASK, "positivePrompt": f"a ship that will {kind}"})
                try:
                    await client.fetch(result)
                    _ = result.image
                except (MediaError, TransportError) as error:
                    said[kind] = f"{type(error).__name__}: {error}"

    run_async(main())
    assert "no longer has this file" in said["expire"]
    assert "is damaged or incomplete" in said["truncate"]
    assert "900 megapixels" in said["bomb"]
    assert said["drop"].startswith("TransportError")
    assert len(sandbox.charges()) == 4
