"""Signed callbacks: the bytes, the header, and what faults do to them."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

from .behaviour import Behaviour

__all__ = ["Callback", "build_callback", "signature_of", "spoil"]

Json = dict[str, Any]
HEADER = "X-RunKey-Signature"
_TIMESTAMP_HEADER = "X-RunKey-Timestamp"


@dataclass(frozen=True)
class Callback:
    """One callback as it is sent.

    Attributes:
        body: The very bytes that were signed.
        headers: HTTP headers.
    """

    body: bytes
    headers: dict[str, str]


def signature_of(body: bytes, secret: str) -> str:
    """Return the signature of bytes: `sha256=` and 64 hexadecimal digits."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def build_callback(payload: Json, secret: str, behaviour: Behaviour) -> Callback:
    """Build a callback. It is serialized once, and these bytes are signed and sent.

    Args:
        payload: `event`, `timestamp` and `data`.
        secret: Webhook secret.
        behaviour: Decides what is signed and how the header looks, see section 7 of the reference.
    """
    plain = _compact(payload)
    scheme = behaviour.webhook_scheme
    if scheme == "header-only":
        body, header = plain, signature_of(plain, secret)
    else:
        member = signature_of(_compact(payload["data"]) if scheme == "data" else plain, secret)
        body = plain[:-1] + b',"signature":"' + member.encode() + b'"}'
        header = signature_of(body, secret) if scheme == "body" else member
    if behaviour.webhook_header == "bare":
        header = header.removeprefix("sha256=")
    elif behaviour.webhook_header == "upper":
        header = "sha256=" + header.removeprefix("sha256=").upper()
    headers = {"Content-Type": "application/json; charset=utf-8", HEADER: header}
    if behaviour.webhook_timestamp_header:
        headers[_TIMESTAMP_HEADER] = str(payload["timestamp"])
    return Callback(body, headers)


def spoil(callback: Callback, how: str) -> Callback:
    """Return a callback with a fault that only concerns its bytes; any other fault returns it unchanged."""
    headers = dict(callback.headers)
    if how == "wrong_signature":
        last = headers[HEADER][-1]
        headers[HEADER] = headers[HEADER][:-1] + ("1" if last == "0" else "0")
    elif how == "missing_header":
        del headers[HEADER]
    elif how == "tampered":
        return Callback(callback.body.replace(b'"task_id":"', b'"task_id":"x', 1), headers)
    return Callback(callback.body, headers)


def _compact(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
