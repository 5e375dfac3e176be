"""Making a bundle, and opening one: notebook, pictures, records and checksums that a colleague can use."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import hashlib
import json
import shutil
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.money import USD, format_amount, sums_by_unit
from ..errors import BundleError, MediaError
from ..media.store import StoredFile, ensure_private_folder, exported_name, imported_name
from ..remedies import Option, Remedy
from ..reprs import short_repr
from ..runlog import MediaStore, RunLog, RunRecord
from ..runlog.ballots import merge_votes
from ..runlog.maintenance import Merged, add_runs, stored_files
from ..settings import save_to_project
from .bundle_files import (
    EXTRA,
    LARGEST_TEXT,
    LOCK,
    MANIFEST,
    METADATA,
    PREVIEW,
    README,
    RECORDS,
    REQUIREMENTS,
    Bundle,
    is_extra_name,
    read_bundle,
)  # fmt: skip
from .crate import CrateFile, crate_metadata
from .gallery import gallery_page
from .records import Records, read_lines, write_lines
from .requirements import imported_modules, lock_text, requirements_text
from .secrets import refuse_secrets, refuse_secrets_in_notebook, secrets_in_use

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["Made", "make_bundle", "merge_bundle", "open_into"]


@short_repr()
@dataclass(frozen=True, slots=True)
class Made:
    """A bundle that was made.

    Attributes:
        path: Where it is.
        runs: How many runs it holds.
        media: How many files.
        missing: Results whose file is not here, and so not in it.
        size_bytes: Of all files.
        modules: Modules that the notebook imports and that neither an installed package nor an added file holds.
        left_out: One sentence for each run that the reader of bundles would refuse.
    """

    path: Path
    runs: int
    media: int
    missing: int
    size_bytes: int
    modules: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def make_bundle(
    session: Session,
    out: Path,
    runs: Sequence[RunRecord],
    *,
    notebook: Path | None = None,
    add: Sequence[Path] = (),
) -> Made:
    """Write a bundle: a zip file where *out* ends in `.zip`, else a directory.

    Args:
        session: Whose log and store to take from.
        out: Where to; nothing may be there yet.
        runs: What to put in; only finished ones go.
        notebook: The notebook that goes with them.
        add: Further files, which are put beside the notebook when the bundle is opened.

    It is read back and checked before it gets its name.

    Raises:
        BundleError: There is something already, a key was found, or it cannot be written. Then nothing is left behind.
    """
    if out.exists():
        raise BundleError(f"{out} is there already; give another name")
    known = secrets_in_use(session.settings)
    texts: dict[str, str] = {}
    if notebook is not None:
        texts[notebook.name] = _checked_notebook(notebook, known)
    finished = [run for run in runs if run.is_finished and not (run.is_imported and not run.results)]
    session.recovery.fetch(finished)
    finished, stored, missing = _with_media(session, finished)
    finished, left_out = _readable(session.log, finished)
    texts[RECORDS] = "".join(write_lines(session.log, finished))
    for line in texts[RECORDS].removesuffix("\n").split("\n"):
        refuse_secrets(line, _place_of(line), known)
    added = _extra_files(add, notebook, known)
    files = {f"media/{name}": path for name, path in stored.items()} | {
        f"{EXTRA}{n}": path for n, path in added.items()
    }
    modules = imported_modules(json.loads(texts[notebook.name])) if notebook is not None else []
    texts[REQUIREMENTS], unknown = requirements_text(modules, extra=added)
    texts[LOCK] = lock_text(modules)
    title = notebook.stem if notebook is not None else out.stem
    texts[PREVIEW] = gallery_page(session, finished, title=title, link=lambda result: _link_to(result.file, stored))
    texts[README] = _readme(title, notebook)
    work: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = out.parent / f".bundle-{uuid.uuid4().hex}"  # not `tempfile`, whose folders ignore the umask
        work.mkdir()
        listed = _write_all(work, texts, files)
        _describe(work, listed, title, finished)
        if out.suffix.lower() == ".zip":
            _pack(work, out)
        else:
            _read_back(work)
            work.rename(out)
    except OSError as error:
        raise BundleError(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
    return Made(out, len(finished), len(stored), missing, sum(each.size_bytes for each in listed), unknown, left_out)


def open_into(path: Path, folder: Path) -> tuple[Bundle, Merged]:
    """Open a bundle in a folder of its own: notebook, pictures and log, in replay mode. Nothing in it runs.

    Raises:
        BundleError: It is damaged or hostile, or the folder is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleError(f"{folder} is not empty; give a new folder")
    was_there = folder.exists()
    with read_bundle(path) as bundle:
        bundle.check(tolerant=True)
        records = bundle.records(tolerant=True)
        try:
            merged = _unpack(bundle, records, folder)
        except BaseException as error:
            for left in list(folder.iterdir()) if was_there else [folder]:  # it was empty, so all of it is ours
                shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise BundleError(
                    f"{folder} cannot be written: {error.strerror or error}. Nothing was opened"
                ) from error
            raise
    return bundle, merged


