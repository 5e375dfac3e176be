"""RunKey.ai in a real shell: cells, commands, the log's commands on its runs, completion and forms."""

import io
import json
import time

import pytest

import runware_nb as rw
from runware_nb.errors import (
    BudgetExceeded,
    MagicUsageError,
    NotConfirmed,
    ProviderFailed,
    TaskFailed,
    TaskInvalid,
    TaskNotFound,
)
from runware_nb.notebook.completion import complete_runware
from runware_nb.providers.runware.package import PACKAGE as RUNWARE
from runware_nb.session import Session, current, current_session
from runware_nb.settings import load_settings
from tests.notebook.conftest import open_shell
from tests.runkey_sandbox import SCALE, RunKeyProcess, runkey_package

SMALL = {"prompt": "a ship", "seed": 7, "width": 64, "height": 64}


@pytest.fixture(scope="module")
def _process():
    process = RunKeyProcess("--time-scale", str(SCALE))
    yield process
    process.close()


@pytest.fixture
def runkey(_process):
    _process.clear()
    return _process


@pytest.fixture
def shell(runkey, monkeypatch):
    with open_shell({**runkey.environment, "RUNKEY_API_KEY": runkey.api_key}, monkeypatch) as opened:
        settings = load_settings().with_values(runkey_url=runkey.url)
        current._session = Session(settings, packages=[RUNWARE, runkey_package()])
        yield opened


def cell(shell, template="tpl_image", body=None, line="", **names):
    shell.names.update(names)
    text = body if isinstance(body, str) else json.dumps(SMALL if body is None else body)
    shell.run(f"%%runkey {template} --yes -q -o made {line}\n{text}")
    return shell.names["made"]


def shown(capsys, shell, line):
    capsys.readouterr()
    shell.run(line)
    return capsys.readouterr().out


def sent(runkey):
    """Return the inputs of all tasks, in the order in which they were sent."""
    found = []
    for task in runkey.read("tasks")["tasks"]:
        while True:  # until the limit of requests allows it
            status, body, _ = runkey.task(task["task_id"])
            if status == 200:
                break
            assert body["code"] == 40003
            time.sleep(0.05)
        found.append(body["data"]["input"])
    return found


# --- cells ----------------------------------------------------------------------------------------


def test_a_cell_runs_a_template_and_binds_its_outcome(shell, runkey, capsys):
    out = shown(capsys, shell, f"%%runkey tpl_image --yes --tag study -o ship\n{json.dumps(SMALL)}")
    ship = shell.names["ship"]
    assert "1 result · 15 credits" in out
    assert ship[0].image.size == (64, 64)
    assert shell.names["_rw"] is ship
    (run,) = rw.log.recent(1)
    assert (run.provider, run.model, run.tags, run.prompt) == ("runkey-sandbox", "tpl_image", ("study",), "a ship")


def test_toml_and_an_empty_body(shell, runkey):
    cell(shell, "tpl_json", 'prompt = "a ship"\nn = 5\n[deep]\nx = [1, 2]')
    cell(shell, "tpl_json", "")
    assert sent(runkey) == [{"prompt": "a ship", "n": 5, "deep": {"x": [1, 2]}}, {}]


def test_names_are_filled_in_values_and_a_result_is_sent_as_its_url(shell, runkey):
    ship = cell(shell)
    cell(shell, "tpl_json", {"prompt": "a {color} {{x}}", "n": "{n}", "image_url": "{ship}", "{n}": "{row.x}"},
         color='"red"', n=3, ship=ship, row=type("Row", (), {"x": 1.5}))  # fmt: skip
    assert sent(runkey)[1] == {"prompt": 'a "red" {x}', "n": 3, "{n}": 1.5, "image_url": ship[0].url}
    run = rw.log.recent(1)[0]
    assert run.prompt_template == "a {color} {{x}}"
    assert run.parent_uuid == ship.task_uuid


def test_numbers_of_numpy_and_pandas_are_numbers(shell, runkey):
    import numpy as np
    import pandas as pd

    cell(shell, "tpl_json", {"a": "{a}", "b": "{b}", "day": "{day}"},
         a=np.int64(4), b=np.float32(0.5), day=pd.Timestamp("2026-11-27"))  # fmt: skip
    assert sent(runkey) == [{"a": 4, "b": 0.5, "day": "2026-11-27T00:00:00"}]


