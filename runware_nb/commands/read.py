"""read: what an image file says about where it came from."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..media.incoming import media_bytes
from ..media.provenance import Provenance, read_provenance
from ..present.html import muted
from ..present.table import render_facts
from .base import CommandResult

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "read where an image file came from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("image", metavar="IMAGE", help="a PNG, JPEG or WebP file, of ours or of another tool")


def run(session: Session, options: argparse.Namespace) -> CommandResult:  # noqa: ARG001 - it needs no session
    """Read it."""
    found = read_provenance(media_bytes(options.image)[0])
    value = as_json(found)
    if found.is_empty:
        sentence = f"{options.image} says nothing about where it came from"
        return CommandResult(
            {"text/html": muted(sentence), "text/plain": sentence}, value, is_failure=True, value=found
        )
    facts = [(name, text) for name, text in _facts(found) if text not in {"", "None"}]
    return CommandResult(render_facts(facts), value, value=found)


def as_json(found: Provenance) -> dict[str, Any]:
    """Write what was found for a program."""
    read = found.parameters
    return {
        "infotext": found.infotext,
        "parameters": None if read is None else read.to_wire(),
        "record": found.record,
        "is_marked_generated": found.is_marked_generated,
        "others": dict(found.others),
    }


def _facts(found: Provenance) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    if found.parameters is not None:
        facts += [("prompt", found.parameters.prompt), ("negative prompt", found.parameters.negative_prompt)]
        facts += [(name, str(value)) for name, value in found.parameters.settings.items()]
    for name in ("task_uuid", "provider", "created_at_utc", "cost_usd", "notebook", "execution_count"):
        facts.append((name, str((found.record or {}).get(name))))
    facts.append(("marked as generated", "yes" if found.is_marked_generated else "no"))
    return facts + [(f"also: {name}", f"{len(text)} characters") for name, text in found.others.items()]
