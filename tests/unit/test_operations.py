"""The table of operations, and everything that reads it."""

import inspect
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import runware_nb
from runware_nb.commands import COMMANDS, find_command
from runware_nb.commands.arguments import LineParser
from runware_nb.commands.as_cell import as_cell
from runware_nb.commands.correcting import corrected_line
from runware_nb.core.bindings import (
    BINDINGS,
    UTILITIES,
    WIRE_NAMES,
    binding_of,
    flags_by_field,
    operation_of_task,
    wire_name,
)
from runware_nb.core.operations import OPERATIONS, TEXT_TO_IMAGE, Input, Operation, Option
from runware_nb.core.polling import first_poll_s
from runware_nb.core.tasks import ImageTask, current_task_type, expected_results, is_utility, prepare
from runware_nb.errors import MagicUsageError, TaskInvalid
from runware_nb.notebook.completion import complete_runware
from runware_nb.notebook.magics import RunwareMagics
from runware_nb.notebook.parsing import parse_cell
from runware_nb.providers.runware.catalog import all_models
from runware_nb.providers.runware.catalog.schemas import request_schema
from runware_nb.session.operations import function_of, task_of

# Runware reference 5.0: each row of its table, today's name first.
NAMES = [
    ("imageInference", "photoMaker"), ("videoInference",), ("audioInference",), ("textInference",), ("3dInference",),
    ("upscale", "imageUpscale"), ("removeBackground", "imageBackgroundRemoval"), ("caption", "imageCaption"),
    ("controlNetPreprocess", "imageControlNetPreProcess"), ("imageMasking",), ("promptEnhance",), ("vectorize",),
    ("training",), ("tools",),
]  # fmt: skip
OFFERED = [operation for operation in OPERATIONS if operation.function is not None]
OPTIONS = [(operation, option) for operation in OPERATIONS for option in operation.options]
TRIAL = Operation(
    name="sharpen-edges", summary="make edges sharper", produces="image", function="sharpen_edges",
    inputs=(Input("image", "the image to work on", is_required=True), Input("mask_image", "where to work", "--mask")),
    options=(
        Option("model", "AIR identifier", ("-m", "--model"), "AIR"),
        Option("factor", "how much, 2 or 4", ("--factor",), "N", "integer", ("2", "4")),
    ),
    deterministic=True,
)  # fmt: skip


def parser_of(name):
    parser = LineParser(f"%runware {name}", "")
    find_command(name).add_arguments(parser)
    return parser


def test_every_task_type_has_one_binding():
    counted = Counter(name for binding in BINDINGS for name in (binding.task_type, *binding.older_names))
    assert counted == Counter(name for row in NAMES for name in row)
    assert not counted.keys() & UTILITIES
    assert [(binding.task_type, *binding.older_names) for binding in BINDINGS] == [
        next(row for row in NAMES if row[0] == binding.task_type) for binding in BINDINGS
    ]


def test_every_operation_has_one_binding():
    assert Counter(binding.operation for binding in BINDINGS) == Counter(operation.name for operation in OPERATIONS)


@pytest.mark.parametrize("row", NAMES, ids=lambda row: row[0])
def test_an_older_name_is_the_same_operation(row):
    for name in row:
        assert current_task_type(name) == row[0]
        assert operation_of_task(name) is operation_of_task(row[0]) is not None
        assert not is_utility(name)


@pytest.mark.parametrize("binding", BINDINGS, ids=lambda binding: binding.operation)
def test_the_rules_of_delivery_follow_the_table(binding):
    operation = operation_of_task(binding.task_type)
    task = {"taskType": binding.task_type}
    assert prepare(task, new_uuid=str)["deliveryMethod"] == ("async" if operation.long_running else "sync")
    for medium in operation.inputs:
        delivery = prepare({**task, "inputs": {wire_name(medium.name): "x"}}, new_uuid=str)["deliveryMethod"]
        assert delivery == ("async" if operation.long_running or medium.makes_slow else "sync")
    assert first_poll_s(binding.task_type) == operation.least_s
    assert expected_results({**task, binding.count_field: 3}) == 3


def test_a_task_type_that_is_not_known_is_left_alone():
    assert binding_of("newInference") is operation_of_task("newInference") is None
    assert prepare({"taskType": "newInference"}, new_uuid=str)["deliveryMethod"] == "sync"
    assert current_task_type("newInference") == "newInference"


