"""The commands that look at the log, keep it tidy and limit what is spent: in a terminal, and as a person sees them."""

import json
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from runware_nb.cli import main
from runware_nb.commands import COMMANDS, find_command
from runware_nb.commands.arguments import LineParser
from runware_nb.errors import ArgumentInvalid, RunNotFound
from runware_nb.loop import background_loop, wait
from runware_nb.providers.runware.catalog import all_models
from runware_nb.runlog import ResultRecord, RunRecord, State
from tests.conftest import TASK

AT = "2026-01-01T00:00:00.000+00:00"

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def session(sandbox, make_session, monkeypatch):
    """The session of this process, as commands find it."""
    import runware_nb.session.current as sessions

    made = make_session(sandbox)
    monkeypatch.setattr(sessions, "_session", made)
    return made


@pytest.fixture
def run(session, capsys):
    """Runs a command of the terminal: exit code, answer, sentences."""

    def call(*words):
        capsys.readouterr()
        code = main(list(words))
        out, err = capsys.readouterr()
        return code, json.loads(out) if out.strip() else None, err

    return call


def shown(session, *words):
    """What a person sees of a command."""
    command = find_command(words[0])
    parser = LineParser(words[0], "")
    command.add_arguments(parser)
    return command.run(session, parser.read(list(words[1:]))).bundle


@pytest.fixture
def two(session):
    first = session.submit({**TASK, "seed": 1, "numberResults": 2, "outputFormat": "PNG"}, tags=("red",), note="n")
    first.result()
    second = session.submit({**TASK, "seed": 2, "positivePrompt": HOSTILE, "steps": 9, "outputFormat": "PNG"})
    second.result()
    return first.task_uuid, second.task_uuid


def test_the_log_is_a_table_with_small_pictures_and_nothing_in_it_runs(session, two):
    bundle = shown(session, "log")
    html = bundle["text/html"]
    assert html.count("<img ") == 2
    assert html.count("data:image/jpeg;base64,") == 2
    assert "<img src=x" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    assert 'scope="col"' in html
    assert len(html) < 40_000
    assert HOSTILE in bundle["text/plain"]
    assert "2 runs" in bundle["text/plain"]
    again = shown(session, "log")
    assert again == bundle  # from the kept small pictures
    assert list((session.settings.home / "thumbnails").rglob("*-112"))


