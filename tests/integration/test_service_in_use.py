"""Which service is in use, with whose key: sandbox and back, login, late keys. Real sandboxes over real sockets."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import threading
import time

import pytest

from runware_nb.commands import find_command
from runware_nb.commands.arguments import LineParser
from runware_nb.errors import AuthenticationFailed, ConfigError, TransportError
from runware_nb.session import Session
from runware_nb.settings import Key, Settings
from tests.conftest import TASK

REAL = {"rest_url": "http://127.0.0.1:9/v1", "ws_url": "ws://127.0.0.1:9/v1"}


def run(session, name, *words):
    command, parser = find_command(name), LineParser(name, "")
    command.add_arguments(parser)
    return command.run(session, parser.read(words))


def text(answer):
    return "\n".join([answer.bundle["text/plain"], *answer.notes])


@pytest.fixture
def session(sandbox, make_session):
    """A session whose own service is the shared sandbox, in the role of the real service."""
    return make_session(sandbox, connect_timeout_s=5.0)


@pytest.fixture
def session_from_environment(sandbox, monkeypatch, tmp_path):
    """A session that takes everything but the key from the environment."""
    for name, value in sandbox.environment.items():
        if name != "RUNWARE_API_KEY":
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    made = Session()
    yield made
    made.close()


@pytest.fixture
def own(session):
    """The session, with a sandbox of its own in use."""
    run(session, "sandbox")
    yield session
    session.connection.leave_sandbox()


def service_of(session):
    settings = session.settings
    return settings.rest_url, settings.ws_url, settings.schemas_url, settings.api_key


# --- the way back from the sandbox ---------------------------------------------------------------------


def test_stop_restores_the_service_and_says_so(session):
    before = service_of(session)
    session.submit(TASK).result()
    run(session, "sandbox")
    assert not set(service_of(session)) & set(before)
    session.submit({**TASK, "seed": 1}).result()
    session.configure(max_retries=1)  # set meanwhile, and no part of the service
    sentence = text(run(session, "sandbox", "--stop"))
    assert service_of(session) == before
    assert session.settings.max_retries == 1
    assert "The sandbox was stopped." in sentence
    assert before[0] in sentence
    assert session.submit({**TASK, "seed": 2}).result().results


def test_stop_without_a_sandbox_changes_nothing(session):
    before = service_of(session)
    assert "uses no sandbox" in text(run(session, "sandbox", "--stop"))
    assert service_of(session) == before


@pytest.mark.parametrize("way", ["login", "config", "connect", "python"])
def test_a_key_or_a_url_of_a_service_ends_the_use_of_the_sandbox(own, sandbox, monkeypatch, way):
    """The real key never reaches the sandbox, and the sandbox's key never reaches the service."""
    inner = own.connection.sandbox
    sandbox_key = inner.info["api_key"]
    if way == "login":
        monkeypatch.setattr(getpass, "getpass", lambda prompt: sandbox.api_key)
        answer = run(own, "login", "--forget")
        assert "accepted the key" in text(answer)
        assert "The sandbox was stopped" in text(answer)
    elif way == "config":
        assert "The sandbox was stopped" in text(run(own, "config", "rest_url", sandbox.rest_url))
    elif way == "connect":
        assert "The sandbox was stopped" in text(run(own, "connect", "--ws-url", sandbox.ws_url))
    else:
        assert own.connect(api_key=sandbox.api_key) == "websocket"
    assert own.connection.sandbox is None
    assert not inner.is_running
    assert own.settings.rest_url == sandbox.rest_url
    assert own.settings.api_key.reveal() == sandbox.api_key != sandbox_key
    assert own.submit({**TASK, "seed": 3}).result().results


def test_other_settings_leave_the_sandbox_in_use(own):
    run(own, "config", "transport", "rest")
    run(own, "connect")
    assert own.connection.sandbox is not None
    assert own.settings.transport == "rest"


def test_an_invalid_url_leaves_the_sandbox_in_use(own):
    with pytest.raises(ConfigError):
        own.configure(rest_url="nonsense")
    assert own.connection.sandbox.is_running
    assert own.submit({**TASK, "seed": 4}).result().results


def test_logout_in_the_sandbox_forgets_the_key_of_the_service(own):
    assert "stays in use" in text(run(own, "logout"))
    assert own.submit({**TASK, "seed": 5}).result().results
    assert "no key yet" in text(run(own, "sandbox", "--stop"))
    assert own.settings.api_key is None


def test_a_profile_ends_the_use_of_the_sandbox(own, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "runware_nb").mkdir()
    (tmp_path / "runware_nb/config.toml").write_text("[profiles.lab]\nsteps = 3\n")
    own.connection.use_profile("lab")
    assert own.connection.sandbox is None
    assert own.settings.rest_url == Settings().rest_url
    assert own.settings.api_key is None


