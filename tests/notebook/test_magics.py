"""The magics in a real shell."""

import pytest

from runware_nb import Job, Outcome
from runware_nb.errors import ConfigError, MagicUsageError, RunNotFound, TaskInvalid
from runware_nb.notebook.completion import complete_runware
from runware_nb.session import current_session

SMALL = "-s 256x256"


def test_loading_says_where_things_stand(shell, capsys):
    shell.shell.run_line_magic("reload_ext", "runware_nb")
    line = capsys.readouterr().out.strip()
    assert line.startswith("runware_nb 0.1.0 · key from RUNWARE_API_KEY · log in .runware/runs.sqlite")
    assert len(line.splitlines()) == 1


def test_a_cell_makes_images_and_binds_them(shell, sandbox, capsys):
    shell.run(f"%%runware {SMALL} -n 2 --seed 7 -o ships\na small airship")
    ships = shell.names["ships"]
    assert isinstance(ships, Outcome)
    assert [result.seed for result in ships] == [7, 8]
    assert shell.names["_rw"] is ships
    assert "2 images · $0.0028" in capsys.readouterr().out
    assert sandbox.charges()[0]["results"] == 2


@pytest.mark.parametrize(
    "prompt",
    ["100% {weird} {0} {a: 1} {{", 'quotes " and \' and `', "a \\ backslash \\n", "percent %s %d $HOME !ls", "{__import__('os')}",
     "שלום 🚢 \u202eevil", "<img src=x onerror=alert(1)>", "x" * 3000, "line one\n\n  line two", "-m not an option"],
)  # fmt: skip
def test_any_text_is_a_prompt(shell, prompt):
    shell.run(f"%%runware {SMALL} -q\n{prompt}")
    (run,) = current_session().log.recent(1)
    assert run.request["positivePrompt"] == prompt


def test_names_are_filled_in_once_and_both_forms_are_logged(shell):
    shell.names.update(colour="{red}", red="never")
    shell.run(f"%%runware {SMALL} -q\na {{colour}} ship, {{{{colour}}}}, {{unknown}}")
    (run,) = current_session().log.recent(1)
    assert run.prompt == "a {red} ship, {colour}, {unknown}"
    assert run.prompt_template == "a {colour} ship, {{colour}}, {unknown}"


@pytest.mark.parametrize(
    "call",
    ["%runware text-to-image 'a {colour} ship' -s 256x256", "get_ipython().run_line_magic('runware', 'text-to-image \"a {colour} ship\" -s 256x256')",
     "get_ipython().run_cell_magic('runware', '-s 256x256 -q', 'a {colour} ship')"],
)  # fmt: skip
def test_local_names_count_inside_functions(shell, call):
    """Also where a global variable has the same name."""
    shell.names["colour"] = "global"
    shell.run(f"def draw(colour):\n    {call}\n    return get_ipython().user_ns['_rw']\nmade = draw('teal')")
    assert current_session().log.recent(1)[0].prompt == "a teal ship"
    shell.run(call)
    assert current_session().log.recent(1)[0].prompt == "a global ship"


def test_a_command_finds_an_image_in_a_local_variable(shell, capsys):
    shell.run(f"%%runware {SMALL} --seed 1 -q\na ship")
    shell.run(
        "def edit(start, other):\n    %runware text-to-image 'a storm' -s 256x256 --from start --strength 0.5\n"
        "    %runware compare start other\nedit(_rw, _rw)"
    )
    runs = current_session().log.recent(2)
    assert runs[0].parent_uuid == runs[1].task_uuid


UNDEFINED = "Not replaced, used as typed: {who} (no variable has this name). For the literal text, write {{who}}."


