"""Faults to order: what goes wrong, for which tasks, how often."""

from __future__ import annotations

import collections
import json
import random
from dataclasses import dataclass, field
from typing import Any

from .account import request_hash

__all__ = ["Fault", "FaultPlan", "chaos"]

KINDS = {
    "refuse": "answer an error before accepting: status, code, message, retry_after_s, names_task",
    "html": "answer a web page with HTTP status 502; over WebSocket a line of HTML",
    "fail": "accept, then fail: items (indices; all when absent), code, message",
    "latency": "take this many seconds: seconds",
    "cut": "break the connection: when is before_accept, after_accept, mid_frame or mid_stream",
    "mute": "accept and work, but never push or answer the result; polls still see it",
    "flag": "mark results NSFW: items (indices; all when absent)",
    "slow_ack": "acknowledge late: seconds",
    "lose": "lose the first answer frame",
    "double": "send every answer frame twice",
    "reorder": "send the first answer frame after the second, or late when there is none",
    "late": "hold every answer frame back: seconds",
    "malform": "send half of the first answer frame in its place",
    "misaddress": "send the first answer also to a UUID that nobody knows",
    "expire": "have the files gone at once",
    "truncate": "serve half of each file",
    "drop": "break the connection in the middle of a download",
    "split": "cut characters of streamed text in two between packets",
    "bomb": "serve an image of 900 megapixels in few bytes",
    "stray_error": "send errors that name no task: code, message, times, names_type; with instead in place of the "
                   "first response (status: its HTTP status), else in addition, at acceptance and with the response",
    "refuse_reauth": "break the connection after acceptance and refuse the next authentications of the session, "
                     "never for its key: how (internalServerError, rateLimitExceeded, html, empty; or a list of them)",
    "odd": "put odd values into the first response: what is cost (with value), index, progress, frame, preview, "
           "surrogate, stranger or strings",
    "drip": "send REST responses, streams and files byte by byte: seconds (for all of it), bytes (at a time)",
    "bad_url": "respond with URLs that cannot be used: items (indices; all when absent), url (dots, label, control, "
               "surrogate or port); polls have the right ones, unless stays",
}  # fmt: skip
MEDIA_FAULTS = ("expire", "truncate", "drop", "bomb")
ODD = ("cost", "index", "progress", "frame", "preview", "surrogate", "stranger", "strings")
REAUTH = ("internalServerError", "rateLimitExceeded", "html", "empty")
BAD_URLS = {
    "dots": "https://a..b/image.jpg",
    "label": f"https://{'a' * 64}.example/image.jpg",
    "control": "https://media.example/ima\r\nge\x00.jpg",
    "surrogate": "https://media.example/\ud800.jpg",
    "port": "https://media.example:99999999/image.jpg",
}
_WHENS = ("before_accept", "after_accept", "mid_frame", "mid_stream")
_CHOICES = {
    ("cut", "when"): _WHENS, ("odd", "what"): ODD, ("refuse_reauth", "how"): REAUTH,
    ("bad_url", "url"): tuple(BAD_URLS),
}  # fmt: skip


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
            ValueError: The kind is unknown, or an option makes no sense.
        """
        rest = dict(entry)
        kind = rest.pop("kind", None)
        if kind not in KINDS:
            raise ValueError(f"unknown fault kind {kind!r}; known: {', '.join(sorted(KINDS))}")
        for (of_kind, name), choices in _CHOICES.items():
            if kind == of_kind and name in rest:
                values = rest[name] if isinstance(rest[name], list) else [rest[name]]
                if not values or any(value not in choices for value in values):
                    raise ValueError(f"Invalid {name}={rest[name]!r}: expected one of {', '.join(choices)}.")
        named = {key: rest.pop(key) for key in ("on", "skip", "count", "rate") if key in rest}
        if "rate" in named and "count" not in named:
            named["count"] = None
        return cls(kind=kind, options=rest, **named)


def chaos(rate: float) -> list[dict[str, Any]]:
    """Write a script in which about *rate* of all tasks meet a fault, of every kind that a client survives."""
    busy = {"kind": "refuse", "status": 429, "code": "rateLimitExceeded"}
    mix: list[dict[str, Any]] = [
        {**busy, "retry_after_s": 0.05}, busy, {**busy, "names_task": False},
        {"kind": "refuse", "status": 500, "code": "internalServerError"},
        {"kind": "refuse", "status": 503, "code": "serviceUnavailable", "names_task": False},
        {"kind": "refuse", "status": 504, "code": "gatewayTimeout", "names_task": False},
        {"kind": "html"},
        {"kind": "fail", "code": "timeoutProvider"}, {"kind": "fail", "items": [0]},
        {"kind": "fail", "code": "contentModeration"},
        {"kind": "cut", "when": "before_accept"}, {"kind": "cut", "when": "after_accept"},
        {"kind": "cut", "when": "mid_frame"},
        {"kind": "mute"}, {"kind": "lose"}, {"kind": "double"}, {"kind": "reorder"}, {"kind": "malform"},
        {"kind": "late", "seconds": 0.2}, {"kind": "slow_ack", "seconds": 0.2}, {"kind": "misaddress"},
        {"kind": "flag"},
        *_strays(), *({**stray, "on": "getResponse"} for stray in _strays()),
        *({"kind": "refuse_reauth", "how": how} for how in [*REAUTH, list(REAUTH)]),
        *_odd_values(), *({**odd, "on": "getResponse"} for odd in _odd_values()),
        {"kind": "drip", "seconds": 0.3}, {"kind": "drip", "seconds": 0.1, "on": "getResponse"},
        *({"kind": "bad_url", "url": url, "items": [0]} for url in BAD_URLS), {"kind": "bad_url"},
    ]  # fmt: skip
    return [{**entry, "rate": rate / len(mix), "count": None} for entry in mix]


def _strays() -> list[dict[str, Any]]:
    """List errors without a task for `chaos`: single, in floods, and in place of an answer."""
    soon = {"kind": "stray_error", "code": "maintenanceSoon", "message": "Maintenance begins in 5 minutes."}
    failed = {"kind": "stray_error", "code": "internalServerError"}
    busy = {"kind": "stray_error", "code": "rateLimitExceeded"}
    return [soon, {**soon, "times": 20}, failed, {**failed, "names_type": True}, busy, {**busy, "times": 5},
            {**failed, "instead": True, "status": 500}, {**soon, "instead": True, "status": 503},
            {**busy, "instead": True, "status": 429}]  # fmt: skip


def _odd_values() -> list[dict[str, Any]]:
    """List odd values for `chaos`: wrong costs of every type, and each other value once."""
    costs = [-5, float("nan"), float("inf"), True, "0.5"]
    return [
        *({"kind": "odd", "what": "cost", "value": value} for value in costs),
        *({"kind": "odd", "what": what} for what in ODD if what != "cost"),
    ]


class FaultPlan:
    """The script in force.

    Args:
        seed: Decides the rates, so that a run can be repeated.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._faults: list[Fault] = []
        self._seen: collections.Counter[str] = collections.Counter()

    def load(self, text: str) -> None:
        """Replace the script by *text*: JSON (one entry or an array of them), or `chaos:RATE`.

        Raises:
            ValueError: It is neither, or an entry makes no sense.
        """
        if text.startswith("chaos:"):
            entries: Any = chaos(float(text.removeprefix("chaos:")))
        else:
            entries = json.loads(text) if text.strip() else []
        if isinstance(entries, dict):
            entries = entries.get("script", [entries])
        self._faults = [Fault.parse(entry) for entry in entries]
        self._seen.clear()

    def draw(self, task_type: str, *, is_work: bool, request: dict[str, Any]) -> dict[str, Fault]:
        """Say which faults hit the next task of a kind, by kind of fault.

        Args:
            task_type: Kind of task.
            is_work: Whether it is an inference or an operation.
            request: The request: rates are drawn by its content, whenever it comes.
        """
        hit: dict[str, Fault] = {}
        if not self._faults:
            return hit
        hashed = request_hash(request) if is_work else json.dumps(request)
        self._seen[hashed] += 1
        chance = random.Random(f"{self._seed}/{hashed}/{self._seen[hashed]}")
        for fault in self._faults:
            if fault.kind in hit or fault.count == 0:
                continue
            if fault.on != task_type and not (fault.on is None and is_work):
                continue
            if fault.skip > 0:
                fault.skip -= 1
            elif fault.rate >= 1 or chance.random() < fault.rate:
                if fault.count is not None:
                    fault.count -= 1
                hit[fault.kind] = fault
        return hit
