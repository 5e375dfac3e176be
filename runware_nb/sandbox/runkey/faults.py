"""The faults of the RunKey service."""

from __future__ import annotations

from ..core.faults import FaultTable
from ..core.media import MEDIA_FAULTS

__all__ = ["FAULTS", "WEBHOOK_FAULTS"]

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
        ("cut", "when"): ("before_accept", "after_accept", "mid_body"),
        ("webhook", "how"): tuple(WEBHOOK_FAULTS),
        ("cancel", "when"): ("queued", "running"),
    },
)
"""All kinds. Without `on` they hit `POST /run` only. With `on` set to `task` or `account` they hit these reads."""
