"""Runs as lines of JSON, for bundles and for people who share by git."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from typing import Any

from ..core.items import Item
from ..core.money import USD
from ..engine.input_lineage import Input, hashes_of, parents_of
from ..errors import BundleError, TaskInvalid
from ..media.store import exported_name
from ..providers.runware.operations import operation_name
from ..providers.runware.tasks import prompt_of
from ..reprs import short_repr
from ..runlog import COST_UNITS, FINAL_STATES, Parent, ResultRecord, RunLog, RunRecord, State, UseRecord
from ..runlog.ballots import CHOICES, Vote, votes_among
from .checks import (
    LONGEST_PROMPT,
    check_json,
    read_amount,
    read_count,
    read_flag,
    read_hash,
    read_media_name,
    read_object,
    read_text,
    read_time,
    read_uuid,
    read_word,
    shortened_value,
)

__all__ = ["Records", "read_lines", "write_lines"]

_HEAD = "runware_nb records"
_VERSIONS = (1, 2)
"""Version 2 has uses, which version 1 would refuse; a file without any is written as version 1."""
_LONGEST_LINE = 32 * 1024 * 1024
_KEPT_HERE = frozenset({"kernel", "sender", "is_imported", "is_joinable", "best_rating", "results", "estimate", "cost",
                         "remote_id", "state_at_utc"})  # fmt: skip
"""What means nothing elsewhere, or is nobody's business there: a service may write an account's e-mail into its ids."""
_MOST_RESULTS = 10_000
_MOST_TAGS = 1000
_MOST_INPUTS = 1000
_MOST_REORDERED = 5
_MOST_USD = 1_000_000.0
_MOST_S = 10_000_000.0
_MEDIUM_STATES = frozenset({"none", "pending", "stored", "expired", "missing"})
_LATER_USES = ("recorded", "joined", "replayed")
_NEEDED = ("task_uuid", "provider", "task_type", "request", "request_hash", "asked_hash", "state", "created_at_utc")


@short_repr()
@dataclass(slots=True)
class Records:
    """What was read.

    Attributes:
        runs: With results and labels.
        sources: Sources of cells by hash.
        snapshots: Environments by hash.
        votes: Choices between results, each with its ballot.
        uses: Later uses of the runs.
        skipped: One sentence for each record, and each text of a cell, that cannot be used.
        uuids: Task UUIDs of the runs.
    """

    runs: list[RunRecord] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, Item] = field(default_factory=dict)
    votes: list[tuple[str, Vote]] = field(default_factory=list)
    uses: list[UseRecord] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    uuids: set[str] = field(default_factory=set)


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

    This is the only reader of foreign records. It takes the fields that it lists and no others. It checks the type, the
    form and the range of each, cleans texts, and computes every hash from the content.

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
            _take(records, item, number)
        except BundleError as error:
            if not tolerant:
                raise BundleError(f"line {number}: {error}") from error
            records.skipped.append(f"line {number}: {error}")
    if not is_ours:
        raise BundleError("this is not a file of runware_nb records: it is empty")
    return records


def _check_head(item: Mapping[str, Any]) -> None:
    if item.get("kind") != _HEAD:
        raise BundleError("this is not a file of runware_nb records: its first line has another format")
    if item.get("version") not in _VERSIONS:
        raise BundleError(
            f"records of version {item.get('version')!r}; this package reads versions up to {_VERSIONS[-1]}. "
            "Upgrade runware-nb"
        )


def _take(made: Records, item: Mapping[str, Any], number: int) -> None:
    kind = item.get("kind")
    if kind == "run":
        run = _run_of(item)
        if run.task_uuid in made.uuids:
            raise BundleError(f"run {run.task_uuid} occurs twice")
        made.uuids.add(run.task_uuid)
        made.runs.append(run)
    elif kind == "use":
        made.uses.append(_use_of(item))
    elif kind == "cell" and isinstance(item.get("hash"), str) and isinstance(item.get("source"), str):
        _take_cell(made, item, number)
    elif kind == "environment" and isinstance(item.get("hash"), str) and isinstance(item.get("snapshot"), dict):
        digest, snapshot = _environment_of(item)
        made.snapshots[digest] = snapshot
    elif kind == "vote":
        try:
            made.votes.append(_vote_of(item))
        except BundleError as error:
            raise BundleError(f"invalid vote: {error}") from None
    else:
        raise BundleError(f"unknown kind of record {shortened_value(kind)}")


def _take_cell(made: Records, item: Mapping[str, Any], number: int) -> None:
    """Add the text of a cell if its hash is the one that the record states.

    Otherwise the text of another person would be shown as the source of the user's own cell. The run itself is
    usable without the text, and a log from which a key was removed has such texts too, so this is not an error of the
    record.
    """
    digest = str(read_hash(item, "hash"))
    source = str(item["source"])
    if hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest() == digest:
        check_json(source, "source")
        made.sources[digest] = source
    else:
        made.skipped.append(f"line {number}: the text of cell {digest[:8]} does not have this hash and was left out")


def _environment_of(item: Mapping[str, Any]) -> tuple[str, Item]:
    digest = str(read_hash(item, "hash"))
    snapshot = item["snapshot"]
    check_json(snapshot, "snapshot")
    if hashlib.sha256(json.dumps(snapshot, sort_keys=True).encode()).hexdigest() != digest:
        raise BundleError(f"the content of environment {digest[:8]} does not have this hash")
    for name, value in snapshot.items():
        values = value.items() if name == "packages" and isinstance(value, dict) else [(name, value)]
        for key, text in values:
            if not isinstance(text, str) or len(text) > 300 or not f"{key}{text}".isprintable():
                raise BundleError(f"{shortened_value(key)} of an environment is {shortened_value(text)}: expected text")
    if not isinstance(snapshot.get("packages", {}), dict):
        raise BundleError("packages of an environment are not an object")
    return digest, snapshot


def _parsed(line: str) -> dict[str, Any]:
    if len(line) > _LONGEST_LINE:
        raise BundleError(f"the line has {len(line):,} characters: expected {_LONGEST_LINE:,} at most")
    try:
        item = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"the line is not valid JSON: {str(error)[:100]}") from error
    if not isinstance(item, dict):
        raise BundleError("the line is not a JSON object")
    return item


def _run_item(run: RunRecord) -> dict[str, Any]:
    item = {each.name: getattr(run, each.name) for each in fields(RunRecord) if each.name not in _KEPT_HERE}
    item["notebook"] = _file_name(run.notebook)
    name = _cost_name(run.cost_unit)
    item[name] = run.cost
    # The unit is that of the run.
    of_result = [each.name for each in fields(ResultRecord) if each.name not in {"cost", "cost_unit"}]
    item["results"] = [
        {**{each: getattr(result, each) for each in of_result}, name: result.cost, "file": exported_name(result.file)}
        for result in run.results
    ]
    item["parents"] = [
        {"task_uuid": parent.task_uuid, "role": parent.role} | ({} if parent.index is None else {"index": parent.index})
        for parent in run.parents
    ]
    item["inputs"] = [
        {**medium, "file": exported_name(medium["file"])} if medium.get("file") else medium for medium in run.inputs
    ]
    return item


def _cost_name(unit: str) -> str:
    """Return the field of a cost. Earlier versions read `cost_usd`, which must never hold credits."""
    return "cost_usd" if unit == USD else "cost"


def _use_item(use: UseRecord) -> dict[str, Any]:
    item = {each.name: getattr(use, each.name) for each in fields(UseRecord) if each.name != "kernel"}
    item["notebook"] = _file_name(use.notebook)
    return item


def _file_name(path: str | None) -> str | None:
    """Return the file name without its folders, which are private."""
    return PurePath(path).name or None if path else None


def _notebook_of(item: Mapping[str, Any]) -> str | None:
    path = read_text(item, "notebook", most=4000)
    return path.replace("\\", "/").rpartition("/")[2][:300] or None if path else None


def _where(item: Mapping[str, Any]) -> dict[str, Any]:
    """Read what a run and a use have in common: the cell."""
    return {
        "notebook": _notebook_of(item),
        "cell_id": read_text(item, "cell_id", most=300),
        "cell_hash": read_hash(item, "cell_hash"),
        "cell_ordinal": read_count(item, "cell_ordinal"),
        "execution_count": read_count(item, "execution_count"),
        "tags": _tags_of(item),
        "note": read_text(item, "note", most=LONGEST_PROMPT, has_lines=True),
    }


def _tags_of(item: Mapping[str, Any]) -> tuple[str, ...]:
    tags = item.get("tags")
    if tags is None:
        return ()
    if not isinstance(tags, list) or len(tags) > _MOST_TAGS:
        raise BundleError(f"tags are {shortened_value(tags)}: expected a list of up to {_MOST_TAGS} texts")
    read = (read_text({"a tag": tag}, "a tag") for tag in tags)
    return tuple(dict.fromkeys(_given(tag, "a tag") for tag in read))


def _given(value: Any, name: str) -> Any:
    if value is None:
        raise BundleError(f"the record has no {name}")
    return value


def _use_of(item: Mapping[str, Any]) -> UseRecord:
    if not isinstance(item.get("run_uuid"), str):
        raise BundleError(f"invalid run_uuid {shortened_value(item.get('run_uuid'))} of a use: expected a task UUID")
    run_uuid, used_at_utc, how = read_uuid(item, "run_uuid"), read_time(item, "used_at_utc"), item.get("how")
    if run_uuid is None or used_at_utc is None or not isinstance(how, str) or how not in _LATER_USES:
        raise BundleError(f"invalid use: expected used_at_utc, and how as one of {', '.join(_LATER_USES)}")
    return UseRecord(run_uuid=run_uuid, how=how, used_at_utc=used_at_utc, **_where(item))


def _run_of(item: Mapping[str, Any]) -> RunRecord:
    for name in _NEEDED:
        if item.get(name) is None:
            raise BundleError(f"the record of a run has no {name}")
    task_uuid = str(read_uuid(item, "task_uuid"))
    request = read_object(item, "request") or {}
    task_type, model = str(read_word(item, "task_type", most=100)), read_text(item, "model", most=2000)
    _check_request(request, task_type, model)
    state = item["state"]
    if not isinstance(state, str) or state not in FINAL_STATES | {State.DISCARDED}:
        raise BundleError(f"state is {shortened_value(state)}: expected the state of a run that has ended")
    created_at_utc = str(read_time(item, "created_at_utc"))
    finished_at_utc = read_time(item, "finished_at_utc")
    if state == State.DISCARDED and finished_at_utc is None:
        raise BundleError("the record of a discarded run has no finished_at_utc, so the run has not ended")
    prompt = prompt_of(request)
    unit = _unit_of(item)
    run = RunRecord(
        task_uuid=task_uuid, attempt_uuid=read_uuid(item, "attempt_uuid") or task_uuid,
        provider=str(read_word(item, "provider", most=40)), task_type=task_type, model=model, request=request,
        request_hash="", asked_hash="", created_at_utc=created_at_utc,
        prompt_template=read_text(item, "prompt_template", most=LONGEST_PROMPT, has_lines=True),
        prompt_origin=read_object(item, "prompt_origin"),
        prompt=read_text({"prompt": prompt}, "prompt", most=LONGEST_PROMPT, has_lines=True), state=State(state),
        attempts=read_count(item, "attempts") or 0, seed_given=read_flag(item, "seed_given"),
        sent_at_utc=read_time(item, "sent_at_utc"), finished_at_utc=finished_at_utc or created_at_utc,
        duration_s=read_amount(item, "duration_s", most=_MOST_S),
        cost=read_amount(item, _cost_name(unit), most=_MOST_USD), cost_unit=unit,
        operation=read_word(item, "operation", most=40) or operation_name(task_type),
        error=_error_of(item), environment_hash=read_hash(item, "environment_hash"),
        parent_uuid=read_uuid(item, "parent_uuid"), inputs=_inputs_of(item), replay_of=read_uuid(item, "replay_of"),
        is_imported=True, results=_results_of(item, unit), **_where(item),
    )  # fmt: skip
    run.parents = _parents_of(item, run)
    run.parent_uuid = run.parents[0].task_uuid if run.parents else run.parent_uuid
    run.best_rating = max((each.rating for each in run.results if each.rating is not None), default=None)
    _hash_request(run, item["request_hash"])
    return run


def _check_request(request: Item, task_type: str, model: str | None) -> None:
    """Check the fields of a request that views read; all of it was already checked as JSON."""
    for name, value in (("taskType", task_type), ("model", model)):
        if request.get(name) is not None and request[name] != value:
            raise BundleError(
                f"{name} of the request is {shortened_value(request[name])}: expected {shortened_value(value)}"
            )
    loras = request.get("lora")
    is_list = isinstance(loras, list) and all(
        isinstance(lora, dict) and isinstance(lora.get("model"), str) and _is_number(lora.get("weight", 1))
        for lora in loras
    )
    if loras is not None and not is_list:
        raise BundleError(f"lora is {shortened_value(loras)}: expected a list of objects with model and weight")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unit_of(item: Mapping[str, Any]) -> str:
    """Return the unit of the cost; records of earlier versions name none, and are in US dollars."""
    unit = item.get("cost_unit", "USD")
    if unit not in COST_UNITS:
        raise BundleError(f"cost_unit is not one of {', '.join(COST_UNITS)}")
    return str(unit)


def _hash_request(run: RunRecord, claimed: object) -> None:
    """Compute the hashes of a request, and the order of its media where the file has lost it.

    A claimed hash is never stored: it could be that of another request, which this run would then answer. Files of
    earlier versions have the parameters of a request sorted by name, but its media in their first order. The claimed
    hash only chooses between the orders of the media, all of which are in the record.
    """
    try:
        hashes = hashes_of(run)
        if hashes[0] != claimed and 2 <= len(run.inputs) <= _MOST_REORDERED:
            given = run.inputs
            for order in itertools.permutations(given):
                run.inputs = list(order)
                reordered = hashes_of(run)
                if reordered[0] == claimed:
                    hashes = reordered
                    break
            else:
                run.inputs = given
        run.request_hash, run.asked_hash = hashes
    except TaskInvalid as error:
        raise BundleError(f"request cannot be hashed: {error}") from error


def _inputs_of(item: Mapping[str, Any]) -> list[Item]:
    inputs = item.get("inputs")
    if inputs is None:
        return []
    if not isinstance(inputs, list) or len(inputs) > _MOST_INPUTS or not all(isinstance(each, dict) for each in inputs):
        raise BundleError(f"inputs are not a list of up to {_MOST_INPUTS:,} objects")
    readers: dict[str, Callable[[Item, str], str | None]] = {
        "place": read_text, "sha256": read_hash, "file": read_media_name, "maker": read_uuid,
        "named": lambda medium, name: read_text(medium, name, most=10_000),
    }  # fmt: skip
    read = [{name: reader(medium, name) for name, reader in readers.items()} for medium in inputs]
    return [{name: value for name, value in medium.items() if value is not None} for medium in read]


def _parents_of(item: Mapping[str, Any], run: RunRecord) -> tuple[Parent, ...]:
    """Read the parents of a run; records of earlier versions have only those of its media."""
    listed = item.get("parents")
    if listed is None:
        media = [Input(maker=medium.get("maker")) for medium in run.inputs]
        parents = parents_of(run.request, media)
        first = run.parent_uuid
        is_missing = first is not None and first not in {parent.task_uuid for parent in parents}
        return (*((Parent(first, "medium"),) if first is not None and is_missing else ()), *parents)
    if not isinstance(listed, list) or len(listed) > _MOST_INPUTS or not all(isinstance(each, dict) for each in listed):
        raise BundleError(f"parents are not a list of up to {_MOST_INPUTS:,} objects")
    return tuple(
        dict.fromkeys(
            Parent(
                str(_given(read_uuid(each, "task_uuid"), "task_uuid of a parent")),
                str(_given(read_text(each, "role", most=40), "role of a parent")),
                read_count(each, "index", most=_MOST_RESULTS),
            )
            for each in listed
        )
    )


def _error_of(item: Mapping[str, Any]) -> Item | None:
    """Read an error object in the format of the log."""
    error = read_object(item, "error")
    if error is None:
        return None
    texts = {
        name: read_text(error, name, most=LONGEST_PROMPT, has_lines=True) for name in ("code", "message", "taskUUID")
    }
    parameter = error.get("parameter")
    if not isinstance(parameter, str | None) and not (
        isinstance(parameter, list) and all(isinstance(name, str) for name in parameter)
    ):
        raise BundleError(f"parameter of an error is {shortened_value(parameter)}: expected text")
    raw = read_object(error, "raw")
    values = {**texts, "parameter": parameter, "raw": raw}
    return {"message": "", **{name: value for name, value in values.items() if value is not None}}


def _vote_of(item: Mapping[str, Any]) -> tuple[str, Vote]:
    ballot, voter = (read_text(item, name, most=most) or "" for name, most in (("ballot", 200), ("voter", 100)))
    sides = [item.get("left"), item.get("right")]
    places: list[tuple[str, int]] = []
    for side in sides:
        if not isinstance(side, list) or len(side) != 2 or not isinstance(side[0], str) or type(side[1]) is not int:
            raise BundleError(f"side is {shortened_value(side)}: expected a task UUID and a position")
        place = {"run": side[0], "position": side[1]}
        position = read_count(place, "position", most=_MOST_RESULTS)
        places.append((str(read_uuid(place, "run")), position or 0))
    choice = item.get("choice")
    if not isinstance(choice, str) or choice not in CHOICES or places[0] == places[1]:
        raise BundleError("expected two different results, and left, right or tie as the choice")
    return ballot, Vote(
        places[0], places[1], choice, voter, str(_given(read_time(item, "created_at_utc"), "created_at_utc"))
    )


def _results_of(item: Mapping[str, Any], unit: str) -> list[ResultRecord]:
    parts = item.get("results")
    if parts is None:
        return []
    if not isinstance(parts, list) or len(parts) > _MOST_RESULTS:
        raise BundleError(f"results are not a list of up to {_MOST_RESULTS:,} objects")
    read = [_result_of(part, unit) for part in parts]
    if len({result.position for result in read}) != len(read):
        raise BundleError("two results have the same position")
    return read


def _result_of(part: Any, unit: str) -> ResultRecord:
    if not isinstance(part, dict) or type(part.get("position")) is not int:
        raise BundleError("position of a result is not an integer")
    state = part.get("medium_state", "none")
    if not isinstance(state, str) or state not in _MEDIUM_STATES:
        raise BundleError(
            f"medium_state is {shortened_value(state)}: expected one of {', '.join(sorted(_MEDIUM_STATES))}"
        )
    raw = read_object(part, "raw") or {}
    read_amount(raw, "cost", most=_MOST_USD)
    perceptual_hash = read_text(part, "perceptual_hash", most=16)
    if perceptual_hash is not None and not all(digit in "0123456789abcdef" for digit in perceptual_hash):
        raise BundleError(f"perceptual_hash is {shortened_value(perceptual_hash)}: expected 16 hexadecimal digits")
    return ResultRecord(
        position=read_count(part, "position", most=_MOST_RESULTS) or 0, item_uuid=read_text(part, "item_uuid"),
        url=read_text(part, "url", most=10_000), seed=read_count(part, "seed", least=-(2**63), most=2**63 - 1),
        cost=read_amount(part, _cost_name(unit), most=_MOST_USD), cost_unit=unit,
        media_type=read_word(part, "media_type", most=60), size_bytes=read_count(part, "size_bytes", most=2**50),
        received_sha256=read_hash(part, "received_sha256"), stored_sha256=read_hash(part, "stored_sha256"),
        file=read_media_name(part), medium_state=state, raw=raw,
        error=_error_of(part), rating=read_count(part, "rating", least=1, most=5), perceptual_hash=perceptual_hash,
        is_favourite=read_flag(part, "is_favourite"),
    )  # fmt: skip


def _line(item: Mapping[str, Any]) -> str:
    # Only the outermost names are sorted: the media of a request are known by their order in it.
    item = dict(sorted(item.items()))
    text = json.dumps(item, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which a request may hold and no file in UTF-8 can
        text = json.dumps(item, separators=(",", ":"))
    return text + "\n"
