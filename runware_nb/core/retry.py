"""What to do after a failure: nothing, ask what became of it, or try again."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ..errors import (
    AuthenticationFailed,
    ContentRefused,
    OutOfCredit,
    ProtocolError,
    RateLimited,
    RunwareNBError,
    TaskError,
    TaskInvalid,
    TaskNotFound,
    TransportError,
    TransportTimeout,
)
from ..reprs import short_repr

__all__ = [
    "GIVE_UP",
    "Decision",
    "Step",
    "backoff_s",
    "decide",
    "falls_back_to_rest",
    "reconnect_delay_s",
    "refuses_request",
]

_TRANSIENT_STATUS = {408, 425, 429}
_REFUSALS = (TaskInvalid, AuthenticationFailed, OutOfCredit, RateLimited, ContentRefused, TaskNotFound)


class Step(enum.Enum):
    """What comes next for a task whose attempt failed."""

    GIVE_UP = "give up"
    ASK_FIRST = "ask the service what became of it, then send again under the same UUID"
    SEND_AGAIN = "send again under the same UUID"
    NEW_ATTEMPT = "send again under a fresh UUID"


@short_repr()
@dataclass(frozen=True, slots=True)
class Decision:
    """A step and how long to wait before it, in seconds."""

    step: Step
    delay_s: float = 0.0


GIVE_UP = Decision(Step.GIVE_UP)


def backoff_s(attempt: int, *, jitter: float, first_s: float = 0.5, longest_s: float = 20.0) -> float:
    """Say how long to wait before attempt number *attempt* + 1.

    Args:
        attempt: How many attempts have failed, at least 1.
        jitter: A random number of the caller's in [0, 1): half of the wait is left to it.
        first_s: Wait after the first failure, in seconds.
        longest_s: Ceiling in seconds.
    """
    whole = min(longest_s, first_s * 2.0 ** min(max(attempt, 1) - 1, 60))
    return whole * (0.5 + 0.5 * jitter)


def decide(
    error: RunwareNBError, *, attempt: int, max_retries: int, long_running: bool, has_results: bool, jitter: float
) -> Decision:
    """Decide what to do about a failed attempt, so that nothing is lost and nothing paid twice.

    Args:
        error: What ended the attempt.
        attempt: How many attempts have failed, this one included.
        max_retries: How many more may follow the first; 0 means none.
        long_running: Whether the operation takes minutes and costs accordingly; see `Operation.long_running`.
        has_results: Whether any result came; then nothing is retried by itself.
        jitter: A random number in [0, 1).

    Returns:
        The step. Where the service named the task in its refusal the next attempt takes a fresh UUID;
        where the attempt's fate is unknown only the same UUID is safe.
    """
    if has_results or attempt > max_retries or isinstance(error, TransportTimeout):
        return GIVE_UP
    asked_to_wait = getattr(error, "retry_after_s", None)
    delay_s = backoff_s(attempt, jitter=jitter) if asked_to_wait is None else float(asked_to_wait)
    if isinstance(error, TaskError):
        if not error.retryable:
            return GIVE_UP
        if not error.task_uuid:
            return Decision(Step.SEND_AGAIN if isinstance(error, RateLimited) else Step.ASK_FIRST, delay_s)
        if long_running:
            # Too expensive to start again under a new id without the user. A refusal because of the rate limit came
            # before acceptance and generated nothing, so the same UUID may be sent again.
            return Decision(Step.SEND_AGAIN, delay_s) if isinstance(error, RateLimited) else GIVE_UP
        return Decision(Step.NEW_ATTEMPT, delay_s)
    if isinstance(error, TransportError):
        if not error.retryable:
            return GIVE_UP
        if not error.may_have_arrived:
            return Decision(Step.SEND_AGAIN, delay_s)
        return Decision(Step.ASK_FIRST, delay_s)
    if isinstance(error, ProtocolError) and (_is_transient_status(error.http_status) or error.is_cut_short):
        return Decision(Step.ASK_FIRST, delay_s)
    return GIVE_UP


def refuses_request(error: TaskError) -> bool:
    """Return whether an HTTP response that names no task refuses the tasks of its request all the same.

    * 5xx: the service or a gateway failed, before or after it accepted the task. The fate is unknown.
    * 408 and 425: the request may have been read, and the response was given up. The fate is unknown.
    * Other 4xx: exactly this request was refused, and all of its tasks.
    * 200 with an error: a refusal if the code means one, such as `invalidWidth`. Any other code, such as an
      announcement, can stand beside a task that was accepted. The fate is unknown.
    """
    status = error.http_status or 200
    if status >= 500:
        return False
    if isinstance(error, _REFUSALS):
        return True
    return status >= 400 and status not in _TRANSIENT_STATUS


def _is_transient_status(http_status: int | None) -> bool:
    return http_status is not None and (http_status in _TRANSIENT_STATUS or http_status >= 500)


def reconnect_delay_s(attempt: int, *, jitter: float) -> float:
    """Say how long to wait before reconnecting.

    Args:
        attempt: How many tries have failed since the connection was lost; 0 right after the loss.
        jitter: A random number in [0, 1).

    Returns:
        Seconds: none at first, then doubling from a quarter second to 15 s.
    """
    return 0.0 if attempt <= 0 else backoff_s(attempt, jitter=jitter, first_s=0.25, longest_s=15.0)


def falls_back_to_rest(*, failed_handshakes: int, was_connected: bool) -> bool:
    """Whether WebSocket is given up for REST: never once it has worked, else after two failures."""
    return not was_connected and failed_handshakes >= 2
