"""RunKey's envelopes, errors and objects, without I/O. The sections are those of the project's RunKey reference.

A response is judged by the `code` in its envelope and never by its HTTP status, because the documentation assigns only
one status to a code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from ...core.items import Item
from ...core.parsing import as_identifier, parse_json
from ...core.redaction import redact_text, redact_values
from ...errors import (
    AuthenticationFailed,
    OutOfCredit,
    ProtocolError,
    ProviderFailed,
    RateLimited,
    RunwareNBError,
    TaskError,
    TaskFailed,
    TaskInvalid,
    TaskNotFound,
    TransportError,
)
from ...net.http import HttpResponse, retry_after_s
from ...reprs import short_repr, shortened
from ..key_urls import check_key_url, is_local_url

__all__ = [
    "NO_GPU",
    "RATE_LIMIT",
    "TIMED_OUT",
    "RateHeaders",
    "RunKeyAccount",
    "RunKeyTask",
    "check_url",
    "check_webhook_url",
    "encode_run",
    "error_of_code",
    "is_local_url",
    "is_safe_id",
    "parse_account",
    "parse_response",
    "parse_task",
    "rate_headers",
    "reset_s",
    "task_path",
    "wait_s",
]

_E = TypeVar("_E", bound=RunwareNBError)

RATE_LIMIT = "40003"
NO_GPU = "50002"
TIMED_OUT = "50003"

_MAX_BODY_BYTES = 1024 * 1024
_LONGEST_ID = 1024
_LONGEST_MESSAGE = 1000
_LONGEST_SHOWN = 10_000
_MEANINGS: Mapping[str, tuple[type[TaskError], str]] = {
    "40001": (AuthenticationFailed, "the API key is missing or invalid"),
    "40002": (OutOfCredit, "the account does not have enough credits"),
    RATE_LIMIT: (RateLimited, "a limit of the account is reached"),
    "40004": (TaskInvalid, "the template does not exist"),
    "40005": (TaskInvalid, "the input is not valid"),
    "40006": (TaskNotFound, "the task does not exist"),
    "50001": (ProviderFailed, "an internal error occurred"),
    NO_GPU: (ProviderFailed, "no GPU is available"),
    TIMED_OUT: (ProviderFailed, "the execution timed out"),
}
"""Section 8: the documented codes. The longer of the two lists on the page is used."""
_PARAMETERS = {"40004": "template_id", "40005": "input"}
_NO_TEMPLATE = "40004"
_FINISHED = frozenset({"completed", "failed", "canceled"})
_UNSAFE = frozenset("/?#%\\")


@short_repr("task_id", "status")
@dataclass(frozen=True, slots=True, kw_only=True)
class RunKeyTask:
    """A task as RunKey describes it. Only `task_id` and `status` are always there (section 4).

    Attributes:
        task_id: Id of the task, chosen by RunKey.
        status: `queued`, `running`, `completed`, `failed` or `canceled`; any other text counts as unfinished.
        template_id: The template.
        input: What the template was called with.
        output: What the template produced, as the template defines it.
        progress: Percentage from 0 to 100, for display only.
        created_at: When RunKey accepted it, as its text.
        started_at: When it began to run, as RunKey's text.
        completed_at: When it ended, as RunKey's text.
        processing_time_s: Seconds of work that RunKey states. It is not the difference of the timestamps.
        credits_used: What RunKey states to have charged; None if it states nothing, which does not mean 0.
        reason: Why it failed or was canceled; empty if RunKey states no reason.
        error_code: RunKey's code of the failure; empty if there is none.
        raw: The object as it came.
    """

    task_id: str
    status: str
    template_id: str | None = None
    input: Mapping[str, Any] | None = None
    output: Any = None
    progress: float | None = None
    created_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    processing_time_s: float | None = None
    credits_used: float | None = None
    reason: str = ""
    error_code: str = ""
    raw: Item = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether the task has ended. A status that no document mentions is not an end."""
        return self.status in _FINISHED


