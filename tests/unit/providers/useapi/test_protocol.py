"""Every form in which useapi.net sends a task, an asset, credits or an error is parsed to the same values."""

import datetime as dt

import pytest

from runware_nb.errors import (
    AuthenticationFailed,
    ContentRefused,
    OutOfCredit,
    ProtocolError,
    ProviderFailed,
    RateLimited,
    TaskFailed,
    TaskInvalid,
    TaskNotFound,
)
from runware_nb.net.http import HttpResponse
from runware_nb.providers.useapi import protocol

TASK_ID = "user:1000-runwayml:first-name-task:x@example.com-task:0b3b7a3e-8d8f-4f2e-9d3c-0d7e6a1b2c3d"


def response(status, body, **headers):
    return HttpResponse(status, headers, body if isinstance(body, bytes) else body.encode())


def error(status, body, *, creates=False, posts_account=False, **headers):
    return protocol.error_of_response(response(status, body, **headers), creates=creates, posts_account=posts_account)


# --- identifiers ---


@pytest.mark.parametrize(
    ("identifier", "owner"),
    [
        ("user:1000-runwayml:me@example.com-task:0b3b", "me@example.com"),
        ("user:1000-runwayml:a-b@ex-ample.com-asset:0b3b", "a-b@ex-ample.com"),
        (TASK_ID, "first-name-task:x@example.com"),
        ("0b3b7a3e-8d8f-4f2e-9d3c-0d7e6a1b2c3d", None),
        ("user:1000-pixverse:me@example.com-task:0b3b", None),
        ("user:1000-runwayml:-task:0b3b", None),
        ("", None),
    ],
)
def test_the_owner_is_read_from_an_id_without_splitting_at_dashes(identifier, owner):
    assert protocol.owner_of(identifier) == owner


def test_accounts_and_ids_are_shortened_for_display():
    assert protocol.shorten_account("someone@example.com") == "so…@example.com"
    assert protocol.shorten_account("me@example.com") == "m…@example.com"
    shown = protocol.shorten_id("user:1000-runwayml:someone@example.com-asset:0b3b7a3e-8d8f")
    assert shown == "so…@example.com asset 0b3b7a3e"
    assert protocol.shorten_id("plain") == "plain"
    assert len(protocol.shorten_id("x" * 90)) < 30


# --- tasks ---


@pytest.mark.parametrize("form", ["flat", "nested"])
def test_a_task_is_read_at_the_top_and_inside_task(form):
    item = {"taskId": TASK_ID, "status": "pending"}
    task = protocol.parse_task(item if form == "flat" else {"task": item, "code": 200}, "It")
    assert (task.task_id, task.status, task.is_final) == (TASK_ID, "PENDING", False)


@pytest.mark.parametrize("answer", [{}, {"id": "0b3b"}, {"task": {"id": "0b3b"}}, [], None, "text", {"taskId": 7}])
def test_a_response_without_a_task_id_is_an_error_and_the_bare_id_is_not_used(answer):
    with pytest.raises(ProtocolError, match="has no taskId"):
        protocol.parse_task(answer, "It")


@pytest.mark.parametrize(
    ("value", "progress"),
    [
        ("1", 1.0),
        ("0.25", 0.25),
        (0.5, 0.5),
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        (True, None),
        ("7", 1.0),
    ],
)
def test_progress_is_a_number_whatever_its_type(value, progress):
    task = protocol.parse_task({"taskId": TASK_ID, "progressRatio": value}, "It")
    assert task.progress == progress


@pytest.mark.parametrize(
    ("status", "final", "failed", "waiting"),
    [
        ("SUCCEEDED", True, False, False), ("failed", True, True, False), ("CANCELED", True, True, False),
        ("Cancelled", True, True, False), ("THROTTLED", False, False, True), ("RUNNING", False, False, False),
        ("NEW_STATUS", False, False, False), (None, False, False, False),
    ],
)  # fmt: skip
def test_statuses_are_compared_in_any_case_and_an_unknown_one_is_in_progress(status, final, failed, waiting):
    task = protocol.parse_task({"taskId": TASK_ID, "status": status}, "It")
    assert (task.is_final, task.has_failed, task.is_waiting) == (final, failed, waiting)