@pytest.mark.parametrize("model", all_models(), ids=lambda model: model.air)
def test_the_fields_of_a_form_follow_the_table(model):
    binding, properties = binding_of(model.task_type), request_schema(model)["properties"]
    assert binding is not None
    assert binding.common <= properties.keys()
    if binding.most_results is not None:
        assert properties["numberResults"]["maximum"] == binding.most_results
    for name in model.formats or binding.formats:
        assert name in properties["outputFormat"]["enum"]


@pytest.mark.parametrize(("operation", "option"), OPTIONS, ids=lambda entry: entry.name)
def test_every_option_has_help_and_a_field(operation, option):
    assert option.help
    assert option.metavar
    assert option.flags[-1].startswith("--")
    assert flags_by_field(operation)
    for field in ("width", "height") if option.kind == "size" else (wire_name(option.name, operation),):
        assert flags_by_field(operation)[field] == option.flags


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_entry_is_described(operation):
    assert operation.summary
    assert all(medium.help for medium in operation.inputs)
    names = [entry.name for entry in (*operation.inputs, *operation.options)]
    assert len(set(names)) == len(names)
    assert (operation.name in COMMANDS) == (operation.function is not None)


@pytest.mark.parametrize("operation", OFFERED, ids=lambda operation: operation.name)
def test_a_command_agrees_with_the_table(operation):
    parser = parser_of(operation.name)
    text = " ".join(parser.format_help().split())
    names = parser.option_names()
    assert operation.summary == find_command(operation.name).SUMMARY
    for option in operation.options:
        assert set(option.flags) <= set(names)
        assert option.help in text
        for flag in option.flags if option.values else ():
            assert complete_runware(f"%runware {operation.name} {flag} ")[1] == list(option.values)
    for medium in operation.inputs:
        assert medium.help in text
    assert set(names) <= set(complete_runware(f"%runware {operation.name} -")[1])
    assert callable(getattr(runware_nb, operation.function))


def test_the_function_of_images_takes_every_option():
    fields = inspect.signature(ImageTask).parameters
    for option in TEXT_TO_IMAGE.options:
        assert set(("width", "height") if option.kind == "size" else (option.name,)) <= fields.keys()
        assert option.kind == "size" or option.name in WIRE_NAMES


def test_the_configuration_of_the_magic_has_the_texts_of_the_table():
    helps = {option.long: option.help for option in TEXT_TO_IMAGE.options}
    traits = RunwareMagics.class_traits(config=True)
    assert {name: trait.help for name, trait in traits.items() if name in helps} == {
        name: text for name, text in helps.items() if name in traits
    }


VALUES = {"integer": "4", "number": "0.5", "size": "512x768", "text": "none"}


@pytest.mark.parametrize("option", TEXT_TO_IMAGE.options, ids=lambda option: option.name)
def test_an_option_on_a_line_comes_back_in_a_copied_cell(option):
    from runware_nb.commands.image_options import task_from

    named = {"model": "runware:101@1", "loras": "civitai:1@2:0.5"}
    value = named.get(option.name) or next(iter(option.values), VALUES[option.kind])
    for flag in option.flags:
        request = parse_cell(f"{flag} {value}", "a ship", {})
        task = task_from(request.options, request.prompt, str).to_wire()
        again = parse_cell(*as_cell(task).removeprefix("%%runware").split("\n", 1), {})
        assert task_from(again.options, again.prompt, str).to_wire() == task
        assert getattr(request.options, option.long) in (value, [value], float(value) if value == "0.5" else 4)


@pytest.mark.parametrize("medium", TEXT_TO_IMAGE.inputs, ids=lambda medium: medium.name)
def test_an_input_on_a_line_comes_back_in_a_copied_cell(medium):
    from runware_nb.commands.image_options import task_from

    options = parse_cell(f"{medium.flag} a.png", "a ship", {}).options
    task = task_from(options, "a ship", str).to_wire()
    field = wire_name(medium.name)
    assert task[field] == (["a.png"] if medium.is_list else "a.png")
    cell = as_cell({**{name: value for name, value in task.items() if name != field}, "inputs": {field: task[field]}})
    assert f"{medium.flag} a.png" in cell


@pytest.mark.parametrize("operation", OFFERED, ids=lambda operation: operation.name)
def test_a_correction_knows_each_option_of_a_command(operation):
    for option in operation.options:
        for flag in option.flags if option.kind == "integer" else ():
            error = TaskInvalid("x", parameter=wire_name(option.name, operation), allowed_values=[4])
            line = corrected_line("%runware x", [flag, "5"], error, command=operation.name)
            assert line == f"%runware x {flag} 4"
            assert corrected_line("%runware x", [flag, "5"], error, command="log") is None


