"""The sandbox's switches: each other reading of the sources can be had, and the client reads both."""

import asyncio
import base64
import http.server
import io
import json
import threading
import urllib.error
import urllib.request

import pytest
from PIL import Image

from runware_nb import Client
from runware_nb.errors import ProviderFailed, TaskInvalid
from runware_nb.sandbox.runware.behaviour import Behaviour
from tests.conftest import REPO, TASK

BOTH = pytest.mark.parametrize("transport", ["websocket", "rest"])


def turn(sandbox, **switches):
    sandbox.control("behaviour", switches, post=True)


def run(sandbox, run_async, transport, task, **settings):
    async def main():
        async with Client(sandbox.api_key, transport=transport, **sandbox.urls, **settings) as client:
            return await client.run(task, timeout_s=30)

    return run_async(main())


@BOTH
@pytest.mark.parametrize(
    "switches",
    [
        {"unknown_task": "error"}, {"running_status": "pending"}, {"poll_task_type": "getResponse"},
        {"failed_items": "data"}, {"conflict_status": 409}, {"enhance_index": True}, {"upload_as_object": True},
        {"balance_as_number": True}, {"search_source": "curated"},
    ],
    ids="-".join,
)  # fmt: skip
def test_the_client_reads_every_reading(start_sandbox, run_async, transport, switches, monkeypatch):
    monkeypatch.setattr("runware_nb.providers.runware.fate.SYNC_SILENCE_S", 0.5)
    sandbox = start_sandbox("--latency-s", "1.2")
    turn(sandbox, **switches)
    sandbox.faults({"kind": "cut", "when": "after_accept"}, {"kind": "fail", "items": [1]})

    async def main():
        async with Client(sandbox.api_key, transport=transport, **sandbox.urls) as client:
            outcome = await client.run({**TASK, "numberResults": 3, "deliveryMethod": "async"}, timeout_s=30)
            versions = await client.run({"taskType": "promptEnhance", "prompt": "a cat", "promptVersions": 3})
            upload = await client.run({"taskType": "imageUpload", "image": Image.new("RGB", (8, 8))})
            return outcome, versions, upload, await client.account(), await client.search_models("flux")

    outcome, versions, upload, account, found = run_async(main())
    assert (len(outcome), len(outcome.errors)) == (2, 1)
    assert isinstance(outcome.errors[0], ProviderFailed)
    assert len(versions) == 3
    assert upload[0].item_uuid
    assert account["balance"]
    assert found["results"][0]["source"] in {"official", "curated"}
    assert sum(charge["results"] for charge in sandbox.charges()) == 5


@BOTH
def test_a_conflict_status_of_either_kind_is_an_error_on_a_first_attempt(sandbox, run_async, transport):
    turn(sandbox, conflict_status=409)
    task = {**TASK, "taskUUID": "3f2a0000-0000-4000-8000-000000000001"}
    run(sandbox, run_async, transport, task)
    with pytest.raises(TaskInvalid, match="used before"):
        run(sandbox, run_async, transport, task)


def test_unknown_parameters_are_refused_or_ignored(sandbox, run_async):
    task = {**TASK, "novelty": 1}
    assert len(run(sandbox, run_async, "rest", task)) == 1  # FLUX.1 [dev] was seen to ignore them
    turn(sandbox, unknown_parameters="refuse")
    with pytest.raises(TaskInvalid) as caught:
        run(sandbox, run_async, "rest", task)
    assert (caught.value.code, caught.value.parameter) == ("unsupportedParameter", "novelty")
    turn(sandbox, unknown_parameters="ignore")
    assert len(run(sandbox, run_async, "rest", {**task, "model": "civitai:4384@128713"})) == 1


