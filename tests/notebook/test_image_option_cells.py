"""The image options of `%%runware` cells: what is sent, what is shown and what is refused."""

from __future__ import annotations

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import runware_nb as rw
from runware_nb.errors import BudgetExceeded, MagicUsageError, RunwareNBError, TaskInvalid
from runware_nb.notebook.completion import complete_runware
from runware_nb.session import current_session

REFINERS = (
    "runware:101@1 (FLUX.1 [dev]) does not accept --refiner; civitai:101055@128078 (SDXL 1.0 VAE fix), "
    "civitai:133005@782002 (Juggernaut XL XI) and civitai:139562@297320 (RealVisXL) accept it. Nothing was sent."
)
SMALL = "-s 256x256 --seed 4 -q"


@pytest.fixture
def notebook(shell, tmp_path, monkeypatch):
    """A shell in a folder with an image, `in.png`, whose user agrees to unknown prices."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.input", lambda _: "y")
    Image.new("RGB", (256, 128), "teal").save("in.png")
    return shell


def last_request():
    return current_session().log.recent(1)[0].request


def refusal(notebook, cell, kind=RunwareNBError):
    with pytest.raises(kind) as caught:
        notebook.run(cell)
    assert current_session().log.recent() == []
    return "\n".join(caught.value._render_traceback_())


def test_a_ratio_is_reported_in_pixels_before_anything_is_sent(notebook, capsys, sandbox):
    notebook.run("%%runware --from in.png --outpaint 1:1 --dry-run\na lake")
    shown = capsys.readouterr().out
    assert "--outpaint 1:1: top=64, bottom=64, which makes 256x256 px." in shown
    assert "{'top': 64, 'bottom': 64}" in shown or '"top": 64' in shown
    assert sandbox.charges() == []
    notebook.run("%%runware --from in.png --outpaint 1:1 --seed 4 -q\na lake")
    request = last_request()
    assert (request["outpaint"], request["width"], request["height"]) == ({"top": 64, "bottom": 64}, 256, 256)


@pytest.mark.parametrize(
    ("size", "line", "expected"),
    [
        ((256, 128), "", (256, 128)),
        ((250, 120), "", (272, 128)),
        ((4000, 1000), "", (2048, 512)),
        ((64, 32), "", (256, 128)),
        ((6000, 100), "", (1024, 1024)),  # no accepted size has this shape
        ((256, 128), "-s 512x512", (512, 512)),
    ],
)  # fmt: skip
def test_an_edit_has_the_size_of_its_source(notebook, capsys, size, line, expected):
    """An edit without --size keeps the shape of its source, and a notice states a size that had to be changed."""
    Image.new("RGB", size, "teal").save("in.png")
    notebook.run(f"%%runware --from in.png {line} --dry-run\na lake")
    shown = capsys.readouterr().out
    assert f"width           {expected[0]}\nheight          {expected[1]}" in shown
    is_changed = not line and expected not in {size, (1024, 1024)}
    assert (
        f"The result has {expected[0]}x{expected[1]} px, and not the {size[0]}x{size[1]} px of --from" in shown
    ) is is_changed


def test_the_size_of_a_source_precedes_the_default_of_settings(notebook):
    notebook.run('%config RunwareMagics.size = "512x512"')
    notebook.run("%%runware --from in.png --seed 4 -q\na lake")
    assert (last_request()["width"], last_request()["height"]) == (256, 128)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--outpaint 16:9", "--outpaint extends an image, and there is none. Nothing was sent. Add --from"),
        ("--from in.png --outpaint 2:1", "the source of 256x128 px is already as near to this ratio"),
        ("--from in.png --outpaint left=100", "the nearest is 128"),
        ("--from https://example.org/a.png --outpaint 16:9", "is not on this machine"),
        ("--transparent --format JPG", "--transparent needs PNG or WEBP"),
        ("--control canny:missing.png", "Cannot find image 'missing.png'"),
        ("--control blob:in.png", "unknown kind 'blob'"),
        ("--control seg:in.png", "Add its AIR identifier, such as seg:in.png:1:runware:25@1"),
        ("--refiner civitai:101055@128080", REFINERS),
        ("--photomaker in.png", "does not accept --photomaker; "),
        ("--embedding civitai:7808@9208", "does not accept --embedding; "),
        ("-m kontext --outpaint left=64 --from in.png", "does not accept --"),
        ("-m sdxl --pulid in.png", "does not accept --pulid; runware:101@1 (FLUX.1 [dev])"),
        ("-m sdxl --transparent", "does not accept --transparent; "),
        ("-m sdxl --acceleration high", "does not accept --acceleration; "),
        ("-m sdxl --control lineart:in.png", "For this model, canny, depth have one."),
        ("--vary in.png --from in.png", "--vary and --from both state the image to start from"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_one_sentence_and_nothing_is_sent(notebook, sandbox, line, message):
    shown = refusal(notebook, f"%%runware -s 512x512 {line}\na lake" if "outpaint" not in line else
                    f"%%runware {line}\na lake")  # fmt: skip
    assert message in " ".join(shown.split())
    assert sandbox.charges() == []


def test_an_empty_cell_takes_the_prompt_of_the_image_that_it_varies(notebook):
    notebook.run("%%runware -s 256x256 --steps 9 --format PNG -q -o first\na red ship")
    first = current_session().log.recent(1)[0]
    notebook.run("%%runware --vary _rw --strength 0.2 -q\n")
    variation = current_session().log.recent(1)[0]
    request = variation.request
    assert (request["positivePrompt"], request["steps"], request["strength"], request["outputFormat"]) == (
        "a red ship", 9, 0.2, "PNG"
    )  # fmt: skip
    assert request["seed"] != first.request["seed"]
    assert ("variation", first.task_uuid) in [(parent.role, parent.task_uuid) for parent in variation.parents]
    # What the cell states counts more, and parameters of one model are not sent to another one.
    notebook.run("%%runware --vary first -m sdxl --strength 0.3 -q\na blue ship")
    request = last_request()
    assert request["positivePrompt"] == "a blue ship"
    assert "steps" not in request
    assert (request["width"], request["model"]) == (256, "civitai:101055@128078")


def test_a_file_of_another_tool_states_its_prompt(notebook):
    text = PngInfo()
    text.add_text(
        "parameters", "a fox\nSteps: 21, Sampler: Euler a, CFG scale: 6, Seed: 1, Size: 256x256, Model: dream_8"
    )
    Image.new("RGB", (256, 256), "teal").save("fox.png", pnginfo=text)
    notebook.run("%%runware --vary fox.png --strength 0.2 -q\n")
    request = last_request()
    assert (request["positivePrompt"], request["steps"], request["model"]) == ("a fox", 21, "runware:101@1")
    assert (request["width"], request["seed"] != 1) == (256, True)


def test_a_variation_of_an_image_in_progress_waits_for_it(notebook):
    first = rw.image("a lake", width=256, height=256, seed=5)
    second = rw.image(vary=first, strength=0.2)
    assert second.result().task["positivePrompt"] == "a lake"
    parents = current_session().log.find(second.task_uuid).parents
    assert {(parent.role, parent.task_uuid) for parent in parents} == {
        ("variation", first.task_uuid), ("seedImage", first.task_uuid)
    }  # fmt: skip


def test_an_image_that_nobody_knows_has_no_prompt_to_take(notebook):
    message = "--vary: neither the log nor the file contains the prompt of this image"
    assert message in refusal(notebook, "%%runware --vary in.png\n", TaskInvalid)
    assert "the prompt is empty" in refusal(notebook, "%%runware -s 256x256\n", MagicUsageError)


def test_a_variation_of_an_edited_file_has_the_prompt_of_the_original(notebook, tmp_path):
    notebook.run(f"%%runware {SMALL} --format PNG -o first\na red ship")
    larger = notebook.names["first"].results[0].upscale(2).result().results[0]
    notebook.names["copy"] = str(larger.path)
    notebook.run("%%runware --vary copy --strength 0.2 -q\n")
    assert last_request()["positivePrompt"] == "a red ship"


def test_a_guide_image_is_made_first_and_shown_beside_the_result(notebook, sandbox, capsys):
    notebook.run("%%runware -s 256x256 --control canny:in.png:0.8 --dry-run\na lake")
    shown = capsys.readouterr().out
    assert "A guide image is made first (runware:controlnet-preprocess@canny)." in shown
    assert sandbox.charges() == []
    notebook.run("%%runware -s 256x256 --control canny:in.png:0.8 --seed 1\na lake")
    image, guide = current_session().log.recent()
    assert guide.operation == "controlnet"
    assert image.request["controlNet"][0] | {"guideImage": ""} == {
        "model": "runware:25@1", "guideImage": "", "weight": 0.8
    }  # fmt: skip
    html = notebook.names["_rw"]._repr_mimebundle_()["text/html"]
    assert html.count("<img") == 2
    assert "guide image · runware:25@1 · weight 0.8" in html
    # The guide image of the first cell answers the second one.
    notebook.run("%%runware -s 256x256 --control canny:in.png:0.8 --seed 2 -q\na forest")
    assert len(sandbox.charges()) == 3


def test_a_guide_image_and_its_image_are_agreed_to_together(notebook, sandbox, monkeypatch):
    from runware_nb.errors import NotConfirmed

    asked = []
    session = current_session()

    def refuse(question):
        asked.append(question)
        return "n"

    monkeypatch.setattr("builtins.input", refuse)
    with pytest.raises(NotConfirmed):
        notebook.run("%%runware -s 256x256 --control canny:in.png --seed 1\na lake")
    assert len(asked) == 1
    assert "runware:controlnet-preprocess@canny" in asked[0]
    assert session.log.recent() == []
    assert sandbox.charges() == []


@pytest.mark.parametrize("agreed", ["", "--yes"])
def test_a_budget_that_covers_only_the_guide_image_refuses_both(notebook, sandbox, agreed):
    notebook.run("%%runware -s 256x256 --control canny:in.png --seed 1 -q\na lake")
    spent = sum(charge["amount"] for charge in sandbox.charges())
    Image.new("RGB", (256, 128), "red").save("other.png")
    notebook.run(f"%runware budget {spent + 0.001} --all")
    with pytest.raises(BudgetExceeded):
        notebook.run(f"%%runware -s 256x256 --control canny:other.png --seed 1 {agreed}\na lake")
    assert len(sandbox.charges()) == 2


def test_code_makes_the_same_request_again(notebook):
    lines = [
        "--ip-adapter runware:56@1:in.png:0.5", "--pulid in.png:0.7", "--transparent", "--safety",
        "--control guide:in.png:0.5:runware:27@1", "--from in.png --outpaint left=64,blur=8",
        "-m sdxl --refiner civitai:101055@128080:80% --embedding civitai:7808@9208:0.5",
        "-m sdxl --photomaker in.png --photomaker-style Cinematic",
    ]  # fmt: skip
    for line in lines:
        size = "" if "outpaint" in line else "-s 256x256"
        notebook.run(f"%%runware {size} --seed 4 -q {line}\na lake")
        (run,) = current_session().log.recent(1)
        charged = len(current_session().log.recent(None))
        names = {}
        assert "extra" not in rw.code(run.task_uuid) or "outpaint" in line
        exec(rw.code(run.task_uuid), names)
        assert names["images"].task_uuid == run.task_uuid, line
        assert len(current_session().log.recent(None)) == charged, line


def test_completion_offers_kinds_ratios_and_images(notebook):
    notebook.run(f"%%runware {SMALL} -o first\na red ship")
    assert "canny:" in complete_runware("%%runware --control ")[1]
    assert "16:9" in complete_runware("%%runware --outpaint ")[1]
    for option in ("--vary", "--pulid", "--photomaker"):
        found = complete_runware(f"%%runware {option} ")[1]
        assert {"#1", "in.png"} <= set(found)


def test_a_form_of_a_cell_names_what_it_cannot_derive(notebook):
    with pytest.raises(MagicUsageError, match="A form has no field for a guide image that is made first"):
        rw.form("%%runware --control canny:in.png\na lake")
    with pytest.raises(MagicUsageError, match="A form of a cell with --vary"):
        rw.form("%%runware --vary in.png\na lake")
    task = rw.form("%%runware -s 256x256 --pulid in.png:0.5 --safety\na lake").task
    assert (task["puLID"], task["safety"]) == ({"inputImages": ["in.png"], "idWeight": 0.5}, {"checkContent": True})


def test_replay_mode_answers_a_guided_image_and_a_variation_from_the_log(notebook, sandbox):
    cells = ["%%runware -s 256x256 --control canny:in.png --seed 1 -q -o first\na lake",
             "%%runware --vary first --strength 0.2 --seed 3 -q -o second\n"]  # fmt: skip
    for cell in cells:
        notebook.run(cell)
    files = [notebook.names[name].results[0].bytes for name in ("first", "second")]
    charged = len(sandbox.charges())
    current_session().configure(mode="replay")
    for cell in cells:
        notebook.run(cell)
    assert [notebook.names[name].results[0].bytes for name in ("first", "second")] == files
    assert len(sandbox.charges()) == charged


def test_a_cell_that_runs_again_is_answered_from_the_log_with_its_guide(notebook, sandbox):
    cell = "%%runware -s 256x256 --control canny:in.png:0.8 --seed 1\na lake"
    notebook.run(cell)
    first = notebook.names["_rw"]._repr_mimebundle_()
    charged = len(sandbox.charges())
    notebook.run(cell)
    assert notebook.names["_rw"]._repr_mimebundle_() == first
    assert len(sandbox.charges()) == charged


def test_a_guide_image_that_fails_leaves_the_image_unsent(notebook, sandbox):
    sandbox.faults({"kind": "fail", "code": "contentModeration", "message": "no", "on": "controlNetPreprocess"})
    with pytest.raises(RunwareNBError) as caught:
        notebook.run("%%runware -s 256x256 --control canny:in.png --seed 1\na lake")
    assert "was not sent and cost nothing" in str(caught.value)
    assert [run.operation for run in current_session().log.recent() if run.attempts] == ["controlnet"]
    assert sandbox.charges() == []


def test_an_image_in_progress_is_a_source_of_outpainting(notebook):
    job = rw.image("a lake", width=256, height=256, seed=5, output_format="PNG")
    wider = rw.image("a lake", seed_image=job, outpaint="2:1", seed=5, output_format="PNG")
    assert wider.result().results[0].image.size == (512, 256)
    kept = wider.result().results[0].image.convert("RGB").crop((128, 0, 384, 256))
    assert kept.tobytes() == job.result().results[0].image.convert("RGB").tobytes()


def test_a_default_that_the_model_does_not_accept_is_a_warning_and_no_refusal(notebook):
    notebook.run("%config RunwareMagics.acceleration = 'high'")
    try:
        with pytest.raises(TaskInvalid, match="does not accept --acceleration"):
            notebook.run("%%runware -s 512x512 -m sdxl --acceleration low -q\na lake")
        notebook.run("%%runware -s 512x512 -m sdxl --dry-run\na lake")
    finally:
        notebook.run("%config RunwareMagics.acceleration = None")


def test_the_terminal_makes_the_same_request(notebook, capsys):
    from runware_nb.cli import main

    line = ["-s", "256x256", "--seed", "4", "--control", "canny:in.png:0.5", "--pulid", "in.png:0.7", "--safety"]
    notebook.run(f"%%runware {' '.join(line)} -q\na lake")
    (first, *_) = current_session().log.recent(1)
    number = len(current_session().log.recent(None))
    assert main(["text-to-image", "a lake", *line]) == 0
    assert "recorded" in capsys.readouterr().err
    assert len(current_session().log.recent(None)) == number
    assert first.request["puLID"]["idWeight"] == 0.7
