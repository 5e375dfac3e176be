"""`%useapi` and `%%useapi` in a real IPython shell, against the sandbox over real sockets."""

import io
import json
import sys

import pytest

import runware_nb as rw
from runware_nb import cli
from runware_nb.core.redaction import known_secrets
from runware_nb.errors import (
    ContentRefused,
    FateUnknown,
    MagicUsageError,
    NotConfirmed,
    OutOfCredit,
    RunNotFound,
    TaskFailed,
    TaskInvalid,
)
from runware_nb.providers.useapi.provider import TERMS
from runware_nb.session import current_session
from tests.useapi_front import TIME_SCALE, environment_of, open_useapi_shell
from tests.useapi_sandbox import FIRST, SECOND, UseApiSandbox, png

PASSWORD = "wonder-wall-4711"


@pytest.fixture(scope="module")
def _useapi():
    sandbox = UseApiSandbox("--time-scale", str(TIME_SCALE))
    yield sandbox
    sandbox.close()


@pytest.fixture
def useapi(_useapi):
    _useapi.restart()
    _useapi.add_account(FIRST, 2)
    return _useapi


@pytest.fixture
def shell(useapi, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))  # nobody answers a question
    with open_useapi_shell(useapi, monkeypatch) as opened:
        yield opened


def shown(capsys):
    return capsys.readouterr().out


def refused(shell, cell, kind):
    with pytest.raises(kind) as caught:
        shell.run(cell)
    return "\n".join(caught.value._render_traceback_())


# --- accounts ------------------------------------------------------------------------------------------------


def test_accounts_are_listed_with_a_shortened_email_and_the_terms_once(shell, capsys):
    shell.run("%useapi accounts --credits")
    first = shown(capsys)
    assert "fi…@example.com  ready  0 of 2" in first
    assert "1,000,000" in first
    assert FIRST not in first
    assert TERMS in first
    shell.run("%useapi accounts --full")
    second = shown(capsys)
    assert FIRST in second
    assert TERMS not in second, "once in a session"


def test_an_account_is_added_from_a_file_shown_and_removed_after_a_question(shell, useapi, capsys, tmp_path):
    (tmp_path / "pw").write_text(f"{PASSWORD}\n")
    shell.run(f"%useapi account add {SECOND} --max-jobs 3 --password-file pw")
    assert "Runway accepted the password, and at most 3 tasks run at a time" in shown(capsys)
    shell.run(f"%useapi account show {SECOND} --credits")
    assert "0 of 3" in shown(capsys)
    with pytest.raises(NotConfirmed, match=r"cannot ask for confirmation. Nothing was changed"):
        shell.run(f"%useapi account remove {SECOND}")
    assert useapi.call("GET", f"/accounts/{SECOND}")[0] == 200
    shell.run(f"%useapi account remove {SECOND} --yes")
    assert "was removed from useapi.net" in shown(capsys)
    shell.run(f"%useapi account remove {SECOND} --yes")
    assert "stores no account" in shown(capsys)
    assert "stores no account" in refused(shell, f"%useapi account show {SECOND}", MagicUsageError)


@pytest.mark.parametrize(
    "rest",
    [PASSWORD, f"--password {PASSWORD}", f"--password={PASSWORD}", f"--pasword {PASSWORD}", f"-p {PASSWORD}",
     f"--password-env {PASSWORD}", f"--password-file {PASSWORD}", f"--max-jobs 2 {PASSWORD}"],
)  # fmt: skip
def test_a_password_on_the_line_is_refused_and_never_repeated(shell, useapi, capsys, rest):
    message = refused(shell, f"%useapi account add {SECOND} {rest}", MagicUsageError)
    assert PASSWORD not in message + shown(capsys)
    assert "Nothing was sent" in message
    assert useapi.raw("GET", f"/accounts/{SECOND}")[0] == 404