@pytest.mark.parametrize(
    "cell",
    ["%%runware -s 256x256 --seed 1\na {who} ship, {who}", "%%runware -s 256x256 --negative '{who}'\na ship",
     "%%runware -s 256x256 --tag {who}\na ship", "%%runware -s 256x256 --note '{who} x'\na ship",
     "%%runware -s 256x256\na ship\nNegative prompt: {who}\nSteps: 20, Seed: 3", "%%runware --dry-run\na {who} ship",
     "%runware text-to-image 'a {who} ship' -s 256x256", "%runware log --search {who}"],
)  # fmt: skip
def test_an_undefined_name_is_told_once_and_before_anything_is_sent(shell, capsys, cell):
    capsys.readouterr()
    shell.run(cell)
    out = capsys.readouterr().out
    assert out.count("Not replaced") == 1
    assert out.startswith(UNDEFINED)


def test_the_notice_is_the_same_for_a_recorded_answer_and_no_part_of_its_output(shell, capsys):
    cell = f"%%runware {SMALL} --seed 1\na {{who}} ship"
    shell.run(cell)
    shell.run(cell)
    assert capsys.readouterr().out.count(UNDEFINED) == 2
    assert shell.names["_rw"].is_recorded
    assert "Not replaced" not in shell.names["_rw"]._repr_mimebundle_()["text/plain"]


def test_quiet_keeps_the_notice_for_the_outcome(shell, capsys):
    capsys.readouterr()
    shell.run(f"%%runware {SMALL} -q\na {{who}} ship")
    assert capsys.readouterr().out == ""
    shell.names["_rw"]._ipython_display_()
    assert UNDEFINED in capsys.readouterr().out


def test_rows_and_lists_are_replaced_by_their_path(shell, capsys):
    shell.run(
        "import pandas as pd\nrow = pd.DataFrame({'prompt': ['a {red} ship'], 'seed': [5]}).iloc[0]\nnames = ['study']"
    )
    capsys.readouterr()
    shell.run(
        f"%%runware {SMALL} --seed {{row.seed}} --tag {{names[0]}} -q\n{{row.prompt}} at sea, {{{{row.prompt}}}}, {{row|x}}"
    )
    (run,) = current_session().log.recent(1)
    assert run.prompt == "a {red} ship at sea, {row.prompt}, {row|x}"
    assert (run.request["seed"], run.tags) == (5, ("study",))
    assert "Not replaced" not in capsys.readouterr().out


def test_every_seed_of_five_is_one_request(shell, sandbox):
    """Through each way in: one charge, and the bytes of the first image."""
    shell.run(
        "import json\nimport numpy as np\nimport pandas as pd\nimport runware_nb as rw\n"
        "size = {'width': 256, 'height': 256}\nfirst = rw.image('a ship', seed=5, **size).result()\n"
        "task = {name: value for name, value in first.task.items() if name != 'taskUUID'}\nothers = []\n"
        "for seed in (5.0, np.int64(5), np.float32(5), pd.Series([5])[0]):\n"
        "    others.append(rw.image('a ship', seed=seed, **size).result())\n"
        "    others.append(rw.image('a ship', extra={'seed': seed}, **size).result())\n"
        "    others.append(rw.run({**task, 'seed': seed}).result())\n"
        "    others.append(rw.command('text-to-image', 'a ship', size='256x256', seed=seed).value)\n"
        "seed = 5.0"
    )
    shell.run("%%runware -s 256x256 --seed {seed} -q -o by_cell\na ship")
    shell.run("%%runware -s 256x256 --set seed=5.0 -q -o by_set\na ship")
    others = [*shell.names["others"], shell.names["by_cell"], shell.names["by_set"]]
    assert len(others) == 18
    assert {one[0].bytes for one in others} == {shell.names["first"][0].bytes}
    assert len(sandbox.charges()) == 1


