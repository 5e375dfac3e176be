"""What client and sandbox must agree on, written down apart from both: each case with its source."""

import asyncio
import http.client
import json
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from runware_nb import Client
from runware_nb.providers.runware.frames import authentication_task, encode_frame, parse_frame, ping_task
from tests.conftest import TASK

CASES = json.loads((Path(__file__).parent / "golden.json").read_text())
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])


def filled(value, names):
    text = json.dumps(value)
    for name, stands_for in names.items():
        text = text.replace(f'"<{name}>"', json.dumps(stands_for))
    return json.loads(text)


def assert_like(answer, pattern):
    """Compare with a pattern: <any>, <int> and <url> stand for themselves, and no field may be missing or new."""
    if pattern == "<any>":
        assert answer is not None
    elif pattern == "<int>":
        assert isinstance(answer, int)
    elif pattern == "<url>":
        assert answer.startswith("http")
    elif isinstance(pattern, dict):
        assert set(answer) == set(pattern)
        for key, inner in pattern.items():
            assert_like(answer[key], inner)
    elif isinstance(pattern, list):
        assert len(answer) == len(pattern)
        for one, inner in zip(answer, pattern, strict=True):
            assert_like(one, inner)
    else:
        assert answer == pattern


def post(sandbox, tasks, *, with_header):
    parts = urlsplit(sandbox.rest_url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    headers = {"Content-Type": "application/json"}
    if with_header:
        headers["Authorization"] = f"Bearer {sandbox.api_key}"
    connection.request("POST", "/v1", json.dumps(tasks), headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text)


async def over_websocket(sandbox, case, names):
    async with connect(sandbox.ws_url) as socket:
        if case["channel"] == "websocket":
            await socket.send(json.dumps([{"taskType": "authentication", "apiKey": sandbox.api_key}]))
            await socket.recv()
        for request in ([case["before"]] if "before" in case else []) + [case["request"]]:
            await socket.send(json.dumps(filled(request, names)))
            answer = json.loads(await socket.recv())
        return answer


async def new_session(sandbox):
    async with connect(sandbox.ws_url) as socket:
        await socket.send(json.dumps([{"taskType": "authentication", "apiKey": sandbox.api_key}]))
        return json.loads(await socket.recv())["data"][0]["connectionSessionUUID"]


@every_case
def test_the_sandbox_answers_as_it_is_written(sandbox, start_sandbox, run_async, case):
    if "latency_s" in case:
        sandbox = start_sandbox("--latency-s", str(case["latency_s"]))
    sandbox.faults(*case.get("faults", []))
    names = {"key": sandbox.api_key, "uuid": str(uuid.uuid4()), "uuid2": str(uuid.uuid4())}
    if case["channel"].startswith("websocket"):
        if "<session>" in json.dumps(case):
            names["session"] = run_async(new_session(sandbox))
        answer = run_async(over_websocket(sandbox, case, names))
    else:
        with_header = case["channel"] == "rest"
        if "before" in case:
            post(sandbox, filled(case["before"], names), with_header=with_header)
        status, answer = post(sandbox, filled(case["request"], names), with_header=with_header)
        assert status == case.get("status", 200)
    (pattern,) = filled(case["answers"], names)
    assert_like(answer, pattern)


@every_case
def test_the_client_reads_what_is_written(case):
    for answer in case["answers"]:
        frame = parse_frame(json.dumps(answer))
        assert len(frame.items) == len(answer.get("data", []))
        assert [error["code"] for error in frame.errors] == [error["code"] for error in answer.get("errors", [])]


@every_case
def test_each_case_says_where_it_comes_from(case):
    assert case["source"].startswith("reference ")


def test_the_client_writes_the_sessions_frames_as_they_are_written():
    written = {case["name"]: case["request"] for case in CASES}
    assert (
        json.loads(encode_frame([authentication_task("<key>")]))
        == written["authentication as the first WebSocket message"]
    )
    assert json.loads(encode_frame([authentication_task("<key>", "<session>")])) == written["resuming a session"]
    assert json.loads(encode_frame([ping_task()])) == written["keep-alive"]


def test_what_the_client_really_sends(run_async):
    """A server of a few lines, written from the reference alone, hears every frame and answers by hand."""
    heard = []

    async def service(socket):
        async for text in socket:
            tasks = json.loads(text)
            heard.append(tasks)
            task = tasks[0]
            if task["taskType"] == "authentication":
                answer = {"taskType": "authentication", "connectionSessionUUID": "S"}
            elif task["taskType"] == "getResponse":
                answer = {"taskType": "imageInference", "taskUUID": task["taskUUID"], "status": "success",
                          "imageUUID": "I", "imageURL": "http://x/i.jpg", "seed": 1}  # fmt: skip
            else:
                answer = {"taskType": task["taskType"], "taskUUID": task["taskUUID"]}
            await socket.send(json.dumps({"data": [answer]}))

    async def main():
        async with serve(service, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            urls = {"ws_url": f"ws://127.0.0.1:{port}/v1", "rest_url": f"http://127.0.0.1:{port}/v1"}
            async with Client("K", **urls) as client:
                return await asyncio.wait_for(client.run({**TASK, "deliveryMethod": "async"}), 20)

    outcome = run_async(main())
    assert outcome[0].url == "http://x/i.jpg"
    assert heard[0] == [{"taskType": "authentication", "apiKey": "K"}]
    assert heard[1] == [{**TASK, "taskUUID": outcome.task_uuid, "deliveryMethod": "async", "includeCost": True}]
    assert heard[2] == [{"taskType": "getResponse", "taskUUID": outcome.task_uuid}]