@pytest.mark.parametrize(
    ("value", "text", "code"),
    [
        (None, None, None),
        ("too dark", "too dark", None),
        ({"errorMessage": "blocked", "reason": "SAFETY.INPUT.TEXT"}, "blocked", "SAFETY.INPUT.TEXT"),
        ({"message": "m", "moderation_category": "violence"}, "m", "violence"),
        ({"odd": 1}, '{"odd": 1}', None),
    ],
)
def test_the_reason_of_a_failure_is_null_a_text_or_an_object(value, text, code):
    task = protocol.parse_task({"taskId": TASK_ID, "status": "FAILED", "error": value}, "It")
    assert (task.error, task.error_code) == (text, code)


@pytest.mark.parametrize(
    ("metadata", "size", "duration"),
    [
        (None, (None, None), None),
        ({"frameRate": 24, "duration": 5.0, "width": 1280, "height": 720, "hasAudio": False}, (1280, 720), 5.0),
        ({"frameRate": 24, "duration": 5, "dimensions": [1280, 720]}, (1280, 720), 5.0),
        ({"size": ["640", "480"]}, (640, 480), None),
    ],
)
def test_artifacts_have_both_forms_of_metadata_and_sizes_of_either_type(metadata, size, duration):
    item = {
        "assetId": "a",
        "id": "b",
        "url": "https://x/y",
        "fileSize": "12345",
        "metadata": metadata,
        "filename": "y.mp4",
    }
    artifact = protocol.parse_task({"taskId": TASK_ID, "artifacts": [item, "odd"]}, "It").artifacts[0]
    assert (artifact.width, artifact.height) == size
    assert (artifact.duration_s, artifact.file_size_bytes, artifact.kind) == (duration, 12345, "video")


@pytest.mark.parametrize(
    ("filename", "metadata", "kind"),
    [
        ("a.PNG", None, "image"),
        ("a.wav", None, "audio"),
        ("a", {"duration": 5, "width": 1}, "video"),
        ("a", None, "media"),
    ],
)
def test_the_kind_of_an_artifact_is_read_from_its_name_or_its_metadata(filename, metadata, kind):
    item = {"filename": filename, "metadata": metadata}
    assert protocol.parse_task({"taskId": TASK_ID, "artifacts": [item]}, "It").artifacts[0].kind == kind


def test_tasks_are_listed_as_an_array_or_in_an_object():
    items = [{"taskId": TASK_ID, "replyRef": "r"}]
    assert protocol.parse_tasks(items) == protocol.parse_tasks({"tasks": items})
    with pytest.raises(ProtocolError, match="not an array"):
        protocol.parse_tasks({"error": "?"})


def test_the_scheduler_is_an_array_and_odd_entries_are_left_out():
    tasks = protocol.parse_scheduler([{"taskId": TASK_ID, "replyRef": None}, {"taskId": 5}, "odd"])
    assert [(task.task_id, task.reply_ref) for task in tasks] == [(TASK_ID, None)]
    with pytest.raises(ProtocolError):
        protocol.parse_scheduler({})


def test_an_asset_is_read_at_the_top_and_inside_asset():
    item = {"assetId": "user:1-runwayml:me@x.com-asset:u", "fileSize": 77}
    assert protocol.parse_asset({"asset": item}) == protocol.parse_asset(item)
    assert protocol.parse_asset(item).account == "me@x.com"
    with pytest.raises(ProtocolError, match="no assetId"):
        protocol.parse_asset({"id": "u"})


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ({"permitted": {"numPlanCredits": 625}, "used": {"numPlanCredits": 100}}, 525),
        ({"permitted": {"numPlanCredits": "625"}, "used": {"numPlanCredits": 0}}, 625),
        ({"permitted": {"numPlanCredits": 625}}, None),
        ({}, None),
    ],
)
def test_credits_left_are_unknown_and_not_0_if_a_part_is_missing(answer, left):
    assert protocol.parse_features(answer).credits_left == left


def test_other_answers_than_objects_are_errors():
    for parse in (protocol.parse_features, protocol.parse_platform):
        with pytest.raises(ProtocolError):
            parse([])


def test_the_platform_account_is_read_without_its_email():
    account = protocol.parse_platform(
        {"email": "me@x.com", "name": "Ada", "subscriptionIsActive": True, "maxAccountsPerAPI": 3}
    )
    assert (account.name, account.is_active, account.most_accounts, account.reply_url) == ("Ada", True, 3, None)
    assert "me@x.com" not in repr(account)


