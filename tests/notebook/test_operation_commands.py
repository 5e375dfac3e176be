"""The commands, cells, functions and forms of operations: what is bound and shown, and what is refused."""

import datetime as dt
import decimal
import enum

import pytest
from PIL import Image

import runware_nb as rw
from runware_nb.core.results import Outcome
from runware_nb.engine.display import error_sentence
from runware_nb.engine.jobs import Job
from runware_nb.errors import ConfigError, MagicUsageError, TaskInvalid
from runware_nb.notebook.completion import complete_runware
from runware_nb.notebook.syntax import NOTEBOOK
from runware_nb.session import current_session


@pytest.fixture
def photo(tmp_path):
    Image.new("RGB", (64, 48), "teal").save("in.png")
    return "in.png"


@pytest.fixture
def shell(shell, photo, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda question: "y")  # an unknown price is asked about
    shell.run("import runware_nb as rw")
    return shell


def refused(shell, cell):
    """Return the whole message of a refused cell."""
    with pytest.raises((MagicUsageError, TaskInvalid)) as caught:
        shell.run(cell)
    return "\n".join(caught.value._render_traceback_())


# --- results ---------------------------------------------------------------------------------------------


def test_a_command_shows_and_binds_its_result(shell, sandbox, capsys):
    shell.run("%runware upscale in.png --factor 2 -o large --tag study --note big")
    large = shell.names["large"]
    assert isinstance(large, Outcome)
    assert shell.names["_rw"] is large
    assert large[0].image.size == (128, 96)
    assert "1 result" in capsys.readouterr().out
    (run,) = current_session().log.recent(1)
    assert (run.tags, run.note, run.operation) == (("study",), "big", "upscale")
    shell.run("%runware caption _rw -b -o words")
    assert isinstance(shell.names["words"], Job)
    assert shell.names["words"].result()[0].text


def test_a_quiet_command_shows_nothing(shell, capsys):
    capsys.readouterr()
    shell.run("%runware mask in.png -q -o m")
    assert capsys.readouterr().out == ""
    assert shell.names["m"].results


def test_the_same_work_is_answered_from_the_log_and_fresh_asks_again(shell, sandbox):
    for end in ("", "", " --fresh"):
        shell.run(f"%runware upscale in.png --factor 2 -q{end}")
    assert len(sandbox.requests()) == 2


def test_a_dry_run_sends_nothing(shell, sandbox, capsys):
    shell.run("%runware video 'a storm' --duration 5 --dry-run")
    assert "nothing (dry run)" in capsys.readouterr().out
    assert sandbox.requests() == []


def test_names_are_filled_in_the_body_and_the_line(shell, sandbox):
    shell.names.update(what="storm", factor=3)
    shell.run("%%runware text -q --max-tokens 9\na {what}, {{what}}")
    (run,) = current_session().log.recent(1)
    assert run.request["messages"] == [{"role": "user", "content": "a storm, {what}"}]
    assert run.prompt_template == "a {what}, {{what}}"
    shell.run("%runware upscale in.png --factor {factor} -q")
    assert sandbox.requests()[-1]["upscaleFactor"] == 3


def test_free_words_are_the_prompt(shell, sandbox):
    shell.run("%runware enhance a cat on a roof -q")
    assert sandbox.requests()[-1]["prompt"] == "a cat on a roof"