def _unpack(bundle: Bundle, records: Records, folder: Path) -> Merged:
    folder.mkdir(parents=True, exist_ok=True)
    for name in bundle.notebooks:
        _copy(bundle, name, folder / name)
    for name in bundle.extra_files:
        _copy(bundle, f"{EXTRA}{name}", folder / name)
    # The folder is new, so nothing of the user can be hidden, and the notebook may name the files by their paths.
    _adopt_media(records, MediaStore(folder / "runware_images"), bundle, keeps_names=True)
    home = folder / ".runware"
    ensure_private_folder(home)
    log = RunLog(home)
    try:
        merged = _merge(log, records)
    finally:
        log.close()
    save_to_project(home, {"mode": "replay"})
    return merged


def merge_bundle(session: Session, path: Path) -> Merged:
    """Add the runs of a bundle, or of a file of records, to the log; runs that are there already stay as they are.

    Raises:
        BundleError: It is damaged, hostile, or no records of ours.
        RunLogError: The log cannot be written.
    """
    store = session.media
    with contextlib.ExitStack() as stack:
        bundle: Bundle | None = None
        if path.is_file() and not zipfile.is_zipfile(path):
            records = _read_file(path)
        else:
            bundle = stack.enter_context(read_bundle(path))
            bundle.check(tolerant=True)
            records = bundle.records(tolerant=True)
        added: list[str] = []
        try:
            added = _adopt_media(records, store, bundle)
            merged = _merge(session.log, records)
            if len(merged.added) < len(records.runs):  # runs that were here already keep the files that they had
                with session.log.reading() as connection:
                    store.remove(set(added) - stored_files(connection, added))
        except BaseException as error:
            store.remove(added)  # no run of the log refers to them
            if isinstance(error, OSError):
                reason = error.strerror or error
                raise BundleError(f"{store.folder} cannot be written: {reason}. Nothing was imported") from error
            raise
    return dataclasses.replace(merged, skipped=tuple(f"{path.name}, {sentence}" for sentence in merged.skipped))


def _not_text(path: Path) -> str:
    """Return what is wrong with a file that is neither a complete archive nor text."""
    with path.open("rb") as file:
        is_archive = file.read(4) == b"PK\x03\x04"
    if is_archive:
        return f"{path} is an incomplete or damaged ZIP archive: its directory is missing. Copy or download it again"
    return f"{path} is neither a ZIP archive nor a file of runware_nb records: it is not UTF-8 text"


