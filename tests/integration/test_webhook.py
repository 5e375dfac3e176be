"""Callbacks of the sandbox, received over real sockets: each fault, each reading, and the command in all front ends."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

import runware_nb as rw
import runware_nb.session.current as sessions
from runware_nb.cli import main
from runware_nb.errors import ConfigError, MagicUsageError
from runware_nb.loop import background_loop
from runware_nb.providers.package import ProviderPackage
from runware_nb.providers.runkey.callbacks import RUNKEY_WEBHOOK_SECRET, build_route
from runware_nb.providers.webhook import Receiver
from runware_nb.session import Session
from runware_nb.settings import Settings
from tests.runkey_sandbox import RunKeyProcess, new_clock, runkey_package
from tests.unit.providers.runkey.test_signature import BODY, BODY_2, DIGITS, DIGITS_2, SECRET

PACKAGE = ProviderPackage(
    name="runkey", services=("runkey",), secrets=(RUNKEY_WEBHOOK_SECRET,), callbacks="build_route"
)
VARIABLE = RUNKEY_WEBHOOK_SECRET.variable


@pytest.fixture(scope="module")
def process():
    """A sandbox whose clock stands still until it is advanced."""
    process = RunKeyProcess("--time-scale", "0.001")
    yield process
    process.close()


@pytest.fixture
def runkey(process, monkeypatch):
    process.clear()
    monkeypatch.setenv(VARIABLE, process.secret)
    return process


@pytest.fixture
def session(tmp_path, front_end, monkeypatch):
    """A session without a service, as the current one."""
    session = Session(Settings(home=tmp_path / "home"), packages=[PACKAGE], front_end=front_end)
    monkeypatch.setattr(sessions, "_session", session)
    yield session
    session.close()


class Reports(list):
    """What became of callbacks, with a bounded wait for the next one."""

    def __init__(self):
        super().__init__()
        self.arrived = threading.Semaphore(0)

    def __call__(self, report):
        self.append(report)
        self.arrived.release()

    def next(self):
        assert self.arrived.acquire(timeout=30)
        return self[-1]


@contextlib.contextmanager
def receiving(session, **options):
    reports = Reports()
    route = build_route(session.providers.context(), **options)
    with Receiver([route], board=session.providers.context().board, on_report=reports) as receiver:
        receiver.heard = reports
        yield receiver


def waits(session, task_id, seconds=30):
    """Start a wait for a task as a provider does, on the background loop."""
    return background_loop().submit(session.providers.context().board.wait("runkey", task_id, seconds))


def is_woken(session, task_id):
    return waits(session, task_id, 0).result(30)


def outcomes(receiver, count):
    for _ in range(count):
        receiver.heard.next()
    return [report.outcome for report in receiver.heard]


def submit(runkey, receiver, template="tpl_image"):
    return runkey.start(template, webhook_url=receiver.url_of("runkey"))


# --- what the sandbox sends -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behaviour",
    [{}, {"webhook_scheme": "header-only"}, {"webhook_header": "upper"}, {"webhook_timestamp_header": True}],
)
def test_a_callback_wakes_the_wait_for_its_task(session, runkey, behaviour):
    runkey.set("behaviour", behaviour)
    with receiving(session) as receiver:
        task_id = submit(runkey, receiver, "tpl_slow")
        future = waits(session, task_id)
        runkey.advance(200)
        assert future.result(30) is True
        assert receiver.heard.next().task_ids == (task_id,)
    assert receiver.heard[0].line.endswith(f"runkey: verified: task.completed of {task_id}")
    assert runkey.read("deliveries")["deliveries"][0]["status"] in {0, 204}  # 0 until the sandbox has noted it


def test_a_failure_wakes_too(session, runkey):
    with receiving(session) as receiver:
        task_id = submit(runkey, receiver, runkey.template("t", scenario="failure"))
        assert (receiver.heard.next().event, is_woken(session, task_id)) == ("task.failed", True)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("forged", "its signature is wrong"),
        ("wrong_signature", "its signature is wrong"),
        ("tampered", "its signature is wrong"),
        ("missing_header", "it has no header X-RunKey-Signature"),
        ("stale", "The callback is stale: its timestamp is 3"),
    ],
)
def test_a_spoilt_callback_is_refused_and_the_correct_one_wakes(session, runkey, how, reason):
    runkey.set("behaviour", {"webhook_attempts": 1})
    runkey.set("faults", {"kind": "webhook", "how": how, "in_addition": True})
    with receiving(session) as receiver:
        task_id = submit(runkey, receiver)
        assert outcomes(receiver, 2) == ["refused", "verified"]
        refused = receiver.heard[0]
        assert (refused.status, refused.task_ids) == (401, ())
        assert reason in refused.line
        assert runkey.secret not in refused.line
        assert is_woken(session, task_id)


@pytest.mark.parametrize("how", ["forged", "wrong_signature", "tampered", "missing_header", "stale"])
def test_a_spoilt_callback_wakes_nothing_by_itself(session, runkey, how):
    runkey.set("behaviour", {"webhook_attempts": 1})
    runkey.set("faults", {"kind": "webhook", "how": how})
    with receiving(session) as receiver:
        task_id = submit(runkey, receiver)
        assert outcomes(receiver, 1) == ["refused"]
        assert not is_woken(session, task_id)
        assert not is_woken(session, f"x{task_id}")  # what `tampered` makes of it
    assert not (session.settings.home / "callbacks").exists()


@pytest.mark.parametrize("scheme", ["same", "data"])
def test_the_readings_that_do_not_sign_the_body_are_refused(session, runkey, scheme):
    runkey.set("behaviour", {"webhook_scheme": scheme, "webhook_attempts": 1})
    with receiving(session) as receiver:
        submit(runkey, receiver)
        assert outcomes(receiver, 1) == ["refused"]


def test_a_bare_header_is_refused_by_default(session, runkey):
    runkey.set("behaviour", {"webhook_header": "bare", "webhook_attempts": 1})
    with receiving(session) as receiver:
        submit(runkey, receiver)
        assert outcomes(receiver, 1) == ["refused"]


def test_a_duplicated_callback_is_acknowledged_and_wakes_once(session, runkey):
    runkey.set("faults", {"kind": "webhook", "how": "duplicated"})
    with receiving(session) as receiver:
        task_id = submit(runkey, receiver)
        assert outcomes(receiver, 2) == ["verified", "duplicate"]
        assert {report.status for report in receiver.heard} == {204}
        assert [is_woken(session, task_id), is_woken(session, task_id)] == [True, False]


def test_a_replayed_callback_is_a_duplicate_or_stale(session, runkey, run_async):
    """An attacker who has seen a correct callback sends its bytes again, now and to a receiver that is new."""
    with open_recorder() as (url, recorded):
        task_id = runkey.start("tpl_image", webhook_url=url)
        body, signature = recorded()
    with receiving(session) as receiver:
        sent = [send(receiver.url_of("runkey"), body, [signature]) for _ in range(2)]
        assert sent == [204, 204]
        assert [report.outcome for report in receiver.heard] == ["verified", "duplicate"]
        assert [is_woken(session, task_id), is_woken(session, task_id)] == [True, False]
    with receiving(session, max_age_s=1e-9) as receiver:  # later
        assert send(receiver.url_of("runkey"), body, [signature]) == 401
        assert "stale" in receiver.heard[0].line
        assert not is_woken(session, task_id)


def test_a_delayed_callback_wakes_later(session, runkey):
    runkey.set("faults", {"kind": "webhook", "how": "delayed", "seconds": 40})
    with receiving(session) as receiver:
        task_id = submit(runkey, receiver)
        future = waits(session, task_id)
        assert runkey.data(task_id)["status"] == "completed"
        runkey.advance(40)
        assert future.result(30) is True


def test_a_lost_callback_leaves_the_wait_to_its_time(session, runkey):
    """The poll that goes on beside it then reads the task."""
    runkey.set("faults", {"kind": "webhook", "how": "lost"})
    with receiving(session) as receiver:
        task_id = submit(runkey, receiver)
        assert waits(session, task_id, 0.1).result(30) is False
        assert runkey.data(task_id)["status"] == "completed"
        assert receiver.heard == []


def test_a_receiver_that_was_away_gets_the_next_attempt(session, runkey):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        task_id = runkey.start("tpl_image", webhook_url=f"http://127.0.0.1:{port}/runkey")
        for _ in range(600):
            if [record["attempts"] for record in runkey.read("deliveries")["deliveries"]] == [1]:
                break
            threading.Event().wait(0.05)
    route = build_route(session.providers.context())
    with Receiver([route], board=session.providers.context().board, port=port):
        future = waits(session, task_id)
        runkey.advance(1)
        assert future.result(30) is True


# --- the vectors and negative cases of the reference, over sockets ---------------------------------------


def send(url, body, signatures, method="POST"):
    """Send bytes with any number of signature headers, and return the status."""
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    lines = [f"{method} /{path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"X-RunKey-SIGNATURE: {value}" for value in signatures]
    with socket.create_connection((name, int(port)), timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        received = b""
        while data := connection.recv(65536):
            received += data
    head, _, content = received.partition(b"\r\n\r\n")
    assert content == b""
    assert SECRET.encode() not in received
    assert DIGITS.encode() not in received
    return int(head.split()[1])


@contextlib.contextmanager
def open_recorder():
    """Open a receiver that records one callback, as an attacker between the service and us would."""
    recorded, arrived = [], threading.Event()
    from runware_nb.net.server import HttpServer

    def respond(request):
        recorded.append((request.body, dict(request.headers)["x-runkey-signature"]))
        arrived.set()
        return 204

    server = HttpServer(respond, {"/hook"})
    background_loop().submit(server.start()).result(30)

    def first():
        assert arrived.wait(30)
        return recorded[0]

    yield f"http://127.0.0.1:{server.port}/hook", first
    background_loop().submit(server.aclose()).result(30)


GOOD, GOOD_2 = f"sha256={DIGITS}", f"sha256={DIGITS_2}"


@pytest.mark.parametrize(
    ("body", "signatures", "status"),
    [
        (BODY, [GOOD], 204),
        (BODY_2, [GOOD_2], 204),
        (BODY, [f"sha256={DIGITS.upper()}"], 204),
        (BODY, [f"  {GOOD}\t"], 204),
        (BODY_2, [GOOD], 401),
        (BODY.replace(b"15", b"16"), [GOOD], 401),
        (json.dumps(json.loads(BODY), indent=2).encode(), [GOOD], 401),
        (BODY + b"\n", [GOOD], 401),
        (BODY, [DIGITS], 401),
        (BODY, [f"sha1={DIGITS}"], 401),
        (BODY, [GOOD[:-1]], 401),
        (BODY, [GOOD + "0"], 401),
        (BODY, [GOOD[:-1] + "g"], 401),
        (BODY, [GOOD, GOOD], 401),
        (BODY, [""], 401),
        (BODY_2, [], 401),
        (BODY, [], 401),
        (b"", [GOOD], 401),
    ],
)
def test_the_cases_of_the_reference_over_sockets(session, monkeypatch, body, signatures, status):
    monkeypatch.setenv(VARIABLE, SECRET)
    with receiving(session, max_age_s=None) as receiver:
        assert send(receiver.url_of("runkey"), body, signatures) == status
        assert [report.status for report in receiver.heard] == [status]
        assert is_woken(session, "task_vector_1") is (status == 204)
        assert SECRET not in receiver.heard[0].line
        assert DIGITS not in receiver.heard[0].line


def test_an_old_callback_is_stale_by_default(session, monkeypatch):
    monkeypatch.setenv(VARIABLE, SECRET)
    with receiving(session) as receiver:
        assert send(receiver.url_of("runkey"), BODY, [GOOD]) == 401
        assert "The callback is stale" in receiver.heard[0].line


def test_another_path_or_method_reaches_no_verification(session, monkeypatch):
    monkeypatch.setenv(VARIABLE, SECRET)
    with receiving(session, max_age_s=None) as receiver:
        assert send(receiver.local_url + "/", BODY, [GOOD]) == 404
        assert send(receiver.url_of("runkey"), BODY, [GOOD], method="PUT") == 405
        assert receiver.heard == []


# --- the command ----------------------------------------------------------------------------------------


def test_a_notebook_receives_in_the_background(session, runkey):
    assert rw.command("webhook").json == {"running": False}
    started = rw.command("webhook", port=0)
    url = started.json["callback_urls"]["runkey"]
    assert started.text.splitlines()[:2] == [
        f"Receiving callbacks on {url.removesuffix('/runkey')}.",
        f"URL to give to runkey: {url}",
    ]
    assert "public_url=" in " ".join(started.notes)
    task_id = runkey.start("tpl_slow", webhook_url=url)
    future = waits(session, task_id)
    runkey.advance(200)
    assert future.result(30) is True
    state = rw.command("webhook")
    assert "1 callback: 1 verified" in state.text
    assert state.json["newest"] == [
        {"service": "runkey", "outcome": "verified", "status": 204, "event": "task.completed", "task_ids": [task_id],
         "reason": ""}
    ]  # fmt: skip
    assert session.callbacks.url_of("runkey", is_local=True) == url
    assert session.callbacks.url_of("useapi", is_local=True) is None
    with pytest.raises(ConfigError, match="receives callbacks already, at http") as caught:
        rw.command("webhook", port=0)
    assert "stop" in str(caught.value)
    assert rw.command("webhook", stop=True).text == "Callbacks are no longer received. Runs still end by polling."
    assert rw.command("webhook", stop=True).text.startswith("This session did not receive callbacks.")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(url.split(":")[2].partition("/")[0])), timeout=5)


@pytest.fixture
def with_runkey(tmp_path, runkey, monkeypatch):
    """A session that uses RunKey, as the current one. Its first poll would come after 1000 s or more."""
    monkeypatch.setenv("RUNKEY_API_KEY", runkey.api_key)
    settings = Settings(home=tmp_path / "runkey").with_values(runkey_url=runkey.url)
    session = Session(settings, packages=[runkey_package(new_clock(scale=0.001))])
    monkeypatch.setattr(sessions, "_session", session)
    yield session
    session.close()


def test_the_receiver_of_a_session_ends_the_wait_for_a_run(with_runkey, runkey):
    receiver = rw.runkey.receiver()
    job = rw.runkey.run("tpl_image", prompt="a ship", width=64, height=64, agreed=True)
    while job.record.remote_id is None:
        time.sleep(0.01)
    runkey.advance(60)
    assert job.result(60)[0].path.exists()
    assert receiver.counts == {"verified": 1}


def test_only_callbacks_of_the_named_services_are_received(with_runkey, session):
    answer = rw.command("webhook", port=0, service="runkey")
    assert list(answer.json["callback_urls"]) == ["runkey"]
    rw.command("webhook", stop=True)
    assert list(rw.command("runkey webhook", port=0).json["callback_urls"]) == ["runkey"]
    assert rw.command("runkey webhook", stop=True).json == {"running": False}
    with pytest.raises(
        ConfigError, match="Invalid service 'runway': expected one that sends callbacks, such as runkey"
    ):
        rw.command("webhook", port=0, service="runway")


def test_a_receiver_without_the_secret_is_not_started(with_runkey, monkeypatch):
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(ConfigError, match=VARIABLE):
        rw.runkey.receiver()
    assert with_runkey.callbacks.receiver is None


def test_a_session_stops_to_receive_when_it_closes(tmp_path, runkey):
    session = Session(Settings(home=tmp_path), packages=[PACKAGE])
    receiver = session.callbacks.start()
    session.close()
    assert not receiver.is_running
    assert session.callbacks.receiver is None


def test_receivers_of_code_close_with_the_session(tmp_path, runkey):
    """This is how a provider's own function for Python builds a receiver."""
    session = Session(Settings(home=tmp_path), packages=[PACKAGE])
    context = session.providers.context()
    receiver = session.callbacks.keep(Receiver([build_route(context, max_age_s=60)], board=context.board))
    assert not receiver.is_running
    with receiver:
        task_id = runkey.start("tpl_slow", webhook_url=receiver.url)
        future = waits(session, task_id)
        runkey.advance(200)
        assert future.result(30) is True
    assert receiver.open().is_running
    session.close()
    assert not receiver.is_running


