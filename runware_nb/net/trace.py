"""What travelled, for bug reports: the last frames, without secrets and without the bulk of media."""

from __future__ import annotations

import datetime as dt
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.redaction import redact_account, redact_task, redact_text, redact_values
from ..reprs import short_repr

__all__ = ["TracedFrame", "WireTrace", "wire_trace"]

_MOST_FRAMES = 1000
_LONGEST = 300
_LARGEST = 2_000_000


@short_repr()
@dataclass(frozen=True, slots=True)
class TracedFrame:
    """One frame.

    Attributes:
        at_utc: When, in ISO 8601.
        direction: `sent` or `received`.
        host: Of the service.
        frame: What travelled, without secrets; long texts are cut.
    """

    at_utc: str
    direction: str
    host: str
    frame: Any


@short_repr()
@dataclass
class WireTrace:
    """The last frames of all connections of this process, while it is on."""

    is_on: bool = False
    frames: deque[TracedFrame] = field(default_factory=lambda: deque(maxlen=_MOST_FRAMES))

    def note(self, direction: str, host: str, text: str | bytes, key: str) -> None:
        """Keep a frame.

        Args:
            direction: `sent` or `received`.
            host: Of the service.
            text: As it travels.
            key: The secret that must not be in it, beside those that this process knows.
        """
        written = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        try:  # first parsed, then redacted: an escape in JSON must not hide a key
            parsed = json.loads(redact_text(written, [key])) if len(written) <= _LARGEST else None
            frame = f"{len(written):,} characters" if parsed is None else _shortened(redact_values(parsed))
        except (ValueError, RecursionError):
            frame = redact_text(written, [key])[:_LONGEST]
        self.frames.append(
            TracedFrame(dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"), direction, host, frame)
        )


def _shortened(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _shortened(each) for name, each in redact_task(redact_account(value)).items()}
    if isinstance(value, list):
        return [_shortened(each) for each in value]
    if isinstance(value, str) and len(value) > _LONGEST:
        return f"{value[:60]}… ({len(value):,} characters)"
    return value


wire_trace = WireTrace()
"""The one of this process; the bare client fills it too."""
