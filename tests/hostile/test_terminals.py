"""Text from records, services and files that would control a terminal, or hide from its reader."""

import ast
import contextlib
import html as html_module
import io
import json
import re
import shlex
import sqlite3
import subprocess
import sys
import traceback
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import runware_nb
from runware_nb import cli, errors
from runware_nb.commands import COMMANDS
from runware_nb.commands.call import command as call_command
from runware_nb.core.operations import OPERATIONS
from runware_nb.errors import RunwareNBError
from runware_nb.present.html import text as html_text
from runware_nb.printable import hides, printable, printable_bundle, printable_json
from tests.conftest import TASK

PACKAGE = Path(runware_nb.__file__).parent
EVIL = (
    "\x1b]0;owned\x07\x1b]52;c;cm0gLXJm\x1b\\\x1b[2J\x1b[1;1H\x9b2J\x9d0;x\x9c\x08\x7f\r\x00\x85"
    "\u202egpj.exe\u202c\u2066x\u2069\u200f\u061c\u200b\u2060\ufeff\xad\u2028\u2029\U000e0041\ufe0f\ufe0e\u180e\u3164"
)
"""Title, clipboard, screen, cursor, C1 forms, overstriking, overrides, isolates, marks, zero widths, tags."""
STORABLE = EVIL.replace("\x00", "")
"""As far as a database or a line of a magic can hold it."""


