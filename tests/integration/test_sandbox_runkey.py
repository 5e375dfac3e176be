"""The RunKey service of the sandbox: limits, faults, webhooks and the ledger, over real sockets.

The clock is nearly stopped, and `advance` moves it, so that no test depends on the speed of the machine.
"""

import hashlib
import hmac
import http.client
import io
import json
import struct
import time
import urllib.error
from dataclasses import fields
from email.utils import parsedate_to_datetime
from pathlib import Path

import av
import pytest
from PIL import Image
from starlette.requests import Request

from runware_nb.sandbox.core.webhooks import post_bytes
from runware_nb.sandbox.runkey.behaviour import Behaviour
from runware_nb.sandbox.runkey.callbacks import build_callback, signature_of
from runware_nb.sandbox.runkey.errors import CODES, STATUSES
from runware_nb.sandbox.runkey.faults import FAULTS, WEBHOOK_FAULTS
from runware_nb.sandbox.runkey.http import broken
from runware_nb.sandbox.runkey.limits import Window
from runware_nb.sandbox.runkey.templates import SCENARIOS
from runware_nb.session.local_sandbox import LocalSandbox
from tests.runkey_sandbox import Receiver, RunKeyProcess

STOPPED = ("--time-scale", "0.001")
BROKEN = (http.client.HTTPException, ConnectionError, urllib.error.URLError)
VECTOR_SECRET = "whsec_example_not_a_real_secret"
VECTOR = {
    "event": "task.completed", "timestamp": "2026-03-23T00:00:10Z",
    "data": {"task_id": "task_vector_1", "template_id": "tpl_vector", "status": "completed",
             "output": {"result_url": "https://cdn.example.test/r.png"}, "processing_time": 8.2, "credits_used": 15},
}  # fmt: skip
VECTOR_1 = "sha256=d1a673281844a47883d6a6f07595becd6eb971238dc3f4210c240540a64aee25"
VECTOR_2 = "sha256=55daeb9ecb49fa30059be79252652621bea8cd9a25180d38f9dd3961993ba387"


@pytest.fixture(scope="module")
def process():
    process = RunKeyProcess(*STOPPED)
    yield process
    process.close()


@pytest.fixture
def runkey(process):
    process.clear()
    return process


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


def error_of(answer):
    status, body, _ = answer
    return status, body["code"]


def is_signed(body, headers, secret):
    wanted = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return headers["X-RunKey-Signature"] == wanted


# --- statuses and tasks ---------------------------------------------------------------------------


def test_a_task_passes_queued_running_and_completed(runkey):
    """The status follows the clock, the credits are charged once, and the terminal status stays."""
    task_id = runkey.start()
    assert runkey.data(task_id)["status"] == "queued"
    assert "started_at" not in runkey.data(task_id)
    runkey.advance(60)
    assert (runkey.data(task_id)["status"], runkey.data(task_id)["progress"]) == ("running", 50)
    assert runkey.balance() == 5000
    runkey.advance(60)
    done = runkey.data(task_id)
    assert (done["status"], done["processing_time"], done["credits_used"]) == ("completed", 100.2, 15)
    assert done["created_at"] <= done["started_at"] <= done["completed_at"]
    assert runkey.balance() == 4985
    runkey.advance(1000)
    assert runkey.data(task_id) == done


def test_a_preempted_task_returns_to_the_queue_once(runkey):
    task_id = runkey.start(runkey.template("tpl_p", run_s=100, scenario="preempted"))
    statuses = []
    for _ in range(5):
        runkey.advance(25)
        statuses.append(runkey.data(task_id)["status"])
    assert statuses == ["running", "queued", "running", "completed", "completed"]


@pytest.mark.parametrize(
    ("scenario", "status", "code"), [("failure", "failed", 50001), ("timeout", "failed", 50003),
                                     ("cancel_queued", "canceled", None), ("cancel_running", "canceled", None)],
)  # fmt: skip
def test_a_template_decides_how_its_tasks_end(runkey, scenario, status, code):
    """Failed and canceled tasks cost nothing, and have the timestamps that they reached."""
    task_id = runkey.start(runkey.template("tpl_x", queue_s=10, run_s=10, scenario=scenario))
    runkey.advance(25)
    data = runkey.data(task_id)
    assert data["status"] == status
    assert data.get("error", {}).get("code") == code
    assert ("started_at" in data) == (scenario != "cancel_queued")
    assert runkey.balance() == 5000


@pytest.mark.parametrize("ending", ["canceled", "failed"])
def test_a_control_request_ends_a_task(runkey, ending):
    task_id = runkey.start()
    runkey.set("tasks", {"task_id": task_id, "ending": ending})
    assert runkey.data(task_id)["status"] == ending
    status, body, _ = runkey.call("/_sandbox/tasks", {"task_id": task_id})
    assert (status, body["error"]) == (400, f"The task has ended: {ending}.")
    assert runkey.read("tasks")["tasks"][0]["status"] == ending


@pytest.mark.parametrize("shape", ["plain", "odd", "unsafe"])
def test_ids_are_unique_and_have_the_chosen_shape(runkey, shape):
    runkey.set("behaviour", {"task_ids": shape})
    ids = [runkey.start() for _ in range(3)]
    assert len(set(ids)) == 3
    assert all(runkey.data(task_id)["task_id"] == task_id for task_id in ids)