# --- words of a prompt that name a medium -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "right"),
    [
        ('%runware video harbor "the boats leave" --yes',
         "%runware video 'the boats leave' --first-frame harbor --yes"),
        ("%runware video the boats harbor leave", "%runware video 'the boats leave' --first-frame harbor"),
        ("%runware video in.png harbor leaves", "%runware video leaves --first-frame in.png --last-frame harbor"),
        ("%runware video --first-frame harbor harbor leaves",
         "%runware video --first-frame harbor leaves --last-frame harbor"),
        ("%runware video leaves {photo}", "%runware video leaves --first-frame {photo}"),
        ("%runware video leaves _rw", "%runware video leaves --first-frame _rw"),
        ("%runware video leaves #1", "%runware video leaves --first-frame #1"),
        ("%runware video leaves RUN", "%runware video leaves --first-frame RUN"),
        ("%%runware video harbor\nthe boats leave", "%%runware video --first-frame harbor"),
        ("%runware text-to-image harbor 'at night'", "%runware text-to-image 'at night' --from harbor"),
        ("%runware text 'What is in' harbor", "%runware text 'What is in' --image harbor"),
        ("%runware audio rain harbor", "%runware audio rain"),
        ("%runware enhance brighter words", "%runware enhance 'brighter {words}'"),
    ],
)  # fmt: skip
def test_a_medium_among_the_words_of_a_prompt_is_refused_with_its_option(shell, sandbox, cell, right):
    shell.run("%runware caption in.png -q -o words")
    shell.run("%runware upscale in.png --factor 2 -q -o harbor")
    shell.names["photo"] = "in.png"
    cell, right = (text.replace("RUN", shell.names["harbor"][0].task_uuid) for text in (cell, right))
    sent = len(sandbox.requests())
    message = refused(shell, cell)
    assert "Nothing was sent" in message
    assert f"Try: {right}" in message
    assert len(sandbox.requests()) == sent


def test_plain_words_stay_part_of_the_prompt(shell, sandbox):
    shell.names.update(boats=3, leave="a text", harbor=None)
    shell.run("%runware enhance boats leave harbor #2 38d65a94 in.txt facade -q")
    assert sandbox.requests()[-1]["prompt"] == "boats leave harbor #2 38d65a94 in.txt facade"
    shell.names["harbor"] = Image.new("RGB", (8, 8))
    plan = rw.command("video", prompt="harbor", dry_run=True).json
    assert plan["task"]["positivePrompt"] == "harbor"


def test_one_of_several_results_is_chosen_by_the_user(shell, sandbox):
    """Each operation is paid for, so it must not begin with the first of two without a question."""
    shell.run("%%runware -s 256x256 -n 2 -q -o two\na ship")
    sent = len(sandbox.requests())
    for word in ("two", "_rw", current_session().log.recent(1)[0].task_uuid[:8]):
        message = refused(shell, f"%runware upscale {word} --factor 2")
        assert f"`{word}` has 2 results, and one is expected here. Nothing was sent." in message
        assert f"Try: %runware upscale {word}#1 --factor 2" in message
    assert "Try: %%runware video --first-frame two#1" in refused(shell, "%%runware video --first-frame two\na storm")
    assert "Try: %%runware --from two#1" in refused(shell, "%%runware --from two\na storm")
    assert len(sandbox.requests()) == sent
    shell.run("%runware upscale two#2 --factor 2 -q")
    (run, *_) = current_session().log.recent(1)
    assert [(parent.role, parent.index) for parent in run.parents] == [(run.parents[0].role, 1)]


def test_history_begins_with_the_last_run_and_takes_outcomes(shell, sandbox, capsys):
    shell.run("%runware upscale in.png --factor 2 -q -o two")
    capsys.readouterr()
    for line in ("%runware history", "%runware history two"):
        shell.run(line)
        assert current_session().log.recent(1)[0].task_uuid[:8] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cell", "corrected"),
    [
        ("%%runware vidoe --duration 5\na storm", "%%runware video --duration 5"),
        ("%runware upscal in.png --factor 2", "%runware upscale in.png --factor 2"),
    ],
)
def test_a_mistyped_operation_is_corrected_with_its_line(shell, sandbox, cell, corrected):
    message = refused(shell, cell)
    assert "Nothing was sent." in message
    assert message.endswith(f"Try: {corrected}")
    assert sandbox.requests() == []


def test_a_conversation_that_takes_a_word_of_the_prompt_is_explained(shell, sandbox):
    message = refused(shell, "%runware text --continue what about lakes")
    assert "Cannot continue what: no run and no variable has this name. Nothing was sent." in message
    assert "`--continue` without a value continues the last text; write it after the prompt." in message


def test_a_command_has_the_name_of_its_function_too(shell, sandbox):
    shell.run("%runware remove_background in.png -q")
    assert sandbox.requests()[-1]["taskType"] == "removeBackground"


