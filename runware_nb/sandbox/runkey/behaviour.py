"""Switches for what the documents of RunKey leave open."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from .errors import STATUSES

__all__ = ["Behaviour"]


@dataclass(frozen=True)
class Behaviour:
    """How the service behaves where the documents are silent. The defaults are the reference's recommendations.

    Attributes:
        submit_status: HTTP status of an accepted task.
        submit_form: Fields of an accepted task: `full` has `created_at`, `short` has not.
        completed_form: Fields of a completed task: `full`, or `short` without template, input and timestamps.
        optional_fields: Whether tasks have more than `task_id`, `status` and `output`.
        extra_fields: Whether responses have fields that no document mentions.
        failed_form: Where a failed task states its reason: `object`, `string`, `msg`, `message`, `error_code`, `bare`.
        timeout_place: Where 50003 appears: in the failed `task`, or as an error of the `call` that reads it.
        failure_is_charged: Whether failed and canceled tasks cost credits.
        charge_at: When credits are charged: `completion`, or `submit`, whatever the ending.
        credits_check: Smallest balance that is accepted: above `zero`, or the template's `price`.
        over_concurrent: What happens to a task above the plan's limit: `refuse`, or `queue` until another one ends.
        queued_counts: Whether queued tasks count as concurrent.
        window: Window of the limit per minute: `fixed`, from its first request, or `sliding`.
        rate_headers: Which responses have rate-limit headers: `always`, `success`, `never`.
        retry_after: Where a refusal for limits states the wait: `body`, `header`, `both`, `none`.
        limited_has_request_id: Whether the body of such a refusal has `request_id`.
        http_statuses: HTTP statuses of codes that differ from the table, such as `{"40002": 402}`.
        task_ids: Shape of ids: `plain`; `odd`, which must be percent-encoded; `unsafe`, which clients should refuse.
        plan_case: Case of the plan's name: `lower` or `title`.
        max_body_bytes: Largest body of a request.
        result_expires_s: Seconds after completion for which result files are served; None keeps them.
        webhook_wins: Which URL is used if both are set: that of the `request`, or that of the `template`.
        webhook_scheme: What is signed: `body` (reading B of the reference), `header-only` (A), `same` (C), `data` (D).
        webhook_header: Form of the header's value: `prefixed`, `bare`, or `upper` for upper-case digits.
        webhook_timestamp_header: Whether callbacks have `X-RunKey-Timestamp`, which no document mentions.
        webhook_secret: Secret; empty for the one in the ready line.
        webhook_attempts: How often a callback is sent until a 2xx.
    """

    submit_status: int = 202
    submit_form: str = "full"
    completed_form: str = "full"
    optional_fields: bool = True
    extra_fields: bool = False
    failed_form: str = "object"
    timeout_place: str = "task"
    failure_is_charged: bool = False
    charge_at: str = "completion"
    credits_check: str = "zero"
    over_concurrent: str = "refuse"
    queued_counts: bool = True
    window: str = "fixed"
    rate_headers: str = "always"
    retry_after: str = "body"
    limited_has_request_id: bool = False
    http_statuses: dict[str, int] = field(default_factory=dict)
    task_ids: str = "plain"
    plan_case: str = "lower"
    max_body_bytes: int = 1024 * 1024
    result_expires_s: float | None = None
    webhook_wins: str = "request"
    webhook_scheme: str = "body"
    webhook_header: str = "prefixed"
    webhook_timestamp_header: bool = False
    webhook_secret: str = field(default="", repr=False)
    webhook_attempts: int = 3

    def with_values(self, values: dict[str, Any]) -> Behaviour:
        """Return a copy with some switches set.

        Raises:
            ValueError: A name is unknown, or a value is invalid.
        """
        names = {switch.name for switch in fields(self)}
        for name, value in values.items():
            if name not in names:
                raise ValueError(f"unknown switch {name!r}; known: {', '.join(sorted(names))}")
            if not _is_valid(name, value):
                raise ValueError(f"Invalid {name}={value!r}: expected {_expected(name)}.")
        return replace(self, **values)

    @property
    def charges_failures(self) -> bool:
        """Whether a task costs credits although it does not complete."""
        return self.failure_is_charged or self.charge_at == "submit"

    def status_of(self, code: int) -> int:
        """Return the HTTP status of an error code."""
        return self.http_statuses.get(str(code), STATUSES.get(code, 500))


_ALLOWED: dict[str, tuple[Any, ...]] = {
    "submit_status": (202, 200, 201),
    "submit_form": ("full", "short"),
    "completed_form": ("full", "short"),
    "failed_form": ("object", "string", "msg", "message", "error_code", "bare"),
    "timeout_place": ("task", "call"),
    "charge_at": ("completion", "submit"),
    "credits_check": ("zero", "price"),
    "over_concurrent": ("refuse", "queue"),
    "window": ("fixed", "sliding"),
    "rate_headers": ("always", "success", "never"),
    "retry_after": ("body", "header", "both", "none"),
    "task_ids": ("plain", "odd", "unsafe"),
    "plan_case": ("lower", "title"),
    "webhook_wins": ("request", "template"),
    "webhook_scheme": ("body", "header-only", "same", "data"),
    "webhook_header": ("prefixed", "bare", "upper"),
}


def _expected(name: str) -> str:
    if name == "http_statuses":
        return "an object with an HTTP status for each code"
    if name == "result_expires_s":
        return "a number of seconds or null"
    if name in {"max_body_bytes", "webhook_attempts"}:
        return "a positive integer"
    if name == "webhook_secret":
        return "a text"
    return "one of " + ", ".join(str(value) for value in _ALLOWED.get(name, (True, False)))


def _is_valid(name: str, value: Any) -> bool:
    if name == "http_statuses":
        return isinstance(value, dict) and all(
            key in {str(code) for code in STATUSES} and type(status) is int and 200 <= status <= 599
            for key, status in value.items()
        )
    if name == "result_expires_s":
        return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value >= 0)
    if name in {"max_body_bytes", "webhook_attempts"}:
        return type(value) is int and value > 0
    if name == "webhook_secret":
        return isinstance(value, str)
    allowed = _ALLOWED.get(name, (True, False))
    return type(value) is type(allowed[0]) and value in allowed
