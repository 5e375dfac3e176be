"""Folders, settings and journals that nobody expects: one sentence each, and no sandbox that does not start."""

import json
import os
import sqlite3
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runware_nb.engine.display import relative_link
from runware_nb.errors import ConfigError, RunLogError, SchemaTooNew
from runware_nb.runlog import RunLog
from runware_nb.sandbox.core.clock import Clock
from runware_nb.sandbox.core.service import Options
from runware_nb.sandbox.runware.service import RunwareService
from runware_nb.settings import load_settings

REPOSITORY = str(Path(__file__).parents[2])
posix = pytest.mark.skipif(os.name != "posix", reason="file names are text on this system; run on Linux or macOS")


def command(*words, cwd, sandbox=None, before="", **environment):
    """Run a command as a terminal does whose encoding is strict; return its status, output and sentences."""
    values = {**os.environ, "PYTHONPATH": REPOSITORY, "PYTHONIOENCODING": "utf-8:strict", **environment}
    if sandbox is not None:
        values |= {**sandbox.environment, "RUNWARE_NB_SCHEMAS_URL": "off"}
    program = f"import os, sys; {before or 'pass'}; from runware_nb.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", program, *words], cwd=cwd, env=values, capture_output=True, timeout=60)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, done.stdout.decode(), done.stderr.decode()


# --- folders ------------------------------------------------------------------------------------------


@posix
def test_a_folder_whose_name_is_not_utf_8_works(sandbox, tmp_path):
    """An image is generated, recorded and listed in such a folder, and its path is shown with escapes."""
    folder = os.fsencode(tmp_path) + b"/w\xff\xfeork"
    os.mkdir(folder)
    words = ["text-to-image", "a ship", "--seed", "1", "--size", "128x128"]
    status, output, _ = command(*words, cwd=folder, sandbox=sandbox)
    assert status == 0
    (file,) = json.loads(output)["files"]
    assert Path(file).is_file()  # the escapes of JSON name the same file
    status, output, _ = command("status", cwd=folder, sandbox=sandbox)
    assert (status, "w\\udcff\\udcfeork" in output) == (0, True)


@posix
def test_a_link_to_a_file_whose_name_is_not_utf_8(tmp_path, monkeypatch):
    assert relative_link(Path(os.fsdecode(b"a\xff/b.png"))) == "a%FF/b.png"


@pytest.mark.parametrize("home", ["~nouser", "~nouser/x"])
def test_a_home_of_nobody_is_one_sentence(tmp_path, home):
    status, output, sentences = command("log", cwd=tmp_path, RUNWARE_NB_HOME=home)
    assert (status, output) == (2, "")
    assert sentences.count("\n") == 1
    assert home in sentences
    assert "RUNWARE_NB_HOME" in sentences


def test_a_home_with_a_nul_is_one_sentence(tmp_path):
    (tmp_path / "runware_nb").mkdir()
    (tmp_path / "runware_nb" / "config.toml").write_text('[profiles.odd]\nhome = "a\\u0000b"\n')
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "RUNWARE_NB_PROFILE": "odd"}
    with pytest.raises(ConfigError, match="NUL"):
        load_settings(environment, cwd=tmp_path)


@posix
def test_a_deleted_working_directory_is_one_sentence(sandbox, tmp_path):
    """Nothing is sent where the log cannot be; with a home of its own, everything works."""
    (tmp_path / "gone").mkdir()
    words = ["text-to-image", "a ship", "--seed", "1", "--size", "128x128"]
    leave = f"os.rmdir({str(tmp_path / 'gone')!r})"
    status, output, sentences = command(*words, cwd=tmp_path / "gone", sandbox=sandbox, before=leave)
    assert (status, output, sentences.count("\n")) == (2, "", 1)
    assert "working directory was deleted" in sentences
    assert sandbox.charges() == []
    (tmp_path / "gone").mkdir()
    status, output, _ = command(
        *words, cwd=tmp_path / "gone", sandbox=sandbox, before=leave, RUNWARE_NB_HOME=str(tmp_path / ".runware")
    )
    assert (status, len(json.loads(output)["files"])) == (0, 1)


# --- versions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "error", "words"),
    [
        ("9999", SchemaTooNew, "upgrade runware-nb"), ("0000", RunLogError, "not a run log"),
        ("a1b2c3", RunLogError, "not a run log"), ("", RunLogError, "not a run log"), ("٣٣٣٣", RunLogError, "damaged"),
        ("\n", RunLogError, "damaged"), (None, RunLogError, "damaged"),
    ],
)  # fmt: skip
def test_a_version_that_does_not_exist_is_one_sentence(tmp_path, log_url, version, error, words):
    """The log is neither migrated nor changed, and the sentence states what to do."""
    RunLog(tmp_path, log_url).close()
    engine = sa.create_engine(log_url or f"sqlite:///{tmp_path / 'runs.sqlite'}")
    with engine.begin() as connection:
        if version is None:
            connection.execute(sa.text("DELETE FROM alembic_version"))
        else:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = :v"), {"v": version})
    with pytest.raises(error, match=words) as caught:
        RunLog(tmp_path, log_url)
    assert "\n" not in str(caught.value)
    with engine.connect() as connection:
        kept = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars().all()
    assert kept == ([] if version is None else [version])
    engine.dispose()


