"""A callback of useapi.net proves nothing: only the id of its task is taken."""

import json

import pytest

from runware_nb.errors import ConfigError
from runware_nb.providers.useapi.callbacks import MAX_BYTES, build_route, new_path, read_callback
from runware_nb.providers.webhook import CallbackRefused

TASK = "user:1000-runwayml:me@example.com-task:0b3b7a3e"


class Context:
    def __init__(self, url=""):
        self.settings = self
        self.url = url

    def value(self, name):
        assert name == "useapi_reply_url"
        return self.url


def body(**values):
    return json.dumps(values).encode()


@pytest.mark.parametrize("content", [body(taskId=TASK, status="RUNNING"), body(task={"taskId": TASK}, code=200)])
def test_the_task_is_read_in_both_forms(content):
    assert read_callback([], content).task_ids == (TASK,)


def test_each_different_body_is_news_so_that_a_forged_one_hides_no_real_one():
    forged, real = body(taskId=TASK, status="SUCCEEDED", x=1), body(taskId=TASK, status="SUCCEEDED")
    assert read_callback([], forged).event_id != read_callback([], real).event_id
    assert read_callback([], real) == read_callback([], real)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", body(), body(taskId=5), body(taskId="0b3b"), body(taskId="user:1-runwayml:-task:"),
     body(taskId=TASK + "x" * 600), body(task="odd"), b"\xff\xfe"],
)  # fmt: skip
def test_what_names_no_task_is_refused(content):
    with pytest.raises(CallbackRefused) as raised:
        read_callback([], content)
    assert raised.value.status == 400


def test_a_large_body_is_refused():
    with pytest.raises(CallbackRefused) as raised:
        read_callback([], body(taskId=TASK, x="x" * MAX_BYTES))
    assert raised.value.status == 413


def test_the_path_cannot_be_guessed():
    paths = {new_path() for _ in range(50)}
    assert len(paths) == 50
    assert all(path.startswith("/useapi/") and len(path) >= 40 for path in paths)
    route = build_route(Context())
    assert (route.service, route.is_signed, len(route.path) >= 40) == ("useapi", False, True)
    assert build_route(Context()).path != route.path


def test_the_path_of_the_setting_is_used_and_must_not_be_guessable_either():
    assert build_route(Context("https://x.org/a/0123456789abcdefghij")).path == "/a/0123456789abcdefghij"
    for url in ("https://x.org", "https://x.org/useapi", "https://x.org/0123456789abcdefghij/x"):
        with pytest.raises(ConfigError, match="can be guessed"):
            build_route(Context(url))


def test_the_receiver_shows_no_email():
    assert build_route(Context()).shorten(TASK) == "me@example.com task 0b3b7a3e".replace("me@", "m…@")
