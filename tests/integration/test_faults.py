"""The sandbox's faults, seen over plain sockets: each does what its description states, and the ledger stays right."""

import asyncio
import contextlib
import http.client
import json
import time
import uuid
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from runware_nb.sandbox.core.clock import Clock
from runware_nb.sandbox.core.connections import drip
from runware_nb.sandbox.core.process import build_parser
from runware_nb.sandbox.core.service import Options
from runware_nb.sandbox.runware.delivery import dump
from runware_nb.sandbox.runware.faults import BAD_URLS, FAULTS, KINDS, ODD, REAUTH, chaos
from runware_nb.sandbox.runware.service import RunwareService
from tests.conftest import TASK

TEXT = {"taskType": "textInference", "model": "google:gemma@4-31b", "messages": [{"role": "user", "content": "Say é."}]}


def task(**changes):
    return {**TASK, "includeCost": True, "taskUUID": str(uuid.uuid4()), **changes}


def post(sandbox, *tasks):
    """Post tasks; return the status, the body, and the bytes as they arrived."""
    parts = urlsplit(sandbox.rest_url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {sandbox.api_key}"}
    with contextlib.closing(connection):
        connection.request("POST", parts.path, json.dumps(tasks), headers)
        response = connection.getresponse()
        with contextlib.closing(response):
            return response.status, response.read()


def poll(sandbox, sent):
    return post(sandbox, {"taskType": "getResponse", "taskUUID": sent["taskUUID"]})


def results(body):
    return [item for item in json.loads(body)["data"] if isinstance(item, dict)]


async def received(socket, count):
    return [json.loads(await asyncio.wait_for(socket.recv(), 10)) for _ in range(count)]


async def authenticate(socket, sandbox, session=None):
    wire = {"taskType": "authentication", "apiKey": sandbox.api_key}
    await socket.send(json.dumps([{**wire, **({"connectionSessionUUID": session} if session else {})}]))
    return await asyncio.wait_for(socket.recv(), 10)


# --- errors that name no task ------------------------------------------------------------------------


def test_a_stray_error_accompanies_a_rest_response(sandbox):
    sandbox.faults({"kind": "stray_error", "times": 3})
    status, body = post(sandbox, task())
    assert (status, len(json.loads(body)["data"])) == (200, 1)
    errors = json.loads(body)["errors"]
    assert [error["code"] for error in errors] == ["maintenanceSoon"] * 3
    assert not any("taskUUID" in error or "taskType" in error for error in errors)
    assert len(sandbox.charges()) == 1


@pytest.mark.parametrize(("code", "status"), [("internalServerError", 500), ("rateLimitExceeded", 429)])
def test_a_stray_error_replaces_a_rest_response_of_a_task_that_is_done_and_billed(sandbox, code, status):
    sandbox.faults({"kind": "stray_error", "code": code, "status": status, "instead": True, "names_type": True})
    sent = task()
    received_status, body = post(sandbox, sent)
    assert received_status == status
    assert json.loads(body)["data"] == []
    assert json.loads(body)["errors"] == [
        {"code": code, "message": "A fault was ordered.", "taskType": "imageInference"}
    ]
    assert len(results(poll(sandbox, sent)[1])) == 1
    assert [charge["results"] for charge in sandbox.charges()] == [1]


def test_a_stray_error_accompanies_a_poll(sandbox):
    sandbox.faults({"kind": "stray_error", "on": "getResponse"})
    sent = task()
    post(sandbox, sent)
    body = json.loads(poll(sandbox, sent)[1])
    assert (len(body["data"]), len(body["errors"])) == (1, 1)


def test_stray_errors_are_pushed_before_the_result(start_sandbox, run_async):
    sandbox = start_sandbox("--latency-s", "0.3")
    sandbox.faults({"kind": "stray_error", "times": 2, "code": "internalServerError"})

    async def main():
        async with connect(sandbox.ws_url) as socket:
            await authenticate(socket, sandbox)
            started = time.monotonic()
            await socket.send(json.dumps([task()]))
            frames = await received(socket, 2)
            assert time.monotonic() - started < 0.25
            return frames, await received(socket, 3)

    early, late = run_async(main())
    assert [frame["errors"][0].get("taskUUID") for frame in [*early, *late[:2]]] == [None] * 4
    assert late[2]["data"][0]["imageURL"]


def test_a_stray_error_replaces_a_push(sandbox, run_async):
    sandbox.faults({"kind": "stray_error", "instead": True})

    async def main():
        async with connect(sandbox.ws_url) as socket:
            await authenticate(socket, sandbox)
            await socket.send(json.dumps([task(numberResults=2)]))
            (frame,) = await received(socket, 1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.recv(), 0.3)
            return frame

    assert run_async(main())["errors"][0]["code"] == "maintenanceSoon"
    assert sandbox.charges()[0]["results"] == 2


# --- authentication refused after a lost connection ----------------------------------------------------


def test_reauthentication_is_refused_as_often_as_ordered_and_then_accepted(sandbox, run_async):
    sandbox.faults({"kind": "refuse_reauth", "how": list(REAUTH)})
    sent = task()

    async def main():
        async with connect(sandbox.ws_url) as socket:
            session = json.loads(await authenticate(socket, sandbox))["data"][0]["connectionSessionUUID"]
            await socket.send(json.dumps([sent]))
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(socket.recv(), 10)
        refusals = []
        for _ in REAUTH:
            async with connect(sandbox.ws_url) as socket:
                refusals.append(await authenticate(socket, sandbox, session))
                with pytest.raises(ConnectionClosed):
                    await asyncio.wait_for(socket.recv(), 10)
        async with connect(sandbox.ws_url) as socket:
            return refusals, json.loads(await authenticate(socket, sandbox, session)), session

    refusals, accepted, session = run_async(main())
    codes = [json.loads(text)["errors"][0]["code"] for text in refusals[:2]]
    assert codes == ["internalServerError", "rateLimitExceeded"]
    assert refusals[2].startswith("<html>")
    assert json.loads(refusals[3]) == {}
    assert accepted["data"][0]["connectionSessionUUID"] == session
    assert len(results(poll(sandbox, sent)[1])) == 1


def test_no_fault_refuses_a_key():
    assert "invalidApiKey" not in REAUTH
    with pytest.raises(ValueError, match="expected one of internalServerError"):
        FAULTS.parse({"kind": "refuse_reauth", "how": "invalidApiKey"})


def test_over_rest_refused_reauthentication_is_a_broken_connection(sandbox):
    sandbox.faults({"kind": "refuse_reauth"})
    sent = task()
    with pytest.raises((http.client.HTTPException, OSError)):
        post(sandbox, sent)
    assert len(results(poll(sandbox, sent)[1])) == 1


# --- odd values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [(-5, b'"cost": -5'), (float("nan"), b'"cost": NaN'), (float("inf"), b'"cost": 1e400'), (True, b'"cost": true'),
     ("0.5", b'"cost": "0.5"')],
)  # fmt: skip
def test_an_odd_cost_is_in_the_response_and_the_right_one_in_the_ledger(sandbox, value, text):
    sandbox.faults({"kind": "odd", "what": "cost", "value": value})
    sent = task()
    assert text in post(sandbox, sent)[1]
    (charge,) = sandbox.charges()
    assert charge["cost_usd"] == results(poll(sandbox, sent)[1])[0]["cost"] > 0