@pytest.mark.parametrize(
    ("cell_text", "words"),
    [
        ("%%runkey\n{}", "no template"),
        ("%%runkey account\n{}", "expects a template id"),
        ("%%runkey run tpl_x\n{}", "expects a template id"),
        ("%%runkey tpl_image\n{broken", "line 1, column 2"),
        ("%%runkey tpl_image\n[1]", "an array"),
        ("%%runkey tpl_image tpl_other\n{}", "too many"),
        ("%%runkey tpl_image --inptu a=1\n{}", "did you mean --input"),
        ("%%runkey tpl_image --input a\n{}", "KEY=VALUE"),
        ('%%runkey tpl_image --seed 1\n{"seed": 2}', "two seeds"),
        ("%%runkey tpl_image --seed x\n{}", "--seed"),
        ("%%runkey tpl_image -o 1x\n{}", "Python name"),
        ("%%runkey tpl_image --input-file none.json\n", "no file none.json"),
        ("%%runkey tpl_image --asset image\n{}", "KEY=MEDIUM"),
        ("%%runkey tpl_image --asset a=_rw --input a=1\n{}", "given twice"),
        ("%%runkey tpl_image --asset a=nothing\n{}", "nothing"),
        ("%%runkey rk_live_abcdefgh12345\n{}", "there is a key"),
        ('%%runkey tpl_image\n{"key": "rk_live_abcdefgh12345"}', "login runkey"),
        ("%runkey run tpl_image --input key=rk_live_abcdefgh12345", "there is a key"),
        ("%runkey rum tpl", "did you mean runkey run"),
        ("%runkey run", "TEMPLATE"),
        ("%runkey task ''", "Invalid task id"),
        ("%runkey task ../x", "Invalid task id"),
    ],
)  # fmt: skip
def test_wrong_lines_and_bodies_send_nothing(shell, runkey, cell_text, words):
    with pytest.raises(MagicUsageError) as caught:
        shell.run(cell_text)
    assert words in current_session().front_end.message(caught.value)
    assert "rk_live" not in str(caught.value)
    assert sent(runkey) == []


def test_values_that_json_has_not_are_refused(shell, runkey, tmp_path):
    with pytest.raises(TaskInvalid, match=r"input\.image"):
        cell(shell, "tpl_image", {"image": "{file}"}, file=tmp_path / "x.png")
    with pytest.raises(TaskInvalid, match="upload"):
        cell(shell, "tpl_image", {"image": "{data}"}, data=b"123")
    assert sent(runkey) == []


def test_a_long_mixed_template_id_is_no_key(shell, runkey, capsys):
    assert "tpl_a1B2c3d4E5f6a7B8c9d0E1f2" in shown(capsys, shell, "%runkey run tpl_a1B2c3d4E5f6a7B8c9d0E1f2 --dry-run")


