"""Forms of RunKey.ai in a real shell: fields from a schema or the log, other inputs, cells, and sending."""

import time

import pytest

import runware_nb as rw
from runware_nb.errors import MagicUsageError, NotConfirmed, TaskInvalid
from runware_nb.providers.runkey.forms import schema_of_inputs
from tests.notebook.test_runkey_cells import SMALL, _process, cell, runkey, sent, shell

__all__ = ["_process", "runkey", "shell"]

SCHEMA = {
    "type": "object",
    "required": ["prompt", "mode"],
    "properties": {
        "prompt": {"type": "string", "title": "Prompt", "description": "what to draw"},
        "mode": {"enum": ["fast", "good"], "default": "good"},
        "steps": {"type": "integer", "minimum": 1, "maximum": 50, "default": 20},
        "strength": {"type": "number", "minimum": 0, "maximum": 1},
        "inputImage": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "hd": {"type": "boolean"},
        "rows": {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "integer"}}}},
        "group": {"type": "object", "properties": {"g": {"type": "string"}}},
    },
}


def kinds(form):
    return {control.field.name: str(control.field.kind) for control in form._main.controls}


def send(form):
    """Send it, and agree to an unknown price by a click of its own."""
    form.run()
    try:
        return form.result(30)
    except NotConfirmed:
        time.sleep(0.75)  # a question that is answered sooner was not read
        form.run()
        return form.result(30)


def test_a_schema_decides_the_fields_and_what_is_sent(shell, runkey):
    form = rw.form("runkey:tpl_json", schema=SCHEMA)
    assert kinds(form) == {
        "prompt": "long text", "mode": "choice", "steps": "whole number", "strength": "number", "inputImage": "text",
        "tags": "list", "hd": "yes or no", "rows": "rows", "group": "group",
    }  # fmt: skip
    with pytest.raises(TaskInvalid, match="Prompt is needed"):
        _ = form.input
    assert form.load({"prompt": "a ship", "mode": "fast", "steps": 99}) == []
    with pytest.raises(TaskInvalid, match="99 is too large: 1 to 50"):
        _ = form.input
    assert form.load({"prompt": "a ship", "mode": "nope"}) == ["Mode: Mode cannot be 'nope'"]
    given = {"prompt": "x {y}", "mode": "fast", "steps": 20, "tags": ["a", "b"], "hd": False, "rows": [{"k": 1}],
             "group": {"g": "z"}, "other": [1, "7"], "text": "7"}  # fmt: skip
    assert form.load(given) == []
    assert form.input == given
    send(form)
    assert sent(runkey) == [given]


def test_an_earlier_result_is_named_by_a_word(shell, runkey):
    ship = cell(shell)
    form = rw.form("runkey:tpl_json", schema=SCHEMA, prompt="a ship", mode="good", inputImage="made")
    assert form.cell.splitlines()[0] == "%%runkey tpl_json --asset inputImage=made"
    send(form)
    assert sent(runkey)[-1]["inputImage"] == ship[0].url
    form.load({"prompt": "a ship", "mode": "good", "inputImage": ship.task_uuid[:8]})
    send(form)
    assert sent(runkey)[-1]["inputImage"] == ship[0].url
    form.load({"prompt": "a ship", "mode": "good", "inputImage": "https://x.example/y.png"})
    assert form.task["input"]["inputImage"] == "https://x.example/y.png"
    form.load({"prompt": "a ship", "mode": "good", "inputImage": "nothing"})
    form.run()
    with pytest.raises(MagicUsageError, match="nothing"):
        form.result(30)


def test_earlier_runs_give_fields_values_and_suggestions(shell, runkey):
    cell(shell, "tpl_json", {"prompt": "a ship", "n": 3, "deep": {"x": 1}, "on": True})
    cell(shell, "tpl_json", {"prompt": "a train", "n": 0.5, "list": ["a", "b"], "name": "x"})
    form = rw.form("runkey:tpl_json")
    assert kinds(form) == {
        "prompt": "long text", "n": "number", "list": "list", "name": "text", "deep": "JSON", "on": "yes or no",
    }  # fmt: skip
    assert form.input == {"prompt": "a train", "n": 0.5, "list": ["a", "b"], "name": "x"}
    number = next(control for control in form._main.controls if control.field.name == "n")
    assert list(number.widget.options) == ["0.5", "3"]


def test_without_runs_and_schema_there_are_names_and_values(shell, runkey):
    form = rw.form("runkey:tpl_inline")
    assert form.input == {}
    assert form.cell == "%%runkey tpl_inline\n"
    given = {"a": 5, "b": "7", "c": "text {x}", "d": {"x": [1, None]}}
    form.load(given)
    assert form.input == given
    shell.run(f"{form.cell}".replace("%%runkey", "%%runkey --yes -q"))
    assert sent(runkey) == [given], "the cell sends what the form sends"
    form.load({"": 1})
    with pytest.raises(TaskInvalid, match="Name is needed"):
        _ = form.input


def test_a_run_opens_the_form_of_its_template(shell, runkey):
    ship = cell(shell)
    for what in (ship, ship[0], ship.task_uuid, ship.task_uuid[:8], f"runkey:{ship.task_uuid[:8]}"):
        assert rw.form(what).input == SMALL
    form = rw.form(ship)
    assert send(form).task_uuid == ship.task_uuid
    assert "0 credits, recorded" in form._sender.status.value
    assert len(sent(runkey)) == 1


def test_an_error_of_the_service_is_shown_in_the_form(shell, runkey):
    form = rw.form("runkey:tpl_unknown")
    form.load({"a": 1})
    with pytest.raises(TaskInvalid, match="template does not exist"):
        send(form)
    assert "template does not exist" in form._sender.status.value


@pytest.mark.parametrize(
    ("what", "values", "words"),
    [
        ("runkey:", {}, "needs the id of a template"),
        ("runkey:tpl", {"schema": {"type": "string"}}, "no properties"),
        ("runkey:tpl", {"schema": []}, "cannot be used"),
        ("runkey:tpl", {"schema": {"properties": {"a": {"$ref": "http://x/y"}}}}, "outside of the schema"),
    ],
)
def test_what_is_no_form_is_one_sentence(shell, what, values, words):
    with pytest.raises(MagicUsageError, match=words):
        rw.form(what, **values)


def test_types_of_past_values():
    past = [{"a": 1, "b": "x", "c": [1]}, {"a": 2.5, "b": None, "c": ["x"], "d": True}, {"b": "y" * 100, "d": 1}]
    assert schema_of_inputs(past)["properties"] == {
        "a": {"type": "number"}, "b": {"type": "string", "maxLength": 1_000_000}, "c": {}, "d": {},
    }  # fmt: skip