def test_a_refused_password_is_redacted_from_then_on(shell):
    refused(shell, f"%useapi account add {SECOND} {PASSWORD}", MagicUsageError)
    assert known_secrets.is_in(PASSWORD)


@pytest.mark.parametrize(
    "refused_line",
    [f"{SECOND} --password wave-0815", f"--password wave-0815 {SECOND}", f"wave-0815 {SECOND}",
     f"{SECOND} --password --max-jobs 2", f"{SECOND} --password=account --max-jobs 3", f"{SECOND} -p {SECOND}"],
)  # fmt: skip
def test_a_refused_password_does_not_block_the_ways_that_the_refusal_names(
    shell, monkeypatch, capsys, tmp_path, refused_line
):
    monkeypatch.setenv("PW", PASSWORD)
    assert "--password-env NAME" in refused(shell, f"%useapi account add {refused_line}", MagicUsageError)
    shell.run(f"%useapi account add {SECOND} --max-jobs 3 --password-env PW")
    (tmp_path / "pw").write_text(f"{PASSWORD}\n")
    shell.run(f"%useapi account add {SECOND} --max-jobs 3 --password-file pw")
    assert shown(capsys).count("Runway accepted the password") == 2


def test_a_known_runway_password_on_another_line_is_named(shell, monkeypatch):
    monkeypatch.setenv("USEAPI_RUNWAY_PASSWORD", "wind-mill-1234")
    message = refused(shell, "%%useapi image --yes --note wind-mill-1234\na ship", MagicUsageError)
    assert "there is a key in this line (Runway password)" in message
    assert "Use `%useapi account add EMAIL`, which has a hidden prompt, or set USEAPI_RUNWAY_PASSWORD." in message
    known_secrets.add("gold-fish-9876")  # as after a prompt
    message = refused(shell, "%useapi tasks --status gold-fish-9876", MagicUsageError)
    assert "(Runway password)" in message


def test_python_refuses_a_password_as_a_word_as_well(shell):
    with pytest.raises(MagicUsageError) as caught:
        rw.command("useapi account", "add", SECOND, password=PASSWORD)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    "email",
    [
        "first",
        "me@example",
        "me@",
        "@b.com",
        "a@b@example.com",
        "a@example.",
        "a b@example.com",
        "a/b@example.com",
        "a%b@example.com",
    ],
)
def test_a_mistyped_email_is_one_sentence(shell, monkeypatch, email):
    monkeypatch.setenv("PW", PASSWORD)
    message = refused(shell, f"%useapi account add '{email}' --password-env PW", MagicUsageError)
    assert f"Invalid e-mail '{email}'" in message


@pytest.mark.parametrize("number", ["0", "11", "2.5"])
def test_max_jobs_is_an_integer_from_1_to_10(shell, monkeypatch, number):
    monkeypatch.setenv("PW", PASSWORD)
    line = f"%useapi account add {SECOND} --password-env PW --max-jobs {number}"
    assert "max-jobs" in refused(shell, line, MagicUsageError)


def test_a_wrong_password_and_a_suspended_account_are_told_apart(shell, useapi, monkeypatch):
    monkeypatch.setenv("PW", PASSWORD)
    useapi.faults({"kind": "login", "on": "accounts", "reason": "password"})
    line = f"%useapi account add {SECOND} --password-env PW"
    assert "Check the e-mail and the password" in refused(shell, line, TaskInvalid)
    useapi.faults({"kind": "login", "on": "accounts", "reason": "suspended"})
    assert "Runway has suspended this account" in refused(shell, line, TaskFailed)


def test_a_session_that_cannot_ask_names_the_options(shell, monkeypatch):
    monkeypatch.setattr("getpass.getpass", _eof)
    with pytest.raises(rw.errors.ConfigError, match="--password-env NAME or --password-file FILE"):
        shell.run(f"%useapi account add {SECOND}")


def _eof(prompt):
    raise EOFError