def assert_plain(output, where):
    """Independent of the module under test: no control but line feed and tab, nothing invisible."""
    bad = [
        f"{place}: U+{ord(letter):04X} in {output[max(0, place - 40) : place + 10]!r}"
        for place, letter in enumerate(output)
        if letter not in "\n\t"
        and (unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"} or letter == "\u3164")
    ]
    assert not bad, f"{where}: {bad[:3]}"


# --- the function ----------------------------------------------------------------------------------------

texts = st.text(st.characters(codec=None)) | st.lists(
    st.sampled_from([*EVIL, "a", " ", "\n", "\t", "👩", "🏽", "\u200d", "\u200c", "\ufe0f", "ش", "क", "्", "🏴", "❤", "\ud83d", "\ude00"])
).map("".join)  # fmt: skip


@given(texts)
def test_no_control_character_is_left_and_what_was_converted_stays(text):
    plain = printable(text)
    for letter in plain:
        assert letter in "\n\t" or unicodedata.category(letter) not in {"Cc", "Cs", "Zl", "Zp"}
        assert (
            letter in "\u200c\u200d"
            or unicodedata.category(letter) != "Cf"
            or 0x600 <= ord(letter) < 0x900
            or ord(letter) > 0xFFFF
        )
    assert printable(plain) == plain
    assert hides(text) == (plain != text)
    plain.encode()


@given(
    st.recursive(
        texts | st.integers() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    )
)
def test_json_is_plain_and_means_the_same(value):
    written = printable_json(value)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", written)
    assert json.loads(written) == json.loads(json.dumps(value))


@pytest.mark.parametrize(
    "text",
    [
        "a café\n\twith ☕", "👩‍❤️‍👨 👨‍👩‍👧‍👦 🏳️‍🌈 🏴‍☠️ ❤️‍🔥 👩🏽‍🚀 1️⃣ ☺️ ☺︎", "🏴󠁧󠁢󠁥󠁮󠁧󠁿 🏴󠁧󠁢󠁷󠁬󠁳󠁿", "שלום עולם, 12%!", "مرحبا بالعالم (1)", "می‌خواهم کتاب‌ها",
        "क्‍ष श्री‌मान", "ന്‍ ക്‌ഷ", "ශ්‍රී", "日本語 葛󠄀", "Việt Nam e\u0301", "\u0600123 \u06dd", "ไทย ខ្មែរ", "𝔘𝔫𝔦 ∑∫", "\u00a0non-breaking", "",
    ],
)  # fmt: skip
def test_legitimate_text_is_kept(text):
    assert printable(text) == text
    assert html_module.unescape(html_text(text)) == text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a\x1b[2Jb", "a\\x1b[2Jb"), ("a\r\nb\rc", "a\nb\\x0dc"), ("\x9b2J", "\\x9b2J"), ("photo\u202egpj.exe", "photo\\u202egpj.exe"),
        ("a\u200bb", "a\\u200bb"), ("\ud83d", "\\ud83d"), ("a\u200db", "a\\u200db"), ("\u200d👩", "\\u200d👩"), ("👩\u200d", "👩\\u200d"),
        ("x\U000e0041\U000e0042", "x\\U000e0041\\U000e0042"), ("a\ufe0f\ufe0f", "a\ufe0f\\ufe0f"), ("a\U000e0100", "a\\U000e0100"),
        ("שלום\u200f!", "שלום\\u200f!"), ("pay\u3164pal", "pay\\u3164pal"), ("ش\u200c\u200c", "ش\\u200c\\u200c"), ("\u2028", "\\u2028"),
    ],
)  # fmt: skip
def test_what_controls_or_hides_is_shown_as_an_escape(text, plain):
    assert printable(text) == plain
    assert html_text(text) == html_module.escape(plain)


def test_a_bundle_keeps_everything_but_its_text():
    bundle = {"text/html": "<b>\u202e</b>", "image/png": "eA==", "text/plain": EVIL}
    assert printable_bundle(bundle) == {**bundle, "text/plain": printable(EVIL)}
    assert printable_bundle({"image/png": "eA=="}) == {"image/png": "eA=="}


# --- errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", errors.__all__)
def test_an_error_is_plain_wherever_it_is_printed(name):
    kind = getattr(errors, name)
    error = kind(EVIL, EVIL, EVIL) if kind is errors.ArgumentInvalid else kind(EVIL)
    if isinstance(error, errors.TaskError):
        error = kind(
            EVIL,
            task_uuid=EVIL,
            code=EVIL,
            parameter=EVIL,
            documentation=EVIL,
            allowed_values=[EVIL],
            raw={"message": EVIL},
        )
    if hasattr(error, "corrected"):
        error.corrected = EVIL
    error.add_note(EVIL)
    for written in (
        str(error),
        repr(error),
        f"{error}",
        *error._render_traceback_(),
        *traceback.format_exception(error),
    ):
        assert_plain(written, name)
    assert EVIL in error.args[0]  # nothing is lost


def test_an_uncaught_error_of_a_script_is_plain_on_stderr():
    code = "from runware_nb.errors import TaskFailed; raise TaskFailed('\\x1b[2J\\x9d\\u202e', task_uuid='x')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert_plain(done.stderr, "stderr")
    assert "\\x1b[2J" in done.stderr


def test_stop_and_the_log_of_a_program_are_plain(caplog):
    from runware_nb.loop import WaitInterrupted
    from runware_nb.providers.runware.client import Client

    assert_plain("".join(WaitInterrupted(EVIL)._render_traceback_()), "Stop")
    client = Client("k" * 32)
    client._on_notice(EVIL)
    assert_plain(caplog.records[0].getMessage(), "logging")


# --- every command ---------------------------------------------------------------------------------------


def poisoned(value):
    """Return a JSON value with evil text in each place that holds words."""
    if isinstance(value, dict):
        kept = {"taskUUID", "taskType", "model", "outputFormat", "imageUUID", "imageURL", "task_uuid"}
        return {key: inner if key in kept else poisoned(inner) for key, inner in value.items()} | {
            f"x{STORABLE}": STORABLE
        }
    if isinstance(value, list):
        return [poisoned(inner) for inner in value]
    return f"{value} {STORABLE}" if isinstance(value, str) else value


_IDENTITIES = re.compile(r"uuid|hash|sha256|_utc$|^state$|^medium_state$|^id$|^file$|^media_type$|^task_type$|^provider$|^choice$|^pair$|^how$|^day$|^dimension$|^sender$|^cost_unit$")  # fmt: skip


def poison(path):
    """Write evil text into every column of a log that holds words; new tables and columns, too."""
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as database, database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
                  if not name.startswith(("sqlite_", "runs_text", "alembic"))]  # fmt: skip
        changed = 0
        for table in tables:
            for _, column, kind, *_ in database.execute(f"PRAGMA table_info({table})").fetchall():
                if _IDENTITIES.search(column) or not re.match("VARCHAR|TEXT", kind):
                    continue
                for row, value in database.execute(f"SELECT rowid, {column} FROM {table}").fetchall():
                    try:
                        written = json.dumps(poisoned(json.loads(value))) if value else STORABLE
                    except ValueError:
                        written = f"{value} {STORABLE}"
                    if column == "prompt_origin":
                        pairs = {STORABLE: STORABLE}
                        written = json.dumps({"values": pairs, "saved": pairs, "wildcards": [[STORABLE, STORABLE]]})
                    elif value is None and column in {"error", "inputs", "replay_of", "note", "tags"}:
                        if column != "note":
                            continue
                        written = STORABLE
                    with contextlib.suppress(sqlite3.IntegrityError):
                        changed += database.execute(
                            f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (written, row)
                        ).rowcount
        assert changed > 20