def test_a_function_has_the_names_and_the_texts_of_its_entry():
    function = function_of(TRIAL)
    parameters = inspect.signature(function).parameters
    assert list(parameters) == ["image", "mask_image", "model", "factor", "fresh", "agreed", "tags", "note"]
    assert parameters["image"].default is inspect.Parameter.empty
    assert "How much, 2 or 4." in function.__doc__
    assert function.__doc__.startswith("Make edges sharper.")
    with pytest.raises(MagicUsageError, match=r"rw\.sharpen_edges\(.*factr.*Nothing was sent"):
        function("a.png", factr=2)
    with pytest.raises(MagicUsageError, match="image"):
        function(factor=2)


def test_a_task_has_a_model_and_its_inputs():
    upscale = operation_of_task("upscale")
    task = task_of(upscale, {"image": "a.png", "model": None})
    assert task["taskType"] == "upscale"
    assert task["inputs"] == {"image": "a.png"}
    assert binding_of(next(m.task_type for m in all_models() if m.air == task["model"])).task_type == "upscale"
    assert task_of(upscale, {"model": "acme:1@1"}) == {"taskType": "upscale", "model": "acme:1@1"}


SCRIPT = """
import inspect, json, sys
import runware_nb as rw
from runware_nb.cli import _usage
from runware_nb.notebook.completion import complete_runware
from runware_nb.notebook.running import usage
from runware_nb.session.api import current_session

sent = []
current_session().submit = lambda task, **labels: sent.append([task, {**labels}]) or "job"
planned = rw.command("sharpen-edges", "https://example.com/a.png", model="acme:1@1", factor=2, dry_run=True)
rw.sharpen_edges("https://example.com/a.png", model="acme:1@1", factor=2, tags="edges")
from runware_nb.commands import find_command
from runware_nb.commands.arguments import LineParser
parser = LineParser("%runware sharpen-edges", "")
find_command("sharpen-edges").add_arguments(parser)
print(json.dumps({
    "planned": planned.json["task"], "sent": sent, "usage": [_usage(), usage()], "help": parser.format_help(),
    "names": complete_runware("%runware shar")[1], "options": complete_runware("%runware sharpen-edges --fac")[1],
    "values": complete_runware("%runware sharpen-edges --factor ")[1],
    "signature": str(inspect.signature(rw.sharpen_edges)), "doc": rw.sharpen_edges.__doc__,
}))
"""


def test_an_operation_is_added_by_its_entry_and_its_binding_alone(tmp_path):
    package = tmp_path / "runware_nb"
    shutil.copytree(Path(runware_nb.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    insert(package / "core/operations.py", "OPERATIONS: tuple[Operation, ...] = (\n", f"    {entry_source()},\n")
    insert(
        package / "core/bindings.py",
        "BINDINGS: tuple[Binding, ...] = (\n",
        '    Binding(operation="sharpen-edges", task_type="sharpenEdges", fields={"factor": "edgeFactor"}),\n',
    )
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "RUNWARE_API_KEY": "", "RUNWARE_NB_HOME": str(tmp_path / "home"),
             "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    wire = {"taskType": "sharpenEdges", "model": "acme:1@1", "edgeFactor": 2,
            "inputs": {"image": "https://example.com/a.png"}}  # fmt: skip
    assert wire.items() <= result["planned"].items()
    assert result["sent"] == [[wire, {"fresh": False, "agreed": False, "tags": ["edges"], "note": None}]]
    assert all("sharpen-edges" in text and TRIAL.summary in text for text in result["usage"])
    assert "how much, 2 or 4" in result["help"]
    assert "the image to work on" in result["help"]
    assert result["names"] == ["sharpen-edges"]
    assert result["options"] == ["--factor"]
    assert result["values"] == ["2", "4"]
    assert result["signature"].startswith("(image, mask_image=None, *, model=None, factor=None")
    assert "How much, 2 or 4." in result["doc"]


def entry_source():
    medium = ", ".join(f"Input({m.name!r}, {m.help!r}, {m.flag!r}, is_required={m.is_required})" for m in TRIAL.inputs)
    options = ", ".join(
        f"Option({o.name!r}, {o.help!r}, {o.flags!r}, {o.metavar!r}, {o.kind!r}, {o.values!r})" for o in TRIAL.options
    )
    return (
        f"Operation(name={TRIAL.name!r}, summary={TRIAL.summary!r}, produces='image', function={TRIAL.function!r}, "
        f"inputs=({medium}), options=({options}), deterministic=True)"
    )


def insert(path, marker, text):
    source = path.read_text()
    assert source.count(marker) == 1
    path.write_text(source.replace(marker, marker + text))
