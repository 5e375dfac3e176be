"""Defaults, profiles, aliases, trace, compare, masks, ranking, completion: what makes a line short."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

import runware_nb as rw
from runware_nb.errors import ConfigError, MagicUsageError, MediaError, RunwareNBError, TaskInvalid
from runware_nb.notebook.completion import complete_runware
from runware_nb.notebook.forms.picker import ModelPicker, bundled_choices
from runware_nb.notebook.voting import VotingBooth
from runware_nb.session import current_session
from runware_nb.settings import load_settings, user_file

SMALL = "-s 128x128 -q"


def last():
    return current_session().log.recent(1)[0]


# --- %config, files, profiles ------------------------------------------------------------------------


def test_config_sets_defaults_and_the_line_wins(shell):
    shell.run(
        "%config RunwareMagics.size = '128x256'\n%config RunwareMagics.steps = 7\n%config RunwareMagics.tag = ['a']"
    )
    shell.run("%%runware -q --tag b\na ship")
    assert (last().request["width"], last().request["steps"], set(last().tags)) == (128, 7, {"a", "b"})
    shell.run("%%runware -q --yes --steps 9 -s 128x128\na ship")
    assert (last().request["height"], last().request["steps"]) == (128, 9)


def test_config_lists_everything(shell, capsys):
    shell.run("%config RunwareMagics")
    said = capsys.readouterr().out
    assert all(f"RunwareMagics.{name}=" in said for name in ("model", "size", "display", "profile", "negative"))


def test_config_of_a_wrong_kind_changes_nothing(shell):
    shell.run("%config RunwareMagics.display = 'paper'\n%config RunwareMagics.steps = 'many'")
    assert current_session().settings.display == "html"
    shell.run(f"%%runware {SMALL}\na ship")
    assert "steps" not in last().request


def test_a_plain_image_for_paper(shell):
    shell.run("%config RunwareMagics.display = 'image'")
    shell.run("%%runware -s 128x128 -n 3 --seed 7 -o ships -q\na ship")
    bundle = shell.names["ships"]._repr_mimebundle_()
    assert set(bundle) == {"image/jpeg", "text/plain"}
    shell.run(
        "cut = __import__('runware_nb').run({'taskType': 'removeBackground', 'model': 'runware:109@1', 'inputs': {'image': ships[0]}}, agreed=True).result()"
    )
    assert set(shell.names["cut"]._repr_mimebundle_()) == {"image/png", "text/plain"}


def test_pyproject_and_user_file_give_defaults_in_order(shell, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    mine = user_file({"XDG_CONFIG_HOME": str(tmp_path / "config")})
    mine.parent.mkdir(parents=True)
    mine.write_text('steps = 5\nsize = "256x128"\n[profiles.work]\nbudget_usd = 2.5\nhome = "elsewhere"\nsteps = 6\n')
    Path("pyproject.toml").write_text('[tool.runware-nb]\nsize = "128x128"\ndisplay = "image"\nnegative = "text"\n')
    settings = load_settings({"XDG_CONFIG_HOME": str(tmp_path / "config")})
    assert settings.defaults == {"steps": 5, "size": "128x128", "negative": "text"}
    assert settings.display == "image"
    current_session().connection.use_profile("")
    shell.run("%%runware -q\na ship")
    assert (last().request["width"], last().request["steps"], last().request["negativePrompt"]) == (128, 5, "text")
    rw.image("a ship", width=256, height=256).result()
    assert (last().request["width"], last().request["steps"]) == (256, 5)
    work = load_settings({"XDG_CONFIG_HOME": str(tmp_path / "config"), "RUNWARE_NB_PROFILE": "work"})
    assert (work.profile, work.budget_usd, work.defaults["steps"], work.home.name) == ("work", 2.5, 6, "elsewhere")


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("pyproject.toml", '[tool.runware-nb]\nrest_url = "http://evil"\n', "sets rest_url; it may set"),
        ("pyproject.toml", '[tool.runware-nb]\nlog_url = "sqlite:///x"\n', "sets log_url"),
        ("pyproject.toml", "[tool.runware-nb]\nbudget_usd = 1000\n", "sets budget_usd"),
        ("pyproject.toml", '[tool.runware-nb]\nsteps = "many"\n', "Invalid steps 'many' in"),
        ("pyproject.toml", "[tool\n", "cannot be read"),
    ],
)
def test_a_project_may_not_set_addresses_or_money(file, text, said):
    Path(file).write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_settings({})


def test_a_profile_pays_with_its_own_key_or_not_at_all(tmp_path):
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "RUNWARE_API_KEY": "k" * 30 + "1", "RUNWARE_NB_PROFILE": "lab"}
    mine = user_file(environ)
    mine.parent.mkdir(parents=True)
    mine.write_text('[profiles.lab]\napi_key_from = "LAB_KEY"\n')
    assert load_settings(environ).api_key is None
    assert load_settings({**environ, "LAB_KEY": "l" * 30 + "2"}).api_key.source == "LAB_KEY"
    with pytest.raises(ConfigError, match=r"Cannot find the profile 'home'.*Known profiles: lab"):
        load_settings(environ, profile="home")
    mine.write_text('[profiles.lab]\napi_key = "secret"\n')
    with pytest.raises(ConfigError, match="sets api_key"):
        load_settings(environ)


def test_a_profile_is_chosen_in_the_notebook(shell, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    mine = user_file({"XDG_CONFIG_HOME": str(tmp_path)})
    mine.parent.mkdir(parents=True)
    mine.write_text("[profiles.lab]\nsteps = 3\n")
    shell.run("%runware config profile lab")
    shell.run(f"%%runware {SMALL}\na ship")
    assert last().request["steps"] == 3
    shell.run("%config RunwareMagics.profile = ''")
    assert current_session().settings.profile == ""
    with pytest.raises(ConfigError, match="Cannot find the profile 'nobody'"):
        shell.run("%runware config profile nobody")


# --- aliases -----------------------------------------------------------------------------------------


def test_an_alias_keeps_the_version_it_meant(shell):
    shell.run("%runware alias ship flux")
    shell.run(f"%%runware -m ship {SMALL}\na ship")
    assert last().model == "runware:101@1"
    assert current_session().aliases.all()["ship"].asked == "flux"
    assert "ship" in complete_runware("%%runware -m sh")[1]
    assert [run.model for run in rw.log.select(model="ship")] == ["runware:101@1"]
    shell.run("%runware alias ship --remove")
    with pytest.raises(TaskInvalid, match="No model is called 'ship'"):
        shell.run(f"%%runware -m ship {SMALL}\na ship")


def test_a_version_is_looked_up_where_none_was_given(shell):
    shell.run("%runware alias real civitai:133005")
    kept = current_session().aliases.all()["real"]
    assert kept.air.startswith("civitai:133005@")
    assert kept.asked == "civitai:133005"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("alias two+words flux", "letters, digits, dashes"),
        ("alias x civitai:99999999", "Invalid model 'civitai:99999999'"),
        ("alias nobody --remove", "Invalid alias 'nobody'"),
    ],
)
def test_aliases_that_cannot_be(shell, line, said):
    with pytest.raises(MagicUsageError, match=said):
        shell.run(f"%runware {line}")


def test_a_broken_alias_file_is_one_sentence(shell):
    (current_session().settings.home).mkdir(exist_ok=True)
    (current_session().settings.home / "aliases.json").write_text('{"a": [1]}')
    with pytest.raises(ConfigError, match="cannot be read"):
        shell.run(f"%%runware {SMALL}\na ship")


# --- trace -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["websocket", "rest"])
def test_the_trace_holds_the_frames_and_no_secret(shell, sandbox, transport):
    shell.run("%runware trace on")
    current_session().configure(transport=transport)
    current_session().connect()
    rw.image("a ship", width=128, height=128, extra={"webhookURL": "http://127.0.0.1:1/hook?token=s3cret"}).result()
    current_session().client()
    shell.run("%runware status")
    shell.run("%runware trace save frames.jsonl\n%runware trace off")
    text = Path("frames.jsonl").read_text()
    frames = [json.loads(line) for line in text.splitlines()]
    assert {"sent", "received"} == {each["direction"] for each in frames}
    assert "a ship" in text
    assert sandbox.api_key not in text
    assert "s3cret" not in text
    count = len(frames)
    rw.image("another ship", width=128, height=128).result()
    shell.run("%runware trace save frames.jsonl")
    assert len(Path("frames.jsonl").read_text().splitlines()) == count, "off is off"


# --- images ------------------------------------------------------------------------------------------


def test_compare_shows_a_slider_for_two_and_rows_for_four(shell, capsys):
    shell.run(f"%%runware {SMALL} -n 2 --seed 7 -o pair\na ship")
    shell.run("a, b = pair\n%runware compare a b\n%runware compare pair pair")
    said = capsys.readouterr().out
    assert "a, 128x128 | b, 128x128" in said
    assert said.count("pair #1") == 2
    for line, error in (
        ("compare a", "1 images"),
        ("compare pair pair a", "5 images"),
        ("compare a nobody", "Cannot find image 'nobody'"),
    ):
        with pytest.raises(MagicUsageError, match=error):
            shell.run(f"%runware {line}")


def test_a_mask_from_a_rectangle_paints_only_there(shell, sandbox):
    shell.run(f"%%runware {SMALL} --seed 7 -o ship\na ship")
    mask = rw.mask_rectangle(shell.names["ship"][0], 0, 0, 64, 128)
    assert mask.image.size == (128, 128)
    assert mask.image.convert("L").getpixel((10, 10)) == 255
    assert mask.image.convert("L").getpixel((100, 10)) == 0
    shell.names["mask"] = mask
    shell.run(f"%%runware {SMALL} --from ship --mask mask --seed 8 --strength 0.9 -o new\na red ship")
    before, after = shell.names["ship"][0].image, shell.names["new"][0].image
    right = (64, 0, 128, 128)
    from runware_nb.media.compare import compare

    def png(image):
        import io

        buffer = io.BytesIO()
        image.crop(right).save(buffer, "PNG")
        return buffer.getvalue()

    assert compare(png(before), png(after)).mean_difference < 0.02
    assert len(last().inputs) == 2
    assert last().inputs[1]["file"].endswith(".png")


def test_masks_that_cannot_be(shell):
    Image.new("RGB", (64, 64)).save("x.png")
    with pytest.raises(MagicUsageError, match="not inside the image of 64x64"):
        rw.mask_rectangle("x.png", 0, 0, 99, 10)
    mask = rw.brush("x.png")
    assert "not painted yet" in repr(mask)
    shell.names["mask"] = mask
    with pytest.raises(MediaError, match="not painted yet"):
        shell.run(f"%%runware {SMALL} --from x.png --mask mask\na ship")
    with pytest.raises(MediaError, match="32x32"):
        mask.take(_png((32, 32)))
    with pytest.raises(MediaError):
        mask.take(b"no picture")
    with pytest.raises(MagicUsageError, match="Cannot find image"):
        rw.brush("nobody.png")


def _png(size):
    import io

    buffer = io.BytesIO()
    Image.new("L", size, 255).save(buffer, "PNG")
    return buffer.getvalue()


def test_without_the_extra_there_are_pages_rectangles_and_uploads(shell, capsys, monkeypatch):
    for module in ("gallery", "brush", "drop"):
        monkeypatch.setitem(sys.modules, f"runware_nb.notebook.canvas.{module}", None)
    shell.run(f"%%runware {SMALL} -n 3 --seed 7 --tag study -o ships\na ship <b>")
    rw.gallery(tag="study")
    assert "3 images · pip install 'runware-nb[canvas]' makes this a gallery" in capsys.readouterr().out
    with pytest.raises(MagicUsageError, match="Invalid filter"):
        rw.gallery(colour="red")
    mask = rw.brush(shell.names["ships"])
    fields = mask._controls()
    for side, value in zip(fields.children[:4], (0, 0, 64, 32), strict=True):
        side.value = value
    fields.children[4].click()
    assert "12% is painted anew" in fields.children[5].value
    assert mask.image.getbbox() == (0, 0, 64, 32)
    fields.children[0].value = 99
    fields.children[4].click()
    assert "not inside the image" in fields.children[5].value
    form = rw.form("runware:101@1")
    form._folds["Images to start from"].open()
    assert not [each for each in _all(form.widget) if type(each).__name__ == "DropZone"]


def test_a_page_of_a_gallery_shows_small_pictures_with_alt_text(shell):
    from runware_nb.notebook.static_gallery import wall_of
    from runware_nb.runlog.filters import RunFilter

    shell.run(f"%%runware {SMALL} -n 3 --seed 7 -o ships\na ship <b>")
    first = wall_of(current_session(), RunFilter(), words="", count=2)
    assert first["text/plain"] == "1 to 2 of 3 images; `--page 2` shows more"
    assert first["text/html"].count('<img alt="a ship &lt;b&gt;"') == 2
    assert wall_of(current_session(), RunFilter(page=2), words="", count=2)["text/plain"] == "3 to 3 of 3 images"


def _all(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _all(child)


# --- votes -------------------------------------------------------------------------------------------


def test_votes_in_the_notebook_and_by_words(shell, capsys):
    from runware_nb.curation import Ballot
    from runware_nb.runlog.filters import RunFilter

    shell.run(f"%%runware {SMALL} -n 3 --seed 7 --tag study -o ships\na ship")
    booth = VotingBooth(current_session(), Ballot(current_session(), "study", RunFilter(tags=("study",))))
    assert "a ship" not in booth._pictures.value, "blind"
    for choice in ("left", "right", "tie"):
        booth.vote(choice)
    uuid = shell.names["ships"].task_uuid
    shell.run(f"%runware vote {uuid[:8]}#1 {uuid[:8]}#2 left --tag study\n%runware ranking")
    said = capsys.readouterr().out
    assert "ballot study: 3 votes" in said, "a vote on the same pair replaces the earlier one"
    assert "3 votes of 1 voter on 3 images" in said
    for line, error in (("vote a b left --tag study", "names no image"), ("vote 1 2", "two images and a choice"),
                        ("ranking nobody", "no votes"), ("vote --tag nobody", "two or more images")):  # fmt: skip
        with pytest.raises(RunwareNBError, match=error):
            shell.run(f"%runware {line}")


# --- every command as a function ---------------------------------------------------------------------


def test_commands_are_functions(shell):
    made = rw.command("text-to-image", "a ship", size="128x128", seed=7, tag=["study", "x"], yes=True)
    assert made.value[0].seed == 7
    assert "<img" in made._repr_mimebundle_()["text/html"]
    listed = rw.command("log", tag="study", limit=5)
    assert [run.task_uuid for run in listed.value] == [made.value.task_uuid]
    assert listed.json[0]["tags"] == ["study", "x"]
    assert "a ship" in str(listed)
    assert rw.command("rate", f"{made.value.task_uuid}#1", 5).json["rating"] == 5
    assert rw.command("gallery", "page.html").json["runs"] == 1
    with pytest.raises(MagicUsageError, match="did you mean --limit"):
        rw.command("log", limt=5)
    with pytest.raises(MagicUsageError, match="no command 'lgo'"):
        rw.command("lgo")


# --- completion --------------------------------------------------------------------------------------


def test_values_of_options_are_completed(shell):
    shell.run(f"%%runware {SMALL} --seed 4242 --tag study -n 2 -o ships\na ship")
    names = shell.names
    uuid = last().task_uuid[:8]
    cases = {
        "%%runware --seed 42": "4242", "%%runware --tag st": "study", "%%runware --from sh": "ships",
        "%%runware --mask #": "#2", "%%runware --from _": "_rw", "%%runware --reference ": uuid,
        "%%runware -s 512": "512x512", "%%runware --scheduler 'DPM++ 2M K": None, "%%runware --format P": "PNG",
        "%runware log --state suc": "succeeded", "%runware form up": "upscale", "%runware compare sh": "ships",
        "%runware config mo": "mode", "%runware sho": "show", "%runware log --min": "--min-rating",
    }  # fmt: skip
    for line, wanted in cases.items():
        found = complete_runware(line, names)[1]
        assert wanted is None or wanted in found, (line, found)
    assert complete_runware("print('%runware", names) == ("", [])
    assert "_i1" not in complete_runware("%%runware --from _", names)[1]


# --- pasted parameters, models -----------------------------------------------------------------------


def test_parameters_of_a_web_ui_are_understood_below_the_prompt(shell, capsys):
    block = "Negative prompt: blur, {colour}\nSteps: 12, Sampler: Euler a, CFG scale: 6.5, Seed: 77, Size: 128x192, Model hash: 1a2b, Model: sd_xl"
    shell.names["colour"] = "green"
    shell.run(f"%%runware -q --yes --steps 9 -m sdxl -o made\na {{colour}} ship, tall: yes\n{block}")
    request = last().request
    assert request["positivePrompt"] == "a green ship, tall: yes"
    assert request["negativePrompt"] == "blur, green"
    assert (request["steps"], request["seed"], request["width"], request["height"]) == (9, 77, 128, 192)
    assert (request["scheduler"], request["CFGScale"]) == ("Euler a", 6.5)
    shell.run("made")
    assert "left out of the pasted parameters: Model hash, Model sd_xl" in capsys.readouterr().out


@pytest.mark.parametrize("prompt", ["Tall: yes, Wide: no, Deep: maybe", "a: b, c: d, e: f", "Steps: to heaven"])
def test_a_prompt_with_colons_stays_a_prompt(shell, prompt):
    shell.run(f"%%runware {SMALL}\n{prompt}")
    assert last().request["positivePrompt"] == prompt


@pytest.mark.parametrize(
    ("line", "tried"),
    [
        ("-s 128x128 --steps 900 --tag 'a b'", "%%runware -s 128x128 --steps 100 --tag 'a b'"),
        ("-s 1001x512", "%%runware -s 1008x512"),
        ("--size=512x9000 -n 2", "%%runware --size=512x2048 -n 2"),
        ("-n 0", "%%runware -n 1"),
        ("--scheduler 'Euler b'", "%%runware --scheduler 'Euler a'"),
        ("-m fluks", "%%runware -m flux"),
        ("-m bfl:3@1 -s 1400x760", "%%runware -m bfl:3@1 -s 1392x752"),
        ("--cfg 99", "%%runware --cfg 50"),
    ],
)
def test_a_refused_value_comes_with_the_line_that_would_work(shell, sandbox, line, tried):
    with pytest.raises(TaskInvalid) as caught:
        shell.run(f"%%runware {line}\na ship")
    assert caught.value._render_traceback_()[-1] == f"Try: {tried}"
    assert not sandbox.charges()
    if "bfl" not in line:  # another kind of prompt
        shell.run(f"{tried} -q --dry-run\na ship")


def test_no_line_is_tried_where_the_value_is_not_on_it(shell):
    with pytest.raises(TaskInvalid) as caught:
        shell.run(f"%%runware {SMALL}\nx")
    assert caught.value.corrected is None


def test_models_are_picked_offline(shell):
    assert [each.air for each in bundled_choices("kontext dev")] == ["runware:106@1"]
    chosen = []
    from runware_nb.notebook.forms.look import Look

    shell.run(f"%%runware {SMALL}\na ship")
    picker = ModelPicker(current_session(), Look(), chosen.append)
    picker._search.value = "flux dev"
    picker._list.value = "runware:101@1"
    assert "the last image you made with it" in picker._details.value
    assert "28 steps" in picker._details.value
    picker._use()
    assert chosen == ["runware:101@1"]
    picker._search.value = "no such model"
    assert picker._list.options == ()


def test_the_picture_of_a_publisher_is_fetched_as_carefully_as_any_medium(shell):
    from runware_nb.notebook.forms.picker import Choice

    hero = rw.image("a ship", width=128, height=128).result()[0].url
    picker = rw.pick_model()
    for address, wanted in (
        (hero, True),
        ("http://169.254.169.254/latest/meta-data", False),
        ("file:///etc/passwd", False),
    ):
        choice = Choice("runware:101@1", "A <b>model</b>", hero=address)
        picker._list.value = None
        picker._list.value = "runware:101@1"
        picker._try(lambda choice=choice: picker._show_hero(choice))
        assert ("what A &lt;b&gt;model&lt;/b&gt; shows of itself" in picker._details.value) is wanted
        assert wanted or "✗" in picker._said.value


def test_a_picked_model_is_taken_by_the_form_or_by_the_cells(shell, monkeypatch):
    monkeypatch.setattr("runware_nb.notebook.forms.api._last", None)
    picker = rw.pick_model()
    picker._list.value = "runware:100@1"
    picker._use()
    shell.run(f"%%runware {SMALL}\na ship")
    assert last().model == "runware:100@1"
    form = rw.form()
    picker._list.value = "runware:106@1"
    picker._use()
    assert form.model == "runware:106@1"


def test_models_are_picked_from_the_service(shell):
    from runware_nb.notebook.forms.picker import search_service

    found = search_service(current_session(), "pixel")
    assert found
    assert all(each.air for each in found)


def test_asyncio_run_works_in_a_cell_once_it_was_asked_for(tmp_path, sandbox, monkeypatch):
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    pasted = "import asyncio\nasync def main():\n    await asyncio.sleep(0)\n    return 7\nprint(asyncio.run(main()))"
    with pytest.raises(CellExecutionError, match="running event loop"):
        _execute(NotebookClient, nbformat, ["%load_ext runware_nb", pasted], tmp_path)
    made = _execute(NotebookClient, nbformat, ["%load_ext runware_nb", "%runware asyncio on", pasted], tmp_path)
    assert made.cells[-1].outputs[-1]["text"] == "7\n"


def _execute(client, nbformat, sources, folder):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    client(made, timeout=60, resources={"metadata": {"path": str(folder)}}).execute()
    return made


def test_the_gallery_offers_the_models_by_name(shell):
    from runware_nb.notebook.static_gallery import models_in_use

    shell.run(f"%%runware {SMALL} --seed 7\na ship")
    assert models_in_use(current_session()) == ["runware:101@1"]
