"""The faults of the Runware service."""

from __future__ import annotations

from typing import Any

from ..core.faults import FaultTable
from ..core.media import MEDIA_FAULTS

__all__ = ["BAD_URLS", "FAULTS", "KINDS", "ODD", "REAUTH", "chaos"]

KINDS = {
    "refuse": "answer an error before accepting: status, code, message, retry_after_s, names_task",
    "html": "answer a web page with HTTP status 502; over WebSocket a line of HTML",
    "fail": "accept, then fail: items (indices; all when absent), code, message, after (this many words of a stream)",
    "latency": "take this many seconds: seconds",
    "cut": "break the connection: when is before_accept, after_accept, mid_frame or mid_stream, after (this many words "
           "of a stream)",
    "mute": "accept and work, but never push or answer the result; polls still see it",
    "flag": "mark results NSFW: items (indices; all when absent)",
    "slow_ack": "acknowledge late: seconds",
    "lose": "lose the first answer frame",
    "double": "send every answer frame twice",
    "reorder": "send the first answer frame after the second, or late when there is none",
    "late": "hold every answer frame back: seconds",
    "malform": "send half of the first answer frame in its place",
    "misaddress": "send the first answer also to a UUID that nobody knows",
    **{kind: MEDIA_FAULTS[kind] for kind in ("expire", "truncate", "drop")},
    "write": "write this text in place of an answer: text, reasoning, finish_reason",
    "hold": "stream this many words of a text, and the rest when the control endpoint `release` is called: after",
    "unended": "send a streamed text to its end, and then neither [DONE] nor the end of the response",
    "forget": "forget a task when its stream is cut; it is charged all the same",
    "split": "cut characters of streamed text in two between packets",
    "bomb": MEDIA_FAULTS["bomb"],
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


def chaos(rate: float) -> list[dict[str, Any]]:
    """Build a script in which about *rate* of all tasks meet a fault, of every kind that a client survives."""
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


FAULTS = FaultTable(KINDS, _CHOICES, chaos)