def test_two_identical_requests_are_two_tasks(runkey):
    assert runkey.start() != runkey.start()
    runkey.advance(200)
    charges = runkey.read("ledger")["charges"]
    assert [charge["amount"] for charge in charges] == [15, 15]
    assert charges[0]["request_hash"] == charges[1]["request_hash"]


class WithOwnTimes(RunKeyProcess):
    defaults = ()


def test_tasks_take_some_seconds_unless_the_sandbox_is_told_otherwise():
    """An image is there at the first poll of a client, after about 2 seconds, and a video at the second, after about 5."""
    runkey = WithOwnTimes(*STOPPED)
    try:
        ids = [runkey.start(f"tpl_{output}") for output in ("json", "image", "video")]
        statuses = []
        for seconds in (0.4, 0.2, 1, 2, 0.5):  # 0.4, 0.6, 1.6, 3.6, 4.1
            runkey.advance(seconds)
            statuses.append([runkey.data(task_id)["status"][0] for task_id in ids])
    finally:
        runkey.close()
    assert statuses == [list(row) for row in ("rrr", "crr", "ccr", "ccr", "ccc")]


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda r: r.call("/account", key="rk_live_wrong"), (401, 40001)),
        (lambda r: r.call("/account", headers={"Authorization": r.api_key}), (401, 40001)),
        (lambda r: r.run(r.template("t", scenario="out_of_credits")), (403, 40002)),
        (lambda r: r.run("tpl_unknown"), (404, 40004)),
        (lambda r: r.call("/run", {"template_id": "tpl_slow"}), (400, 40005)),
        (lambda r: r.call("/run", {"template_id": "tpl_slow", "input": []}), (400, 40005)),
        (lambda r: r.call("/run", {"template_id": 5, "input": {}}), (400, 40005)),
        (lambda r: r.run(r.template("t", required=["image_url"])), (400, 40005)),
        (lambda r: r.run(webhook_url="ftp://127.0.0.1/"), (400, 40005)),
        (lambda r: r.run(webhook_url=5), (400, 40005)),
        (lambda r: r.task("task_unknown"), (404, 40006)),
        (lambda r: r.run(r.template("t", scenario="no_gpu")), (503, 50002)),
        (lambda r: r.call("/run", b"{"), (400, 40005)),
        (lambda r: r.call("/run", b"[1]"), (400, 40005)),
        (lambda r: r.call("/run", b"[" * 100_000), (400, 40005)),
        (lambda r: r.call("/run", b"\xff"), (400, 40005)),
        (lambda r: r.run(given={"n": float("nan")}), (400, 40005)),
        (lambda r: r.call("/run", b'{"template_id": "tpl_slow", "input": {"n": 1e999}}'), (400, 40005)),
        (lambda r: r.run(given={"text": "\ud800"}), (400, 40005)),
        (lambda r: r.call("/run", b'{"input": ' + b"[" * 150 + b"]" * 150 + b"}"), (400, 40005)),
        (lambda r: r.call("/run", b" " * 1_100_000), (400, 40005)),
        (lambda r: r.call("/run", {}, headers={"Content-Type": "text/plain"}), (415, 40005)),
        (lambda r: r.call("/run"), (405, 40005)),
        (lambda r: r.call("/account", {}), (405, 40005)),
        (lambda r: r.call("/models"), (404, 40005)),
    ],
)  # fmt: skip
def test_each_refusal_has_its_code_and_charges_nothing(runkey, answer, expected):
    received = answer(runkey)
    assert error_of(received) == expected
    assert received[1]["request_id"] == received[2]["X-Request-Id"]
    assert runkey.read("tasks")["tasks"] == []
    assert runkey.read("ledger")["charges"] == []


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_fault_orders_each_code(runkey, code):
    runkey.set("faults", {"kind": "refuse", "code": code})
    assert error_of(runkey.run()) == (STATUSES[code], code)
    assert runkey.run()[0] == 202


def test_statuses_of_codes_are_switchable(runkey):
    runkey.set("behaviour", {"http_statuses": {"40006": 200, "40002": 402}})
    assert error_of(runkey.task("task_unknown")) == (200, 40006)
    runkey.set("account", {"balance": 0})
    assert error_of(runkey.run()) == (402, 40002)


def test_an_unknown_task_and_a_deleted_one_are_alike(runkey):
    task_id = runkey.start()
    runkey.clear()
    assert error_of(runkey.task(task_id)) == (404, 40006)


@pytest.mark.parametrize("form", ["object", "string", "msg", "message", "error_code", "bare"])
def test_a_failed_task_states_its_reason_in_each_form(runkey, form):
    runkey.set("behaviour", {"failed_form": form})
    data = runkey.data(runkey.start(runkey.template("t", scenario="failure")))
    msg = CODES[50001]
    wanted = {"object": {"error": {"code": 50001, "msg": msg}}, "string": {"error": msg}, "msg": {"msg": msg},
              "message": {"message": msg}, "error_code": {"error_code": 50001}, "bare": {}}[form]  # fmt: skip
    names = ("error", "msg", "message", "error_code")
    assert {name: data[name] for name in names if name in data} == wanted


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize("form", ["full", "short"])
def test_the_response_of_a_submission_is_switchable(runkey, status, form):
    runkey.set("behaviour", {"submit_status": status, "submit_form": form})
    received, body, _ = runkey.run()
    assert (received, set(body["data"])) == (
        status,
        {"task_id", "status"} | ({"created_at"} if form == "full" else set()),
    )