def test_one_text_is_one_tag_everywhere(shell, sandbox):
    import runware_nb as rw

    size = {"width": 256, "height": 256}
    task = {"taskType": "imageInference", "model": "runware:101@1", "positivePrompt": "a ship", **size}
    shell.run("%config RunwareMagics.tag = 'final'")
    shell.run(f"%%runware {SMALL} --tag other -q\na ship")
    assert set(current_session().log.recent(1)[0].tags) == {"final", "other"}
    shell.run("%config RunwareMagics.tag = ['x', 'y']")
    shell.run(f"%%runware {SMALL} -q\na ship")
    assert set(current_session().log.recent(1)[0].tags) == {"x", "y"}
    shell.run("%config RunwareMagics.tag = []")
    current_session().configure(defaults={"tag": "by default"})
    outcomes = [
        rw.image("a ship", tags="final", **size).result(), rw.run(task, tags="final").result(),
        rw.command("text-to-image", "a ship", size="256x256", tag="final").value,
    ]  # fmt: skip
    tags = [set(rw.log.find(one.task_uuid).tags) for one in outcomes]
    assert tags == [{"final", "by default"}, {"final"}, {"final", "by default"}]
    assert len(rw.log.select(tag="final")) == len(rw.log.df(tag="final")) == 4
    assert len(rw.log.select(tag=["final", "by default"])) == 2


def test_ratings_count_from_one(shell):
    import numpy as np

    import runware_nb as rw

    shell.run(f"%%runware {SMALL} -n 3 --seed 1 -q\na ship")
    name = shell.names["_rw"].task_uuid[:8]

    def ratings():
        return [result.rating for result in rw.log.find(name).results]

    rw.log.rate(f"{name}#1", 5)
    assert ratings() == [5, None, None]
    rw.log.rate(name, np.int64(4), index=np.int64(2))
    shell.run(f"%runware rate {name}#3 3")
    assert ratings() == [5, 4, 3]
    rw.log.rate(f"{name}#3", 0, index=3)
    assert rw.command("rate", f"{name}#2", 1).json == {
        "task_uuid": shell.names["_rw"].task_uuid,
        "index": 2,
        "rating": 1,
    }
    assert ratings() == [5, 1, None]
    rw.log.rate(name, 2)
    for reference, stars, index, words in [
        (name, 3, 0, "counted from 1"), (name, 3, -1, "counted from 1"), (name, 3, 1.5, "counted from 1"), (f"{name}#1", 3, 2, "or no index"),
        (f"{name}#0", 3, None, "Invalid ref"), (name, 6, None, "Invalid stars 6"), (name, 2.5, None, "Invalid stars 2.5"),
    ]:  # fmt: skip
        with pytest.raises(MagicUsageError, match=words):
            rw.log.rate(reference, stars, index=index)
    with pytest.raises(RunNotFound, match="has no result #4"):
        rw.log.rate(f"{name}#4", 3)
    assert ratings() == [2, 2, 2]


@pytest.mark.parametrize(
    ("cell", "words"),
    [("%%runware -h", "--number-results"), ("%%runware --help\n", "--number-results"), ("\n\n%%runware -h\n\n", "--number-results"),
     ("%%runware -h\na ship", "--number-results"), ("%%runware log -h\nx", None), ("%runware -h", "%runware log"),
     ("%runware text-to-image -h", "--prompt"), ("%%capture caught\n%%runware -h", "")],
)  # fmt: skip
def test_help_is_shown_with_and_without_a_body(shell, sandbox, capsys, cell, words):
    capsys.readouterr()
    if words is None:
        with pytest.raises(MagicUsageError) as caught:
            shell.run(cell)
        assert caught.value.corrected == "%runware log -h"
    else:
        shell.run(cell)
        assert words in capsys.readouterr().out
    assert sandbox.charges() == []


@pytest.mark.parametrize("cell", ["%%runware", "%%runware\n", "%%runware -s 256x256", "%%runware\n\n \n"])
def test_a_cell_without_a_prompt_is_told_what_to_write(shell, sandbox, cell):
    with pytest.raises(MagicUsageError) as caught:
        shell.run(cell)
    assert len(caught.value._render_traceback_()) == 1
    assert "the prompt is empty: write what to draw below the %%runware line" in str(caught.value)
    assert sandbox.charges() == []


def test_a_terminal_still_waits_for_the_prompt(shell):
    """IPython in a terminal would otherwise run `%%runware` at the first Enter."""
    assert shell.shell.check_complete("%%runware -s 256x256")[0] == "incomplete"
    assert shell.shell.check_complete("%%runware -s 256x256\n\n")[0] == shell.shell.check_complete("%%time\n\n")[0]


