"""Odd values are normalized where responses are parsed, and each seam holds whatever comes through it."""

import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runware_nb.errors import ProtocolError
from runware_nb.wire.classify import task_error
from runware_nb.wire.collect import Collector
from runware_nb.wire.frames import parse_frame
from runware_nb.wire.parsing import TOO_DEEP, as_identifier, parse_json
from runware_nb.wire.results import Result, is_final, item_id
from runware_nb.wire.sse import delta_of

TASK = {"taskType": "imageInference", "taskUUID": "10000000-0000-4000-8000-000000000000", "numberResults": 2}

KEYS = st.sampled_from(
    ["taskUUID", "taskType", "imageUUID", "imageURL", "previewURL", "cost", "resultIndex", "progress", "status", "seed",
     "error", "code", "message", "outputs", "files", "uuid", "url", "text", "imageBase64Data", "parameter", "response"]
)  # fmt: skip
odd_values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([10**400, -(10**400), 10**30, -1, 1e308]), st.floats(),
    st.text(st.characters(codec=None), max_size=6), st.sampled_from(["\ud800", "\x00", "\x1b[2J", "x" * 3000, "success"]),
)  # fmt: skip
odd_json = st.recursive(
    odd_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=10,
)
objects = st.dictionaries(KEYS, odd_json, max_size=8)


def every(value):
    """Give every value inside a value, keys included."""
    yield value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from every(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from every(inner)


@given(odd_json | objects)
def test_what_is_parsed_can_be_counted_encoded_and_stored(value):
    parsed = parse_json(json.dumps(value))
    assert json.loads(json.dumps(parsed, allow_nan=False)) == parsed
    for inner in every(parsed):
        if isinstance(inner, int | float):
            assert math.isfinite(float(inner))
        if isinstance(inner, str):
            inner.encode()


@given(st.dictionaries(st.text(max_size=5), st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
                       | st.text(max_size=9) | st.booleans() | st.none()))  # fmt: skip
def test_proper_json_is_not_changed(value):
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NaN", "NaN"), ("[-Infinity]", ["-Infinity"]), ("1e999", "1e999"), ("9" * 5000, "9" * 5000),
        (str(2**63), 2**63), ('"\\ud83d\\ude80 \\ud800"', "🚀 \ufffd"), ('{"\\udc00": 1}', {"\ufffd": 1}),
        ('{"a": 1, "a": 2}', {"a": 2}), ("\ufeff{}", {}), ('"\\\\ud800"', "\\ud800"), ('"a\\u0000b"', "a\x00b"),
    ],
    ids=lambda value: str(value)[:12],
)  # fmt: skip
def test_what_no_reader_could_hold_is_kept_as_text(text, value):
    assert parse_json(text) == value


def test_values_that_are_nested_too_deep_are_left_out_alone():
    """The image beside them was paid for."""
    odd = "[" * 200 + "]" * 200
    text = f'{{"data":[{{"taskUUID":"u","imageURL":"http://x","odd":{odd}}}]}}'
    (item,) = parse_frame(text).items
    assert item["imageURL"] == "http://x"
    assert TOO_DEEP in json.dumps(item)
    json.dumps(item)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"data":' * 100_000, b"\xff\xfe\x00", "9" * 5000 + "x"])
def test_what_cannot_be_parsed_is_one_error(text):
    with pytest.raises(ProtocolError):
        parse_frame(text)


@given(st.text(st.characters(codec=None)) | st.integers() | odd_json)
def test_an_identifier_is_short_printable_text_or_none(value):
    name = as_identifier(value)
    assert name is None or (name.isprintable() and 0 < len(name) <= 200)


@pytest.mark.parametrize("odd", [[1], {"a": 1}, True, 1.5, "", "\x00", 10**400], ids=str)
def test_an_odd_uuid_names_no_task(odd):
    frame = parse_frame(json.dumps({"data": [{"taskUUID": odd}], "errors": [{"code": "x", "taskUUID": odd}]}))
    for entry in (*frame.items, *frame.errors):
        assert not entry.get("taskUUID") or isinstance(entry["taskUUID"], str)
        hash(entry.get("taskUUID"))


@pytest.mark.parametrize("errors", ["all is lost", ["all is lost"], {"message": "all is lost"}])
def test_an_error_may_be_text(errors):
    (error,) = parse_frame(json.dumps({"errors": errors})).errors
    assert error["message"] == "all is lost"


