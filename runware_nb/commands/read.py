"""read: where a file came from, by what it contains or by the log."""

from __future__ import annotations

import argparse
import hashlib
from typing import TYPE_CHECKING, Any

from ..media.incoming import given_bytes
from ..media.medium_kinds import kind_of
from ..media.provenance import PROVENANCE_TYPES, Provenance, read_provenance
from ..present.html import muted
from ..present.table import render_facts
from ..remedies import Remedy, command
from .base import CommandResult
from .log import row_of

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "read where a file came from"

_SHOW = "{0} shows the run."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("image", metavar="IMAGE", help="a PNG, JPEG or WebP file of this package or of another tool; "
                        "of other files, such as videos, the log is searched for their hash")  # fmt: skip


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Read what the file contains about its origin; if that is nothing, find the run that generated it by its hash."""
    body, media_type = given_bytes(options.image)
    found = read_provenance(body) if media_type in PROVENANCE_TYPES else Provenance()
    value = as_json(found)
    if found.is_empty:
        return _by_hash(session, options.image, body, media_type, found)
    facts = [(name, text) for name, text in _facts(found) if text not in {"", "None"}]
    return CommandResult(render_facts(facts), value, value=found)


def _by_hash(session: Session, name: str, body: bytes, media_type: str, found: Provenance) -> CommandResult:
    """Return the run of the log that generated a file, found by the hash of its bytes."""
    known = session.log.find_result(sha256=hashlib.sha256(body).hexdigest())
    kind = kind_of(media_type)
    if known is None:
        sentence = f"{name} ({kind}) contains no record of its origin, and the log has no run that generated it."
        bundle = {"text/html": muted(sentence), "text/plain": sentence}
        return CommandResult(bundle, as_json(found), is_failure=True, value=found)
    run = session.log.find(known[0])
    by = f" with {run.model}" if run.model else ""
    about = f': "{" ".join(run.prompt.split())[:200]}"' if run.prompt else ""
    when = run.created_at_utc[:16].replace("T", " ")
    show = session.front_end.remedy(Remedy(_SHOW, (command("show", run.task_uuid[:8]),)))
    sentence = (
        f"Run {run.task_uuid[:8]} generated this {kind}{by} on {when} UTC{about}. The file itself contains no record "
        f"of its origin; the log has it by its hash. {show}"
    )
    bundle = {"text/html": muted(sentence), "text/plain": sentence}
    return CommandResult(bundle, {**as_json(found), "run": row_of(run)}, value=found)


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
