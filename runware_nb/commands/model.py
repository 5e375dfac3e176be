"""model: what one model takes, within which bounds, and what it costs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import MagicUsageError
from ..present.results import format_usd
from ..present.table import Table, render_facts, render_table
from ..providers.runware.catalog import find_model, nearest_names
from ..providers.runware.operations import operation_label
from .base import CommandResult

if TYPE_CHECKING:
    from ..providers.runware.catalog import Model, Rulebook
    from ..session import Session

SUMMARY = "show what a model takes: parameters, ranges, defaults, price"

_NOT_SHOWN = frozenset({"taskType", "taskUUID", "deliveryMethod", "webhookURL", "uploadEndpoint", "model"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="MODEL", help="AIR identifier, slug, name or alias")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Look it up, in the catalogue and at the schema service."""
    known = find_model(session.aliases.air_of(options.name))
    rules = session.planner.rules_for(options.name, waits=True)
    if rules is None:
        session.planner.check_refused(options.name, "Its parameters cannot be listed.")
        near = nearest_names(options.name)
        hint = f"; did you mean {near[0]}?" if near else "; `models` searches them"
        raise MagicUsageError(f"no schema of a model {options.name!r} is known here{hint}")
    facts = [(name, value) for name, value in _facts(rules, known) if value]
    required = set(rules.schema.get("required", ()))
    rows = [
        (name, _kind(schema), _bounds(schema), _shown(schema.get("default")), "yes" if name in required else "",
         schema.get("description") or schema.get("title") or "")
        for name, schema in rules.schema.get("properties", {}).items()
        if name not in _NOT_SHOWN and isinstance(schema, Mapping)
    ]  # fmt: skip
    table = render_table(Table(("parameter", "kind", "allowed", "default", "needed", ""), rows, rules.documentation))
    shown = render_facts(facts)
    bundle = {kind: shown[kind] + ("\n" if kind == "text/plain" else "") + table[kind] for kind in shown}
    return CommandResult(bundle, {**dict(facts), "schema": rules.schema}, value=rules)


def _facts(rules: Rulebook, known: Model | None) -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = [("model", rules.air), ("operation", operation_label(rules.task_type))]
    if known is not None:
        prices = [f"{format_usd(usd)} at {megapixels:g} MP" for megapixels, usd in known.price_points]
        facts += [("name", known.name), ("aliases", ", ".join(known.aliases)), ("architecture", known.architecture),
                  ("price", ", ".join(prices) or "not listed")]  # fmt: skip
        if known.steps:
            facts.append(("usual steps", known.steps))
    return facts


def _kind(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return " or ".join(map(str, kind))
    return str(kind or ("choice" if "enum" in schema or "oneOf" in schema else "any"))


def _bounds(schema: Mapping[str, Any]) -> str:
    if isinstance(schema.get("enum"), list):
        return _clipped(", ".join(map(str, schema["enum"])))
    choices = [
        str(each["const"]) for each in schema.get("oneOf") or () if isinstance(each, Mapping) and "const" in each
    ]
    if choices:
        return _clipped(", ".join(choices))
    low, high = schema.get("minimum"), schema.get("maximum")
    step = f", multiples of {schema['multipleOf']}" if schema.get("multipleOf") not in {None, 1} else ""
    if low is None and high is None:
        length = schema.get("maxLength")
        return f"up to {length} characters" if length else step.removeprefix(", ")
    if low is None:
        return f"up to {high}{step}"
    return f"from {low}{step}" if high is None else f"{low} to {high}{step}"


def _shown(value: Any) -> str:
    return "" if value is None else _clipped(str(value))


def _clipped(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"
