"""Between records and rows."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy.engine import RowMapping

from ..core.amounts import parse_amount
from ..media.store import FILE_NAME
from .records import COST_UNITS, Parent, ResultRecord, RunRecord, State, UseRecord

__all__ = [
    "PARENT_COLUMNS", "RESULT_COLUMNS", "RUN_COLUMNS", "USE_COLUMNS", "RowError", "parent_of_row", "parent_rows",
    "result_of", "result_row", "run_of", "run_row",
    "storable", "use_of", "use_row",
]  # fmt: skip

RUN_COLUMNS = (
    "task_uuid", "attempt_uuid", "provider", "task_type", "model", "request", "request_hash", "asked_hash",
    "seed_given", "prompt_template", "prompt", "notebook", "cell_id", "cell_hash", "cell_ordinal",
    "execution_count", "kernel", "parent_uuid", "state", "attempts", "created_at_utc", "sent_at_utc",
    "environment_hash", "note", "inputs", "estimate", "sender", "replay_of", "is_joinable", "is_imported",
    "remote_id", "cost_unit", "operation", "prompt_origin",
)  # fmt: skip
RESULT_COLUMNS = (
    "run_uuid", "position", "item_uuid", "url", "seed", "cost", "media_type", "size_bytes",
    "received_sha256", "stored_sha256", "file", "medium_state", "raw", "error",
)  # fmt: skip
USE_COLUMNS = (
    "run_uuid", "how", "notebook", "cell_id", "cell_hash", "cell_ordinal", "execution_count", "kernel", "tags", "note",
    "used_at_utc",
)  # fmt: skip
PARENT_COLUMNS = ("task_uuid", "number", "parent_uuid", "role", "position")
_LONGEST_ROLE = 40
_TYPED = ("prompt_template", "prompt", "note", "notebook", "cell_id", "model", "remote_id")
_LARGEST_INTEGER = 2**63


def run_row(run: RunRecord) -> dict[str, Any]:
    """Write a run as a row."""
    row = {name: getattr(run, name) for name in RUN_COLUMNS}
    for name in _TYPED:
        if row[name] is not None:
            row[name] = storable(row[name])
    row["request"] = json.dumps(run.request)
    row["prompt_origin"] = json.dumps(run.prompt_origin) if run.prompt_origin else None
    row["inputs"] = json.dumps(run.inputs) if run.inputs else None
    row["estimate"] = parse_amount(run.estimate)
    row["state"] = run.state.value
    row["seed_given"] = int(run.seed_given)
    row["is_joinable"] = int(run.is_joinable)
    row["is_imported"] = int(run.is_imported)
    return row


def parent_rows(run: RunRecord) -> list[dict[str, Any]]:
    """Build the rows of the parents of a run."""
    return [
        {"task_uuid": run.task_uuid, "number": number, "parent_uuid": parent.task_uuid,
         "role": storable(parent.role)[:_LONGEST_ROLE], "position": parent.index}
        for number, parent in enumerate(dict.fromkeys(run.parents))
    ]  # fmt: skip


def parent_of_row(row: Mapping[Any, Any]) -> Parent:
    """Build a parent from its row.

    Raises:
        RowError: A value is not of the kind of its column.
    """
    values = _checked(row, _PARENT)
    return Parent(values["parent_uuid"], values["role"], values["position"])


class RowError(ValueError):
    """A row contains a value that its column cannot have."""


def run_of(row: RowMapping) -> RunRecord:
    """Read a run from its row, without results and tags.

    Raises:
        RowError: A value is not of the kind of its column.
    """
    return RunRecord(**_checked(row, _RUN))


def result_row(run_uuid: str, record: ResultRecord) -> dict[str, Any]:
    """Write a result as a row."""
    row = {name: getattr(record, name) for name in RESULT_COLUMNS if name != "run_uuid"}
    row["run_uuid"] = run_uuid
    row["raw"] = json.dumps(record.raw)
    row["error"] = None if record.error is None else json.dumps(record.error)
    row["cost"] = parse_amount(record.cost)
    row["item_uuid"] = None if record.item_uuid is None else storable(record.item_uuid)
    row["url"] = None if record.url is None else storable(record.url)
    if record.seed is not None and not -_LARGEST_INTEGER <= record.seed < _LARGEST_INTEGER:
        row["seed"] = None  # no database holds it; the raw answer does
    return row


def result_of(row: RowMapping) -> ResultRecord:
    """Read a result from its row.

    Raises:
        RowError: A value is not of the kind of its column.
    """
    return ResultRecord(**_checked(row, _RESULT))


def use_row(use: UseRecord) -> dict[str, Any]:
    """Build the row of a use."""
    row = {name: getattr(use, name) for name in USE_COLUMNS}
    for name in ("notebook", "cell_id", "kernel", "note"):
        if row[name] is not None:
            row[name] = storable(row[name])
    row["tags"] = json.dumps(list(use.tags)) if use.tags else None
    return row


def use_of(row: RowMapping) -> UseRecord:
    """Build a use from its row.

    Raises:
        RowError: A value is not of the kind of its column.
    """
    return UseRecord(**_checked(row, _USE))


def storable(text: str) -> str:
    """Leave out what no database takes as text: NUL and halves of surrogate pairs. The request keeps them."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


# --- what a column can contain ------------------------------------------------------------------------
#
# SQLite stores any value in any column, and a file may have been edited, cut or merged by other programs.