def test_the_public_url_is_what_is_printed(session, runkey):
    started = rw.command("webhook", port=0, public_url="https://hook.example/")
    assert started.json["callback_urls"] == {"runkey": "https://hook.example/runkey"}
    assert started.notes == ()


def test_secrets_of_named_variables_replace_that_of_the_service(session, runkey, monkeypatch):
    monkeypatch.setenv("NEW_SECRET", SECRET)
    monkeypatch.setenv("OLD_SECRET", "an-earlier-secret")
    rw.command("webhook", port=0, secret_env=["NEW_SECRET", "OLD_SECRET"])
    url = session.callbacks.url_of("runkey", is_local=True)
    assert send(url, BODY, [GOOD]) == 401
    runkey.set("behaviour", {"webhook_attempts": 1})
    runkey.start("tpl_image", webhook_url=url)
    for _ in range(600):
        if len(session.callbacks.receiver.reports) == 2:
            break
        threading.Event().wait(0.05)
    first, second = session.callbacks.receiver.reports
    assert "is stale" in first.reason  # it was signed with a secret that counts
    assert "signature is wrong" in second.reason  # RUNKEY_WEBHOOK_SECRET does not count any more


@pytest.mark.parametrize(
    "words",
    [
        ["--secret-env", "hunter2~harbor"],
        ["--secret-env", "hunter2_harbor"],
        ["--secret-env=hunter2_harbor"],
        ["--secret-env", "hunter2=x"],
        ["hunter2_harbor"],
        ["--secret", "hunter2_harbor"],
        ["--secret=hunter2_harbor"],
    ],
)
def test_a_secret_on_the_line_is_refused_and_not_repeated(session, runkey, words, capsys):
    assert main(["webhook", "--port", "0", *words]) == 2
    printed = "".join(capsys.readouterr())
    assert "hunter2" not in printed
    assert "No receiver was started." in printed
    assert "--secret-env NAME" in printed
    assert session.callbacks.receiver is None