def test_the_short_form_of_a_completed_task_has_no_timestamps(runkey):
    runkey.set("behaviour", {"completed_form": "short"})
    data = runkey.data(runkey.start("tpl_json"))
    assert set(data) == {"task_id", "status", "output", "processing_time", "credits_used"}


def test_the_largest_body_is_switchable(runkey):
    runkey.set("behaviour", {"max_body_bytes": 100})
    assert error_of(runkey.run(given={"text": "x" * 100})) == (400, 40005)
    assert runkey.run()[0] == 202


def test_a_timeout_is_an_error_of_the_call_if_switched(runkey):
    task_id = runkey.start(runkey.template("t", scenario="timeout"))
    runkey.set("behaviour", {"timeout_place": "call"})
    assert error_of(runkey.task(task_id)) == (500, 50003)


# --- plans and limits -----------------------------------------------------------------------------


@pytest.mark.parametrize(("plan", "limit", "tasks"), [("free", 30, 5), ("pro", 60, 10), ("team", 120, 25)])
def test_each_plan_has_its_limits(runkey, plan, limit, tasks):
    """Requests and tasks above the limit are refused with 40003 and a wait, and later admitted."""
    runkey.set("account", {"plan": plan})
    for number in range(tasks):
        status, _, headers = runkey.run()
        assert (status, headers["X-RateLimit-Limit"]) == (202, str(limit))
        assert headers["X-RateLimit-Remaining"] == str(limit - number - 1)
    status, body, _ = runkey.run()
    assert (status, body["code"], body["retry_after"]) == (429, 40003, 110)
    assert "Concurrent" in body["msg"]
    for _ in range(limit - tasks - 1):
        assert runkey.call("/account")[0] == 200
    status, body, headers = runkey.call("/account")
    assert (status, set(body)) == (429, {"code", "msg", "retry_after"})
    assert 1 <= body["retry_after"] <= 60
    assert headers["X-RateLimit-Remaining"] == "0"
    runkey.advance(60)
    assert runkey.call("/account")[0] == 200
    runkey.advance(60)
    assert runkey.run()[0] == 202


def test_failed_authentication_is_not_counted(runkey):
    for _ in range(70):
        assert runkey.call("/account", key="wrong")[0] == 401
    assert runkey.call("/account")[0] == 200


@pytest.mark.parametrize("is_sliding", [False, True])
def test_a_window_admits_its_limit(is_sliding):
    """A fixed window empties at once after a minute, a sliding one request by request."""
    window = Window()
    assert [window.admit(at, 3, is_sliding=is_sliding) for at in (0, 30, 40, 50)] == [True, True, True, False]
    assert window.wait_s(50) == 10
    assert window.remaining(60, 3, is_sliding=is_sliding) == (1 if is_sliding else 3)


@pytest.mark.parametrize(("window", "status"), [("fixed", 200), ("sliding", 429)])
def test_the_window_of_requests_is_switchable(runkey, window, status):
    """One request, and 29 after 59 seconds. A second later the fixed window is empty; the sliding one has one place."""
    runkey.set("account", {"plan": "free"})
    runkey.set("behaviour", {"window": window})
    assert runkey.call("/account")[0] == 200
    runkey.advance(59)
    assert [runkey.call("/account")[0] for _ in range(30)] == [200] * 29 + [429]
    runkey.advance(1)
    assert [runkey.call("/account")[0] for _ in range(2)] == [200, status]


def test_queued_tasks_can_be_left_out_of_the_limit(runkey):
    runkey.set("account", {"plan": "free"})
    runkey.set("behaviour", {"queued_counts": False})
    assert [runkey.run()[0] for _ in range(7)] == [202] * 7


def test_tasks_above_the_limit_can_be_queued(runkey):
    """A task above the limit starts when the first one ends."""
    runkey.set("account", {"plan": "free"})
    runkey.set("behaviour", {"over_concurrent": "queue"})
    ids = [runkey.start() for _ in range(6)]
    runkey.advance(50)
    assert [runkey.data(task_id)["status"] for task_id in ids] == ["running"] * 5 + ["queued"]
    runkey.advance(61)
    assert [runkey.data(task_id)["status"] for task_id in ids] == ["completed"] * 5 + ["running"]


@pytest.mark.parametrize("where", ["body", "header", "both", "none"])
def test_the_wait_is_stated_where_the_switch_says(runkey, where):
    runkey.set("behaviour", {"retry_after": where, "limited_has_request_id": True})
    runkey.set("faults", {"kind": "refuse", "code": 40003, "retry_after_s": 7})
    _, body, headers = runkey.run()
    assert (body.get("retry_after") == 7) == (where in {"body", "both"})
    assert (headers["Retry-After"] == "7") == (where in {"header", "both"})
    assert "request_id" in body


@pytest.mark.parametrize(
    ("switch", "good", "bad"), [("always", True, True), ("success", True, False), ("never", False, False)]
)
def test_rate_headers_are_switchable(runkey, switch, good, bad):
    runkey.set("behaviour", {"rate_headers": switch})
    assert ("X-RateLimit-Limit" in runkey.call("/account")[2]) == good
    assert ("X-RateLimit-Limit" in runkey.task("task_unknown")[2]) == bad


# --- credits --------------------------------------------------------------------------------------


