"""show: one run, with its request, its results and where it came from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast

from ..core.cell_source import redact_source
from ..core.money import format_amount
from ..core.results import Result
from ..engine.display import render_outcome
from ..engine.history import parent_words
from ..errors import RunwareNBError
from ..present.html import muted
from ..present.results import format_stars
from ..present.table import render_facts
from ..providers.registry import load_module, package_of_service
from ..reprs import shortened
from ..runlog import ResultRecord, RunRecord, State, UseRecord
from .base import CommandResult
from .log import row_of
from .unknown_runs import describe_unknown

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "show one run: request, results, cell"
_LONGEST_RESULT = 2000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("ref", metavar="UUID", help="task UUID, or its first characters")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Find it and show it."""
    record = session.log.find(options.ref)
    shorten = _shortening(record.provider)
    shown = with_texts(record.request, shorten)
    facts = [
        ("run", record.task_uuid),
        ("state", record.state.value),
        ("known", describe_unknown(record) if record.state is State.UNKNOWN else ""),
        ("service", record.provider),
        ("service's id", "" if record.remote_id == record.attempt_uuid else shorten(record.remote_id or "")),
        ("time (UTC)", record.created_at_utc),
        ("took", "" if record.duration_s is None else f"{record.duration_s:.2f} s"),
        ("cost", "unknown" if record.cost is None else format_amount(record.cost, record.cost_unit)),
        ("cell", "" if record.execution_count is None else f"[{record.execution_count}] {record.notebook or ''}"),
        ("tags", ", ".join(record.tags)),
        ("note", record.note or ""),
        ("stars", format_stars(record.best_rating)),
        ("made from", ", ".join(f"{parent.task_uuid} ({parent_words(parent)})" for parent in record.parents)),
        *prompt_facts(record),
        ("replay of", record.replay_of or ""),
        ("from", "somebody else's log" if record.is_imported else ""),
        ("made with", _environment(session, record)),
        *((name, value) for name, value in shown.items() if name not in {"taskUUID", "taskType"}),
    ]
    facts += [
        (
            f"#{result.position + 1}",
            result.error.get("message", "failed") if result.error is not None else _result_text(result),
        )
        for result in record.results
    ]
    later = session.log.uses_of([record.task_uuid])
    facts += [("used by", _use_text(use)) for use in later]
    bundle = render_facts([(name, _value_text(value)) for name, value in facts if value is not None and value != ""])
    images = _images(session, record) if record.is_finished else ""
    return CommandResult(
        {"text/html": images + bundle["text/html"], "text/plain": bundle["text/plain"]},
        {
            **row_of(record),
            "request": record.request,
            "inputs": record.inputs,
            "prompt_template": record.prompt_template,
            "prompt_origin": record.prompt_origin,
            **_origins(session, record),
            "uses": [_use_row(use) for use in later],
        },
        value=record,
    )


def prompt_facts(record: RunRecord) -> list[tuple[str, str]]:
    """Return what the prompt of a run was rendered from, as names and values; none if it was sent as typed."""
    facts = []
    if record.prompt_template and record.prompt_template != record.prompt:
        facts.append(("template", record.prompt_template))
    origin = record.prompt_origin or {}
    values, saved, wildcards = origin.get("values"), origin.get("saved"), origin.get("wildcards")
    # The record of an imported run may have anything in these places.
    if isinstance(values, dict):
        facts += [(f"{{{name}}}", str(text)) for name, text in values.items()]
    if isinstance(saved, dict):
        facts += [(f"{{@{name}}}", str(text)) for name, text in saved.items()]
    for choice in wildcards if isinstance(wildcards, list) else []:
        if isinstance(choice, list) and len(choice) == 2:
            facts.append((f"__{choice[0]}__", str(choice[1])))
    return facts


def _shortening(service: str) -> Callable[[str], str]:
    """Return what shortens the ids of a service for display, as far as they contain personal data."""
    package = package_of_service(service)
    if package is None or not package.shorten:
        return str
    return cast("Callable[[str], str]", getattr(load_module(package.name, "writing"), package.shorten))


def with_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return a value of JSON with each text in it changed; names of fields stay."""
    if isinstance(value, Mapping):
        return {name: with_texts(inner, change) for name, inner in value.items()}
    if isinstance(value, list):
        return [with_texts(inner, change) for inner in value]
    return change(value) if isinstance(value, str) else value


def _result_text(result: ResultRecord) -> str:
    """Format a result: text and JSON themselves, and of a file where it is."""
    found = Result(result.raw, "", result.position)
    if result.file is None and found.text is not None:
        return shortened(found.text, _LONGEST_RESULT)
    if result.file is None and found.structured is not None:
        return shortened(json.dumps(found.structured, ensure_ascii=False), _LONGEST_RESULT)
    seed = "" if result.seed is None else f"seed {result.seed}, "
    return f"{seed}{result.medium_state}"


def _use_text(use: UseRecord) -> str:
    """Format a later use of a run: what it was, when, by which cell, and what was given with it."""
    cell = "" if use.execution_count is None else f"[{use.execution_count}] "
    place = f"{cell}{PurePath(use.notebook).name if use.notebook else ''}".strip()
    parts = [use.how, f"{use.used_at_utc[:16].replace('T', ' ')} UTC", place, ", ".join(use.tags), use.note]
    return "; ".join(part for part in parts if part)


def _use_row(use: UseRecord) -> dict[str, Any]:
    row = {
        name: getattr(use, name) for name in ("how", "used_at_utc", "notebook", "cell_id", "execution_count", "note")
    }
    return {**row, "tags": list(use.tags)}


def _value_text(value: object) -> object:
    """Format a list or an object of a request as JSON, and leave everything else as it is."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _origins(session: Session, record: RunRecord) -> dict[str, Any]:
    source = session.log.cell_source(record.cell_hash) if record.cell_hash else None
    environment = session.log.environment(record.environment_hash) if record.environment_hash else None
    # Redacted here as well: earlier versions stored sources as they were
    return {"cell_source": None if source is None else redact_source(source), "environment": environment}


def _environment(session: Session, record: RunRecord) -> str:
    snapshot = _origins(session, record)["environment"] or {}
    packages = snapshot.get("packages") or {}
    commit = f", commit {snapshot['git_commit'][:10]}" if snapshot.get("git_commit") else ""
    return f"runware_nb {packages.get('runware-nb')}, Python {snapshot.get('python')}{commit}" if packages else ""


def _images(session: Session, record: RunRecord) -> str:
    try:
        outcome = session.job(record.task_uuid).result(timeout_s=30)
    except RunwareNBError as error:
        return muted(str(error))
    return render_outcome(outcome)["text/html"]
