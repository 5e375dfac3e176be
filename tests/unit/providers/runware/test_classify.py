import pytest

from runware_nb.errors import (
    AuthenticationFailed,
    ContentRefused,
    MediumExpired,
    OutOfCredit,
    ProviderFailed,
    RateLimited,
    TaskFailed,
    TaskInvalid,
    TaskNotFound,
)
from runware_nb.providers.runware.classify import classify, task_error


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("invalidApiKey", AuthenticationFailed), ("missingApiKey", AuthenticationFailed),
        ("tokenRevoked", AuthenticationFailed), ("organizationDisabled", AuthenticationFailed),
        ("insufficientCredits", OutOfCredit), ("quotaExceeded", OutOfCredit), ("lowBalance…Balance", OutOfCredit),
        ("rateLimitExceeded", RateLimited), ("providerRateLimitExceeded", RateLimited),
        ("invalidProviderContent", ContentRefused), ("contentModeration", ContentRefused),
        ("timeoutProvider", ProviderFailed), ("failedProviderTimeout", ProviderFailed),
        ("gatewayTimeout", ProviderFailed), ("providerError", ProviderFailed), ("inferenceError", ProviderFailed),
        ("failedToTransferImage", ProviderFailed), ("serverError", ProviderFailed),
        ("internalServerError", ProviderFailed), ("noAvailableServer", ProviderFailed),
        ("taskNotFound", TaskNotFound), ("mediaExpired", MediumExpired), ("mediaNotFound", MediumExpired), ("taskFailedOrNotFound", TaskNotFound),
        ("unknownModel", TaskNotFound), ("providerNotFound", TaskNotFound),
        ("invalidWidth", TaskInvalid), ("missingPositivePrompt", TaskInvalid), ("unsupportedParameter", TaskInvalid),
        ("conflictTaskUUID", TaskInvalid), ("valueTooLarge", TaskInvalid), ("unknownParameter", TaskInvalid),
        ("somethingNew", TaskFailed),
    ],
)  # fmt: skip
def test_a_code_says_what_the_reader_can_do(code, expected):
    assert classify(code) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, TaskInvalid), (401, AuthenticationFailed), (402, OutOfCredit), (403, AuthenticationFailed),
     (404, TaskNotFound), (429, RateLimited), (500, ProviderFailed), (503, ProviderFailed)],
)  # fmt: skip
def test_the_status_decides_where_the_code_says_nothing(status, expected):
    assert classify("somethingNew", status) is expected


def test_everything_the_service_said_is_kept():
    item = {
        "code": "invalidWidth", "message": "too wide", "parameter": ["width", "height"], "taskUUID": "u",
        "allowedValues": [512, 1024], "documentation": "https://x", "type": "integer",
    }  # fmt: skip
    error = task_error(item, http_status=400, retry_after_s=2.0)
    assert isinstance(error, TaskInvalid)
    assert (str(error), error.code, error.parameter, error.allowed_values) == (
        "too wide", "invalidWidth", "width", (512, 1024),
    )  # fmt: skip
    assert (error.documentation, error.task_uuid, error.http_status, error.retry_after_s) == (
        "https://x",
        "u",
        400,
        2.0,
    )
    assert error.raw == item


def test_an_error_without_a_message_still_says_something():
    assert str(task_error({})) == "the service gave no reason"


@pytest.mark.parametrize("code", ["rateLimitExceeded", "timeoutProvider", "internalServerError"])
def test_transient_failures_are_retryable(code):
    assert task_error({"code": code}).retryable


@pytest.mark.parametrize("code", ["invalidWidth", "invalidApiKey", "insufficientCredits", "promptBlocked"])
def test_failures_that_repeat_are_not_retryable(code):
    assert not task_error({"code": code}).retryable