def test_the_ledger_agrees_with_the_balance(runkey):
    """Completed tasks are charged what their template costs, in credits."""
    ids = [runkey.start(runkey.template(f"tpl_{price}", price_credits=price)) for price in (3, 2.5)]
    ledger = runkey.read("ledger")
    assert [(row["task_id"], row["amount"], row["unit"]) for row in ledger["charges"]] == [
        (ids[0], 3, "credits"), (ids[1], 2.5, "credits")]  # fmt: skip
    assert ledger["total"] == {"amount": 5.5, "unit": "credits"}
    assert runkey.balance() == 4994.5


@pytest.mark.parametrize(("check", "first", "second"), [("zero", 202, 403), ("price", 403, 403)])
def test_a_task_is_refused_for_too_few_credits(runkey, check, first, second):
    runkey.set("behaviour", {"credits_check": check})
    runkey.set("account", {"balance": 1})
    assert runkey.run("tpl_image")[0] == first
    assert runkey.run("tpl_image")[0] == second


@pytest.mark.parametrize(
    ("values", "charged"), [({}, 0), ({"failure_is_charged": True}, 15), ({"charge_at": "submit"}, 15)]
)
def test_charges_of_failures_are_switchable(runkey, values, charged):
    runkey.set("behaviour", values)
    data = runkey.data(runkey.start(runkey.template("t", scenario="failure")))
    assert data.get("credits_used", 0) == charged
    assert runkey.balance() == 5000 - charged


def test_credits_are_charged_at_submission_if_switched(runkey):
    runkey.set("behaviour", {"charge_at": "submit"})
    runkey.start()
    assert runkey.balance() == 4985
    runkey.advance(200)
    assert runkey.balance() == 4985


# --- faults of the connection ---------------------------------------------------------------------


@pytest.mark.parametrize(("when", "accepted"), [("before_accept", 0), ("after_accept", 1), ("mid_body", 1)])
def test_a_broken_connection_may_hide_an_accepted_task(runkey, when, accepted):
    runkey.set("faults", {"kind": "cut", "when": when})
    with pytest.raises(BROKEN):
        runkey.run()
    assert len(runkey.read("tasks")["tasks"]) == accepted


@pytest.mark.parametrize("on", ["task", "account"])
@pytest.mark.parametrize("kind", ["cut", "html", "refuse"])
def test_reads_meet_faults_that_name_them(runkey, on, kind):
    task_id = runkey.start()
    runkey.set("faults", {"kind": kind, "on": on})
    assert runkey.run()[0] == 202
    path = f"/tasks/{task_id}" if on == "task" else "/account"
    if kind == "cut":
        with pytest.raises(BROKEN):
            runkey.call(path)
    else:
        status, body, _ = runkey.call(path)
        assert (status, body["code"] if kind == "refuse" else body[:6]) == (
            (500, 50001) if kind == "refuse" else (502, b"<html>")
        )
    assert runkey.call(path)[0] == 200


def test_a_web_page_comes_in_place_of_json(runkey):
    runkey.set("faults", {"kind": "html", "status": 503})
    status, body, headers = runkey.run()
    assert (status, headers["Content-Type"].partition(";")[0]) == (503, "text/html")
    assert b"<h1>503</h1>" in body
    assert runkey.read("tasks")["tasks"] == []


def test_a_slow_response_comes_later(runkey):
    """0.0005 seconds of the stopped clock are half a real second."""
    runkey.set("faults", {"kind": "slow", "seconds": 0.0005})
    started_at = time.monotonic()
    assert runkey.run()[0] == 202
    assert time.monotonic() - started_at >= 0.4


def test_faults_decide_duration_and_ending(runkey):
    runkey.set("faults", [{"kind": "latency", "seconds": 5}, {"kind": "fail", "skip": 1, "code": 50003, "msg": "Too long."},
                          {"kind": "cancel", "when": "queued", "skip": 2}, {"kind": "cancel", "skip": 2}])  # fmt: skip
    ids = [runkey.start("tpl_slow" if n else "tpl_image") for n in range(4)]
    assert runkey.data(ids[0])["status"] == "running"
    runkey.advance(200)
    tasks = [runkey.data(task_id) for task_id in ids]
    assert [task["status"] for task in tasks] == ["completed", "failed", "canceled", "canceled"]
    assert tasks[1]["error"] == {"code": 50003, "msg": "Too long."}
    assert ["started_at" in task for task in tasks] == [True, True, False, True]


def test_odd_forms_of_tasks_are_switchable(runkey):
    """An unknown status, unknown fields, and tasks with no optional field."""
    task_id = runkey.start("tpl_image")
    runkey.set("faults", {"kind": "odd_status", "on": "task"})
    assert runkey.data(task_id)["status"] == "paused"
    runkey.set("behaviour", {"optional_fields": False})
    assert set(runkey.data(task_id)) == {"task_id", "status", "output"}
    runkey.set("behaviour", {"extra_fields": True, "plan_case": "title"})
    assert "sandbox_note" in runkey.data(task_id)
    assert "sandbox_note" in runkey.task("task_unknown")[1]
    assert runkey.call("/account")[1]["data"]["plan"] == "Pro"


def test_chaos_hits_some_runs_and_some_reads():
    """Refusals, web pages and broken connections occur beside accepted tasks."""

    def outcome(call, *arguments):
        try:
            return call(*arguments)[0]
        except BROKEN:
            return 0

    runkey = RunKeyProcess("--time-scale", "1000")
    try:
        task_id = runkey.start("tpl_inline")
        runkey.set("faults", b"chaos:0.5")
        runs = [outcome(runkey.run, "tpl_inline", {"number": number}) for number in range(40)]
        runkey.set("faults", b"chaos:1")
        reads = [outcome(runkey.task, task_id) for _ in range(20)]
    finally:
        runkey.close()
    assert 5 < runs.count(202) < 40
    assert len(set(runs)) > 2
    assert len(set(reads)) > 2


