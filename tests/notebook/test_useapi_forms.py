"""The forms of useapi.net without a browser: what is clicked, what is sent, what is shown."""

from __future__ import annotations

import json
import time

import ipywidgets as widgets
import pytest
from PIL import Image

import runware_nb as rw
from runware_nb.core.redaction import known_secrets
from runware_nb.errors import MagicUsageError
from runware_nb.notebook.forms import secret as secret_module
from runware_nb.notebook.forms.look import Look
from runware_nb.notebook.forms.secret import SecretField
from runware_nb.providers.useapi.provider import TERMS
from runware_nb.session import current_session
from tests.notebook.test_forms import find, said, walk
from tests.notebook.test_forms import settle as settle_sender
from tests.useapi_front import TIME_SCALE, open_useapi_shell
from tests.useapi_sandbox import FIRST, SECOND, UseApiSandbox

PASSWORD = "wonder-wall-4711"


@pytest.fixture(scope="module")
def _useapi():
    sandbox = UseApiSandbox("--time-scale", str(TIME_SCALE))
    yield sandbox
    sandbox.close()


@pytest.fixture
def useapi(_useapi):
    _useapi.restart()
    return _useapi


@pytest.fixture
def shell(useapi, monkeypatch):
    with open_useapi_shell(useapi, monkeypatch) as opened:
        yield opened


@pytest.fixture
def accounts(shell):
    return rw.form("useapi:accounts")


def settle(form):
    until = time.monotonic() + 20
    while form._is_busy:
        assert time.monotonic() < until, form.status.value
        time.sleep(0.01)


def click(form, title):
    find(form, widgets.Button, title).click()
    settle(form)


def enter_password(form, password=PASSWORD):
    """Send what a browser sends when the user leaves the field."""
    form._password.widget._handle_custom_msg({"kind": "secret", "text": password}, [])


def texts(form):
    return " ".join(each.value for each in walk(form.widget) if isinstance(each, widgets.HTML))


# --- accounts ---------------------------------------------------------------------------------------------------


def test_an_account_is_added_and_listed(accounts, useapi):
    find(accounts, widgets.Text, "E-mail").value = FIRST
    enter_password(accounts)
    accounts._most.value = 3
    click(accounts, "Add or update")
    assert "Runway accepted the password" in accounts.status.value
    assert TERMS.partition(",")[0] in accounts.status.value
    assert "fi…@example.com" in texts(accounts)
    assert "0 of 3" in texts(accounts)
    assert FIRST not in texts(accounts)
    assert useapi.call("GET", f"/accounts/{FIRST}")[1]["maxJobs"] == 3
    assert find(accounts, widgets.Text, "E-mail").value == "", "it is personal, and not needed any more"
    click(accounts, "Refresh")
    assert TERMS.partition(",")[0] not in accounts.status.value


def test_the_password_is_in_no_state_of_a_widget(accounts):
    find(accounts, widgets.Text, "E-mail").value = FIRST
    enter_password(accounts)
    states = json.dumps(widgets.Widget.get_manager_state(), default=str)
    assert PASSWORD not in states
    assert known_secrets.is_in(PASSWORD)
    assert PASSWORD not in repr(vars(accounts)) + repr(vars(accounts._password))
    click(accounts, "Add or update")
    assert PASSWORD not in json.dumps(widgets.Widget.get_manager_state(), default=str) + repr(vars(accounts))
    assert accounts._password.take() is None, "it was used once"


def test_without_the_extra_the_field_of_ipywidgets_hands_the_password_over_and_is_emptied(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "runware_nb.notebook.canvas.secret", None)
    field = SecretField(Look(), "Password", lambda text: [text])
    assert isinstance(field.widget, secret_module._PlainBox)
    sent = []
    monkeypatch.setattr(field.widget, "_send", lambda message, buffers=None: sent.append(message))
    field.widget.set_state({"value": PASSWORD})
    assert field.widget.value == field.widget.get_state()["value"] == ""
    assert [message["state"] for message in sent if "value" in message.get("state", {})] == [{"value": ""}]
    assert PASSWORD not in repr(sent)
    assert field.take() == [PASSWORD]
    assert field.take() is None


def test_what_is_missing_or_wrong_is_told_beside_its_field_and_nothing_is_sent(accounts, useapi):
    click(accounts, "Add or update")
    assert "Expected the e-mail" in accounts._email_problem.value
    assert "Nothing was sent" in accounts.status.value
    find(accounts, widgets.Text, "E-mail").value = "a b@example.com"
    assert "Expected the e-mail" in accounts._email_problem.value
    find(accounts, widgets.Text, "E-mail").value = FIRST
    assert accounts._email_problem.value == ""
    click(accounts, "Add or update")
    assert "Enter the password" in accounts._password_problem.value
    assert useapi.raw("GET", "/accounts")[0] == 404
    accounts._most.value = 99
    assert accounts._most.value == 10


def test_a_refused_login_is_a_sentence_and_the_form_can_be_used_again(accounts, useapi):
    useapi.faults({"kind": "login", "on": "accounts", "reason": "password"})
    find(accounts, widgets.Text, "E-mail").value = FIRST
    enter_password(accounts)
    click(accounts, "Add or update")
    assert "Check the e-mail and the password" in accounts.status.value
    assert not accounts._save.disabled
    enter_password(accounts)
    click(accounts, "Add or update")
    assert "Runway accepted the password" in accounts.status.value


