"""What useapi.net sends: tasks, artifacts, assets, credits and errors, as values with the types that we rely on.

The documents are not exact, and several fields arrive in two forms. Every such form is parsed here and nowhere else.
Source: the project's useapi-runwayml reference; sections are named where a rule comes from.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...core.redaction import known_secrets
from ...errors import (
    AuthenticationFailed,
    ContentRefused,
    OutOfCredit,
    ProtocolError,
    ProviderFailed,
    RateLimited,
    TaskError,
    TaskFailed,
    TaskInvalid,
    TaskNotFound,
)
from ...net.http import HttpResponse, retry_after_s
from ...remedies import Option, Remedy, command
from ...reprs import short_repr

__all__ = [
    "Artifact",
    "Asset",
    "Features",
    "PlatformAccount",
    "ScheduledTask",
    "UseApiTask",
    "error_of_response",
    "error_of_task",
    "owner_of",
    "parse_json",
    "parse_task",
    "parse_tasks",
    "shorten_account",
    "shorten_accounts",
    "shorten_id",
]

Json = dict[str, Any]

_FAILED = frozenset({"FAILED", "CANCELLED", "CANCELED"})
_FINAL = _FAILED | {"SUCCEEDED"}
_LONGEST_TEXT = 400
_OTHER_ACCOUNT = Option("account", "EMAIL", python="account='EMAIL'")
_NO_CREDITS = Remedy("Add credits at Runway, or choose another account with {0}.", (_OTHER_ACCOUNT,))
_BROKEN_SESSION = Remedy(
    "{0} adds it again with its password, which repairs it; or choose another account with {1}.",
    (command("useapi account", "add", "EMAIL"), _OTHER_ACCOUNT),
)
_MODERATION = re.compile(r"(?i)\bmoderat|\bsafety\b|SAFETY\.")


# --- identifiers ---------------------------------------------------------------------------------------------


def owner_of(identifier: str) -> str | None:
    """Return the e-mail of the account in a long id of a task or an asset; None if it is not such an id.

    An e-mail and a UUID may both contain `-`, so the id is not split at it (reference 4).
    """
    start = identifier.find("-runwayml:")
    end = max(identifier.rfind("-task:"), identifier.rfind("-asset:"))
    if not identifier.startswith("user:") or start < 0 or end <= start:
        return None
    return identifier[start + len("-runwayml:") : end] or None


def shorten_account(email: str) -> str:
    """Format an account for display: an e-mail is personal, and outputs are shared."""
    name, at, host = email.partition("@")
    return f"{name[: 2 if len(name) > 2 else 1]}…{at}{host}" if at else email


def shorten_accounts(emails: Iterable[str]) -> dict[str, str]:
    """Format several accounts for one list, by e-mail: those that would look alike show more until they differ."""
    shown = {email: shorten_account(email) for email in emails}
    length = 2
    while alike := _alike(shown):
        length += 1
        for email in alike:
            name, _, host = email.partition("@")
            shown[email] = f"{name[:length]}…@{host}" if length < len(name) else email
    return shown


def _alike(shown: Mapping[str, str]) -> list[str]:
    """Return the e-mails that are still shortened, and whose short form is that of another one or begins one."""
    return [
        email
        for email, short in shown.items()
        if short != email
        and any(
            other != email and (short.startswith(another) or another.startswith(short))
            for other, another in shown.items()
        )
    ]


def shorten_id(identifier: str) -> str:
    """Format a long id for display, with the account and the UUID shortened."""
    owner = owner_of(identifier)
    if owner is None:
        return f"{identifier[:20]}…" if len(identifier) > 24 else identifier
    kind = "task" if identifier.rfind("-task:") > identifier.rfind("-asset:") else "asset"
    return f"{shorten_account(owner)} {kind} {identifier.rpartition(':')[2][:8]}"


# --- values --------------------------------------------------------------------------------------------------


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A result file of a task.

    Attributes:
        asset_id: Long id, with which another task can use it; empty if the service states none.
        id: Bare UUID.
        url: Signed link to the file, which expires; None if there is none.
        filename: Its name at the service.
        file_size_bytes: Its size; None if it is not stated. It arrives as a text.
        width: Pixels; None if it is not stated.
        height: Pixels; None if it is not stated.
        duration_s: Seconds of a video; None for an image.
        raw: The object as it came.
    """

    asset_id: str
    id: str
    url: str | None
    filename: str
    file_size_bytes: int | None
    width: int | None
    height: int | None
    duration_s: float | None
    raw: Json = field(repr=False)

    @property
    def kind(self) -> str:
        """`image`, `video` or `audio`; `media` if neither the name nor the metadata tells."""
        ending = self.filename.rpartition(".")[2].lower()
        for kind, endings in _ENDINGS.items():
            if ending in endings:
                return kind
        return "video" if self.duration_s and self.width else "media"


