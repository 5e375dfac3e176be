"""The table of operations, and everything that reads it."""

import dataclasses
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
from runware_nb.commands.operation import OperationCommand
from runware_nb.core.operations import OPERATIONS, TEXT_TO_IMAGE, Input, Operation, Option, operation_of
from runware_nb.core.polling import first_poll_s
from runware_nb.errors import MagicUsageError, TaskInvalid
from runware_nb.notebook.completion import complete_runware
from runware_nb.notebook.magics import RunwareMagics
from runware_nb.notebook.parsing import parse_cell
from runware_nb.providers.runware.catalog import Kind, all_models, fields_of, find_model, rulebook_of
from runware_nb.providers.runware.catalog.check import check_task
from runware_nb.providers.runware.catalog.schemas import request_schema
from runware_nb.providers.runware.operations import (
    BINDINGS,
    UTILITIES,
    WIRE_NAMES,
    binding_for,
    binding_of,
    flags_by_field,
    operation_of_task,
    option_fields,
    wire_name,
)
from runware_nb.providers.runware.tasks import (
    ImageTask,
    current_task_type,
    expected_results,
    is_utility,
    prepare,
    request_of,
)
from runware_nb.session.api import make_image_task
from runware_nb.session.operations import function_of, task_of
from tests.operation_stubs import STUB, stub

# Runware reference 5.0: each row of its table, today's name first.
NAMES = [
    ("imageInference", "photoMaker"), ("videoInference",), ("audioInference",), ("textInference",), ("3dInference",),
    ("upscale", "imageUpscale"), ("removeBackground", "imageBackgroundRemoval"), ("caption", "imageCaption"),
    ("controlNetPreprocess", "imageControlNetPreProcess"), ("imageMasking",), ("promptEnhance",), ("vectorize",),
    ("training",), ("tools",),
]  # fmt: skip
OFFERED = [operation for operation in OPERATIONS if operation.function is not None]
PARSED = {"outpaint", "control", "ip-adapter", "embedding", "refiner", "pulid", "images", "image"}
"""Kinds of options whose texts are parsed by `image_request`, and not by `request_of`."""
OPTIONS = [(operation, option) for operation in OPERATIONS for option in operation.options if option.kind not in PARSED]
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
    assert first_poll_s(operation) == operation.least_s
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
    operation = operation_of_task(model.task_type)
    if operation.most_results is not None:
        assert properties["numberResults"]["maximum"] == operation.most_results
    for name in model.formats or operation.formats:
        assert name in properties["outputFormat"]["enum"]


@pytest.mark.parametrize(("operation", "option"), OPTIONS, ids=lambda entry: entry.name)
def test_every_option_has_help_and_a_field(operation, option):
    assert option.help
    assert bool(option.metavar) == (option.kind != "flag")
    assert option.flags[-1].startswith("--")
    fields = option_fields(option, operation)
    assert fields or option.name in {*binding_for(operation).models, *binding_for(operation).composed}
    for field in fields:
        assert flags_by_field(operation)[field] == option.flags


DERIVED = {
    "outpaint": ("-s 1024x1024 --outpaint left=128,blur=8 --set seedImage=a.png",
                 {"outpaint": {"left": 64}, "seed_image": "a.png", "width": 512, "height": 512}),
    "control": ("--control guide:a.png:0.5:runware:25@1 --control guide:b.png:1:runware:27@1",
                {"control": ("guide", "a.png", 0.5, "runware:25@1")}),
    "ip_adapters": ("--ip-adapter runware:56@1:http://host:80/a.png:0.5",
                    {"ip_adapters": ("runware:56@1", "a.png")}),
    "embeddings": ("-m civitai:101055@128078 --embedding civitai:1@2:-0.5 --embedding civitai:3@4", {"embeddings": "civitai:1@2"}),
    "refiner": ("-m civitai:101055@128078 --refiner civitai:1@2:80%", {"refiner": "civitai:1@2:7"}),
    "pulid": ("--pulid a.png:0.7", {"pulid": "a.png"}),
    "photomaker": ("-m civitai:101055@128078 --photomaker a.png --photomaker b.png", {"photomaker": ["a.png"]}),
    "photomaker_style": ("-m civitai:101055@128078 --photomaker a.png --photomaker-style 'Comic book'",
                         {"photomaker": "a.png", "photomaker_style": "Comic book"}),
    "photomaker_strength": ("-m civitai:101055@128078 --photomaker a.png --photomaker-strength 20",
                            {"photomaker": "a.png", "photomaker_strength": 20}),
    "transparent": ("--transparent", {"transparent": True}),
    "safety": ("--safety", {"safety": True}),
    "vary": ("--vary a.png", {"vary": "a.png"}),
}  # fmt: skip
"""Options whose values are not sent as they are: each on a line, and as parameters."""