def test_an_unknown_price_is_asked_about(shell, runkey, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(NotConfirmed):
        shell.run("%%runkey tpl_image\n{}")
    assert sent(runkey) == []


def test_background_and_a_recorded_answer(shell, runkey, capsys):
    shell.run(f"%%runkey tpl_image --yes -b -o job\n{json.dumps(SMALL)}")
    first = shell.names["job"].result()
    out = shown(capsys, shell, f"%%runkey tpl_image\n{json.dumps(SMALL)}")
    assert "recorded: run" in out
    assert shell.names["_rw"][0].received_sha256 == first[0].received_sha256
    assert len(sent(runkey)) == 1


def test_help_everywhere(shell, capsys):
    for line in ("%runkey", "%runkey -h"):
        out = shown(capsys, shell, line)
        assert all(f"%runkey {name}" in out for name in ("run", "task", "account", "form"))
    assert "--input KEY=VALUE" in shown(capsys, shell, "%%runkey -h")
    assert "--collect" in shown(capsys, shell, "%runkey task -h")
    assert "runkey" in shown(capsys, shell, "%runware")
    assert "runkey run" in rw.command("runkey").text


# --- commands -------------------------------------------------------------------------------------


def test_a_line_has_json_values_files_and_earlier_results(shell, runkey, tmp_path):
    ship = cell(shell)
    (tmp_path / "in.toml").write_text('prompt = "from the file"\nn = 1')
    run = ship.task_uuid[:8]
    shell.run(
        f"%runkey run tpl_json --yes -o other --input-file {tmp_path}/in.toml --input n=2 --input 'flags=[1, true]' "
        f"--input text='a ship' --seed 3 --asset first=made --asset second=_rw --asset third={run} --asset fourth=#1"
    )
    url = ship[0].url
    assert sent(runkey)[1] == {
        "prompt": "from the file", "n": 2, "flags": [1, True], "text": "a ship", "seed": 3, "first": url, "second": url,
        "third": url, "fourth": url,
    }  # fmt: skip
    assert shell.names["other"][0].structured["labels"] == ["sandbox"]


def test_rw_command_takes_a_mapping(shell, runkey):
    said = rw.command("runkey run", "tpl_json", input={"text": "7", "n": 7, "d": {"a": None}}, yes=True)
    assert sent(runkey) == [{"text": "7", "n": 7, "d": {"a": None}}]
    assert said.value[0].structured is not None
    account = rw.command("runkey account").json
    assert account["balance"] == 4985
    assert (account["requests_per_minute"], account["tasks_at_once"], account["email"][1:3]) == (60, 10, "…@")


def test_a_task_from_elsewhere_is_shown_recorded_and_collected_once(shell, runkey, capsys):
    task_id = runkey.start("tpl_image", SMALL)
    out = shown(capsys, shell, f"%runkey task {task_id}")
    assert "The log has no run of this task" in out
    assert f"task {task_id} --collect" in out
    shell.run(f"%runkey task {task_id} --collect -q -o found --tag rescued")
    assert shell.names["found"][0].image.size == (64, 64)
    (run,) = rw.log.recent(5)
    assert (run.remote_id, run.cost, run.cost_unit, run.tags, run.model) == (
        task_id,
        15,
        "credits",
        ("rescued",),
        "tpl_image",
    )
    shell.run(f"%runkey task {task_id} --collect -q")
    assert len(rw.log.recent(5)) == 1
    assert run.task_uuid in shown(capsys, shell, f"%runkey task {run.task_uuid[:8]}")
    assert cell(shell).task_uuid == run.task_uuid, "the same request is answered by it"
    assert len(sent(runkey)) == 1
    with pytest.raises(TaskNotFound):
        shell.run("%runkey task task_none")


def test_an_exhausted_budget_does_not_hold_back_what_is_paid_for(shell, runkey):
    cell(shell)
    rw.command("budget", 1, service="runkey-sandbox", unit="credits", all=True)
    with pytest.raises(BudgetExceeded):
        cell(shell, "tpl_image", {**SMALL, "seed": 9})
    task_id = runkey.start("tpl_inline", {})
    shell.run(f"%runkey task {task_id} --collect -q -o found")
    assert len(shell.names["found"]) == 1
    assert sum(run.cost for run in rw.log.select()) == 30


def test_a_failed_task_from_elsewhere_is_recorded_as_failed(shell, runkey):
    runkey.template("tpl_fail", scenario="failure")
    task_id = runkey.start("tpl_fail", {})
    with pytest.raises(ProviderFailed):
        shell.run(f"%runkey task {task_id} --collect")
    assert [run.state.value for run in rw.log.recent(5)] == ["failed"]


def test_a_run_without_an_id_cannot_be_asked_for(shell, runkey):
    runkey.set("faults", [{"kind": "cut", "when": "after_accept"}])
    with pytest.raises(Exception, match="accepted") as caught:
        cell(shell, "tpl_image", {})
    assert type(caught.value).__name__ == "FateUnknown"
    run = rw.log.recent(1)[0]
    with pytest.raises(MagicUsageError, match="has no task id of RunKey"):
        shell.run(f"%runkey task {run.task_uuid[:8]}")
    assert rw.command("show", run.task_uuid[:8]).json["state"] == "unknown"
    assert "rw.runkey.run('tpl_image')" in rw.command("code", run.task_uuid[:8]).value
    shell.run(f"%runware discard {run.task_uuid[:8]} --not-charged")
    assert rw.log.recent(1)[0].state.value != "unknown"


# --- the log's commands ---------------------------------------------------------------------------


@pytest.fixture
def runs(shell, runkey):
    """One run of each kind, by template."""
    runkey.template("tpl_fail", scenario="failure")
    runkey.template("tpl_cancel", scenario="cancel_running")
    first = cell(shell)
    cell(shell, "tpl_image", {**SMALL, "seed": 8, "image_url": "{first}"}, first=first)
    for template in ("tpl_json", "tpl_inline", "tpl_video", "tpl_audio"):
        cell(shell, template, {"prompt": 'a "ship" {{x}}\nin two lines', "seed": 3})
    for template, error in (("tpl_fail", ProviderFailed), ("tpl_cancel", TaskFailed)):
        with pytest.raises(error):
            cell(shell, template, {"prompt": "no"})
    found = {run.model: run for run in reversed(rw.log.select())}
    return {**found, "first": rw.log.find(first.task_uuid)}


def test_code_makes_each_run_again_at_no_cost(shell, runkey, runs):
    before = len(sent(runkey))
    for template in ("first", "tpl_json", "tpl_inline", "tpl_video", "tpl_audio"):
        run = runs[template]
        written = rw.command("code", run.task_uuid[:8]).value
        assert f"rw.runkey.run({run.model!r}" in "".join(written.split("\n    ")), written
        shell.run(written)
        assert shell.names["results"].task_uuid == run.task_uuid
    assert len(sent(runkey)) == before
    written = rw.command("code", runs["tpl_image"].task_uuid[:8]).value
    assert "'image_url': 'http" in written, "RunKey takes no files, so the medium is named by its URL"
    shell.run(written)
    assert sent(runkey)[-1]["seed"] == 8


def test_show_log_cost_diff_history_and_gallery(shell, runkey, runs, capsys, tmp_path):
    def text(name, *words):
        return rw.command(name, *words).text

    assert "labels" in text("show", runs["tpl_json"].task_uuid)
    assert "seed None" not in text("show", runs["tpl_video"].task_uuid)
    assert "canceled" in text("show", runs["tpl_cancel"].task_uuid)
    assert runs["first"].remote_id in text("show", runs["first"].task_uuid)
    log = text("log")
    assert "15 credits" in log
    assert "$" not in log
    assert len(rw.command("log", service="runkey-sandbox").json) == 8
    assert rw.command("log", service="sandbox").json == []
    assert "90 credits in all" in text("cost")
    assert "$" not in text("cost", "--by", "model")
    first, second = runs["first"].task_uuid[:8], runs["tpl_image"].task_uuid[:8]
    assert "image_url" in text("diff", first, second)
    assert first in text("history", second)
    assert "★★★★" in text("rate", first, 4)
    assert "64x64" in text("compare", first, second)
    methods = text("methods")
    assert "sandbox" in methods
    assert "90 credits" in methods
    assert "input." not in methods
    gallery = rw.command("gallery").json
    assert [row["seed"] for row in gallery if row["model"] == "tpl_image"] == [8, 7]
    rw.command("gallery", tmp_path / "page.html")
    assert "a ship" in (tmp_path / "page.html").read_text()
    image = rw.read(rw.job(runs["first"].task_uuid).result()[0].path)
    assert image.parameters.to_wire()["positivePrompt"] == "a ship"
    assert image.parameters.to_wire()["seed"] == 7


def test_replay_verify_bundle_and_export(shell, runkey, runs, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    verified = rw.command("verify", model="tpl_image", yes=True)
    assert "2 exact" in verified.text
    assert "30 credits" in verified.text
    again = rw.command("replay", runs["tpl_image"].task_uuid[:8], yes=True)
    assert again.json["verdict"] == "exact"
    assert sent(runkey)[-1]["image_url"].startswith("http")
    assert rw.command("replay", runs["tpl_json"].task_uuid[:8], yes=True).json["verdict"] == "exact"
    with pytest.raises(ProviderFailed):
        rw.command("replay", runs["tpl_fail"].task_uuid[:8], yes=True)
    rw.command("bundle", "make", "b.zip")
    assert "whole" in rw.command("bundle", "check", "b.zip").text
    rw.command("export", "runs.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert {row.get("cost") for row in rows if row.get("model") == "tpl_image"} == {15.0}
    with pytest.raises(MagicUsageError, match="belongs to the service"):
        rw.command("poll", runs["first"].task_uuid)


def test_status_names_the_service_without_asking_it(shell, runkey):
    assert rw.command("status").json["runkey"] == "key from RUNKEY_API_KEY, not checked"


def test_completion(shell, runkey):
    cell(shell, "tpl_json", {"prompt": "x", "image_url": "https://x/y.png"})
    assert complete_runware("%runkey ")[1] == ["run", "task", "account", "form", "webhook"]
    assert complete_runware("%%runkey t")[1] == ["tpl_json"]
    assert complete_runware("%runkey run tpl")[1] == ["tpl_json"]
    assert complete_runware("%runkey run tpl_json --input ")[1][:2] == ["prompt=", "image_url="]
    assert complete_runware("%%runkey tpl_json --input i")[1] == ["image_url="]
    assert complete_runware("%runkey form tpl")[1] == ["tpl_json"]
    assert "runkey" in complete_runware("%runware log --service r")[1]


def test_no_place_of_a_certain_size_is_kept_for_unknown_results(shell, runkey):
    runkey.template("tpl_long", queue_s=1e6)
    shell.run("%%runkey tpl_long --yes -b -q -o job\n{}")
    bundle = shell.names["job"]._repr_mimebundle_()
    assert "<progress" in bundle["text/html"]
    assert "<figure" not in bundle["text/html"]
    assert "tpl_long" in bundle["text/plain"]


def test_the_sandbox_is_no_bucket(shell):
    rw.command("sandbox")
    assert current_session().settings.media_url is None
    cell(shell, "tpl_inline", {})
    assert shell.names["made"][0].structured is not None


# --- what a new user types -------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["path", "name", "pathlib", "terminal"])
def test_a_file_of_this_machine_is_no_asset(shell, runkey, tmp_path, monkeypatch, way):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.png").write_bytes(b"1")
    shell.names.update({"name": "mine.png", "pathlib": tmp_path / "mine.png"})
    line = {"path": "mine.png", "terminal": "./mine.png"}.get(way, way)
    with pytest.raises(MagicUsageError, match=r"RunKey takes URLs only, and '.*' is a file on this machine\. Nothing"):
        shell.run(f"%%runkey tpl_image --asset image_url={line} --yes\n{{}}")
    with pytest.raises(MagicUsageError, match=r"RunKey takes URLs only, and 'data:.*' is none\. Nothing was sent"):
        shell.run("%%runkey tpl_image --asset image_url=data:image/png;base64,AAAA --yes\n{}")
    for medium in ("mine.png", tmp_path / "mine.png"):
        with pytest.raises(TaskInvalid, match="RunKey has no upload"):
            rw.run({"taskType": "runkey/run", "model": "tpl_image", "assets": {"image_url": medium}},
                   service="runkey", agreed=True)  # fmt: skip
    assert sent(runkey) == []


def test_words_behind_the_template_are_inputs(shell, runkey):
    shell.run('%runkey run tpl_json prompt="a blue cat" --tag t width=64 --yes -q')
    assert sent(runkey) == [{"prompt": "a blue cat", "width": 64}]
    with pytest.raises(MagicUsageError, match=r"'blue' is one word too many.*--input prompt='a blue cat'"):
        shell.run("%runkey run tpl_json prompt=a blue cat --yes")
    with pytest.raises(MagicUsageError, match="given twice"):
        shell.run("%runkey run tpl_json a=1 --input a=2 --yes")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("agree", "agreed"), ("yes", "agreed"), ("tag", "tags"), ("refresh", "fresh"), ("webhook", "webhook_url"),
     ("webhookUrl", "webhook_url"), ("notes", "note"), ("inputs", "input")],
)  # fmt: skip
def test_an_argument_that_is_misspelled_is_not_sent(shell, runkey, name, meant):
    with pytest.raises(MagicUsageError) as caught:
        rw.runkey.run("tpl_json", {"a": 1}, **{name: True})
    assert str(caught.value) == (
        f"Unknown argument {name!r}: did you mean {meant}? To pass it as an input, use input={{{name!r}: True}}. "
        "Nothing was sent."
    )
    with pytest.raises(MagicUsageError, match=r"'service': rw\.runkey uses RunKey alone"):
        rw.runkey.run("tpl_json", service="runware")
    assert sent(runkey) == []
    rw.runkey.run("tpl_json", {name: True}, images=1, noise=2, mode="x", stage=3, agreed=True).result()
    assert sent(runkey) == [{name: True, "images": 1, "noise": 2, "mode": "x", "stage": 3}]