_ENDINGS = {
    "image": {"png", "jpg", "jpeg", "webp", "gif"},
    "video": {"mp4", "mov", "webm", "mkv", "avi"},
    "audio": {"mp3", "wav", "flac", "ogg", "m4a"},
}


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class UseApiTask:
    """A task as the service reports it.

    Attributes:
        task_id: Long id.
        status: In upper case, such as `RUNNING`; empty if the response of a create call states none.
        progress: 0 to 1; None if it is not stated. It arrives as a text.
        progress_text: What the service says about it; None if it says nothing.
        starts_in_s: Estimated seconds until it starts; None if that is not stated.
        error: Reason of a failure, as text; None without one.
        error_code: Code of a failure, such as `SAFETY.INPUT.TEXT`; None without one.
        artifacts: Its results.
        reply_ref: The caller's reference; None if the service does not repeat it.
        created_at: ISO 8601 text; None if it is not stated.
        task_type: The service's word for its kind.
        options: Parameters as the service repeats them.
        raw: The object as it came.
    """

    task_id: str
    status: str
    progress: float | None
    progress_text: str | None
    starts_in_s: float | None
    error: str | None
    error_code: str | None
    artifacts: tuple[Artifact, ...]
    reply_ref: str | None
    created_at: str | None
    task_type: str
    options: Json = field(repr=False)
    raw: Json = field(repr=False)

    @property
    def is_final(self) -> bool:
        """Whether it has ended. An unknown status counts as one in progress."""
        return self.status in _FINAL

    @property
    def has_failed(self) -> bool:
        """Whether it has ended without a result."""
        return self.status in _FAILED

    @property
    def is_complete(self) -> bool:
        """Whether it has ended and nothing more will come: it failed, or each of its results has a link."""
        has_all = bool(self.artifacts) and all(artifact.url is not None for artifact in self.artifacts)
        return self.has_failed or (self.is_final and has_all)

    @property
    def is_waiting(self) -> bool:
        """Whether Runway holds it in a queue."""
        return self.status == "THROTTLED"

    @property
    def account(self) -> str | None:
        """E-mail of the account that serves it; None if the id does not tell."""
        return owner_of(self.task_id)


@short_repr()
@dataclass(frozen=True, slots=True)
class ScheduledTask:
    """A task that the service tracks now.

    Attributes:
        task_id: Long id.
        reply_ref: The caller's reference; None if there is none.
    """

    task_id: str
    reply_ref: str | None

    @property
    def account(self) -> str | None:
        """E-mail of the account that serves it."""
        return owner_of(self.task_id)


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """An uploaded file, or the result of a task, as an input for others.

    Attributes:
        asset_id: Long id.
        name: The name given with the upload.
        url: Signed link to the file, which expires; None if there is none.
        file_size_bytes: Its size; None if it is not stated.
        raw: The object as it came.
    """

    asset_id: str
    name: str
    url: str | None
    file_size_bytes: int | None
    raw: Json = field(repr=False)

    @property
    def account(self) -> str | None:
        """E-mail of the account that owns it."""
        return owner_of(self.asset_id)


@short_repr()
@dataclass(frozen=True, slots=True)
class Features:
    """The plan of one Runway account.

    Attributes:
        plan_credits: Credits of the plan; None if they are not stated.
        used_credits: Credits used; None if they are not stated.
        raw: The object as it came.
    """

    plan_credits: float | None
    used_credits: float | None
    raw: Json = field(repr=False)

    @property
    def credits_left(self) -> float | None:
        """Credits left, as the plan's credits without those used; None if one of the two is not stated."""
        if self.plan_credits is None or self.used_credits is None:
            return None
        return self.plan_credits - self.used_credits


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformAccount:
    """The account at useapi.net itself.

    Attributes:
        name: Its name; empty if there is none.
        is_active: Whether the subscription is active; None if that is not stated.
        most_accounts: Runway accounts that the subscription allows; None if that is not stated.
        accounts: Number of configured accounts by service, and of those with an error.
        reply_url: URL that is called by default when a task changes; None if there is none.
    """

    name: str
    is_active: bool | None
    most_accounts: int | None
    accounts: Mapping[str, Any]
    reply_url: str | None = field(repr=False)