def test_an_account_in_error_says_what_to_do(shell, useapi, capsys):
    useapi.faults({"kind": "expire_session"})
    message = refused(shell, "%%useapi image --yes\na ship", TaskFailed)
    assert "session" in message
    assert "nothing was charged" in message
    shell.run("%useapi accounts")
    assert "serves no task until it is added again with its password" in shown(capsys)


# --- generation ------------------------------------------------------------------------------------------------


def test_a_cell_generates_a_video_from_a_file(shell, useapi, capsys, tmp_path):
    (tmp_path / "frame.png").write_bytes(png())
    shell.names["what"] = "ship"
    shell.run(
        "%%useapi --model gen4 --duration 5 --ratio 16:9 --start-frame frame.png --seed 3 --tag study --note n -o clip "
        f"--account {FIRST} --yes\na {{what}} at sea"
    )
    assert "MP4 video" in shown(capsys)
    clip = shell.names["clip"]
    assert clip is shell.names["_rw"]
    run = current_session().log.find(clip.task_uuid)
    assert (run.prompt, run.prompt_template) == ("a ship at sea", "a {what} at sea")
    assert (run.request["duration"], run.request["aspect_ratio"], run.request["seed"]) == (5, "16:9", 3)
    assert run.tags == ("study",)
    assert clip[0].path.read_bytes()[4:8] == b"ftyp"
    again = "%%useapi --model gen4 --duration 5 --ratio 16:9 --start-frame frame.png --seed 3 --yes -q -o twice"
    shell.run(f"{again} --account {FIRST}\na ship at sea")
    assert shell.names["twice"].is_recorded


def test_images_are_named_by_variables_runs_files_and_asset_ids(shell, useapi, capsys, tmp_path):
    (tmp_path / "frame.png").write_bytes(png())
    asset = useapi.upload()[1]["assetId"]
    shell.names["asset"] = asset
    shell.run("%%useapi image -n 4 --model gen4 --yes -o ships\na ship")
    assert len(shell.names["ships"]) == 4
    run = shell.names["ships"].task_uuid[:8]
    shell.run(f"%%useapi frames --image ships#1 --image {run}#2 --image asset --yes -o last\n@IMG_1 like @IMG_2")
    request = current_session().log.find(shell.names["last"].task_uuid).request
    assert len(request["assets"]) == 3
    assert request["assets"]["imageAssetId3"] == asset
    message = refused(
        shell, "%%useapi frames --image _rw --image _rw --image _rw --image _rw --yes\nx", MagicUsageError
    )
    assert "--image was given 4 times: at most 3 are accepted" in message


def test_in_the_background_the_name_holds_the_job(shell):
    shell.run("%%useapi image --yes -b -o later\na ship")
    assert shell.names["later"].result(30)[0].path.exists()


@pytest.mark.parametrize(
    ("line", "corrected"),
    [
        ("--model gen4 --duration 7", "%%useapi video --model gen4 --duration 5"),
        ("video --duration=11 --model gen4.5", "%%useapi video --duration=10 --model gen4.5"),
        ("image -n 3", "%%useapi image -n 4"),
        ("frames --ratio 16:8", "%%useapi frames --ratio 16:9"),
        ("frames --ratio 16x9", "%%useapi frames --ratio 16:9"),
        ("-m gen4 --ratio 16x9 --yes", "%%useapi video -m gen4 --ratio 16:9 --yes"),
        ("-m gen44 --yes", "%%useapi video -m gen4 --yes"),
        ("image --model=nano-bananna --yes", "%%useapi image --model=nano-banana --yes"),
        ("gen4/create --duration 7 --start-frame http://127.0.0.1/x.png", "%%useapi create gen4/create --duration 5"),
        ("vidoe --model gen4", "%%useapi video --model gen4"),
        ("accounts", "%useapi accounts"),
        ("--modle gen4", "%%useapi video --model gen4"),
    ],
)
def test_a_refused_value_comes_with_the_corrected_line(shell, useapi, line, corrected):
    message = refused(shell, f"%%useapi {line}\na ship", (TaskInvalid, MagicUsageError))
    assert f"Try: {corrected}" in message
    assert useapi.call("GET", f"/tasks/?offset=0&limit=10&email={FIRST}")[1] == []


