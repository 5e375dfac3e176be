"""A request that is written as a line or a cell, and parsed again, is the same request, for each operation."""

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runware_nb.commands.arguments import split_line
from runware_nb.commands.as_cell import as_cell
from runware_nb.commands.dispatch import LineStyle, find_command, read_line
from runware_nb.commands.image_options import read_set
from runware_nb.core.operations import OPERATIONS, TEXT_TO_IMAGE
from runware_nb.notebook.parsing import add_run_placement, fill_line, parse_operation_cell
from runware_nb.providers.runware.operations import binding_for
from runware_nb.providers.runware.tasks import values_of
from runware_nb.reproduce.code import operation_call
from runware_nb.session.operations import task_of

OFFERED = [operation for operation in OPERATIONS if operation.function and operation is not TEXT_TO_IMAGE]
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
NAMES = {"name": "replaced", "x": 3}
"""Variables of the notebook: a prompt that contains `{name}` must not change."""


def value_for(option):
    if option.kind == "flag":
        return st.just(True)
    if option.kind == "integer":
        return st.integers(-50, 2**40)
    if option.kind == "number":
        return st.one_of(st.integers(-9, 9), st.floats(-1e6, 1e6).filter(lambda value: not value.is_integer()))
    if option.kind == "numbers":
        return st.lists(st.integers(0, 255), min_size=1, max_size=4)
    if option.kind == "size":
        return st.tuples(st.integers(1, 4096), st.integers(1, 4096)).map(lambda size: f"{size[0]}x{size[1]}")
    if option.kind == "lora":
        return st.lists(st.sampled_from(["civitai:1@2:0.5", "civitai:3@4:-1.5"]), min_size=1, max_size=2)
    return st.one_of(
        WORDS, st.sampled_from(["-x", "--yes", "{name}", "{{x}}", "it's", 'say "no"', "a\\b", "ends?", "-5"])
    )


def requests(operation):
    """Requests of an operation, with values that a service may refuse, and fields that no option has."""
    composed = binding_for(operation).composed
    options = {
        option.name: value_for(option)
        for option in operation.options
        if option.name not in {"model", *composed, *binding_for(operation).models}
    }
    media = {
        medium.name: st.lists(st.sampled_from(["a.png", "b c.png"]), min_size=1, max_size=2) if medium.is_list
        else st.sampled_from(["a.png", "https://example.com/x.png", "it's.png"])
        for medium in operation.inputs
    }  # fmt: skip
    values = st.fixed_dictionaries({"model": st.sampled_from(["acme:1@1", "acme:x@y"])}, optional=options | media)
    extra = st.fixed_dictionaries(
        {}, optional={"newField": st.sampled_from([1, [1, {"a": None}], "text", {"b": "{name}"}])}
    )
    return st.builds(lambda given, more: task_of(operation, given, more), values, extra)


def parsed(cell, operation):
    """Return the request that a cell makes, as the magics read it."""
    line, _, body = cell.partition("\n")
    if cell.startswith("%%"):
        asked = parse_operation_cell(line.removeprefix("%%runware "), body, NAMES)
        words, prompt = asked.words, asked.body
    else:
        words, prompt = fill_line(line.removeprefix("%runware "), NAMES)[0], None
    call = read_line(words, LineStyle("%runware {}"), extend=add_run_placement)
    call.options.body = prompt
    values = find_command(operation.name).values_of(call.options, lambda word: word)
    return task_of(operation, values, read_set(call.options.set or ()))


@pytest.mark.parametrize("operation", OFFERED, ids=lambda operation: operation.name)
@settings(max_examples=25)
@given(data=st.data())
def test_a_copied_cell_makes_the_same_request(operation, data):
    task = data.draw(requests(operation))
    cell = as_cell(task)
    if cell is None:
        return
    assert parsed(cell, operation) == task
    assert split_line(cell.partition("\n")[0])[1] == operation.name


@pytest.mark.parametrize("operation", OFFERED, ids=lambda operation: operation.name)
@settings(max_examples=25)
@given(data=st.data())
def test_the_code_of_a_request_makes_the_same_request(operation, data):
    task = data.draw(requests(operation))
    call = operation_call(task)
    if call is None:
        return
    node = ast.parse(call, mode="eval").body
    first = [ast.literal_eval(argument) for argument in node.args]
    values = {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords}
    extra = values.pop("extra", None)
    values |= dict(zip(operation.positional, first, strict=False))
    assert ast.unparse(node.func) == f"rw.{operation.function}"
    assert task_of(operation, values, extra) == task


@pytest.mark.parametrize("operation", OFFERED, ids=lambda operation: operation.name)
def test_usual_requests_have_a_cell_and_a_call(operation):
    """The cell is not left out for want of a way to write it."""
    given = {"model": "acme:1@1", "prompt": "a ship, {name}", "image": "a b.png", "output_format": "PNG", "seed": 7}
    values = {name: value for name, value in given.items() if name in {entry.name for entry in operation.entries}}
    task = task_of(operation, values, {"newField": {"deep": [1]}})
    cell = as_cell(task)
    assert cell is not None
    assert cell.startswith("%%runware " if operation.body else "%runware ")
    assert parsed(cell, operation) == task
    assert operation_call(task) is not None
    assert values_of(operation, task)[0].keys() == values.keys()


def test_a_text_that_was_not_streamed_is_copied_as_such():
    task = {"taskType": "textInference", "model": "acme:1@1", "messages": [{"role": "user", "content": "hi"}]}
    assert as_cell({**task, "deliveryMethod": "sync"}) == "%%runware text -m acme:1@1 --no-stream\nhi"
    assert as_cell({**task, "deliveryMethod": "stream"}) == "%%runware text -m acme:1@1\nhi"
    assert "stream=False" in operation_call(task, streams=False)
    assert "stream" not in operation_call(task)
