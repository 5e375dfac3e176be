"""What the provider decides without the service: the form of tasks, their words, errors, and which attempt follows."""

import random

import pytest

from runware_nb.errors import (
    AuthenticationFailed,
    ContentRefused,
    OutOfCredit,
    ProviderFailed,
    RateLimited,
    TaskFailed,
    TaskInvalid,
)
from runware_nb.net.clock import Clock
from runware_nb.providers.base import Attempt
from runware_nb.providers.useapi.package import PACKAGE, RUNWAY_PASSWORD, USEAPI_TOKEN
from runware_nb.providers.useapi.protocol import build_error
from runware_nb.providers.useapi.provider import TERMS, UseApiProvider, wire_body
from runware_nb.settings import Key, Place

TOKEN = "user:1234-a1b2c3d4e5f6g7h8i9j0"
ASSET = "user:1-runwayml:someone@example.com-asset:77aa1122"
VIDEO = {"taskType": "useapi/videos/create", "model": "gen4", "text_prompt": "a ship"}


class Context:
    """What a session gives to providers, with fixed values."""

    board = None

    def __init__(self, url="https://api.useapi.net", reply_url="", token=TOKEN):
        self.settings, self.told = self, []
        self.values = {"useapi_url": url, "useapi_reply_url": reply_url}
        self.token = token

    def value(self, name):
        return self.values[name]

    def key(self, secret):
        return Key(self.token, "a test", secret)

    def notify(self, sentence):
        self.told.append(sentence)

    def callback_url(self, service, *, is_local):
        return None


@pytest.fixture
def provider():
    return UseApiProvider(Context(), clock=Clock(10), rng=random.Random(1))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.useapi.net", "useapi"),
        ("http://127.0.0.1:9/useapi", "useapi-sandbox"),
        ("http://localhost/", "useapi-sandbox"),
    ],
)
def test_runs_of_a_local_service_have_a_name_of_their_own(url, name):
    provider = UseApiProvider(Context(url))
    assert provider.name == name
    assert name in provider.services == PACKAGE.services


def test_it_can_find_lost_tasks_and_never_resends():
    capabilities = UseApiProvider(Context()).capabilities
    assert (capabilities.client_chosen_ids, capabilities.resend_is_safe, capabilities.can_find_lost) == (
        False,
        False,
        True,
    )
    assert (capabilities.webhooks, capabilities.money) == ("unsigned", "credits")


def test_the_user_is_told_once_and_about_an_odd_token():
    context = Context()
    provider = UseApiProvider(context)
    provider.require_key()
    provider.require_key()
    assert context.told == [TERMS]
    odd = Context(token="no-such-form-4711")
    UseApiProvider(odd).require_key()
    assert len(odd.told) == 2
    assert "documented form" in odd.told[1]


def test_the_spellings_of_the_service_become_those_of_our_tasks(provider):
    plan = provider.plan(
        {**VIDEO, "email": "me@example.com", "replyUrl": "https://x/y", "startFrameAssetId": "a.png", "seed": 7.0}
    )
    assert plan.task == {
        **VIDEO, "seed": 7, "account": "me@example.com", "webhookURL": "https://x/y", "assets": {"startFrameAssetId": "a.png"},
    }  # fmt: skip
    assert plan.warnings == ()


def test_ids_of_assets_under_unknown_names_become_assets(provider):
    plan = provider.plan({"taskType": "useapi/new/call", "thing": ASSET, "other": "text"})
    assert plan.task == {"taskType": "useapi/new/call", "other": "text", "assets": {"thing": ASSET}}
    assert "not known here" in plan.warnings[0]


def test_a_task_that_is_sent_as_it_is_is_not_checked(provider):
    odd = {"taskType": "useapi/videos/create", "model": 5, "duration": "odd"}
    assert provider.plan(odd, as_is=True).task == odd
    assert provider.complete(odd, as_is=True).keys() == {*odd, "taskUUID"}
    with pytest.raises(TaskInvalid):
        provider.plan(odd)


def test_a_typed_task_is_planned_as_its_wire_form(provider):
    class Typed:
        def to_wire(self):
            return VIDEO

    assert provider.plan(Typed()).task == VIDEO


def test_the_body_has_the_account_the_reference_and_the_callback():
    task = {**VIDEO, "taskUUID": "u", "account": "me@example.com"}
    assert wire_body(task, "ref", "https://setting") == {
        "model": "gen4", "text_prompt": "a ship", "email": "me@example.com", "replyRef": "ref", "replyUrl": "https://setting",
    }  # fmt: skip
    named = wire_body(
        {**task, "webhookURL": "https://own", "assets": {"startFrameAssetId": ASSET}}, "ref", "https://setting"
    )
    assert named["replyUrl"] == "https://own"
    assert named["startFrameAssetId"] == ASSET
    assert "email" not in named  # the owner of the asset runs the task


def test_prices_are_unknown_and_never_0(provider):
    assert provider.price({**VIDEO, "exploreMode": True}) is None


