"""Forms without a browser: what is clicked, what is sent, what is said."""

import datetime as dt
import time

import ipywidgets as widgets
import pytest
from ipywidgets.widgets.widget import _instances
from PIL import Image

import runware_nb as rw
from runware_nb.errors import ConfigError, MagicUsageError, NotConfirmed, TaskError, TaskInvalid
from runware_nb.notebook.forms.presets import PresetStore
from runware_nb.providers.runware.catalog import Kind, all_models
from runware_nb.session import current_session


@pytest.fixture
def form(shell):
    made = rw.form("runware:101@1", positivePrompt="a small airship", width=256, height=256)
    yield made
    settle(made)


def settle(form, timeout_s=15):
    """Wait until the form has said what became of it: Generate is off from the click until then."""
    until = time.monotonic() + timeout_s
    while form._sender.generate.disabled:
        assert time.monotonic() < until, f"the form did not settle: {said(form)}"
        time.sleep(0.01)


def click(form, title):
    find(form, widgets.Button, title).click()


def find(form, kind, title):
    found = [each for each in walk(form.widget) if isinstance(each, kind) and each.description.startswith(title)]
    assert found, f"no {kind.__name__} {title!r} among {[getattr(e, 'description', '') for e in walk(form.widget)]}"
    return found[0]