def test_a_word_with_the_shape_of_a_key_is_refused_as_everywhere(session, runkey, capsys):
    assert main(["webhook", "--port", "0", "--secret-env", "whsec_4f9a1Bc77De8802aa93F"]) == 2
    assert "whsec_" not in "".join(capsys.readouterr())


def test_a_long_name_of_a_variable_is_no_key(session, monkeypatch, capsys):
    words = ["webhook", "--host", "192.0.2.1", "--port", "0", "--secret-env", "RUNKEY_WEBHOOK_SECRET_2026"]
    assert main(words) == 2
    assert "there is a key in this line" in capsys.readouterr().err
    monkeypatch.setenv("RUNKEY_WEBHOOK_SECRET_2026", SECRET)
    assert main(words) == 2
    assert "Cannot listen on port 0 of 192.0.2.1" in capsys.readouterr().err
    assert session.callbacks.receiver is None


def test_a_port_in_use_is_one_sentence_in_the_terminal(session, runkey, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["webhook", "--port", str(port)]) == 2
    assert capsys.readouterr().err == (
        f"ConfigError: Cannot listen on port {port} of 127.0.0.1: another program uses it. Use another port with "
        "`--port`, or 0 for a free one.\n"
    )
    assert session.callbacks.receiver is None
    assert main(["webhook", "--port", "x"]) == 2


