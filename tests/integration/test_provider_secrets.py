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
from runware_nb.errors import (
    AuthenticationFailed,
    BundleError,
    ConfigError,
    MagicUsageError,
    RunwareNBError,
    TaskInvalid,
    TransportError,
)
from runware_nb.providers.package import ProviderPackage
from runware_nb.reproduce.bundle import make_bundle
from runware_nb.runlog.filters import RunFilter
from runware_nb.session import Session
from runware_nb.settings import Key, Settings, load_settings, store_key, stored_key
from tests.conftest import TASK
from tests.fake_provider import FakeProvider
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


class Studio(FakeProvider):
    """A service that accepts or refuses the secret that its context returned first, as a real client keeps its key."""

    def __init__(self, context, fails, asked=None):
        super().__init__("http://127.0.0.1:9")
        self.context, self.fails, self.asked = context, fails, [] if asked is None else asked
        self.kept = None

    @property
    def key(self):
        self.kept = self.kept or self.context.key(FAKE).reveal()
        return self.kept

    async def account(self):
        self.asked.append(self.key)
        if self.fails:
            raise self.fails.pop()
        return await super().account()


@pytest.fixture
def fails():
    return []


@pytest.fixture
def asked():
    """The secrets that the service was asked to check."""
    return []


@pytest.fixture
def session(declared, fails, asked, sandbox, make_session):
    package = ProviderPackage(
        name="fake", services=("fake",), secrets=(FAKE,), build=lambda context: Studio(context, fails, asked)
    )
    return make_session(sandbox, packages=[package])


def test_login_asks_for_it_by_name_checks_it_and_logout_deletes_it(
    session, asked, monkeypatch, memory_keyring, sandbox
):
    prompts = []
    monkeypatch.setattr(getpass, "getpass", lambda prompt: prompts.append(prompt) or SECRET)
    answer = run(session, "login", "fake")
    assert prompts == ["Fake Studio pass (not shown): "]
    assert answer.bundle["text/plain"] == (
        "The service accepted the Fake Studio pass. The Fake Studio pass is used in this session and stored in the keyring."
    )
    assert asked == [session.provider("fake").key] == [SECRET]
    assert SECRET not in repr(answer) + json.dumps(answer.json)
    assert memory_keyring.kept == {("runware_nb", "fake:default"): SECRET}
    assert SECRET not in redact_source(f"# {SECRET}")
    assert session.settings.api_key.reveal() == sandbox.api_key  # Runware's key stays

    assert run(session, "logout", "fake").bundle["text/plain"] == "Deleted from the keyring: Fake Studio pass."
    assert memory_keyring.kept == {}
    with pytest.raises(ConfigError, match=r"No Fake Studio pass\. Set FAKE_STUDIO_PASS\. Nothing was sent\."):
        session.provider("fake").context.key(FAKE)
    gone = run(session, "logout", "fake").bundle["text/plain"]
    assert gone == "Neither this session nor the keyring contains the Fake Studio pass."
    monkeypatch.setenv("FAKE_STUDIO_PASS", UNUSED)
    assert "FAKE_STUDIO_PASS in the environment still applies." in run(session, "logout", "fake").bundle["text/plain"]


def test_a_refused_secret_is_not_used(session, fails, monkeypatch, memory_keyring):
    session.connection.enter_secret(Key(UNUSED, "an earlier prompt", FAKE))
    monkeypatch.setattr(getpass, "getpass", lambda _: SECRET)
    fails.append(AuthenticationFailed("The pass is wrong."))
    with pytest.raises(AuthenticationFailed):
        run(session, "login", "fake")
    assert session.provider("fake").context.key(FAKE).reveal() == UNUSED
    assert memory_keyring.kept == {}


def test_a_wrong_secret_is_refused_although_a_provider_with_the_right_one_is_in_use(
    session, asked, fails, monkeypatch, memory_keyring
):
    monkeypatch.setenv("FAKE_STUDIO_PASS", SECRET)
    before = session.provider("fake")
    assert before.key == SECRET
    monkeypatch.setattr(getpass, "getpass", lambda _: UNUSED)
    fails.append(AuthenticationFailed("The pass is wrong."))
    with pytest.raises(AuthenticationFailed):
        run(session, "login", "fake")
    assert asked == [UNUSED]
    assert memory_keyring.kept == {}
    assert session.provider("fake") is before  # its uploads and its pace stay known
    run(session, "login", "fake")
    assert asked == [UNUSED, UNUSED]
    assert session.provider("fake").key == UNUSED  # what is entered comes before the environment
    assert before.key == SECRET  # runs in flight keep the account that they began with
    run(session, "logout", "fake")
    assert session.provider("fake").key == SECRET


def test_a_changed_or_deleted_variable_ends_the_use_of_the_earlier_secret(session, monkeypatch):
    monkeypatch.setenv("FAKE_STUDIO_PASS", SECRET)
    first = session.provider("fake")
    assert (first.key, session.provider("fake")) == (SECRET, first)
    monkeypatch.setenv("FAKE_STUDIO_PASS", UNUSED)
    second = session.provider("fake")
    assert (first.key, second.key, session.provider("fake")) == (SECRET, UNUSED, second)
    monkeypatch.setenv("FAKE_STUDIO_PASS", "two words")
    with pytest.raises(ConfigError, match="contains blanks"):
        session.provider("fake").context.key(FAKE)
    monkeypatch.delenv("FAKE_STUDIO_PASS")
    third = session.provider("fake")
    with pytest.raises(ConfigError, match="No Fake Studio pass"):
        third.context.key(FAKE)
    monkeypatch.setenv("FAKE_STUDIO_PASS", SECRET)
    assert session.provider("fake").key == SECRET
    assert session.provider("fake") not in {first, second, third}


