"""The faults of the useapi.net service."""

from __future__ import annotations

from ..core.faults import FaultTable
from ..core.media import MEDIA_FAULTS

__all__ = ["FAULTS", "LOGIN_ERRORS"]

LOGIN_ERRORS = {
    "password": "Wrong username/password combination.",
    "suspended": "Account suspended.",
}
_KINDS = {
    "refuse": "answer an error before accepting: status, message",
    "html": "answer a web page before accepting: status (502)",
    "busy": "answer 429 before accepting: retry_after_s for a Retry-After header",
    "no_credits": "answer 412: the Runway account has no credits",
    "moderate": "answer 422 (403 on text_to_image_preview): the prompt was moderated",
    "expire_session": "answer 596: the session of the account that would serve it is broken until it is posted again",
    "login": "refuse the Runway login with 401, on accounts only: reason is password or suspended",
    "cut": "break the connection: when is before_accept, after_accept or mid_body",
    "slow": "hold the response back: seconds",
    "latency": "let the task take this many seconds: seconds",
    "throttle": "leave the task THROTTLED: seconds",
    "fail": "accept, then fail: message",
    "no_artifacts": "accept, then succeed without artifacts",
    "mute": "never call replyUrl",
    "double": "call replyUrl twice for each change",
    **MEDIA_FAULTS,
}
FAULTS = FaultTable(
    _KINDS,
    {("cut", "when"): ("before_accept", "after_accept", "mid_body"), ("login", "reason"): tuple(LOGIN_ERRORS)},
)
