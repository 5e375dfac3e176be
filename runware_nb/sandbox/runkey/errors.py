"""Errors of the RunKey service, with the HTTP status that goes with each code."""

from __future__ import annotations

__all__ = ["CODES", "STATUSES", "Refused"]

CODES = {
    40001: "Invalid or missing API key.",
    40002: "Insufficient credits.",
    40003: "Rate limit exceeded.",
    40004: "Template not found.",
    40005: "Invalid input parameters.",
    40006: "Task not found.",
    50001: "Internal error.",
    50002: "No GPU available.",
    50003: "Execution timed out.",
}
"""All error codes, with a text for each. The codes and their meanings are documented, the texts are ours."""

STATUSES = {
    40001: 401, 40002: 403, 40003: 429, 40004: 404, 40005: 400, 40006: 404, 50001: 500, 50002: 503, 50003: 500,
}  # fmt: skip
"""HTTP status by code. Only 429 for 40003 is documented, see section 8 of the reference."""


class Refused(Exception):
    """The service refuses a request.

    Args:
        code: Error code.
        msg: Text; None for the usual one.
        status: HTTP status; None for the one that goes with the code.
        retry_after_s: Seconds of the protocol to wait, for 40003.
    """

    def __init__(
        self, code: int, msg: str | None = None, *, status: int | None = None, retry_after_s: int | None = None
    ) -> None:
        super().__init__(msg or CODES.get(code, "Error."))
        self.code = code
        self.status = status
        self.retry_after_s = retry_after_s