class FakeHandle:
    def __init__(self, shown):
        self.shown = shown

    def update(self, bundle, raw=False):
        self.shown.append(bundle)


class FakeShell:
    def __init__(self):
        self.user_ns = {}
        self.kernel = None

    def set_next_input(self, text):
        pass


@pytest.fixture
def session(sandbox, make_session, front_end, monkeypatch, tmp_path):
    """A session whose log, aliases, files and service are full of evil text."""
    import runware_nb.session.current as sessions

    made = make_session(sandbox, front_end=front_end)
    monkeypatch.setattr(sessions, "_session", made)
    wide = {**TASK, "outputFormat": "PNG", "positivePrompt": f"a ship {STORABLE}", "negativePrompt": STORABLE}
    runs = [made.submit({**wide, "seed": seed}, tags=(f"tag {STORABLE}",), note=STORABLE) for seed in (1, 2)]
    outcomes = [job.result(30) for job in runs]
    sandbox.faults({"kind": "fail", "code": f"x{STORABLE}", "message": f"the service says {STORABLE}"})
    failed = made.submit({**wide, "seed": 3})
    with pytest.raises(RunwareNBError, match="the service says"):
        failed.result(30)
    made.images = [outcome.results[0].path for outcome in outcomes]
    made.evil_file = tmp_path / f"photo {STORABLE.replace('/', '')}.png"
    made.evil_file.write_bytes(made.images[0].read_bytes())
    made.evil_runs = [job.task_uuid for job in runs]
    (made.settings.home / "aliases.json").write_text(
        json.dumps({f"evil{STORABLE}": {"air": f"civitai:1@2{STORABLE}", "asked": STORABLE, "given_at_utc": STORABLE}})
    )
    Path("prompts").mkdir()
    Path("prompts/evil.txt").write_text(f"{STORABLE} {{place}}")
    poison(made.settings.home / "runs.sqlite")
    return made


