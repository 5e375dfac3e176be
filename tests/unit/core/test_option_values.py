"""The values of options that have a spelling of their own, as each front end reads them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runware_nb.commands.as_cell import as_cell, quote_word
from runware_nb.commands.image_options import task_from
from runware_nb.core.option_values import LoRA, match_size, parse_lora, parse_loras, parse_size
from runware_nb.errors import TaskInvalid
from runware_nb.notebook.parsing import parse_cell
from runware_nb.session.api import make_image_task

FORMS = [
    "civitai:1@2:0.8", ("civitai:1@2", 0.8), ["civitai:1@2", "0.8"], {"model": "civitai:1@2", "weight": 0.8},
    LoRA("civitai:1@2", 0.8), ("civitai:1@2", np.float64(0.8)),
]  # fmt: skip


@pytest.mark.parametrize("value", FORMS)
def test_each_form_of_a_lora_is_the_same(value):
    lora = parse_lora(value)
    assert lora == LoRA("civitai:1@2", 0.8)
    assert type(lora.weight) is float


@pytest.mark.parametrize(
    ("text", "lora"),
    [
        ("civitai:1@2", LoRA("civitai:1@2")),
        ("civitai:1@2:-1", LoRA("civitai:1@2", -1.0)),
        ("style", LoRA("style")),
        ("my:style", LoRA("my:style")),  # an alias may contain a colon
        ("urn:air:sdxl:lora:civitai:1@2:0.5", LoRA("urn:air:sdxl:lora:civitai:1@2", 0.5)),
    ],
)
def test_a_text_is_an_identifier_with_or_without_a_weight(text, lora):
    assert parse_lora(text) == lora


@pytest.mark.parametrize(
    "value",
    ["a:1@2:x", "a:1@2:", "a:1@2:nan", "a:1@2:inf", "a:1@2:1e999", ("a:1@2", None), ("a:1@2", "x"), {"model": "a", "weight": []},
     {"weight": 1}, {"model": 7}, 7, None, (), ("a",), ("a", 1, 2), (1, 2), b"a:1@2"],
)  # fmt: skip
def test_another_value_is_refused_in_one_sentence(value):
    with pytest.raises(TaskInvalid, match="Nothing was sent") as caught:
        parse_lora(value)
    assert caught.value.parameter == "lora"
    assert "\n" not in str(caught.value)


def test_one_lora_and_several():
    lora = LoRA("civitai:1@2", 0.8)
    assert parse_loras(None) == ()
    for value in FORMS[:2] + FORMS[3:]:
        assert parse_loras(value) == (lora,)
    assert parse_loras([FORMS[0], FORMS[1]]) == (lora, lora)
    assert parse_loras(("a:1@2", "b:1@2")) == (LoRA("a:1@2"), LoRA("b:1@2"))
    with pytest.raises(TaskInvalid):
        parse_loras(7)


texts = st.from_regex(r"[a-z]{1,8}:[0-9]{1,5}@[0-9]{1,5}(:-?[0-4](\.[0-9]{1,3})?)?", fullmatch=True)


def of_line(line):
    asked = parse_cell(line, "a ship", {})
    return task_from(asked.options, asked.prompt, lambda word: word).to_wire()


@given(texts | st.text(min_size=1, max_size=20))
def test_the_line_and_python_agree_about_a_lora(text):
    """One of them cannot accept what the other one refuses, or read another weight."""
    outcomes = []
    for read in (lambda: make_image_task("a ship", loras=text).to_wire()["lora"], lambda: [parse_lora(text).to_wire()]):
        try:
            outcomes.append(read())
        except TaskInvalid as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


@given(texts)
def test_a_lora_of_a_line_is_that_of_python_and_of_the_cell_written_for_it(text):
    task = make_image_task("a ship", loras=[text]).to_wire()
    assert of_line(f"--lora {quote_word(text)}")["lora"] == task["lora"]
    head, _, body = as_cell(task).partition("\n")
    asked = parse_cell(head.removeprefix("%%runware"), body, {})
    assert task_from(asked.options, asked.prompt, lambda word: word).to_wire()["lora"] == task["lora"]


@given(st.integers(1, 99999), st.integers(1, 99999), st.sampled_from("x×*X"), st.sampled_from(["", " "]))
def test_a_size_is_read_in_each_of_its_spellings(width, height, sign, space):
    text = f"{width}{space}{sign}{space}{height}"
    assert parse_size(text) == match_size(f" {text} ") == (width, height)
    wire = of_line(f"--size {quote_word(text)}")
    assert (wire["width"], wire["height"]) == (width, height)


@pytest.mark.parametrize(
    "text", ["", "big", "512", "512x", "x512", "-1x512", "512x512x512", "1e3x5", "٥١٢x512", "123456x512"]
)
def test_another_size_is_refused_in_one_sentence(text):
    assert match_size(text) is None
    with pytest.raises(TaskInvalid, match="write it as 1024x768") as caught:
        parse_size(text)
    assert caught.value.parameter == "width"