# --- webhooks -------------------------------------------------------------------------------------


def test_the_published_vectors_are_what_is_sent():
    """Readings A and B have the bytes and signatures of the reference."""
    plain = build_callback(VECTOR, VECTOR_SECRET, Behaviour(webhook_scheme="header-only"))
    assert (len(plain.body), plain.headers["X-RunKey-Signature"]) == (241, VECTOR_1)
    both = build_callback(VECTOR, VECTOR_SECRET, Behaviour())
    assert (len(both.body), both.headers["X-RunKey-Signature"]) == (327, VECTOR_2)
    assert json.loads(both.body)["signature"] == VECTOR_1


@pytest.mark.parametrize("scheme", ["same", "data"])
def test_the_other_readings_send_one_value_twice(scheme):
    callback = build_callback(VECTOR, VECTOR_SECRET, Behaviour(webhook_scheme=scheme))
    part = VECTOR if scheme == "same" else VECTOR["data"]
    value = signature_of(json.dumps(part, separators=(",", ":")).encode(), VECTOR_SECRET)
    assert callback.headers["X-RunKey-Signature"] == json.loads(callback.body)["signature"] == value


@pytest.mark.parametrize(("form", "pattern"), [("bare", VECTOR_2[7:]), ("upper", "sha256=" + VECTOR_2[7:].upper())])
def test_the_form_of_the_header_is_switchable(form, pattern):
    behaviour = Behaviour(webhook_header=form, webhook_timestamp_header=True)
    headers = build_callback(VECTOR, VECTOR_SECRET, behaviour).headers
    assert (headers["X-RunKey-Signature"], headers["X-RunKey-Timestamp"]) == (pattern, VECTOR["timestamp"])


def test_a_callback_is_signed_over_the_bytes_sent(runkey, receiver):
    """Also for text outside ASCII, with the secret of the ready line, and with one set by a switch."""
    runkey.start("tpl_inline", {"prompt": "façade 小さな ☕"}, webhook_url=receiver.url)
    body, headers = receiver.wait()
    assert is_signed(body, headers, runkey.secret)
    assert "小さな ☕" in body.decode()
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    runkey.set("behaviour", {"webhook_secret": "mine"})
    runkey.start("tpl_inline", webhook_url=receiver.url)
    assert is_signed(*receiver.wait(), "mine")


def test_failures_have_an_event_and_cancellations_have_none(runkey, receiver):
    """The data of a failure are those that a read returns."""
    canceled = runkey.start(webhook_url=receiver.url)
    runkey.set("tasks", {"task_id": canceled})
    failed = runkey.start(runkey.template("t", scenario="failure"), webhook_url=receiver.url)
    payload = json.loads(receiver.wait()[0])
    assert (payload["event"], payload["data"]) == ("task.failed", runkey.data(failed))
    assert len(receiver.got) == 1


@pytest.mark.parametrize("first", ["request", "template"])
def test_the_url_that_wins_is_switchable(runkey, receiver, first):
    other = "http://127.0.0.1:9/other"
    urls = (receiver.url, other) if first == "request" else (other, receiver.url)
    runkey.set("behaviour", {"webhook_wins": first})
    runkey.start(runkey.template("t", webhook_url=urls[1]), webhook_url=urls[0])
    receiver.wait()


def test_a_template_has_a_webhook_of_its_own(runkey, receiver):
    runkey.start(runkey.template("t", webhook_url=receiver.url))
    receiver.wait()


def until_delivered(runkey, count, **wanted):
    """Wait until the last of *count* deliveries is recorded as wanted."""
    for _ in range(600):
        records = runkey.read("deliveries")["deliveries"]
        if len(records) == count and wanted.items() <= records[-1].items():
            return records
        time.sleep(0.05)
    raise AssertionError(records)


def test_a_refused_callback_is_sent_again_and_a_redirect_is_not_followed(runkey, receiver):
    receiver.statuses += [500, 302]
    runkey.start("tpl_image", webhook_url=receiver.url)
    for attempts, wait_s in ((1, 1), (2, 2)):
        until_delivered(runkey, 1, attempts=attempts)
        runkey.advance(wait_s)
    (record,) = until_delivered(runkey, 1, attempts=3, status=204)
    assert record["how"] == "correct"
    assert len({body for body, _ in receiver.got}) == 1


def test_a_callback_is_given_up_after_its_attempts(runkey, receiver):
    receiver.statuses += [500] * 5
    runkey.set("behaviour", {"webhook_attempts": 1})
    runkey.start("tpl_image", webhook_url=receiver.url)
    until_delivered(runkey, 1, attempts=1, status=500)


def test_no_callback_leaves_this_machine(runkey):
    runkey.start("tpl_image", webhook_url="https://example.com/hook")
    (record,) = until_delivered(runkey, 1, how="not on this machine")
    assert record["attempts"] == 0


def test_a_lost_callback_is_never_sent(runkey, receiver):
    runkey.set("faults", {"kind": "webhook", "how": "lost"})
    task_id = runkey.start("tpl_image", webhook_url=receiver.url)
    until_delivered(runkey, 1, how="lost")
    assert runkey.data(task_id)["status"] == "completed"
    assert receiver.got == []