def test_every_common_option_reaches_the_service(shell):
    shell.run(
        "%%runware -m sdxl --size 512X256 --steps 12 --cfg 6.5 --scheduler 'Euler a' --negative 'blur, text' "
        "--lora civitai:120096@135931:0.7 --format png --set outputQuality=90 --set safety.checkContent=true "
        "--tag one --tag two --note 'try it' -q --yes\na ship"
    )
    (run,) = current_session().log.recent(1)
    wanted = {
        "model": "civitai:101055@128078", "width": 512, "height": 256, "steps": 12, "CFGScale": 6.5, "scheduler": "Euler a",
        "negativePrompt": "blur, text", "lora": [{"model": "civitai:120096@135931", "weight": 0.7}], "outputFormat": "PNG",
        "outputQuality": 90, "safety": {"checkContent": True},
    }  # fmt: skip
    assert wanted.items() <= run.request.items()
    assert (sorted(run.tags), run.note) == (["one", "two"], "try it")


def test_quiet_shows_nothing(shell, capsys):
    capsys.readouterr()
    shell.run(f"%%runware {SMALL} -q\na ship")
    assert capsys.readouterr().out == ""


def test_background_binds_the_job_at_once(shell, sandbox):
    sandbox.faults({"kind": "latency", "seconds": 0.8})
    shell.run(f"%%runware {SMALL} --background -o later\na ship")
    job = shell.names["later"]
    assert isinstance(job, Job)
    assert not job.is_done
    assert len(job.result()) == 1


def test_a_dry_run_shows_the_request_and_sends_nothing(shell, sandbox, capsys):
    shell.run("%%runware --dry-run -n 4\na ship")
    out = capsys.readouterr().out
    assert "about $0.0152" in out
    assert "positivePrompt" in out
    assert sandbox.charges() == []
    assert current_session().log.recent() == []


def test_where_a_run_came_from_is_in_the_log(shell):
    shell.names["__session__"] = "/somewhere/a.ipynb"
    cell = f"%%runware {SMALL} -q\na ship"
    shell.run(cell)
    (run,) = current_session().log.recent(1)
    assert run.notebook == "/somewhere/a.ipynb"
    assert run.execution_count == len(shell.names["In"]) - 1
    assert current_session().log.cell_source(run.cell_hash) == cell
    assert run.cell_ordinal == 0
    assert run.environment_hash


def test_runs_of_one_cell_are_counted(shell):
    shell.run("import runware_nb as rw\nfor n in range(3):\n    rw.image('a ship', width=256, height=256).result()")
    assert [run.cell_ordinal for run in reversed(current_session().log.recent(3))] == [0, 1, 2]


@pytest.mark.parametrize(
    ("cell", "error", "words"),
    [
        ("%%runware --stepps 3\nx", MagicUsageError, "did you mean --steps?"),
        ("%%runware -s 1000x1000 -m sdxl\nxy", TaskInvalid, "nearest accepted: 960 or 1024"),
        ("%%runware -n 0\nxy", TaskInvalid, "numberResults=0 refused"),
        ("%%runware\n  \n", MagicUsageError, "the prompt is empty"),
        ("%%runware 'open\nxy", MagicUsageError, "a quote is not closed"),
        ("%%runware -o not-a-name\nxy", MagicUsageError, "Python name"),
        ("%%runware -n two\nxy", MagicUsageError, "expected a whole number, not 'two'"),
        ("%%runware --api-key aB3dE6gH9jK2mN5pQ8sT1vW4\nxy", MagicUsageError, "there is a key in this line"),
        ("%runware connect aB3dE6gH9jK2mN5pQ8sT1vW4", MagicUsageError, "there is a key in this line"),
        ("%runware lgo", MagicUsageError, "did you mean log?"),
        ("%runware show 9999", RunNotFound, "%runware log"),
        ("%runware raw nowhere.json", MagicUsageError, "cannot be read"),
        ("%runware sandbox --port 1", ConfigError, "port 1 cannot be used"),
        ("%runware poll x", MagicUsageError, "no task UUID"),
    ],
)
def test_a_wrong_line_is_one_sentence_and_nothing_is_sent(shell, sandbox, cell, error, words):
    if "--port 1" in cell:
        import socket

        taken = socket.create_server(("127.0.0.1", 0))
        cell = cell.replace("--port 1", f"--port {taken.getsockname()[1]}")
        words = f"port {taken.getsockname()[1]} cannot be used"
    with pytest.raises(error) as caught:
        shell.run(cell)
    if "--port" in cell:
        taken.close()
    assert words in str(caught.value)
    assert len(caught.value._render_traceback_()) <= 2
    assert "aB3dE6gH9jK2mN5pQ8sT1vW4" not in str(caught.value)
    assert sandbox.charges() == []


