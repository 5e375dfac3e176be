"""Names in braces: which are replaced, which stay, and what is said about those that stay."""

import os
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runware_nb.commands.names import escape_names, fill_names, notice_about


class Careful:
    """Everything in it may raise, and a call must never happen."""

    public = "yes"
    _private = "secret"

    @property
    def broken(self):
        raise RuntimeError("the disk\nis full")

    def method(self):
        raise AssertionError("called")


class Unprintable:
    def __str__(self):
        raise ValueError("no text")


FRAME = pd.DataFrame({"prompt": ["a ship", "a sea"], "guidance": [3.5, None], "two words": ["x", "y"]})
NAMES = {
    "who": "a cat", "number": 7, "names": ["Ann", "Bob"], "d": {"key": "value", "a key": "spaced", "5": "text", 5: "int"},
    "row": FRAME.iloc[0], "rows": list(FRAME.itertuples()), "df": FRAME, "careful": Careful(), "nothing": None, "nan": np.nan,
    "array": np.array([1.5, 2.5]), "scalar": np.float64(0.5), "nested": {"list": [{"deep": SimpleNamespace(er="deepest")}]},
    "braces": "{who}", "os": os, "function": len, "unprintable": Unprintable(), "anything": object(), "_rw": "last",
    "é": "accent", "na": pd.NA,
}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{who}", "a cat"), ("{number}", "7"), ("{names[0]} and {names[-1]}", "Ann and Bob"), ("{d[key]}", "value"),
        ("{d['key']}", "value"), ('{d["a key"]}', "spaced"), ("{d['5']} {d[5]}", "text int"), ("{row.prompt}", "a ship"),
        ("{row[prompt]}", "a ship"), ("{row['two words']}", "x"), ("{rows[1].prompt}", "a sea"), ("{df.prompt[1]}", "a sea"),
        ("{df.loc[1].prompt}", "a sea"), ("{row.guidance}", "3.5"), ("{array[1]}", "2.5"), ("{scalar}", "0.5"),
        ("{nested[list][0][deep].er}", "deepest"), ("{braces}", "{who}"), ("{d[key]}{who}", "valuea cat"), ("{_rw}", "last"),
        ("{é}", "accent"), ("{careful.public}", "yes"),
        # doubled braces
        ("{{who}}", "{who}"), ("{{row.prompt}}", "{row.prompt}"), ("{{names[0]}}", "{names[0]}"), ("{{d['a key']}}", "{d['a key']}"),
        ("{{{who}}}", "{{who}}"), ("{{undefined}}", "{undefined}"),
        # everything else stays
        ("{who|names}", "{who|names}"), ("{ who }", "{ who }"), ("{}", "{}"), ("{0}", "{0}"), ('{"who": "x", "n": {"a": 1}}',) * 2,
        ("h1 {color: red}",) * 2, (r"\frac{1}{2} \text{two words}",) * 2, ("{who", "{who"), ("who}", "who}"), ("{who names}",) * 2,
        ("{names[0}",) * 2, ("{names[1:2]}",) * 2, ("{a-b}",) * 2, ("{{ x }}",) * 2, ("%who% $who ${", "%who% $who ${"),
    ],
)  # fmt: skip
def test_names_and_paths_are_replaced_and_other_braces_stay(template, text):
    filled = fill_names(template, NAMES)
    assert filled.text == text
    assert filled.problems == ()


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{undefined}", "no variable has this name"), ("{undefined.a[0]}", "no variable has this name"),
        ("{row.promt}", "Series has no attribute 'promt'"), ("{names[9]}", "names has no item 9"), ("{d[nokey]}", "no key 'nokey'"),
        ("{d['no key']}", "d has no key 'no key'"), ("{number[0]}", "not subscriptable"), ("{names[key]}", "TypeError"),
        ("{careful._private}", "private"), ("{careful.__class__}", "private"), ("{who.__class__.__mro__[1]}", "private"),
        ("{careful.broken}", "RuntimeError: the disk is full"), ("{careful.method}", "is not called"), ("{function}", "is not called"),
        ("{os}", "module"), ("{anything}", "has no text"), ("{unprintable}", "ValueError"), ("{nothing}", "its value is None"),
        ("{nan}", "its value is nan"), ("{na}", "its value is <NA>"), ("{df.guidance[1]}", "its value is nan"), ("{array}", "choose one"),
        ("{df.prompt}", "choose one"), ("{df}", "choose one"), ("{nested[list][0][deep].no}", "SimpleNamespace has no"),
        ("{scalar:.2f}", "formats"), ("{who!r}", "formats"), ("{careful.method()}", "formats and calls"), ("{number:03d}", "formats"),
    ],
)  # fmt: skip
def test_a_path_without_a_value_stays_and_the_reason_is_told(template, reason):
    filled = fill_names(f"before {template} after", NAMES)
    assert filled.text == f"before {template} after"
    ((place, said),) = filled.problems
    assert place == template
    assert reason in said


def test_one_sentence_names_everything_that_stayed_once():
    filled = fill_names("{a} {b} {a} {row.x}", NAMES)
    notice = notice_about(filled.problems)
    assert notice == (
        "Not replaced, used as typed: {a} (no variable has this name), {b} (no variable has this name), "
        "{row.x} (Series has no attribute 'x'). For the literal text, write {{a}}."
    )
    assert notice_about(()) is None
    many = notice_about(fill_names(" ".join(f"{{v{n}}}" for n in range(50)), {}).problems)
    assert "and 45 more" in many
    assert len(many) < 400


pieces = st.sampled_from(
    ["{", "}", "{{", "}}", "[", "]", ".", "'", '"', ":", "|", "a", "b", " ", "0", "-1", "\\", "(", ")", "!r", "é"]
)
texts = st.lists(pieces, max_size=14).map("".join)


@given(texts | st.text(max_size=60))
def test_without_variables_a_text_stays_as_it_is(text):
    """Only `{{name}}` loses a pair of braces."""
    assert fill_names(text, {}).text == text or "{{" in text


@given(texts)
def test_a_text_with_escaped_names_is_the_text_again(text):
    names = {"a": "WRONG", "b": ["WRONG"]}
    if "{{" not in text:
        filled = fill_names(escape_names(text), names)
        assert filled.text == text
        assert not [place for place, reason in filled.problems if "format" not in reason]


@given(st.recursive(st.integers(-9, 9) | st.text(max_size=6), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(
    st.text("ab", min_size=1, max_size=2), inner, max_size=2)))  # fmt: skip
def test_every_path_into_nested_data_gives_what_python_gives(data):
    def walk(value, path):
        yield path, value
        if isinstance(value, list | dict):
            for key in value if isinstance(value, dict) else range(len(value)):
                yield from walk(value[key], f"{path}[{key}]")
                if isinstance(key, str):
                    yield f"{path}['{key}']", value[key]

    for path, value in walk(data, "data"):
        assert fill_names(f"<{{{path}}}>", {"data": data}).text == f"<{value}>"