def test_a_delayed_callback_comes_later(runkey, receiver):
    runkey.set("faults", {"kind": "webhook", "how": "delayed", "seconds": 40})
    runkey.start("tpl_image", webhook_url=receiver.url)
    runkey.run("tpl_image", webhook_url=receiver.url)
    receiver.wait()  # the second task's
    runkey.advance(40)
    assert is_signed(*receiver.wait(), runkey.secret)
    assert len({json.loads(body)["data"]["task_id"] for body, _ in receiver.got}) == 2


def test_a_duplicated_callback_has_the_same_bytes(runkey, receiver):
    runkey.set("faults", {"kind": "webhook", "how": "duplicated"})
    runkey.start("tpl_image", webhook_url=receiver.url)
    assert receiver.wait()[0] == receiver.wait()[0]


@pytest.mark.parametrize("how", ["forged", "wrong_signature", "tampered"])
def test_a_spoilt_callback_fails_verification(runkey, receiver, how):
    """With `in_addition` the correct callback follows."""
    runkey.set("faults", {"kind": "webhook", "how": how, "in_addition": True})
    runkey.start("tpl_image", webhook_url=receiver.url)
    receiver.wait()
    receiver.wait()
    (spoilt, correct) = receiver.got
    assert not is_signed(*spoilt, runkey.secret)
    assert is_signed(*correct, runkey.secret)


def test_a_stale_callback_is_signed_and_old(runkey, receiver):
    runkey.set("faults", {"kind": "webhook", "how": "stale", "seconds": 400_000_000})
    runkey.start("tpl_image", webhook_url=receiver.url)
    body, headers = receiver.wait()
    assert is_signed(body, headers, runkey.secret)
    assert json.loads(body)["timestamp"][:4] < json.loads(body)["data"].get("completed_at", time.strftime("%Y"))[:4]


def test_a_callback_without_header_has_the_member(runkey, receiver):
    runkey.set("faults", {"kind": "webhook", "how": "missing_header"})
    runkey.start("tpl_image", webhook_url=receiver.url)
    body, headers = receiver.wait()
    assert "X-RunKey-Signature" not in headers
    assert json.loads(body)["signature"].startswith("sha256=")


@pytest.mark.parametrize("port", ["9", "99999999", "x"])
def test_a_receiver_that_is_gone_has_no_status(run_async, port):
    assert run_async(post_bytes(f"http://127.0.0.1:{port}/", b"{}", {})) == 0


def test_a_connection_of_another_server_breaks_off(run_async):
    """Without a transport to break, the response is shorter than its length."""

    async def receive():
        return {"type": "http.disconnect"}

    response = run_async(broken(Request({"type": "http", "headers": []}, receive)))
    assert response.headers["Content-Length"] == "1000"


def test_a_notebook_hides_the_webhook_secret():
    sandbox = LocalSandbox()
    try:
        assert sandbox.info["runkey_webhook_secret"].startswith("whsec_")
        assert "whsec_" not in repr(sandbox.info)
    finally:
        sandbox.stop()


def test_a_session_takes_the_urls_of_services_from_the_sandbox_and_no_other_setting():
    """The sandbox has media of its own; the setting `media_url` stays where the user keeps images."""
    sandbox = LocalSandbox()
    try:
        assert "media_url" in sandbox.info
        assert set(sandbox.values) == {"api_key", "rest_url", "ws_url", "schemas_url", "runkey_url", "useapi_url"}
        assert sandbox.values["runkey_url"] == sandbox.info["runkey_url"]
    finally:
        sandbox.stop()


def test_the_reset_of_the_limit_is_in_the_future(runkey):
    """It is stated in seconds since the epoch, and agrees with the Date header."""
    headers = runkey.call("/account")[2]
    date_s = parsedate_to_datetime(headers["Date"]).timestamp()
    assert 0 < int(headers["X-RateLimit-Reset"]) - date_s <= 62


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["png", "jpg", "webp"])
def test_images_have_the_wanted_format_and_size(runkey, wanted):
    given = {"prompt": "a red ship", "output_format": wanted, "width": 256, "height": 128}
    output = runkey.data(runkey.start("tpl_image", given))["output"]
    status, body, headers = runkey.call(output["result_url"], headers={"Authorization": ""})
    image = Image.open(io.BytesIO(body))
    assert (status, image.size, image.format) == (200, (256, 128), {"jpg": "JPEG"}.get(wanted, wanted.upper()))
    assert headers["Content-Type"] == f"image/{'jpeg' if wanted == 'jpg' else wanted}"
    assert Image.open(io.BytesIO(runkey.call(output["thumbnail_url"])[1])).size == (64, 32)


@pytest.mark.parametrize(("kind", "stream"), [("video", "video"), ("audio", "audio")])
def test_videos_and_audio_can_be_decoded(runkey, kind, stream):
    output = runkey.data(runkey.start(f"tpl_{kind}", {"width": 128, "height": 128}))["output"]
    status, body, headers = runkey.call(output["result_url"])
    assert (status, headers["Content-Type"]) == (200, {"video": "video/mp4", "audio": "audio/mpeg"}[kind])
    with av.open(io.BytesIO(body)) as container:
        assert next(container.decode(**{stream: 0})) is not None


def test_json_is_a_file_or_part_of_the_output(runkey):
    output = runkey.data(runkey.start("tpl_json", {"a": 1}))["output"]
    assert runkey.call(output["result_url"])[1]["input"] == {"a": 1}
    assert runkey.data(runkey.start("tpl_inline", {"a": 1}))["output"]["input"] == {"a": 1}