# --- models ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "model"),
    [
        ("upscale in.png", "runware:504@1"), ("upscale in.png --prompt leaves", "runware:500@1"),
        ("upscale in.png -m esrgan", "runware:504@1"), ("upscale in.png -m mine", "runware:503@1"),
        ("remove-background in.png", "runware:109@1"), ("vectorize in.png", "recraft:1@1"),
        ("vectorize --prompt 'a logo'", "recraft:v4@vector"), ("3d in.png", "microsoft:trellis-2@4b"),
        ("3d --prompt 'a chair'", "tripo:v3.1@0"), ("audio --speech 'all aboard'", "minimax:speech@2.8"),
        ("audio rain", "runware:ace-step@v1.5-turbo"), ("controlnet in.png", "runware:controlnet-preprocess@canny"),
        ("mask in.png --detector hand", "runware:35@3"),
    ],
)  # fmt: skip
def test_the_model_accepts_what_is_given(shell, line, model):
    current_session().aliases.give("mine", "swinir")
    assert rw.command(*split(line), dry_run=True).json["task"]["model"] == model


def split(line):
    import shlex

    return shlex.split(line)


def test_one_image_is_a_list_where_the_model_takes_lists(shell, sandbox):
    task = rw.command("3d", "in.png", model="tripo", dry_run=True).json["task"]
    assert task["inputs"] == {"images": ["in.png"]}


def test_a_prompt_for_a_model_that_speaks_is_spoken(shell, sandbox):
    shell.run("%%runware audio -m speech -q --yes\nall aboard")
    (task,) = sandbox.requests()
    assert task["speech"] == {"text": "all aboard"}
    assert "positivePrompt" not in task


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%runware upscale", ["upscale needs an image or a video. Nothing was sent.", "`%runware upscale IMG`"]),
        ("%runware video", ["video needs a prompt", "Nothing was sent", "`%runware video ...`"]),
        ("%%runware video\n", ["The prompt is empty. Write it below the line. Nothing was sent."]),
        ("%%runware upscale in.png\n\n", ["The prompt is empty", "write the line with one %"]),
        ("%runware video ''", ["video needs a prompt"]),
        ("%runware enhance --prompt ' '", ["The prompt is empty. Nothing was sent."]),
        ("%%runware mask in.png\nface", ["mask takes no prompt. Delete the text below the line"]),
        ("%%runware video a storm\na calm", ["two prompts: 'a storm' and the body of the cell"]),
        ("%%runware caption in.png --prompt why\nwhat", ["two prompts: --prompt 'why' and the body"]),
        ("%runware upscale in.png -m runware:101@1", [
            "runware:101@1 is a model for text-to-image, not for upscale. Models for upscale: esrgan, clarity",
            "%runware upscale in.png -m "]),
        ("%runware upscale in.png -m esrgan --prompt leaves", [
            "runware:504@1 does not accept a prompt. Nothing was sent.",
            "These models for upscale accept `--prompt`: clarity, ccsr, latent-upscaler",
            "%runware upscale in.png -m clarity --prompt leaves"]),
        ("%%runware upscale in.png -m esrgan\nleaves", [
            "runware:504@1 does not accept a prompt", "%%runware upscale in.png -m clarity"]),
        ("%runware mask in.png --detector hand -m runware:35@1", ["Give either model or detector"]),
        ("%runware mask in.png --confidence 2", ["--confidence 1"]),
        ("%runware upscale in.png --facotr 2", ["did you mean --factor", "%runware upscale in.png --factor 2"]),
        ("%runware upscale in.png 2", ["one word too many"]),
        ("%runware upscale nowhere.png", ["nowhere.png", "Nothing was sent"]),
        ("%runware remove-background in.png --rgba red", ["expected numbers with commas"]),
        ("%runware video a storm --negative blurry text", ["%runware video a storm --negative 'blurry text'"]),
        ("%%runware log\nx", ["The command log has one %", "%runware log"]),
        ("%%runware upload in.png\nx", ["The command upload has one %"]),
        ("%runware text hi -o 2x", ["Python name"]),
    ],
)  # fmt: skip
def test_a_refusal_is_one_sentence_with_what_to_do(shell, sandbox, cell, words):
    message = refused(shell, cell)
    for text in words:
        assert text in message
    assert sandbox.requests() == []


