"""bundle: notebook, pictures and records in one file that a colleague opens."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MagicUsageError
from ..reproduce.api import find_in_notebook
from ..reproduce.bundle import make_bundle, open_into
from ..reproduce.bundle_files import read_bundle
from .base import CommandResult
from .filters import add_filters, filter_from

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "make, check or open a bundle: notebook, pictures, records, checksums"

_USAGE = {
    "make": "bundle make OUT.zip [--notebook FILE] [--add FILE]",
    "check": "bundle check FILE",
    "open": "bundle open FILE DIR",
}
_PATHS = {"make": 1, "check": 1, "open": 2}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("action", choices=tuple(_USAGE), help="; ".join(_USAGE.values()))
    parser.add_argument("paths", nargs="+", metavar="PATH", help="where to, or which; a name ending in .zip is a file")
    parser.add_argument("--add", action="append", default=[], metavar="FILE", help="also include this file; repeatable")
    add_filters(parser, limit=None)


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Do it."""
    if len(options.paths) != _PATHS[options.action]:
        raise MagicUsageError(f"write it as: {_USAGE[options.action]}")
    paths = [Path(each).expanduser() for each in options.paths]
    if options.action == "make":
        return _make(session, paths[0], options)
    return _check(paths[0]) if options.action == "check" else _open(paths[0], paths[1])


def _make(session: Session, out: Path, options: argparse.Namespace) -> CommandResult:
    notebook = Path(options.notebook).expanduser() if options.notebook else None
    options.notebook = None  # it names the file here, and its cells choose the runs
    runs = session.log.select(dataclasses.replace(filter_from(options, session), with_replays=True))
    lost: tuple[str, ...] = ()
    if notebook is not None:
        of_notebook = find_in_notebook(notebook)
        theirs, lost = {run.task_uuid for run in of_notebook.runs}, of_notebook.missing
        runs = [run for run in runs if run.task_uuid in theirs]
    made = make_bundle(session, out, runs, notebook=notebook, add=[Path(path).expanduser() for path in options.add])
    said = f"{made.path}: {made.runs} runs, {made.media} files, {made.size_bytes / 1e6:.1f} MB"
    notes = [
        *(
            [f"{made.missing} files are not on this machine, so the bundle does not contain them"]
            if made.missing
            else []
        ),
        *lost,
        *made.left_out,
    ]
    if made.modules:
        names = ", ".join(made.modules)
        notes.append(
            f"the notebook imports {names}, which no installed package contains; include your own modules with --add"
        )
    written = {"path": str(made.path), "runs": made.runs, "media": made.media, "missing": made.missing,
               "size_bytes": made.size_bytes, "not_found": list(lost), "modules": list(made.modules),
               "left_out": list(made.left_out)}  # fmt: skip
    return CommandResult({"text/plain": said}, written, tuple(notes), value=made)


def _check(path: Path) -> CommandResult:
    with read_bundle(path) as bundle:
        count = bundle.check()
        runs = bundle.records().runs
        results = sum(result.error is None for each in runs for result in each.results)
        said = f"{path} is whole: {count} files, {len(runs)} runs, {results} results"
        written = {"ok": True, "files": count, "runs": len(runs), "results": results, "notebooks": bundle.notebooks}
    return CommandResult({"text/plain": said}, written)


def _open(path: Path, folder: Path) -> CommandResult:
    bundle, merged = open_into(path, folder)
    names = ", ".join(bundle.notebooks) or "no notebook"
    said = (
        f"opened in {folder}: {names}, {len(merged.added)} runs. Started there, a kernel answers from these records "
        "(mode replay); nothing was run"
    )
    return CommandResult(
        {"text/plain": said},
        {"folder": str(folder), "notebooks": bundle.notebooks, "runs": len(merged.added)},
        merged.skipped,
    )
