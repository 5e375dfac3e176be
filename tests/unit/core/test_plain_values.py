"""Values of a task are converted once: the same value has one form on the wire, in the hash and in the log."""

import datetime as dt
import enum
import json
import math
import pathlib
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from runware_nb import Outcome
from runware_nb.commands.image_options import add_image_options, task_from
from runware_nb.core.canonical import request_hash
from runware_nb.core.option_values import LoRA
from runware_nb.core.plain_values import plain_task
from runware_nb.errors import MagicUsageError, TaskInvalid
from runware_nb.providers.runware.catalog import check_task
from runware_nb.providers.runware.tasks import ImageTask, as_wire, prepare
from runware_nb.session.api import as_tags, make_image_task


class Steps(enum.IntEnum):
    MANY = 5


class Word(enum.StrEnum):
    NAME = "5"


class Named(str, enum.Enum):  # noqa: UP042 - the older form, whose str() is not its value
    NAME = "Euler a"


FIVES = [
    5, 5.0, np.int64(5), np.int8(5), np.uint64(5), np.float32(5), np.float64(5), np.longdouble(5), np.array(5), Steps.MANY,
    Decimal(5), Decimal("5.0"), Fraction(5), pd.Series([5])[0], pd.Series([5], dtype="Int64")[0],
]  # fmt: skip


@pytest.mark.parametrize("five", FIVES, ids=lambda value: f"{type(value).__module__}.{type(value).__name__}")
def test_every_five_is_the_same_request(five):
    """Through a typed task, a dict, `extra` and a nested object: the bytes and the hash are those of 5."""
    made = {
        "typed": as_wire(make_image_task("a ship", seed=five, width=256, height=256)),
        "dict": as_wire({"taskType": "imageInference", "seed": five}),
        "extra": as_wire(make_image_task("a ship", extra={"seed": five})),
        "nested": as_wire({"settings": {"seed": five, "list": [five]}})["settings"],
        "prepared": prepare(as_wire({"taskType": "imageInference", "seed": five}), new_uuid=lambda: "x"),
    }
    for way, wire in made.items():
        assert json.dumps(wire["seed"]) == "5", way
        assert type(wire["seed"]) is int, way
    asked = {"taskType": "imageInference", "seed": 5}
    assert request_hash(made["dict"], service="x") == request_hash(asked, service="x")
    assert check_task({**made["typed"], "model": "runware:101@1"}) == []


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (np.bool_(True), "true"), (np.str_("x"), '"x"'), (Word.NAME, '"5"'), (Named.NAME, '"Euler a"'), (-0.0, "0"),
        (np.float32(0.7), "0.7"), (np.float16(0.1), "0.1"), (Decimal("0.5"), "0.5"), (Fraction(1, 4), "0.25"),
        (None, "null"), (1e300, "1e+300"), ((1, 2.0), "[1, 2]"), ({"a": np.int64(1)}, '{"a": 1}'), (2.5, "2.5"),
        (np.float64(2.5), "2.5"), (LoRA("civitai:1@2", np.float64(1)), '{"model": "civitai:1@2", "weight": 1}'),
    ],
)  # fmt: skip
def test_a_value_has_one_form(value, wire):
    assert json.dumps(plain_task({"parameter": value})["parameter"]) == wire


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "missing value"), (np.float32("nan"), "missing value"), (pd.NA, "missing value"), (pd.NaT, "missing"),
        (Decimal("NaN"), "missing"), (Decimal("sNaN"), "missing"), (math.inf, "finite"), (-np.float64("inf"), "finite"),
        (Decimal("Infinity"), "finite"), (np.array([1, 2]), "array of shape 2"), (pd.Series([1, 2]), "array of shape 2"),
        (np.zeros((8, 8, 3), "uint8"), "array of shape 8x8x3"), (b"7", "bytes"), (pathlib.Path("a"), "a path"),
        ({1, 2}, "set"), (range(3), "range"), (1j, "complex"), (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "datetime"), (object(), "object"),
        (np.datetime64("2026-01-01"), "date"), (Image.new("L", (8, 8)), "not a Image"), (iter([1]), "list_iterator"),
        (pd.DataFrame({"a": [1]}), "DataFrame"), ([1, math.nan], "missing"), ({"deep": math.inf}, "finite"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["seed", "positivePrompt"])