def walk(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


def said(form):
    return form._sender.status.value


def test_a_click_generates_and_the_result_is_an_ordinary_outcome(form, sandbox):
    find(form, widgets.Text, "Steps").value = "12"
    find(form, widgets.Text, "Seed").value = "7"
    click(form, "Generate")
    settle(form)
    assert "Done: 1 result" in said(form)
    assert form.outcome[0].seed == 7
    (charge,) = sandbox.charges()
    (run,) = current_session().log.recent(1)
    assert run.request["steps"] == 12
    assert run.task_uuid == charge["task_uuid"]


def test_a_result_is_waited_for_whatever_becomes_of_it(form, sandbox):
    with pytest.raises(MagicUsageError, match="nothing was run yet"):
        form.result()
    form.set("seed", 7)
    form.run()
    assert form.result(timeout_s=20)[0].seed == 7
    find(form, widgets.Text, "Steps").value = "900"
    form.run()
    with pytest.raises(TaskInvalid, match="900 is too large"):
        form.result()
    find(form, widgets.Text, "Steps").value = ""
    sandbox.faults(
        {"kind": "refuse", "status": 400, "code": "invalidSomething", "message": "out of paint", "names_task": True}
    )
    form.set("seed", 8)
    form.run()
    with pytest.raises(TaskError, match="out of paint"):
        form.result(timeout_s=20)
    current_session().configure(ask_above_usd=0.0001)
    form.set("seed", 9)
    settle(form)
    form.run()
    with pytest.raises(NotConfirmed, match="Run it once more to agree"):
        form.result(timeout_s=20)


def test_the_same_click_again_is_recorded_and_free(form, sandbox):
    form.set("seed", 7)
    for _ in range(2):
        form.run()
        settle(form)
    assert "recorded" in said(form)
    assert len(sandbox.charges()) == 1


def test_a_wrong_value_is_told_beside_its_field_and_nothing_is_sent(form, sandbox):
    find(form, widgets.Text, "Steps").value = "900"
    problem = [each for each in walk(form.widget) if isinstance(each, widgets.HTML) and "too large" in each.value]
    assert "900 is too large: 1 to 100" in problem[0].value
    steps = form.widget.children.index(find(form, widgets.Text, "Steps")) + 1
    assert problem[0].layout.order == str(10 * steps + 5), "right below, without moving what follows"
    click(form, "Generate")
    assert "✗ Steps: 900 is too large" in said(form)
    find(form, widgets.Text, "Steps").value = "9"
    assert problem[0] not in form.widget.children
    assert not sandbox.charges()


def test_what_only_the_whole_request_shows_is_told_beside_the_field(form, sandbox):
    form.load({"positivePrompt": "x", "width": 256, "height": 256})
    click(form, "Generate")
    settle(form)
    assert any("1 characters" in each.value for each in walk(form.widget) if isinstance(each, widgets.HTML))
    assert not sandbox.charges()


def test_an_empty_form_says_what_is_needed_when_it_is_sent_and_not_before(shell, sandbox):
    form = rw.form()
    form._sender._show_price()
    assert not [each for each in walk(form.widget) if isinstance(each, widgets.HTML) and "✗" in each.value]
    click(form, "Generate")
    assert "Prompt is needed" in said(form)
    with pytest.raises(TaskInvalid, match="Prompt is needed"):
        _ = form.task


def test_the_seed_is_locked_counted_up_and_drawn(form):
    seed = find(form, widgets.Text, "Seed")
    form.run()
    settle(form)
    used = form.outcome[0].seed
    click(form, "Lock seed")
    assert seed.value == str(used)
    click(form, "+1")
    assert seed.value == str(used + 1)
    click(form, "Dice")
    assert seed.value not in {str(used), str(used + 1), ""}
    click(form, "Unlock seed")
    assert seed.value == ""
    seed.value = "no number"
    assert any("no whole number" in each.value for each in walk(form.widget) if isinstance(each, widgets.HTML))


def test_sizes_are_chosen_by_ratio_or_typed(form):
    size = find(form, widgets.Dropdown, "Size")
    wide = next(value for title, value in size.options if title.startswith("16:9"))
    size.value = wide
    assert (form.task["width"], form.task["height"]) == wide
    size.value = "other"
    find(form, widgets.IntText, "Width").value = 300
    with pytest.raises(TaskInvalid, match="no multiple of"):
        _ = form.task
    find(form, widgets.IntText, "Width").value = 320
    assert form.task["width"] == 320


def test_rows_come_and_go(form):
    click(form, "▸ LoRA")
    click(form, "Add LoRA")
    with pytest.raises(TaskInvalid, match="row 1, Model: Model is needed"):
        _ = form.task
    find(form, widgets.Text, "Model").value = "civitai:120096@135931"
    find(form, widgets.ValueWidget, "Weight").value = 0.7
    assert form.task["lora"] == [{"model": "civitai:120096@135931", "weight": 0.7}]
    click(form, "Remove")
    assert "lora" not in form.task


def test_an_image_goes_in_as_a_file_a_variable_or_an_earlier_result(form, shell, tmp_path, sandbox):
    form.run()
    settle(form)
    shell.names["ship"] = form.outcome[0]
    click(form, "▸ Images")
    find(form, widgets.Text, "Seed image").value = "ship"
    form.run()
    settle(form)
    (run, _) = current_session().log.recent(2)
    assert run.parent_uuid == shell.names["ship"].task_uuid
    find(form, widgets.Text, "Seed image").value = "no such thing"
    form.run()
    settle(form)
    assert "Cannot find image" in said(form)


def test_an_uploaded_file_is_kept_and_named(form):
    click(form, "▸ Images")
    upload = find(form, widgets.FileUpload, "Seed image")
    Image.new("RGB", (64, 64), "red").save("red.png")
    with open("red.png", "rb") as file:
        upload.value = (
            {
                "name": "red.png",
                "type": "image/png",
                "size": 1,
                "content": memoryview(file.read()),
                "last_modified": dt.datetime.now(dt.UTC),
            },
        )
    word = find(form, widgets.Text, "Seed image").value
    assert word.startswith("runware_images/")
    assert form.cell.startswith("%%runware")
    assert f"--from {word}" in form.cell


def test_a_form_and_a_cell_are_two_views_of_one_thing(form, shell):
    form.set("seed", 3)
    form.set("steps", 9)
    again = rw.form(form.cell)
    assert again.task == form.task
    shell.run(f"{form.cell}".replace("%%runware", "%%runware -q"))
    assert current_session().log.recent(1)[0].request["steps"] == 9


def test_a_form_for_a_run_a_file_and_an_outcome(form, tmp_path):
    form.set("seed", 11)
    form.run()
    settle(form)
    outcome = form.outcome
    for what in (outcome, outcome.task_uuid[:8], outcome[0], outcome[0].path):
        assert rw.form(what).task == form.task


def test_operations_and_every_bundled_model_have_a_form(shell):
    for word in ("upscale", "caption", "vectorize", "remove-background"):
        assert rw.form(word).task_type
    for model in all_models()[::4]:
        made = rw.form(model.air)
        for fold in made._folds.values():
            fold.open()


def test_a_model_that_is_only_in_the_schema_service_has_a_complete_form(shell, sandbox, monkeypatch):
    from runware_nb.sandbox.runware.models import MODELS

    bundled = {model.air for model in all_models()}
    unknown = next(model for air, model in MODELS.items() if air not in bundled and model.task_type == "imageInference")
    current_session().configure(schemas_url=sandbox.info["schemas_url"])
    made = rw.form(unknown.air, positivePrompt="a small airship")
    names = {field.name for fields in made._fields.values() for field in fields}
    assert {"positivePrompt", "seed", "width"} <= names
    made.run()
    settle(made)
    assert "is unknown" in said(made), said(made)
    time.sleep(0.8)  # to read it
    made.run()
    settle(made)
    assert "Done" in said(made), said(made)


def test_the_first_form_of_a_model_has_the_limits_of_the_line(shell, sandbox):
    current_session().configure(schemas_url=sandbox.info["schemas_url"])
    form = rw.form("video")
    assert "was not received" not in said(form)
    with pytest.raises(TaskInvalid, match="1 to 300"):
        current_session().plan({**form.priced, "positivePrompt": "a ship", "duration": 600})
    find(form, widgets.Textarea, "Prompt").value = "a ship"
    find(form, widgets.Text, "Duration").value = "600"
    with pytest.raises(TaskInvalid, match="Duration"):
        _ = form.task


def test_a_form_of_an_operation_begins_with_the_medium_it_needs(shell):
    form = rw.form("upscale")
    first = form._sections["main"].controls[0].field
    assert (first.kind, first.is_required) == (Kind.MEDIUM, True)
    assert "upscale ·" in form._head_line.value


def test_a_form_states_that_the_schema_was_not_received(shell, sandbox):
    current_session().configure(schemas_url="http://127.0.0.1:9")
    assert "this form uses the bundled parameters" in said(rw.form("video"))


def test_no_form_without_a_schema(shell):
    with pytest.raises(MagicUsageError, match="no schema of a model 'nobody:1@1'"):
        rw.form("nobody:1@1")


def test_an_earlier_run_is_loaded_or_only_its_seed(form, shell):
    first = rw.image("a red house", width=512, height=256, seed=99, steps=5).result()
    click(form, "▸ Other model")
    find(form, widgets.Text, "Run or file").value = first.task_uuid
    click(form, "Only its seed")
    assert form.task["seed"] == 99
    assert form.task["positivePrompt"] == "a small airship"
    click(form, "Load")
    assert form.task["positivePrompt"] == "a red house"
    assert (form.task["width"], form.task["steps"]) == (512, 5)
    find(form, widgets.Text, "Run or file").value = "ffff0000"
    click(form, "Load")
    assert any("no run" in each.value for each in walk(form.widget) if isinstance(each, widgets.HTML))


def test_presets_are_kept_and_broken_ones_are_told(form, tmp_path):
    click(form, "▸ Other model")
    find(form, widgets.Combobox, "Preset").value = "small"
    click(form, "Save")
    form.load({"positivePrompt": "something else", "width": 1024, "height": 1024})
    click(form, "Apply")
    assert form.task["width"] == 256
    store = PresetStore(current_session().settings.home)
    assert store.names() == ["small"]
    click(form, "Delete")
    assert store.names() == []
    with pytest.raises(MagicUsageError, match="no preset 'small'"):
        store.find("small")
    (current_session().settings.home / "presets.json").write_text("[1")
    with pytest.raises(ConfigError, match="cannot be read"):
        store.names()


def test_a_mistyped_operation_is_named():
    with pytest.raises(MagicUsageError, match="Did you mean the operation upscale") as caught:
        rw.form("upscal")
    assert caught.value.corrected == 'rw.form("upscale")'


def test_another_model_keeps_what_it_takes(form):
    form.use_model("schnell")
    assert form.model == "runware:100@1"
    assert form.task["positivePrompt"] == "a small airship"
    with pytest.raises(MagicUsageError, match="did you mean"):
        form.use_model("shnell")


def test_values_that_no_control_takes_are_told(form):
    problems = form.load({"positivePrompt": "a b", "width": 256, "numberResults": "many", "scheduler": "nobody"})
    assert any("Number of images cannot be 'many'" in each for each in problems)
    assert any("Scheduler cannot be 'nobody'" in each for each in problems)
    with pytest.raises(MagicUsageError, match="cannot be"):
        form.set("numberResults", {"a": 1})
    with pytest.raises(MagicUsageError, match="no field 'nothing'"):
        form.set("nothing", 1)


def test_another_model_leaves_no_widget_behind(form):
    form.use_model("schnell")
    before = len(_instances)
    for name in ("flux", "schnell") * 3:
        form.use_model(name)
    assert len(_instances) <= before


def test_what_no_field_shows_is_sent_along(form):
    problems = form.load({"positivePrompt": "a b", "width": 256, "height": 256, "brandNew": [1]})
    assert problems == ["sent along, although no field shows it: brandNew"]
    assert form.task["brandNew"] == [1]


def test_a_dear_run_asks_by_a_second_click(shell, sandbox):
    current_session().configure(ask_above_usd=0.001)
    form = rw.form(positivePrompt="a small airship", numberResults=4)
    click(form, "Generate")
    settle(form)
    assert "Nothing was sent. Click Generate again to send it." in said(form)
    assert not sandbox.charges()
    time.sleep(0.8)  # to read it
    click(form, "Generate")
    settle(form)
    assert len(sandbox.charges()) == 1


def test_a_double_click_pays_once_and_agrees_to_nothing(shell, sandbox):
    form = rw.form(positivePrompt="a small airship", width=128, height=128)
    for _ in range(3):
        click(form, "Generate")
    settle(form)
    assert len(sandbox.charges()) == 1
    current_session().configure(ask_above_usd=0.0001)
    form.set("seed", 5)
    click(form, "Generate")
    settle(form)
    click(form, "Generate")
    settle(form)
    assert "Click Generate again" in said(form), "nobody reads that fast"
    assert len(sandbox.charges()) == 1


def test_the_price_stands_on_the_button(form):
    until = time.monotonic() + 5
    while "about" not in form._sender.generate.description and time.monotonic() < until:
        time.sleep(0.02)
    assert form._sender.generate.description.startswith("Generate · about $0.0")


def test_cancel_stops_waiting_and_the_result_still_comes(form, sandbox):
    sandbox.faults({"kind": "latency", "seconds": 1.0})
    form.run()
    while not said(form) or "Submitted:" not in said(form):
        time.sleep(0.005)
    while form.job.record.attempts == 0:
        time.sleep(0.005)
    find(form, widgets.Button, "Cancel").click()
    assert not form._sender.generate.disabled
    assert "is paid for: its result appears below" in said(form)
    assert len(form.job.result(timeout_s=20)) == 1
    assert len(sandbox.charges()) == 1


def test_cancel_before_it_was_sent_spends_nothing(form, sandbox):
    sandbox.faults({"kind": "latency", "seconds": 2.0, "count": 4})
    busy = [rw.image("a small airship", width=128, height=128) for _ in range(4)]  # as many as may be in flight
    for job in busy:
        while job.record.attempts == 0:
            time.sleep(0.005)
    form.run()
    while "Submitted:" not in said(form):
        time.sleep(0.005)
    find(form, widgets.Button, "Cancel").click()
    settle(form)
    while "Cancelled" not in said(form) and "Stopped" not in said(form):
        time.sleep(0.005)
    assert "It cost nothing" in said(form)
    for job in busy:
        job.result(timeout_s=20)
    time.sleep(0.5)
    assert len(sandbox.charges()) == 4


def test_eighteen_controls_are_thirty_comms(shell):
    before = set(_instances)
    form = rw.form("runware:101@1")
    made = [_instances[key] for key in _instances.keys() - before]
    controls = [each for each in walk(form.widget) if isinstance(each, widgets.DOMWidget) and hasattr(each, "description")
                and not isinstance(each, widgets.HTML)]  # fmt: skip
    assert len(controls) >= 18
    assert len(made) <= 30


def test_every_control_has_a_name(form):
    for fold in form._folds.values():
        fold.open()
    form._tools.fold.open()
    for each in walk(form.widget):
        if hasattr(each, "description") and not isinstance(each, widgets.HTML):
            assert each.description.strip(), each


def test_a_failure_is_said_and_the_form_goes_on(form, sandbox):
    sandbox.faults(
        {"kind": "refuse", "status": 400, "code": "invalidSomething", "message": "out of paint", "names_task": True}
    )
    form.run()
    settle(form)
    assert "✗" in said(form)
    assert "out of paint" in said(form)
    assert not form._sender.generate.disabled