@short_repr("balance", "plan")
@dataclass(frozen=True, slots=True, kw_only=True)
class RunKeyAccount:
    """The account of a key.

    Attributes:
        balance: What is left, presumably in credits; None if RunKey states no number.
        plan: Name of the plan in lower case; empty if RunKey states none.
        email: E-mail address of the account; empty if RunKey states none.
        raw: The object as it came.
    """

    balance: float | None
    plan: str
    email: str = field(default="", repr=False)
    raw: Item = field(default_factory=dict, repr=False)


# --- requests --------------------------------------------------------------------------------------


def check_url(url: str) -> str:
    """Return the URL of the API without a slash at its end.

    Raises:
        ConfigError: The key must not be sent there: only https, or this machine, is safe (section 11).
    """
    return check_key_url(url, service="RunKey", key_label="RunKey API key")


def check_webhook_url(url: str) -> str | None:
    """Check the URL of a callback; return a warning, or None.

    Raises:
        TaskInvalid: RunKey could not call it.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isprintable() or " " in url:
        raise TaskInvalid(
            "Invalid webhook URL: expected an absolute http or https URL. Nothing was sent.", parameter="webhook_url"
        )
    if parts.scheme == "http" and not is_local_url(url):
        return f"The webhook URL of {parts.hostname} is plain http: others can read the callbacks. Use https."
    return None


def encode_run(template_id: str, given: Mapping[str, Any], webhook_url: str | None) -> bytes:
    """Build the body of `POST /run`.

    Raises:
        TaskInvalid: It cannot be sent as JSON, or is too large.
    """
    if not isinstance(template_id, str) or not template_id.strip():
        raise TaskInvalid(
            f"Invalid template id {template_id!r:.60}: expected text, such as tpl_abc123. Nothing was sent.",
            parameter="template_id",
        )
    if not isinstance(given, Mapping):
        raise TaskInvalid(
            f"Invalid input: expected an object (a dict), not {type(given).__name__}. Nothing was sent.",
            parameter="input",
        )
    body: Item = {"template_id": template_id, "input": given}
    if webhook_url:
        check_webhook_url(webhook_url)
        body["webhook_url"] = webhook_url
    try:
        content = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise TaskInvalid(f"Invalid input: {error}. Nothing was sent.", parameter="input") from error
    if len(content) > _MAX_BODY_BYTES:
        raise TaskInvalid(
            f"The request has {len(content):,} bytes, and at most {_MAX_BODY_BYTES:,} are sent to RunKey. Nothing was "
            "sent. Pass files by their URLs.",
            parameter="input",
        )
    return content


def task_path(task_id: str) -> str:
    """Return the path of a task, with its id percent-encoded.

    Raises:
        TaskInvalid: The id is not safe in a path (section 1).
    """
    if not is_safe_id(task_id):
        raise TaskInvalid(
            f"Invalid RunKey task id {task_id!r:.80}: it cannot be part of a URL. Nothing was sent.",
            parameter="task_id",
        )
    return f"/tasks/{quote(task_id, safe='')}"


def is_safe_id(task_id: Any) -> bool:
    """Return whether an id is safe as one segment of a URL's path. Ids have no other rule (section 1)."""
    if not isinstance(task_id, str) or not 0 < len(task_id) <= _LONGEST_ID or not task_id.isprintable():
        return False
    return ".." not in task_id and task_id != "." and not _UNSAFE & set(task_id)


# --- responses -------------------------------------------------------------------------------------


def parse_response(response: HttpResponse, *, host: str) -> Item:
    """Return the `data` of a successful response (section 2).

    Raises:
        TaskError: It is an error envelope.
        ProtocolError: It is a success without usable data.
        TransportError: It is no envelope, such as a web page of a gateway.
    """
    envelope = _object(response.body)
    code = None if envelope is None else _code_of(envelope)
    header_id = as_identifier(redact_text(response.headers.get("x-request-id") or ""))
    if envelope is None or code is None:
        raise _without_envelope(response, host, header_id)
    request_id = as_identifier(envelope.get("request_id")) or header_id
    if code != "0":
        raise error_of_code(
            code,
            envelope.get("msg"),
            raw=envelope,
            request_id=request_id,
            http_status=response.status,
            retry_after=wait_s(envelope, response.headers, is_limit=code == RATE_LIMIT),
        )
    data = envelope.get("data")
    if not 200 <= response.status < 300 or not isinstance(data, dict):
        what = "no data object" if 200 <= response.status < 300 else f"HTTP status {response.status}"
        raise _with_id(
            ProtocolError(
                f"{host} sent code 0, which means success, with {what}{_named(request_id)}.",
                frame=_start_of(response.body, 2000), http_status=response.status,
            ),
            request_id,
        )  # fmt: skip
    return data