def test_the_actual_key_is_refused_whatever_its_shape(shell, sandbox):
    with pytest.raises(MagicUsageError, match="there is a key"):
        shell.run(f"%%runware --note x{sandbox.api_key}y\nxy")


@pytest.mark.parametrize("line", ["%runware", "%runware -h", "%runware log -h", "%runware text-to-image --help"])
def test_help_is_shown(shell, capsys, line):
    shell.run(line)
    assert len(capsys.readouterr().out.splitlines()) > 3


def test_help_of_the_cell_lists_its_options(shell, capsys):
    shell.run("%%runware -h\nx")
    assert "--number-results" in capsys.readouterr().out


def test_the_question_mark_explains(shell):
    assert "%%runware -h" in shell.shell.find_line_magic("runware").__doc__


def test_the_commands_show_what_they_find(shell, capsys):
    shell.run(f"%%runware {SMALL} -q\na ship")
    run = current_session().log.recent(1)[0]
    for line, words in {
        "%runware log": "a ship", f"%runware show {run.task_uuid[:6]}": "positivePrompt", "%runware status": "balance",
        "%runware connect": "websocket", "%runware models pixel art": "Pixel Art XL", "%runware models --bundled": "runware:101@1",
        f"%runware poll {run.task_uuid[:6]}": "success", f"%runware text-to-image {SMALL} a blue ship": "1 image",
    }.items():  # fmt: skip
        capsys.readouterr()
        shell.run(line)
        assert words in capsys.readouterr().out, line


def test_completion_of_commands_options_and_models(shell):
    assert complete_runware("%runware lo")[1] == ["login", "logout", "log"]
    assert "--number-results" in complete_runware("%%runware -n 4 --nu")[1]
    assert complete_runware("%%runware -m runware:1")[1][:2] == ["runware:101@1", "runware:100@1"]
    assert "runware:109@1" not in complete_runware("%%runware -m runware:1")[1]  # that one removes backgrounds
    assert "--limit" in complete_runware("%runware log --")[1]
    assert complete_runware("print(")[1] == []


def test_runs_of_the_log_are_completed(shell):
    shell.run("%%runware -s 256x256 --seed 1 -q\na sea")
    task_uuid = shell.names["_rw"].task_uuid
    assert complete_runware(f"%runware show {task_uuid[:3]}")[1] == [task_uuid[:8]]
    assert task_uuid[:8] in complete_runware("%runware diff ")[1]
    assert complete_runware("%runware budget ")[1] == [] or task_uuid[:8] not in complete_runware("%runware budget ")[1]


def test_names_are_filled_in_on_the_line_too(shell):
    shell.names.update(wide="256x256", start=5, mood="very {start} calm")
    shell.run("%%runware -s {wide} --seed {start} -q --tag {mood} -o sea\na {mood} sea")
    record = shell.names["sea"]
    assert record.task["positivePrompt"] == "a very {start} calm sea"
    assert (record.task["width"], record.task["seed"]) == (256, 5)
    shell.names["run"] = record.task_uuid[:8]
    shell.run("%runware rate {run}#1 5")
    import runware_nb as rw

    found = rw.log.find(record.task_uuid)
    assert found.best_rating == 5
    assert found.tags == ("very {start} calm",)
    assert found.prompt_template == "a {mood} sea"


