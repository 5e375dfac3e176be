"""The secret of another provider is protected, stored and asked for as soon as it is declared, by its declaration alone."""

from __future__ import annotations

import getpass
import json
import logging

import keyring
import pytest

from runware_nb import Client
from runware_nb.commands import find_command
from runware_nb.commands.arguments import LineParser
from runware_nb.commands.image_options import refuse_keys
from runware_nb.core.cell_source import redact_source
from runware_nb.core.provider_secrets import DeclaredSecrets, ProviderSecret, declared_secrets
from runware_nb.errors import BundleError, ConfigError, MagicUsageError, RunwareNBError, TaskInvalid
from runware_nb.reproduce.bundle import make_bundle
from runware_nb.runlog.filters import RunFilter
from runware_nb.settings import Key, load_settings, store_key, stored_key
from tests.conftest import TASK
from tests.unit.settings.test_secrets import MemoryKeyring

SECRET = "paint~4711~harbor"  # neither the general shape of a key, nor a name such as `api_key` before it
UNUSED = "paint~0815~lantern"
FAKE = ProviderSecret(
    provider="fake",
    label="Fake Studio pass",
    variables=("FAKE_STUDIO_PASS",),
    shown="pass",
    shape=r"paint~\d{4}~[a-z]{6,}",
    keyring_user="fake:{profile}",
)


@pytest.fixture
def declared(monkeypatch):
    monkeypatch.setattr(declared_secrets, "entries", declared_secrets.entries)  # what is declared ends with the test
    declared_secrets.declare(FAKE)


@pytest.fixture
def memory_keyring():
    before, memory = keyring.get_keyring(), MemoryKeyring()
    keyring.set_keyring(memory)
    yield memory
    keyring.set_keyring(before)


@pytest.fixture
def in_environment(declared, monkeypatch):
    monkeypatch.setenv("FAKE_STUDIO_PASS", SECRET)
    load_settings()


def run(session, name, *words):
    command, parser = find_command(name), LineParser(name, "")
    command.add_arguments(parser)
    return command.run(session, parser.read(words))


# --- not declared: the tests below show what the declaration changes -----------------------------------


def test_without_a_declaration_nothing_is_known_about_the_secret(monkeypatch):
    monkeypatch.setenv("FAKE_STUDIO_PASS", SECRET)
    load_settings()
    for source in (f"x = '{SECRET}'", "os.environ['FAKE_STUDIO_PASS'] = 'abc'", f"%env FAKE_STUDIO_PASS={SECRET}"):
        assert redact_source(source) == source
    refuse_keys([SECRET])


# --- redaction ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [f"x = '{SECRET}'", f"x = '{SECRET[:9]}' + '{SECRET[9:]}'", f"# {SECRET}"])
def test_a_secret_in_use_is_redacted_in_cells(in_environment, source):
    assert SECRET not in redact_source(source)
    assert "[redacted]" in redact_source(source)


@pytest.mark.parametrize(
    "source",
    [f"x = '{UNUSED}'", f"# {UNUSED}", "os.environ['FAKE_STUDIO_PASS'] = 'q7w8e9r0'", "%env FAKE_STUDIO_PASS=q7w8e9r0"],
)
def test_a_secret_that_no_code_has_used_is_redacted_in_cells_by_its_shape_or_name(declared, source):
    stored = redact_source(source)
    assert "[redacted]" in stored
    assert UNUSED not in stored
    assert "q7w8e9r0" not in stored


def test_it_is_redacted_in_the_records_of_loggers(in_environment, caplog):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx").debug("sent %s", SECRET)
    assert SECRET not in caplog.text
    assert "sent [redacted]" in caplog.text


def test_it_is_redacted_in_errors_of_a_service_that_repeats_it(in_environment, sandbox, run_async):
    sandbox.faults({"kind": "refuse", "status": 400, "code": "invalidSeed", "message": f"you sent {SECRET}"})

    async def main():
        async with Client(sandbox.api_key, **sandbox.urls) as client:
            await client.run(TASK)

    with pytest.raises(RunwareNBError, match="you sent") as caught:
        run_async(main())
    assert SECRET not in str(caught.value) + repr(vars(caught.value))


def test_its_repr_shows_the_kind_of_secret_and_where_it_is_from(declared):
    assert repr(Key(SECRET, "FAKE_STUDIO_PASS", FAKE)) == "<pass from FAKE_STUDIO_PASS>"
    with pytest.raises(ConfigError, match=r"^The pass from a test is empty. Set FAKE_STUDIO_PASS.$"):
        Key("", "a test", FAKE)


# --- what leaves the machine ----------------------------------------------------------------------------


@pytest.mark.parametrize("text", [SECRET, UNUSED])
def test_a_line_that_contains_it_is_refused(in_environment, text):
    with pytest.raises(MagicUsageError, match="there is a key in this line") as caught:
        refuse_keys(["a ship", text])
    assert text not in str(caught.value)


def test_a_request_that_contains_it_is_refused_and_nothing_is_charged(in_environment, sandbox, make_session):
    session = make_session(sandbox)
    charged = len(sandbox.ledger()["charges"])
    with pytest.raises(TaskInvalid, match="Invalid positivePrompt: it contains an API key or another secret") as caught:
        session.submit({**TASK, "positivePrompt": f"a poster with {SECRET}"})
    assert SECRET not in str(caught.value)
    assert len(sandbox.ledger()["charges"]) == charged


