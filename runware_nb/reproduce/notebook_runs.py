"""The runs that a notebook uses, and the cells whose runs the log does not have."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..engine.context import hash_of_source
from ..errors import RunNotFound
from ..reprs import short_repr
from ..runlog import RunRecord
from ..runlog.filters import RunFilter

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["NotebookRuns", "find_runs", "runs_of_notebook"]

_EVERY_RUN = 1_000_000
_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_REF = re.compile(r"\b([0-9a-f]{8}(?:-[0-9a-f-]{27})?)#\d+")
_SENDS = re.compile(
    r"^%%runware\b(?!.*(?:--dry-run|\s-h\b))|^\s*%runware\s+(?:text-to-image|raw|replay)\b"
    r"|\b(?:rw|runware_nb)\.(?:image|images|run|replay)\(",
    re.MULTILINE,
)


@short_repr()
@dataclass(frozen=True, slots=True)
class NotebookRuns:
    """Result of a search for the runs of a notebook.

    Attributes:
        runs: Runs that its cells sent or used, or that its outputs name.
        missing: One sentence for each cell or name whose run is not in the log.
    """

    runs: list[RunRecord]
    missing: tuple[str, ...]


def runs_of_notebook(session: Session, notebook: Mapping[str, Any], name: str) -> list[RunRecord]:
    """Return the runs of a notebook. See `find_runs`."""
    return find_runs(session, notebook, name).runs


def find_runs(session: Session, notebook: Mapping[str, Any], name: str) -> NotebookRuns:
    """Find the runs of a notebook, also where it was renamed, copied or edited since.

    A run belongs to it if one of its cells (by id or source) sent it or used it later, if it was sent or used under
    the notebook's name, or if an output names it.

    Args:
        session: Whose log.
        notebook: The notebook, parsed.
        name: Its file name.
    """
    log = session.log
    cells = [cell for cell in notebook.get("cells", []) if isinstance(cell, dict)]
    hashes = {digest for cell in cells for digest in _hashes(cell)}
    ids = {str(cell["id"]) for cell in cells if cell.get("id")}
    of_cells = log.runs_of_cells(sorted(hashes), sorted(ids))
    by_name = [*log.select(RunFilter(notebook=name, limit=_EVERY_RUN)), *log.runs_used_in(name)]
    selected = {run.task_uuid: run for run in [*by_name, *of_cells]}
    uses = log.uses_of(list(selected))
    known = {value for run in selected.values() for value in (run.cell_hash, run.cell_id)}
    known |= {value for use in uses for value in (use.cell_hash, use.cell_id)}
    missing: list[str] = []
    for number, cell in enumerate(cells, 1):
        if cell.get("cell_type") != "code":
            continue
        named, unknown = _named_in_outputs(session, cell)
        selected |= {run.task_uuid: run for run in named}
        place = f"cell {number}" + (f" (id {cell['id']})" if cell.get("id") else "")
        missing += [f"{place} refers to {ref}, which is not in the log" for ref in unknown]
        was_run = cell.get("execution_count") is not None or bool(cell.get("outputs"))
        is_known = bool(named) or bool(known & {*_hashes(cell), str(cell.get("id"))})
        if was_run and not is_known and _SENDS.search(_source(cell)):
            missing.append(f"{place} generates results, but the log has no run of this cell")
    return NotebookRuns(list(selected.values()), tuple(missing))


def _named_in_outputs(session: Session, cell: Mapping[str, Any]) -> tuple[list[RunRecord], list[str]]:
    """Return the runs that outputs name by full UUID or as `uuid#1`, and such references that the log does not know."""
    uuids: set[str] = set()
    refs: set[str] = set()
    for text in _texts(cell.get("outputs")):
        uuids.update(_UUID.findall(text))
        refs.update(_REF.findall(text))
    # a UUID alone may be anything, so one that the log does not know is no fault
    selected = {run.task_uuid: run for run in session.log.runs_named(sorted(uuids))}
    unknown = []
    for ref in sorted(refs):
        try:
            run = session.log.find(ref)
        except RunNotFound:
            unknown.append(ref)
        else:
            selected[run.task_uuid] = run
    return list(selected.values()), unknown


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of outputs and their metadata, but not the media, which are long and name nothing."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        if all(isinstance(part, str) for part in value):
            yield "".join(value)
        else:
            for part in value:
                yield from _texts(part)
    elif isinstance(value, dict):
        for kind, part in value.items():
            if kind == "metadata":
                yield json.dumps(part)
            elif not str(kind).startswith(("image/", "audio/", "video/")):
                yield from _texts(part)


def _source(cell: Mapping[str, Any]) -> str:
    source = cell.get("source") or ""
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _hashes(cell: Mapping[str, Any]) -> set[str]:
    """Hash the source of a cell as the log does; IPython's history drops the line breaks at its end."""
    source = _source(cell)
    return {hash_of_source(text) for text in (source, source.rstrip("\n"))} | {
        # Earlier versions hashed the source with any key that it contains.
        hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        for text in (source, source.rstrip("\n"))
    }
