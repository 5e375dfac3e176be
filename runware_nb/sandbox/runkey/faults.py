"""The faults of the RunKey service."""

from __future__ import annotations

from typing import Any

from ..core.faults import FaultTable
from ..core.media import MEDIA_FAULTS

__all__ = ["FAULTS", "WEBHOOK_FAULTS", "chaos"]

_WHENS = ("before_accept", "after_accept", "mid_body")
WEBHOOK_FAULTS = {
    "lost": "no callback is sent",
    "delayed": "the callback is sent after seconds (30)",
    "duplicated": "the same bytes are sent twice, the second time after seconds (0)",
    "forged": "a callback with another result, signed with another secret",
    "stale": "a correctly signed callback whose timestamp is seconds (3600) old",
    "wrong_signature": "one digit of the signature is wrong",
    "missing_header": "no signature header; the body has its member",
    "tampered": "one value of the body is changed after signing",
}
"""What may be wrong with a callback, and the option `how` of the fault `webhook`."""


def chaos(rate: float) -> list[dict[str, Any]]:
    """Build a script in which about *rate* of all tasks and reads meet a fault that a client survives."""
    busy = {"kind": "refuse", "code": 40003, "retry_after_s": 2}
    runs: list[dict[str, Any]] = [
        busy, {"kind": "refuse", "code": 50001}, {"kind": "refuse", "code": 50002}, {"kind": "html"},
        *({"kind": "cut", "when": when} for when in _WHENS), {"kind": "slow", "seconds": 1},
        {"kind": "latency", "seconds": 20}, {"kind": "fail"}, {"kind": "fail", "code": 50003}, {"kind": "cancel"},
        *({"kind": "webhook", "how": how} for how in WEBHOOK_FAULTS),
    ]  # fmt: skip
    reads: list[dict[str, Any]] = [
        busy, {"kind": "refuse", "code": 50001}, {"kind": "html"}, {"kind": "cut"},
        {"kind": "cut", "when": "mid_body"}, {"kind": "odd_status"},
    ]  # fmt: skip
    return [
        *({**entry, "rate": rate / len(runs), "count": None} for entry in runs),
        *({**entry, "on": "task", "rate": rate / len(reads), "count": None} for entry in reads),
    ]


FAULTS = FaultTable(
    {
        "refuse": "answer an error before acceptance: code, msg, status, retry_after_s",
        "html": "answer a web page instead of JSON, before acceptance: status",
        "cut": "break the connection: when is before_accept (no response), after_accept (accepted, and no response) or "
        "mid_body (accepted, and half of the response)",
        "slow": "accept, then respond after seconds",
        "latency": "accept a task that takes this many seconds: seconds",
        "fail": "accept a task that fails: code, msg",
        "cancel": "accept a task that the user stops: when (queued or running)",
        "odd_status": "respond with a status that no document mentions: value (paused)",
        "webhook": "spoil the callback: how, seconds; with in_addition the correct one is sent too",
        **MEDIA_FAULTS,
    },
    {
        ("cut", "when"): _WHENS,
        ("webhook", "how"): tuple(WEBHOOK_FAULTS),
        ("cancel", "when"): ("queued", "running"),
    },
    chaos,
)
"""All kinds. Without `on` they hit `POST /run` only. With `on` set to `task` or `account` they hit these reads."""
