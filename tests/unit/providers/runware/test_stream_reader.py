"""The text of a stream, however the network has cut it and wherever it ends."""

import asyncio
import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runware_nb.errors import ProtocolError, TransportError
from runware_nb.providers.runware.attempt import TrackedAttempt
from runware_nb.providers.runware.fate import Fate, SendStarted, Started
from runware_nb.providers.runware.router import Router
from runware_nb.providers.runware.stream_reader import open_stream

TASK = {"taskUUID": "u", "taskType": "textInference", "deliveryMethod": "stream", "includeCost": True}
END = {"delta": {}, "finishReason": "stop", "usage": {"completionTokens": 2}, "cost": 0.5}


class Connection:
    """What the reader needs of `RestTransport`: a response in pieces, which may break."""

    def __init__(self, pieces, error=None, stays_open=False):
        self._pieces, self._error, self._stays_open = pieces, error, stays_open
        self.is_closed = False

    @contextlib.asynccontextmanager
    async def stream(self, tasks, *, timeout_s, on_leaving):
        on_leaving()

        async def read():
            for piece in self._pieces:
                yield piece
                await asyncio.sleep(0)
            if self._error is not None:
                raise self._error
            if self._stays_open:
                await asyncio.Event().wait()

        try:
            yield read()
        finally:
            self.is_closed = True


class Heard:
    def __init__(self):
        self.text, self.reasoning, self.results = "", "", []

    def on_text(self, text, reasoning):
        self.text += text
        self.reasoning += reasoning

    def on_result(self, result):
        self.results.append(result)


def read(pieces, **how):
    """Read a response; return the attempt and what its observer heard."""

    async def main():
        flight, router, heard = TrackedAttempt(TASK, Fate.unsent(TASK, max_retries=3)), Router(), Heard()
        flight.advance(Started(1e9, flight.report(0.5)))
        flight.advance(SendStarted())
        flight.listen(heard)
        connection = Connection(pieces, **how)
        assert await open_stream(flight, connection, router, timeout_s=60)
        await flight.reader
        assert connection.is_closed
        return flight, heard

    return asyncio.run(main())


def encoded(events, newline="\n", done=True):
    lines = [f"data: {json.dumps(event, ensure_ascii=False)}{newline}{newline}" for event in events]
    return "".join(
        [f": hello{newline}{newline}", *lines, *([f"data: [DONE]{newline}{newline}"] if done else [])]
    ).encode()


def cut(body, places):
    places = sorted({place % (len(body) + 1) for place in places})
    return [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["text", "reasoningContent"]), st.text(max_size=8)), max_size=8),
    st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.lists(st.integers(0, 2000), max_size=12),
)  # fmt: skip
def test_any_cut_gives_the_same_text(pieces, newline, done, places):
    body = encoded([*({"delta": {name: text}} for name, text in pieces), END], newline, done)
    flight, heard = read(cut(body, places))
    text, reasoning = (
        "".join(text for name, text in pieces if name == wanted) for wanted in ("text", "reasoningContent")
    )
    (result,) = heard.results
    assert (result.text, result.reasoning or "", result.cost_usd) == (text, reasoning, 0.5)
    assert (heard.text, heard.reasoning) == (text, reasoning)
    assert not result.is_partial
    assert flight.fate.broken is None
    assert not flight.fate.is_streaming


@pytest.mark.parametrize(
    "how", [{}, {"error": TransportError("gone")}, {"stays_open": True}], ids=["closed", "broken", "open"]
)
def test_what_follows_the_end_of_the_text_is_not_needed(how):
    _, heard = read([encoded([{"delta": {"text": "a"}}, END], done=False)], **how)
    assert [result.text for result in heard.results] == ["a"]


def test_cost_and_usage_may_follow_the_end_of_the_text():
    last = {name: value for name, value in END.items() if name not in {"usage", "cost"}}
    events = [{"delta": {"text": "a"}}, last, {"delta": {}, "usage": END["usage"]}, {"delta": {}, "cost": 0.5}]
    _, heard = read([encoded(events)])
    assert (heard.results[0].usage, heard.results[0].cost_usd) == (END["usage"], 0.5)


def test_an_end_without_cost_is_waited_for_only_briefly(monkeypatch):
    monkeypatch.setattr("runware_nb.providers.runware.stream_reader._TAIL_S", 0.01)
    last = {"delta": {}, "finishReason": "stop"}
    _, heard = read([encoded([{"delta": {"text": "a"}}, last], done=False)], stays_open=True)
    assert (heard.results[0].text, heard.results[0].cost_usd) == ("a", None)


@pytest.mark.parametrize(
    ("body", "how"),
    [
        (encoded([{"delta": {"text": "a"}}], done=False), {}),
        (encoded([{"delta": {"text": "a"}}], done=False), {"error": TransportError("gone")}),
        (encoded([{"delta": {"text": "a"}}], done=False), {"error": ProtocolError("odd")}),
        (encoded([{"delta": {"text": "a"}}], done=False) + b"data: garbage\n\n", {}),
        (b"", {}),
        (b"data: [DONE]\n\n", {}),
    ],
)
def test_a_stream_without_its_end_is_asked_about(body, how):
    flight, heard = read([body], **how)
    assert heard.results == []
    assert flight.fate.broken is not None
    assert flight.fate.broken.may_have_arrived
    assert [result.is_partial for result in flight.outcome().results] == ([True] if b'"a"' in body else [])


@pytest.mark.parametrize(
    "error", [{"errors": [{"code": "contentModeration", "message": "no"}]}, {"error": {"code": "x", "message": "no"}}]
)
def test_an_error_in_a_stream_is_about_its_task(error):
    flight, heard = read([encoded([{"delta": {"text": "a"}}, error, {"delta": {"text": "never"}}])])
    outcome = flight.outcome()
    assert [each.task_uuid for each in outcome.errors] == ["u"]
    assert [(result.text, result.is_partial) for result in outcome.results] == [("a", True)]
    assert heard.text == "a"
