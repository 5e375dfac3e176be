"""Faults to order: what goes wrong, for which tasks, how often."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Fault", "FaultPlan"]

KINDS = {
    "refuse": "answer an error before accepting: status, code, message, retry_after_s, names_task",
    "html": "answer a web page with HTTP status 502; over WebSocket a line of HTML",
    "fail": "accept, then fail: items (indices; all when absent), code, message",
    "latency": "take this many seconds: seconds",
    "cut": "break the connection: when is before_accept or after_accept",
    "mute": "accept and work, but never push or answer the result; polls still see it",
    "flag": "mark results NSFW: items (indices; all when absent)",
}


@dataclass
class Fault:
    """One entry of the script.

    Attributes:
        kind: One of `KINDS`.
        on: Task type it waits for; None is any inference or operation.
        skip: How many matching tasks pass first.
        count: How many are hit; None is all that follow.
        rate: Chance that a matching task is hit, 0 to 1.
        options: What the kind needs besides.
    """

    kind: str
    on: str | None = None
    skip: int = 0
    count: int | None = 1
    rate: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, entry: dict[str, Any]) -> Fault:
        """Read one JSON entry.

        Raises:
            ValueError: The kind is unknown.
        """
        rest = dict(entry)
        kind = rest.pop("kind", None)
        if kind not in KINDS:
            raise ValueError(f"unknown fault kind {kind!r}; known: {', '.join(sorted(KINDS))}")
        named = {key: rest.pop(key) for key in ("on", "skip", "count", "rate") if key in rest}
        return cls(kind=kind, options=rest, **named)


class FaultPlan:
    """The script in force.

    Args:
        seed: Decides the rates, so that a run can be repeated.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._faults: list[Fault] = []

    def load(self, text: str) -> None:
        """Replace the script by the JSON in *text*: one entry or an array of them.

        Raises:
            ValueError: It is not JSON, or an entry makes no sense.
        """
        entries = json.loads(text) if text.strip() else []
        if isinstance(entries, dict):
            entries = entries.get("script", [entries])
        self._faults = [Fault.parse(entry) for entry in entries]

    def draw(self, task_type: str, *, is_work: bool) -> dict[str, Fault]:
        """Say which faults hit the next task of a kind, by kind of fault."""
        hit: dict[str, Fault] = {}
        for fault in self._faults:
            if fault.kind in hit or fault.count == 0:
                continue
            if fault.on != task_type and not (fault.on is None and is_work):
                continue
            if fault.skip > 0:
                fault.skip -= 1
            elif self._random.random() < fault.rate:
                if fault.count is not None:
                    fault.count -= 1
                hit[fault.kind] = fault
        return hit