def test_a_corrected_line_works(shell, sandbox):
    with pytest.raises(TaskInvalid) as caught:
        shell.run("%runware upscale in.png -m esrgan --prompt leaves")
    shell.run(f"{caught.value.corrected} -q")
    assert sandbox.requests()[0]["model"] == "runware:500@1"


# --- defaults --------------------------------------------------------------------------------------------


def test_defaults_of_images_go_where_they_make_sense(shell, sandbox):
    shell.run(
        "%config RunwareMagics.model = 'runware:100@1'\n%config RunwareMagics.size = '256x256'\n"
        "%config RunwareMagics.number_results = 4\n%config RunwareMagics.steps = 5\n%config RunwareMagics.seed = 7\n"
        "%config RunwareMagics.format = 'PNG'\n%config RunwareMagics.tag = 'study'\n"
        "%config RunwareMagics.negative = 'blurry'"
    )
    shell.run("%%runware video --duration 1 --dry-run\na storm")
    task = rw_task(shell, "%%runware video --duration 1\na storm")
    assert task["model"] == "google:3@3"
    assert (task["seed"], task["negativePrompt"]) == (7, "blurry")
    assert not task.keys() & {"width", "height", "numberResults", "steps", "outputFormat"}
    shell.run("%runware upscale in.png -q")
    assert current_session().log.recent(1)[0].tags == ("study",)
    assert sandbox.requests()[-1]["outputFormat"] == "PNG"
    assert "settings" not in sandbox.requests()[-1]  # its model takes none, and the seed is in them
    shell.run("%config RunwareMagics.model = 'clarity'")
    assert rw_task(shell, "%runware upscale in.png")["settings"] == {"seed": 7, "negativePrompt": "blurry"}


def rw_task(shell, cell):
    """Return the task that a cell would send."""
    from runware_nb.notebook import magic_runner

    planned = []
    real = magic_runner.Runner._show
    try:
        magic_runner.Runner._show = lambda self, answer: planned.append(answer.json["task"])
        shell.run(cell.replace("\n", " --dry-run\n", 1) if "\n" in cell else f"{cell} --dry-run")
    finally:
        magic_runner.Runner._show = real
    return planned[0]


# --- Python ----------------------------------------------------------------------------------------------


class Format(enum.Enum):
    PNG = "PNG"


def test_values_of_other_libraries_are_plain_on_the_wire(shell, sandbox):
    import numpy as np
    import pandas as pd

    row = pd.DataFrame({"factor": [2.0], "seed": [7]}).iloc[0]
    rw.upscale("in.png", row["factor"], output_format=Format.PNG, output_quality=np.int64(80), model="clarity",
               seed=row["seed"], strength=decimal.Decimal("0.5"), fresh=True).result()  # fmt: skip
    (task,) = sandbox.requests()
    assert (task["upscaleFactor"], task["outputFormat"], task["outputQuality"]) == (2, "PNG", 80)
    assert task["settings"] == {"seed": 7, "strength": 0.5}
    with pytest.raises(TaskInvalid, match=r"Invalid upscaleFactor nan.*Nothing was sent"):
        rw.upscale("in.png", float("nan"))
    with pytest.raises(TaskInvalid, match="Nothing was sent"):
        rw.upscale("in.png", dt.date(2026, 1, 1))


