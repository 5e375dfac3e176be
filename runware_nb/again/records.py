"""Runs as lines of JSON, for bundles and for people who share by git."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from typing import Any

from ..errors import BundleError
from ..reprs import short_repr
from ..runlog import FINAL_STATES, ResultRecord, RunLog, RunRecord, State, UseRecord
from ..runlog.ballots import CHOICES, Vote, votes_among
from ..wire.tasks import is_uuid

__all__ = ["Records", "is_media_name", "read_lines", "write_lines"]

_HEAD = "runware_nb records"
_VERSIONS = (1, 2)
"""Version 2 has uses, which version 1 would refuse; a file without any is written as version 1."""
_LONGEST_LINE = 256 * 1024 * 1024
_LARGEST_INTEGER = 2**31 - 1
_MEDIA_NAME = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}\.[a-z0-9]{1,8}")
_KEPT_HERE = frozenset({"kernel", "sender", "is_imported", "is_joinable", "best_rating", "results", "estimate_usd"})
"""What means nothing elsewhere, or is nobody's business there."""
_TYPES: Mapping[str, tuple[type, ...]] = {
    "request": (dict,), "error": (dict,), "inputs": (list,), "tags": (list,), "raw": (dict,), "seed_given": (bool,),
    "is_favourite": (bool,), "attempts": (int,), "cell_ordinal": (int,), "execution_count": (int,),
    "position": (int,), "seed": (int,), "size_bytes": (int,), "rating": (int,),
    "duration_s": (int, float), "cost_usd": (int, float),
}  # fmt: skip
_LARGE = frozenset({"seed", "size_bytes"})
_LATER_USES = ("recorded", "joined", "replayed")
_NEEDED = ("task_uuid", "provider", "task_type", "request", "request_hash", "asked_hash", "state", "created_at_utc")


@short_repr()
@dataclass(slots=True)
class Records:
    """What was read.

    Attributes:
        runs: With results and labels.
        sources: Sources of cells by hash.
        snapshots: Environments by hash, as JSON.
        votes: Choices between results, each with its ballot.
        uses: Later uses of the runs.
        skipped: One sentence for each record that could not be read.
    """

    runs: list[RunRecord] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, str] = field(default_factory=dict)
    votes: list[tuple[str, Vote]] = field(default_factory=list)
    uses: list[UseRecord] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def write_lines(log: RunLog, runs: Sequence[RunRecord]) -> Iterator[str]:
    """Format finished runs, the cells and environments they name, their later uses, and the votes between them.

    The order depends on nothing but the content, so that the file changes little from one export to the next.
    """
    used = log.uses_of([run.task_uuid for run in runs])
    yield _line({"kind": _HEAD, "version": _VERSIONS[bool(used)]})
    for cell_hash in sorted({h for h in (*(run.cell_hash for run in runs), *(use.cell_hash for use in used)) if h}):
        source = log.cell_source(cell_hash)
        if source is not None:
            yield _line({"kind": "cell", "hash": cell_hash, "source": source})
    for environment_hash in sorted({run.environment_hash for run in runs if run.environment_hash}):
        snapshot = log.environment(environment_hash)
        if snapshot is not None:
            yield _line({"kind": "environment", "hash": environment_hash, "snapshot": snapshot})
    for run in sorted(runs, key=lambda each: (each.created_at_utc, each.task_uuid)):
        yield _line({"kind": "run", **_run_item(run)})
    items = [{"kind": "use", **_use_item(use)} for use in used]
    yield from sorted(_line(item) for item in items)
    for ballot, vote in votes_among(log, [run.task_uuid for run in runs]):
        yield _line({"kind": "vote", "ballot": ballot, "left": vote.left, "right": vote.right, "choice": vote.choice,
                     "voter": vote.voter, "created_at_utc": vote.created_at_utc})  # fmt: skip


def read_lines(lines: Iterable[str], *, tolerant: bool = False) -> Records:
    """Parse what `write_lines` wrote, here or elsewhere; nothing in it is trusted.

    Args:
        lines: The file, line by line.
        tolerant: Whether a record that cannot be read is left out and named in `Records.skipped`. Each record stands
            for itself, so the others are usable without it. A line that is not valid JSON is always refused: the file
            was cut or merged by hand, and more may be missing.

    Raises:
        BundleError: The lines are not records, or one of them cannot be read; the message names the line.
    """
    records = Records()
    is_ours = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            item = _parsed(line)
            is_head = item.get("kind") == _HEAD
            if is_head or not is_ours:
                _check_head(item)
        except BundleError as error:
            raise BundleError(f"line {number}: {error}") from error
        is_ours = True
        if is_head:
            continue
        try:
            _take(records, item)
        except BundleError as error:
            if not tolerant:
                raise BundleError(f"line {number}: {error}") from error
            records.skipped.append(f"line {number}: {error}")
    if not is_ours:
        raise BundleError("this is not a file of runware_nb records: it is empty")
    return records


def is_media_name(name: object) -> bool:
    """Whether this is a name that our store gives: no path of somebody else's making."""
    return isinstance(name, str) and _MEDIA_NAME.fullmatch(name) is not None


def _check_head(item: Mapping[str, Any]) -> None:
    if item.get("kind") != _HEAD:
        raise BundleError("this is not a file of runware_nb records: its first line has another format")
    if item.get("version") not in _VERSIONS:
        raise BundleError(
            f"records of version {item.get('version')!r}; this package reads versions up to {_VERSIONS[-1]}. "
            "Upgrade runware-nb"
        )


