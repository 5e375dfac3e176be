"""Frames and events in any order, number and shape: nothing is lost, and nothing but our errors is raised."""

import json
import uuid

from hypothesis import given
from hypothesis import strategies as st

from runware_nb.core.media_fields import replace_media
from runware_nb.errors import ProtocolError
from runware_nb.providers.runware import Router, TrackedAttempt
from runware_nb.providers.runware.catalog.placing import place_media
from runware_nb.providers.runware.catalog.reading import SchemaRefused, plain_schema
from runware_nb.providers.runware.fate import Fate
from runware_nb.providers.runware.frames import parse_frame
from runware_nb.providers.runware.sse import EventDecoder, delta_of

texts = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=30).map(str.strip)


def split(data: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes at these places, wherever they fall."""
    cuts = sorted({place % (len(data) + 1) for place in places})
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@given(
    st.lists(texts.filter(lambda text: text not in {"", "[DONE]"}), max_size=6),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0, 10_000), max_size=12),
    st.booleans(),
)
def test_events_are_the_same_however_the_bytes_are_cut(events, end, places, has_comments):
    comment = f": hello{end}id: 7{end}" if has_comments else ""
    body = "".join(f"{comment}data: {event}{end}{end}" for event in events) + f"data: [DONE]{end}{end}"
    decoder = EventDecoder()
    found = [event for chunk in split(body.encode(), places) for event in decoder.feed(chunk)]
    found += decoder.finish()
    assert found == events
    assert decoder.is_done


@given(st.lists(st.binary(max_size=60), max_size=10))
def test_garbage_in_a_stream_raises_nothing_but_our_error(chunks):
    decoder = EventDecoder()
    for event in [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.finish():
        try:
            delta_of(event)
        except ProtocolError:
            continue


UUIDS = [str(uuid.UUID(int=number)) for number in range(1, 4)]
results = st.lists(
    st.tuples(st.sampled_from(UUIDS), st.integers(0, 5)), unique=True, min_size=1, max_size=12
)  # which task, which of its results
noise = st.sampled_from(
    [
        "", "{", "<html>", "[]", "7", '{"data":null}', '{"data":[null,7,"x"]}', '{"data":[]}', '{"errors":[{}]}',
        '{"data":[{"taskUUID":"nobody","taskType":"imageInference","imageUUID":"x","imageURL":"http://x"}]}',
        '{"data":[{"taskType":"ping","pong":true}]}', '{"errors":[{"code":"rateLimitExceeded","message":"x"}]}',
        '{"error":true,"errorId":19}', '{"data":[{"taskUUID":7,"taskType":[]}]}',
        f'{{"data":[{{"taskType":"imageInference","taskUUID":"{UUIDS[0]}"}}]}}',
        f'{{"data":[{{"taskType":"getResponse","taskUUID":"{UUIDS[1]}","status":"processing","progress":"x"}}]}}',
    ]
)  # fmt: skip


@given(results, st.lists(st.integers(1, 4), max_size=12), st.lists(noise, max_size=12), st.data())
def test_no_result_is_lost_whatever_else_arrives(wanted, sizes, garbage, data):
    """Results in frames of any size, some of them twice, in any order, between frames that make no sense."""
    frames, rest = [], list(wanted)
    while rest:
        size = sizes.pop() if sizes else 1
        frames.append(rest[:size])
        rest = rest[size:]
    frames += data.draw(st.lists(st.sampled_from(frames), max_size=4))
    texts = [
        json.dumps(
            {
                "data": [
                    {
                        "taskType": "imageInference",
                        "taskUUID": task,
                        "imageUUID": f"{task}/{number}",
                        "imageURL": "http://x",
                    }
                    for task, number in frame
                ]
            }
        )
        for frame in frames
    ]
    board = Router()
    for task in UUIDS:
        wire = {"taskType": "imageInference", "taskUUID": task, "numberResults": 6}
        board.flights[task] = TrackedAttempt(wire, Fate.unsent(wire, max_retries=3))
    for text in data.draw(st.permutations(texts + garbage)):
        try:
            board.on_frame(parse_frame(text))
        except ProtocolError as error:
            board.on_unreadable(error)
    for task in UUIDS:
        found = {result.item_uuid for result in board.flights[task].outcome()}
        assert found == {f"{task}/{number}" for owner, number in wanted if owner == task}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["inputs", "seedImage", "image", "frameImages", "oneOf", "const", "$id", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["inputs", "seedImage", "frameImages", "width", "taskType"]), anything))
def test_media_are_found_in_any_shape_of_task_and_nothing_else_is_touched(task):
    assert replace_media(task, lambda value: value) == json.loads(json.dumps(task))


@given(
    st.sampled_from(["runware:101@1", "runware:504@1", "google:3@3", "nobody:1@1"]),
    st.sampled_from(["imageInference", "upscale", "videoInference", "caption"]),
    st.dictionaries(st.sampled_from(["inputs", "inputImages", "inputImage", "seedImage", "frameImages"]), anything),
)
def test_placing_media_in_any_shape_of_task_raises_nothing(model, task_type, task):
    place_media({"taskType": task_type, "model": model, **task})


@given(anything)
def test_any_schema_is_made_plain_or_refused(schema):
    try:
        plain = plain_schema(schema)
    except SchemaRefused:
        return
    assert plain_schema(plain) == plain


@given(st.lists(st.text(max_size=8), min_size=1, max_size=4), st.booleans())
def test_placing_media_twice_is_placing_them_once(images, is_upscale):
    task = {"taskType": "imageInference", "model": "runware:101@1", "seedImage": images[0], "referenceImages": images}
    if is_upscale:
        task = {"taskType": "upscale", "model": "runware:504@1", "inputImage": images[0]}
    placed = place_media(task)
    assert place_media(placed) == placed
    assert "seedImage" not in placed
    assert "inputImage" not in placed