def error_of_code(
    code: str,
    msg: Any,
    *,
    raw: Mapping[str, Any] | None = None,
    request_id: str | None = None,
    http_status: int | None = None,
    retry_after: float | None = None,
) -> TaskError:
    """Build the error that a code of RunKey means (section 8).

    Args:
        code: The code, as digits.
        msg: RunKey's text.
        raw: The envelope.
        request_id: RunKey's id of the request.
        http_status: HTTP status; it decides nothing.
        retry_after: Seconds that RunKey asks to wait.
    """
    fallback: type[TaskError] = ProviderFailed if code.startswith("5") else TaskFailed
    kind, meaning = _MEANINGS.get(code, (fallback, "the request failed"))
    text = shortened(msg.strip(), _LONGEST_MESSAGE).removesuffix(".") if isinstance(msg, str) else ""
    quoted = f" ({text})" if text and text.lower() != meaning else ""
    # A request that was refused has started no task, so nothing was charged; of a task that failed it is not known.
    is_refused = code == _NO_TEMPLATE and http_status is not None
    advice = " Nothing was charged. Check the id of the template in your RunKey account." if is_refused else ""
    error = kind(
        f"RunKey: {meaning}{quoted}, code {code}{_named(request_id)}.{advice}",
        code=code, parameter=_PARAMETERS.get(code), http_status=http_status, retry_after_s=retry_after, raw=raw,
    )  # fmt: skip
    return _with_id(error, request_id)


def parse_task(data: Mapping[str, Any], *, asked_for: str | None = None) -> RunKeyTask:
    """Build a task from `data`.

    Args:
        data: The object as it came.
        asked_for: The id that was asked for. It stays the task's id, whatever the response has.

    Raises:
        ProtocolError: It has no status, or no id although none was asked for, or it is another task.
    """
    task_id, status = data.get("task_id"), data.get("status")
    if asked_for is not None and task_id not in {None, asked_for}:
        raise ProtocolError("RunKey sent another task than the one that was asked for.", frame=_frame(data))
    task_id = asked_for or task_id
    if not isinstance(task_id, str) or not isinstance(status, str):
        raise ProtocolError("RunKey sent a task without an id or a status.", frame=_frame(data))
    template_id, given, reason = data.get("template_id"), data.get("input"), _reason(data)
    progress = _number(data.get("progress"))
    return RunKeyTask(
        task_id=task_id, status=status, template_id=template_id if isinstance(template_id, str) else None,
        input=given if isinstance(given, dict) else None, output=data.get("output"),
        progress=None if progress is None else min(100.0, max(0.0, progress)),
        created_at=_text(data.get("created_at")), started_at=_text(data.get("started_at")),
        completed_at=_text(data.get("completed_at")), processing_time_s=_number(data.get("processing_time")),
        credits_used=_number(data.get("credits_used")), reason=reason[1], error_code=reason[0], raw=dict(data),
    )  # fmt: skip


def parse_account(data: Mapping[str, Any]) -> RunKeyAccount:
    """Build an account from `data`. Any number may be a balance (section 5)."""
    plan = data.get("plan")
    return RunKeyAccount(
        balance=_number(data.get("balance")), plan=plan.strip().lower() if isinstance(plan, str) else "",
        email=_text(data.get("email")) or "", raw=dict(data),
    )  # fmt: skip