def _read_file(path: Path) -> Records:
    """Read a file of records.

    Raises:
        BundleError: It is too large, or not a file of records.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_TEXT:
            raise BundleError(f"{path} has {size:,} bytes: expected {LARGEST_TEXT:,} bytes at most")
        with path.open(encoding="utf-8", newline="\n") as lines:
            return read_lines(lines, tolerant=True)
    except UnicodeDecodeError as error:
        raise BundleError(f"{_not_text(path)}. Nothing was imported") from error
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    except BundleError as error:
        raise BundleError(f"{path.name}, {error}. Nothing was imported") from error


def _link_to(file: str | None, stored: Mapping[str, Path]) -> str | None:
    name = exported_name(file)
    return f"media/{name}" if name in stored else None


def _readable(log: RunLog, runs: Sequence[RunRecord]) -> tuple[list[RunRecord], tuple[str, ...]]:
    """Leave out the runs that the reader would refuse, such as one that the service refused for a seed of 100 digits.

    Returns:
        The others, and a sentence for each that is left out.
    """
    read = read_lines(write_lines(log, runs), tolerant=True)
    kept = [run for run in runs if run.task_uuid.lower() in read.uuids]
    if len(kept) == len(runs):
        return kept, ()
    why: dict[str, str] = {}
    for run in runs:
        if run.task_uuid.lower() not in read.uuids:
            sentences = read_lines(write_lines(log, [run]), tolerant=True).skipped
            reason = sentences[-1].partition(": ")[2] if sentences else "its record cannot be read"
            why[run.task_uuid] = f"run {run.task_uuid[:8]} is not in the bundle: {reason}"
    return kept, tuple(why.values())


def _checked_notebook(path: Path, known: Sequence[str]) -> str:
    try:
        text = path.read_text(encoding="utf-8")
        read = json.loads(text)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise BundleError(f"{path} is no notebook: {error}") from error
    if path.suffix != ".ipynb" or not isinstance(read, dict) or not isinstance(read.get("cells"), list):
        raise BundleError(f"{path} is no notebook: it has no cells")
    refuse_secrets_in_notebook(read, path.name, known)
    for key in known:
        if key in text:
            raise BundleError(f"{path.name} holds an API key in use; nothing was exported")
    return text


def _place_of(line: str) -> str:
    """Say where a record comes from, for the sentence about a key in it."""
    item = json.loads(line)
    if item["kind"] == "cell":
        return f"the log's copy of the cell that begins with {item['source'].strip().splitlines()[:1]!r}"
    cell = f" of cell [{item['execution_count']}]" if item.get("execution_count") is not None else ""
    return (
        f"the record of run {item['task_uuid'][:8]}{cell}" if item["kind"] == "run" else "the record of an environment"
    )


def _with_media(session: Session, runs: Sequence[RunRecord]) -> tuple[list[RunRecord], dict[str, Path], int]:
    """Find the files of runs.

    Returns:
        The runs, in which a result whose file is gone, or is not what was logged, says so: its reader must not look
        for it; the files by name; and how many are missing.
    """
    digests: dict[str, str] = {}
    paths: dict[str, Path] = {}
    lost: set[str] = set()

    def is_here(name: str, expected: str | None = None) -> bool:
        path, shown_name = session.recovery.find_file(name), exported_name(name)
        if path is None or paths.get(shown_name, path) != path:  # an imported file may have the same name
            lost.add(name)
            return False
        if name not in digests:
            digests[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        if expected is not None and digests[name] != expected:
            lost.add(name)
            return False
        paths[shown_name] = path
        return True

    shown = []
    for run in runs:
        results = [
            result
            if result.file is None or is_here(result.file, result.stored_sha256) or result.medium_state != "stored"
            else dataclasses.replace(result, medium_state="missing")
            for result in run.results
        ]
        for item in run.inputs:
            if item.get("file"):
                is_here(item["file"])
        shown.append(dataclasses.replace(run, results=results))
    return shown, dict(sorted(paths.items())), len(lost)


def _write_all(work: Path, texts: Mapping[str, str], files: Mapping[str, Path]) -> list[CrateFile]:
    described = {RECORDS: "every run: request, seed, cost, hashes, cell", PREVIEW: "the pictures, to look at",
                 README: "how to use this bundle",
                 REQUIREMENTS: "the packages that the notebook imports",
                 LOCK: "these packages and their dependencies"}  # fmt: skip
    listed = []
    for name, text in texts.items():
        body = text.encode()
        (work / name).write_bytes(body)
        listed.append(_listed(name, body, described.get(name, "the notebook")))
    for name, source in files.items():
        target = work / name
        target.parent.mkdir(parents=True, exist_ok=True)
        body = source.read_bytes()
        target.write_bytes(body)
        listed.append(_listed(name, body, "added when the bundle was exported" if name.startswith(EXTRA) else ""))
    return listed


def _listed(name: str, body: bytes, description: str) -> CrateFile:
    from ..core.media_types import sniff

    kind = sniff(body) if name.startswith("media/") else None
    return CrateFile(name, len(body), hashlib.sha256(body).hexdigest(), kind, description)


def _describe(work: Path, listed: Sequence[CrateFile], title: str, runs: Sequence[RunRecord]) -> None:
    from .. import __version__

    known = sums_by_unit((run.cost, run.cost_unit) for run in runs)
    costs = " and ".join(
        f"${amount:.4f}" if unit == USD else format_amount(amount, unit) for unit, amount in known.items()
    )
    text = crate_metadata(
        title=title,
        description=f"{len(runs)} runs of generative models, made with runware_nb, with their requests, results, "
        f"seeds and costs ({costs or '$0.0000'} in all)",
        published=dt.datetime.now(dt.UTC).date().isoformat(),
        files=listed,
        runs=runs,
        version=__version__,
    )
    (work / METADATA).write_text(text, encoding="utf-8")
    sums = [(each.name, each.sha256) for each in listed] + [(METADATA, hashlib.sha256(text.encode()).hexdigest())]
    (work / MANIFEST).write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(sums)), encoding="utf-8")


def _pack(work: Path, out: Path) -> None:
    packed = work.with_suffix(".zip")
    try:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(work.rglob("*")):
                if path.is_file():
                    is_text = path.suffix in {".jsonl", ".json", ".html", ".ipynb", ".txt", ".md"}
                    how = zipfile.ZIP_DEFLATED if is_text and not _packs_too_well(path) else zipfile.ZIP_STORED
                    archive.write(path, path.relative_to(work).as_posix(), compress_type=how)
        _read_back(packed)
        packed.rename(out)
    finally:
        packed.unlink(missing_ok=True)


def _packs_too_well(path: Path) -> bool:
    """Return whether a text would pack so small that the reader takes it for a file made to fill the disk."""
    body = path.read_bytes()
    return len(zlib.compress(body)) * 100 < len(body)


def _read_back(path: Path) -> None:
    """Check a bundle that was written, as its reader will, before it gets its name.

    Raises:
        BundleError: It cannot be read back, because of a fault in this package.
    """
    try:
        with read_bundle(path) as bundle:
            bundle.check()
    except BundleError as error:
        raise BundleError(f"The bundle was written, but could not be read back, so it was deleted: {error}") from error


def _extra_files(add: Sequence[Path], notebook: Path | None, known: Sequence[str]) -> dict[str, Path]:
    """Name the added files: by the path from the notebook's folder for those below it, else by the file name alone."""
    base = (notebook.parent if notebook is not None else Path()).resolve()
    named: dict[str, Path] = {}
    for path in add:
        full = path.resolve()
        name = full.relative_to(base).as_posix() if full.is_relative_to(base) else full.name
        if not full.is_file():
            raise BundleError(f"Cannot add {path}: it is not a file. Nothing was exported.").with_remedy(
                Remedy("Add each file by itself: {0}.", (Option("add", "FILE", python='add=["FILE"]'),))
            )
        if not is_extra_name(name):
            raise BundleError(
                f"Cannot add {name}: a file with this name could be hidden, replace another file or run by itself when "
                "the bundle is opened. Nothing was exported. Rename the file"
            )
        if name.lower() in {other.lower() for other in named}:
            raise BundleError(f"Cannot add two files named {name}. Nothing was exported. Rename one of them")
        body = full.read_bytes()
        if any(key and key.encode() in body for key in known):
            raise BundleError(f"{name} contains an API key in use. Nothing was exported. Remove the key from the file")
        if b"\x00" not in body:
            refuse_secrets(body.decode("utf-8", "replace"), name, known)
        named[name] = full
    return named