def lines_of(session, tmp_path):
    """Return lines of each command, which together show everything that it can show."""
    one, two = session.evil_runs
    notebook = tmp_path / "heavy.ipynb"
    cell = {"cell_type": "code", "id": "a", "execution_count": 1, "metadata": {}, "source": [f"x{STORABLE}"],
            "outputs": [{"x": "y" * 5000}]}  # fmt: skip
    notebook.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    raw = tmp_path / "tasks.json"
    raw.write_text(json.dumps([{"taskType": f"no{STORABLE}", "taskUUID": one}]))
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_text(f"{STORABLE}\n" + json.dumps({"task_uuid": STORABLE}) + "\n")
    runs = str(tmp_path / "runs.jsonl")
    return {
        "connect": ["--transport rest"], "login": [], "logout": [], "status": [""], "sandbox": ["--stop"],
        "models": ["flux --bundled", f"{STORABLE} --bundled", f"ship{STORABLE}"], "model-search": [f"{STORABLE}"],
        "model": ["flux", STORABLE], "alias": ["", STORABLE, f"{STORABLE} flux", f"--remove {STORABLE}"],
        "prompt": ["", "show evil", f"show {STORABLE}", f"save {STORABLE} x", f"save other a{STORABLE}", "rename evil evil2",
                   "delete evil2", "restore evil2", f"rename evil2 {STORABLE}", STORABLE],
        **{operation.name: lines_of_operation(operation) for operation in OPERATIONS if operation.function},
        "text-to-image": [f"a{STORABLE} -s 256x256 --seed 9 --tag x{STORABLE}", f"a --dry-run -s 256x256 --negative x{STORABLE}",
                          f"a --set scheduler=x{STORABLE}", f"a -m {STORABLE}", f"a --{STORABLE}", f"a --from {STORABLE}"],
        "upload": ["{image}", "{evil_file}", STORABLE],
        "log": ["", f"--tag x{STORABLE}", f"--sort {STORABLE}", "--limit 1", f"--search x{STORABLE}", f"--since {STORABLE}"],
        "show": [one, STORABLE], "code": [one], "diff": [f"{one} {two}", f"{one} {STORABLE}"], "compare": [f"{one} {two}", STORABLE],
        "history": [one, STORABLE], "rate": [f"{one}#1 5", f"{STORABLE} 5"],
        "vote": [f"{one}#1 {two}#1 left --ballot x{STORABLE} --voter {STORABLE}", f"{STORABLE} {two} left"],
        "ranking": ["", STORABLE, f"--by {STORABLE}"], "cost": ["", *(f"--by {by}" for by in ("cell", "day", "model", "tag", "notebook"))],
        "budget": ["", f"5 --notebook {STORABLE}", STORABLE], "methods": ["", one], "pending": ["", "--cancel"], "resume": ["", STORABLE],
        "discard": [STORABLE, one], "replay": [STORABLE, f"{one} --yes", "{evil_file}"], "verify": [f"{one} --yes", STORABLE],
        "bundle": ["make {out}.zip", "check {out}.zip", f"make {{out}} --add {STORABLE}", f"check {STORABLE}"],
        "export": [runs, f"/nowhere/{STORABLE}"], "import": [str(damaged), runs, STORABLE],
        "gallery": ["{out}.html", f"{{out}}2.html --title {STORABLE}", ""], "read": ["{image}", "{evil_file}", STORABLE],
        "form": ["", STORABLE], "asyncio": [STORABLE], "config": ["", STORABLE, f"transport {STORABLE}", f"home {STORABLE}"],
        "size": [str(notebook), STORABLE], "poll": [one, STORABLE],
        "trace": ["on", "show", f"save {tmp_path}/x.jsonl", f"save /nowhere/{STORABLE}", "off"], "raw": [str(raw), STORABLE],
        "webhook": ["", "--stop", f"--port {STORABLE}", f"--port 0 --host x{STORABLE}", f"--port 0 --secret-env {STORABLE}",
                    f"--port 0 --public-url {STORABLE}"],
        "forget": [STORABLE, f"{two} --yes"], "prune": ["--yes"],
    }  # fmt: skip


def lines_of_operation(operation):
    """Return lines that send evil text where an operation takes text, and lines that are refused."""
    start = "{image}" if operation.words else f"a{STORABLE}"
    end = "--dry-run" if operation.long_running else f"--yes --tag x{STORABLE} --note {STORABLE}"
    prompt = f"--prompt x{STORABLE}" if operation.words and operation.body else ""
    lines = [
        f"{start} {end}",
        f"{start} -m {STORABLE}",
        f"{start} --{STORABLE}",
        STORABLE,
        f"{start} --set x{STORABLE}",
    ]
    return [*lines, f"{start} {prompt} --dry-run", f"{start} --set settings.x{STORABLE}=1 --dry-run"]


