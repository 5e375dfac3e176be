"""Keeping house: stars, forgetting, and what other people's logs bring along."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ..core.amounts import parse_amount
from ..errors import RunLogError, RunNotFound
from ..media.store import FILE_NAME
from ..remedies import Remedy, command
from ..reprs import short_repr
from .databases import in_words, upsert_for
from .queries import in_chunks
from .records import RunRecord, UseRecord
from .rows import parent_rows, result_row, run_row, use_row
from .schema import attempts, cells, environments, results, run_parents, run_tags, runs, uploads, uses, votes
from .store import RunLog

__all__ = ["Merged", "add_runs", "forget_runs", "mark_favourite", "note_perceptual_hash", "rate_result", "stored_files"]


@short_repr()
@dataclass(frozen=True, slots=True)
class Merged:
    """What an import did.

    Attributes:
        added: Task UUIDs of runs that are new here.
        known: How many were here already, and were left alone.
        skipped: One sentence for each record that cannot be used here.
    """

    added: list[str]
    known: int
    skipped: tuple[str, ...] = ()


def rate_result(log: RunLog, run_uuid: str, position: int | None, stars: int | None) -> None:
    """Give stars to a result, or to all results of a run; None takes them away.

    Raises:
        RunNotFound: The run has no such result.
        RunLogError: The log cannot be written.
    """
    mine = sa.and_(results.c.run_uuid == run_uuid, results.c.error.is_(None))
    if position is not None:
        mine = sa.and_(mine, results.c.position == position)
    best = sa.select(sa.func.max(results.c.rating)).where(results.c.run_uuid == run_uuid).scalar_subquery()
    with log.changing() as connection:
        changed = connection.execute(sa.update(results).where(mine).values(rating=stars))
        if not changed.rowcount:
            which = "has no result" if position is None else f"has no result #{position + 1}"
            raise RunNotFound(f"run {run_uuid[:8]} {which} to rate")
        connection.execute(sa.update(runs).where(runs.c.task_uuid == run_uuid).values(best_rating=best))


def mark_favourite(log: RunLog, run_uuid: str, position: int, *, is_favourite: bool) -> None:
    """Mark a result as a favourite, or no longer.

    Raises:
        RunNotFound: The run has no such result.
        RunLogError: The log cannot be written.
    """
    mine = sa.and_(results.c.run_uuid == run_uuid, results.c.position == position, results.c.error.is_(None))
    with log.changing() as connection:
        changed = connection.execute(sa.update(results).where(mine).values(is_favourite=int(is_favourite)))
        if not changed.rowcount:
            raise RunNotFound(f"run {run_uuid[:8]} has no result #{position + 1}")


def note_perceptual_hash(log: RunLog, run_uuid: str, position: int, value: str) -> None:
    """Keep a perceptual hash that was worked out."""
    mine = sa.and_(results.c.run_uuid == run_uuid, results.c.position == position)
    with log.changing() as connection:
        connection.execute(sa.update(results).where(mine).values(perceptual_hash=value))


def forget_runs(log: RunLog, task_uuids: Sequence[str], *, damaged: Sequence[int] = ()) -> list[str]:
    """Remove finished runs, and the texts of cells that no other run came from; what they cost stays in the summaries.

    Args:
        log: From where.
        task_uuids: Which runs.
        damaged: Numbers of rows that cannot be read, which are removed whether they are finished or not.

    Returns:
        Files of the store that no other run refers to any more.

    Raises:
        RunLogError: One of them is unfinished (it may be paid for), or the log cannot be written.
    """
    left: set[str] = set()
    sources: set[str] = set()
    with log.changing() as connection:
        for some in in_chunks(task_uuids):
            mine = runs.c.task_uuid.in_(some)
            is_open = sa.and_(runs.c.finished_at_utc.is_(None), runs.c.is_imported == 0)
            open_ones = sa.select(runs.c.task_uuid).where(mine, is_open).limit(1)
            unfinished = connection.execute(open_ones).scalar()
            if unfinished is not None:
                raise RunLogError(
                    f"Run {unfinished[:8]} is unfinished and may have been charged. Nothing was deleted."
                ).with_remedy(Remedy("Collect it first with {0}.", (command("resume", python="rw.resume()"),)))
        chosen = [runs.c.task_uuid.in_(some) for some in in_chunks(task_uuids)]
        chosen += [runs.c.id.in_(some) for some in in_chunks(damaged)]
        for mine in chosen:
            # by subquery: the UUID of a damaged row need not be a text
            named_runs = sa.select(runs.c.task_uuid).where(mine, runs.c.task_uuid.is_not(None))
            theirs = results.c.run_uuid.in_(named_runs)
            named = sa.select(results.c.file).where(theirs, results.c.file.is_not(None))
            for name in connection.execute(named).scalars():
                left.update(_files_in(name))
            for text in connection.execute(sa.select(runs.c.inputs).where(mine, runs.c.inputs.is_not(None))).scalars():
                left.update(_files_in(text))
            hashed = sa.select(runs.c.cell_hash).where(mine, runs.c.cell_hash.is_not(None))
            sources.update(key for key in connection.execute(hashed).scalars() if isinstance(key, str))
            used_by = sa.select(uses.c.cell_hash).where(uses.c.run_uuid.in_(named_runs), uses.c.cell_hash.is_not(None))
            sources.update(key for key in connection.execute(used_by).scalars() if isinstance(key, str))
            connection.execute(sa.delete(uses).where(uses.c.run_uuid.in_(named_runs)))
            ids = sa.select(runs.c.id).where(mine)
            connection.execute(sa.delete(run_tags).where(run_tags.c.run_id.in_(ids)))
            # The runs that were made from these keep what they say about their origin, as they keep their files.
            connection.execute(sa.delete(run_parents).where(run_parents.c.task_uuid.in_(named_runs)))
            connection.execute(sa.delete(attempts).where(attempts.c.run_uuid.in_(named_runs)))
            connection.execute(sa.delete(results).where(theirs))
            connection.execute(
                sa.delete(votes).where(votes.c.left_uuid.in_(named_runs) | votes.c.right_uuid.in_(named_runs))
            )
            connection.execute(sa.delete(runs).where(mine))
        for hashes in in_chunks(sorted(sources)):  # a cell's text holds the prompt
            used = sa.select(runs.c.cell_hash).where(runs.c.cell_hash.is_not(None)).union(
                sa.select(uses.c.cell_hash).where(uses.c.cell_hash.is_not(None))
            )  # fmt: skip
            connection.execute(sa.delete(cells).where(cells.c.hash.in_(hashes), cells.c.hash.not_in(used)))
        unused = sorted(left - stored_files(connection, left))
        for some in in_chunks([name.rpartition("/")[2].partition(".")[0] for name in unused]):  # named by their hashes
            connection.execute(sa.delete(uploads).where(uploads.c.given_sha256.in_(some)))
    log.note_removed(sources)
    return unused


def stored_files(connection: sa.Connection, among: Iterable[str] | None = None) -> set[str]:
    """Give the files that runs refer to.

    Args:
        connection: To the log.
        among: Only of these; all where None.
    """
    named = sa.select(results.c.file).where(results.c.file.is_not(None))
    wanted = None if among is None else set(among)
    found: set[str] = set()
    if wanted is None:
        found.update(name for text in connection.execute(named).scalars() for name in _files_in(text))
    else:
        for some in in_chunks(sorted(wanted)):
            # A file is named by what was received, or by what it contains.
            hashes = [name.rpartition("/")[2].partition(".")[0] for name in some]
            for column in (results.c.received_sha256, results.c.stored_sha256):
                texts = connection.execute(named.where(column.in_(hashes))).scalars()
                found.update(name for text in texts for name in _files_in(text))
    found.update(_input_files(connection, sa.true()))
    return found if wanted is None else found & wanted


def add_runs(
    log: RunLog,
    records: Iterable[RunRecord],
    *,
    sources: Mapping[str, str],
    snapshots: Mapping[str, Any],
    used: Sequence[UseRecord] = (),
) -> Merged:
    """Add finished runs of another log; runs that are here already stay as they are.

    A run that this database refuses (a number or a text that does not fit) is left out and named: each run stands for
    itself, so the others are as good without it.

    Args:
        log: Where to.
        records: What to add, with results and tags.
        sources: Sources of cells by hash.
        snapshots: Environments by hash.
        used: Later uses; those of runs that are added now are added too.

    Raises:
        RunLogError: The log cannot be written; then nothing was added.
    """
    added: list[str] = []
    skipped: list[str] = []
    known = 0
    by_run: dict[str, list[UseRecord]] = {}
    for use in used:
        by_run.setdefault(use.run_uuid, []).append(use)
    with log.changing() as connection:
        for record in records:
            try:
                with connection.begin_nested():
                    is_new = _add_run(connection, record, by_run.get(record.task_uuid, ()), sources, snapshots)
            except (sa.exc.DataError, sa.exc.IntegrityError, OverflowError, ValueError) as error:
                skipped.append(f"run {record.task_uuid[:8]} does not fit into this log: {in_words(error)}")
                continue
            if is_new:
                added.append(record.task_uuid)
            else:
                known += 1
    return Merged(added, known, tuple(skipped))


def _add_run(
    connection: sa.Connection,
    record: RunRecord,
    used: Iterable[UseRecord],
    sources: Mapping[str, str],
    snapshots: Mapping[str, Any],
) -> bool:
    """Add a run with all that belongs to it; return whether it is new."""
    upsert = upsert_for(connection.dialect)
    record.is_imported, record.is_joinable = True, False
    row = {**run_row(record), "finished_at_utc": record.finished_at_utc, "duration_s": record.duration_s,
           "cost": parse_amount(record.cost), "best_rating": record.best_rating,
           "error": None if record.error is None else json.dumps(record.error)}  # fmt: skip
    # A later attempt of the user's own run has a UUID of its own, by which the run is found: it stays the user's.
    if connection.execute(sa.select(attempts.c.run_uuid).where(attempts.c.task_uuid == record.task_uuid)).first():
        return False
    new = connection.execute(upsert(runs).values(row).on_conflict_do_nothing().returning(runs.c.id)).scalar()
    if new is None:
        return False
    for result in record.results:
        extra = {"rating": result.rating, "perceptual_hash": result.perceptual_hash,
                 "is_favourite": int(result.is_favourite)}  # fmt: skip
        connection.execute(sa.insert(results).values(**result_row(record.task_uuid, result), **extra))
    for parent in parent_rows(record):
        connection.execute(sa.insert(run_parents).values(**parent))
    texts = [
        (cells, record.cell_hash, "source", sources),
        (environments, record.environment_hash, "snapshot", snapshots),
    ]
    for use in used:
        connection.execute(sa.insert(uses).values(use_row(use)))
        texts.append((cells, use.cell_hash, "source", sources))
    tags = {tag[:200]: 1 for use in used for tag in use.tags} | {tag[:200]: 0 for tag in record.tags}
    for tag, of_use in tags.items():
        connection.execute(sa.insert(run_tags).values(tag=tag, run_id=new, of_use=of_use))
    for table, key, column, given in texts:
        if key is not None and key in given:
            text = given[key] if isinstance(given[key], str) else json.dumps(given[key], sort_keys=True)
            text = text.replace("\x00", "\ufffd")
            connection.execute(upsert(table).values({"hash": key, column: text}).on_conflict_do_nothing())
    return True


def _input_files(connection: sa.Connection, which: sa.ColumnElement[bool]) -> set[str]:
    """Give the files that runs were made from."""
    texts = connection.execute(sa.select(runs.c.inputs).where(which, runs.c.inputs.is_not(None))).scalars()
    return {name for text in texts for name in _files_in(text)}


def _files_in(text: Any) -> list[str]:
    """List the files that a column names. It may be damaged: what it still names must not be deleted as unused."""
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    return FILE_NAME.findall(text) if isinstance(text, str) else []
