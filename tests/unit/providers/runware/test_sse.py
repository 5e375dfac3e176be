import json

import pytest

from runware_nb.errors import ProtocolError
from runware_nb.providers.runware.frames import Frame
from runware_nb.providers.runware.sse import Delta, EventDecoder, delta_of


def events(*chunks):
    decoder = EventDecoder()
    found = [event for chunk in chunks for event in decoder.feed(chunk)]
    return found + decoder.finish(), decoder.is_done


def test_events_end_with_an_empty_line_and_the_stream_with_done():
    assert events(b"data: 1\n\ndata: 2\n\ndata: [DONE]\n\ndata: 3\n\n") == (["1", "2"], True)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_end_of_line(end):
    text = end.join([b": hello", b"event: x", b"data:1", b"data: 2", b"", b"data: 3", b"", b""])
    assert events(text) == (["1\n2", "3"], False)


def test_a_crlf_cut_in_two_is_one_end():
    assert events(b"data: 1\r", b"\n\r", b"\ndata: 2\r\n\r\n") == (["1", "2"], False)


def test_a_character_cut_in_two_is_whole_again():
    whole = "data: ☕ 小さな\n\n".encode()
    assert events(*(whole[at : at + 1] for at in range(len(whole)))) == (["☕ 小さな"], False)


def test_what_was_not_closed_still_counts():
    assert events(b"data: 1") == (["1"], False)
    assert events(b"data: 1\ndata: 2\n") == (["1\n2"], False)
    assert events(b"data: [DONE]") == ([], True)
    assert events(b"") == ([], False)


def test_an_endless_event_is_refused():
    decoder = EventDecoder()
    with pytest.raises(ProtocolError, match="16 MiB"):
        decoder.feed(b"x" * 17 * 1024 * 1024)


def test_a_delta_and_what_only_the_last_one_has():
    body = {"delta": {"text": "a", "reasoningContent": "b"}, "finishReason": "stop", "usage": {"t": 1}, "cost": 0.5,
            "resultIndex": 2, "later": "kept"}  # fmt: skip
    assert delta_of(json.dumps(body)) == Delta("a", "b", "stop", {"t": 1}, 0.5, 2, body)


def test_the_older_wrapping_is_read_too():
    assert delta_of('{"data": {"delta": {"text": "x"}}}').text == "x"


@pytest.mark.parametrize(
    "body",
    [
        {"errors": [{"code": "c", "message": "m"}]},
        {"error": {"code": "c", "message": "m"}},
        {"status": "error", "error": {"code": "c", "message": "m"}},
    ],
)
def test_errors_in_a_stream(body):
    frame = delta_of(json.dumps(body))
    assert isinstance(frame, Frame)
    assert frame.errors[0]["code"] == "c"


@pytest.mark.parametrize("event", ["", "nonsense", "[1]", "7", "[" * 100_000])
def test_what_is_no_event_is_a_protocol_error(event):
    with pytest.raises(ProtocolError):
        delta_of(event)