@pytest.mark.parametrize("value", ["x'ff00'", "17", "NULL"])
def test_a_version_of_another_type_is_one_sentence(tmp_path, value):
    RunLog(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "runs.sqlite")
    with connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE name = 'alembic_version'"
        )
    connection.close()
    connection = sqlite3.connect(tmp_path / "runs.sqlite")
    with connection:
        connection.execute(f"UPDATE alembic_version SET version_num = {value}")
    connection.close()
    with pytest.raises(RunLogError, match="damaged"):
        RunLog(tmp_path)


# --- the sandbox's journal ----------------------------------------------------------------------------

ACCEPTED = {
    "op": "accept", "air": "runware:101@1", "at": 1.0, "muted": False, "media_fault": "",
    "task": {"taskType": "imageInference", "taskUUID": "8e4b0f6e-0000-4000-8000-000000000001",
             "model": "runware:101@1", "positivePrompt": "a ship", "width": 128, "height": 128},
    "items": [["11111111-0000-4000-8000-000000000001", 7, 1.0, None, False]],
}  # fmt: skip


def accepted(number):
    event = json.loads(json.dumps(ACCEPTED))
    event["task"]["taskUUID"] = f"8e4b0f6e-0000-4000-8000-{number:012}"
    return json.dumps(event).encode() + b"\n"


def start(folder, capsys):
    service = RunwareService(Options(api_key="k", clock=Clock(1.0), state_dir=folder))
    return [charge["task_uuid"][-1] for charge in service.ledger()["charges"]], capsys.readouterr().err


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(
    st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")),
    st.recursive(st.none() | st.integers() | st.floats() | st.text(max_size=4),
                 lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
                 ).map(lambda value: json.dumps(value).encode()),
    st.sampled_from(sorted(ACCEPTED)).flatmap(lambda name: st.sampled_from([None, [], {}, "x", 1e999, [[1]], -1]).map(
        lambda value: json.dumps({**ACCEPTED, name: value}).encode())),
))  # fmt: skip
@example(accepted(9)[:-20])
@example(b"\x00" * 500)
@example(b"[" * 100_000)
@example(json.dumps({"op": "upload", "uuid": "u", "name": "../../etc/passwd"}).encode())
@example(json.dumps({"op": "upload", "uuid": [], "name": 1}).encode())
def test_a_damaged_line_forgets_no_other_charge(tmp_path, capsys, line):
    """Whatever one line contains, the sandbox starts, and every charge that can be read is in the ledger."""
    folder = tmp_path / "state"
    folder.mkdir(exist_ok=True)
    for path in folder.glob("journal*"):
        path.unlink()
    (folder / "journal.jsonl").write_bytes(accepted(1) + line + b"\n" + accepted(2))
    charged, sentences = start(folder, capsys)
    assert {"1", "2"} <= set(charged)
    kept = list(folder.glob("journal.damaged-*"))
    if kept:
        assert kept[0].read_bytes() == accepted(1) + line + b"\n" + accepted(2)
        assert kept[0].name in sentences
        assert sentences.count("\n") == 1
        assert start(folder, capsys) == (charged, "")  # the second start finds a journal that is sound


@pytest.mark.parametrize("damage", ["directory", "uploads_is_a_file", "file_for_folder"])
def test_a_state_folder_that_cannot_be_used_is_one_sentence(tmp_path, capsys, damage):
    """The service starts, states what is wrong, and forgets or begins again."""
    folder = tmp_path / "state"
    if damage == "file_for_folder":
        folder.write_text("x")
    else:
        folder.mkdir()
        if damage == "directory":
            (folder / "journal.jsonl").mkdir()
        else:
            (folder / "uploads").write_text("x")
    charged, sentences = start(folder, capsys)
    assert charged == []
    assert (str(folder) in sentences, sentences.count("\n")) == (True, 1)
    if damage == "directory":
        assert (len(list(folder.glob("journal.damaged-*"))), start(folder, capsys)) == (1, ([], ""))


def test_a_sandbox_with_a_damaged_journal_starts_and_reports_it(start_sandbox, tmp_path, capfd):
    """A real process: its first line is printed, its stderr states what was damaged and where it is kept."""
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "journal.jsonl").write_bytes(accepted(1) + accepted(2)[:50])
    sandbox = start_sandbox("--state-dir", str(folder))
    assert len(sandbox.charges()) == 1
    body = json.dumps([{**ACCEPTED["task"], "taskUUID": "8e4b0f6e-0000-4000-8000-000000000005"}]).encode()
    headers = {"Authorization": f"Bearer {sandbox.api_key}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(sandbox.rest_url, body, headers)) as response:
        assert response.status == 200
    sandbox.close()
    sentences = capfd.readouterr().err
    assert str(folder) in sentences
    assert "Traceback" not in sentences
    assert len(list(folder.glob("journal.damaged-*"))) == 1
    assert len(start_sandbox("--state-dir", str(folder)).charges()) == 2