def test_without_a_secret_nothing_is_received(session, capsys):
    with pytest.raises(ConfigError, match=r"Callbacks of runkey are not received\. No RunKey.ai webhook secret"):
        rw.command("webhook", port=0)
    assert session.callbacks.receiver is None


def test_a_service_that_is_left_out_is_named_until_it_has_a_secret(session, monkeypatch):
    monkeypatch.setenv("OTHER_SECRET", SECRET)
    with pytest.raises(ConfigError):
        session.callbacks.start()
    assert session.callbacks.left_out[0].startswith("Callbacks of runkey are not received.")
    session.callbacks.start(secret_variables=["OTHER_SECRET"])
    assert session.callbacks.left_out == ()


def test_a_session_without_services_with_callbacks_states_it(tmp_path):
    session = Session(Settings(home=tmp_path), packages=[])
    with pytest.raises(ConfigError, match="No provider has callbacks"):
        session.callbacks.start()
    session.close()


def test_reports_that_nothing_reads_are_dropped(session, runkey):
    session.callbacks.start()
    send(session.callbacks.url_of("runkey", is_local=True), b"x", [])

    async def fill():
        newest = session.callbacks.receiver.reports[-1]
        for _ in range(1100):
            session.callbacks._add(newest)
        return session.callbacks._unread.qsize()

    assert background_loop().submit(fill()).result(30) == 1000