def parser_for(operation):
    """Return the parser that a command of this operation has, whether or not it has one today."""
    parser = LineParser("%runware x", "")
    OperationCommand(operation).add_arguments(parser)
    return parser


def sample(option):
    """Return a value as it is typed, and as it is sent."""
    if option.kind == "flag":
        return [], True
    if option.kind in {"size", "lora", "numbers"}:
        return {"size": (["512x768"], 512), "numbers": (["1,2,3,4"], [1, 2, 3, 4]),
                "lora": (["civitai:1@2:0.5"], [{"model": "civitai:1@2", "weight": 0.5}])}[option.kind]  # fmt: skip
    if option.kind == "text":
        return ([option.values[0]] * 2) if option.values else (["some text"], "some text")
    value = int(option.values[0]) if option.values else int(option.low or 4)
    return [str(value)], value


def value_at(task, path):
    for name in path.split("."):
        task = task[name]
    return task


@pytest.mark.parametrize(("operation", "option"), OPTIONS, ids=lambda entry: entry.name)
def test_an_option_on_a_line_becomes_its_field(operation, option):
    typed, sent = sample(option)
    typed = [typed] if isinstance(typed, str) else typed
    for flag in option.flags:
        options = parser_for(operation).read([flag, *typed])
        task = request_of(operation, {option.name: getattr(options, option.long)})
        if option.name in binding_for(operation).models:
            assert find_model(task.pop("model")).task_type == task["taskType"]
        elif option.name == binding_for(operation).message:
            assert task.pop("messages") == [{"role": "user", "content": sent}]
        else:
            for path in option_fields(option, operation):
                assert value_at(task, path) == (768 if path == "height" and option.kind == "size" else sent)
                task.pop(path.partition(".")[0])
        assert task == {"taskType": binding_for(operation).task_type}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_the_help_and_the_signature_of_an_operation_have_every_option(operation):
    text = " ".join(parser_for(operation).format_help().split())
    function = function_of(dataclasses.replace(operation, function="trial"))
    for entry in (*operation.inputs, *operation.options):
        assert entry.help in text
        assert entry.name in inspect.signature(function).parameters
        assert f"{entry.help[:1].upper()}{entry.help[1:]}." in function.__doc__


def models_with(operation, path):
    for model in all_models():
        if model.task_type == binding_for(operation).task_type:
            schema = request_schema(model)
            for name in path.split("."):
                schema = schema.get("properties", {}).get(name, {})
            if schema:
                yield model, schema


BOUNDED = [(operation, option) for operation, option in OPTIONS if option.kind in {"integer", "number"}
           and (option.low is not None or option.high is not None)]  # fmt: skip


@pytest.mark.parametrize(("operation", "option"), BOUNDED, ids=lambda entry: entry.name)
def test_a_value_out_of_range_is_refused_and_the_line_corrected(operation, option):
    (path,) = option_fields(option, operation)
    model, schema = next(models_with(operation, path))
    assert (schema.get("minimum"), schema.get("maximum")) == (option.low, option.high)
    for bound, wrong in ((option.low, (option.low or 0) - 1), (option.high, (option.high or 0) + 1)):
        if bound is None:
            continue
        given = {
            "model": model.air,
            "prompt": "a ship",
            "image": "a.png",
            option.name: int(wrong),
        }
        known = {entry.name for entry in (*operation.inputs, *operation.options)}
        task = request_of(operation, {name: value for name, value in given.items() if name in known})
        needed = {"speech": {"text": "x"}, "positivePrompt": "a ship"}
        if "photoMaker" in task:
            task["photoMaker"]["images"] = ["a.png"]
        task |= {name: needed[name] for name in model.needs if name in needed}
        task |= {"width": 1024, "height": 1024} if "width" in model.needs else {}
        with pytest.raises(TaskInvalid) as caught:
            check_task(task)
        assert caught.value.parameter == path
        line = corrected_line("%runware x", [option.flags[0], f"{int(wrong)}"], caught.value, command=operation.name)
        assert line == f"%runware x {option.flags[0]} {bound:g}"