def _take(made: Records, item: Mapping[str, Any]) -> None:
    kind = item.get("kind")
    if kind == "run":
        made.runs.append(_run_of(item))
    elif kind == "use":
        made.uses.append(_use_of(item))
    elif kind == "cell" and isinstance(item.get("hash"), str) and isinstance(item.get("source"), str):
        made.sources[item["hash"]] = item["source"]
    elif kind == "environment" and isinstance(item.get("hash"), str) and isinstance(item.get("snapshot"), dict):
        made.snapshots[item["hash"]] = json.dumps(item["snapshot"], sort_keys=True)
    elif kind == "vote":
        made.votes.append(_vote_of(item))
    else:
        raise BundleError(f"a record of the kind {str(kind)[:40]!r} is unknown")


def _parsed(line: str) -> dict[str, Any]:
    if len(line) > _LONGEST_LINE:
        raise BundleError(f"{len(line):,} characters are no run")
    try:
        item = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"no JSON: {str(error)[:100]}") from error
    if not isinstance(item, dict):
        raise BundleError("a record is an object")
    return item


def _run_item(run: RunRecord) -> dict[str, Any]:
    item = {each.name: getattr(run, each.name) for each in fields(RunRecord) if each.name not in _KEPT_HERE}
    item["notebook"] = _file_name(run.notebook)
    item["results"] = [
        {each.name: getattr(result, each.name) for each in fields(ResultRecord)} for result in run.results
    ]
    return item


def _use_item(use: UseRecord) -> dict[str, Any]:
    item = {each.name: getattr(use, each.name) for each in fields(UseRecord) if each.name != "kernel"}
    item["notebook"] = _file_name(use.notebook)
    return item


def _file_name(path: str | None) -> str | None:
    """Return the file name without its folders, which are private."""
    return PurePath(path).name or None if path else None


def _use_of(item: Mapping[str, Any]) -> UseRecord:
    if not is_uuid(str(item.get("run_uuid"))):
        raise BundleError(f"invalid run_uuid {str(item.get('run_uuid'))[:60]!r} of a use: expected a task UUID")
    values = _checked(item, {each.name for each in fields(UseRecord)} - {"kernel"})
    if values.get("how") not in _LATER_USES or "used_at_utc" not in values:
        raise BundleError(f"invalid use: expected used_at_utc, and how as one of {', '.join(_LATER_USES)}")
    values["tags"] = tuple(str(tag) for tag in values.get("tags") or ())
    return UseRecord(**values)


def _run_of(item: Mapping[str, Any]) -> RunRecord:
    for name in _NEEDED:
        if item.get(name) is None:
            raise BundleError(f"a run without {name}")
    if not is_uuid(str(item["task_uuid"])):
        raise BundleError(f"{str(item['task_uuid'])[:60]!r} is no task UUID")
    values = _checked(item, {each.name for each in fields(RunRecord)} - _KEPT_HERE)
    if values["state"] not in FINAL_STATES | {State.DISCARDED}:
        raise BundleError(f"a run that is {str(values['state'])[:20]!r} has not ended")
    values["state"] = State(values["state"])
    values["tags"] = tuple(str(tag) for tag in values.get("tags") or ())
    values.setdefault("model", None)  # many operations have none
    values["attempt_uuid"] = values.get("attempt_uuid") or values["task_uuid"]
    values["inputs"] = [each for each in values.get("inputs") or [] if isinstance(each, dict) and _is_ours(each)]
    parts = item.get("results", [])
    if not isinstance(parts, list):
        raise BundleError("results are a list")
    run = RunRecord(**values)
    run.results = [_result_of(part) for part in parts]
    run.best_rating = max((each.rating for each in run.results if each.rating is not None), default=None)
    return run


def _vote_of(item: Mapping[str, Any]) -> tuple[str, Vote]:
    words = [item.get(name, "") for name in ("ballot", "voter", "created_at_utc")]
    sides = [item.get("left"), item.get("right")]
    for side in sides:
        if not isinstance(side, list) or len(side) != 2 or not is_uuid(str(side[0])) or type(side[1]) is not int:
            raise BundleError(f"a vote on {str(side)[:60]!r}, which is no result")
    if item.get("choice") not in CHOICES or sides[0] == sides[1] or not all(isinstance(each, str) for each in words):
        raise BundleError("a vote is between two results: left, right or tie")
    left, right = ((str(side[0]), int(side[1])) for side in sides if side is not None)
    return words[0][:200], Vote(left, right, str(item["choice"]), words[1][:100], words[2][:32])


def _result_of(part: Any) -> ResultRecord:
    if not isinstance(part, dict) or not isinstance(part.get("position"), int):
        raise BundleError("a result has a position")
    values = _checked(part, {each.name for each in fields(ResultRecord)})
    if not _is_ours(values):
        raise BundleError(f"{str(values['file'])[:80]!r} is no name of a medium")
    return ResultRecord(**values)


def _is_ours(item: Mapping[str, Any]) -> bool:
    return item.get("file") is None or is_media_name(item["file"])


def _checked(item: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in names:
        value = item.get(name)
        if value is None:
            continue
        wanted = _TYPES.get(name, (str,))
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            raise BundleError(f"{name} is {str(value)[:60]!r}")
        if isinstance(value, int) and wanted == (int,) and name not in _LARGE and abs(value) > _LARGEST_INTEGER:
            raise BundleError(f"{name} {str(value)[:60]} is too large for a run log")
        values[name] = value
    return values


def _line(item: Mapping[str, Any]) -> str:
    text = json.dumps(item, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which a request may hold and no file in UTF-8 can
        text = json.dumps(item, sort_keys=True, separators=(",", ":"))
    return text + "\n"