FOREGROUND = """
import pathlib, sys
import runware_nb.session.current as current
from runware_nb.cli import main
from runware_nb.providers.package import ProviderPackage
from runware_nb.session import Session
from runware_nb.settings import Settings
package = ProviderPackage(name="runkey", services=("runkey",), callbacks="build_route")
current._session = Session(Settings(home=pathlib.Path(sys.argv[1])), packages=[package])
sys.exit(main(["webhook", "--port", "0", "--secret-env", "MY_SECRET"]))
"""


def test_a_terminal_wakes_a_notebook_until_it_is_stopped(session, runkey):
    """Another process verifies the callback, and its file in the folder of the session wakes the wait here."""
    environment = {**os.environ, "MY_SECRET": runkey.secret}
    del environment[VARIABLE]
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", FOREGROUND, str(session.settings.home)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        started = json.loads(process.stdout.readline())
        url = started["callback_urls"]["runkey"]
        assert send(url, BODY, [GOOD]) == 401
        task_id = runkey.start("tpl_slow", webhook_url=url)
        future = waits(session, task_id)
        runkey.advance(200)
        assert future.result(30) is True
        refused, verified = (json.loads(process.stdout.readline()) for _ in range(2))
        assert (refused["outcome"], refused["task_ids"]) == ("refused", [])
        assert (verified["outcome"], verified["task_ids"]) == ("verified", [task_id])
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert (process.returncode, out) == (0, "")
    assert err.splitlines()[-1] == "Stopped."
    assert runkey.secret not in err
    assert list((session.settings.home / "callbacks").iterdir()) == []


def test_help_explains_the_command(session, capsys):
    assert main(["webhook", "-h"]) == 0
    printed = capsys.readouterr().out
    assert "--secret-env" in printed
    assert "--secret " not in printed
    with pytest.raises(MagicUsageError):
        rw.command("webhook", "x")