# --- parsing -------------------------------------------------------------------------------------------------


def parse_json(body: bytes) -> Any:
    """Parse a body; return None if it is not JSON, as many of the service's 404 and 5xx bodies are."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def parse_task(answer: Any, what: str) -> UseApiTask:
    """Parse a task, with its fields at the top or inside `task`: both forms are in use (reference 6.1).

    Args:
        answer: A parsed response.
        what: What it is, for the error.

    Raises:
        ProtocolError: It has no `taskId`. The bare `id` is not used in its place, since it is another id.
    """
    item = answer if isinstance(answer, dict) else {}
    nested = item.get("task")
    if not _text(item.get("taskId")) and isinstance(nested, dict):
        item = nested
    task_id = _text(item.get("taskId"))
    if not task_id:
        raise ProtocolError(f"{what} has no taskId", frame=json.dumps(answer, default=str))
    error, code = _reason(item.get("error"))
    artifacts = item.get("artifacts")
    progress = _number(item.get("progressRatio"))
    options = item.get("options")
    return UseApiTask(
        task_id=task_id,
        status=str(item.get("status") or "").upper(),
        progress=None if progress is None else min(max(progress, 0.0), 1.0),
        progress_text=_text(item.get("progressText")),
        starts_in_s=_number(item.get("estimatedTimeToStartSeconds")),
        error=error,
        error_code=code,
        artifacts=tuple(_artifact(each) for each in artifacts if isinstance(each, dict))
        if isinstance(artifacts, list)
        else (),
        reply_ref=_text(item.get("replyRef")),
        created_at=_text(item.get("createdAt")),
        task_type=str(item.get("taskType") or ""),
        options=options if isinstance(options, dict) else {},
        raw=item,
    )


def parse_tasks(answer: Any) -> list[UseApiTask]:
    """Parse a list of tasks: an array, or an object with a `tasks` array (reference 5).

    Raises:
        ProtocolError: It is neither.
    """
    items = answer.get("tasks") if isinstance(answer, dict) else answer
    if not isinstance(items, list):
        raise ProtocolError("The list of tasks is not an array", frame=json.dumps(answer, default=str))
    return [parse_task(item, "A task of the list") for item in items]


def parse_scheduler(answer: Any) -> list[ScheduledTask]:
    """Parse the list of tracked tasks.

    Raises:
        ProtocolError: It is not an array.
    """
    if not isinstance(answer, list):
        raise ProtocolError("The list of the scheduler is not an array", frame=json.dumps(answer, default=str))
    items = [item for item in answer if isinstance(item, dict) and _text(item.get("taskId"))]
    return [ScheduledTask(item["taskId"], _text(item.get("replyRef"))) for item in items]


def parse_asset(answer: Any) -> Asset:
    """Parse an asset. Uploads and lists have different fields (reference 7).

    Raises:
        ProtocolError: It has no `assetId`.
    """
    item = answer if isinstance(answer, dict) else {}
    nested = item.get("asset")
    if not _text(item.get("assetId")) and isinstance(nested, dict):
        item = nested
    asset_id = _text(item.get("assetId"))
    if not asset_id:
        raise ProtocolError("The response about an asset has no assetId", frame=json.dumps(answer, default=str))
    return Asset(
        asset_id=asset_id, name=str(item.get("name") or ""), url=_text(item.get("url")),
        file_size_bytes=_integer(item.get("fileSize")), raw=item,
    )  # fmt: skip


def parse_features(answer: Any) -> Features:
    """Parse the plan of an account.

    Raises:
        ProtocolError: It is not an object.
    """
    if not isinstance(answer, dict):
        raise ProtocolError("The response of /features is not an object", frame=json.dumps(answer, default=str))
    permitted, used = (_object(answer.get(name)).get("numPlanCredits") for name in ("permitted", "used"))
    return Features(_number(permitted), _number(used), answer)


def parse_platform(answer: Any) -> PlatformAccount:
    """Parse the platform account, without its e-mail.

    Raises:
        ProtocolError: It is not an object.
    """
    if not isinstance(answer, dict):
        raise ProtocolError("The response of /v2/account is not an object")
    active = answer.get("subscriptionIsActive")
    return PlatformAccount(
        name=str(answer.get("name") or ""),
        is_active=active if isinstance(active, bool) else None,
        most_accounts=_integer(answer.get("maxAccountsPerAPI")),
        accounts=_object(answer.get("accounts")),
        reply_url=_text(answer.get("replyUrl")),
    )


def _artifact(item: Json) -> Artifact:
    """Build an artifact from either form of its metadata: `width` and `height`, or `dimensions` (reference 5)."""
    metadata = _object(item.get("metadata"))
    size = metadata.get("dimensions") or metadata.get("size")
    sides = size if isinstance(size, list) and len(size) == 2 else [metadata.get("width"), metadata.get("height")]
    return Artifact(
        asset_id=_text(item.get("assetId")) or "",
        id=_text(item.get("id")) or "",
        url=_text(item.get("url")),
        filename=str(item.get("filename") or ""),
        file_size_bytes=_integer(item.get("fileSize")),
        width=_integer(sides[0]),
        height=_integer(sides[1]),
        duration_s=_number(metadata.get("duration")),
        raw=item,
    )


def _reason(value: Any) -> tuple[str | None, str | None]:
    """Return the text and the code of an `error`: null, a text, or an object (reference 5)."""
    if isinstance(value, Mapping):
        names = ("errorMessage", "message", "error", "reason")
        text = next((value[name] for name in names if _text(value.get(name))), None)
        codes = ("reason", "code", "moderation_category")
        code = next((str(value[name]) for name in codes if value.get(name) not in (None, "")), None)
        return text or json.dumps(value, default=str)[:_LONGEST_TEXT], code
    return (_text(value), None) if value is not None else (None, None)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    """Return a finite number, also from a text; None without one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _integer(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


# --- errors --------------------------------------------------------------------------------------------------


def error_of_response(
    response: HttpResponse, *, creates: bool = False, posts_account: bool = False
) -> TaskError | None:
    """Build the error that a response states; None if its body is not an error of the service.

    A body without `error` comes from a gateway, or from a 404 whose body is a sentence or empty. Only the caller knows
    what that means for its call.

    Args:
        response: With a status of 400 or more.
        creates: Whether the call starts a task.
        posts_account: Whether the call creates or updates an account, where 401 has three meanings (reference 2.3).
    """
    answer = parse_json(response.body)
    if not isinstance(answer, dict) or answer.get("error") in (None, ""):
        return None
    text, code = _reason(answer["error"])
    details = _text(answer.get("errorDetails"))
    said = (text or "no reason given")[:_LONGEST_TEXT]
    if details and details != text:
        said = f"{said} ({details[:_LONGEST_TEXT]})"
    said = known_secrets.redact(said)  # a service may repeat what it was sent
    wait_s = _wait_s(response, answer) if response.status == 429 else None
    return build_error(
        response.status, said, code=code, creates=creates, posts_account=posts_account, retry_after_s=wait_s
    )


def build_error(
    status: int,
    said: str,
    *,
    code: str | None = None,
    creates: bool = False,
    posts_account: bool = False,
    retry_after_s: float | None = None,
) -> TaskError:
    """Build an error from a status, which is any integer, and the service's words.

    Args:
        status: HTTP status.
        said: What the service says.
        code: The service's code inside an error object; None without one.
        creates: See `error_of_response`.
        posts_account: See `error_of_response`.
        retry_after_s: Seconds that the service asks to wait.
    """
    quoted = said.strip().rstrip(".")
    not_sent = " The task was not started, and nothing was charged." if creates else ""
    kind: type[TaskError] = TaskFailed
    remedy: Remedy | None = None
    sentence = f"useapi.net refused the request with status {status}: {quoted}."
    if posts_account and status == 401:
        kind, sentence = _account_refusal(quoted)
    elif status == 401:
        kind = AuthenticationFailed
        sentence = f"useapi.net does not accept the API token: {quoted}. Check the token in USEAPI_TOKEN."
    elif status == 402:
        kind = OutOfCredit
        sentence = f"The useapi.net subscription is missing or has expired: {quoted}. Renew it at useapi.net."
    elif status == 404 and creates:
        kind = TaskInvalid
        sentence = f"useapi.net does not know the account or an asset of this task: {quoted}."
    elif status in {404, 410}:
        kind = TaskNotFound
        sentence = f"useapi.net does not know it, or has deleted it: {quoted}."
    elif status == 412:
        kind = OutOfCredit
        sentence = f"The Runway account cannot pay for the task: {quoted}."
        remedy = _NO_CREDITS
    elif status == 422:
        kind = ContentRefused
        sentence = (
            f"Runway's moderation refused the prompt or an input: {quoted}. Change it. Repeated refusals can get the "
            "Runway account suspended."
        )
    elif status == 429:
        kind = RateLimited
        sentence = f"No Runway account has a free slot: {quoted}."
    elif status == 596:
        sentence = f"useapi.net cannot use the Runway account: {quoted}."
        remedy = _BROKEN_SESSION
    elif status == 400:
        kind = TaskInvalid
        sentence = f"useapi.net refused a parameter: {quoted}."
    elif status == 403:
        sentence = (
            f"useapi.net denied access: {quoted}. The prompt may be moderated, or the item belongs to another user."
        )
    elif status >= 500 or status == 408:
        kind = ProviderFailed
        sentence = f"useapi.net or Runway failed with status {status}: {quoted}."
    error = kind(sentence + not_sent, code=code or str(status), http_status=status, retry_after_s=retry_after_s)
    error.raw = {"status": status, "error": said} | ({"code": code} if code else {})
    return error if remedy is None else error.with_remedy(remedy)


def _account_refusal(quoted: str) -> tuple[type[TaskError], str]:
    """Return the class and the sentence for a 401 of the call that posts an account (reference 2.3)."""
    words = quoted.lower()
    if words == "unauthorized":
        return AuthenticationFailed, (
            f"useapi.net does not accept the API token: {quoted}. Check the token in USEAPI_TOKEN."
        )
    if "password" in words:
        return TaskInvalid, (
            f"Runway refused the login: {quoted}. The API token is fine. Check the e-mail and the password. Accounts "
            "that sign in with Google, Apple or SSO do not work."
        )
    if "suspended" in words:
        return TaskFailed, f"Runway has suspended this account: {quoted}. The API token is fine. Ask Runway's support."
    return AuthenticationFailed, (
        f"useapi.net or Runway refused the login: {quoted}. Check the API token, the e-mail and the password."
    )


def error_of_task(task: UseApiTask, task_uuid: str) -> TaskError:
    """Build the error of a task that was accepted and has ended without a result."""
    said = (task.error or "no reason given").strip().rstrip(".")[:_LONGEST_TEXT]
    is_moderated = bool(_MODERATION.search(f"{task.error_code or ''} {task.error or ''}"))
    if is_moderated:
        error: TaskError = ContentRefused(
            f"Runway's moderation stopped the task: {said}. Change the prompt or the inputs. Repeated refusals can get "
            "the Runway account suspended.",
            task_uuid=task_uuid,
            code=task.error_code or "moderated",
        )
    elif task.has_failed:
        error = TaskFailed(f"Runway failed the task: {said}.", task_uuid=task_uuid, code=task.error_code or task.status)
    else:
        error = TaskFailed(
            "Runway reports that the task succeeded, and returned no result. It may have been charged.",
            task_uuid=task_uuid, code="noArtifacts",
        )  # fmt: skip
    error.raw = {"status": task.status, "error": task.raw.get("error"), "taskId": task.task_id}
    return error


def _wait_s(response: HttpResponse, answer: Json) -> float | None:
    """Return the seconds that a 429 asks to wait: from its header, else from its body (reference 10)."""
    from_header = retry_after_s(response.headers)
    if from_header is not None:
        return from_header
    value = answer.get("retryAfter")
    seconds = _number(value)
    if seconds is not None:
        return max(0.0, seconds)
    if not isinstance(value, str):
        return None
    try:
        at = dt.datetime.fromisoformat(value)
    except ValueError:
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=dt.UTC)
    return max(0.0, (at - dt.datetime.now(dt.UTC)).total_seconds())