ODD_ITEMS = {
    "index": lambda items, uuid: items[0]["resultIndex"] == 10**30 and "resultIndex" not in items[1],
    "progress": lambda items, uuid: items[0]["progress"] == 10**400 and len(items) == 3,
    "frame": lambda items, uuid: items[0]["taskUUID"] == [1] and items[1]["taskUUID"] == {} and len(items) == 4,
    "preview": lambda items, uuid: (
        [("previewURL" in item, "imageURL" in item) for item in items] == [(True, False)] * 2 + [(True, True)] * 2
        and [key for key in items[2] if key.endswith("URL")] == ["previewURL", "imageURL"]
    ),
    "surrogate": lambda items, uuid: all(item["note"].endswith("\ud800") for item in items),
    "stranger": lambda items, uuid: [item["taskUUID"] == uuid for item in items] == [False, False, True, True],
    "strings": lambda items, uuid: [type(item) for item in items] == [str, int, type(None), list, dict, dict, bool],
}


@pytest.mark.parametrize("what", ODD_ITEMS)
def test_an_odd_value_is_in_the_first_response_only(sandbox, run_async, what):
    fault = {"kind": "odd", "what": what}
    sandbox.faults(fault)
    sent = task(numberResults=2)
    status, body = post(sandbox, sent)
    assert status == 200
    assert ODD_ITEMS[what](json.loads(body)["data"], sent["taskUUID"])
    plain = results(poll(sandbox, sent)[1])
    assert [set(item) >= {"imageURL", "cost", "status"} for item in plain] == [True, True]
    assert [charge["results"] for charge in sandbox.charges()] == [2]

    async def pushed():
        sandbox.faults(fault)
        sent = task(numberResults=2, positivePrompt="again")
        async with connect(sandbox.ws_url) as socket:
            await authenticate(socket, sandbox)
            await socket.send(json.dumps([sent]))
            items = []
            while sum(isinstance(item, dict) and item.get("taskUUID") == sent["taskUUID"] and "imageURL" in item
                      for item in items) < 2:  # fmt: skip
                items += (await received(socket, 1))[0]["data"]
            return items, sent["taskUUID"]

    assert ODD_ITEMS[what](*run_async(pushed()))


