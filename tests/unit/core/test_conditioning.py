"""The values of --control, --ip-adapter, --refiner and --pulid."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runware_nb.core.conditioning import (
    CONTROL_KINDS,
    NO_PREPROCESSOR,
    Control,
    Face,
    IPAdapter,
    Refiner,
    parse_control,
    parse_face,
    parse_ip_adapter,
    parse_refiner,
    parse_several,
)
from runware_nb.errors import TaskInvalid

WORDS = st.sampled_from([
    "a.png", "https://example.org/a.png", "https://example.org:8443/a:b.png?x=1:y", r"C:\pictures\a.png", "C:/a b.png",
    "#2", "3f2a9c1b#2", "5a1f0c4e-1111-4222-8333-444455556666", "data:image/png;base64,iVBORw0KGgo=", "_rw", "a:b.png",
    "https://user@example.org/a.png", "http://localhost:8188",
])  # fmt: skip
AIRS = st.sampled_from(["runware:25@1", "civitai:101055@128080", "google:nano-banana@2.1"])
WEIGHTS = st.floats(0, 1).map(lambda value: round(value, 3))


@given(st.sampled_from([*CONTROL_KINDS, *NO_PREPROCESSOR]), WORDS, WEIGHTS, st.none() | AIRS)
def test_a_control_is_split_whatever_colons_its_image_has(kind, image, weight, air):
    text = ":".join(str(part) for part in (kind, image, weight, *([air] if air else [])))
    parsed = parse_control(text)
    assert parsed == Control(kind, image, weight, air)
    assert parse_control((kind, image, weight, air)) == parsed
    assert parse_control({"kind": kind, "image": image, "weight": weight, "model": air}) == parsed
    assert parse_control(parsed) is parsed
    assert parse_control(f"{kind}:{image}") == Control(kind, image)
    if air:
        assert parse_control(f"{kind}:{image}:{air}") == Control(kind, image, 1.0, air)


@given(AIRS, WORDS, WEIGHTS)
def test_an_adapter_is_split_whatever_colons_its_image_has(air, image, weight):
    assert parse_ip_adapter(f"{air}:{image}:{weight}") == IPAdapter(air, image, weight)
    assert parse_ip_adapter(f"{air}:{image}") == parse_ip_adapter((air, image)) == IPAdapter(air, image)
    assert parse_ip_adapter({"model": air, "image": image, "weight": weight}) == IPAdapter(air, image, weight)


@given(WORDS, st.floats(0, 3).map(lambda value: round(value, 3)))
def test_a_face_is_split_whatever_colons_its_image_has(image, weight):
    assert parse_face(f"{image}:{weight}") == parse_face((image, weight)) == Face(image, weight)
    assert parse_face(image) == Face(image)


@given(AIRS, st.integers(2, 100), st.integers(1, 99))
def test_a_refiner_has_a_step_or_a_percentage(air, step, percent):
    assert parse_refiner(air) == Refiner(air)
    assert parse_refiner(f"{air}:{step}") == parse_refiner({"model": air, "start_step": step}) == Refiner(air, step)
    assert parse_refiner(f"{air}:{percent}%") == Refiner(air, start_percent=percent)


def test_a_list_has_several_values_and_a_tuple_of_parts_is_one():
    image = object()
    one, other = Control("canny", image), Control("depth", "b.png", 0.5)
    assert parse_several(None, parse_control) == ()
    assert parse_several(("canny", image), parse_control) == parse_several([one], parse_control) == (one,)
    assert parse_several([one, "depth:b.png:0.5"], parse_control) == (one, other)
    assert parse_several((one, ("depth", "b.png", 0.5)), parse_control) == (one, other)


@pytest.mark.parametrize(
    ("parse", "value", "message"),
    [
        (parse_control, "cany:a.png", "unknown kind 'cany'; expected canny, depth"),
        (parse_control, "a.png", "write it as kind, image and weight"), (parse_control, "canny:", "write it as kind"),
        (parse_control, 5, "write it as kind"), (parse_control, "canny:a.png:1.5", "weight 1.5 must be between 0 and 1"),
        (parse_control, ("canny", "a.png", "x"), "weight x must be between"), (parse_control, ("canny",), "write it as"),
        (parse_control, ("canny", None), "write it as"), (parse_control, {"kind": "canny"}, "write it as"),
        (parse_control, ("canny", "a.png", True), "weight True must be"),
        (parse_ip_adapter, "a.png", "write it as its AIR identifier"), (parse_ip_adapter, "runware:55@1", "write it as"),
        (parse_ip_adapter, "runware:55@1:a.png:-1", "between 0 and 1"), (parse_ip_adapter, 5, "write it as its AIR"),
        (parse_refiner, "civitai:1@2:1", "the step (from 2)"), (parse_refiner, "civitai:1@2:100%", "1% to 99%"),
        (parse_refiner, "civitai:1@2:x", "the step"), (parse_refiner, "", "the step"), (parse_refiner, 5, "the step"),
        (parse_face, "", "image of a face"), (parse_face, "a.png:4", "between 0 and 3"), (parse_face, None, "image of a"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_in_one_sentence(parse, value, message):
    with pytest.raises(TaskInvalid, match=re.escape(message)) as caught:
        parse(value)
    assert "Nothing was sent." in str(caught.value)


@given(st.sampled_from([parse_control, parse_ip_adapter, parse_refiner, parse_face]), st.text(max_size=40))
def test_no_text_raises_another_error(parse, text):
    try:
        parse(text)
    except TaskInvalid as error:
        assert error.parameter
