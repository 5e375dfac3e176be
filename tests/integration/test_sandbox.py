"""The sandbox by itself, spoken to with plain sockets: the client's code takes no part in it."""

import asyncio
import base64
import http.client
import io
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from urllib.parse import urlsplit

import pytest
from PIL import Image, ImageChops
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.conftest import TASK, SandboxProcess


def task(**changes):
    return {**TASK, "taskUUID": str(uuid.uuid4()), **changes}


def post(sandbox, tasks, *, key=None, headers=None, path="/v1", method="POST", body=None):
    parts = urlsplit(sandbox.rest_url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    given = {"Content-Type": "application/json", "Authorization": f"Bearer {key or sandbox.api_key}", **(headers or {})}
    connection.request(method, path, json.dumps(tasks) if body is None else body, given)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, (json.loads(text) if text.startswith(b"{") else text)


def fetch(url):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    connection.request("GET", parts.path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body, dict(answer.headers)


def picture(sandbox, **changes):
    _, answer = post(sandbox, [task(outputFormat="PNG", **changes)])
    return Image.open(io.BytesIO(fetch(answer["data"][0]["imageURL"])[1])).convert("RGB")


def differs(one, other):
    return ImageChops.difference(one, other).getbbox() is not None


async def authenticated(socket, sandbox, **more):
    await socket.send(json.dumps([{"taskType": "authentication", "apiKey": sandbox.api_key, **more}]))
    return json.loads(await socket.recv())["data"][0]["connectionSessionUUID"]


def test_the_first_line_says_where_everything_is(sandbox):
    assert set(sandbox.info) == {
        "rest_url", "ws_url", "media_url", "schemas_url", "runkey_url", "runkey_api_key",
            "runkey_webhook_secret", "useapi_url",
        "useapi_token", "api_key", "pid",
    }  # fmt: skip
    assert sandbox.info["pid"] == sandbox.process.pid


def test_each_start_draws_a_new_key(start_sandbox):
    assert start_sandbox().api_key != start_sandbox().api_key


@pytest.mark.parametrize("path", ["/", "/v1", "/v1?sdk=js&version=1"])
def test_rest_answers_on_every_path(sandbox, path):
    status, answer = post(sandbox, [task()], path=path)
    assert status == 200
    assert answer["data"][0]["imageURL"].startswith(sandbox.info["media_url"])


@pytest.mark.parametrize(
    ("key", "tasks", "code"),
    [("wrong", [TASK], "invalidApiKey"), ("", [{"taskType": "authentication"}], "missingApiKey"),
     ("", [{"taskType": "authentication", "apiKey": "wrong"}], "invalidApiKey")],
)  # fmt: skip
def test_a_bad_key_is_refused(sandbox, key, tasks, code):
    status, answer = post(sandbox, tasks, headers={"Authorization": f"Bearer {key}"})
    assert status == 401
    (error,) = answer["errors"]
    assert (error["code"], error["taskType"], error["parameter"]) == (code, "authentication", "apiKey")


def test_a_lone_authentication_task_checks_a_key(sandbox):
    status, answer = post(
        sandbox, [{"taskType": "authentication", "apiKey": sandbox.api_key}], headers={"Authorization": ""}
    )
    assert (status, answer["data"][0]["taskType"]) == (200, "authentication")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [({"body": "{"}, 400), ({"body": "{}"}, 400), ({"body": "[]"}, 400), ({"body": "[1]"}, 400),
     ({"headers": {"Content-Type": "text/plain"}}, 415), ({"headers": {"Host": "evil.example"}}, 403)],
)  # fmt: skip
def test_odd_requests_are_refused(sandbox, arguments, status):
    assert post(sandbox, [task()], **arguments)[0] == status
    assert sandbox.charges() == []


@pytest.mark.parametrize(
    ("change", "code", "parameter"),
    [
        ({"width": 1000}, "invalidWidth", "width"), ({"positivePrompt": "x"}, "invalidPositivePromptLength", "positivePrompt"),
        ({"positivePrompt": None}, "invalidPositivePrompt", "positivePrompt"), ({"model": "no:such@1"}, "invalidModel", "model"),
        ({"numberResults": 21}, "invalidNumberResults", "numberResults"), ({"outputFormat": "PDF"}, "invalidOutputFormat", "outputFormat"),
        ({"taskType": "nonsense"}, "invalidTaskType", "taskType"), ({"taskUUID": "x"}, "invalidTaskUUID", "taskUUID"),
        ({"model": "civitai:4384@128713", "extraThing": 1}, "unsupportedParameter", "extraThing"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named_and_nothing_is_billed(sandbox, change, code, parameter):
    status, answer = post(sandbox, [task(**change)])
    assert status == 400
    (error,) = answer["errors"]
    assert (error["code"], error["parameter"]) == (code, parameter)
    assert sandbox.charges() == []


def test_a_refusal_uses_no_uuid_up_and_a_task_does(sandbox):
    once = task(width=1000)
    assert post(sandbox, [once])[0] == 400
    assert post(sandbox, [{**once, "width": 512}])[0] == 200
    status, answer = post(sandbox, [{**once, "width": 512}])
    assert (status, answer["data"], answer["errors"][0]["code"]) == (400, [], "conflictTaskUUID")


def test_one_good_and_one_bad_task_are_answered_apart(sandbox):
    status, answer = post(sandbox, [task(), task(width=1000)])
    assert (status, len(answer["data"]), len(answer["errors"])) == (200, 1, 1)


def test_an_async_task_is_acknowledged_and_polled(start_sandbox):
    sandbox = start_sandbox("--latency-s", "0.5")
    wanted = task(deliveryMethod="async", numberResults=2, includeCost=True, seed=9)
    _, answer = post(sandbox, [wanted])
    assert answer == {"data": [{"taskType": "imageInference", "taskUUID": wanted["taskUUID"]}]}
    poll = {"taskType": "getResponse", "taskUUID": wanted["taskUUID"]}
    _, early = post(sandbox, [poll])
    assert {item["status"] for item in early["data"]} <= {"processing", "success"}
    assert all("imageURL" not in item for item in early["data"] if item["status"] == "processing")
    time.sleep(0.6)
    _, late = post(sandbox, [poll])
    assert [(item["seed"], item["status"]) for item in late["data"]] == [(9, "success"), (10, "success")]
    assert [item["imageUUID"] for item in late["data"]] == [item["imageUUID"] for item in early["data"]]
    assert sandbox.ledger()["total_usd"] == pytest.approx(sum(item["cost"] for item in late["data"]))


def test_an_unknown_task_is_an_empty_answer(sandbox):
    assert post(sandbox, [{"taskType": "getResponse", "taskUUID": str(uuid.uuid4())}]) == (200, {"data": []})


def test_the_same_request_paints_the_same_picture_and_each_change_another(sandbox):
    base = {"seed": 7, "positivePrompt": "a red ship at sunset"}
    first = picture(sandbox, **base)
    assert not differs(first, picture(sandbox, **base))
    for change in ({"seed": 8}, {"positivePrompt": "a blue ship at sunset"}, {"steps": 4}, {"CFGScale": 15},
                   {"model": "runware:100@1"}, {"negativePrompt": "ship"}, {"scheduler": "Euler a"}):  # fmt: skip
        assert differs(first, picture(sandbox, **{**base, **change})), change


def test_a_mask_leaves_the_other_pixels_alone(sandbox):
    start = Image.effect_noise((256, 256), 60).convert("RGB")
    mask = Image.new("L", (256, 256), 0)
    mask.paste(255, (64, 64, 128, 128))

    def uri(image):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"

    changed = ImageChops.difference(start, picture(sandbox, seedImage=uri(start), maskImage=uri(mask), strength=1.0))
    assert changed.getbbox() == (64, 64, 128, 128)


def test_strength_decides_how_much_is_kept(sandbox):
    _, answer = post(sandbox, [task(outputFormat="PNG")])
    source = answer["data"][0]["imageUUID"]
    start = Image.open(io.BytesIO(fetch(answer["data"][0]["imageURL"])[1])).convert("RGB")

    def distance(strength):
        made = picture(sandbox, positivePrompt="night city", seedImage=source, strength=strength, seed=3)
        return sum(i * n for i, n in enumerate(ImageChops.difference(start, made).convert("L").histogram()))

    assert distance(0.0) < distance(0.4) < distance(1.0)


@pytest.mark.parametrize(("name", "kind"), [("JPG", "JPEG"), ("png", "PNG"), ("WEBP", "WEBP"), ("JPEG", "JPEG")])
def test_formats(sandbox, name, kind):
    _, answer = post(sandbox, [task(outputFormat=name)])
    status, body, headers = fetch(answer["data"][0]["imageURL"])
    assert (status, Image.open(io.BytesIO(body)).format) == (200, kind)
    assert headers["access-control-allow-origin"] == "*"


def test_uploads_are_served_deleted_and_shrunk(sandbox):
    buffer = io.BytesIO()
    Image.new("RGB", (3000, 100), "red").save(buffer, "PNG")
    inline = base64.b64encode(buffer.getvalue()).decode()
    _, answer = post(sandbox, [{"taskType": "imageUpload", "taskUUID": str(uuid.uuid4()), "image": inline}])
    assert Image.open(io.BytesIO(fetch(answer["data"][0]["imageURL"])[1])).width == 2048
    again = {
        "taskType": "mediaStorage",
        "taskUUID": str(uuid.uuid4()),
        "operation": "upload",
        "media": answer["data"][0]["imageURL"],
    }
    _, stored = post(sandbox, [again])
    gone = {
        "taskType": "mediaStorage",
        "taskUUID": str(uuid.uuid4()),
        "operation": "delete",
        "media": stored["data"][0]["mediaUUID"],
    }
    assert post(sandbox, [gone])[0] == 200
    assert fetch(stored["data"][0]["mediaURL"])[0] == 404
    assert post(sandbox, [{**gone, "taskUUID": str(uuid.uuid4())}])[1]["errors"][0]["code"] == "mediaNotFound"


@pytest.mark.parametrize("image", ["aGVsbG8=", "%%%", "http://example.com/a.png", None])
def test_bad_uploads_are_refused(sandbox, image):
    assert post(sandbox, [{"taskType": "imageUpload", "taskUUID": str(uuid.uuid4()), "image": image}])[0] == 400


def test_an_empty_balance_refuses(start_sandbox):
    sandbox = start_sandbox("--balance-usd", "0.005")
    assert post(sandbox, [task(width=512, height=512, numberResults=2)])[0] == 200
    status, answer = post(sandbox, [task(width=512, height=512, numberResults=2)])
    assert (status, answer["errors"][0]["code"]) == (402, "insufficientCredits")


def test_model_search_filters_and_pages(sandbox):
    def search(**query):
        return post(sandbox, [{"taskType": "modelSearch", "taskUUID": str(uuid.uuid4()), **query}])[1]["data"][0]

    found = search(search="pixel art", limit=2)
    assert (found["totalResults"], len(found["results"])) == (3, 2)
    assert {"air", "name", "tags", "version", "comment"} <= set(found["results"][0])
    assert search(category="lora", search="schnell")["totalResults"] == 0
    assert search(category="checkpoint", search="schnell")["results"][0]["air"] == "runware:100@1"
    assert search(search="pixel art", offset=2)["results"][0]["air"] not in [each["air"] for each in found["results"]]


def test_schemas_are_served(sandbox):
    status, body, _ = fetch(f"{sandbox.info['schemas_url']}/registry.json")
    assert status == 200
    assert json.loads(body)["models"]["runware:504@1"] == {"taskType": "upscale", "id": "real-esrgan"}
    status, body, _ = fetch(f"{sandbox.info['schemas_url']}/resolve/runware%3A101%401")
    assert json.loads(body)["requestSchema"]["properties"]["taskType"]["const"] == "imageInference"
    assert fetch(f"{sandbox.info['schemas_url']}/resolve/nothing")[0] == 404


@pytest.mark.parametrize("path", ["ledger", "faults", "reset"])
def test_the_controls_want_the_key(sandbox, path):
    status, _ = post(
        sandbox, [], key="wrong", path=f"/v1/_sandbox/{path}", method="GET" if path == "ledger" else "POST"
    )
    assert status == 401


def test_an_unknown_fault_is_refused(sandbox):
    assert post(sandbox, None, path="/v1/_sandbox/faults", body='[{"kind":"earthquake"}]')[0] == 400


# --- WebSocket ------------------------------------------------------------------------------------------


def test_websocket_wants_authentication_first(sandbox, run_async):
    async def main():
        async with connect(sandbox.ws_url) as socket:
            await socket.send(json.dumps([task()]))
            refused = json.loads(await socket.recv())
            with pytest.raises(ConnectionClosed):
                await socket.recv()
        return refused

    (error,) = run_async(main())["errors"]
    assert (error["code"], error["taskType"]) == ("missingApiKey", "authentication")
    assert sandbox.charges() == []


def test_data_and_errors_never_share_a_frame(sandbox, run_async):
    sandbox.faults({"kind": "fail", "items": [1, 2]})

    async def main():
        async with connect(sandbox.ws_url) as socket:
            await authenticated(socket, sandbox)
            await socket.send(json.dumps([task(numberResults=4)]))
            return [json.loads(await socket.recv()) for _ in range(3)]

    frames = run_async(main())
    assert [sorted(frame) for frame in frames] == [["data"], ["errors"], ["errors"]]
    assert all(len(frame.get("errors", [1])) == 1 for frame in frames)


@pytest.mark.parametrize("extra", [{}, {"taskUUID": "abc"}])
def test_pings_are_answered_with_the_uuid_they_brought(sandbox, run_async, extra):
    async def main():
        async with connect(sandbox.ws_url) as socket:
            await authenticated(socket, sandbox)
            await socket.send(json.dumps([{"taskType": "ping", "ping": True, **extra}]))
            return json.loads(await socket.recv())

    assert run_async(main()) == {"data": [{"taskType": "ping", **extra, "pong": True}]}


def test_a_silent_socket_is_closed_and_a_speaking_one_is_not(start_sandbox, run_async):
    sandbox = start_sandbox("--time-scale", "240")  # 120 s of protocol are half a second

    async def main():
        async with connect(sandbox.ws_url) as socket:
            await authenticated(socket, sandbox)
            for _ in range(4):
                await asyncio.sleep(0.25)
                await socket.send(json.dumps([{"taskType": "ping", "ping": True}]))
                await socket.recv()
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(socket.recv(), 5)

    run_async(main())


async def resumed(sandbox, pause_s, **change):
    async with connect(sandbox.ws_url) as socket:
        session = await authenticated(socket, sandbox)
        await socket.send(json.dumps([task()]))
    await asyncio.sleep(pause_s)
    async with connect(sandbox.ws_url) as socket:
        again = await authenticated(socket, sandbox, connectionSessionUUID=change.get("session", session))
        try:
            return session, again, json.loads(await asyncio.wait_for(socket.recv(), 0.5))
        except (TimeoutError, ConnectionClosed):
            return session, again, None


def test_undelivered_results_wait_for_the_same_session(start_sandbox, run_async):
    sandbox = start_sandbox("--latency-s", "0.3")
    session, again, frame = run_async(resumed(sandbox, 0.6))
    assert session == again
    assert frame["data"][0]["imageURL"]


def test_but_not_for_ever(start_sandbox, run_async):
    sandbox = start_sandbox("--latency-s", "40", "--time-scale", "400")  # kept for 0.3 s
    _, _, frame = run_async(resumed(sandbox, 1.0))
    assert frame is None
    assert len(sandbox.charges()) == 1


def test_an_unknown_session_gets_a_new_one(sandbox, run_async):
    session, again, frame = run_async(resumed(sandbox, 0, session=str(uuid.uuid4())))
    assert session != again


# --- the process ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_asked(number):
    sandbox = SandboxProcess()
    sandbox.process.send_signal(number)
    sandbox.process.wait(timeout=10)
    sandbox.close()


def is_alive(pid):
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_ends_with_its_parent_even_when_that_is_killed(tmp_path):
    script = "import sys,time; from runware_nb.session.local_sandbox import LocalSandbox as L; s=L(); print(s.info['pid'], flush=True); time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(pid, 0)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not is_alive(pid):
            return
        time.sleep(0.05)
    pytest.fail("the sandbox outlived its parent")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--host", "0.0.0.0"], 2, "this machine only"),
        (["--port", "99999"], 1, "port 99999"),
        (["--faults", "{"], 2, "--faults"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments, code, words):
    done = subprocess.run(
        [sys.executable, "-m", "runware_nb.sandbox", *arguments], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == code
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_taken_port_is_one_sentence(sandbox):
    port = str(urlsplit(sandbox.rest_url).port)
    done = subprocess.run(
        [sys.executable, "-m", "runware_nb.sandbox", "--port", port], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    assert f"port {port} cannot be used" in done.stderr
    assert "--port 0" in done.stderr


def test_what_it_knew_it_knows_after_being_killed(start_sandbox, tmp_path):
    state = str(tmp_path / "state")
    first = start_sandbox("--state-dir", state)
    wanted = task(seed=4, outputFormat="PNG")
    _, answer = post(first, [wanted])
    before = fetch(answer["data"][0]["imageURL"])[1]
    first.kill()
    with open(f"{state}/journal.jsonl", "a") as journal:
        journal.write('{"op": "acc')  # what a crash leaves behind
    second = start_sandbox("--state-dir", state)
    _, polled = post(second, [{"taskType": "getResponse", "taskUUID": wanted["taskUUID"]}])
    assert fetch(polled["data"][0]["imageURL"])[1] == before
    assert len(second.charges()) == 1
    assert post(second, [wanted])[1]["errors"][0]["code"] == "conflictTaskUUID"
    post(second, [task()])
    second.kill()
    assert len(start_sandbox("--state-dir", state).charges()) == 2