@pytest.mark.parametrize("cell", ["image -m gen4 --yes\n", "-m gen4 --yes\n  \n", "frames --yes", "-m gen9 --yes"])
def test_an_empty_prompt_is_refused(shell, useapi, cell):
    assert "The prompt is empty. Nothing was sent." in refused(shell, f"%%useapi {cell}", TaskInvalid)
    assert useapi.call("GET", f"/tasks/?offset=0&limit=10&email={FIRST}")[1] == []


@pytest.mark.parametrize("line", ["-m gen44 --unknown-model", "--set model=gen44", "-m luma-9"])
def test_a_new_model_is_accepted(shell, capsys, line):
    shell.run(f"%%useapi image {line} --dry-run\na ship")
    assert "is not known here" in shown(capsys)


def test_help_with_a_model_lists_its_options_alone(shell, capsys):
    shell.run("%%useapi -h --model gen4")
    text = " ".join(shown(capsys).split())
    assert "(5 or 10)" in text
    assert "--end-frame" not in text, "gen4 takes one frame"
    shell.run("%useapi video -h")
    assert "--end-frame" in shown(capsys)
    shell.run("%useapi models gen4")
    text = shown(capsys)
    assert "--duration" in text
    assert "width:height, such as 16:9" in text
    video, image = text.split("%%useapi image --model gen4: ")
    assert video.startswith("%%useapi video --model gen4: generate a video")
    assert video.count("--image, up to 11 times") == video.count("--image") == 1
    assert "reference image  " in video
    assert "multishot: --set multishot_prompt_1=…, up to 6" in video
    assert video.count("multishot:") == 2
    assert "--image, up to 8 times" in image
    assert len(rw.command("useapi models", "gen4").json) > 40, "a program gets each parameter"
    shell.run("%useapi models")
    assert "%%useapi image --model nano-banana" in shown(capsys)
    assert "Did you mean gen4?" in refused(shell, "%useapi models gen44", MagicUsageError)


def test_lines_create_tasks_too(shell, capsys):
    shell.run("%useapi image 'a ship' --model gen4 --seed 5 --yes -o ship")
    assert shell.names["ship"][0].seed == 5
    shell.run("%useapi create frames/create text_prompt='a cat' num_images=1 --yes")
    assert "1 result" in shown(capsys)
    shell.run("%useapi image 'a ship' --model gen4 --set style=vivid --dry-run")
    assert "vivid" in shown(capsys)


def test_tasks_and_assets_are_listed(shell, capsys, tmp_path):
    (tmp_path / "frame.png").write_bytes(png())
    shell.run("%useapi image 'a ship' --yes -o ship")
    shown(capsys)
    run = shell.names["ship"].task_uuid
    shell.run(f"%useapi task {run[:8]}\n%useapi tasks\n%useapi credits")
    text = shown(capsys)
    assert run[:8] in text
    assert "SUCCEEDED" in text
    assert FIRST not in text
    remote = current_session().log.find(run).remote_id
    shell.run(f"%useapi task {remote}")
    assert "SUCCEEDED" in shown(capsys)
    asset = rw.command("useapi asset", "add", "frame.png").value
    shell.run("%useapi assets --full")
    assert asset in shown(capsys)
    assert "cannot ask for confirmation" in refused(shell, f"%useapi asset remove {asset}", NotConfirmed)
    shell.run(f"%useapi asset remove {asset} --yes")
    assert "was deleted" in shown(capsys)
    assert "no run" in refused(shell, "%useapi task abcdef12", MagicUsageError).lower()


