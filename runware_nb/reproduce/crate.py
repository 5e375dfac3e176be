"""RO-Crate 1.1: what a bundle says about itself, for people and machines that know nothing of us."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.money import USD
from ..media.store import exported_name
from ..reprs import short_repr
from ..runlog import RunRecord

__all__ = ["CrateFile", "crate_metadata"]

_HOME = "https://github.com/runware-nb/runware-nb"
_TYPES = {
    ".ipynb": "application/x-ipynb+json", ".jsonl": "application/jsonl", ".html": "text/html", ".txt": "text/plain",
    ".md": "text/markdown", ".json": "application/json",
}  # fmt: skip


@short_repr()
@dataclass(frozen=True, slots=True)
class CrateFile:
    """One file of a bundle.

    Attributes:
        name: Its path in the bundle.
        size_bytes: Its size.
        sha256: Its hash.
        media_type: MIME type; None to go by the name.
        description: What it is; empty for nothing to say.
    """

    name: str
    size_bytes: int
    sha256: str
    media_type: str | None = None
    description: str = ""


def crate_metadata(
    *, title: str, description: str, published: str, files: Sequence[CrateFile], runs: Sequence[RunRecord], version: str
) -> str:
    """Write `ro-crate-metadata.json`.

    Args:
        title: Of the whole.
        description: Of the whole.
        published: ISO 8601 date.
        files: All but the metadata file itself.
        runs: What was run; each becomes an action with its results.
        version: Of this package.
    """
    present = {each.name for each in files}
    software = {
        "@id": _HOME, "@type": "SoftwareApplication", "name": "runware_nb",
        "version": version, "softwareVersion": version, "url": _HOME,
    }  # fmt: skip
    graph: list[dict[str, Any]] = [
        {
            "@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"},
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        },
        {
            "@id": "./", "@type": "Dataset", "name": title, "description": description, "datePublished": published,
            "license": {"@id": "#license"}, "hasPart": [{"@id": each.name} for each in files],
            "mentions": [{"@id": f"#run-{run.task_uuid}"} for run in runs],
        },
        {
            "@id": "#license", "@type": "CreativeWork", "name": "Not stated",
            "description": "Whoever made this bundle has not said under which licence; ask before using it.",
        },
        software,
    ]  # fmt: skip
    graph += [_file(each) for each in files]
    graph += [_action(run, present, str(software["@id"])) for run in runs]
    crate = {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}
    return json.dumps(crate, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _file(each: CrateFile) -> dict[str, Any]:
    ending = each.name[each.name.rfind(".") :]
    made: dict[str, Any] = {
        "@id": each.name, "@type": "File", "name": each.name.rpartition("/")[2], "contentSize": str(each.size_bytes),
        "sha256": each.sha256, "encodingFormat": each.media_type or _TYPES.get(ending, "application/octet-stream"),
    }  # fmt: skip
    if each.description:
        made["description"] = each.description
    return made


def _action(run: RunRecord, present: set[str], software: str) -> dict[str, Any]:
    results = [f"media/{exported_name(result.file)}" for result in run.results if result.file]
    inputs = [f"media/{exported_name(each['file'])}" for each in run.inputs if each.get("file")]
    made: dict[str, Any] = {
        "@id": f"#run-{run.task_uuid}", "@type": "CreateAction", "name": _title(run), "startTime": run.created_at_utc,
        "instrument": {"@id": software}, "identifier": run.task_uuid,
        "result": _refs(results, present), "object": _refs(inputs, present),
        "actionStatus": "http://schema.org/CompletedActionStatus" if results else "http://schema.org/FailedActionStatus",
    }  # fmt: skip
    if run.finished_at_utc:
        made["endTime"] = run.finished_at_utc
    unit = "US dollars" if run.cost_unit == USD else run.cost_unit
    described: Mapping[str, Any] = {"model": run.model, "provider": run.provider, f"cost in {unit}": run.cost}
    made["description"] = "; ".join(f"{name}: {value}" for name, value in described.items() if value is not None)
    return {name: value for name, value in made.items() if value not in ([], "")}


def _refs(names: Sequence[str], present: set[str]) -> Any:
    """Refer to files of the bundle; a single one stands alone, as RO-Crate recommends."""
    found = [{"@id": name} for name in dict.fromkeys(names) if name in present]
    return found[0] if len(found) == 1 else found


def _title(run: RunRecord) -> str:
    words = " ".join((run.prompt or run.task_type).split())
    return words if len(words) <= 120 else f"{words[:119]}…"
