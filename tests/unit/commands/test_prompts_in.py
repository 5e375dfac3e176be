"""What holds for every prompt, whatever is saved: a folder in which each name exists is the hardest case."""

import contextlib
import random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runware_nb.commands.names import escape_names
from runware_nb.commands.prompts_in import (
    PromptRenderer,
    escape_wildcards,
    line_values,
    parse_values,
    places_in,
    typed_words,
)
from runware_nb.errors import MagicUsageError

texts = st.text(alphabet="ab_{}@\\/-[]0.\n é", max_size=30)


def renderer(names=None, seed=None):
    """Return a renderer in a project where each name is a saved prompt and a wildcard."""
    session = SimpleNamespace(
        prompts=SimpleNamespace(find=lambda name: "SAVED"),
        wildcards=SimpleNamespace(options=lambda name: [(1.0, "DRAWN"), (1.0, "OTHER")], is_there=True),
        rng=random.Random(1),
    )
    return PromptRenderer(session, names or {}, seed=seed)


@given(texts)
def test_an_escaped_prompt_stays_as_it_is(text):
    assert renderer({"a": "X", "b": ["X"]}).render(escape_wildcards(escape_names(text))) == text


@given(texts)
def test_values_are_never_replaced_again(text):
    assert renderer({"value": text, "a": "X"}).render("{value}") == text


@given(texts.filter(lambda text: "__" not in text and "{" not in text))
def test_a_prompt_without_names_stays_as_it_is(text):
    assert renderer({"a": "X"}).render(text) == text


@given(texts, st.integers(0, 2**40))
def test_the_same_seed_renders_the_same_prompt(text, seed):
    one, two = renderer(seed=seed).render(text), renderer(seed=seed).render(text)
    assert (one, one.origin) == (two, two.origin)


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=4))
def test_values_of_a_line_are_read_as_they_are_parsed(pairs):
    words = [word for name, text in pairs for word in ("-v", f"{name}={text}")]
    try:
        parsed = parse_values([f"{name}={text}" for name, text in pairs])
    except MagicUsageError:
        return
    assert line_values(words) == parsed


def test_what_was_typed_is_found_for_words_and_attached_values():
    words, typed = ["--prompt=a cat", "x", "--negative", "bad"], ["--prompt={p}", "x", "--negative", "{n}"]
    found = typed_words(words, typed)
    assert (found["a cat"], found["bad"], found["x"]) == ("{p}", "{n}", "x")


def test_the_places_of_a_template_are_its_plain_names():
    assert places_in("{a} {{b}} {c.d} {a} {@e} __f__ {g}") == ["a", "g"]


@pytest.mark.parametrize(
    "text", ["{" * 5000, "__a" * 3000, "{@a" * 3000, "\\__" * 3000, "_" * 9000, "__" + "a/" * 4000]
)
def test_long_hostile_prompts_are_rendered_quickly(text):
    """A pattern that backtracks would take minutes here."""
    with contextlib.suppress(MagicUsageError):  # more wildcards than are drawn for one prompt
        renderer().render(text)