def test_other_parameters_are_merged_with_those_that_have_a_name(shell, sandbox):
    rw.upscale(Image.open("in.png"), 2, model="clarity", seed=7, extra={"settings": {"colorFix": True}}).result()
    shell.run("%runware upscale in.png --factor 2 -m clarity --set settings.colorFix=true --fresh -q")
    first, second = sandbox.requests()
    assert first["settings"] == second["settings"] | {"seed": 7}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rw.upscale("in.png", facotr=2), "rw.upscale; the nearest is factor"),
        (lambda: rw.video(positive_prompt="x"), "rw.video; the nearest is prompt"),
        (lambda: rw.upscale("in.png", zzz=2), r"others go into extra=\{...\}"),
        (lambda: rw.upscale("in.png", 2, 3), r"those of rw.upscale\(image, factor"),
        (rw.upscale, r"upscale needs an image or a video. Nothing was sent. Write `rw.upscale\(image\)`"),
        (lambda: rw.text(" "), "The prompt is empty. Nothing was sent"),
        (lambda: rw.upscale("in.png", model="runware:101@1"), "a model for text-to-image, not for upscale"),
        (lambda: rw.upscale("in.png", model="esrgan", prompt="x"), "These models for upscale accept `prompt`"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_one_sentence(shell, sandbox, call, words):
    with pytest.raises((MagicUsageError, TaskInvalid), match=words):
        call()
    assert sandbox.requests() == []


# --- completion and help ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "wanted", "unwanted"),
    [
        ("%runware ups", ["upscale"], []), ("%%runware vi", ["video"], []), ("%%runware ", ["video", "-m"], ["log"]),
        ("%runware upscale -m ", ["esrgan", "runware:500@1"], ["flux", "veo"]),
        ("%%runware video -m ", ["veo"], ["flux", "esrgan"]), ("%%runware -m ", ["flux"], ["veo"]),
        ("%runware upscale ", ["photo", "_rw", "#1", "in.png", "sub/", "--factor"], ["number", "clip.mp4"]),
        ("%runware upscale sub/", ["sub/other.jpg"], []), ("%runware upscale --video ", ["clip.mp4"], ["in.png"]),
        ("%runware upscale -", ["-o", "--background", "--tag", "--megapixels"], ["--duration"]),
        ("%%runware video -", ["-o", "--duration"], ["--cfg-scale", "--megapixels"]),
        ("%runware vectorize --format ", ["SVG"], ["PNG"]), ("%runware mask in.png --detector h", ["hand"], []),
        ("%runware upload ", ["in.png"], []), ("%runware video ", ["--duration"], ["in.png"]),
    ],
)  # fmt: skip
def test_completion_knows_the_operation(shell, tmp_path, line, wanted, unwanted):
    (tmp_path / "sub").mkdir()
    for name in ("sub/other.jpg", "clip.mp4", "notes.txt"):
        (tmp_path / name).touch()
    shell.run("%runware mask in.png -q -o photo")
    found = complete_runware(line, {**shell.names, "number": 3})[1]
    assert set(wanted) <= set(found)
    assert not set(unwanted) & set(found)


def test_help_has_examples_that_work(shell, sandbox, capsys):
    from runware_nb.core.operations import OPERATIONS

    capsys.readouterr()
    for operation in OPERATIONS:
        if operation.function in {None, "image"}:
            continue
        shell.run(f"%runware {operation.name} -h")
        text = capsys.readouterr().out
        assert operation.examples
        for example in operation.examples:
            assert f"  %runware {operation.name} {example}" in text
            if "--continue" in example:
                continue  # there is no conversation yet
            words = [{"photo.png": "in.png", "logo.png": "in.png", "chair.png": "in.png", "ship.png": "in.png"}.get(w, w)
                     for w in split(example)]  # fmt: skip
            assert rw.command(operation.name, *words, "--dry-run").json["task"]
    assert sandbox.requests() == []


# --- forms -----------------------------------------------------------------------------------------------


def test_a_form_keeps_what_it_is_given(shell, sandbox):
    shell.run("picture = rw.upscale('in.png').result()[0]")
    picture = shell.names["picture"]
    assert rw.form("upscale", image=picture, factor=3).task["inputs"] == {"image": "picture"}
    del shell.names["picture"]
    form = rw.form("upscale", image=picture)
    assert form.task["inputs"] == {"image": f"{picture.task_uuid}#1"}
    kept = rw.form("video", image=Image.open("in.png"), prompt="a storm", duration=5).task
    assert kept["inputs"]["image"].endswith(".png")
    assert (kept["positivePrompt"], kept["duration"]) == ("a storm", 5)
    frames = rw.form("video", last_frame="in.png", prompt="a storm")
    assert frames.task["inputs"]["frameImages"] == [{"image": "in.png", "frame": "last"}]
    assert rw.form("runware:101@1", prompt="a ship").task["positivePrompt"] == "a ship"