def words_of(line, session, tmp_path):
    return [
        word.format(out=tmp_path / "out", image=session.images[0], evil_file=session.evil_file)
        if word.startswith("{") else word
        for word in re.findall(r"[^ ]+", line)
    ]  # fmt: skip


def test_every_command_is_tried(session, tmp_path):
    """A new command needs a line here, which makes sure that what it prints is looked at."""
    assert set(lines_of(session, tmp_path)) == set(COMMANDS)


@pytest.mark.parametrize("reader", ["person", "program"])
def test_no_command_of_the_terminal_prints_a_control_character(session, tmp_path, capsys, monkeypatch, reader):
    monkeypatch.setattr(cli, "_is_terminal", lambda stream: reader == "person" and stream is sys.stdout)
    printed = 0
    for name, lines in lines_of(session, tmp_path).items():
        for line in lines:
            capsys.readouterr()
            words = [name, *words_of(line, session, tmp_path)]
            if words != ["sandbox"] and name != "sandbox":
                cli.main(words)
            out, err = capsys.readouterr()
            assert_plain(out, f"stdout of {name} {line[:20]!r}")
            assert_plain(err, f"stderr of {name} {line[:20]!r}")
            printed += "\\x1b" in out + err or "\\u001b" in out + err
            if reader == "program" and out.strip() and name != "login":
                json.loads(out)
    assert printed > 40  # the text was there, as escapes


def test_no_command_of_a_notebook_shows_a_control_character(session, tmp_path, monkeypatch):
    import IPython.display

    from runware_nb.notebook import display
    from runware_nb.notebook.magic_runner import Runner

    shown = []

    def record(bundle, raw=False, display_id=None, **_):
        shown.append(bundle if raw else {"text/plain": repr(bundle)})
        return FakeHandle(shown)

    monkeypatch.setattr(display, "display", record)
    monkeypatch.setattr(IPython.display, "display", record)
    shell = FakeShell()
    seen = ""
    for name, lines in lines_of(session, tmp_path).items():
        for line in lines:
            shown.clear()
            words = words_of(line, session, tmp_path)
            try:
                Runner(shell, {}).run_line(" ".join([name, *(shlex.quote(word) for word in words)]))
            except (RunwareNBError, AttributeError) as error:
                if isinstance(error, AttributeError):
                    assert name == "form"
                    continue
                for written in (str(error), *error._render_traceback_()):
                    assert_plain(written, f"error of {name} {line[:20]!r}")
                    seen += written
            for bundle in shown:
                assert_plain(bundle.get("text/plain", ""), f"text/plain of {name} {line[:20]!r}")
                assert_plain(
                    html_module.unescape(bundle.get("text/html", "")).replace("\u00a0", ""),
                    f"text/html of {name} {line[:20]!r}",
                )
                seen += bundle.get("text/plain", "")
            last = shell.user_ns.get("_rw")
            if last is not None:
                assert_plain(repr(last), f"repr after {name}")
    assert seen.count("\\x1b]52") > 40


def test_commands_as_functions_and_everything_with_a_repr_are_plain(session, tmp_path):
    import runware_nb as rw

    for line in ("log", f"show {session.evil_runs[0]}", "history " + session.evil_runs[0], "cost", "alias", "methods"):
        name, *words = line.split()
        said = call_command(name, *words)
        for written in (str(said), said.text, *said.notes, said._repr_mimebundle_()["text/plain"], repr(said)):
            assert_plain(written, line)
    runs = list(rw.log)
    assert STORABLE in runs[0].prompt  # what is stored is what came
    for thing in (*runs, rw.log, *session.jobs, *runs[0].results, rw.read(session.evil_file)):
        assert_plain(repr(thing), type(thing).__name__)
        bundle = getattr(thing, "_repr_mimebundle_", dict)()
        assert_plain(bundle.get("text/plain", ""), type(thing).__name__)
    for job in session.jobs:
        with contextlib.suppress(RunwareNBError):
            for thing in (job.result(10), *job.result(10).results):
                assert_plain(repr(thing) + thing._repr_mimebundle_()["text/plain"], type(thing).__name__)


