"""RunKey.ai from a terminal: JSON on stdout, sentences on stderr, exit codes."""

import json
import os
import subprocess
import sys

import pytest

from tests.runkey_sandbox import RunKeyProcess


@pytest.fixture(scope="module")
def runkey():
    process = RunKeyProcess()
    yield process
    process.close()


@pytest.fixture
def terminal(runkey, tmp_path):
    def run(*words):
        done = subprocess.run(
            [sys.executable, "-m", "runware_nb", *words], capture_output=True, text=True, check=False, cwd=tmp_path,
            timeout=60, stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "RUNWARE_NB_HOME": str(tmp_path / "home"),
                 "RUNKEY_API_KEY": runkey.api_key, "RUNWARE_NB_RUNKEY_URL": runkey.url},
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    return run


def test_run_account_task_and_log(terminal, runkey, tmp_path):
    (tmp_path / "in.json").write_text('{"prompt": "a ship", "width": 64, "height": 64}')
    status, out, said = terminal(
        "runkey", "run", "tpl_image", "--input-file", "in.json", "--seed", "7", "--tag", "t", "--yes", "--json"
    )
    assert status == 0, said
    answer = json.loads(out)
    assert answer["data"][0]["imageURL"].startswith(runkey.url.rpartition("/")[0])
    assert len(answer["files"]) == 1
    status, out, said = terminal("log", "--service", "runkey-sandbox", "--json")
    (row,) = json.loads(out)
    assert (row["tags"], row["cost"], row["cost_unit"]) == (["t"], 15.0, "credits")
    status, out, said = terminal("runkey", "run", "tpl_image", "--input-file", "in.json", "--seed", "7")
    assert status == 0, "a recorded answer needs no agreement"
    assert "recorded: run" in said
    status, out, _ = terminal("runkey", "account", "--json")
    assert json.loads(out)["unit"] == "credits"
    task_id = runkey.start("tpl_inline", {"a": 1})
    status, out, said = terminal("runkey", "task", task_id)
    assert (status, json.loads(out)["task"]["task_id"]) == (0, task_id)
    assert f"`runware-nb runkey task {task_id} --collect`" in said
    status, out, said = terminal("runkey", "task", task_id, "--collect")
    assert (status, json.loads(out)["data"][0]["structuredData"]["input"]) == (0, {"a": 1})


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["runkey"], 0, ""),
        (["runkey", "run", "tpl_image"], 2, "Nothing was sent"),
        (["runkey", "run", "tpl_image", "-b"], 2, "unknown option -b"),
        (["runkey", "run", "tpl_none", "--yes"], 1, "the template does not exist"),
        (["runkey", "task", "task_none"], 1, "does not exist"),
        (["runkey", "form", "tpl_image"], 2, "needs a notebook"),
        (["runkey", "run", "tpl_image", "--input", "k=rk_live_abcdefgh1234", "--yes"], 2, "there is a key"),
    ],
)
def test_exit_codes_and_sentences(terminal, words, code, sentence):
    status, _, said = terminal(*words)
    assert (status, sentence in said) == (code, True), said
    assert "rk_live" not in said
    assert "Traceback" not in said