# --- what can go wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("no_credits", OutOfCredit, "does not have enough credits"),
        ("moderate", ContentRefused, "moderation refused the prompt"),
        ("fail", (ContentRefused, TaskFailed), "Runway"),
        ("no_artifacts", TaskFailed, "returned no result. It may have been charged"),
        ("html", FateUnknown, "It is not sent again"),
    ],
)
def test_failures_are_sentences_and_every_command_takes_such_runs(shell, useapi, capsys, fault, kind, words):
    useapi.faults({"kind": fault})
    assert words in refused(shell, "%%useapi image --yes --tag bad\na ship", kind)
    (run,) = current_session().log.select(_tagged("bad"))
    name = run.task_uuid[:8]
    for command in ("log", f"show {name}", f"code {name}", "cost", "gallery", "pending", f"history {name}",
                    "export runs.jsonl", "bundle make out.zip", "resume"):  # fmt: skip
        shell.run(f"%runware {command}")
    refused(shell, "%runware methods", RunNotFound)
    assert FIRST not in shown(capsys)


def _tagged(tag):
    from runware_nb.runlog.filters import RunFilter

    return RunFilter(tags=(tag,), limit=5)


def test_the_commands_of_the_log_take_a_video(shell, useapi, capsys, tmp_path):
    (tmp_path / "frame.png").write_bytes(png())
    shell.run("%%useapi --model gen4 --start-frame frame.png --seed 3 --yes -o clip\na ship")
    name = shell.names["clip"].task_uuid[:8]
    shown(capsys)
    for command in ("log", f"show {name}", f"history {name}", "cost", "gallery", f"replay {name} --yes",
                    f"verify {name} --yes", "bundle make out.zip", "bundle check out.zip", "export runs.jsonl"):  # fmt: skip
        shell.run(f"%runware {command}")
    text = shown(capsys)
    assert FIRST not in text, "e-mails are shortened where they are displayed"
    assert "again, as run" in text
    assert "exact" in text
    assert "· $0.00" not in text, "an unknown cost is not $0.00"
    shell.run(f"%runware code {name}")
    code = shown(capsys)
    assert "rw.useapi.create(" in code
    namespace = {}
    exec(code, namespace)
    assert namespace["results"].is_recorded, "the code asks for exactly the same"


def test_a_task_that_waits_for_a_slot_or_at_runway_ends_all_the_same(shell, useapi, capsys):
    useapi.faults({"kind": "busy"}, {"kind": "throttle", "seconds": 200})
    shell.run("%%useapi image --yes\na ship")
    assert "1 result" in shown(capsys)


# --- the terminal and Python --------------------------------------------------------------------------------------


def test_the_terminal_prints_json_without_secrets(useapi, monkeypatch, capsys):
    for name, value in environment_of(useapi).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("runware_nb.session.current._session", None)
    monkeypatch.setenv("PW", PASSWORD)
    assert cli.main(["useapi", "account", "add", SECOND, "--password-env", "PW", "--json"]) == 0
    assert cli.main(["useapi", "accounts", "--json", "--credits"]) == 0
    out, err = capsys.readouterr()
    rows = json.loads(out[out.index("[") :])
    assert [row["account"] for row in rows] == ["fi…@example.com", "se…@example.com"]
    assert err.count(TERMS) == 1
    assert PASSWORD not in out + err
    assert useapi.token not in out + err
    assert "jwt" not in out
    from runware_nb.session import current

    current._session.close()


def test_a_script_is_told_on_stderr(useapi, monkeypatch, capsys):
    from runware_nb.session import Session, current
    from runware_nb.settings import load_settings
    from tests.useapi_front import fast_packages

    for name, value in environment_of(useapi).items():
        monkeypatch.setenv(name, value)
    session = Session(load_settings(), packages=fast_packages())
    monkeypatch.setattr(current, "_session", session)
    rw.useapi.image("a ship", agreed=True).result()
    rw.useapi.image("a ship", agreed=True).result()
    assert capsys.readouterr().err.count(TERMS) == 1
    session.close()
