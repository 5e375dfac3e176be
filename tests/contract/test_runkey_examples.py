"""The examples of RunKey's documentation against the sandbox. The real service was not reachable."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.runkey_sandbox import Receiver, RunKeyProcess

CASES = json.loads((Path(__file__).parent / "runkey.json").read_text())
PATTERNS = {
    "<id>": r"task_\w+", "<request>": r"req_\w+", "<text>": r".+", "<url>": r"http://127\.0\.0\.1:\d+/\S+",
    "<time>": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
}  # fmt: skip
QUICK = next(case for case in CASES if case["name"] == "quick example: run")["request"]


def matches(value, pattern):
    """Return whether a value has the documented form: the same fields, types and fixed values."""
    if isinstance(pattern, dict):
        return set(value) == set(pattern) and all(matches(value[name], pattern[name]) for name in pattern)
    if pattern in PATTERNS:
        return isinstance(value, str) and re.fullmatch(PATTERNS[pattern], value) is not None
    return type(value) is type(pattern) and value == pattern


@pytest.fixture(scope="module")
def process():
    process = RunKeyProcess("--time-scale", "0.001")  # only `advance` moves the clock
    yield process
    process.close()


@pytest.fixture
def runkey(process):
    process.clear()
    process.template("tpl_abc123", run_s=8)
    return process


def curl(url, key, *, method="GET", body=None):
    """Send a request as the documents do, with curl; with urllib where curl is missing."""
    command = ["curl", "-sS", "-X", method, url, "-H", f"Authorization: Bearer {key}", "-w", "\n%{http_code}"]
    if body is not None:
        command += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    text, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(text)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_documented_request_has_the_documented_response(runkey, case):
    runkey.set("behaviour", case.get("behaviour", {}))
    task_id = ""
    if case.get("before"):
        task_id = runkey.start("tpl_abc123", QUICK["input"])
    if "advance_s" in case:
        runkey.advance(case["advance_s"])
    runkey.set("faults", case.get("faults", []))
    url, key = runkey.url + case["path"].replace("<task>", task_id), case.get("key", runkey.api_key)
    if shutil.which("curl"):
        status, response = curl(url, key, method=case["method"], body=case.get("request"))
    else:
        status, response, _ = runkey.call(url, case.get("request"), key=key, method=case["method"])
    expected = json.loads(json.dumps(case["response"]).replace("<task>", task_id))
    assert status == case["status"]
    assert matches(response, expected), response


def test_a_callback_has_the_documented_payload(runkey):
    """Event, timestamp, data and signature as in the documents (reference section 7)."""
    receiver = Receiver()
    try:
        task_id = runkey.start("tpl_abc123", QUICK["input"], webhook_url=receiver.url)
        runkey.advance(8)
        body, headers = receiver.wait()
    finally:
        receiver.close()
    payload = json.loads(body)
    assert re.fullmatch("sha256=[0-9a-f]{64}", payload.pop("signature"))
    assert re.fullmatch("sha256=[0-9a-f]{64}", headers["X-RunKey-Signature"])
    data = {"task_id": task_id, "template_id": "tpl_abc123", "status": "completed",
            "output": {"result_url": "<url>", "thumbnail_url": "<url>"}, "processing_time": 8.2, "credits_used": 15}  # fmt: skip
    assert matches(payload, {"event": "task.completed", "timestamp": "<time>", "data": data}), payload


def test_responses_have_the_documented_headers(runkey):
    _, _, headers = runkey.call("/account")
    assert headers["X-RateLimit-Limit"] == "60"
    assert 0 <= int(headers["X-RateLimit-Remaining"]) < 60
    assert headers["X-RateLimit-Reset"].isdigit()
    assert headers["X-Request-Id"].startswith("req_")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_each_case_has_its_source(case):
    assert case["source"].startswith("https://runkey.ai/docs/api")
