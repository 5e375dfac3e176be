"""Verification of RunKey's callbacks: HMAC-SHA256 over the very bytes of the body.

RunKey's page names the header, the algorithm and the secret. It does not state which bytes are signed, and its example
has a `signature` inside the body that it signs, which is impossible for one value over the whole body. Of the readings
that are possible, two verify the header over the raw body. This module does so, and trusts nothing else by default.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from ...core.redaction import HiddenText, known_secrets
from ...errors import ConfigError
from ...printable import printable
from ...settings import Key
from ..webhook import CallbackRefused, Headers, VerifiedCallback

__all__ = ["EVENTS", "HEADER", "CallbackStale", "SignatureVerifier"]

HEADER = "X-RunKey-Signature"
EVENTS = frozenset({"task.completed", "task.failed"})
"""The events of the page. A further one is acknowledged and ignored."""
MAX_AGE_S = 300.0
_MEMBER = "signature"
_PREFIXED = re.compile(r"sha256=([0-9A-Fa-f]{64})")
_BARE = re.compile(r"([0-9A-Fa-f]{64})")


class CallbackStale(CallbackRefused):
    """A callback is signed correctly, and its timestamp is too old or too far ahead. It may be a replay."""


class SignatureVerifier:
    """Verifies callbacks of RunKey.

    Args:
        secrets: The webhook secret, or several while it is being replaced.
        max_age_s: How far the timestamp of a callback may be from now, in seconds; None for no limit. RunKey does not
            state whether it sends a callback again later, and with which timestamp.
        accepts_bare: Whether a header without `sha256=` is accepted.
        accepts_body_member: Whether a callback without the header is accepted if the `signature` in its body fits the
            body without it, written compactly in the same order. This follows an unconfirmed reading of the page, and a
            sender can then choose it. It is never tried if the header is present.
        now: Returns the time in seconds since 1970.

    Raises:
        ConfigError: There is no secret, or one is empty.
    """

    def __init__(
        self,
        secrets: str | Key | Sequence[str | Key],
        *,
        max_age_s: float | None = MAX_AGE_S,
        accepts_bare: bool = False,
        accepts_body_member: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        listed = (secrets,) if isinstance(secrets, str | Key) else tuple(secrets)  # a text is not a list of letters
        self._secrets = tuple(_hidden(secret) for secret in listed)
        if not self._secrets:
            raise ConfigError("The signature of callbacks cannot be verified without a webhook secret.")
        if max_age_s is not None and not max_age_s > 0:
            raise ConfigError(f"Invalid max_age_s {max_age_s:g}: expected more than 0 s, or None for no limit.")
        self._max_age_s = max_age_s
        self._shape = re.compile(f"{_PREFIXED.pattern}|{_BARE.pattern}") if accepts_bare else _PREFIXED
        self._accepts_body_member = accepts_body_member
        self._now = now

    def __repr__(self) -> str:
        count = len(self._secrets)
        return printable(f"<{type(self).__name__} with {count} secret{'' if count == 1 else 's'}>")

    def verify(self, headers: Headers, body: bytes) -> VerifiedCallback:
        """Return what a callback is about.

        Args:
            headers: Names, in any case, and values of the headers as they arrived.
            body: The bytes of the body as they arrived: not decoded, not stripped, not parsed and written again.

        Raises:
            CallbackStale: The timestamp is too far from now.
            CallbackRefused: The signature is missing or wrong, or the body is not a callback.
        """
        values = [value for name, value in headers if name.lower() == HEADER.lower()]
        if values:
            self._check_header(values, body)  # if the header is present, it alone decides
        elif self._accepts_body_member:
            self._check_body_member(body)
        else:
            raise _untrusted(f"it has no header {HEADER}")
        # Nothing of the body was parsed before this point, unless the compatibility mode was turned on.
        return self._read(_parsed(body))

    def _check_header(self, values: Sequence[str], body: bytes) -> None:
        if len(values) > 1:
            raise _untrusted(f"it has more than one header {HEADER}")
        value = values[0].strip(" \t")
        if not value:
            raise _untrusted(f"its header {HEADER} is empty")
        match = self._shape.fullmatch(value)
        if match is None:
            raise _untrusted(f"its header {HEADER} is not `sha256=` and 64 hexadecimal digits")
        self._compare(next(digits for digits in match.groups() if digits), body)

    def _check_body_member(self, body: bytes) -> None:
        payload = _parsed(body)
        member = payload.pop(_MEMBER, None)
        match = _PREFIXED.fullmatch(member) if isinstance(member, str) else None
        if match is None:
            raise _untrusted(f"it has neither a header {HEADER} nor a `{_MEMBER}` of the right form in its body")
        try:
            written = json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            raise _untrusted("its body cannot be written again") from None
        self._compare(match[1], written)

    def _compare(self, digits: str, signed: bytes) -> None:
        """Compare a signature with that of each secret, in a time that tells nothing about them.

        Raises:
            CallbackRefused: It is that of none.
        """
        given = bytes.fromhex(digits)
        fits = False
        for secret in self._secrets:  # all of them, without an early exit
            fits |= hmac.compare_digest(hmac.digest(secret.encode(), signed, hashlib.sha256), given)
        if not fits:
            raise _untrusted("its signature is wrong")

    def _read(self, payload: dict[str, Any]) -> VerifiedCallback:
        """Return what a trusted body is about.

        Raises:
            CallbackStale: The timestamp is too far from now.
            CallbackRefused: It is not a callback.
        """
        event, timestamp, data = (payload.get(name) for name in ("event", "timestamp", "data"))
        task_id = data.get("task_id") if isinstance(data, dict) else None
        if not (
            isinstance(event, str) and isinstance(timestamp, str) and isinstance(task_id, str) and event and task_id
        ):
            raise CallbackRefused(
                400, "The callback has no text `event`, no text `timestamp` or no text `task_id` in `data`."
            )
        if event not in EVENTS:
            return VerifiedCallback(event)
        if self._max_age_s is not None:
            age_s = self._now() - _seconds(timestamp)
            if abs(age_s) > self._max_age_s:
                where = "ago" if age_s > 0 else "ahead"
                raise CallbackStale(
                    401,
                    f"The callback is stale: its timestamp is {abs(age_s):.0f} s {where}, and {self._max_age_s:g} s "
                    "are allowed. It may be a replay, or the clock of this machine may be wrong.",
                )
        return VerifiedCallback(event, (task_id,))


def _hidden(secret: str | Key) -> HiddenText:
    """Return a secret that does not show itself, and is redacted everywhere.

    Raises:
        ConfigError: It is empty. HMAC accepts an empty key, and anybody could sign with it.
    """
    text = secret.reveal() if isinstance(secret, Key) else secret
    if not text.strip():
        raise ConfigError("The webhook secret is empty. Set it to the secret that RunKey.ai shows.")
    known_secrets.add(str(text))
    return HiddenText(text, "<webhook secret>")


def _untrusted(why: str) -> CallbackRefused:
    """Build the refusal of a callback that cannot be trusted. It contains neither a signature nor a secret."""
    return CallbackRefused(401, f"The callback cannot be trusted: {why}.")


def _parsed(body: bytes) -> dict[str, Any]:
    """Parse a body.

    Raises:
        CallbackRefused: It is not a JSON object.
    """
    try:
        payload = json.loads(body.decode())  # decoded here, because `json` would also accept UTF-16
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise CallbackRefused(400, "The body of the callback is not a JSON object.")
    return payload


def _seconds(timestamp: str) -> float:
    """Return a timestamp in seconds since 1970.

    Raises:
        CallbackRefused: It is not a time with a time zone.
    """
    try:
        moment = datetime.fromisoformat(timestamp)
        if moment.tzinfo is None:
            raise ValueError(timestamp)
        return moment.timestamp()
    except (ValueError, OverflowError):
        raise CallbackRefused(
            400, "The timestamp of the callback is not a time with a time zone, such as 2026-03-23T00:00:10Z."
        ) from None
