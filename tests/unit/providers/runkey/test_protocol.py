"""RunKey's envelopes, ids, URLs and headers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runware_nb.errors import (
    AuthenticationFailed,
    ConfigError,
    OutOfCredit,
    ProtocolError,
    ProviderFailed,
    RateLimited,
    TaskFailed,
    TaskInvalid,
    TaskNotFound,
    TransportError,
)
from runware_nb.net.http import HttpResponse
from runware_nb.providers.runkey.protocol import (
    check_url,
    check_webhook_url,
    encode_run,
    error_of_code,
    is_local_url,
    is_safe_id,
    parse_account,
    parse_response,
    parse_task,
    rate_headers,
    reset_s,
    task_path,
    wait_s,
)

DATE = {"date": "Sat, 07 Mar 2026 10:00:00 GMT"}
AT = 1_772_877_600  # the same moment


def parsed(body, status=200, headers=None):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_response(HttpResponse(status, headers or {}, content), host="api.runkey.ai")


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_with_code_0_is_a_success(status):
    assert parsed({"code": 0, "data": {"a": 1}, "more": [1]}, status) == {"a": 1}


@pytest.mark.parametrize("status", [200, 202, 400, 500, 503])
def test_the_code_decides_and_not_the_status(status):
    with pytest.raises(
        OutOfCredit, match=r"does not have enough credits \(Empty\), code 40002, request req_1\."
    ) as caught:
        parsed({"code": 40002, "msg": "Empty.", "request_id": "req_1", "data": {}}, status)
    assert (caught.value.code, caught.value.http_status, caught.value.request_id) == ("40002", status, "req_1")
    assert caught.value.raw["msg"] == "Empty."


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (40001, AuthenticationFailed), (40002, OutOfCredit), (40003, RateLimited), (40004, TaskInvalid),
        (40005, TaskInvalid), (40006, TaskNotFound), (50001, ProviderFailed), (50002, ProviderFailed),
        (50003, ProviderFailed), (40099, TaskFailed), (50099, ProviderFailed), (1, TaskFailed), (-1, TaskFailed),
    ],
)  # fmt: skip
def test_each_code_is_a_decision(code, kind):
    with pytest.raises(kind) as caught:
        parsed({"code": code})
    assert type(caught.value) is kind
    assert f"code {code}" in str(caught.value)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"code": 0}, 200),
        ({"code": 0, "data": None}, 202),
        ({"code": 0, "data": []}, 200),
        ({"code": 0, "data": {}}, 500),
    ],
)
def test_a_success_without_data_is_never_an_empty_success(body, status):
    with pytest.raises(ProtocolError, match="code 0, which means success") as caught:
        parsed(body, status, {"x-request-id": "req_2"})
    assert caught.value.request_id == "req_2"


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>Bad gateway</html>", b'{"code": 0, "da', b"[]", b'"x"', {"code": "0", "data": {}}, {"code": True},
     {"code": 10**30}, {"data": {}}, b"\xff\xfe"],
)  # fmt: skip
def test_what_is_no_envelope_is_a_fault_of_the_transport(body):
    with pytest.raises(TransportError, match=r"HTTP 502 and no RunKey envelope, request req_3") as caught:
        parsed(body, 502, {"x-request-id": "req_3", "retry-after": "7"})
    error = caught.value
    assert (error.http_status, error.retry_after_s, error.request_id) == (502, 7.0, "req_3")
    assert error.may_have_arrived
    assert error.retryable


@pytest.mark.parametrize(("status", "retries"), [(429, True), (503, True), (404, False), (301, False), (200, True)])
def test_only_some_statuses_without_an_envelope_are_worth_another_try(status, retries):
    with pytest.raises(TransportError) as caught:
        parsed(b"<html>", status)
    assert caught.value.retryable is retries


def test_the_envelope_names_the_request_before_the_header():
    with pytest.raises(TaskNotFound) as caught:
        parsed({"code": 40006, "msg": "x", "request_id": "req_body"}, 404, {"x-request-id": "req_head"})
    assert caught.value.request_id == "req_body"


# --- waits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("envelope", "headers", "seconds"),
    [
        ({"retry_after": 30}, {"retry-after": "5"}, 30.0),
        ({"retry_after": "12.5"}, {}, 12.5),
        ({"retry_after": -4}, {}, 0.0),
        ({"retry_after": "soon"}, {"retry-after": "5"}, 5.0),
        ({"retry_after": None}, {"x-ratelimit-reset": str(AT + 9), **DATE}, 9.0),
        ({"retry_after": True}, {}, None),
        ({"retry_after": 1e400}, {}, None),
        ({}, {}, None),
        ({}, {"x-ratelimit-reset": "1699999999", **DATE}, 0.0),
    ],
)
def test_the_wait_is_the_first_that_is_stated(envelope, headers, seconds):
    assert wait_s(envelope, headers) == seconds


def test_only_a_refusal_for_a_limit_waits_for_its_reset():
    headers = {"x-ratelimit-reset": str(AT + 30), **DATE}
    with pytest.raises(ProviderFailed) as caught:
        parsed({"code": 50002}, 503, headers)
    assert caught.value.retry_after_s is None
    with pytest.raises(RateLimited) as limited:
        parsed({"code": 40003}, 429, headers)
    assert limited.value.retry_after_s == 30


def test_the_servers_own_clock_counts_for_the_reset():
    """The wall clock of this machine is years away from this date."""
    assert reset_s({"x-ratelimit-reset": str(AT + 30), **DATE}) == 30
    assert reset_s({"x-ratelimit-reset": "never", **DATE}) is None
    assert reset_s(DATE) is None
    assert reset_s({"x-ratelimit-reset": "0", "date": "yesterday"}) == 0


def test_headers_may_be_missing_or_unusable():
    stated = rate_headers({"x-ratelimit-limit": "60", "x-ratelimit-remaining": "7"})
    assert (stated.limit, stated.remaining, stated.reset_s) == (60, 7, None)
    odd = rate_headers({"x-ratelimit-limit": "0", "x-ratelimit-remaining": "some"})
    assert (odd.limit, odd.remaining) == (None, None)


# --- tasks and account -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason", "code"),
    [
        ({"error": {"code": 50003, "msg": "Too slow"}}, "Too slow", "50003"),
        ({"error": {"message": "Too slow"}}, "Too slow", ""),
        ({"error": "Too slow"}, "Too slow", ""),
        ({"msg": "Too slow"}, "Too slow", ""),
        ({"message": "Too slow", "error": {}}, "Too slow", ""),
        ({"error_code": 50001}, "", "50001"),
        ({"error": [1], "msg": 3}, "", ""),
        ({}, "", ""),
    ],
)
def test_the_reason_of_a_failure_is_found_in_every_form(fields, reason, code):
    task = parse_task({"task_id": "t", "status": "failed", **fields})
    assert (task.reason, task.error_code, task.is_finished) == (reason, code, True)


def test_only_id_and_status_are_required_and_odd_values_are_left_out():
    task = parse_task({"task_id": "t", "status": "paused", "progress": "half", "credits_used": True, "input": [1]})
    assert (task.progress, task.credits_used, task.input, task.is_finished) == (None, None, None, False)
    assert parse_task({"task_id": "t", "status": "running", "progress": 250}).progress == 100
    assert parse_task({"status": "queued"}, asked_for="t").task_id == "t"


@pytest.mark.parametrize("data", [{}, {"task_id": "t"}, {"status": "queued"}, {"task_id": 3, "status": "queued"}])
def test_a_task_without_id_or_status_is_refused(data):
    with pytest.raises(ProtocolError, match="without an id or a status"):
        parse_task(data)


def test_another_task_is_refused():
    with pytest.raises(ProtocolError, match="another task"):
        parse_task({"task_id": "other", "status": "completed"}, asked_for="mine")


@pytest.mark.parametrize(
    ("balance", "expected"), [(5000, 5000.0), (-2.5, -2.5), ("12", None), (None, None), (10**400, None)]
)
def test_any_number_is_a_balance(balance, expected):
    account = parse_account({"balance": balance, "plan": " Pro ", "email": "a@b.example"})
    assert (account.balance, account.plan) == (expected, "pro")
    assert "a@b.example" not in repr(account)


# --- requests --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task_id", ["", "a/b", "a?b", "a#b", "a%2f", "..", "a..b", ".", "a\n", "a\\b", "x" * 2000, None, 3]
)
def test_unsafe_ids_are_refused(task_id):
    assert not is_safe_id(task_id)
    with pytest.raises(TaskInvalid, match="cannot be part of a URL"):
        task_path(task_id)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=60))
def test_any_other_id_is_one_segment_of_the_path(task_id):
    if not is_safe_id(task_id):
        return
    path = task_path(task_id)
    assert path.isascii()
    assert path.count("/") == 2
    assert not set(path) & set("?# ")


@pytest.mark.parametrize("url", ["https://api.runkey.ai/v1", "http://127.0.0.1:80/v1/", "http://localhost:1/v1"])
def test_the_key_goes_to_https_or_this_machine(url):
    assert check_url(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    ["http://api.runkey.ai/v1", "http://10.0.0.1/v1", "http://127.0.0.1.example/v1", "ftp://a.example", "api.runkey.ai",
     "https://u:p@api.runkey.ai", "https://a.example/v1?x=1", "https://a.example:port/"],
)  # fmt: skip
def test_the_key_goes_nowhere_else(url):
    with pytest.raises(ConfigError, match="Nothing was sent"):
        check_url(url)


def test_a_name_that_begins_like_a_local_address_is_not_local():
    assert is_local_url("http://127.1.2.3:5/")
    assert is_local_url("http://[::1]:5/")
    assert not is_local_url("http://127.evil.example/")


def test_webhook_urls():
    assert check_webhook_url("https://a.example/x?y=1") is None
    assert check_webhook_url("http://127.0.0.1:9/x") is None
    assert "plain http" in (check_webhook_url("http://a.example/x") or "")
    for url in ("a.example/x", "ftp://a.example", "https://", "https://a b", "http://[", ""):
        with pytest.raises(TaskInvalid, match="Invalid webhook URL"):
            check_webhook_url(url)


def test_the_body_of_a_run():
    assert json.loads(encode_run("tpl", {}, None)) == {"template_id": "tpl", "input": {}}
    assert json.loads(encode_run("tpl", {"a": "ü"}, "https://a.example"))["webhook_url"] == "https://a.example"


@pytest.mark.parametrize(
    ("template_id", "body", "said"),
    [
        ("", {}, "Invalid template id"),
        (None, {}, "Invalid template id"),
        ("tpl", [1], r"expected an object \(a dict\), not list"),
        ("tpl", None, "not NoneType"),
        ("tpl", {"a": object()}, "Invalid input"),
        ("tpl", {"a": float("nan")}, "Invalid input"),
        ("tpl", {"a": "x" * 1_100_000}, "at most 1,048,576"),
    ],
)
def test_what_cannot_be_sent_is_refused(template_id, body, said):
    with pytest.raises(TaskInvalid, match=said) as caught:
        encode_run(template_id, body, None)
    assert "Nothing was sent" in str(caught.value)


def test_a_long_text_of_the_service_is_shortened_and_kept_in_raw():
    error = error_of_code("40005", "x" * 5000, raw={"msg": "x" * 5000})
    assert len(str(error)) < 1200
    assert len(error.raw["msg"]) == 5000


def test_a_refused_template_states_the_code_once_and_what_to_do():
    with pytest.raises(TaskInvalid) as caught:
        parsed({"code": 40004, "msg": "Template not found", "request_id": "req_1"}, 404)
    (line,) = caught.value._render_traceback_()
    assert line == (
        "TaskInvalid: RunKey: the template does not exist (Template not found), code 40004, request req_1. Nothing was "
        "charged. Check the id of the template in your RunKey account. (parameter template_id)"
    )
