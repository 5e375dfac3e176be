"""Frames: arrays of tasks out, objects with `data` and `errors` in."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...core.items import ITEM_IDS, Item
from ...core.parsing import as_identifier, is_uuid, parse_json
from ...core.redaction import known_secrets, redact_text, redact_values
from ...errors import ProtocolError
from ...reprs import short_repr

__all__ = [
    "Frame",
    "authentication_task",
    "encode_frame",
    "encode_task",
    "frame_of",
    "names_task",
    "parse_frame",
    "parse_redacted",
    "ping_task",
    "split_orphans",
]


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_SCOPE = ("taskType", "taskUUID")
_IDENTIFIERS = (*_SCOPE, *ITEM_IDS, "connectionSessionUUID")
_FAILED = {"error", "failed"}  # the second in model uploads
_LONG = 100_000
_OLD_INVALID_KEY = 19  # errorId of "Invalid api key" in the oldest WebSocket form (reference 1.3)


@short_repr()
@dataclass(frozen=True, slots=True)
class Frame:
    """One answer of the service, whatever error shape it used.

    Attributes:
        items: The objects of `data`, less those that are errors.
        errors: Error objects; each has `code` and `message`, and `taskUUID` and `taskType` where known.
        http_status: Status of the HTTP answer that brought it; None over WebSocket.
        retry_after_s: Seconds that the answer asked us to wait; None when it did not say.
    """

    items: tuple[Item, ...] = ()
    errors: tuple[Item, ...] = ()
    http_status: int | None = None
    retry_after_s: float | None = None


def encode_frame(tasks: Iterable[Mapping[str, Any]]) -> str:
    """Write tasks as the JSON array that both transports send.

    Raises:
        ValueError: A number is NaN or infinite, which JSON cannot say.
        TypeError: A value has no JSON form.
    """
    return _encode(list(tasks))


def encode_task(task: Mapping[str, Any]) -> str:
    """Write one task; several, with commas between, in brackets, are a frame.

    Raises:
        ValueError: A number is NaN or infinite, which JSON cannot say.
        TypeError: A value has no JSON form.
    """
    return _encode(task)


def authentication_task(api_key: str, session_uuid: str | None = None) -> Item:
    """Make the element that carries the key: first in a REST array, alone in the first WebSocket message."""
    task: Item = {"taskType": "authentication", "apiKey": api_key}
    if session_uuid:
        task["connectionSessionUUID"] = session_uuid
    return task


def ping_task() -> Item:
    """Make the keep-alive element."""
    return {"taskType": "ping", "ping": True}


def parse_frame(
    text: str | bytes, *, key: str = "", http_status: int | None = None, retry_after_s: float | None = None
) -> Frame:
    """Read what the service sent, in any of the shapes of reference 2.3, without any secret that it repeats.

    Args:
        text: One WebSocket message or one HTTP body.
        key: The key that it was requested with, which may be too short to be one of the known secrets.
        http_status: Status of that HTTP answer, kept in the frame and in the error.
        retry_after_s: Seconds from its `Retry-After` header, kept in the frame.

    Raises:
        ProtocolError: It is not JSON, or JSON of no known shape.
    """
    shown = text if isinstance(text, str) else text.decode("utf-8", "replace")
    if key and key in shown:
        text = shown = redact_text(shown, [key])
    try:
        body, is_redacted = parse_redacted(text)
    except ValueError as error:
        shown = redact_text(shown)
        raise ProtocolError(_not_json(shown, http_status), frame=shown, http_status=http_status) from error
    try:
        return frame_of(body, text=shown, http_status=http_status, retry_after_s=retry_after_s)
    except ProtocolError as error:
        error.frame = json.dumps(body) if is_redacted else shown
        raise


def parse_redacted(text: str | bytes) -> tuple[Any, bool]:
    """Parse JSON of a service, and replace every known secret in its values.

    They are redacted as values: in the text, an escape could hide a key. In a long text each value is looked at anyway.

    Returns:
        The value, and whether it may differ from the text.

    Raises:
        ValueError: It is not JSON; see `parse_json`.
    """
    body = parse_json(text)
    if len(text) <= _LONG and not known_secrets.is_in(text):
        return body, False
    return redact_values(body), True


def frame_of(body: Any, *, text: str = "", http_status: int | None = None, retry_after_s: float | None = None) -> Frame:
    """Build the frame of a response that `parse_json` has parsed, or of an archived one.

    Every item and error is an object. Task types and UUIDs in it are printable text of at most 200 characters; one that
    is no text is left out, so that the entry names no task.

    Args:
        body: The response.
        text: The same as it came, for the error.
        http_status: See `parse_frame`.
        retry_after_s: See `parse_frame`.

    Raises:
        ProtocolError: It has no known shape.
    """
    if not isinstance(body, dict):
        raise ProtocolError(
            f"the service answered a JSON {type(body).__name__} where an object was due",
            frame=text,
            http_status=http_status,
        )
    items: list[Item] = []
    errors: list[Item] = []
    data = body.get("data")
    for item in _as_items(data):
        failure = _item_error(item)
        if failure is None:
            items.append(_identified(item))
        else:
            errors.append(_identified(failure))
    errors.extend(map(_identified, _body_errors(body)))
    if not items and not errors:
        # Only an empty `data` states that there is nothing. Anything else in its place states nothing at all.
        if "data" not in body and "errors" not in body:
            raise ProtocolError("the response contains neither data nor errors", frame=text, http_status=http_status)
        if data not in ([], None):
            raise ProtocolError("the data in the response are not objects", frame=text, http_status=http_status)
    return Frame(tuple(items), tuple(errors), http_status, retry_after_s)


def split_orphans(frame: Frame, tasks: Sequence[Mapping[str, Any]]) -> tuple[Frame, tuple[Item, ...]]:
    """Separate what an HTTP response states about tasks from the errors in it that name no task.

    Args:
        frame: The response.
        tasks: Those of its request. If there is one, items without a name are its items: nothing else was asked for.

    Returns:
        The frame without the orphaned errors, and these.
    """
    names = {task["taskUUID"] for task in tasks if task.get("taskUUID")}
    scope = {key: tasks[0][key] for key in _SCOPE if key in tasks[0]} if len(tasks) == 1 else {}
    items = [item if item.get("taskUUID") else {**item, **scope, **_named(item)} for item in frame.items]
    is_named = [error.get("taskUUID") in names or names_task(error) for error in frame.errors]
    errors = itertools.compress(frame.errors, is_named)
    orphans = itertools.compress(frame.errors, [not named for named in is_named])
    return replace(frame, items=tuple(items), errors=tuple(errors)), tuple(orphans)


def names_task(entry: Mapping[str, Any]) -> bool:
    """Return whether an item or error names a task by a UUID, ours or another one."""
    return is_uuid(str(entry.get("taskUUID")))


def _named(item: Item) -> Item:
    return {key: item[key] for key in _SCOPE if item.get(key)}


def _not_json(shown: str, http_status: int | None) -> str:
    start = " ".join(shown[:60].split())
    kind = "a web page" if start.lower().startswith(("<!doctype", "<html")) else f"{start!r}"
    status = f" (HTTP {http_status})" if http_status else ""
    return f"the service answered {kind}{status} instead of JSON; check the address it was sent to"


def _as_items(value: Any) -> list[Item]:
    """Accept an array, one object in its place, or nothing."""
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list):
        return [item for item in value if isinstance(item, dict)]
    return []


def _as_errors(value: Any) -> list[Item]:
    """Accept what `_as_items` accepts, and text in place of an error object."""
    entries = value if isinstance(value, list) else [value]
    return [
        entry if isinstance(entry, dict) else {"message": entry}
        for entry in entries
        if isinstance(entry, dict) or (isinstance(entry, str) and entry)
    ]


def _identified(entry: Item) -> Item:
    """Remove or clean identifiers that are not valid; most entries are returned unchanged."""
    for key in _IDENTIFIERS:
        value = entry.get(key)
        if value is None or (type(value) is str and value.isprintable() and len(value) <= 200):
            continue
        name = as_identifier(value)
        if name is None:
            del entry[key]
        else:
            entry[key] = name
    return entry


def _body_errors(body: Item) -> list[Item]:
    found = [_with_scope(error, {}) for error in _as_errors(body.get("errors"))]
    single = body.get("error")
    if isinstance(single, dict | list):
        found += [_with_scope(error, body) for error in _as_errors(single)]
    elif single and not found:
        found.append(_oldest_form(body))
    elif not found and "data" not in body and isinstance(body.get("message"), str):
        found.append(_with_scope(body, {}))  # gateways: {"message": "..."} and nothing else
    return found


def _item_error(item: Item) -> Item | None:
    """Turn a `data` item that reports a failure into an error object; None for any other item."""
    inner = item.get("error")
    status = item.get("status")
    if not (isinstance(status, str) and status in _FAILED) and not isinstance(inner, dict):
        return None
    details = inner if isinstance(inner, dict) else item
    outer = {key: value for key, value in item.items() if key != "error"}
    if status == "failed":
        outer.setdefault("code", "taskFailed")
    return _with_scope({**outer, **details}, item)


def _with_scope(error: Item, scope: Item) -> Item:
    made = {"code": "unknownError", "message": "the service gave no reason", **error}
    for key in _SCOPE:
        if as_identifier(made.get(key)) is None and key in scope:
            made[key] = scope[key]
    return made


def _oldest_form(body: Item) -> Item:
    """Read `{"error": true, "errorId": 19, "errorMessage": "Invalid api key"}` (reference 1.3)."""
    error_id = body.get("errorId")
    code = "invalidApiKey" if error_id == _OLD_INVALID_KEY else f"error{error_id or ''}"
    message = str(body.get("errorMessage") or body.get("error"))
    return _with_scope({"code": code, "message": message}, body)