def test_settings_and_sandbox_are_always_those_of_the_same_service(own, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "runware_nb").mkdir()
    (tmp_path / "runware_nb/config.toml").write_text("[profiles.lab]\nsteps = 3\n")
    connection, is_over, seen = own.connection, threading.Event(), []

    def watch():
        while not is_over.is_set():
            settings, sandbox = connection.in_use()
            at_sandbox = settings.value("runkey_url") if sandbox is None else sandbox.info["runkey_url"]
            seen.append(("127.0.0.1" in str(settings.value("runkey_url")), sandbox is not None))
            assert settings.value("runkey_url") == at_sandbox

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(100):
            sandbox, values = connection.sandbox, connection.sandbox.values
            with connection._lock:
                connection._swap(connection._layers.leave_sandbox, None)
            with connection._lock:
                connection._swap(lambda values=values: connection._layers.use_sandbox(values), sandbox)
        connection.use_profile("lab")
    finally:
        is_over.set()
        watcher.join()
    assert set(seen) <= {(True, True), (False, False)}
    assert connection.in_use()[1] is None


def test_a_sandbox_that_was_killed_is_recognized_at_once(own):
    own.submit(TASK).result()
    os.kill(own.connection.sandbox.info["pid"], signal.SIGKILL)
    own.connection.sandbox._process.wait()
    before, started = service_of(own), time.monotonic()
    with pytest.raises(TransportError, match=r"The sandbox has ended .*Nothing was sent.*stop=True") as caught:
        own.submit(TASK | {"seed": 6})
    assert not caught.value.may_have_arrived
    assert "has ended" in text(run(own, "status"))
    assert time.monotonic() - started < 5
    assert service_of(own) == before  # the way on is the user's choice
    assert "had already ended" in text(run(own, "sandbox", "--stop"))
    assert own.submit({**TASK, "seed": 6}).result().results


def test_unfinished_runs_of_a_sandbox_that_ends_are_kept_and_collected_there_only(own):
    run(own, "sandbox", "--latency-s", "60")
    job = own.submit(TASK)
    deadline = time.monotonic() + 20
    while job.state.value not in {"sent", "accepted"} and time.monotonic() < deadline:
        time.sleep(0.01)
    started = time.monotonic()
    sentence = text(run(own, "sandbox", "--stop"))
    with pytest.raises(TransportError, match="The sandbox was stopped"):
        job.result(timeout_s=20)
    assert time.monotonic() - started < 15
    assert "1 run of the sandbox did not finish" in sentence
    (left,) = own.pending()
    assert left.task_uuid == job.task_uuid


def test_an_unfinished_run_of_another_service_is_never_sent(make_session, sandbox):
    here = make_session(sandbox)
    record = here.submit(TASK)
    record.result()
    unfinished = here.log.find(record.task_uuid)
    unfinished.state = type(unfinished.state).SENT
    elsewhere = make_session(sandbox, rest_url="https://service.invalid/v1", ws_url="wss://service.invalid/v1")
    assert not elsewhere.engine.known.belongs_here(unfinished)
    with pytest.raises(ConfigError, match=r"belongs to the service 'sandbox'.*Nothing was sent"):
        elsewhere.engine.known.resume_run(unfinished, sends=True)


def test_a_sandbox_that_does_not_start_leaves_the_service_in_use(own):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConfigError, match="cannot be used"):
            run(own, "sandbox", "--port", str(taken.getsockname()[1]))
    assert own.connection.sandbox is None
    assert own.submit({**TASK, "seed": 8}).result().results


def test_a_local_service_of_another_process_that_ended_is_recognized_at_once(start_sandbox, make_session):
    other = start_sandbox()
    session = make_session(other)
    session.submit(TASK).result()
    other.kill()
    deadline = time.monotonic() + 10
    while not session.client().is_lost and time.monotonic() < deadline:
        time.sleep(0.01)
    started = time.monotonic()
    with pytest.raises(TransportError, match="Nothing listens at"):
        session.submit({**TASK, "seed": 9})
    assert time.monotonic() - started < 5


# --- what proves a key -----------------------------------------------------------------------------------


@pytest.mark.parametrize("in_payload", [False, True])
@pytest.mark.parametrize("transport", ["websocket", "rest"])
def test_only_the_services_response_proves_a_key(sandbox, make_session, monkeypatch, transport, in_payload):
    session = make_session(sandbox, transport=transport, auth_in_payload=in_payload)
    assert session.connect() == transport
    monkeypatch.setattr(getpass, "getpass", lambda prompt: "wrong")
    with pytest.raises(AuthenticationFailed):
        run(session, "login", "--forget")
    assert session.settings.api_key.reveal() == sandbox.api_key  # a refused key replaces none
    assert session.submit(TASK).result().results
    session.configure(api_key="wrong")
    with pytest.raises(AuthenticationFailed):
        session.connect()
    assert run(session, "status").json["key"].endswith("refused")