def test_a_form_for_text_has_a_prompt_and_keeps_the_conversation(shell):
    earlier = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    form = rw.form("text", messages=[*earlier, {"role": "user", "content": "why?"}], max_tokens=9)
    titles = [getattr(widget, "description", "") for widget in walk(form.widget)]
    assert "Prompt (needed)" in titles
    assert not [title for title in titles if title.startswith("Number of images")]
    assert form.task["messages"] == [*earlier, {"role": "user", "content": "why?"}]
    box = next(widget for widget in walk(form.widget) if getattr(widget, "description", "") == "Prompt (needed)")
    box.value = "and then?"
    assert form.task["messages"] == [*earlier, {"role": "user", "content": "and then?"}]
    box.value = " "
    with pytest.raises(TaskInvalid, match="Prompt is needed"):
        _ = form.task


def test_a_form_offers_models_of_its_operation(shell):
    form = rw.form("upscale", image="in.png")
    form._tools.fold.open()
    assert "clarity" in form._tools._model.options
    assert "flux" not in form._tools._model.options
    with pytest.raises(TaskInvalid, match="a model for text-to-image, not for upscale"):
        rw.form("upscale", model="flux")


def walk(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


# --- uploads ---------------------------------------------------------------------------------------------


def test_an_upload_is_made_once_and_costs_nothing(shell, sandbox, capsys):
    capsys.readouterr()
    shell.run("%runware upload in.png")
    shown = capsys.readouterr().out
    uploaded = rw.upload("in.png")
    assert uploaded in shown
    assert uploaded.url.startswith("http")
    assert uploaded.url in shown
    assert sandbox.charges() == []
    assert current_session().log.recent(1) == []
    rw.upscale(uploaded, 2).result()
    (task,) = sandbox.requests()
    assert task["inputs"] == {"image": uploaded}
    assert rw.upload(rw.upscale(uploaded, 2).result()) != uploaded
    assert rw.upload(str(uploaded)) == uploaded
    assert rw.upload(uploaded.url) != uploaded  # the service fetches a URL, and stores it as a further medium
    with pytest.raises(MagicUsageError, match="Nothing was uploaded"):
        rw.upload(rw.enhance("a ship", versions=2).result())


def test_a_wrong_upload_is_one_sentence(shell, sandbox):
    with pytest.raises(MagicUsageError, match=r"nowhere\.png"):
        shell.run("%runware upload nowhere.png")
    with pytest.raises(Exception, match=r"nowhere\.png"):
        rw.upload("nowhere.png")


def test_without_a_key_nothing_is_sent(shell, sandbox, monkeypatch):
    current_session().connection.forget_key()
    monkeypatch.delenv("RUNWARE_API_KEY")
    with pytest.raises(ConfigError):
        shell.run("%runware upscale in.png")


def test_a_dry_run_names_media_as_the_user_does(shell, capsys):
    shell.run("from PIL import Image")
    shell.run("sketch = Image.new('RGB', (64, 48))")
    shell.run("%runware mask in.png -o made")
    capsys.readouterr()
    shell.run("%runware upscale sketch --factor 2 --dry-run")
    assert '"sketch"' in capsys.readouterr().out
    shell.run("%runware upscale made --factor 2 --dry-run")
    said = capsys.readouterr().out
    assert f'{{"image": "result #1 of run {shell.names["made"].task_uuid[:8]}"}}' in said


def test_a_dry_run_states_that_a_url_was_not_checked(shell, capsys):
    shell.run("%runware upscale https://example.com/a.png --factor 2 --dry-run")
    assert "The URL https://example.com/a.png was not checked: the service fetches it." in capsys.readouterr().out


def test_resume_binds_the_outcome_of_a_run_that_finished_before(shell):
    shell.run("%runware mask in.png -b")
    outcome = shell.names["_rw"].result()
    shell.run("%runware resume")
    assert shell.names["_rw"] == outcome


@pytest.mark.parametrize(
    ("field", "named"),
    [("inputs.image", ""), ("continue_from", ""), ("controlNet", " (--control)"), ("steps", " (--steps)")],
)
def test_an_error_of_a_line_names_options_and_no_fields(shell, field, named):
    error = TaskInvalid("The value is refused.", parameter=field)
    assert error_sentence(error) == f"TaskInvalid: The value is refused.{named}"
    assert error._render_traceback_() == [f"TaskInvalid: The value is refused. (parameter {field})"]  # in Python
    error.syntax = NOTEBOOK
    assert error._render_traceback_() == [f"TaskInvalid: The value is refused.{named}"]