def test_an_acknowledgment_does_not_use_up_an_odd_value(sandbox):
    sandbox.faults({"kind": "odd", "what": "cost", "value": -5, "on": "getResponse"})
    sent = task(deliveryMethod="async")
    assert b"cost" not in post(sandbox, sent)[1]
    assert results(poll(sandbox, sent)[1])[0]["cost"] == -5
    assert results(poll(sandbox, sent)[1])[0]["cost"] > 0


def test_every_odd_value_is_tested():
    assert {*ODD_ITEMS, "cost"} == set(ODD)
    assert dump({"a": 1.5, "b": "infinity"}) == '{"a": 1.5, "b": "infinity"}'


# --- byte by byte -------------------------------------------------------------------------------------


def test_a_rest_response_arrives_byte_by_byte(sandbox):
    sandbox.faults({"kind": "drip", "seconds": 0.5})
    started = time.monotonic()
    status, body = post(sandbox, task())
    assert 0.4 < time.monotonic() - started < 2.5
    assert status == 200
    assert results(body)[0]["imageURL"]


def test_a_file_arrives_byte_by_byte(sandbox):
    sandbox.faults({"kind": "drip", "seconds": 0.5, "bytes": 64})
    url = results(post(sandbox, task())[1])[0]["imageURL"]
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    connection.request("GET", parts.path)
    started = time.monotonic()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    assert 0.4 < time.monotonic() - started < 2.5
    assert len(body) == int(response.headers["Content-Length"])
    assert body.startswith(b"\xff\xd8")


def test_a_stream_arrives_byte_by_byte(sandbox):
    sandbox.faults({"kind": "drip", "seconds": 0.5})
    started = time.monotonic()
    status, body = post(sandbox, {**TEXT, "taskUUID": str(uuid.uuid4()), "deliveryMethod": "stream"})
    assert status == 200, body
    assert 0.4 < time.monotonic() - started < 2.5
    assert body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(("size", "count"), [(1, 10), (4, 3), (100, 1), (0, 10)])
def test_bytes_are_cut_into_pieces(run_async, size, count):
    async def main():
        return [piece async for piece in drip(b"0123456789", seconds=0, size=size)]

    pieces = run_async(main())
    assert (len(pieces), b"".join(pieces)) == (count, b"0123456789")


# --- URLs that cannot be used -------------------------------------------------------------------------


@pytest.mark.parametrize("url", BAD_URLS)
def test_one_url_cannot_be_used_until_the_first_poll(sandbox, url):
    sandbox.faults({"kind": "bad_url", "url": url, "items": [1]})
    sent = task(numberResults=2)
    first, second = (item["imageURL"] for item in results(post(sandbox, sent)[1]))
    assert first.startswith(sandbox.info["media_url"])
    assert second == BAD_URLS[url]
    assert all(item["imageURL"].startswith(sandbox.info["media_url"]) for item in results(poll(sandbox, sent)[1]))


def test_a_restarted_sandbox_remembers_faults_of_files(tmp_path):
    sandbox = RunwareService(Options(api_key="k", clock=Clock(), state_dir=tmp_path))
    sandbox.faults.load(json.dumps([{"kind": "bad_url", "stays": True}, {"kind": "drip", "seconds": 2}]))
    sent = task(numberResults=2)
    before, _ = sandbox._accept(sent, sent["taskType"])
    after = RunwareService(Options(api_key="k", clock=Clock(), state_dir=tmp_path)).works[sent["taskUUID"]]
    assert (after.bad_urls, after.stays_bad, after.drip) == (before.bad_urls, True, {"seconds": 2.0, "size": 1})
    assert set(after.bad_urls) == {0, 1}
    sandbox.reset()  # closes the file


def test_a_bad_url_may_stay(sandbox):
    sandbox.faults({"kind": "bad_url", "stays": True})
    sent = task(numberResults=3)
    pushed = [item["imageURL"] for item in results(post(sandbox, sent)[1])]
    assert set(pushed) <= set(BAD_URLS.values())
    assert pushed == [item["imageURL"] for item in results(poll(sandbox, sent)[1])]


# --- scripts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [{"kind": "odd", "what": "socks"}, {"kind": "bad_url", "url": "https://a"}, {"kind": "cut", "when": "now"},
              {"kind": "refuse_reauth", "how": []}],
)  # fmt: skip
def test_an_option_with_an_unknown_value_is_refused(fault):
    with pytest.raises(ValueError, match="expected one of"):
        FAULTS.parse(fault)


def test_chaos_has_every_fault_that_a_client_survives():
    faults = [FAULTS.parse(entry) for entry in chaos(0.5)]
    new = {"stray_error", "refuse_reauth", "odd", "drip", "bad_url"}
    assert new <= {fault.kind for fault in faults}
    assert {fault.options["what"] for fault in faults if fault.kind == "odd"} == set(ODD)
    assert sum(fault.rate for fault in faults) == pytest.approx(0.5)


def test_every_fault_is_in_the_help():
    usage = build_parser(RunwareService).format_help()
    assert all(f"  {kind}: " in usage for kind in KINDS)