@pytest.mark.parametrize("transport", ["websocket", "rest"])
def test_without_a_network_nothing_is_claimed(tmp_path, monkeypatch, transport):
    session = Session(Settings(home=tmp_path / ".runware", transport=transport, connect_timeout_s=3.0, **REAL))
    monkeypatch.setattr(getpass, "getpass", lambda prompt: "a-key")
    answer = run(session, "login")
    assert answer.is_failure
    assert not answer.json["is_checked"]
    assert "The key was not checked" in text(answer)
    assert "was not stored" in text(answer)
    assert session.settings.api_key == Key("a-key", "the prompt")
    facts = run(session, "status").json
    assert facts["key"] == "from the prompt, not checked"
    assert "transport" not in facts
    with pytest.raises(TransportError):
        run(session, "connect")
    session.close()


def test_replay_mode_asks_no_service_about_a_key(make_session, sandbox, monkeypatch):
    session = make_session(sandbox, mode="replay")
    monkeypatch.setattr(getpass, "getpass", lambda prompt: "a-key")
    assert "replay mode sends nothing" in text(run(session, "login"))


# --- late keys -------------------------------------------------------------------------------------------


def test_a_key_that_appears_after_first_use_is_used(session_from_environment, sandbox, monkeypatch):
    session = session_from_environment
    with pytest.raises(ConfigError, match="No API key"):
        session.submit(TASK)
    monkeypatch.setenv("RUNWARE_API_KEY", sandbox.api_key)
    assert session.submit(TASK).result().results
    assert session.settings.api_key.source == "RUNWARE_API_KEY"


def test_a_key_that_changes_is_used_and_a_key_given_in_the_session_wins(session_from_environment, sandbox, monkeypatch):
    session = session_from_environment
    monkeypatch.setenv("RUNWARE_API_KEY", "an-older-key")
    with pytest.raises(AuthenticationFailed):
        session.connect()
    monkeypatch.setenv("RUNWARE_API_KEY", sandbox.api_key)
    assert session.connect() == "websocket"
    session.configure(api_key="given-in-python")
    monkeypatch.setenv("RUNWARE_API_KEY", sandbox.api_key + "x")
    assert session.connection.require_key().reveal() == "given-in-python"


def test_other_variables_come_with_a_late_key_but_the_folder_stays(tmp_path, monkeypatch, sandbox):
    session = Session()
    home = session.settings.home
    for name, value in sandbox.environment.items():  # as load_dotenv() sets them
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RUNWARE_NB_HOME", str(tmp_path / "elsewhere"))
    session.configure(max_retries=0)
    assert session.connect() == "websocket"
    assert (session.settings.rest_url, session.settings.home) == (sandbox.rest_url, home)
    assert session.settings.max_retries == 0
    session.close()


def test_a_key_that_was_forgotten_stays_forgotten_until_it_changes(session_from_environment, sandbox, monkeypatch):
    session = session_from_environment
    monkeypatch.setenv("RUNWARE_API_KEY", sandbox.api_key)
    session.require_key()
    run(session, "logout")
    with pytest.raises(ConfigError, match="No API key"):
        session.require_key()
    monkeypatch.setenv("RUNWARE_API_KEY", "another")
    assert session.connection.require_key().reveal() == "another"


def test_an_unusable_key_is_reported_where_it_is_needed_and_login_replaces_it(
    session_from_environment, sandbox, monkeypatch
):
    session = session_from_environment
    monkeypatch.setenv("RUNWARE_API_KEY", "two words")
    with pytest.raises(ConfigError, match="RUNWARE_API_KEY contains blanks"):
        session.submit(TASK)
    assert run(session, "log").json == []
    monkeypatch.setattr(getpass, "getpass", lambda prompt: sandbox.api_key)
    assert "accepted the key" in text(run(session, "login", "--forget"))
    assert session.submit(TASK).result().results


def test_a_broken_user_file_sends_nothing_and_opens_no_other_log(session_from_environment, tmp_path, monkeypatch):
    (tmp_path / "config/runware_nb").mkdir(parents=True)
    (tmp_path / "config/runware_nb/config.toml").write_text("log_url = \n")
    monkeypatch.setenv("RUNWARE_API_KEY", "a-key")
    session = Session()
    for name in ("connect", "log"):
        with pytest.raises(ConfigError, match=r"config\.toml cannot be read"):
            run(session, name)
    assert "cannot be read" in text(run(session, "status"))
    assert "cannot be read" in text(run(session, "config"))
    assert not (tmp_path / ".runware/runs.sqlite").exists()


def test_a_run_that_waited_is_not_sent_to_the_service_that_took_the_place_of_its_own(sandbox, make_session):
    """A run of the sandbox may wait for its turn while the user returns to the real service, which would charge it."""
    session = make_session(sandbox)
    provider = session.provider()
    assert provider.name == "sandbox"
    session.configure(rest_url="https://api.runware.ai/v1", ws_url="wss://ws-api.runware.ai/v1")
    with pytest.raises(ConfigError, match=r"'sandbox' is not in use any more\. Nothing was sent"):
        _ = provider.limiter
    assert session.provider().name == "runware"
