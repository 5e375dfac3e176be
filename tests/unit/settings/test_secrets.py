"""`login` and the keyring, with the real keyring library and a backend that keeps everything in memory."""

import getpass

import keyring
import keyring.backend
import pytest

from runware_nb.errors import AuthenticationFailed, ConfigError
from runware_nb.settings import Key, store_key, stored_key


class MemoryKeyring(keyring.backend.KeyringBackend):
    priority = 1

    def __init__(self):
        super().__init__()
        self.kept = {}

    def get_password(self, service, username):
        return self.kept.get((service, username))

    def set_password(self, service, username, password):
        self.kept[service, username] = password

    def delete_password(self, service, username):
        del self.kept[service, username]


@pytest.fixture(autouse=True)
def memory_keyring():
    before = keyring.get_keyring()
    made = MemoryKeyring()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


def login(session, monkeypatch, typed, *words):
    from runware_nb.commands import find_command
    from runware_nb.commands.arguments import LineParser

    monkeypatch.setattr(getpass, "getpass", lambda prompt: typed)
    command, parser = find_command("login"), LineParser("login", "")
    command.add_arguments(parser)
    return command.run(session, parser.read(words))


def test_a_stored_key_is_found_again_and_says_where_from():
    assert stored_key() is None
    assert store_key(Key("k3y", "the prompt"))
    found = stored_key()
    assert found is not None
    assert (found.reveal(), found.source) == ("k3y", "the keyring")


def test_login_tries_the_key_and_keeps_it(sandbox, make_session, monkeypatch, memory_keyring):
    session = make_session(sandbox, api_key=None)
    answer = login(session, monkeypatch, sandbox.api_key)
    assert "accepted the key (websocket)" in answer.bundle["text/plain"]
    assert sandbox.api_key not in str(answer)
    assert list(memory_keyring.kept.values()) == [sandbox.api_key]


def test_a_key_for_this_session_only_is_not_kept(sandbox, make_session, monkeypatch, memory_keyring):
    login(make_session(sandbox, api_key=None), monkeypatch, sandbox.api_key, "--forget")
    assert memory_keyring.kept == {}


def test_a_wrong_key_is_not_kept(sandbox, make_session, monkeypatch, memory_keyring):
    with pytest.raises(AuthenticationFailed):
        login(make_session(sandbox, api_key=None), monkeypatch, "wrong")
    assert memory_keyring.kept == {}


@pytest.mark.parametrize("typed", ["", "  "])
def test_an_empty_key_is_one_sentence(sandbox, make_session, monkeypatch, typed):
    with pytest.raises(ConfigError, match="empty"):
        login(make_session(sandbox, api_key=None), monkeypatch, typed)


def test_a_session_without_a_key_looks_into_the_keyring(sandbox, make_session):
    store_key(Key(sandbox.api_key, "the prompt"))
    session = make_session(sandbox, api_key=None)
    assert session.connect() == "websocket"
    assert session.settings.api_key.source == "the keyring"