def test_what_is_no_parameter_is_refused_in_one_sentence(name, value, words):
    for refused in (
        lambda: as_wire({name: value}),
        lambda: as_wire(ImageTask(positive_prompt="x", model="m", extra={name: value})),
    ):
        with pytest.raises(TaskInvalid, match=words) as caught:
            refused()
        assert name in str(caught.value)
        assert "Nothing was sent." in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "medium", [np.zeros((8, 8, 3), "uint8"), pathlib.Path("a.png"), b"\x89PNG", Image.new("L", (8, 8))]
)
def test_media_stay_where_media_stand(medium):
    task = {
        "seedImage": medium, "referenceImages": [medium], "inputs": {"image": medium, "references": [{"image": medium}]},
        "frameImages": [{"inputImage": medium, "frame": np.int64(3)}],
    }  # fmt: skip
    made = plain_task(task)
    assert made["seedImage"] is medium
    assert made["referenceImages"][0] is made["inputs"]["image"] is made["inputs"]["references"][0]["image"] is medium
    assert made["frameImages"][0]["inputImage"] is medium
    assert type(made["frameImages"][0]["frame"]) is int
    assert plain_task({"taskType": "imageUpload", "image": medium})["image"] is medium


def test_a_file_at_a_parameter_of_a_new_name_is_still_a_medium():
    assert plain_task({"somethingNew": pathlib.Path("a.png")})["somethingNew"] == pathlib.Path("a.png")


def test_an_outcome_is_passed_on_as_a_medium():
    outcome = Outcome({}, "x", [], [], 0.0)
    assert plain_task({"seedImage": outcome})["seedImage"] is outcome


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=5))
def test_plain_values_are_equal_afterwards_and_converted_once(task):
    made = plain_task(task)
    assert made == task
    again = plain_task(made)
    assert json.dumps(again) == json.dumps(made)
    assert request_hash(made, service="x") == request_hash(task, service="x")


def test_options_of_a_line_take_the_same_values():
    import argparse

    parser = argparse.ArgumentParser()
    add_image_options(parser)
    options = parser.parse_args(["--seed", "5.0", "-n", "2", "--set", "steps=9.0", "--set", "a.b=1.0"])
    wire = as_wire(task_from(options, "a ship", str))
    assert json.dumps([wire["seed"], wire["numberResults"], wire["steps"], wire["a"]]) == '[5, 2, 9, {"b": 1}]'
    for words in (["--cfg", "nan"], ["--set", "steps=NaN"], ["--set", "steps=1e999"], ["--lora", "civitai:1@2:nan"]):
        options = parser.parse_args(words)
        with pytest.raises(TaskInvalid, match="Nothing was sent"):
            as_wire(task_from(options, "a ship", str))


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("final", ("final",)), (["a", "b", "a"], ("a", "b")), (("a",), ("a",)), (None, ()), ((), ()), ("", ()),
        (np.str_("final"), ("final",)), (Word.NAME, ("5",)), (pd.Series(["a", "b"]), ("a", "b")), ({"a": 1}.keys(), ("a",)),
        (7, ("7",)), (iter(["x"]), ("x",)),
    ],
)  # fmt: skip
def test_one_text_is_one_tag(tags, expected):
    assert as_tags(tags) == expected


@pytest.mark.parametrize("tags", [b"final", {"a": 1}, [None], [b"x"], [1.5], 1.5])
def test_what_is_no_tag_is_refused(tags):
    with pytest.raises(MagicUsageError, match="expected a text"):
        as_tags(tags)


@pytest.mark.parametrize("loras", ["civitai:1@2:0.5", ["civitai:1@2:0.5"], LoRA("civitai:1@2", 0.5), ("civitai:1@2", 0.5),
                                   {"model": "civitai:1@2", "weight": 0.5}, [("civitai:1@2", np.float64(0.5))]])  # fmt: skip
def test_one_lora_is_not_taken_for_its_letters(loras):
    assert make_image_task("a ship", loras=loras).loras == (LoRA("civitai:1@2", 0.5),)


def test_every_value_among_the_assets_of_a_task_is_a_medium():
    array, image = np.zeros((4, 4, 3), np.uint8), Image.new("RGB", (4, 4))
    task = {
        "assets": {"anyName": array, "other": [image], "text": "half \ud800.png"},
        "settings": {"assets": {"x": 5.0}},
    }
    plain = plain_task(task)
    assert plain["assets"]["anyName"] is array
    assert plain["assets"]["other"] == [image]
    assert plain["assets"]["text"] == "half \ud800.png"
    assert plain["settings"] == {"assets": {"x": 5}}
    with pytest.raises(TaskInvalid, match=r"settings\.assets\.x"):
        plain_task({"settings": {"assets": {"x": array}}})
