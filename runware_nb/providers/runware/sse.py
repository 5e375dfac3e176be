"""Server-sent events: the form in which text is streamed. Bytes in, whole events out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...core.amounts import parse_amount
from ...core.items import Item
from ...core.redaction import redact_text
from ...core.results import result_index
from ...errors import ProtocolError
from ...reprs import short_repr
from .frames import Frame, frame_of, parse_redacted

__all__ = ["Delta", "EventDecoder", "delta_of"]

DONE = "[DONE]"
_MAX_EVENT_BYTES = 16 * 1024 * 1024


@short_repr()
@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a streamed answer.

    Attributes:
        text: What is added to the text; empty when this piece is about something else.
        reasoning: What is added to the model's reasoning.
        finish_reason: `stop`, `length`, `content_filter` or `unknown`, in the last piece; None before.
        usage: Tokens counted, in the last piece and only when asked for.
        cost_usd: US dollars, in the last piece; None is unknown.
        index: Which of several results it belongs to.
        raw: The piece as it came.

    Source:
        Runware reference 5.14.
    """

    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    usage: Item | None = None
    cost_usd: float | None = None
    index: int = 0
    raw: Item | None = None


class EventDecoder:
    """Finds events in a stream of bytes, wherever the network has cut it.

    Lines end in LF, CRLF or CR; a comment or a field that is not `data` is passed over; several `data` lines
    make one event. A character is decoded only when all its bytes are there.

    Raises:
        ProtocolError: An event is larger than 16 MiB.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._skip_lf = False
        self.is_done = False

    def feed(self, chunk: bytes) -> list[str]:
        """Take in bytes; return the events that are whole by now, each as the text of its data.

        `[DONE]` is not returned: it sets *is_done*, and what follows it is passed over.
        """
        if self._skip_lf and chunk:
            self._skip_lf = False
            chunk = chunk.removeprefix(b"\n")
        self._buffer += chunk
        events = [event for line in self._lines() if (event := self._take(line)) is not None]
        if len(self._buffer) + self._size > _MAX_EVENT_BYTES:
            raise ProtocolError("the stream holds an event of more than 16 MiB")
        return self._until_done(events)

    def finish(self) -> list[str]:
        """Say that no more bytes come; return the event that was not closed, if it has any data."""
        if self._buffer:
            self._take(bytes(self._buffer))
            self._buffer.clear()
        event = self._take(b"")
        return self._until_done([event] if event is not None else [])

    def _until_done(self, events: list[str]) -> list[str]:
        if self.is_done:
            return []
        if DONE in events:
            self.is_done = True
            return events[: events.index(DONE)]
        return events

    def _lines(self) -> Iterator[bytes]:
        """Take whole lines off the buffer, without their ends."""
        buffer = self._buffer
        start = 0
        while True:
            lf, cr = buffer.find(b"\n", start), buffer.find(b"\r", start)
            end = lf if cr < 0 else cr if lf < 0 else min(lf, cr)
            if end < 0:
                break
            yield bytes(buffer[start:end])
            start = end + 1
            if end == cr:
                if start == len(buffer):
                    self._skip_lf = True  # its LF may still be on the way
                elif buffer[start] == 0x0A:
                    start += 1
        del buffer[:start]

    def _take(self, line: bytes) -> str | None:
        """Take in a line; give the event that an empty one closes."""
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                value = value.removeprefix(b" ")
                self._data.append(value)
                self._size += len(value)
            return None
        if not self._data:
            return None
        text = b"\n".join(self._data).decode("utf-8", "replace").strip()
        self._data.clear()
        self._size = 0
        return text


def delta_of(event: str) -> Delta | Frame:
    """Read one event: a piece of text, or a frame with an error. Known secrets that it repeats are redacted.

    Raises:
        ProtocolError: It is neither.
    """
    try:
        body, is_redacted = parse_redacted(event)
        event = json.dumps(body) if is_redacted else event
    except ValueError as error:
        event = redact_text(event)
        raise ProtocolError(f"the stream holds {event[:60]!r}, which is no JSON", frame=event) from error
    if isinstance(body, dict) and isinstance(body.get("data"), dict):
        body = body["data"]  # a form that older clients accept
    if not isinstance(body, dict):
        raise ProtocolError("the stream holds JSON that is no object", frame=event)
    if "errors" in body or "error" in body or body.get("status") == "error":
        frame = frame_of(body if "errors" in body or "error" in body else {"data": [body]}, text=event)
        if frame.errors:
            return frame
    delta = body.get("delta")
    delta = delta if isinstance(delta, dict) else {}
    return Delta(
        text=_text(delta.get("text")),
        reasoning=_text(delta.get("reasoningContent")),
        finish_reason=body["finishReason"] if isinstance(body.get("finishReason"), str) else None,
        usage=body["usage"] if isinstance(body.get("usage"), dict) else None,
        cost_usd=parse_amount(body.get("cost")),
        index=result_index(body) or 0,
        raw=body,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
