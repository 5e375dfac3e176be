"""Responses that report an error."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

__all__ = ["Refused", "not_found", "refusal"]


class Refused(Exception):
    """The service refuses the request.

    Attributes:
        status: HTTP status, also `code` of the body.
        message: Text of `error`.
        retry_after_s: Delay that the response advises, in seconds; None for the service's default.
        form: Form of the body: `json`, `text`, or `empty`.
    """

    def __init__(self, status: int, message: str, *, retry_after_s: float | None = None, form: str = "json") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s
        self.form = form


def not_found(form: str, message: str = "Not found.") -> Refused:
    """Build the refusal of something that does not exist."""
    return Refused(404, message, form=form)


def refusal(refused: Refused, *, retry_after: str, now: float) -> Response:
    """Build the response.

    Args:
        refused: The error.
        retry_after: Where a 429 states its delay: `none`, `header`, `body`, or `both`.
        now: Seconds since the epoch.
    """
    if refused.form == "empty":
        return Response(status_code=refused.status)
    if refused.form == "text":
        return PlainTextResponse(refused.message, refused.status)
    body: dict[str, Any] = {"error": refused.message, "code": refused.status}
    headers: dict[str, str] = {}
    if refused.status == 429:
        where = "header" if refused.retry_after_s is not None and retry_after == "none" else retry_after
        delay_s = 10.0 if refused.retry_after_s is None else refused.retry_after_s
        if where in {"header", "both"}:
            headers["Retry-After"] = f"{delay_s:g}"
        if where in {"body", "both"}:
            at = datetime.fromtimestamp(now, UTC) + timedelta(seconds=delay_s)
            body["retryAfter"] = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return JSONResponse(body, refused.status, headers)