def test_odd_inputs_are_drawn_too(runkey):
    given = {"prompt": None, "width": True, "height": "tall", "output_format": ["x"], "seed": -1}
    output = runkey.data(runkey.start("tpl_image", given))["output"]
    assert Image.open(io.BytesIO(runkey.call(output["result_url"])[1])).size == (512, 512)


def test_files_exist_from_completion_to_expiry(runkey):
    task_id = runkey.start(runkey.template("tpl_json", output="json", run_s=10))
    runkey.set("behaviour", {"result_expires_s": 30})
    runkey.advance(10)
    url = runkey.data(task_id)["output"]["result_url"]
    assert runkey.call(url)[0] == 200
    runkey.advance(31)
    assert runkey.call(url)[0] == 404
    assert runkey.call(url.replace("result", "other"))[0] == 404


@pytest.mark.parametrize("kind", ["expire", "truncate", "drop", "bomb"])
def test_faults_of_files(runkey, kind):
    """The file is gone, half of it comes, the connection breaks, or it is a very large image in few bytes."""
    runkey.set("faults", {"kind": kind})
    given = {"text": "x" * 1000}
    url = runkey.data(runkey.start("tpl_json", given))["output"]["result_url"]
    if kind == "drop":
        with pytest.raises(BROKEN):
            runkey.call(url)
        return
    status, body, headers = runkey.call(url)
    assert status == (404 if kind == "expire" else 200)
    if kind == "truncate":
        assert isinstance(body, bytes)  # half of it is not JSON
    if kind == "bomb":
        assert (headers["Content-Type"], len(body) < 1_000_000) == ("image/png", True)
        assert struct.unpack(">II", body[16:24]) == (30_000, 30_000)


# --- control and state ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("behaviour", {"unknown": 1}), ("behaviour", {"submit_status": 404}), ("behaviour", {"queued_counts": 1}),
        ("behaviour", {"http_statuses": {"1": 200}}), ("behaviour", {"result_expires_s": -1}),
        ("behaviour", {"max_body_bytes": True}), ("behaviour", {"webhook_secret": 5}),
        ("account", {"plan": "Gold"}), ("account", {"balance": "x"}), ("account", {"name": "x"}), ("account", b"["),
        ("account", [1]), ("templates", {}), ("templates", {"template_id": "t", "output": "smell"}),
        ("templates", {"template_id": "t", "scenario": "x"}), ("templates", {"template_id": "t", "run_s": -1}),
        ("templates", {"template_id": "t", "queue_s": None}), ("templates", {"template_id": "t", "x": 1}),
        ("tasks", {"task_id": "x"}), ("advance", {"seconds": -1}), ("advance", {}), ("faults", {"kind": "x"}),
        ("faults", {"kind": "webhook", "how": "x"}),
    ],
)  # fmt: skip
def test_invalid_control_requests_are_refused(runkey, path, body):
    status, answer, _ = runkey.call(f"/_sandbox/{path}", body)
    assert (status, bool(answer["error"])) == (400, True)


def test_an_unknown_ending_is_refused(runkey):
    status, answer, _ = runkey.call("/_sandbox/tasks", {"task_id": runkey.start(), "ending": "lost"})
    assert (status, "expected one of" in answer["error"]) == (400, True)


@pytest.mark.parametrize("path", ["account", "templates", "tasks", "advance", "behaviour", "reset"])
def test_control_requests_need_the_key(runkey, path):
    assert runkey.call(f"/_sandbox/{path}", {}, key="wrong")[0] == 401


def test_secrets_are_not_in_representations():
    assert "hidden" not in repr(Behaviour(webhook_secret="hidden"))


def test_state_outlives_the_process(tmp_path):
    """Tasks, charges, templates, the account and the advanced clock are those of before."""
    arguments = (*STOPPED, "--state-dir", str(tmp_path / "state"), "--key-file", str(tmp_path / "key"))
    first = RunKeyProcess(*arguments)
    first.clear()
    first.set("account", {"plan": "free", "balance": 100})
    done, failed = first.start(), first.start()
    first.set("tasks", {"task_id": failed, "ending": "failed"})
    first.advance(120)
    assert first.balance() == 85
    running = first.start()
    ledger, secret = first.read("ledger"), first.secret
    first.kill()
    second = RunKeyProcess(*arguments)
    try:
        assert second.secret == secret
        assert second.read("ledger") == ledger
        account = second.call("/account")[1]["data"]
        assert (account["balance"], account["plan"]) == (85, "free")
        assert [second.data(task_id)["status"] for task_id in (done, failed, running)] == [
            "completed",
            "failed",
            "queued",
        ]
        assert second.call(second.data(done)["output"]["result_url"])[0] == 200
        assert second.start() not in {done, failed, running}
        second.advance(200)
        assert second.balance() == 85 - 2 * 15
    finally:
        second.close()


def kept_in(tmp_path):
    return (*STOPPED, "--state-dir", str(tmp_path / "state"), "--key-file", str(tmp_path / "key"))


def until_written(tmp_path, op, count=1):
    """Wait until the journal has *count* events of a kind, and return them."""
    for _ in range(600):
        lines = (tmp_path / "state" / "runkey" / "journal.jsonl").read_text().splitlines()
        events = [event for event in map(json.loads, lines) if event["op"] == op]
        if len(events) == count:
            return events
        time.sleep(0.05)
    raise AssertionError(lines)