def _copy(bundle: Bundle, name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        for piece in bundle.pieces(name):
            file.write(piece)


def _adopt_media(records: Records, store: MediaStore, bundle: Bundle | None, *, keeps_names: bool = False) -> list[str]:
    """Store the files of imported runs apart from the user's own, and update their names in the records.

    What a record states about a file is not believed: hash, size and type are those of the content. A file of records
    contains no media. A file of the user's own folder or bucket then belongs to a record only if its content has the
    hash that the record states, so that no record can show another file of the user.

    Returns:
        Names of the files that are new in the store.

    Raises:
        BundleError: A file of the bundle cannot be read.
        OSError: The store cannot be written.
    """
    adopted: dict[tuple[str, str | None], StoredFile | None] = {}
    added: list[str] = []

    def adopt(name: str, expected: str | None) -> StoredFile | None:
        key = name, None if bundle is not None else expected
        if key not in adopted:
            pieces = _pieces_of(store, bundle, name, expected)
            adopted[key] = None
            if pieces is not None:
                before = set(added)
                with contextlib.suppress(MediaError):  # not a file of a media type that this package shows
                    file, is_new = store.adopt(pieces, name=name if keeps_names else None)
                    adopted[key] = file
                    if is_new and file.name not in before:
                        added.append(file.name)
        return adopted[key]

    try:
        for run in records.runs:
            for result in run.results:
                file = None if result.file is None else adopt(result.file, result.stored_sha256)
                if file is not None:
                    result.file, result.stored_sha256, result.medium_state = file.name, file.sha256, "stored"
                    result.size_bytes, result.media_type = file.size_bytes, file.media_type
                    result.received_sha256 = result.received_sha256 or file.sha256
                elif result.file is not None and not keeps_names:
                    # The file is missing, and a file of the user must not be shown in its place.
                    result.file = imported_name(result.file)
            for medium in run.inputs:
                file = None if "file" not in medium else adopt(medium["file"], medium.get("sha256"))
                if file is not None:
                    medium["file"] = file.name
                elif "file" in medium and not keeps_names:
                    medium["file"] = imported_name(medium["file"])
    except BaseException:
        store.remove(added)
        raise
    return added


def _pieces_of(store: MediaStore, bundle: Bundle | None, name: str, expected: str | None) -> Iterable[bytes] | None:
    if bundle is not None:
        return bundle.pieces(f"media/{name}") if f"media/{name}" in bundle.sizes else None
    path = store.find(name) if expected is not None else None
    body = None if path is None else path.read_bytes()
    return [body] if body is not None and hashlib.sha256(body).hexdigest() == expected else None


def _readme(title: str, notebook: Path | None) -> str:
    look = f"Open {PREVIEW} to look at the pictures; records.jsonl has every request, seed, cost and hash.\n"
    run = (
        "\nTo run the notebook again from what is recorded, without a key, a network or any cost:\n\n"
        "    pip install runware-nb\n"
        f"    runware-nb bundle open THIS_BUNDLE {title}\n\n"
        "and open the notebook in that folder. Opening runs nothing.\n"
    )
    run += f"\n{REQUIREMENTS} pins the packages that the notebook imports; {LOCK} also pins their dependencies.\n"
    return f"# {title}\n\nMade with runware_nb, as an RO-Crate 1.1. `sha256sum -c {MANIFEST}` checks it.\n\n{look}" + (
        run if notebook is not None else ""
    )


def _merge(log: RunLog, records: Records) -> Merged:
    """Add runs, and then the votes on them."""
    merged = add_runs(log, records.runs, sources=records.sources, snapshots=records.snapshots, used=records.uses)
    merge_votes(log, records.votes)
    return dataclasses.replace(merged, skipped=(*records.skipped, *merged.skipped))