@pytest.mark.parametrize(("reading", "status"), [("by_model", 400), ("accept", 200)])
def test_closed_models_may_take_media_at_the_top_level(sandbox, reading, status):
    turn(sandbox, flat_inputs=reading)
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "PNG")
    media = [f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"]
    task = {"taskType": "imageInference", "taskUUID": "3f2a0000-0000-4000-8000-000000000003", "model": "bfl:5@1",
            "positivePrompt": "a ship", "width": 512, "height": 512, "referenceImages": media}  # fmt: skip
    headers = {"Authorization": f"Bearer {sandbox.api_key}", "Content-Type": "application/json"}
    request = urllib.request.Request(sandbox.rest_url, json.dumps([task]).encode(), headers)
    try:
        with urllib.request.urlopen(request) as response:
            received = response.status
    except urllib.error.HTTPError as error:
        with error:
            received = error.code
    assert received == status
    assert len(sandbox.charges()) == (status == 200)


def test_refusals_and_failures_may_cost(sandbox, run_async):
    turn(sandbox, refusal_uses_uuid=True, failure_is_billed=True)
    task = {**TASK, "taskUUID": "3f2a0000-0000-4000-8000-000000000002"}
    for words in ("width", "used before"):
        with pytest.raises(TaskInvalid, match=words):
            run(sandbox, run_async, "rest", {**task, "width": 1})
    sandbox.faults({"kind": "fail", "code": "timeoutProvider"})
    with pytest.raises(ProviderFailed):
        run(sandbox, run_async, "rest", {**TASK, "positivePrompt": "fails"}, max_retries=0)
    assert len(sandbox.charges()) == 1


@pytest.mark.parametrize("switches", [{"nonsense": 1}, {"conflict_status": 500}, {"enhance_index": "yes"}, [1], "x"])
def test_a_wrong_switch_is_refused(sandbox, switches):
    with pytest.raises(urllib.error.HTTPError) as caught:
        sandbox.control("behaviour", switches, post=True)
    assert caught.value.code == 400
    assert json.loads(caught.value.read())["error"]


def test_every_switch_is_documented():
    page = (REPO / "docs" / "sandbox.md").read_text()
    assert all(f"`{name}`" in page for name in Behaviour.__dataclass_fields__)


# --- what the service sends by itself ----------------------------------------------------------------


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.command, self.path, self.headers["Content-Type"], body))
        self.send_response(200 if len(self.server.heard) > self.server.refuses else 503)
        self.end_headers()

    do_PUT = do_POST  # noqa: N815 - the name that http.server calls

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.heard, server.refuses = [], 0
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@BOTH
def test_a_webhook_is_called_for_each_item_and_again_until_it_answers(sandbox, run_async, transport, receiver):
    receiver.refuses = 2
    task = {**TASK, "numberResults": 2, "webhookURL": f"http://127.0.0.1:{receiver.server_port}/hook?token=t"}

    async def main():
        async with Client(sandbox.api_key, transport=transport, **sandbox.urls) as client:
            outcome = await client.run(task)
            while len(receiver.heard) < 4:
                await asyncio.sleep(0.05)
            return outcome

    outcome = run_async(main())
    assert len(outcome) == 2
    called = [json.loads(body) for _, path, _, body in receiver.heard[2:] if path == "/hook?token=t"]
    assert {item["imageUUID"] for item in called} == {result.item_uuid for result in outcome}
    assert all("data" not in item for item in called)


def test_a_result_is_put_where_the_caller_wants_it(sandbox, run_async, receiver):
    async def main():
        async with Client(sandbox.api_key, **sandbox.urls) as client:
            address = f"http://127.0.0.1:{receiver.server_port}/bucket/x.jpg"
            (result,) = await client.run({**TASK, "uploadEndpoint": address})
            await client.fetch(result)
            while not receiver.heard:
                await asyncio.sleep(0.05)
            return result

    result = run_async(main())
    ((method, path, kind, body),) = receiver.heard
    assert (method, path, kind) == ("PUT", "/bucket/x.jpg", "image/jpeg")
    assert body == result.bytes


def test_nothing_is_sent_off_this_machine(sandbox, run_async):
    from runware_nb.sandbox.core.webhooks import is_reachable

    assert [is_reachable(url) for url in ("http://127.0.0.1:1/x", "http://localhost/x")] == [True, True]
    for url in ("https://example.com/x", "file:///etc/passwd", "http://[::1", 7, None, "ftp://127.0.0.1/x"):
        assert not is_reachable(url)
    assert len(run(sandbox, run_async, "rest", {**TASK, "webhookURL": "https://example.com/hook"})) == 1