# --- errors ---


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, TaskInvalid, "refused a parameter"),
        (401, AuthenticationFailed, "does not accept the API token"),
        (402, OutOfCredit, "subscription"),
        (403, TaskFailed, "denied access"),
        (404, TaskNotFound, "does not know it"),
        (408, ProviderFailed, "status 408"),
        (410, TaskNotFound, "deleted"),
        (412, OutOfCredit, "another account"),
        (422, ContentRefused, "suspended"),
        (429, RateLimited, "free slot"),
        (500, ProviderFailed, "status 500"),
        (524, ProviderFailed, "status 524"),
        (596, TaskFailed, "adds it again with its password"),
        (418, TaskFailed, "status 418"),
        (777, ProviderFailed, "status 777"),
    ],
)
def test_each_status_is_an_error_that_states_what_to_decide(status, kind, words):
    found = error(status, f'{{"error": "Because.", "code": {status}}}')
    assert type(found) is kind
    assert words in str(found)
    assert "Because" in found.problem
    assert found.http_status == status


def test_an_unknown_account_or_asset_of_a_create_call_is_an_invalid_task_that_was_not_started():
    found = error(404, '{"error": "Not found.", "code": 404}', creates=True)
    assert type(found) is TaskInvalid
    assert "was not started, and nothing was charged" in found.problem


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("Unauthorized", AuthenticationFailed, "API token"),
        ("UNAUTHORIZED.", AuthenticationFailed, "API token"),
        ("Wrong username/password combination.", TaskInvalid, "token is fine"),
        ("Account suspended", TaskFailed, "suspended this account"),
        ("Computer says no", AuthenticationFailed, "API token, the e-mail and the password"),
    ],
)
def test_the_three_meanings_of_401_are_told_apart_where_an_account_is_posted(text, kind, words):
    found = error(401, f'{{"error": "{text}", "code": 401}}', posts_account=True)
    assert type(found) is kind
    assert words in found.problem
    assert text.rstrip(".") in found.problem


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"Account not found.", b"[]", b"{}", b'{"error": null}', b'{"error": ""}', b'"x"']
)
def test_a_body_that_is_not_an_error_of_the_service_is_none(body):
    assert protocol.error_of_response(response(502, body)) is None


def test_details_and_objects_of_an_error_are_in_its_sentence():
    assert "Because (it is late)" in error(400, '{"error": "Because", "errorDetails": "it is late"}').problem
    assert error(400, '{"error": {"message": "upstream"}}').problem.startswith(
        "useapi.net refused a parameter: upstream"
    )


def test_the_delay_of_a_429_is_read_from_the_header_then_from_the_body():
    later = (
        (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=30)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
    body = '{"error": "full", "code": 429, "retryAfter": "%s"}'
    assert error(429, body % later, **{"retry-after": "7"}).retry_after_s == 7
    assert 25 < error(429, body % later).retry_after_s <= 30
    assert error(429, body % "2001-01-01T00:00:00Z").retry_after_s == 0
    assert error(429, body % "12").retry_after_s == 12
    assert error(429, body % "soon").retry_after_s is None
    assert error(429, '{"error": "full", "code": 429}').retry_after_s is None


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ({"status": "FAILED", "error": "The prompt was moderated."}, ContentRefused),
        ({"status": "FAILED", "error": {"errorMessage": "x", "reason": "SAFETY.INPUT.TEXT"}}, ContentRefused),
        ({"status": "FAILED", "error": "no reason"}, TaskFailed),
        ({"status": "FAILED", "error": None}, TaskFailed),
        ({"status": "SUCCEEDED", "artifacts": []}, TaskFailed),
    ],
)
def test_a_task_that_ended_without_a_result_is_an_error(task, kind):
    found = protocol.error_of_task(protocol.parse_task({"taskId": TASK_ID, **task}, "It"), "u")
    assert type(found) is kind
    assert found.task_uuid == "u"


def test_accounts_of_a_list_show_more_until_they_differ():
    anna, antje, other = "anna@example.com", "antje@example.com", "me@example.org"
    assert protocol.shorten_accounts([anna, antje, other]) == {
        anna: "ann…@example.com", antje: "ant…@example.com", other: "m…@example.org"
    }  # fmt: skip
    assert protocol.shorten_accounts(["me@example", "me@example.com"]) == {
        "me@example": "me@example", "me@example.com": "me@example.com"
    }  # fmt: skip
    assert protocol.shorten_accounts(["no e-mail", anna, anna]) == {"no e-mail": "no e-mail", anna: "an…@example.com"}