@pytest.mark.parametrize(
    ("task", "takes"),
    [
        (VIDEO, True), ({**VIDEO, "model": "sora-2"}, False), ({**VIDEO, "model": "new"}, False),
        ({"taskType": "useapi/frames/create"}, True), ({"taskType": "useapi/no/such"}, False),
        ({"taskType": "useapi/images/create", "model": "gen4"}, True),
    ],
)  # fmt: skip
def test_a_seed_is_picked_only_where_the_model_takes_one(provider, task, takes):
    assert provider.takes_seed(task) is takes


def test_a_task_is_described_with_its_account_and_assets_shortened(provider):
    description = provider.describe(
        {**VIDEO, "taskUUID": "u", "account": "someone@example.com", "assets": {"startFrameAssetId": ASSET}}
    )
    assert description.prompt == "a ship"
    shown = dict(description.parameters)
    assert shown["account"] == "so…@example.com"
    assert shown["startFrameAssetId"] == "so…@example.com asset 77aa1122"
    assert shown["call"] == "videos/create"
    assert "someone" not in repr(description)
    assert provider.describe({"taskType": "useapi/gen4/upscale"}).prompt == "gen4/upscale"


def test_what_decides_the_result_is_what_was_asked(provider):
    task = {**VIDEO, "taskUUID": "u", "webhookURL": "https://x", "account": "me@example.com"}
    assert provider.parameters(task, []) == {"model": "gen4", "text_prompt": "a ship", "account": "me@example.com"}


@pytest.mark.parametrize(("count", "number"), [(4, 4), (1, 1), (None, 1), (True, 1), ("4", 1)])
def test_the_number_of_results_is_that_of_images(provider, count, number):
    assert provider.number_of_results({"taskType": "useapi/images/create", "num_images": count}) == number


def test_operations_are_the_create_calls(provider):
    operation = provider.operation(VIDEO)
    assert (operation.name, operation.produces, operation.long_running) == ("useapi/videos/create", "video", True)
    assert provider.operation({"taskType": "useapi/no/such"}) is None


@pytest.mark.parametrize(
    ("text", "is_reference"),
    [(ASSET, True), ("https://x/y.png", True), ("a.png", False), ("data:image/png;base64,x", False)],
)
def test_ids_and_urls_are_references_and_everything_else_is_a_file(provider, text, is_reference):
    assert provider.is_reference(text) is is_reference


def test_only_a_429_is_followed_by_another_attempt(provider):
    attempt = Attempt({**VIDEO, "taskUUID": "u"}, 3)
    following = provider.next_attempt(attempt, RateLimited("full", retry_after_s=20))
    assert (following.attempt.number, following.delay_s) == (
        4,
        2.0,
    )  # seconds of the clock, which runs ten times as fast
    # A refusal left nothing under our id of the task, so the next attempt has the same one, and the same `replyRef`.
    assert following.attempt.attempt_uuid == "u"
    grown = provider.next_attempt(attempt, RateLimited("full"))
    assert 2.0 < grown.delay_s < 2.5
    for error in (TaskInvalid("x"), OutOfCredit("x"), ContentRefused("x"), ProviderFailed("x"), TaskFailed("x")):
        assert provider.next_attempt(attempt, error) is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [(build_error(status, "Because", creates=True), kind) for status, kind in
     [(400, TaskInvalid), (401, AuthenticationFailed), (402, OutOfCredit), (404, TaskInvalid), (412, OutOfCredit), (422, ContentRefused),
      (429, RateLimited), (596, TaskFailed)]],
)  # fmt: skip
def test_an_error_from_the_log_has_the_class_and_words_that_it_had(provider, error, kind):
    kept = {"code": error.code, "message": error.problem, "taskUUID": "u", "parameter": "p", "raw": error.raw}
    again = provider.error_of(kept)
    assert type(again) is kind
    assert (again.problem, again.code, again.task_uuid, again.parameter) == (error.problem, error.code, "u", "p")


@pytest.mark.parametrize(
    ("kept", "kind"),
    [({"code": "SAFETY.INPUT.TEXT", "message": "m"}, ContentRefused), ({"code": "moderated", "raw": {"status": "FAILED"}}, ContentRefused),
     ({"code": "FAILED", "raw": {"status": "FAILED"}}, TaskFailed), ({}, TaskFailed), ({"raw": "odd", "parameter": 5}, TaskFailed)],
)  # fmt: skip
def test_a_failure_from_the_log_has_the_class_that_it_had(provider, kept, kind):
    assert type(provider.error_of(kept)) is kind


def test_the_package_declares_settings_that_no_project_may_set_and_both_secrets():
    assert {setting.name for setting in PACKAGE.settings} == {"useapi_url", "useapi_reply_url"}
    assert all(Place.PROJECT not in setting.places for setting in PACKAGE.settings)
    assert PACKAGE.secrets == (USEAPI_TOKEN, RUNWAY_PASSWORD)
    assert USEAPI_TOKEN.keyring_user
    assert not RUNWAY_PASSWORD.keyring_user
