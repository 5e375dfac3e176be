"""Which error class a service's code means; first rule that fits wins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.parsing import as_identifier
from ...errors import (
    AuthenticationFailed,
    ContentRefused,
    MediumExpired,
    OutOfCredit,
    ProviderFailed,
    RateLimited,
    TaskError,
    TaskFailed,
    TaskInvalid,
    TaskNotFound,
)
from ...reprs import shortened

__all__ = ["CONFLICT", "classify", "task_error"]

CONFLICT = "conflictTaskUUID"
_LONGEST_MESSAGE = 2000
"""Characters of a message that a cell shows; `raw` has all of it."""

_MONEY = {"quotaExceeded", "paymentRequired", "environmentPaused"}
_SAFETY = {
    "invalidProviderContent", "contentPolicyViolation", "providerContentPolicyViolation",
    "sensitiveContentDetected", "unsafeContentDetected", "nsfwContentDetected", "promptBlocked",
    "imageBlocked", "moderationFailed", "contentModeration",
}  # fmt: skip
_KEY = {
    "unauthorized", "forbidden", "permissionDenied", "insufficientPermissions", "authenticationFailed",
    "invalidAuthentication", "invalidCredentials", "missingAuthentication", "tokenExpired", "tokenInvalid",
    "tokenMissing", "tokenRevoked", "accountSuspended", "accountDisabled",
}  # fmt: skip
_NO_MEDIUM = {"mediaNotFound", "mediaExpired", "imageNotFound", "imageExpired"}
_NOT_FOUND = {"taskFailedOrNotFound", "taskCancelled", "unknownModel"}
_TRANSIENT = {
    "inferenceError", "processingFailed", "downloadFailed", "uploadFailed", "noAvailableServer",
    "modelUnavailable", "modelNotReady", "mediaStorageFileCouldNotBeMoved", "failedToTransferImage",
    "internalServerError", "serviceUnavailable", "serverUnavailable", "standardError", "unknownError",
    "undefinedError", "defaultError", "unrecognizedResponse", "errorRetrievingAccountManagement",
    "serverError",
}  # fmt: skip
_REQUEST_STARTS = ("invalid", "missing", "conflict", "duplicate", "unsupported", "value", "array", "max")
_REQUEST = {
    "unknownParameter", "incompatibleParameters", "mismatchProviderSettingsProvider",
    "unknownProviderSettingsProvider", "transparentModelMismatch", "modelOwnershipValidationError",
    "modelAlreadyExists", "modelDisabled",
}  # fmt: skip
_BY_STATUS: dict[int, type[TaskError]] = {
    400: TaskInvalid, 401: AuthenticationFailed, 402: OutOfCredit, 403: AuthenticationFailed,
    404: TaskNotFound, 409: TaskInvalid, 429: RateLimited,
}  # fmt: skip


def classify(code: str, http_status: int | None = None) -> type[TaskError]:
    """Say which class an error code belongs to.

    Args:
        code: The service's code. Its catalogue is still growing, so families count, not only names.
        http_status: Used when the code says nothing.

    Source:
        Runware reference 4.2 and 4.3; unlike the vendor's SDK, every documented timeout is transient.
    """
    if any(word in code for word in ("Credits", "Quota", "Balance")) or code in _MONEY:
        return OutOfCredit
    if "ateLimit" in code:
        return RateLimited
    if code in _SAFETY:
        return ContentRefused
    if code in _KEY or "ApiKey" in code or code.startswith(("organization", "workspace")):
        return AuthenticationFailed
    if "imeout" in code or code in _TRANSIENT - {"unknownError"}:
        return ProviderFailed
    if code in _NO_MEDIUM:  # it is about an input, and says nothing about whether the service knows the task
        return MediumExpired
    if code in _NOT_FOUND or code.endswith(("NotFound", "Expired")):
        return TaskNotFound
    if code.startswith("provider"):
        return ProviderFailed
    if code.startswith(_REQUEST_STARTS) or "Conflict" in code or code in _REQUEST:
        return TaskInvalid
    if http_status is not None and http_status >= 500:
        return ProviderFailed
    by_status = _BY_STATUS.get(http_status or 0)
    return by_status or (ProviderFailed if code in _TRANSIENT else TaskFailed)


def task_error(
    item: Mapping[str, Any], *, http_status: int | None = None, retry_after_s: float | None = None
) -> TaskError:
    """Make the exception for one error object, with everything it says kept."""
    code = as_identifier(item.get("code")) or ""
    parameter = item.get("parameter")
    if isinstance(parameter, list):
        parameter = parameter[0] if parameter else None
    allowed = item.get("allowedValues")
    return classify(code, http_status)(
        shortened(str(item.get("message") or code or "the service gave no reason"), _LONGEST_MESSAGE),
        task_uuid=as_identifier(item.get("taskUUID")) or "",
        code=code,
        parameter=None if parameter is None else shortened(str(parameter), _LONGEST_MESSAGE),
        allowed_values=allowed if isinstance(allowed, list) else (),
        documentation=item["documentation"] if isinstance(item.get("documentation"), str) else None,
        http_status=http_status,
        retry_after_s=retry_after_s,
        raw=item,
    )
