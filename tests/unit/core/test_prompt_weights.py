"""Weights in prompts: each notation by example, and what holds for every text by property."""

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runware_nb.core.prompt_weights import Fragment, WeightsInvalid, find_weight, format_weights, parse_weights

SYNTAXES = ("compel", "sdEmbeds")
texts = st.text(alphabet="ab 1.3:()[]\\+-é😀_,\n", max_size=40)


def parsed(prompt):
    return [(fragment.text, fragment.weight) for fragment in parse_weights(prompt)]


@pytest.mark.parametrize(
    ("prompt", "fragments"),
    [
        ("a (red:1.3) cat", [("a ", 1.0), ("red", 1.3), (" cat", 1.0)]),
        ("a (red)1.3 cat", [("a ", 1.0), ("red", 1.3), (" cat", 1.0)]),
        ("a (red) cat", [("a ", 1.0), ("red", 1.1), (" cat", 1.0)]),
        ("((red))", [("red", 1.21)]),
        ("[red]", [("red", 0.909)]),
        ("tall++ cat--", [("tall", 1.21), (" ", 1.0), ("cat", 0.81)]),
        ("(dark red)+ sky", [("dark red", 1.1), (" sky", 1.0)]),
        ("((big) dog:1.2)", [("big", 1.32), (" ", 1.0), ("dog", 1.2)]),
        ("(a:0)", [("a", 0.0)]),
        ("(red: 1.5 )", [("red", 1.5)]),
        ("(red:1.3). Next", [("red", 1.3), (". Next", 1.0)]),
        ("(ratio:3)1.2", [("ratio:3", 1.2)]),
        ("(🚢 und Käse:1.2)", [("🚢 und Käse", 1.2)]),
        (r"\(plain\) C\+\+ \[x\] a\\b", [(r"(plain) C++ [x] a\b", 1.0)]),
        ("well-lit, 16:9, :) and a )", [("well-lit, 16:9, :) and a )", 1.0)]),
        ("", []),
    ],
)
def test_each_notation_is_read(prompt, fragments):
    assert parsed(prompt) == fragments


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        ("a (red cat", "The bracket '(red cat' is not closed"),
        ("a [red cat", "The bracket '[red cat' is not closed"),
        ("(red:11)", "The weight 11 in the prompt is not between 0 and 10"),
        ("(red:-1)", "The weight -1 in the prompt is not between 0 and 10"),
        ("((red:9):9)", "multiply to 81"),
        ("[red:blue:0.5]", "is not a weight"),
        ("[red:0.5]", "is not a weight"),
        ("(" * 60 + ")" * 60, "more than 50 brackets"),
        ("(" * 30 + "x" + ")" * 30, "multiply to"),
    ],
)
def test_what_is_no_weight_is_refused(prompt, problem):
    with pytest.raises(WeightsInvalid, match=problem.replace("(", r"\(").replace("[", r"\[")):
        parse_weights(prompt)


@pytest.mark.parametrize(
    ("syntax", "written"), [("compel", "a (red)1.3 (5 m)0.9 x"), ("sdEmbeds", "a (red:1.3) (5 m:0.9) x")]
)
def test_each_notation_is_written(syntax, written):
    fragments = [Fragment("a "), Fragment("red", 1.3), Fragment(" "), Fragment("5 m", 0.9), Fragment(" x")]
    assert format_weights(fragments, syntax) == written


def test_a_digit_after_a_weight_does_not_become_part_of_it():
    assert parsed(format_weights([Fragment("red", 1.3), Fragment("5 cats")], "compel"))[0] == ("red", 1.3)
    assert parsed(format_weights([Fragment("red", 1.3), Fragment("1.5 m")], "sdEmbeds"))[0] == ("red", 1.3)


@given(texts, st.sampled_from(SYNTAXES))
def test_what_is_written_is_read_as_the_same(prompt, syntax):
    """Apart from blanks, each letter keeps its weight."""
    try:
        fragments = parse_weights(prompt)
    except WeightsInvalid:
        return

    def letters(parts):
        return [(letter, part.weight) for part in parts for letter in part.text if not letter.isspace()]

    assert letters(parse_weights(format_weights(fragments, syntax))) == letters(fragments)


@given(texts)
def test_no_part_is_empty_and_neighbours_differ(prompt):
    try:
        fragments = parse_weights(prompt)
    except WeightsInvalid:
        return
    assert all(fragment.text and 0 <= fragment.weight <= 10 for fragment in fragments)
    assert all(one.weight != other.weight for one, other in itertools.pairwise(fragments))


@given(st.text(alphabet=st.characters(exclude_characters="()[]+-\\"), max_size=60), st.sampled_from(SYNTAXES))
def test_a_prompt_without_weights_stays_as_it_is(prompt, syntax):
    assert format_weights(parse_weights(prompt), syntax) == prompt


@pytest.mark.parametrize("prompt", ["a (red:1.3) cat", "(dark red)1.2 sky", "tall++", "(dark red)+"])
def test_certain_weights_are_found(prompt):
    assert find_weight(prompt) is not None


@pytest.mark.parametrize(
    "prompt", ["a (red) cat", "16:9", "(at 10:30)", "(Genesis 1:3)", "C++", "well-lit", r"\(red:1.3\)", "f(x)2", ":)", "(4:3)"]
)  # fmt: skip
def test_ordinary_text_is_not_taken_for_weights(prompt):
    assert find_weight(prompt) is None


@pytest.mark.parametrize("prompt", ["(" * 3000, ":" * 3000, "a+" * 1500, "(a:" * 1000, "\\" * 3000, "__" * 1500])
def test_long_hostile_prompts_are_read_quickly(prompt):
    """A pattern that backtracks would take minutes here and end at the test's time limit."""
    find_weight(prompt)
    with contextlib.suppress(WeightsInvalid):
        parse_weights(prompt)