def test_a_callback_is_sent_again_after_a_restart_with_the_same_bytes(tmp_path, receiver):
    """Also if a switch would sign it in another way by now. A delivered callback is not repeated."""
    receiver.statuses += [204, 500]
    first = RunKeyProcess(*kept_in(tmp_path))
    first.start("tpl_inline", webhook_url=receiver.url)
    delivered = receiver.wait()
    until_written(tmp_path, "called_back")
    task_id = first.start("tpl_inline", {"prompt": "façade ☕"}, webhook_url=receiver.url)
    refused = receiver.wait()
    until_written(tmp_path, "attempt", 2)
    first.kill()
    second = RunKeyProcess(*kept_in(tmp_path))
    try:
        second.set("behaviour", {"webhook_scheme": "header-only"})
        second.advance(1)
        again = receiver.wait()
        records = until_delivered(second, 2, task_id=task_id, attempts=2, status=204)
        until_written(tmp_path, "called_back", 2)
    finally:
        second.kill()
    name = "X-RunKey-Signature"
    assert (again[0], again[1][name]) == (refused[0], refused[1][name])
    assert is_signed(*again, second.secret)
    assert records[0]["attempts"] == 1
    third = RunKeyProcess(*kept_in(tmp_path))
    try:
        third.start("tpl_inline", webhook_url=receiver.url)
        receiver.wait()
    finally:
        third.close()
    assert [body for body, _ in receiver.got].count(delivered[0]) == 1
    assert len(receiver.got) == 4


def test_callbacks_of_unfinished_tasks_follow_after_a_restart(tmp_path, receiver):
    """They are built and signed when the task ends, and have the fault that hit the request."""
    first = RunKeyProcess(*kept_in(tmp_path))
    first.clear()
    ended = first.start("tpl_slow", {"n": 1}, webhook_url=receiver.url)
    first.set("faults", [{"kind": "webhook", "how": "wrong_signature", "in_addition": True},
                         {"kind": "webhook", "how": "lost"}])  # fmt: skip
    spoilt, lost = (first.start("tpl_slow", {"n": n}, webhook_url=receiver.url) for n in (2, 3))
    canceled = first.start("tpl_slow", {"n": 4}, webhook_url=receiver.url)
    first.set("tasks", {"task_id": canceled})
    first.kill()
    second = RunKeyProcess(*kept_in(tmp_path))
    try:
        assert receiver.got == []
        second.advance(200)
        for _ in range(3):
            receiver.wait()
        until_written(tmp_path, "called_back", 3)
    finally:
        second.close()
    received = [(json.loads(body)["data"]["task_id"], is_signed(body, headers, first.secret))
                for body, headers in receiver.got]  # fmt: skip
    assert sorted(received) == sorted([(ended, True), (spoilt, False), (spoilt, True)])
    assert lost not in dict(received)


def test_a_delayed_callback_outlives_the_process(tmp_path, receiver):
    first = RunKeyProcess(*kept_in(tmp_path))
    first.set("faults", {"kind": "webhook", "how": "delayed", "seconds": 40})
    first.start("tpl_inline", webhook_url=receiver.url)
    first.kill()
    second = RunKeyProcess(*kept_in(tmp_path))
    try:
        second.advance(40)
        assert is_signed(*receiver.wait(), second.secret)
    finally:
        second.close()


def test_no_secret_is_in_the_state_folder(tmp_path, receiver):
    """Neither the key nor the webhook secret, whether of the process or of a switch."""
    runkey = RunKeyProcess(*kept_in(tmp_path))
    try:
        runkey.start("tpl_inline", webhook_url=receiver.url)
        receiver.wait()
        runkey.set("behaviour", {"webhook_secret": "whsec_of_a_switch"})
        runkey.start("tpl_inline", webhook_url=receiver.url)
        receiver.wait()
        until_written(tmp_path, "called_back", 2)
    finally:
        runkey.kill()
    content = (tmp_path / "state" / "runkey" / "journal.jsonl").read_text()
    assert all(secret not in content for secret in (runkey.api_key, runkey.secret, "whsec_"))


def test_a_damaged_journal_leaves_the_other_tasks(tmp_path, capfd):
    """Ids are unique although lines are missing, and the problem is reported."""
    arguments = (*STOPPED, "--state-dir", str(tmp_path))
    first = RunKeyProcess(*arguments)
    ids = [first.start("tpl_inline") for _ in range(3)]
    assert first.balance() == 4955
    first.kill()
    journal = tmp_path / "runkey" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(['{"op": "unknown"}\n', *lines[1:], '{"op": "acc']))
    second = RunKeyProcess(*arguments)
    try:
        assert [second.task(task_id)[0] for task_id in ids] == [404, 200, 200]
        assert second.start("tpl_inline") not in ids
    finally:
        second.close()
    assert "unreadable and left out" in capfd.readouterr().err


def test_it_listens_on_this_machine_only(runkey):
    assert runkey.url.startswith("http://127.0.0.1:")
    assert runkey.call("/account", headers={"Host": "evil.example"})[0] == 403


def test_every_switch_and_fault_is_documented():
    """The tables of the documentation name each of them."""
    text = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
    section = text[text.index("## RunKey.ai") : text.index("## useapi.net")]
    for name in [*(switch.name for switch in fields(Behaviour)), *FAULTS.kinds, *WEBHOOK_FAULTS, *SCENARIOS]:
        assert f"`{name}`" in section, name