@pytest.mark.parametrize("model", all_models(), ids=lambda model: model.air)
def test_a_form_has_the_help_of_the_table(model):
    def flat(fields):
        for field in fields:
            yield field
            yield from flat(field.fields) if field.kind is Kind.GROUP else ()

    operation = operation_of_task(model.task_type)
    shown = {".".join(field.path): field for field in flat(fields_of(rulebook_of(model)))}
    stated = {path: option for option in operation.options for path in option_fields(option, operation)}
    assert stated
    for path in shown.keys() & stated.keys():
        assert shown[path].help == stated[path].help
    for medium in operation.inputs:
        field = shown.get(f"inputs.{wire_name(medium.name, operation)}")
        assert field is None or field.help == medium.help


def test_frames_of_a_video_are_sent_with_their_place():
    frames = {"first_frame": "a.png", "last_frame": "b.png", "reference_images": ["c.png"]}
    assert request_of(operation_of("video"), frames)["inputs"] == {
        "frameImages": [{"image": "a.png", "frame": "first"}, {"image": "b.png", "frame": "last"}],
        "referenceImages": ["c.png"],
    }


def test_an_option_that_stands_for_a_model_is_not_taken_with_one():
    mask = operation_of("mask")
    assert task_of(mask, {"image": "a.png", "detector": "hand"})["model"] == "runware:35@3"
    with pytest.raises(TaskInvalid, match=r"either model or detector.*Nothing was sent"):
        task_of(mask, {"model": "runware:35@1", "detector": "hand"})


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
        if option.name in DERIVED:
            assert make_image_task("a ship", **DERIVED[option.name][1]).extra
            continue
        assert set(("width", "height") if option.kind == "size" else (option.name,)) <= fields.keys()
        assert option.kind == "size" or option.name in WIRE_NAMES


def test_the_configuration_of_the_magic_has_the_texts_of_the_table():
    helps = {option.long: option.help for option in TEXT_TO_IMAGE.options}
    traits = RunwareMagics.class_traits(config=True)
    assert {name: trait.help for name, trait in traits.items() if name in helps} == {
        name: text for name, text in helps.items() if name in traits
    }


VALUES = {"integer": "4", "number": "0.5", "size": "512x768", "text": "none"}


@pytest.mark.parametrize("option", [option for option in TEXT_TO_IMAGE.options if option.name != "vary"],
                         ids=lambda option: option.name)  # fmt: skip
def test_an_option_on_a_line_comes_back_in_a_copied_cell(option):
    from runware_nb.commands.image_options import task_from

    named = {"model": "runware:101@1", "loras": "civitai:1@2:0.5"}
    if option.name in DERIVED:
        line = DERIVED[option.name][0]
        task = task_from(parse_cell(line, "a ship", {}).options, "a ship", str).to_wire()
        cell = as_cell(task)
        again = parse_cell(*cell.removeprefix("%%runware").split("\n", 1), {})
        assert task_from(again.options, again.prompt, str).to_wire() == task
        assert option.flags[0] in cell
        assert "--set" not in cell or option.name == "outpaint"  # its source is in another field
        return
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
    assert list(parameters) == ["image", "mask_image", "model", "factor", "extra", "fresh", "agreed", "tags", "note"]
    assert parameters["image"].default is inspect.Parameter.empty
    assert "How much, 2 or 4." in function.__doc__
    assert function.__doc__.startswith("Make edges sharper.")
    with pytest.raises(MagicUsageError, match=r"'factr'.*rw\.sharpen_edges; the nearest is factor\. Nothing was sent"):
        function("a.png", factr=2)
    with pytest.raises(MagicUsageError, match="image"):
        function(factor=2)


def test_type_checkers_know_each_function():
    assert STUB.read_text() == stub(), "run: python -m tests.operation_stubs"


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
from runware_nb.notebook.magic_runner import usage
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
        package / "providers/runware/operations.py",
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
    assert result["signature"].startswith("(image, *, mask_image=None, model=None, factor=None")
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
