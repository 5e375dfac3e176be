"""The value of --outpaint: sides and ratios."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runware_nb.core.outpainting import SIDES, STEP_PX, Outpaint, Ratio, extend_to_ratio, parse_outpaint
from runware_nb.errors import TaskInvalid

STEPS = st.integers(0, 20).map(lambda number: number * STEP_PX)
SIDES_OF = st.fixed_dictionaries(dict.fromkeys(SIDES, STEPS)).filter(lambda sides: any(sides.values()))
BLUR = st.none() | st.integers(0, 32)
RATIOS = st.builds(Ratio, st.integers(1, 40), st.integers(1, 40))
PIXELS = st.integers(64, 4096)


@given(SIDES_OF, BLUR)
def test_what_is_written_is_read_again(sides, blur):
    outpaint = Outpaint(**sides, blur=blur)
    written = ",".join(f"{name}={pixels}" for name, pixels in outpaint.to_wire().items())
    assert parse_outpaint(written) == parse_outpaint(outpaint.to_wire()) == parse_outpaint(outpaint) == outpaint


@given(PIXELS, PIXELS, RATIOS)
def test_a_ratio_is_reached_as_nearly_as_the_steps_allow(width, height, ratio):
    wanted = ratio.width / ratio.height
    try:
        made = extend_to_ratio(width, height, ratio)
    except TaskInvalid:
        made = Outpaint()
    final = made.size_of(width, height)
    assert not (made.left or made.right) or not (made.top or made.bottom), "both dimensions grow"
    assert all(getattr(made, side) % STEP_PX == 0 for side in SIDES)
    assert 0 <= made.right - made.left <= STEP_PX
    assert 0 <= made.bottom - made.top <= STEP_PX
    exact = (height * wanted, height) if height * wanted >= width else (width, width / wanted)
    assert abs(final[0] - exact[0]) <= STEP_PX / 2 + 1e-6
    assert abs(final[1] - exact[1]) <= STEP_PX / 2 + 1e-6


@given(PIXELS, PIXELS)
def test_the_ratio_of_the_source_itself_is_refused(width, height):
    with pytest.raises(TaskInvalid, match=f"the source of {width}x{height} px is already as near to this ratio"):
        extend_to_ratio(width, height, Ratio(width, height))


@pytest.mark.parametrize("text", ["16:9", " 16 : 9 ", "1.91:1"])
def test_a_ratio_is_recognized(text):
    assert isinstance(parse_outpaint(text), Ratio)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("left=100", "left=100: expected a whole number of pixels from 0 to 10000 that is a multiple of 64; the neare"),
        ("left=-64", "left=-64: expected"), ("left=1e9", "left=1e9"), ("left=nan", "left=nan"), ("left=x", "left=x"),
        ("left=64,left=64", "not understood"), ("above=64", "not understood"), ("64", "not understood"), ("", "not unde"),
        ("left=0", "extends no side"), ("blur=8", "extends no side"), ("left=64,blur=33", "blur=33: expected"),
        ("0:9", "not understood"), ("9:0", "not understood"), ("1:2000", "not understood"), (16, "not understood"),
        ({"left": True}, "left=True"), ({"left": [64]}, "left="), ({}, "extends no side"), (None, "not understood"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_in_one_sentence(value, message):
    with pytest.raises(TaskInvalid, match=re.escape(message)) as caught:
        parse_outpaint(value)
    assert "Nothing was sent." in str(caught.value)
    assert caught.value.parameter == "outpaint"


@given(st.text(max_size=30) | st.dictionaries(st.text(max_size=6), st.integers() | st.floats() | st.text(max_size=4)))
def test_no_value_raises_another_error(value):
    try:
        parse_outpaint(value)
    except TaskInvalid:
        assume(True)
