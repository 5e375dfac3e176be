"""The input of a task as an object: JSON, TOML and pairs, and names in braces in its texts."""

import json

import pytest

from runware_nb.commands.object_input import (
    fill_strings,
    parse_object,
    parse_pairs,
    read_object_file,
    refuse_keys_inside,
)
from runware_nb.core.provider_secrets import declared_secrets
from runware_nb.core.results import Outcome, Result
from runware_nb.errors import MagicUsageError
from runware_nb.providers.runkey.package import PACKAGE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        (" \n\t\n", {}),
        ("{}", {}),
        ('\ufeff{"a": 1}', {"a": 1}),
        ('{"a": {"b": [1, 2.5, null, true, "{x}"]}}', {"a": {"b": [1, 2.5, None, True, "{x}"]}}),
        ('a = 1\nb = "x"\n[c]\nd = [1, 2]', {"a": 1, "b": "x", "c": {"d": [1, 2]}}),
        ("# a comment\nday = 2026-11-27", {"day": "2026-11-27"}),
        ('"a key" = true', {"a key": True}),
        ("[table]\nx = 1", {"table": {"x": 1}}),
        ("[[rows]]\nx = 1\n[[rows]]\nx = 2", {"rows": [{"x": 1}, {"x": 2}]}),
        ('{"text": "a = b", "שלום": "🚢"}', {"text": "a = b", "שלום": "🚢"}),
    ],
)  # fmt: skip
def test_json_and_toml(text, expected):
    assert parse_object(text, where="the cell") == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1,\n "b": [1, 2}', ["JSON in the cell", "line 2, column 12", "'\"b\": [1, 2}'"]),
        ('{"a": ', ["The JSON in the cell ends too early (line 1). Nothing was sent."]),
        ('{"a": 1,\n', ["The JSON in the cell ends too early (line 1). Nothing was sent."]),
        ('{"a": 1,\n "b": "x\n', ["JSON in the cell", "line 2"]),
        ('{"a": "x', ["The JSON in the cell ends too early (line 1). Nothing was sent."]),
        ("a ship", ["JSON in the cell", "line 1, column 1", "or TOML"]),
        ("a = \nb = 2", ["TOML in the cell", "line 1, column 5"]),
        ('a = "x', ["TOML in the cell", "at its end"]),
        ("a = 1\na = 2", ["TOML in the cell", "overwrite"]),
        ("[1]", ["an array"]),
        ("a = nan", ["finite"]),
        ('{"a": 1, "a": 2}', ["'a'", "twice"]),
        ('{"a": NaN}', ["NaN"]),
        ('{"a": 1e999}', ["too large"]),
        ("[1, 2]", ["an array", "expected an object"]),
        ("null", ["null", "expected an object"]),
        ("7", ["a number"]),
        ('"text"', ["text", "expected an object"]),
        ('{"a": ' + "[" * 60 + "]" * 60 + "}", ["nested too deep"]),
        ("{" * 100_000, ["JSON in the cell"]),
        ('{"a": "' + "x" * 5_000_000 + '"}', ["characters", "at most"]),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_sentence_with_the_place(text, words):
    with pytest.raises(MagicUsageError) as caught:
        parse_object(text, where="the cell")
    for word in words:
        assert word in str(caught.value)
    assert "Nothing was sent" in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("a=7", 7), ("a=true", True), ("a=null", None), ("a=a ship", "a ship"), ('a="7"', "7"), ("a=", ""),
        ("a=[1, 2]", [1, 2]), ('a={"b": 1}', {"b": 1}), ("a=x=y", "x=y"), ("a=NaN", "NaN"), ("a=1e999", "1e999"),
        ("a={broken", "{broken"), ("a=שלום", "שלום"),
    ],
)  # fmt: skip
def test_a_value_is_json_if_it_is_valid_json(pair, expected):
    assert parse_pairs([pair]) == {"a": expected}


@pytest.mark.parametrize("pairs", [["a"], ["=1"], [" =1"], ["a=1", "a=2"]])
def test_pairs_without_a_key_or_twice_are_refused(pairs):
    with pytest.raises(MagicUsageError, match="--input"):
        parse_pairs(pairs)


def test_names_are_filled_in_texts_only_and_cannot_change_the_structure():
    names = {"n": 7, "quote": '", "evil": "x', "color": "red", "items": [1, 2], "none": None}
    given = {
        "a": "{n}",
        "b": "{quote}",
        "c": "a {color} ship, {{color}}",
        "{n}": ["{items}", "{none}", "{unknown}"],
        "d": 1,
    }
    filled, problems = fill_strings(given, names)
    assert filled == {
        "a": 7, "b": '", "evil": "x', "c": "a red ship, {color}", "{n}": [[1, 2], "{none}", "{unknown}"], "d": 1,
    }  # fmt: skip
    assert [place for place, _ in problems] == ["{none}", "{unknown}"]


def test_a_result_stays_a_result_and_an_outcome_is_its_first():
    result = Result({"imageURL": "https://x/a.png"}, "u")
    outcome = Outcome({}, "u", [result], [])
    filled, problems = fill_strings(
        {"a": "{one}", "b": "{all}", "c": "{all[0]}", "d": "see {one}"}, {"one": result, "all": outcome}
    )
    assert [filled[name] for name in "abc"] == [result] * 3
    assert filled["d"] == "see {one}"
    assert [place for place, _ in problems] == ["{one}"]


@pytest.mark.parametrize("key", ["rk_live_abcdefgh12345", "sk-abcdefghijklmnop1234", "see rk_live_abcdefgh12345 here"])
def test_a_key_in_the_input_is_refused_and_not_repeated(key):
    declared_secrets.declare_of_provider("runkey", PACKAGE.secrets)
    with pytest.raises(MagicUsageError) as caught:
        refuse_keys_inside({"a": [{"b": key}]})
    assert key not in str(caught.value)


def test_urls_and_ids_are_no_keys():
    refuse_keys_inside({"a": "https://cdn.example/x.png?token=abc123456789def0123456789", "b": "aB3" * 12, "n": 7})


def test_files(tmp_path):
    (tmp_path / "in.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    (tmp_path / "in.toml").write_text("a = 1")
    (tmp_path / "bad.json").write_text('{"a": }')
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe9"}')
    (tmp_path / "huge.json").write_text(json.dumps({"a": "x" * 5_000_000}))
    assert read_object_file(str(tmp_path / "in.json")) == read_object_file(str(tmp_path / "in.toml")) == {"a": 1}
    for name, words in [
        ("bad.json", "line 1, column 7"),
        ("latin.json", "UTF-8"),
        ("huge.json", "at most"),
        ("none", "no file"),
        (".", "cannot be read"),
        ("a\0b", "cannot be read"),
    ]:
        with pytest.raises(MagicUsageError, match=words):
            read_object_file(f"{tmp_path}/{name}")