def wait_s(envelope: Mapping[str, Any], headers: Mapping[str, str], *, is_limit: bool = True) -> float | None:
    """Return the seconds that a refusal asks to wait, from the first place that states them (section 9).

    Args:
        envelope: The body.
        headers: Of the same response.
        is_limit: Whether a limit of the account is reached. Only then the reset of the limit, which any response may
            state, is about this refusal.
    """
    stated = envelope.get("retry_after")
    if isinstance(stated, str):
        try:
            stated = float(stated)
        except ValueError:
            stated = None
    seconds = _number(stated)
    if seconds is None:
        seconds = _retry_after(headers)
    if seconds is None and is_limit:
        seconds = reset_s(headers)
    return None if seconds is None else max(0.0, seconds)


@short_repr()
@dataclass(frozen=True, slots=True)
class RateHeaders:
    """What the headers of a response state about the limit of requests.

    Attributes:
        limit: Requests in a minute; None if it is not stated.
        remaining: Requests that are left; None if it is not stated.
        reset_s: Seconds until more are available; None if it is not stated.
    """

    limit: int | None
    remaining: int | None
    reset_s: float | None


def rate_headers(headers: Mapping[str, str]) -> RateHeaders:
    """Parse the headers about the limit of requests. Each of them may be missing or unusable."""
    limit = _integer(headers.get("x-ratelimit-limit"))
    return RateHeaders(
        limit if limit is None or limit > 0 else None,
        _integer(headers.get("x-ratelimit-remaining")),
        reset_s(headers),
    )


def reset_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until `X-RateLimit-Reset`, by the clock of the server; None if it is not stated.

    The clock of this machine may be wrong, so the header `Date` of the same response is subtracted.
    """
    reset = _integer(headers.get("x-ratelimit-reset"))
    if reset is None:
        return None
    try:
        server_now = parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError, TypeError, OverflowError):
        server_now = datetime.now(UTC)
    return max(0.0, reset - server_now.timestamp())


# --- inside ----------------------------------------------------------------------------------------


def _object(body: bytes) -> Item | None:
    try:
        # After parsing, so that an escape cannot hide a key that the service repeats in its response.
        value = redact_values(parse_json(body))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _start_of(body: bytes, length: int) -> str:
    """Return the start of a body for a message. It is cut after redaction, which must see whole keys."""
    return redact_text(body[:_LONGEST_SHOWN].decode("utf-8", "replace"))[:length]


def _code_of(envelope: Item) -> str | None:
    code = envelope.get("code")
    if isinstance(code, bool) or not isinstance(code, int) or abs(code) > 10**9:
        return None
    return str(code)


def _without_envelope(response: HttpResponse, host: str, request_id: str | None) -> TransportError:
    """Build the error of a response that is not RunKey's, such as a web page, an empty or a truncated one."""
    start = _start_of(response.body, 120).strip()
    shown = f": {' '.join(start.split())}" if start else ", without content"
    error = TransportError(
        f"{host} responded with HTTP {response.status} and no RunKey envelope{_named(request_id)}{shown}",
        http_status=response.status, retry_after_s=_retry_after(response.headers),
    )  # fmt: skip
    error.retryable = response.status in {429, 500, 502, 503, 504} or 200 <= response.status < 300
    return _with_id(error, request_id)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    seconds = retry_after_s(headers)
    return seconds if seconds is not None and math.isfinite(seconds) else None


def _reason(data: Mapping[str, Any]) -> tuple[str, str]:
    """Return code and text of a failure, from the first place that has one: no document shows its form (section 4)."""
    error = data.get("error")
    if isinstance(error, dict):
        code = as_identifier(error.get("code")) or as_identifier(error.get("error_code")) or ""
        text = _text(error.get("msg")) or _text(error.get("message")) or ""
        if code or text:
            return code, shortened(text, _LONGEST_MESSAGE)
    code = as_identifier(data.get("error_code")) or as_identifier(data.get("code")) or ""
    text = next(filter(None, (_text(value) for value in (error, data.get("msg"), data.get("message")))), "")
    return code, shortened(text, _LONGEST_MESSAGE)


def _named(request_id: str | None) -> str:
    return f", request {request_id}" if request_id else ""


def _with_id(error: _E, request_id: str | None) -> _E:
    error.request_id = request_id
    return error


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _integer(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _frame(data: Mapping[str, Any]) -> str:
    return shortened(repr(data), 2000)