def _checked(row: Mapping[Any, Any], kinds: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    plain = dict(row)  # the mapping of SQLAlchemy takes longer for each value
    values = {}
    try:
        for name, kind in kinds.items():
            values[name] = kind(plain[name])
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise RowError(f"the column {name} contains {_shown(plain[name])}, {_expected(kind)}") from error
    return values


def _shown(value: Any) -> str:
    """Quote a value in a few characters."""
    text = "no value" if value is None else repr(value[:40] if isinstance(value, str | bytes) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _expected(kind: Callable[[Any], Any]) -> str:
    text = (kind.__doc__ or "").rstrip(".")
    return f"which is not {text[:1].lower()}{text[1:]}"


def _word(value: Any) -> str:
    """A text."""
    if not isinstance(value, str):
        raise TypeError
    return value


def _text(value: Any) -> str | None:
    """A text."""
    return None if value is None else _word(value)


def _object(value: Any) -> dict[str, Any]:
    """A JSON object."""
    body = json.loads(_word(value))
    if not isinstance(body, dict):
        raise TypeError
    return body


def _object_or_none(value: Any) -> dict[str, Any] | None:
    """A JSON object."""
    return None if value is None else _object(value)


def _inputs(value: Any) -> list[dict[str, Any]]:
    """A JSON list of media."""
    if value is None or value == "":
        return []
    media = json.loads(_word(value))
    if not isinstance(media, list):
        raise TypeError
    for medium in media:
        if not isinstance(medium, dict):
            raise TypeError
        for name in ("sha256", "named", "maker"):
            _text(medium.get(name))
        _file(medium.get("file"))
    return media


def _tags(value: Any) -> tuple[str, ...]:
    """A JSON list of texts."""
    tags = json.loads(_word(value)) if value else []
    if not isinstance(tags, list):
        raise TypeError
    return tuple(map(_word, tags))


def _file(value: Any) -> str | None:
    """A file of the media folder."""
    if value is None:
        return None
    name = _word(value)
    if not FILE_NAME.fullmatch(name):  # nearly every name is one of ours, and to take a path apart is slow
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\x00" in name:
            raise ValueError(name)
    return name


def _whole(value: Any) -> int:
    """A whole number."""
    if not isinstance(value, int) or abs(value) >= _LARGEST_INTEGER:
        raise TypeError
    return value


def _whole_or_none(value: Any) -> int | None:
    """A whole number."""
    return None if value is None else _whole(value)


def _count(value: Any) -> int:
    """A count."""
    if not 0 <= _whole(value) < _LARGEST_COUNT:
        raise ValueError(value)
    return int(value)


def _count_or_none(value: Any) -> int | None:
    """A count."""
    return None if value is None else _count(value)


def _stars(value: Any) -> int | None:
    """A rating from 1 to 5."""
    # Earlier versions imported any number. Such a rating is none, and the run is sound.
    return None if value is None or not 1 <= _whole(value) <= _MOST_STARS else int(value)


def _flag(value: Any) -> bool:
    """0 or 1."""
    return bool(_whole(value))


def _amount(value: Any) -> float | None:
    """A number."""
    if value is None:
        return None
    if not isinstance(value, int | float):
        raise TypeError
    return parse_amount(value)  # an invalid amount is unknown; the rest of the run is valid


def _time(value: Any) -> str:
    """A time in ISO 8601."""
    moment = dt.datetime.fromisoformat(_word(value))
    if moment.tzinfo is None:  # as older versions imported it: all our times are in UTC
        return moment.replace(tzinfo=dt.UTC).isoformat(timespec="milliseconds")
    return str(value)


def _time_or_none(value: Any) -> str | None:
    """A time in ISO 8601."""
    return None if value is None else _time(value)


def _unit(value: Any) -> str:
    """A unit of money: USD or credits."""
    if value not in COST_UNITS:
        raise ValueError(value)
    return str(value)


def _state(value: Any) -> State:
    """A state of a run."""
    return State(value)


_LARGEST_COUNT = 10**15
_MOST_STARS = 5
_RUN: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("task_uuid", "attempt_uuid", "provider", "task_type", "request_hash", "asked_hash"), _word),
    **dict.fromkeys(
        ("model", "prompt_template", "prompt", "notebook", "cell_id", "cell_hash", "kernel", "parent_uuid",
         "environment_hash", "note", "sender", "replay_of", "remote_id", "operation"), _text
    ),
    **dict.fromkeys(("cell_ordinal", "execution_count"), _count_or_none),
    **dict.fromkeys(("seed_given", "is_joinable", "is_imported"), _flag),
    **dict.fromkeys(("duration_s", "cost", "estimate"), _amount),
    **dict.fromkeys(("sent_at_utc", "finished_at_utc", "state_at_utc"), _time_or_none),
    "request": _object, "inputs": _inputs, "error": _object_or_none, "state": _state, "attempts": _count,
    "prompt_origin": _object_or_none, "created_at_utc": _time, "best_rating": _stars, "cost_unit": _unit,
}  # fmt: skip
_PARENT: Mapping[str, Callable[[Any], Any]] = {"parent_uuid": _word, "role": _word, "position": _count_or_none}
_RESULT: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(
        ("item_uuid", "url", "media_type", "received_sha256", "stored_sha256", "perceptual_hash"), _text
    ),
    "position": _count, "seed": _whole_or_none, "cost": _amount, "size_bytes": _count_or_none, "file": _file,
    "medium_state": _word, "raw": _object, "error": _object_or_none, "rating": _stars, "is_favourite": _flag,
}  # fmt: skip
_USE: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("run_uuid", "how"), _word),
    **dict.fromkeys(("notebook", "cell_id", "cell_hash", "kernel", "note"), _text),
    **dict.fromkeys(("cell_ordinal", "execution_count"), _count_or_none),
    "tags": _tags, "used_at_utc": _time,
}  # fmt: skip
