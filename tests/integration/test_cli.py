"""The terminal, as a user has it: a process, its streams, its exit code."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import uuid

import pytest
from PIL import Image

from tests.conftest import TASK


@pytest.fixture
def cli(sandbox, tmp_path):
    def run(*words, stdin="", environment=None, sandbox=sandbox):
        given = {**os.environ, **sandbox.environment} if environment is None else {**os.environ, **environment}
        return subprocess.run(
            [sys.executable, "-m", "runware_nb", *words], capture_output=True, text=True, input=stdin, env=given,
            cwd=tmp_path, timeout=60,
        )  # fmt: skip

    return run


def test_model_search_prints_the_whole_answer(cli):
    done = cli("model-search", "--search", "pixel art", "--limit", "2")
    assert done.returncode == 0
    (answer,) = json.loads(done.stdout)["data"]
    assert (answer["totalResults"], len(answer["results"])) == (3, 2)


def test_model_search_that_finds_nothing_exits_1(cli):
    assert cli("model-search", "--search", "xyzzy").returncode == 1


def test_text_to_image_prints_the_answer_and_the_files(cli, tmp_path, sandbox):
    done = cli("text-to-image", "--prompt", "a small airship", "-s", "256x256", "-n", "2", "--seed", "5")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert [item["seed"] for item in answer["data"]] == [5, 6]
    assert all(os.path.getsize(path) > 1000 for path in answer["files"])
    (row,) = json.loads(cli("log").stdout)
    assert (row["state"], row["task_uuid"]) == ("succeeded", answer["data"][0]["taskUUID"])
    shown = json.loads(cli("show", row["task_uuid"][:8]).stdout)
    assert shown["request"]["positivePrompt"] == "a small airship"


def test_read_prints_where_an_image_came_from(cli, tmp_path):
    (path,) = json.loads(cli("text-to-image", "--prompt", "a café ☕", "-s", "256x256", "--seed", "5").stdout)["files"]
    done = cli("read", path)
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found["parameters"]["positivePrompt"] == "a café ☕"
    assert found["record"]["seed"] == 5
    assert found["is_marked_generated"]
    (tmp_path / "plain.gif").write_bytes(b"GIF89a" + b"\0" * 20)
    for image in ("nowhere.png", "plain.gif"):
        done = cli("read", image)
        assert done.returncode in {1, 2}
        assert len(done.stderr.strip().splitlines()) == 1


def test_read_says_that_an_image_says_nothing(cli, tmp_path):
    from PIL import Image

    Image.new("RGB", (4, 4)).save(tmp_path / "plain.png")
    done = cli("read", "plain.png")
    assert done.returncode == 1
    assert json.loads(done.stdout)["record"] is None


def test_a_partial_failure_prints_both_and_exits_1(cli, sandbox):
    sandbox.faults({"kind": "fail", "items": [1]})
    done = cli("text-to-image", "--prompt", "xy", "-s", "256x256", "-n", "3")
    answer = json.loads(done.stdout)
    assert (done.returncode, len(answer["data"]), len(answer["errors"])) == (1, 2, 1)


def test_a_refusal_prints_the_services_errors_and_exits_1(cli, sandbox):
    sandbox.faults({"kind": "refuse", "status": 402, "code": "insufficientCredits", "message": "top up"})
    done = cli("text-to-image", "--prompt", "xy", "-s", "256x256")
    assert done.returncode == 1
    assert json.loads(done.stdout)["errors"][0]["code"] == "insufficientCredits"
    assert "top up" in done.stderr


def test_a_transient_failure_is_tried_again(cli, sandbox):
    sandbox.faults({"kind": "refuse", "status": 503, "code": "serviceUnavailable", "names_task": False})
    assert cli("text-to-image", "--prompt", "xy", "-s", "256x256").returncode == 0


@pytest.mark.parametrize("from_stdin", [True, False])
def test_raw_sends_the_file_as_it_is(cli, tmp_path, sandbox, from_stdin):
    task = {**TASK, "taskUUID": str(uuid.uuid4())}
    (tmp_path / "request.json").write_text(json.dumps([task]))
    done = cli("raw", "-", stdin=json.dumps(task)) if from_stdin else cli("raw", "request.json")
    assert done.returncode == 0
    (item,) = json.loads(done.stdout)["data"]
    assert item["taskUUID"] == task["taskUUID"]
    assert "cost" not in item
    polled = cli("poll", task["taskUUID"])
    assert json.loads(polled.stdout)["data"][0]["status"] == "success"


def test_raw_errors_exit_1_and_are_printed(cli):
    done = cli("raw", "-", stdin=json.dumps({**TASK, "width": 1000}))
    assert done.returncode == 1
    assert json.loads(done.stdout)["errors"][0]["parameter"] == "width"


def test_raw_is_tried_again_when_the_service_is_away(cli, sandbox):
    sandbox.faults({"kind": "html"})
    assert cli("raw", "-", stdin=json.dumps(TASK)).returncode == 0
    assert len(sandbox.charges()) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [("{", "is not valid JSON"), ("3", "contains no task"), ("[]", "contains no task"), ("[1]", "contains no task"), ("", "is not valid JSON"),
     ('[{"taskType":"authentication","apiKey":"k"}]', "contains an API key"), ("[" * 50_000, "is not valid JSON")],
)  # fmt: skip
def test_an_unreadable_file_is_one_sentence(cli, sandbox, body, words):
    done = cli("raw", "-", stdin=body)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert sandbox.charges() == []


def test_a_missing_or_binary_file_is_one_sentence(cli, tmp_path):
    assert "nowhere.json cannot be read: No such file" in cli("raw", "nowhere.json").stderr
    (tmp_path / "image.json").write_bytes(b"\x89PNG\r\n\x1a\n\xff")
    assert "not UTF-8" in cli("raw", "image.json").stderr


def test_an_empty_poll_is_printed_explained_and_exits_1(cli):
    done = cli("poll", str(uuid.uuid4()))
    assert (done.returncode, json.loads(done.stdout)) == (1, {"data": []})
    assert "does not know task" in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["text-to-image"], "the prompt is empty"), (["text-to-image", "--prompt", "xy", "-s", "big"], "size 'big'"),
        (["text-to-image", "--prompt", "xy", "--stepz", "3"], "did you mean --steps?"),
        (["text-to-image", "--prompt", "xy", "-n", "0"], "numberResults=0 refused"),
        (["text-to-image", "--prompt", "xy", "-n", "many"], "expected a whole number, not 'many'"),
        (["text-to-image", "--prompt", "xy", "-m", "sdxl", "-s", "1000x1024"], "960 or 1024"),
        (["text-to-image", "--prompt", "xy", "--set", "novalue"], "--set novalue"),
        (["text-to-image", "--prompt", "xy", "--api-key", "aB3dE6gH9jK2mN5pQ8sT1vW4"], "there is a key in this line"),
        (["modls"], "did you mean models?"), (["read", "--frsh", "x"], "unknown option --frsh; `runware-nb read -h`"),
        (["text-to-image", "xy", "--quux", "x"], "unknown option --quux; `runware-nb"), (["log", "--limit", "0"], "--limit 0"), (["log", "extra"], "one word too many"),
        (["poll", "x"], "no task UUID"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_sentence_and_exits_2(cli, sandbox, words, sentence):
    done = cli(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert "aB3dE6gH9jK2mN5pQ8sT1vW4" not in done.stderr
    assert sandbox.charges() == []


def test_no_key_says_how_to_get_one_in(cli):
    done = cli("text-to-image", "--prompt", "xy", environment={})
    assert done.returncode == 2
    assert "RUNWARE_API_KEY" in done.stderr


def test_an_unreachable_server_is_one_sentence_and_exits_1(cli):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    urls = {
        "RUNWARE_API_KEY": "k",
        "RUNWARE_NB_REST_URL": f"http://127.0.0.1:{port}",
        "RUNWARE_NB_WS_URL": f"ws://127.0.0.1:{port}",
    }
    done = cli("text-to-image", "--prompt", "xy", environment=urls)
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_says_what_is_left_and_how_much_is_stored(cli):
    facts = json.loads(cli("status").stdout)
    assert facts["balance"] == "$100.00"
    assert facts["key"] == "from RUNWARE_API_KEY, accepted"


def test_a_dry_run_sends_nothing(cli, sandbox):
    answer = json.loads(cli("text-to-image", "--prompt", "xy", "-n", "4", "--dry-run").stdout)
    assert answer["estimate_usd"] == pytest.approx(0.0152)
    assert sandbox.charges() == []


@pytest.mark.parametrize("words", [["-h"], ["text-to-image", "-h"], ["log", "--help"], ["--version"]])
def test_help_is_help(cli, words):
    done = cli(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout) > 10


def test_bundled_models_need_no_key(cli):
    done = cli("models", environment={})
    assert done.returncode == 0
    assert "runware:101@1" in done.stdout
    assert "bundled" in done.stderr


def test_login_without_a_terminal_says_what_else_to_do(cli):
    done = cli("login", stdin="")
    assert done.returncode == 2
    assert "RUNWARE_API_KEY" in done.stderr


def test_the_sandbox_runs_in_the_foreground(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "runware_nb", "sandbox", "--port", "0"], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    info = json.loads(process.stdout.readline())
    assert info["pid"] == process.pid
    process.terminate()
    process.wait(timeout=10)
    process.stdout.close()


def test_the_terminals_messages_suggest_commands_of_the_terminal(cli):
    done = cli("text-to-image", "--prompt", "a ship", environment={})
    assert done.returncode == 2
    assert "`runware-nb login`" in done.stderr
    assert "%runware" not in done.stderr


def test_a_broken_project_file_stops_only_what_sends(cli, sandbox, tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool\n")
    assert cli("log").returncode == 0
    done = cli("text-to-image", "--prompt", "a ship")
    assert (done.returncode, sandbox.charges()) == (2, [])
    assert "pyproject.toml cannot be read" in done.stderr


def test_an_unknown_variable_is_named_in_the_terminal_and_stdout_stays_json(cli, sandbox):
    done = cli("log", environment={**sandbox.environment, "RUNWARE_NB_TRANSPROT": "rest"})
    assert json.loads(done.stdout) == []
    assert done.stderr.count("RUNWARE_NB_TRANSPROT") == 1
    assert "Did you mean RUNWARE_NB_TRANSPORT?" in done.stderr


def test_a_budget_in_the_terminal_needs_to_know_for_what(cli):
    done = cli("budget", "2")
    assert done.returncode == 2
    assert "--all" in done.stderr
    assert json.loads(cli("budget").stdout)["budgets"] == []


@pytest.fixture
def main(sandbox, monkeypatch, capsys, tmp_path):
    """The terminal in this process: its exit code, stdout and stderr."""
    from runware_nb.cli import main
    from runware_nb.session import current

    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(current, "_session", None)
    Image.new("RGB", (64, 48), "teal").save(tmp_path / "in.png")

    def run(*words):
        status = main(words)
        out, err = capsys.readouterr()
        return status, out, err

    yield run
    if current._session is not None:
        current._session.close()


def test_an_operation_prints_its_answer_as_json_with_its_files(main, sandbox):
    status, out, _ = main("upscale", "in.png", "--factor", "2", "--yes")
    assert status == 0
    answer = json.loads(out)
    with Image.open(answer["files"][0]) as image:
        assert image.size == (128, 96)
    status, out, _ = main("upscale", "in.png", "--factor", "2", "--yes")
    assert json.loads(out)["recorded"] is True
    assert len(sandbox.requests()) == 1


def test_text_is_printed_for_a_reader(main, monkeypatch):
    monkeypatch.setattr("runware_nb.cli._is_terminal", lambda stream: stream is sys.stdout)
    status, out, _ = main("text", "Name three oceans.", "--yes", "--seed", "1")
    text = json.loads(main("text", "Name three oceans.", "--json", "--seed", "1")[1])["data"][0]["text"]
    assert status == 0
    assert text.strip() in out


def test_an_upload_prints_its_uuid_and_url(main, sandbox):
    status, out, _ = main("upload", "in.png")
    assert status == 0
    uploaded = json.loads(out)
    assert uuid.UUID(uploaded["media_uuid"])
    assert uploaded["url"].startswith("http")
    assert json.loads(main("upload", "in.png")[1])["media_uuid"] == uploaded["media_uuid"]
    assert sandbox.requests() == []


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["upscale"], 2, "Write `runware-nb upscale IMG`."), (["upscale", "nowhere.png"], 2, "nowhere.png"),
        (["upscale", "in.png", "-m", "esrgan", "--prompt", "x"], 2, "runware-nb upscale in.png -m clarity --prompt x"),
        (["video"], 2, "video needs a prompt"), (["mask", "in.png", "-b"], 2, "unknown option -b"),
        (["vectorize", "--prompt", "a logo"], 2, "cannot ask"),
    ],
)  # fmt: skip
def test_a_wrong_line_of_an_operation_exits_2(main, sandbox, words, status, sentence):
    code, out, err = main(*words)
    assert (code, out) == (status, "")
    assert sentence in err
    assert sandbox.requests() == []


def test_a_refusal_of_the_service_exits_1(main, sandbox):
    sandbox.faults({"kind": "refuse", "status": 400, "code": "invalidSomething", "message": "out of paint"})
    code, out, err = main("upscale", "in.png", "--yes")
    assert code == 1
    assert "out of paint" in err
    assert json.loads(out)["errors"]


@pytest.mark.skipif(os.name != "posix", reason="there are no pseudo terminals")
def test_a_terminal_shows_a_text_while_it_is_written(sandbox, tmp_path):
    """The rest of the text is not sent before the beginning was printed."""
    import pty

    words = [f"word{number}" for number in range(30)]
    sandbox.faults({"kind": "write", "text": " ".join(words) + " \x1b[31mred"}, {"kind": "hold", "after": 9})
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "runware_nb", "text", "Count, please", "--yes"], stdin=subprocess.DEVNULL, stdout=theirs,
        stderr=subprocess.PIPE, env={**os.environ, **sandbox.environment}, cwd=tmp_path,
    ) as process:  # fmt: skip
        os.close(theirs)
        shown = b""
        while b"word8" not in shown:
            shown += os.read(ours, 1000)
        assert b"word9" not in shown
        sandbox.control("release", post=True)
        with contextlib.suppress(OSError):  # how the end of a pseudo terminal is reported
            while piece := os.read(ours, 1000):
                shown += piece
        assert (process.wait(30), process.stderr.read()) == (0, b"")
    os.close(ours)
    text = shown.decode().replace("\r\n", "\n")
    assert text.startswith(" ".join(words) + " \\x1b[31mred\ntokens: "), "each word once, and no control characters"
    assert text.count("word29") == 1


def test_a_text_for_a_program_is_printed_when_it_is_complete(cli, sandbox):
    sandbox.faults({"kind": "write", "text": "one two"})
    done = cli("text", "Count, please", "--yes")
    assert json.loads(done.stdout)["data"][0]["text"] == "one two"
