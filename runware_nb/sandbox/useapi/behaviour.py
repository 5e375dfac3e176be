"""Switches for what the documents of useapi.net leave open, or state in two ways."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

__all__ = ["Behaviour"]


@dataclass(frozen=True)
class Behaviour:
    """How the service answers where its documents are silent or disagree.

    Attributes:
        create_response: Response of create calls: `flat` (`taskId` at the top), or `nested` (in `task`).
        task_response: Response of `GET /tasks/{taskId}`: `flat`, or `nested`.
        task_list: Response of `GET /tasks/`: `array`, or `object` with a `tasks` array.
        not_found: Body of a 404 for tasks, assets and paths: `json`, `text`, or `empty`.
        account_not_found: Body of a 404 of both account reads: `text`, `json`, or `empty`.
        delete_response: Successful deletion: `empty` (204), or `object` (200).
        delete_task: Whether deleting a running task leaves it running (`record`), or stops it (`cancel`).
        account_read_status: Status of `GET /accounts/{email}`: 200, or 201.
        mismatch_status: Status for an e-mail that differs between path and body: 400, 409, or 422.
        no_accounts_status: Status of a create call without any account: 404, or 400.
        broken_accounts_status: Status of a create call if all accounts in question have an error: 596, or 429.
        password: Password in the response of the account's POST: `masked`, `echoed`, or `absent`. Reads always mask it.
        percent_decode: Whether the e-mail in a path is percent-decoded.
        max_accounts: Maximum number of accounts; 0 for no limit.
        request_max_jobs: Whether `maxJobs` of a create call lowers the account's value (`lower`), or replaces it.
        parallel_jobs: Jobs that Runway runs at once for an account; others are THROTTLED. 0 for no limit.
        plan_credits: Credits of each account.
        retry_after: Where a 429 states its delay: `none`, `header`, `body`, or `both`.
        callbacks: When `replyUrl` is called: on `every` status change, at the end (`final`), or `none`.
        reply_ref_in_tasks: Whether responses about a task contain `replyRef` and `replyUrl`.
        metadata: Metadata of artifacts: `new`, `old`, or `null`.
        files: Result files: `full` (of the size that the metadata state), or `tiny`, for tests with many tasks: 16 x 16
            pixels whatever the metadata state, because painting takes long.
        failure: `error` of a failed task: `string`, `object`, or `null`.
        webp: Uploads declared as WebP: `refuse`, or `convert`.
        max_upload_bytes: Maximum size of an upload; 0 for no limit.
        retention_s: Seconds after which a finished task answers 410; 0 for never.
        subscription: `active`, or `expired` (402).
        voices: Response of `GET /lipsync/voices/`: `array`, `object` (with a `voices` array), or `elevenlabs` (as the
            service whose models `model_id` names).
        transcript: Response of `GET /transcribe/`: `text`, `segments`, or `array` (the segments only).
        preview: `GET /text_to_image_preview/`: `retired`, which is an unknown path, or `active`.
        stats: Response of `GET /v2/account/stats`: `days` (objects by day, endpoint and status), or `rows`.
        stats_lag_s: Seconds until a call appears there.

    Source:
        useapi-runwayml reference 2-10 and 12, wherever it says "unspecified".
    """

    create_response: str = "flat"
    task_response: str = "flat"
    task_list: str = "array"
    not_found: str = "json"
    account_not_found: str = "text"
    delete_response: str = "empty"
    delete_task: str = "record"
    account_read_status: int = 200
    mismatch_status: int = 400
    no_accounts_status: int = 404
    broken_accounts_status: int = 596
    password: str = "masked"  # noqa: S105 - the name of a form, and not a password
    percent_decode: bool = True
    max_accounts: int = 0
    request_max_jobs: str = "lower"
    parallel_jobs: int = 2
    plan_credits: int = 1_000_000
    retry_after: str = "none"
    callbacks: str = "every"
    reply_ref_in_tasks: bool = True
    metadata: str = "new"
    files: str = "full"
    failure: str = "string"
    webp: str = "refuse"
    max_upload_bytes: int = 0
    retention_s: int = 0
    subscription: str = "active"
    voices: str = "array"
    transcript: str = "text"
    preview: str = "retired"
    stats: str = "days"
    stats_lag_s: int = 120

    def with_values(self, values: dict[str, Any]) -> Behaviour:
        """Return a copy with some switches set.

        Raises:
            ValueError: A name is unknown, or a value is invalid.
        """
        names = {field.name for field in fields(self)}
        for name, value in values.items():
            if name not in names:
                raise ValueError(f"unknown switch {name!r}; known: {', '.join(sorted(names))}")
            present = getattr(self, name)
            if type(value) is not type(present):
                raise ValueError(f"Invalid {name}={value!r}: expected a value of type {type(present).__name__}.")
            allowed = _ALLOWED.get(name)
            if allowed is not None and value not in allowed:
                expected = ", ".join(str(choice) for choice in allowed)
                raise ValueError(f"Invalid {name}={value!r}: expected one of {expected}.")
            if allowed is None and isinstance(value, int) and value < 0:
                raise ValueError(f"Invalid {name}={value!r}: expected 0 or more.")
        return replace(self, **values)


_ALLOWED: dict[str, tuple[Any, ...]] = {
    "create_response": ("flat", "nested"),
    "task_response": ("flat", "nested"),
    "task_list": ("array", "object"),
    "not_found": ("json", "text", "empty"),
    "account_not_found": ("text", "json", "empty"),
    "delete_response": ("empty", "object"),
    "delete_task": ("record", "cancel"),
    "account_read_status": (200, 201),
    "mismatch_status": (400, 409, 422),
    "no_accounts_status": (404, 400),
    "broken_accounts_status": (596, 429),
    "password": ("masked", "echoed", "absent"),
    "request_max_jobs": ("lower", "replace"),
    "retry_after": ("none", "header", "body", "both"),
    "callbacks": ("every", "final", "none"),
    "metadata": ("new", "old", "null"),
    "files": ("full", "tiny"),
    "failure": ("string", "object", "null"),
    "webp": ("refuse", "convert"),
    "subscription": ("active", "expired"),
    "voices": ("array", "object", "elevenlabs"),
    "transcript": ("text", "segments", "array"),
    "preview": ("retired", "active"),
    "stats": ("days", "rows"),
}