@pytest.mark.parametrize("stored_in", ["environment", "keyring", "nothing, but it has the shape"])
def test_the_scan_of_a_bundle_finds_it(
    declared, monkeypatch, memory_keyring, sandbox, make_session, tmp_path, stored_in
):
    session = make_session(sandbox)
    session.submit({**TASK, "seed": 7}).result()
    text = SECRET
    if stored_in == "environment":
        monkeypatch.setenv("FAKE_STUDIO_PASS", SECRET)
    elif stored_in == "keyring":
        text = "no-declared-shape"
        memory_keyring.set_password("runware_nb", "fake:default", text)
    path = tmp_path / "nb.ipynb"
    cell = {"cell_type": "code", "id": "c1", "source": f"draw('{text}')", "outputs": [], "metadata": {}}
    path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    out = tmp_path / "out.zip"
    with pytest.raises(BundleError, match=r"^cell 1 of nb.ipynb \(id c1\) holds ") as caught:
        make_bundle(session, out, session.log.select(RunFilter(limit=10)), notebook=path)
    assert text not in str(caught.value)
    assert not out.exists()


# --- keyring, login and logout --------------------------------------------------------------------------


def test_it_is_stored_and_deleted_apart_from_other_secrets_and_profiles(declared, memory_keyring):
    assert store_key(Key("r" * 20, "a test"))
    assert store_key(Key(SECRET, "a test", FAKE))
    assert store_key(Key(UNUSED, "a test", FAKE), "lab")
    assert memory_keyring.kept == {
        ("runware_nb", "default"): "r" * 20,
        ("runware_nb", "fake:default"): SECRET,
        ("runware_nb", "fake:lab"): UNUSED,
    }
    assert stored_key(secret=FAKE).reveal() == SECRET
    assert stored_key().reveal() == "r" * 20


def test_login_asks_for_it_by_name_and_logout_deletes_it(declared, monkeypatch, memory_keyring, sandbox, make_session):
    session = make_session(sandbox)
    prompts = []
    monkeypatch.setattr(getpass, "getpass", lambda prompt: prompts.append(prompt) or SECRET)
    answer = run(session, "login", "fake")
    assert prompts == ["Fake Studio pass (not shown): "]
    assert answer.bundle["text/plain"] == "The Fake Studio pass was stored in the keyring. It was not checked."
    assert SECRET not in repr(answer) + json.dumps(answer.json)
    assert memory_keyring.kept == {("runware_nb", "fake:default"): SECRET}
    assert SECRET not in redact_source(f"# {SECRET}")
    assert session.settings.api_key.reveal() == sandbox.api_key  # the session's own key and the sandbox stay

    assert run(session, "logout", "fake").bundle["text/plain"] == "Deleted from the keyring: Fake Studio pass."
    assert memory_keyring.kept == {}
    assert run(session, "logout", "fake").bundle["text/plain"] == "The keyring contains no Fake Studio pass."
    assert session.settings.api_key is not None


def test_a_session_that_cannot_ask_names_the_variable(declared, monkeypatch, sandbox, make_session):
    def refuse(prompt):
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", refuse)
    with pytest.raises(ConfigError, match=r"cannot ask for the pass. Set FAKE_STUDIO_PASS instead"):
        run(make_session(sandbox), "login", "fake")


def test_login_without_a_keyring_stores_nothing_and_names_the_variable(declared, monkeypatch, sandbox, make_session):
    monkeypatch.setattr(getpass, "getpass", lambda prompt: SECRET)
    monkeypatch.setitem(__import__("sys").modules, "keyring", None)
    with pytest.raises(ConfigError, match=r"There is no keyring to store the Fake Studio pass in.*FAKE_STUDIO_PASS"):
        run(make_session(sandbox), "login", "fake")
    with pytest.raises(ConfigError, match=r"does not use a Fake Studio pass itself"):
        run(make_session(sandbox), "login", "fake", "--forget")


@pytest.mark.parametrize("words", [["fakes"], ["runkey"], ["fake", "fake"], [UNUSED]])
@pytest.mark.parametrize("command", ["login", "logout"])
def test_another_word_is_taken_for_a_key_and_not_repeated(declared, sandbox, make_session, command, words):
    with pytest.raises(MagicUsageError) as caught:
        run(make_session(sandbox), command, *words)
    assert words[0] not in str(caught.value).replace("runware, fake", "")


# --- declarations ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [{"variables": ("RUNWARE_API_KEY",)}, {"keyring_user": "{profile}"}, {"shape": "("}],
    ids=["variable", "keyring", "shape"],
)
def test_a_declaration_that_conflicts_with_another_is_refused(declared, values):
    given = {"provider": "other", "label": "other key", "variables": ("OTHER_KEY",), **values}
    with pytest.raises(ValueError, match=r"^Invalid "):
        declared_secrets.declare(ProviderSecret(**given))
    assert declared_secrets.entries[-1] is FAKE


def test_a_declaration_is_added_once():
    secrets = DeclaredSecrets()
    secrets.declare(FAKE)
    secrets.declare(FAKE)
    assert secrets.entries == (FAKE,)