def test_an_account_is_removed_after_a_question(accounts, useapi):
    useapi.add_account(FIRST, 2)
    useapi.add_account(SECOND, 7)
    click(accounts, "Refresh")
    click(accounts, "Remove …")
    assert "choose the account to remove" in accounts.status.value
    labels = [title for title, _ in accounts._choice.options]
    assert labels == ["a new one", "fi…@example.com", "se…@example.com"]
    assert FIRST not in json.dumps(accounts._choice.get_state(), default=str)
    accounts._choice.value = SECOND
    assert accounts._most.value == 7
    click(accounts, "Remove …")
    assert "Remove se…@example.com from useapi.net" in texts(accounts)
    click(accounts, "Keep it")
    assert "Nothing was changed" in accounts.status.value
    assert useapi.raw("GET", f"/accounts/{SECOND}")[0] == 200
    click(accounts, "Remove …")
    click(accounts, "Yes, remove it")
    assert "was removed" in accounts.status.value
    assert useapi.raw("GET", f"/accounts/{SECOND}")[0] == 404
    assert len(accounts.accounts) == 1


def test_an_update_needs_no_email(accounts, useapi):
    useapi.add_account(FIRST, 2)
    click(accounts, "Refresh")
    accounts._choice.value = FIRST
    accounts._most.value = 9
    enter_password(accounts)
    click(accounts, "Add or update")
    assert useapi.call("GET", f"/accounts/{FIRST}")[1]["maxJobs"] == 9


def test_accounts_that_would_look_the_same_show_more_and_errors_say_what_to_do(accounts, useapi):
    useapi.add_account("anna@example.com", 2)
    useapi.add_account("antje@example.com", 2)
    useapi.faults({"kind": "expire_session"})
    useapi.create(email="antje@example.com")
    click(accounts, "Refresh")
    assert [title for title, _ in accounts._choice.options][1:] == ["ann…@example.com", "ant…@example.com"]
    assert "serves no task until it is added again with its password" in texts(accounts)


def test_a_missing_token_is_told_in_the_form(accounts, monkeypatch):
    from runware_nb.session import current

    monkeypatch.delenv("USEAPI_TOKEN")
    current._session.configure(mode="live", display="image")  # the provider is built again
    click(accounts, "Refresh")
    assert "token" in accounts.status.value


# --- generation --------------------------------------------------------------------------------------------------


def test_a_form_generates_with_the_fields_of_its_model(shell, useapi, tmp_path):
    useapi.add_account(FIRST, 2)
    Image.new("RGB", (64, 36)).save(tmp_path / "frame.png")
    form = rw.form("useapi:gen4")
    find(form, widgets.Textarea, "Prompt").value = "a ship"
    below = form.widget.children[form.widget.children.index(find(form, widgets.Textarea, "Prompt")) + 1]
    assert "{name} is not replaced in a form." in below.value
    assert texts(form).count("is not replaced") == 1
    titles = [each.description for each in walk(form.widget) if getattr(each, "description", "")]
    assert not any(title.startswith("End frame") for title in titles), "gen4 takes one frame"
    duration = find(form, widgets.Dropdown, "Duration")
    assert [title for title, _ in duration.options] == ["(not sent)", "5", "10"]
    duration.value = 1
    find(form, widgets.Text, "Start frame").value = "frame.png"
    find(form, widgets.Textarea, "Image").value = "frame.png\nframe.png"
    find(form, widgets.Text, "Seed").value = "7"
    assert form.cell.splitlines() == [
        "%%useapi video --model gen4 --duration 10 --start-frame frame.png --image frame.png --image frame.png --seed 7",
        "a ship",
    ]
    form.run()
    settle_sender(form)
    if "Click Generate again" in said(form):
        time.sleep(0.8)
        form.run()
        settle_sender(form)
    assert "Done: 1 result" in said(form)
    request = current_session().log.find(form.outcome.task_uuid).request
    assert (request["duration"], request["seed"]) == (10, 7)
    assert sorted(request["assets"]) == ["imageAssetId1", "imageAssetId2", "startFrameAssetId"]
    shell.run(form.cell.replace("video --model", "video --yes -q -o again --model"))
    assert shell.names["again"].is_recorded, "the cell asks for exactly the same"


def test_a_wrong_value_is_told_beside_its_field(shell, useapi):
    form = rw.form("useapi:image gen4", text_prompt="a ship", diversity=3)
    assert form.task["diversity"] == 3
    find(form, widgets.Text, "Seed").value = "0"
    form.run()
    settle_sender(form)
    assert "Seed" in said(form)
    assert "1 to" in texts(form)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("gen44", "Did you mean useapi:gen4"),
        ("xyzzy", "lists the models"),
        ("image seedance-2", "There is no form for"),
    ],
)
def test_an_unknown_form_is_a_sentence(shell, what, words):
    with pytest.raises(MagicUsageError, match=words):
        rw.form(f"useapi:{what}")


def test_forms_of_all_calls_and_models_can_be_built(shell):
    from runware_nb.providers.useapi.models import ENDPOINTS, IMAGE_MODELS, VIDEO_MODELS

    for word in [*ENDPOINTS, *(f"video {name}" for name in VIDEO_MODELS), *(f"image {name}" for name in IMAGE_MODELS)]:
        form = rw.form(f"useapi:{word}")
        assert form.priced["taskType"].startswith("useapi/")