def test_an_image_on_the_line_is_found_wherever_it_is(shell, sandbox, tmp_path):
    from PIL import Image

    shell.run("%%runware -s 256x256 -n 3 --seed 1 -q -o ships\na ship")
    ships = shell.names["ships"]
    ships[1].save(tmp_path / "a ship.png")
    shell.names["drawn"] = Image.new("L", (256, 256), 255)
    shell.names["second"] = ships[1]
    maker = current_session().log.find(ships.task_uuid).task_uuid
    ways = ["ships#1", "second", "#2", f"{ships.task_uuid[:8]}#2", "'a ship.png'", ships[1].url, ships[1].item_uuid]
    for number, way in enumerate(ways):
        current_session().last = ships
        shell.run(f"%%runware -s 256x256 --seed {number} --from {way} --strength 0.5 -q\na ship in a storm")
        record = current_session().log.recent(1)[0]
        assert record.parent_uuid == maker, way
        assert record.request["strength"] == 0.5
        assert (
            record.inputs[0]["sha256"]
            == current_session().log.find(maker).results[int(way != "ships#1")].received_sha256
        )
    shell.run("%%runware -s 256x256 --from ships#1 --mask drawn -q\na ship")
    assert len(current_session().log.recent(1)[0].inputs) == 2
    shell.run("%%runware -s 256x256 --from second --dry-run\na ship")


@pytest.mark.parametrize(
    ("way", "sentence"),
    [("nothing", "Cannot find image 'nothing': no variable, file, URL or run has this name. Nothing"), ("#4", "has 1 image, and no #4"), ("ffff0000", "The log has no run"),
     ("number", "as a medium")],
)  # fmt: skip
def test_a_word_that_is_no_image_is_one_sentence(shell, sandbox, way, sentence):
    from runware_nb.errors import RunwareNBError

    shell.run("%%runware -s 256x256 --seed 1 -q\na ship")
    shell.names["number"] = 7
    with pytest.raises(RunwareNBError, match=sentence):
        shell.run(f"%%runware -s 256x256 --from {way} -q\na ship")
    assert len(sandbox.charges()) == 1


def test_the_code_of_a_run_comes_as_the_next_cell(shell, monkeypatch):
    shell.run("%%runware -s 256x256 --seed 1 -q\na sea")
    given = []
    monkeypatch.setattr(shell.shell, "set_next_input", given.append)
    shell.names["run"] = shell.names["_rw"].task_uuid[:8]
    shell.run("%runware code {run}")
    assert "rw.image(" in given[0]
    assert shell.run(given[0]).is_recorded


def test_a_question_is_asked_in_the_cell(shell, monkeypatch):
    from runware_nb.errors import NotConfirmed

    asked = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "no")
    shell.run("%runware budget --ask-above 0")
    with pytest.raises(NotConfirmed, match="You answered no"):
        shell.run("%%runware -s 256x256\na sea")
    assert "Send? [y/N]" in asked[0]
    shell.run("%%runware -s 256x256 --yes -q\na sea")
    assert len(asked) == 1


def test_completion_in_the_shell_does_not_double_the_model(shell):
    from IPython.core.completer import provisionalcompleter

    with provisionalcompleter():
        completions = list(shell.shell.Completer.completions("%%runware -m runware:10", 23))
    assert {completion.text for completion in completions} >= {"runware:101@1", "runware:100@1"}
    assert all(completion.start == 13 for completion in completions if completion.text.startswith("runware:"))


def test_unloading_takes_the_magics_out(shell):
    shell.shell.run_line_magic("unload_ext", "runware_nb")
    assert shell.shell.find_line_magic("runware") is None
    assert not [one for one in shell.shell.input_transformers_cleanup if "runware" in one.__module__]
    shell.shell.run_line_magic("load_ext", "runware_nb")
    assert shell.shell.find_cell_magic("runware") is not None


def test_capture_and_time_work(shell):
    shell.run(f"%%capture caught\n%runware text-to-image {SMALL} a ship")
    assert "1 image" in shell.names["caught"].outputs[0].data["text/plain"]
