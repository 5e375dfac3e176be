"""The log of one home folder: writing what happens, finding what happened."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ..core.amounts import parse_amount
from ..core.money import USD, Money
from ..errors import ArgumentInvalid, RunLogError, RunNotFound
from ..forking import block_fork, disconnect, release_before_fork, restart_after_fork
from ..remedies import LIST_RUNS, Remedy, command
from .damage import Damage, DamagedRow, RunDamaged
from .databases import BUSY_S, ONE_WRITER, Change, in_words
from .filters import RunFilter
from .opening import name_of_log, open_engine
from .queries import MOST_CELLS, cell_number, cells_beginning, in_chunks, notebooks_named, select_runs
from .records import (
    UNFINISHED_STATES,
    FoundResult,
    ResultRecord,
    RunClaimed,
    RunMissing,
    RunRecord,
    State,
    Uploaded,
    UseRecord,
    this_process,
)
from .reopening import Database
from .rows import (
    RowError,
    parent_of_row,
    parent_rows,
    result_of,
    result_row,
    run_of,
    run_row,
    storable,
    use_of,
    use_row,
)
from .schema import (
    LONGEST_KEY,
    attempts,
    cells,
    environments,
    has_own_id,
    results,
    run_parents,
    run_tags,
    runs,
    uploads,
    uses,
)
from .spending import OwnCosts, limit_values, median_cost, refuse_over_budget
from .statements import Statements, is_incomplete
from .writer import Writer

__all__ = ["RunLog"]


def _gone(cursor: Any) -> None:
    if cursor.rowcount != 1:
        raise RunMissing("this run is no longer in the log")


def _refuse_over_budget(estimate: Money, provider: str, cursor: Any) -> None:
    refuse_over_budget(cursor.fetchall(), estimate, provider)


_SHOW_RUN = Remedy("{0} shows it.", (command("show", "UUID"),))
_STRETCH = 1000
"""Runs that are read at a time while all are looked at."""
_NOT_SENT = "Nothing was sent."


def _claimed(cursor: Any) -> None:
    if cursor.rowcount != 1:
        raise RunClaimed("this run is being sent by another kernel, or has left the log")


def _known(cursor: Any) -> None:
    if cursor.rowcount != 1:
        raise RunLogError("The fate of this run is known by now.").with_remedy(_SHOW_RUN)


class RunLog:
    """The log of one home folder.

    Args:
        home: Folder that holds the SQLite file.
        log_url: A database instead of that file.

    Attributes:
        name: Where it is, in words, without passwords.
        damage: The rows that could not be read.

    Raises:
        RunLogError: It cannot be opened.
    """

    def __init__(self, home: Path, log_url: str | None = None) -> None:
        with block_fork():
            self._engine = open_engine(home, log_url)
        self.name = name_of_log(self._engine.url)
        self._sql = Statements(self._engine.dialect)
        self._database = Database(self._engine, self._sql, None if log_url else home, on_replaced=self._on_replaced)
        self._writer = Writer(self._database, self._sql)
        self.damage = Damage()
        self._stored: set[str] = set()
        self._is_closed = False
        release_before_fork(self)
        restart_after_fork(self)

    def release(self) -> None:
        """Close the connections to an SQLite file before a fork.

        SQLite keeps its locks per process: a child that inherits an open file believes that it holds the parent's
        locks, and the parent could then remove the write-ahead log that the child is writing. PostgreSQL's driver
        tells processes apart by itself.
        """
        if self._engine.dialect.name == "sqlite" and not self._is_closed:
            self._writer.release()
            self._database.release()

    def restart_in_child(self) -> None:
        """Start a writer and connections of this process; what the parent has queued, the parent writes."""
        disconnect((), self._writer, self._engine.pool)
        self._engine.dispose(close=False)
        self._database.restart_in_child()
        if not self._is_closed:
            self._writer = Writer(self._database, self._sql)

    def hold(self, run: RunRecord) -> None:
        """Keep an unfinished run that this process continues: it is written again if the log is replaced."""
        if not run.is_finished:
            self._database.in_flight.hold(run)

    def _on_replaced(self) -> None:
        self._stored.clear()  # the new log has none of these texts

    # --- writing: queued at once, in order; each future is done once the commit is durable ---------

    def prepare(
        self,
        run: RunRecord,
        *,
        cell_source: str | None = None,
        environment: str | None = None,
        limit: Money | None = None,
        is_paid: bool = False,
    ) -> asyncio.Future[None]:
        """Write a run to disk before anything is sent, and reserve its estimate in every budget that applies.

        Args:
            run: The run; its `cost_unit` is fixed from here on, and its estimate is in this unit.
            cell_source: Source of its cell.
            environment: Description of its environment, as JSON.
            limit: The limit of the session's settings; None without one. It applies to runs in its unit only. Limits
                that were set with the `budget` command hold in any case.
            is_paid: Whether it was submitted elsewhere, and only its results are collected: then no budget refuses it.

        Raises:
            RunLogError: It cannot be written, so it must not be sent.
            TwinExists: The same request is unfinished in the log, and the new one can join it.
            BudgetExceeded: A limit would be exceeded.
        """
        steps: list[Change] = [(self._sql.insert_run, run_row(run), _gone)]
        steps += [(self._sql.insert_parent, row, None) for row in parent_rows(run)]
        fresh = set()
        kept: list[Change] = []
        for key, statement, body in (
            (run.cell_hash, self._sql.insert_cell, cell_source),
            (run.environment_hash, self._sql.insert_environment, environment),
        ):
            if key is None or body is None:
                continue
            text: Change = (statement, {"hash": key, "body": body.replace("\x00", "\ufffd")}, None)
            if key in self._stored:
                kept.append(text)
            else:
                fresh.add(key)
                steps.append(text)
        steps += [(self._sql.insert_tag, {"run_uuid": run.task_uuid, "tag": tag}, None) for tag in run.tags]
        # An unknown price cannot be reserved. Under a budget, such runs are sent one at a time, after a question.
        estimate = Money(parse_amount(run.estimate) or 0.0, run.cost_unit)
        price: dict[str, Any] = {
            "provider": run.provider,
            "unit": run.cost_unit,
            "notebook": (run.notebook or "")[:LONGEST_KEY],
            "estimate": estimate.amount,
        }
        steps.append((self._sql.reserve, price, None))
        limits = {**price, **limit_values(limit, run.cost_unit)}
        refuse = functools.partial(_refuse_over_budget, estimate, run.provider)
        if not is_paid:
            steps.append((self._sql.over_budget, limits, refuse))
        if limit is not None and limit.unit == run.cost_unit:
            self._database.limited.add((run.provider, limit.unit))
        done = self._writer.write(steps, run_uuid=run.task_uuid, kept=kept, consequence=_NOT_SENT)
        if fresh:
            done.add_done_callback(lambda _: self._note_stored(done, fresh))
        return done

    def mark_sent(
        self, run_uuid: str, attempt_uuid: str, number: int, at_utc: str, request: str, *, remote_id: str | None = None
    ) -> asyncio.Future[None]:
        """Claim an attempt, before its first byte leaves.

        Args:
            run_uuid: The run.
            attempt_uuid: UUID of the attempt.
            number: Number of the attempt, from 1.
            at_utc: Time of sending, in ISO 8601.
            request: The task as sent, as JSON, without secrets.
            remote_id: The service's id of the attempt, where we choose it; None where the service does.

        Raises:
            RunClaimed: Another process has claimed it.
            RunLogError: It cannot be written: it must not be sent.
        """
        values = {"run_uuid": run_uuid, "attempt_uuid": attempt_uuid, "number": number, "at_utc": at_utc}
        claim = {**values, "before": number - 1, "request": request, "sender": this_process(),
                 "remote_id": remote_id}  # fmt: skip
        steps: list[Change] = [(self._sql.claim, claim, _claimed)]
        if number > 1 and attempt_uuid != run_uuid:  # a service that chooses ids has no further UUID to be found by
            steps.append((self._sql.insert_attempt, values, _gone))
        return self._writer.write(steps, run_uuid=run_uuid, consequence=_NOT_SENT if number == 1 else "")

    def mark_refused(self, run_uuid: str, attempt_uuid: str) -> asyncio.Future[None]:
        """Withdraw the claim of an attempt that the service refused: the run is as if it had not been sent.

        Args:
            run_uuid: The run.
            attempt_uuid: UUID of the attempt. If another one was claimed meanwhile, nothing changes.

        Raises:
            RunLogError: It cannot be written, or another attempt was claimed.
        """
        values = {"run_uuid": run_uuid, "attempt_uuid": attempt_uuid, "sender": this_process()}
        return self._writer.write([(self._sql.refused, values, _gone)], run_uuid=run_uuid)

    def accepted(self, run_uuid: str, remote_id: str, at_utc: str) -> asyncio.Future[None]:
        """Record that the service accepted a run, and the id under which the service has it.

        Without this id nothing can collect the result of a service that chooses its ids: do not go on before the
        future is done. A run that is discarded or detached stays so.

        Args:
            run_uuid: The run.
            remote_id: The service's id: any text of any length.
            at_utc: When, in ISO 8601.

        Raises:
            RunLogError: It cannot be written. The task was accepted all the same, and may be charged.
        """
        values = {"run_uuid": run_uuid, "remote_id": storable(remote_id), "at_utc": at_utc}
        return self._writer.write([(self._sql.accepted, values, _gone)], run_uuid=run_uuid)

    def mark_unknown(self, run: RunRecord, error: dict[str, Any], at_utc: str) -> asyncio.Future[None]:
        """Record that a run was sent and that nobody can tell whether the service accepted it.

        Nothing changes if another kernel has claimed the run again meanwhile, has got its id, or has finished it.

        It may have been charged: what is reserved for it stays reserved, and it is never sent again by itself. It ends
        when the service accepts it after all (`accepted`, `add_results`) or when it is finished.

        Args:
            run: The run, with the time and the id of the attempt that this is about.
            error: What is known, as an error object with `code` and `message`.
            at_utc: When, in ISO 8601.

        Raises:
            RunLogError: It cannot be written.
        """
        values = {"run_uuid": run.task_uuid, "error": json.dumps(error), "at_utc": at_utc,
                  "sent_at_utc": run.sent_at_utc or "", "remote_id": run.remote_id or ""}  # fmt: skip
        steps: list[Change] = [
            (self._sql.touch, {"run_uuid": run.task_uuid}, _gone), (self._sql.mark_unknown, values, None),
        ]  # fmt: skip
        return self._writer.write(steps, run_uuid=run.task_uuid)

    def add_results(
        self, run_uuid: str, records: Iterable[ResultRecord], *, accepted: bool = True
    ) -> asyncio.Future[None]:
        """Record results as they came; recording one again replaces it.

        Raises:
            RunLogError: It cannot be written.
        """
        steps: list[Change] = [(self._sql.put_result, result_row(run_uuid, record), _gone) for record in records]
        if accepted:
            steps.append((self._sql.accept, {"run_uuid": run_uuid}, None))
        return self._writer.write(steps, run_uuid=run_uuid)

    def add_text_so_far(self, run_uuid: str, record: ResultRecord) -> asyncio.Future[None]:
        """Record a text while it is written. It replaces only an earlier part of it, in a run that has not ended.

        Raises:
            RunLogError: It cannot be written.
        """
        steps: list[Change] = [
            (self._sql.put_text_so_far, result_row(run_uuid, record), None),
            (self._sql.accept, {"run_uuid": run_uuid}, None),
        ]
        return self._writer.write(steps, run_uuid=run_uuid)

    def finish(
        self, run_uuid: str, state: State, *, at_utc: str, duration_s: float | None, cost: Money | None,
        error: dict[str, Any] | None, records: Iterable[ResultRecord] = (), tagged: bool = True,
        only_unknown: bool = False,
    ) -> asyncio.Future[None]:  # fmt: skip
        """Complete a run, with any results not yet recorded, and enter its cost.

        Args:
            run_uuid: Which run.
            state: What became of it.
            at_utc: When.
            duration_s: From sending to the last result, in seconds.
            cost: What the service charged; None is unknown. So is a cost in another unit than the run was prepared in.
            error: What ended it.
            records: Results to put or replace.
            tagged: Whether it may have labels.
            only_unknown: Whether it is completed only if its fate is still unknown: the user has decided about it, and
                another kernel may have found its result since.

        Raises:
            RunLogError: It cannot be written, or its fate is no longer unknown.
        """
        steps: list[Change] = [(self._sql.still_unknown, {"run_uuid": run_uuid}, _known)] if only_unknown else []
        steps += [(self._sql.put_result, result_row(run_uuid, record), _gone) for record in records]
        # A sum that is not finite could never be corrected in the roll-up.
        amount, unit = (None, USD) if cost is None else (parse_amount(cost.amount), cost.unit)
        price = {"cost": amount, "unit": unit}
        amounts = {"run_uuid": run_uuid, **price, "has_results": int(state in {State.SUCCEEDED, State.PARTIAL})}
        steps.append((self._sql.roll_up, amounts, None))
        if tagged:
            steps.append((self._sql.roll_up_tags, amounts, None))
        steps.append((self._sql.settle, amounts, None))
        values = {"run_uuid": run_uuid, "state": state.value, "at_utc": at_utc, "duration_s": duration_s,
                  **price, "error": None if error is None else json.dumps(error)}  # fmt: skip
        return self._writer.write([*steps, (self._sql.finish, values, _gone)], run_uuid=run_uuid, ends=True)

    def set_state(self, run_uuid: str, state: State) -> asyncio.Future[None]:
        """Mark an unfinished run as detached, discarded or unknown; one that is unknown stays so.

        Raises:
            RunLogError: It cannot be written.
        """
        change: Change = (self._sql.set_state, {"run_uuid": run_uuid, "state": state.value}, None)
        return self._writer.write([change], run_uuid=run_uuid)

    def restore(self, run_uuid: str) -> asyncio.Future[None]:
        """Show a discarded run again that is still in progress, because the same request was made again.

        Raises:
            RunLogError: It cannot be written.
        """
        return self._writer.write([(self._sql.restore, {"run_uuid": run_uuid}, None)])

    def drop_unsent(self, run_uuid: str, at_utc: str) -> asyncio.Future[None]:
        """Finish a run that never left, and free what was reserved for it; one that left stays as it is.

        Raises:
            RunLogError: It cannot be written.
        """
        freed = {"run_uuid": run_uuid}
        dropped = {"run_uuid": run_uuid, "at_utc": at_utc}
        steps: list[Change] = [(self._sql.settle_unsent, freed, None), (self._sql.drop_unsent, dropped, None)]
        return self._writer.write(steps, run_uuid=run_uuid)

    def add_use(self, use: UseRecord, on_error: Callable[[Exception], None], *, cell_source: str | None = None) -> None:
        """Record a later use of a run: queued at once, from any thread, without waiting.

        Args:
            use: What used it; its tags count in filters from then on.
            on_error: Called with the failure, on any thread.
            cell_source: Source of the cell.
        """
        steps: list[Change] = []
        if use.cell_hash is not None and cell_source is not None and use.cell_hash not in self._stored:
            body = cell_source.replace("\x00", "\ufffd")
            steps.append((self._sql.insert_cell, {"hash": use.cell_hash, "body": body}, None))
        steps.append((self._sql.insert_use, use_row(use), None))
        self._writer.write_unawaited([*steps, *self._tag_steps(use)], on_error)

    def add_tags_of_use(self, use: UseRecord, on_error: Callable[[Exception], None]) -> None:
        """Write the tags of a use to its run once more: the run was perhaps not on disk when it was joined."""
        if use.tags:
            self._writer.write_unawaited(self._tag_steps(use), on_error)

    def note_upload(
        self,
        service: str,
        sha256: str,
        media_uuid: str,
        at_utc: str,
        on_error: Callable[[Exception], None],
        *,
        given_sha256: str | None = None,
    ) -> None:
        """Remember that a service has a medium, or that it was used again: queued at once, without waiting.

        Args:
            service: The service and the account. Another account does not have the medium.
            sha256: Hash of what was sent.
            media_uuid: The service's UUID of it.
            at_utc: When it was used, in ISO 8601.
            on_error: Called with the failure, on any thread. It costs another upload at most.
            given_sha256: Hash of the file as it was given; None if it was sent as it is.
        """
        values = {"service": service, "sha256": sha256, "given_sha256": given_sha256 or sha256,
                  "media_uuid": storable(media_uuid), "at_utc": at_utc}  # fmt: skip
        self._writer.write_unawaited([(self._sql.put_upload, values, None)], on_error)

    def forget_upload(self, service: str, sha256: str, on_error: Callable[[Exception], None]) -> None:
        """Forget that a service has a medium, because it refused a task that named it."""
        values = {"service": service, "sha256": sha256}
        self._writer.write_unawaited([(self._sql.drop_upload, values, None)], on_error)

    def _tag_steps(self, use: UseRecord) -> list[Change]:
        return [(self._sql.insert_tag_of_use, {"run_uuid": use.run_uuid, "tag": tag[:200]}, None) for tag in use.tags]

    # --- reading -------------------------------------------------------------------------------------

    def find(self, ref: str) -> RunRecord:
        """Find a run by the UUID of any attempt, by the service's id of it, or by the first characters of its own UUID.

        Raises:
            RunNotFound: None fits, or more than one.
            RunDamaged: It is there, but its row cannot be read.
        """
        by_attempt = sa.select(attempts.c.run_uuid).where(attempts.c.task_uuid == ref)
        exact: sa.ColumnElement[bool] = runs.c.task_uuid.in_(sa.select(sa.literal(ref)).union_all(by_attempt))
        number = ref.removeprefix("row:")
        if number != ref and number.isascii() and number.isdecimal() and len(number) < 10:
            exact = runs.c.id == int(number)
        found, damaged = ([], []) if "\x00" in ref else self._read(sa.select(runs).where(exact))
        found = _own_first(found)
        if not found and not damaged and "\x00" not in ref:
            found, damaged = self._read(sa.select(runs).where(runs.c.remote_id == ref, has_own_id).limit(2))
            found = _own_first(found)
        if not found and not damaged and len(ref) >= 4 and all(c in "0123456789abcdefABCDEF-" for c in ref):
            begin = ref.lower()
            among = sa.and_(runs.c.task_uuid >= begin, runs.c.task_uuid < begin + "g")
            found, damaged = self._read(sa.select(runs).where(among).order_by(runs.c.is_imported).limit(2))
            found = _own_first(found)
        if damaged and not found:
            raise RunDamaged(damaged)
        if len(found) + len(damaged) != 1:
            why = "Several runs have the id or begin with" if found else "The log has no run"
            raise RunNotFound(f"{why} {ref!r}.").with_remedy(LIST_RUNS)
        return found[0]

    def select(self, wanted: RunFilter) -> list[RunRecord]:
        """List the runs that a filter lets pass.

        Raises:
            RunLogError: The log cannot be read.
        """
        return self.read(self.statement(wanted))

    def statement(self, wanted: RunFilter) -> sa.Select[Any]:
        """Write the statement of a filter, in this log's words.

        Raises:
            RunLogError: The log cannot be read.
        """
        name, cell = wanted.notebook, wanted.cell
        notebooks, cells = [name] if name else [], list[str]()
        with self.reading() as connection:
            if name and "/" not in name and "\\" not in name:
                notebooks = list(connection.execute(notebooks_named(name)).scalars())
            if cell and cell_number(cell) is None:
                cells = list(connection.execute(cells_beginning(cell)).scalars())
        if len(cells) > MOST_CELLS:
            raise ArgumentInvalid(
                "cell", cell, f"more characters of its id: more than {MOST_CELLS} cells have this beginning"
            )
        return select_runs(wanted, self._engine.dialect.name, notebooks=notebooks, cells=cells)

    def count_matching(self, wanted: RunFilter, *, at_most: int) -> int:
        """Return how many runs a filter selects on all pages together; *at_most* + 1 stands for any larger number.

        The bound keeps the count as quick as the query itself in a log of a million runs.

        Raises:
            RunLogError: The log cannot be read.
        """
        every = dataclasses.replace(wanted, limit=at_most + 1, page=1)
        counted = self.statement(every).with_only_columns(runs.c.id).order_by(None).subquery()
        with self.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(counted)).scalar_one())

    def recent(self, limit: int | None = 20) -> list[RunRecord]:
        """List runs, newest first, without re-runs; None for all."""
        return self.select(RunFilter(limit=limit))

    def pending(self) -> list[RunRecord]:
        """List runs that are not finished, oldest first."""
        return self.read(sa.select(runs).where(_unfinished()).order_by(runs.c.id))

    def find_twin(self, request_hash: str) -> RunRecord | None:
        """Find an unfinished run of the very same request; None if there is none.

        A run that the unique index of joinable runs holds comes first: there is at most one. A discarded run counts
        if it was sent: its result is paid for, and answers the same request.
        """
        discarded = sa.and_(
            runs.c.state == State.DISCARDED.value, runs.c.finished_at_utc.is_(None), runs.c.attempts > 0
        )
        same = sa.and_(runs.c.request_hash == request_hash, sa.or_(_unfinished(), discarded), _is_own())
        is_hidden = sa.case((runs.c.state == State.DISCARDED.value, 1), else_=0)
        found = self.read(
            sa.select(runs).where(same).order_by(is_hidden, runs.c.is_joinable.desc(), runs.c.id).limit(1)
        )
        return found[0] if found else None

    def find_recorded(self, request_hash: str) -> RunRecord | None:
        """Find the user's newest run of the very same request that succeeded; None if there is none.

        A discarded run whose results were collected answers as well: it is hidden, but it is paid for.
        """
        collected = sa.and_(
            runs.c.state == State.DISCARDED.value,
            runs.c.finished_at_utc.is_not(None),
            runs.c.attempts > 0,
            runs.c.error.is_(None),
        )
        same = sa.and_(
            runs.c.request_hash == request_hash,
            sa.or_(runs.c.state == State.SUCCEEDED.value, collected),
            runs.c.is_imported == 0,
            runs.c.replay_of.is_(None),
            # An incomplete text answers no request, and must not hide an older run that does.
            ~sa.exists().where(results.c.run_uuid == runs.c.task_uuid, is_incomplete(results.c.raw)),
        )
        found = self.read(sa.select(runs).where(same).order_by(runs.c.id.desc()).limit(1))
        return found[0] if found else None

    def asked(self, hashes: Sequence[str]) -> list[RunRecord]:
        """List finished runs that asked for the same, one's own before those of others. For replay mode."""
        ended = [State.SUCCEEDED.value, State.PARTIAL.value, State.FAILED.value, State.DISCARDED.value]
        same = sa.and_(
            runs.c.asked_hash.in_(hashes),
            runs.c.state.in_(ended),
            runs.c.finished_at_utc.is_not(None),
            runs.c.replay_of.is_(None),
        )
        return self.read(sa.select(runs).where(same).order_by(runs.c.is_imported, runs.c.id.desc()))

    def find_result(
        self, *, sha256: str | None = None, item_uuid: str | None = None, with_imported: bool = False
    ) -> FoundResult | None:
        """Find a result by the hash of its bytes (as received, or as stored) or by the service's UUID of it.

        Args:
            sha256: The hash.
            item_uuid: The UUID.
            with_imported: Whether results of others count, too. They state any hash and UUID that their author chose,
                so they count only in replay mode, which sends nothing. The user's own come first.

        Returns:
            The newest result that fits; None for none.
        """
        columns = ("item_uuid",) if item_uuid is not None else ("received_sha256", "stored_sha256")
        of_result = ("run_uuid", "received_sha256", "file", "position", "item_uuid", "url", "media_type")
        wanted = sa.select(*(results.c[name] for name in of_result), runs.c.provider, runs.c.finished_at_utc)
        wanted = wanted.join(runs, runs.c.task_uuid == results.c.run_uuid).where(results.c.received_sha256.is_not(None))
        kinds = [runs.c.is_imported == 0, *([runs.c.is_imported == 1] if with_imported else [])]
        with self.reading() as connection:
            for kind in kinds:
                for name in columns:  # one by one: for an "or" the database would leave both indexes alone
                    same = wanted.where(results.c[name] == (item_uuid or sha256), kind)
                    row = connection.execute(same.order_by(results.c.id.desc()).limit(1)).mappings().first()
                    if row is not None:
                        return _found_result(row)
        return None

    def find_upload(self, service: str, sha256: str) -> Uploaded | None:
        """Return a medium that a service was sent, by the hash of what was sent; None if it was not sent from here.

        Args:
            service: The service and the account, as `note_upload` got it.
            sha256: The hash.
        """
        return self._find_uploaded(service, uploads.c.sha256 == sha256)

    def find_uploaded(self, service: str, media_uuid: str) -> Uploaded | None:
        """Return a medium that was uploaded by its UUID; None if it was not uploaded from here."""
        return self._find_uploaded(service, uploads.c.media_uuid == media_uuid)

    def _find_uploaded(self, service: str, which: sa.ColumnElement[bool]) -> Uploaded | None:
        wanted = sa.select(uploads.c.media_uuid, uploads.c.sha256, uploads.c.given_sha256, uploads.c.used_at_utc)
        with self.reading() as connection:
            row = connection.execute(wanted.where(uploads.c.service == service, which)).first()
        return Uploaded(*row) if row is not None and all(isinstance(value, str) for value in row) else None

    def runs_with_uuids(self, task_uuids: Sequence[str]) -> list[RunRecord]:
        """List the runs with these task UUIDs, oldest first; those that are not in the log are left out."""
        found: list[RunRecord] = []
        for some in in_chunks(task_uuids):
            found += self.read(sa.select(runs).where(runs.c.task_uuid.in_(some)).order_by(runs.c.id))
        return found

    def children_of(self, task_uuids: Sequence[str]) -> list[RunRecord]:
        """List the runs that were made from results of others, oldest first."""
        found: list[RunRecord] = []
        for some in in_chunks(task_uuids):
            made = sa.select(run_parents.c.task_uuid).where(run_parents.c.parent_uuid.in_(some))
            found += self.read(sa.select(runs).where(runs.c.task_uuid.in_(made)).order_by(runs.c.id))
        return list({run.task_uuid: run for run in found}.values())

    def runs_of_cells(self, hashes: Sequence[str], ids: Sequence[str]) -> list[RunRecord]:
        """List the runs that cells sent or used later; cells are known by the hash of their source or by their id."""
        selected: dict[str, RunRecord] = {}
        for name, values in (("cell_hash", hashes), ("cell_id", ids)):
            for some in in_chunks(values):
                used = sa.select(uses.c.run_uuid).where(uses.c[name].in_(some))
                for which in (runs.c[name].in_(some), runs.c.task_uuid.in_(used)):
                    selected.update((run.task_uuid, run) for run in self.read(sa.select(runs).where(which)))
        return list(selected.values())

    def runs_used_in(self, notebook: str) -> list[RunRecord]:
        """List the runs that a notebook used later, by its path or its file name."""
        ends = [uses.c.notebook.endswith(f"{slash}{notebook}", autoescape=True) for slash in ("/", "\\")]
        used = sa.select(uses.c.run_uuid).where(sa.or_(uses.c.notebook == notebook, *ends))
        return self.read(sa.select(runs).where(runs.c.task_uuid.in_(used)))

    def runs_named(self, task_uuids: Sequence[str]) -> list[RunRecord]:
        """List the runs among these UUIDs, which may be those of later attempts or of results."""
        selected: dict[str, RunRecord] = {}
        for some in in_chunks(task_uuids):
            by_attempt = sa.select(attempts.c.run_uuid).where(attempts.c.task_uuid.in_(some))
            by_result = sa.select(results.c.run_uuid).where(results.c.item_uuid.in_(some))
            for which in (runs.c.task_uuid.in_(some), runs.c.task_uuid.in_(by_attempt.union(by_result))):
                selected.update((run.task_uuid, run) for run in self.read(sa.select(runs).where(which)))
        return list(selected.values())

    def uses_of(self, task_uuids: Sequence[str]) -> list[UseRecord]:
        """List the later uses of runs, oldest first; the first use of each is in the run itself."""
        found: list[UseRecord] = []
        for some in in_chunks(task_uuids):
            mine = sa.select(uses).where(uses.c.run_uuid.in_(some)).order_by(uses.c.id)
            with self.reading() as connection:
                found += self.damage.read(connection.execute(mine).mappings(), use_of, table="uses")
        return found

    def median_cost(
        self,
        task: Mapping[str, Any],
        provider: str,
        *,
        results_of: Callable[[Mapping[str, Any]], int],
        unit: str = USD,
    ) -> OwnCosts | None:
        """Look up what the user's own runs of this kind cost; None if the log has none with a known cost.

        Args:
            task: In the spelling of its provider.
            provider: The service that the task would be sent to.
            results_of: Returns how many results a request of this provider asks for, at least 1.
            unit: The unit in which it charges.
        """
        with self.reading() as connection:
            return median_cost(connection, task, provider, results_of, unit)

    def count(self) -> int:
        """Count all runs."""
        with self.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(runs)).scalar_one())

    def cell_source(self, cell_hash: str) -> str | None:
        """Give the source of a cell by its hash."""
        with self.reading() as connection:
            source = connection.execute(sa.select(cells.c.source).where(cells.c.hash == cell_hash)).scalar()
        if source is not None and not isinstance(source, str):
            self.damage.note("cells", cell_hash, None, RowError("the source is not a text"))
            return None
        return source

    def environment(self, environment_hash: str) -> dict[str, Any] | None:
        """Give the snapshot of versions by its hash."""
        with self.reading() as connection:
            found = sa.select(environments.c.snapshot).where(environments.c.hash == environment_hash)
            text = connection.execute(found).scalar()
        try:
            snapshot = {} if text is None else json.loads(text)
            if not isinstance(snapshot, dict):
                raise RowError("the snapshot is not a JSON object")
        except (ValueError, TypeError, RecursionError) as error:
            self.damage.note("environments", environment_hash, None, RowError(f"the snapshot cannot be read: {error}"))
            return None
        return None if text is None else snapshot

    def read(self, statement: sa.Select[Any]) -> list[RunRecord]:
        """Read runs with their results and tags, in the statement's order; damaged rows are left out (see `damage`).

        Raises:
            RunLogError: The log cannot be read.
        """
        return self._read(statement)[0]

    def _read(self, statement: sa.Select[Any]) -> tuple[list[RunRecord], list[DamagedRow]]:
        """Read runs one by one, and name the rows of runs that cannot be read."""
        selected: list[RunRecord] = []
        damaged: list[DamagedRow] = []
        by_id: dict[Any, RunRecord] = {}
        with self.reading() as connection:
            for row in connection.execute(statement).mappings():
                try:
                    run = run_of(row)
                except RowError as error:
                    damaged.append(self.damage.note("runs", row["id"], row["task_uuid"], error))
                    continue
                selected.append(run)
                by_id[row["id"]] = run
            by_uuid = {run.task_uuid: run for run in selected}
            for some in in_chunks(list(by_uuid)):
                parts = sa.select(results).where(results.c.run_uuid.in_(some)).order_by(results.c.position)
                for row in connection.execute(parts).mappings():
                    for result in self.damage.read([row], result_of, table="results"):
                        run = by_uuid[row["run_uuid"]]
                        result.cost_unit = run.cost_unit
                        run.results.append(result)
                made_from = sa.select(run_parents).where(run_parents.c.task_uuid.in_(some))
                for row in connection.execute(made_from.order_by(run_parents.c.number)).mappings():
                    by_uuid[row["task_uuid"]].parents += tuple(
                        self.damage.read([row], parent_of_row, table="run_parents", number="task_uuid", run="task_uuid")
                    )
            for some in in_chunks(list(by_id)):
                labels = sa.select(run_tags).where(run_tags.c.run_id.in_(some)).order_by(run_tags.c.tag)
                for row in connection.execute(labels).mappings():
                    run = by_id[row["run_id"]]
                    if isinstance(row["tag"], str):
                        run.tags += (row["tag"],)
                    else:
                        odd = RowError("the tag is not a text")
                        self.damage.note("run_tags", row["run_id"], run.task_uuid, odd)
        return selected, damaged

    def find_damaged(self, *, newest: int | None = None) -> list[DamagedRow]:
        """List the rows of runs that cannot be read.

        Args:
            newest: How many runs to look at, newest first; None for all.
        """
        damaged: list[DamagedRow] = []
        before: int | None = None
        looked_at = 0
        while newest is None or looked_at < newest:
            stretch = sa.select(runs).order_by(runs.c.id.desc()).limit(_STRETCH)
            if before is not None:
                stretch = stretch.where(runs.c.id < before)
            with self.reading() as connection:
                rows = connection.execute(stretch).mappings().all()
            for row in rows:
                try:
                    run_of(row)
                except RowError as error:
                    damaged.append(self.damage.note("runs", row["id"], row["task_uuid"], error))
            if len(rows) < _STRETCH:
                break
            before, looked_at = rows[-1]["id"], looked_at + len(rows)
        return damaged

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Lend a connection to read with.

        Raises:
            RunLogError: The log cannot be read.
        """
        try:
            with block_fork(), self._connected() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            raise RunLogError(f"the log cannot be read: {in_words(error)}") from error

    @contextlib.contextmanager
    def changing(self) -> Iterator[sa.Connection]:
        """Lend a connection to change something that nobody waits for on the wire; committed at the end.

        Raises:
            RunLogError: The log cannot be written.
        """
        try:
            with block_fork(), self._connected() as connection:
                if connection.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN IMMEDIATE")  # a reader that turns writer may be refused
                else:
                    connection.exec_driver_sql(ONE_WRITER)
                yield connection
                connection.commit()
        except sa.exc.SQLAlchemyError as error:
            raise RunLogError(f"the log cannot be written: {in_words(error)}") from error

    def _connected(self) -> sa.Connection:
        """Return a connection to the database that is at its place now."""
        if not self._is_closed and self._database.is_changed():
            self._writer.renew(BUSY_S)
        return self._database.lend()

    def close(self) -> None:
        """Write what is waiting and close."""
        self._writer.close()
        self._is_closed = True
        with block_fork():
            if self._engine.dialect.name == "sqlite" and not self._database.is_changed():
                with contextlib.suppress(sa.exc.SQLAlchemyError), self._engine.connect() as connection:
                    connection.exec_driver_sql("PRAGMA analysis_limit=400")
                    connection.exec_driver_sql("PRAGMA optimize")  # samples briefly, so that it picks the best index
            self._engine.dispose()

    def note_removed(self, hashes: Iterable[str]) -> None:
        """Note that texts of cells have been removed: the next run of such a cell writes its own again."""
        self._stored.difference_update(hashes)

    # --- inside --------------------------------------------------------------------------------------

    def _note_stored(self, done: asyncio.Future[None], hashes: set[str]) -> None:
        if not done.cancelled() and done.exception() is None:
            self._stored |= hashes


def _found_result(row: Mapping[Any, Any]) -> FoundResult:
    """Build a found result from its row; a value that is damaged counts as unknown."""
    text = {name: value if isinstance(value, str) else None for name, value in row.items()}
    position = row["position"]
    return FoundResult(
        str(row["run_uuid"]), str(row["received_sha256"]), text["file"],
        position if isinstance(position, int) else 0, text["item_uuid"], str(row["provider"]), text["url"],
        text["finished_at_utc"], text["media_type"],
    )  # fmt: skip


def _own_first(found: list[RunRecord]) -> list[RunRecord]:
    """Leave imported runs out where a reference fits one's own as well: no import makes it ambiguous."""
    return [run for run in found if not run.is_imported] or found


def _unfinished() -> sa.ColumnElement[bool]:
    states = [state.value for state in UNFINISHED_STATES]
    # A run of somebody else's log is never sent, asked about or joined, whatever its record says.
    return sa.and_(runs.c.finished_at_utc.is_(None), runs.c.state.in_(states), _is_own())


def _is_own() -> sa.ColumnElement[bool]:
    return runs.c.is_imported == 0