def test_completion_offers_nothing_that_a_terminal_cannot_show(session):
    from runware_nb.notebook.completion_values import after_command, after_option

    offered = [*after_option("--tag", session, {}), *after_option("--ballot", session, {}), *after_command("alias", session, {}),
               *after_option("-m", session, {})]  # fmt: skip
    assert_plain("".join(offered), "completion")
    assert offered


def test_progress_and_questions_are_plain(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    monkeypatch.setattr(cli, "_is_terminal", lambda stream: True)
    terminal = cli.TerminalFrontEnd()
    assert terminal.confirm(EVIL)
    terminal.show_progress(1, 2, EVIL)
    out, err = capsys.readouterr()
    assert err.count("\r") == 1  # our own, at the beginning of the line
    assert_plain(out + err.replace("\r", ""), "stderr")


def test_the_traceback_of_an_unexpected_error_is_plain(session, capsys, monkeypatch):
    from runware_nb.commands import log

    def broken(*_):
        raise ValueError(EVIL)

    monkeypatch.setattr(log, "run", broken)
    assert cli.main(["log"]) == 1
    out, err = capsys.readouterr()
    assert_plain(out + err, "stderr")
    assert "Traceback" in err
    assert "ValueError: \\x1b]0;owned" in err


def test_letters_that_an_encoding_does_not_have_are_escaped(sandbox):
    import os

    environment = {**os.environ, **sandbox.environment, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "runware_nb", "show", "größe\u202e"], capture_output=True, env=environment, check=False
    )
    assert done.returncode in {1, 2}
    assert b"gr\\xf6\\xdfe\\u202e" in done.stderr
    assert b"Traceback" not in done.stderr


# --- nothing goes past it --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nodes():
    """Every call and every `__repr__` of the package, outside of the sandbox, which is a program of its own."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        source = path.read_text()
        if not name.startswith("sandbox/") and re.search(r"\b(print|input|display)\(|__repr__", source):
            wanted = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call | ast.FunctionDef)]
            found += [(name, node) for node in wanted]
    return found


def called(node):
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def test_only_a_few_functions_print_and_each_makes_its_text_plain(nodes):
    """A new `print`, `input` or `display` elsewhere fails here: use `_say`, `show_bundle` and their like."""
    found = [
        f"{name}: {ast.unparse(node)}" for name, node in nodes
        if isinstance(node, ast.Call) and called(node) in {"print", "input", "display"}
        and "printable" not in ast.unparse(node)
    ]  # fmt: skip
    assert found == [
        "cli.py: print(text, end=end, file=sys.stderr, flush=True)",  # two lines below `printable`
        "notebook/front_end.py: display(VotingBooth(current_session(), ballot))",  # objects of ours
        "notebook/front_end.py: display(form(what, **values))",
    ]


def test_every_repr_of_ours_is_plain(nodes):
    # The repr of a key, a hidden text or a group of functions is constant, those of a clock and of a result that is
    # awaited have numbers, and an
    # expression becomes code.
    allowed = {"settings/secrets.py", "core/redaction.py", "notebook/forms/media_words.py", "net/clock.py",
               "providers/runkey/api.py", "providers/useapi/api.py", "engine/chained_job.py"}  # fmt: skip
    wrong = {
        name for name, node in nodes
        if isinstance(node, ast.FunctionDef) and node.name == "__repr__" and "printable" not in ast.unparse(node)
    }  # fmt: skip
    assert wrong <= allowed | {"reprs.py", "session/api.py"}