def test_the_keyring_is_read_once_and_again_after_logout(session, monkeypatch, memory_keyring):
    reads = []
    read = MemoryKeyring.get_password
    monkeypatch.setattr(MemoryKeyring, "get_password", lambda self, *name: reads.append(name[1]) or read(self, *name))
    store_key(Key(SECRET, "the test", FAKE))
    first = session.provider("fake")
    assert first.key == SECRET
    for _ in range(5):
        assert session.provider("fake") is first
        assert session.connection.secret(FAKE).reveal() == SECRET
    assert reads == ["fake:default"]
    run(session, "logout", "fake")
    with pytest.raises(ConfigError, match="No Fake Studio pass"):
        session.provider("fake").context.key(FAKE)
    assert session.provider("fake") is not first
    store_key(Key(UNUSED, "another kernel", FAKE))
    assert session.provider("fake").key == UNUSED


def test_no_secret_is_checked_by_the_sandbox(declared, tmp_path):
    package = ProviderPackage(
        name="fake", services=("fake",), secrets=(FAKE,), build=lambda context: Studio(context, [])
    )
    session = Session(Settings(home=tmp_path / ".runware"), packages=[package])
    try:
        session.connection.use_sandbox()
        with pytest.raises(ConfigError, match="The sandbox is in use"):
            session.providers.check_key(Key(SECRET, "the prompt", FAKE))
        session.connection.leave_sandbox()
        session.providers.check_key(Key(SECRET, "the prompt", FAKE))
        with pytest.raises(ConfigError, match="'other' is not in use"):
            session.providers.check_key(
                Key(SECRET, "the prompt", ProviderSecret(provider="other", label="x", variables=("X",)))
            )
    finally:
        session.close()


def test_a_secret_that_could_not_be_checked_is_used_and_not_stored(session, fails, monkeypatch, memory_keyring):
    monkeypatch.setattr(getpass, "getpass", lambda _: SECRET)
    fails.append(TransportError("The service cannot be reached."))
    answer = run(session, "login", "fake")
    assert answer.is_failure
    assert answer.bundle["text/plain"] == (
        "The Fake Studio pass is used in this session only. It was not checked: The service cannot be reached."
    )
    assert session.provider("fake").context.key(FAKE).reveal() == SECRET
    assert memory_keyring.kept == {}


def test_a_session_that_cannot_ask_names_the_variable(declared, monkeypatch, sandbox, make_session):
    def refuse(prompt):
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", refuse)
    with pytest.raises(ConfigError, match=r"cannot ask for the pass. Set FAKE_STUDIO_PASS instead"):
        run(make_session(sandbox), "login", "fake")


def test_login_without_a_keyring_uses_it_and_says_how_to_store_it(session, monkeypatch):
    monkeypatch.setattr(getpass, "getpass", lambda _: SECRET)
    monkeypatch.setitem(__import__("sys").modules, "keyring", None)
    answer = run(session, "login", "fake")
    assert answer.bundle["text/plain"].endswith(
        "is used in this session only. To store it: pip install 'runware-nb[keyring]', or set FAKE_STUDIO_PASS."
    )
    assert run(session, "login", "fake", "--forget").bundle["text/plain"].endswith("is used in this session only.")
    gone = run(session, "logout", "fake").bundle["text/plain"]
    assert gone == "This session no longer uses the Fake Studio pass that was entered in it."


@pytest.mark.parametrize("words", [["fakes"], ["paint"], ["fake", "fake"], [UNUSED]])
@pytest.mark.parametrize("command", ["login", "logout"])
def test_another_word_is_taken_for_a_key_and_not_repeated(declared, sandbox, make_session, command, words):
    with pytest.raises(MagicUsageError) as caught:
        run(make_session(sandbox), command, *words)
    names = ", ".join(declared_secrets.login_names)
    assert words[0] not in str(caught.value).replace(names, "")


# --- the sandbox in place of the services ---------------------------------------------------------------


def test_a_provider_of_the_sandbox_never_gets_a_real_secret_and_no_other_gets_its_own(monkeypatch, tmp_path):
    (token,) = (secret for secret in declared_secrets.entries if secret.variable == "USEAPI_TOKEN")
    monkeypatch.setattr(declared_secrets, "entries", declared_secrets.entries)  # the package below has fewer secrets
    monkeypatch.setenv("USEAPI_TOKEN", real := "user:1-realtoken")
    package = ProviderPackage(
        name=token.provider, services=("useapi",), secrets=(token,), build=lambda context: Studio(context, [])
    )
    session = Session(Settings(home=tmp_path / ".runware"), packages=[package])
    try:
        before = session.provider("useapi")
        sandbox = session.connection.use_sandbox()
        during = session.provider("useapi")
        of_sandbox = during.context.key(token).reveal()
        assert of_sandbox == sandbox.info["useapi_token"] != real
        assert before.context.key(token).reveal() == real
        session.connection.leave_sandbox()
        assert during.context.key(token).reveal() == of_sandbox  # a run may still be in flight
        assert session.provider("useapi").context.key(token).reveal() == real
    finally:
        session.close()


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