@pytest.mark.parametrize("data", [7, "x", [7], ["x", None], True])
def test_only_an_empty_array_states_that_there_is_nothing(data):
    """Taken for an empty response, it would mean that the service does not know the task."""
    with pytest.raises(ProtocolError):
        parse_frame(json.dumps({"data": data}))


@given(st.lists(objects, max_size=4), st.lists(objects | st.text(max_size=3), max_size=3), odd_json)
def test_any_frame_can_be_read_and_collected(data, errors, extra):
    try:
        frame = parse_frame(json.dumps({"data": data, "errors": errors, "error": extra}))
    except ProtocolError:
        return
    for error in frame.errors:
        assert str(task_error(error))
        assert len(str(task_error(error))) < 3000
    collector = Collector(TASK)
    collector.begin_poll()
    collector.add(frame.items)
    collector.fail([task_error(error) for error in frame.errors])
    collector.settle_poll()
    outcome = collector.outcome()
    assert len({result.index for result in outcome}) == len(outcome)
    for result in outcome:
        assert 0 <= result.index < 20_000
        for name in ("url", "files", "text", "seed", "cost_usd", "item_uuid", "usage", "detections", "air"):
            getattr(result, name)
        repr(result)
    assert 0 <= collector.progress <= 100


@given(odd_json | objects)
def test_any_event_of_a_stream_can_be_read(event):
    with contextlib.suppress(ProtocolError):
        delta_of(json.dumps(event))


def test_two_results_that_claim_one_place_are_both_kept():
    """Both were paid for. The log keeps one result for each place."""
    for claim in ({"resultIndex": 0}, {"seed": 7}):
        collector = Collector({**TASK, "seed": 7})
        items = [{"imageUUID": name, "imageURL": f"http://x/{name}", **claim} for name in "ab"]
        collector.add(items)
        collector.add(items)
        assert sorted((result.index, result.item_uuid) for result in collector.outcome()) == [(0, "a"), (1, "b")]


@pytest.mark.parametrize("index", [10**30, -1, True, "0", 1.0, 10**400], ids=str)
def test_an_index_that_makes_no_sense_is_none(index):
    collector = Collector(TASK)
    (result,) = collector.add(parse_frame(json.dumps({"data": [{"imageURL": "http://x", "resultIndex": index}]})).items)
    assert result.index == 0
    assert item_id({"resultIndex": index}) is None


@pytest.mark.parametrize("progress", [10**400, -7, "x", True, [], 1e308], ids=str)
def test_progress_stays_between_0_and_100(progress):
    collector = Collector(TASK)
    text = json.dumps({"data": [{"status": "processing", "progress": progress}]})
    collector.add(parse_frame(text).items)
    assert 0 <= collector.progress <= 100


def test_a_result_is_known_by_the_fields_of_media_and_not_by_the_first_url():
    item = {"previewURL": "http://x/preview", "inputImageURL": "http://x/input", "imageURL": "http://x/image"}
    assert Result(item, "u").url == "http://x/image"
    assert Result({"previewDataURI": "data:,x", "imageBase64Data": "aGk="}, "u").inline == b"hi"
    assert Result({"imageURL": "http://x/i", "videoURL": "http://x/v", "videoUUID": "v"}, "u").url == "http://x/i"
    assert is_final(item)


@pytest.mark.parametrize(
    "item",
    [{"previewURL": "http://x"}, {"inputImageURL": "http://x", "inputImageUUID": "u"}, {"imageURL": ""}, {"imageURL": [1]},
     {"text": 7}, {"outputs": "x"}, {"previewBase64Data": "aGk="}],
    ids=str,
)  # fmt: skip
def test_a_preview_is_no_result(item):
    assert not is_final(item)
    assert Result(item, "u").url is None


def test_a_new_kind_of_media_is_known_by_its_uuid():
    item = {"previewURL": "http://x/p", "hologramUUID": "h", "hologramURL": "http://x/h"}
    assert is_final(item)
    assert Result(item, "u").url == "http://x/h"


def test_an_item_uuid_is_text():
    for odd in ([1], {"a": 1}, True, "\x00"):
        assert Result({"imageUUID": odd}, "u").item_uuid is None
        assert Result({"outputs": {"files": [{"uuid": odd, "url": "http://x"}]}}, "u").item_uuid is None