def test_pages_lead_to_each_other(session, run, two):
    assert "1 of 2 runs" in shown(session, "log", "--limit", "1")["text/plain"]
    assert run("log", "--limit", "1", "--page", "2")[1][0]["task_uuid"] == two[0]
    assert run("log", "--limit", "1", "--page", "3")[1] == []
    assert shown(session, "log", "--search", "zebra")["text/plain"] == "no run fits"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["log", "--since", "tomorrowish"], "Invalid --since tomorrowish: expected a time"), (["log", "--sort", "luck"], "newest, oldest"),
        (["rate", "abcd", "6"], "Invalid stars 6"), (["rate", "#", "5"], "Invalid ref"), (["rate", "abcd#0", "5"], "Invalid ref"), (["budget", "lots"], "Invalid budget .lots."),
        (["budget", "-1"], "Invalid budget .-1.|one word|unknown option"), (["bundle", "make"], "PATH"), (["bundle", "open", "x"], "bundle open FILE DIR"),
        (["bundle", "pack", "x"], "invalid choice"), (["verify", "--budget", "-1"], "--budget -1"), (["config", "nosuch", "1"], "`config` lists"),
        (["config", "api_key", "x"], "Use `login`"), (["config", "mode", "offline"], "'live' or 'replay'"), (["config", "max_in_flight", "many"], "expected a number"),
        (["config", "rest_url", "http://x", "--save"], "cannot be saved with a project"), (["prune", "--page", "2"], "--page means nothing"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_one_sentence_and_exit_2(run, words, sentence):
    code, answer, said = run(*words)
    assert (code, answer) == (2, None)
    assert re.search(sentence, said)
    assert said.count("\n") <= 2


@pytest.mark.parametrize(
    "words",
    [
        ["show", "ffff0000"], ["code", "ffff0000"], ["diff", "ffff0000", "ffff0001"], ["history", "ffff0000"],
        ["rate", "ffff0000", "3"], ["forget", "ffff0000"], ["replay", "ffff0000"], ["verify", "ffff0000"],
        ["replay", "nosuch.png"], ["bundle", "check", "nosuch.zip"], ["import", "nosuch.jsonl"], ["methods"],
    ],
)  # fmt: skip
def test_what_is_not_there_is_one_sentence_and_exit_1(run, words):
    code, _, said = run(*words)
    assert code == 1
    assert said.count("\n") == 1
    assert "Traceback" not in said


def test_a_difference_is_named_drawn_and_counted(session, run, two):
    code, answer, _ = run("diff", *(uuid[:8] for uuid in two))
    assert code == 0
    assert answer["parameters"]["steps"] == {"first": None, "second": 9}
    assert set(answer["parameters"]) == {"positivePrompt", "seed", "steps", "numberResults"}
    assert answer["results"][0]["verdict"] == "drifted"
    bundle = shown(session, "diff", *two)
    assert "where the two differ" in bundle["text/html"]
    assert "<img src=x" not in bundle["text/html"]
    same = run("diff", two[0], two[0])[1]
    assert same["parameters"] == {}
    assert {each["verdict"] for each in same["results"]} == {"exact"}


def test_history_is_a_tree_however_it_was_grown(session, run, two):
    edit = {"taskType": "removeBackground", "model": "runware:109@1"}
    child = session.submit({**edit, "inputs": {"image": session.job(two[0]).result()[1]}}, agreed=True)
    grandchild = session.submit({**edit, "inputs": {"image": child.result()[0]}})
    grandchild.result()
    for ref in (two[0], child.task_uuid, grandchild.task_uuid):
        tree = run("history", ref)[1]
        assert tree["task_uuid"] == two[0]
        assert tree["children"][0]["task_uuid"] == child.task_uuid
        assert tree["children"][0]["children"][0]["task_uuid"] == grandchild.task_uuid
    bundle = shown(session, "history", child.task_uuid)
    assert bundle["text/plain"].count("└─ ") == 2
    assert f"└─ > {child.task_uuid[:8]}" in bundle["text/plain"]
    assert bundle["text/html"].count("<img ") == 4


def test_a_ring_in_somebodys_log_ends(session, run):
    from runware_nb.runlog.maintenance import add_runs

    names = [f"{n}0000000-0000-4000-8000-000000000000" for n in (1, 2)]
    ring = [
        RunRecord(task_uuid=own, attempt_uuid=own, provider="x", task_type="t", model=None, request={}, request_hash="1:x",
                  asked_hash="1:x", created_at_utc="2026-01-01", state=State.SUCCEEDED, finished_at_utc=AT,
                  parent_uuid=other, results=[ResultRecord(position=0)])
        for own, other in (names, names[::-1])
    ]  # fmt: skip
    add_runs(session.log, ring, sources={}, snapshots={})
    assert run("history", names[0])[0] == 0


def test_stars_show_and_filter(session, run, two):
    assert run("rate", f"{two[0][:8]}#2", "4")[1] == {"task_uuid": two[0], "index": 2, "rating": 4}
    assert "★★★★" in shown(session, "log")["text/plain"]
    assert [row["task_uuid"] for row in run("log", "--min-rating", "4")[1]] == [two[0]]
    assert [result["rating"] for result in run("show", two[0])[1]["results"]] == [None, 4]
    code, _, said = run("rate", f"{two[0][:8]}#7", "4")
    assert code == 1
    assert "has no result #7" in said


def test_costs_add_up_to_the_ledger(session, run, sandbox, two):
    total = sandbox.ledger()["total_usd"]
    for by in ("cell", "day", "model", "notebook"):
        answer = run("cost", "--by", by)[1]
        assert answer["total_usd"] == pytest.approx(total)
        assert sum(row["runs"] for row in answer["rows"]) == 2
    tags = run("cost", "--by", "tag")[1]
    assert [(row["tag"], row["runs"], row["results"]) for row in tags["rows"]] == [("red", 1, 2)]
    assert run("cost", "--since", "2099-01-01")[1]["rows"] == []
    assert run("cost", "--service", "runware")[1]["rows"] == []
    assert "█" in shown(session, "cost", "--by", "model")["text/plain"]
    assert "aria-hidden" in shown(session, "cost", "--by", "model")["text/html"]


def test_budgets_are_set_shown_kept_and_lifted(session, run):
    assert run("budget")[1] == {"budgets": [], "ask_above_usd": 1.0}
    assert run("budget", "$0.5", "--all", "--ask-above", "0.05")[1]["budgets"][0]["limit_usd"] == 0.5
    assert run("budget", "0.001", "--notebook", "n.ipynb")[1]["budgets"][1]["notebook"] == "n.ipynb"
    code, answer, said = run("text-to-image", "--prompt", "a sea", "-s", "1024x1024", "-n", "20")
    assert (code, answer) == (2, None)
    assert "The estimated cost of $0.076 (price list) is above your confirmation threshold of $0.05" in said
    session.configure(ask_above_usd=9.0)
    with session.log.changing() as connection:
        from runware_nb.runlog.spending import set_budget

        set_budget(connection, "sandbox", "", 0.001)
    code, _, said = run("text-to-image", "--prompt", "a sea", "-s", "1024x1024")
    assert code == 1
    assert said.startswith(
        "BudgetExceeded: This run costs about $0.0038, and $0.001 is left of the budget of $0.001. Nothing was sent."
    )
    assert run("budget", "off", "--all")[1]["budgets"][0]["notebook"] == "n.ipynb"
    assert run("text-to-image", "--prompt", "a sea", "-s", "256x256")[0] == 0


def test_a_dear_run_asks_for_yes(session, run, sandbox):
    session.configure(ask_above_usd=0.001)
    code, _, said = run("text-to-image", "--prompt", "a sea", "-s", "1024x1024")
    assert code == 2
    assert "This session cannot ask for confirmation. Nothing was sent. Add `--yes` to agree to the cost" in said
    assert run("text-to-image", "--prompt", "a sea", "-s", "1024x1024", "--yes")[0] == 0
    assert len(sandbox.charges()) == 1


def test_forgetting_asks_and_removes_files_that_nobody_else_needs(session, run, two):
    files = [session.media.find(result.file) for result in session.log.find(two[0]).results]
    assert all(files)
    shown(session, "log")  # makes the small copies
    code, _, said = run("forget", two[0][:8])
    assert code == 2
    assert "will be deleted permanently" in said
    assert run("forget", two[0][:8], "--yes")[1]["files"] == 2
    assert not any(path.exists() for path in files)
    kept = [path.name for path in (session.settings.home / "thumbnails").rglob("*-112")]
    assert not {path.stem for path in files} & {name.removesuffix("-112") for name in kept}
    assert [row["task_uuid"] for row in run("log")[1]] == [two[1]]


def test_pruning_takes_failures_and_strays_and_spares_the_rest(session, run, two, sandbox):
    sandbox.faults(
        {"kind": "refuse", "status": 400, "code": "invalidPositivePrompt", "on": "imageInference", "count": 1}
    )
    with pytest.raises(Exception, match=r"."):
        session.submit({**TASK, "seed": 5}).result()
    stray = session.media.folder / "ab" / ("ab" + "c" * 62 + ".png")
    stray.parent.mkdir(exist_ok=True)
    Image.new("RGB", (4, 4)).save(stray)
    mine = session.media.folder / "holiday.png"
    Image.new("RGB", (4, 4)).save(mine)
    os.utime(stray, (0, 0))
    os.utime(mine, (0, 0))
    assert run("prune")[0] == 2
    size = stray.stat().st_size
    assert run("prune", "--yes")[1] == {"removed": 1, "files": 1, "freed_bytes": size}
    assert not stray.exists()
    assert mine.exists()
    assert len(run("log")[1]) == 2
    run("rate", two[0], "5")
    assert run("prune", "--since", "today", "--keep-rated", "--yes")[1]["removed"] == 1
    assert [row["task_uuid"] for row in run("log")[1]] == [two[0]]
    assert run("prune", "--yes")[1]["removed"] == 0


def test_files_that_another_log_may_need_are_left_alone(session, run, two, tmp_path, make_session, sandbox):
    """Two logs in one folder share its pictures: what one of them forgets, the other may have paid for."""
    other = make_session(sandbox, home=tmp_path / ".other")
    other.submit({**TASK, "seed": 1, "numberResults": 2, "outputFormat": "PNG"}).result()
    files = [session.media.find(result.file) for result in session.log.find(two[0]).results]
    for path in session.media.folder.glob("*/*"):
        os.utime(path, (0, 0))
    code, answer, said = run("forget", two[0], "--yes")
    assert (code, answer["removed"], answer["files"]) == (0, 1, 0)
    assert "other logs may share them" in said
    assert run("prune", "--yes")[1]["files"] == 0
    assert all(path.is_file() for path in files)
    session.configure(media_url=str(tmp_path / "shared"))
    assert not session.storage.owns_media


def test_the_paragraph_names_models_seeds_sizes_dates_and_cost(session, run, two):
    text = run("methods")[1]["methods"]
    for part in ("3 results were generated in 2 runs", "(runware:101@1)", "The random seeds were 1 to 2",
                 "size 256 × 256 pixels", "steps was 9 in 1 run and the model's default in 1 run",
                 "number of results was 2 in 1 run and the API's default, 1 in 1 run", "CFG scale (the model's default)",
                 "negative prompt (none)", "The cost was $", "runware_nb", "Python"):  # fmt: skip
        assert part in text
    assert run("methods", "--tag", "red")[1]["runs"] == 1


def test_settings_are_shown_changed_and_kept_with_the_project(session, run, tmp_path):
    request = tmp_path / "request.json"
    request.write_text(json.dumps([TASK]))
    answer = run("config")[1]
    assert answer["mode"] == "live"
    assert "api_key" not in answer
    assert run("config", "max_in_flight", "7")[1] == {"max_in_flight": 7}
    assert run("config", "mode", "replay", "--save")[1] == {"mode": "replay"}
    assert (session.settings.home / "config.toml").read_text() == 'mode = "replay"\n'
    code, _, said = run("text-to-image", "--prompt", "a sea")
    assert code == 1
    assert "NotRecorded" in said
    code, _, said = run("raw", str(request))
    assert (code, "Replay mode" in said) == (1, True)
    for words in (["connect"], ["poll", "3f2a9c1b-1111-4222-8333-944455556666"]):
        code, _, said = run(*words)
        assert code == 2
        assert "Replay mode answers all requests from the log" in said
    assert "bundled catalog. Replay mode" in run("models", "flux")[2]
    assert run("verify", "--budget", "1")[1] == {"runs": []}
    assert run("status")[1]["key"].endswith(", not checked")


def test_a_bundle_goes_through_the_terminal(session, run, two, tmp_path):
    out = tmp_path / "out.zip"
    assert run("bundle", "make", str(out), "--tag", "red")[1]["runs"] == 1
    assert run("bundle", "check", str(out))[1]["ok"]
    assert run("bundle", "open", str(out), str(tmp_path / "there"))[1]["runs"] == 1
    assert run("import", str(out))[1] == {"added": [], "known": 1, "skipped": []}
    assert run("export", str(tmp_path / "deep" / "runs.jsonl"))[1]["runs"] == 2
    assert run("import", str(tmp_path / "deep" / "runs.jsonl"))[1] == {"added": [], "known": 2, "skipped": []}
    page = tmp_path / "page.html"
    assert run("gallery", str(page), "--title", "<b>Airships</b>")[1]["runs"] == 2
    text = page.read_text()
    assert "&lt;b&gt;Airships&lt;/b&gt;" in text
    assert text.count("<img alt=") == 3
    assert "<script" not in text
    assert 'alt="&lt;img src=x onerror=alert(1)&gt;"' in text
    replayed = run("replay", str(out), "--yes")[1]
    assert replayed["verdict"] == "exact"
    code, _, said = run("replay", str(tmp_path / "deep"), "--yes")
    assert code == 1
    assert "BundleError" in said


def test_an_odd_file_is_no_records(run, tmp_path):
    for body in (b"\xff\xfe", b"", b"{}\n", b"PK\x03\x04half"):
        path = tmp_path / "odd.jsonl"
        path.write_bytes(body)
        code, _, said = run("import", str(path))
        assert code == 1
        assert said.startswith("BundleError")


def test_a_log_is_data(session, two):
    import runware_nb as rw

    frame = rw.log.df()
    assert list(frame["task_uuid"]) == [two[1], two[0]]
    assert str(frame["created_at_utc"].dtype).startswith("datetime64")
    assert list(frame["results"]) == [1, 2]
    per_result = rw.log.df(per="result", tag="red")
    assert list(per_result["seed"]) == [1, 2]
    assert all(per_result["file"].map(os.path.exists))
    assert rw.log.df(tag="nothing").empty
    assert len(rw.log.select(since="today", limit=1)) == 1
    with pytest.raises(rw.RunwareNBError, match="Invalid filter 'colour'"):
        rw.log.select(colour="red")


def test_a_frame_has_every_parameter_and_the_same_columns_when_empty(session, monkeypatch):
    import runware_nb as rw

    monkeypatch.setattr("runware_nb.session.current._session", session)
    session.submit({**TASK, "seed": 1, "steps": 9, "CFGScale": 3, "negativePrompt": "text", "scheduler": "Euler",
                    "lora": [{"model": "civitai:1@1", "weight": 0.5}]}, tags=("plain",)).result()  # fmt: skip
    session.submit({**TASK, "seed": 1, "clipSkip": 1}, tags=("more",)).result()
    for per in ("run", "result"):
        frame, empty = rw.log.df(per=per, tag="plain"), rw.log.df(per=per, tag="nothing")
        assert list(frame.columns) == list(empty.columns)
        assert dict(frame.dtypes) == dict(empty.dtypes)
        row = frame.iloc[0]
        assert (row.steps, row.cfg_scale, row.negative_prompt, row.scheduler, row.seed) == (9, 3.0, "text", "Euler", 1)
        assert (row["loras.0.model"], row["loras.0.weight"], row.width) == ("civitai:1@1", 0.5, 256)
        more = rw.log.df(per=per, tag="more")
        assert list(more.columns) == [*empty.columns, "clip_skip"]
        assert more.iloc[0].clip_skip == 1


def test_a_list_says_what_it_leaves_out_and_leaves_re_runs_out(session, run, two):
    import runware_nb as rw

    assert rw.replay(two[0], agreed=True).verdict == "exact"
    code, rows, said = run("log", "--limit", "1")
    assert (code, len(rows)) == (0, 1)
    assert "1 of 2 runs; `--limit all` lists every run" in said
    assert rows[0]["parameters"]["steps"] == 9
    assert len(run("log", "--limit", "all")[1]) == 2
    assert len(run("log", "--with-replays")[1]) == 3
    assert "of" not in run("log", "--limit", "2")[2], "it is whole"
    assert len(rw.log.select()) == len(rw.log.df()) == len(rw.log.recent(None)) == 2
    assert len(rw.log.select(with_replays=True)) == 3
    assert run("methods")[1]["runs"] == 2
    assert run("methods", "--with-replays")[1]["runs"] == 3
    assert len(run("verify", "--budget", "1")[1]["runs"]) == 2
    assert len(run("log")[1]) == 2, "what verify made is no run of the list either"
    assert ": 5 runs>" in repr(rw.log)
    assert run("log", "--limit", "some")[0] == 2


def test_without_pandas_a_frame_says_what_to_install(session, monkeypatch):
    import runware_nb as rw

    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(rw.RunwareNBError, match="pip install pandas"):
        rw.log.df()


def test_the_terminal_asks_where_somebody_can_answer(sandbox, tmp_path):
    """A pseudo-terminal on stdin and stderr is a person."""
    import pty

    environment = {**os.environ, **sandbox.environment, "RUNWARE_NB_ASK_ABOVE_USD": "0.0001"}
    for answer, charges in (("n", 0), ("y", 1)):
        master, slave = pty.openpty()
        command = [sys.executable, "-m", "runware_nb", "text-to-image", "--prompt", "a sea", "-s", "256x256", "--json"]
        process = subprocess.Popen(command, env=environment, stdin=slave, stderr=slave, stdout=subprocess.PIPE)
        os.close(slave)
        os.write(master, f"{answer}\n".encode())
        out, _ = process.communicate(timeout=60)
        said = os.read(master, 10_000).decode()
        os.close(master)
        assert "Send? [y/N]" in said
        assert len(sandbox.charges()) == charges
        assert process.returncode == (0 if charges else 2), (said, out)


def test_every_command_has_help_and_a_summary(capsys):
    for name in COMMANDS:
        assert name == "sandbox" or main([name, "-h"]) == 0  # the sandbox takes the place of its process
        assert find_command(name).SUMMARY[0].islower()


def test_every_command_of_the_memory_has_its_twin_in_python(session, two, tmp_path):
    import runware_nb as rw

    assert "seed=1" in rw.code(two[0])
    rw.log.rate(two[0][:8], 4, index=1)
    assert rw.log.find(two[0]).best_rating == 4
    with pytest.raises(rw.RunwareNBError, match="Invalid stars 6"):
        rw.log.rate(two[0], 6)
    assert rw.log.cost("model")[0].runs == 2
    assert rw.replay(two[0], agreed=True).verdict == "exact"
    assert [each.verdict for each in rw.verify(tag="red", budget_usd=1.0)] == ["exact"]
    made = rw.bundle(tmp_path / "b.zip", tag="red")
    assert made.runs == 1
    assert rw.check_bundle(made.path) > 5
    assert rw.open_bundle(made.path, tmp_path / "there") == []
    assert rw.import_runs(made.path).known == 1


def test_a_run_says_all_about_itself(session, run, two):
    answer = run("show", two[0])[1]
    assert answer["environment"]["packages"]["runware-nb"]
    assert answer["cell_source"] is None
    text = shown(session, "show", two[0])["text/plain"]
    assert "red" in text
    assert "Python 3" in text


def test_the_commit_of_the_project_is_known(tmp_path):
    from runware_nb.engine.context import git_commit

    assert git_commit(tmp_path) is None
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    assert git_commit(tmp_path) is None
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    (tmp_path / "deep" / "er").mkdir(parents=True)
    assert git_commit(tmp_path / "deep" / "er") == head
    subprocess.run([*git, "pack-refs", "--all"], check=True)
    assert git_commit(tmp_path) == head
    subprocess.run([*git, "worktree", "add", "-q", "--detach", str(tmp_path / "tree")], check=True)
    assert git_commit(tmp_path / "tree") == head
    (tmp_path / ".git" / "HEAD").write_bytes(b"\xff\xfe nonsense")
    assert git_commit(tmp_path) is None


def test_a_script_is_where_a_run_came_from(sandbox, make_session, tmp_path):
    script = tmp_path / "study.py"
    script.write_text("import runware_nb as rw\nrw.image('a sea', width=256, height=256).result()\n")
    subprocess.run([sys.executable, str(script)], env={**os.environ, **sandbox.environment}, check=True, timeout=60)
    (made,) = make_session(sandbox).log.recent()
    assert made.notebook == str(script)


def test_a_model_says_what_it_takes(session, run):
    code, answer, _ = run("model", "runware:101@1")
    assert code == 0
    assert answer["model"] == "runware:101@1"
    assert "$0.0038" in answer["price"]
    assert answer["schema"]["properties"]["width"]["minimum"] >= 64
    text = shown(session, "model", "runware:101@1")["text/plain"]
    for part in ("positivePrompt", "width", "multiples of", "seed", "yes"):
        assert part in text
    code, _, said = run("model", "runware:101@l")
    assert code == 2
    assert "did you mean runware:101@1?" in said


def test_a_model_that_came_out_this_morning_is_shown_from_the_schema_service(sandbox, make_session):
    session = make_session(sandbox, schemas_url=sandbox.info["schemas_url"])
    bundled = {model.air for model in all_models()}
    found = wait(background_loop().submit(session.client().search_models("", limit=100)))["results"]
    new = next(
        model["air"]
        for model in found
        if model["air"] not in bundled
        and model.get("category") in {"checkpoint", None}
        and session.planner.rules_for(model["air"])
    )
    assert "positivePrompt" in shown(session, "model", new)["text/plain"]


def test_the_heaviest_cells_come_first(run, tmp_path):
    cells = [
        {"cell_type": "code", "id": "a", "execution_count": 1, "metadata": {}, "source": ["small\n"], "outputs": []},
        {"cell_type": "code", "id": "b", "execution_count": 2, "metadata": {}, "source": "\n\nbig = 1", "outputs": [{"x": "y" * 5000}]},
    ]  # fmt: skip
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    answer = run("size", str(path))[1]
    assert [(cell["number"], cell["source"]) for cell in answer["cells"]] == [(2, "big = 1"), (1, "small")]
    assert answer["cells"][0]["bytes"] > 5000
    for words, sentence in ((["size"], "name it: size FILE.ipynb"), (["size", "nowhere.ipynb"], "No such file")):
        code, _, said = run(*words)
        assert code == 2
        assert sentence in said
    path.write_text("[]")
    assert "it is no notebook" in run("size", str(path))[2]


def test_after_logout_there_is_no_key(session, run):
    assert run("logout")[1]["forgotten"]
    code, _, said = run("text-to-image", "--prompt", "a sea")
    assert code == 2
    assert "No API key" in said


CAPTION = {"taskType": "caption"}
UPSCALE = {"taskType": "upscale", "model": "runware:504@1", "upscaleFactor": 2}


def test_history_shows_every_parent_every_operation_and_the_cost(session, run, two):
    """A run with several parents is below the first, and names the others. Whichever run is asked about, all are shown."""
    first, second = (session.job(name).result()[0] for name in two)
    mask = Image.new("L", first.image.size, 255)
    edit = {
        **TASK,
        "width": 256,
        "height": 256,
        "seed": 9,
        "inputs": {"seedImage": first, "maskImage": mask, "referenceImages": [second]},
    }
    inpainted = session.submit(edit, agreed=True)
    caption = session.submit({**CAPTION, "inputs": {"image": inpainted.result(30)[0]}}, agreed=True)
    words = caption.result(30)[0].text
    enlarged = session.submit({**UPSCALE, "inputs": {"image": inpainted.result()[0]}}, agreed=True)
    enlarged.result(30)
    trees = [shown(session, "history", job.task_uuid) for job in (inpainted, caption, enlarged)]
    for job, bundle in zip((inpainted, caption, enlarged), trees, strict=True):
        text = bundle["text/plain"]
        assert f"inpaint: {TASK['positivePrompt']}" in text
        assert f"; also from {two[1][:8]} (reference)" in text
        assert "  caption (" in text
        assert f"“{words[:60]}" in text
        assert "  upscale (" in text
        assert text.splitlines()[-1].startswith("5 runs, $")
        assert re.findall("> ([0-9a-f]{8})", text) == [job.task_uuid[:8]]
    html = trees[0]["text/html"]
    assert html.count("<img ") == sum(
        1 for name in (*two, inpainted.task_uuid, enlarged.task_uuid) for result in session.log.find(name).results
    )
    assert words[:60] in html.replace("&#x27;", "'").replace("&quot;", '"')
    answer = run("history", caption.task_uuid)[1]
    assert (answer["task_uuid"], answer["family"]["runs"]) == (two[0], 5)
    assert [root["task_uuid"] for root in answer["other_roots"]] == [two[1]]
    costs = [session.log.find(job).cost for job in (*two, inpainted.task_uuid, caption.task_uuid, enlarged.task_uuid)]
    assert answer["family"]["costs"][0]["amount"] == pytest.approx(sum(costs))
    step = answer["children"][0]
    assert [parent["role"] for parent in step["parents"]] == ["seedImage", "referenceImages"]
    assert {child["operation"] for child in step["children"]} == {"caption", "upscale"}


def test_history_in_python_takes_whatever_names_a_run(session, two, tmp_path):
    import runware_nb as rw

    job = session.job(two[0])
    outcome = job.result()
    (tmp_path / "copy.png").write_bytes(outcome[0].bytes)
    for source in (two[0], two[0][:8], job, outcome, outcome[0], session.log.find(two[0]), tmp_path / "copy.png"):
        assert [record.task_uuid for record in rw.history(source)] == [two[0]]
    for way in (job, outcome, outcome[0]):
        assert str(way.history()) == str(rw.history(two[0]))
    assert "text/html" in rw.history(two[0])._repr_mimebundle_()
    assert repr(rw.history(two[0])).startswith(f"<History of run {two[0][:8]}: 1 run, $")
    (tmp_path / "other.png").write_bytes(b"x")
    with pytest.raises(RunNotFound, match="has made the file"):
        rw.history(tmp_path / "other.png")
    with pytest.raises(ArgumentInvalid, match="source"):
        rw.history(7)


def test_a_family_of_thousands_is_cut_and_states_so(session):
    from runware_nb.engine.family import find_family
    from runware_nb.runlog import Parent
    from runware_nb.runlog.maintenance import add_runs
    from tests.runs import run_record

    top = run_record(1, finished_at_utc=AT)
    below = [run_record(n, finished_at_utc=AT, parents=(Parent(top.task_uuid, "seedImage"),)) for n in range(2, 60)]
    chain = [
        run_record(n, finished_at_utc=AT, parents=(Parent(run_record(n - 1).task_uuid, "image"),))
        for n in range(61, 90)
    ]
    add_runs(session.log, [top, *below, run_record(60, finished_at_utc=AT), *chain], sources={}, snapshots={})
    family = find_family(session.log, below[7], most=20)
    assert (len(family.members), family.is_complete) == (20, False)
    assert {family.chosen.task_uuid, top.task_uuid} <= set(family.members)
    deep = find_family(session.log, chain[-1])
    assert (len(deep.members), deep.is_complete, [root.record.task_uuid for root in deep.roots]) == (
        30, True, [run_record(60).task_uuid]
    )  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=16))
def test_every_run_of_a_family_is_in_its_trees_once_whatever_the_log_says(links):
    """Also with rings, several parents, and runs that are their own parents."""
    from runware_nb.engine.family import find_family
    from runware_nb.runlog import Parent
    from tests.runs import run_record

    records = {n: run_record(n) for n in range(8)}
    for child, parent in links:
        records[child].parents += (Parent(records[parent].task_uuid, "image"),)

    class Log:
        def runs_with_uuids(self, names):
            return [record for record in records.values() if record.task_uuid in names]

        def children_of(self, names):
            return [each for each in records.values() if any(p.task_uuid in names for p in each.parents)]

    family = find_family(Log(), records[0])
    seen = []

    def visit(member):
        seen.append(member.record.task_uuid)
        for child in member.children:
            visit(child)

    for root in family.roots:
        visit(root)
    near = {0}
    for _ in records:
        near |= {each for link in links if near & set(link) for each in link}
    assert sorted(seen) == sorted(records[n].task_uuid for n in near)
