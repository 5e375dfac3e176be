"""Writing and reading the log: many writers, one thread, one commit for all that is waiting."""

from __future__ import annotations

import asyncio
import json
import queue
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert as upsert

from ..errors import RunLogError, RunNotFound
from .opening import open_engine
from .records import UNFINISHED_STATES, ResultRecord, RunRecord, State
from .schema import attempts, cells, environments, results, run_tags, runs

__all__ = ["RunLog"]

_MOST_IN_A_COMMIT = 512


@dataclass(slots=True)
class _Write:
    """Statements that are committed together.

    Attributes:
        steps: SQL text and parameters; with True, exactly one row must change or the write fails.
        loop: Where the future lives.
        done: Resolved once the commit is durable.
        error: What went wrong.
        after: A write that this one has been merged into, and fails with.
    """

    steps: list[tuple[str, dict[str, Any], bool]]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]
    error: Exception | None = field(default=None)
    after: _Write | None = field(default=None)


class RunLog:
    """The log of one home folder.

    Args:
        home: Folder that holds the SQLite file.
        log_url: A database instead of that file.

    Raises:
        RunLogError: It cannot be opened.
    """

    def __init__(self, home: Path, log_url: str | None = None) -> None:
        self._engine = open_engine(home, log_url)
        self._sql = _Statements(self._engine.dialect)
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._stored: set[str] = set()
        self._closing = threading.Lock()
        self._is_closed = False
        self._writer = threading.Thread(target=self._write_forever, name="runware log", daemon=True)
        self._writer.start()

    # --- writing: queued at once, in order; each future is done once the commit is durable ---------

    def prepare(
        self, run: RunRecord, *, cell_source: str | None = None, environment: str | None = None
    ) -> asyncio.Future[None]:
        """Put a run on disk before anything is sent.

        Raises:
            RunLogError: It cannot be written, so it must not be sent.
        """
        steps: list[tuple[str, dict[str, Any], bool]] = [(self._sql.insert_run, _run_row(run), True)]
        fresh = set()
        for key, statement, body in (
            (run.cell_hash, self._sql.insert_cell, cell_source),
            (run.environment_hash, self._sql.insert_environment, environment),
        ):
            if key is not None and body is not None and key not in self._stored:
                fresh.add(key)
                steps.append((statement, {"hash": key, "body": body}, False))
        steps += [(self._sql.insert_tag, {"run_uuid": run.task_uuid, "tag": tag}, False) for tag in run.tags]
        done = self._write(steps)
        if fresh:
            done.add_done_callback(lambda _: self._note_stored(done, fresh))
        return done

    def mark_sent(
        self, run_uuid: str, attempt_uuid: str, number: int, at_utc: str, request: str
    ) -> asyncio.Future[None]:
        """Claim an attempt, before its first byte leaves.

        Raises:
            RunLogError: Another process has claimed it, or it cannot be written: it must not be sent.
        """
        values = {"run_uuid": run_uuid, "attempt_uuid": attempt_uuid, "number": number, "at_utc": at_utc}
        steps = [(self._sql.claim, {**values, "before": number - 1, "request": request}, True)]
        if number > 1:
            steps.append((self._sql.insert_attempt, values, True))
        return self._write(steps)

    def add_results(
        self, run_uuid: str, records: Iterable[ResultRecord], *, accepted: bool = True
    ) -> asyncio.Future[None]:
        """Record results as they came; recording one again replaces it.

        Raises:
            RunLogError: It cannot be written.
        """
        steps = [(self._sql.put_result, _result_row(run_uuid, record), True) for record in records]
        if accepted:
            steps.append((self._sql.accept, {"run_uuid": run_uuid}, False))
        return self._write(steps)

    def finish(
        self, run_uuid: str, state: State, *, at_utc: str, duration_s: float | None, cost_usd: float | None,
        error: dict[str, Any] | None, records: Iterable[ResultRecord] = (),
    ) -> asyncio.Future[None]:  # fmt: skip
        """Complete a run, with any results not yet recorded.

        Raises:
            RunLogError: It cannot be written.
        """
        steps = [(self._sql.put_result, _result_row(run_uuid, record), True) for record in records]
        values = {"run_uuid": run_uuid, "state": state.value, "at_utc": at_utc, "duration_s": duration_s,
                  "cost_usd": cost_usd, "error": None if error is None else json.dumps(error)}  # fmt: skip
        return self._write([*steps, (self._sql.finish, values, True)])

    def set_state(self, run_uuid: str, state: State) -> asyncio.Future[None]:
        """Mark an unfinished run as detached or discarded.

        Raises:
            RunLogError: It cannot be written.
        """
        return self._write([(self._sql.set_state, {"run_uuid": run_uuid, "state": state.value}, False)])

    # --- reading -------------------------------------------------------------------------------------

    def find(self, ref: str) -> RunRecord:
        """Find a run by the UUID of any attempt, or by the first characters of its own.

        Raises:
            RunNotFound: None fits, or more than one.
        """
        by_attempt = sa.select(attempts.c.run_uuid).where(attempts.c.task_uuid == ref)
        exact = runs.c.task_uuid.in_(sa.select(sa.literal(ref)).union_all(by_attempt))
        found = self._select(sa.select(runs).where(exact))
        if not found and len(ref) >= 4 and all(c in "0123456789abcdefABCDEF-" for c in ref):
            found = self._select(sa.select(runs).where(runs.c.task_uuid.like(f"{ref.lower()}%")).limit(2))
        if len(found) != 1:
            why = "several runs begin with" if found else "the log has no run"
            raise RunNotFound(f"{why} {ref!r}; `%runware log` lists them")
        return found[0]

    def recent(self, limit: int = 20) -> list[RunRecord]:
        """List runs, newest first."""
        visible = runs.c.state != State.DISCARDED.value
        return self._select(sa.select(runs).where(visible).order_by(runs.c.id.desc()).limit(limit))

    def pending(self) -> list[RunRecord]:
        """List runs that are not finished, oldest first."""
        return self._select(sa.select(runs).where(_unfinished()).order_by(runs.c.id))

    def find_twin(self, request_hash: str) -> RunRecord | None:
        """Find an unfinished run of the very same request; None when there is none."""
        same = sa.select(runs).where(runs.c.request_hash == request_hash, _unfinished()).order_by(runs.c.id).limit(1)
        found = self._select(same)
        return found[0] if found else None

    def find_recorded(self, request_hash: str) -> RunRecord | None:
        """Find the newest run of the very same request that succeeded; None when there is none."""
        same = sa.and_(runs.c.request_hash == request_hash, runs.c.state == State.SUCCEEDED.value)
        found = self._select(sa.select(runs).where(same).order_by(runs.c.id.desc()).limit(1))
        return found[0] if found else None

    def count(self) -> int:
        """Count all runs."""
        with self._reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(runs)).scalar_one())

    def cell_source(self, cell_hash: str) -> str | None:
        """Give the source of a cell by its hash."""
        with self._reading() as connection:
            return connection.execute(sa.select(cells.c.source).where(cells.c.hash == cell_hash)).scalar()

    def close(self) -> None:
        """Write what is waiting and close."""
        with self._closing:  # nothing is queued behind the end, where nobody would ever write it
            if self._is_closed:
                return
            self._is_closed = True
            self._queue.put(None)
        self._writer.join(timeout=10)
        self._engine.dispose()

    # --- inside --------------------------------------------------------------------------------------

    def _reading(self) -> sa.Connection:
        try:
            return self._engine.connect()
        except sa.exc.SQLAlchemyError as error:
            raise RunLogError(f"the log cannot be read: {error}") from error

    def _select(self, statement: sa.Select[Any]) -> list[RunRecord]:
        try:
            with self._reading() as connection:
                rows = connection.execute(statement).mappings().all()
                found = [_run_of(row) for row in rows]
                by_uuid = {run.task_uuid: run for run in found}
                if by_uuid:
                    mine = results.c.run_uuid.in_(list(by_uuid))
                    ordered = sa.select(results).where(mine).order_by(results.c.run_uuid, results.c.position)
                    for row in connection.execute(ordered).mappings():
                        by_uuid[row["run_uuid"]].results.append(_result_of(row))
                    labels = sa.select(run_tags).where(run_tags.c.run_uuid.in_(list(by_uuid)))
                    for row in connection.execute(labels).mappings():
                        by_uuid[row["run_uuid"]].tags += (row["tag"],)
                return found
        except sa.exc.SQLAlchemyError as error:
            raise RunLogError(f"the log cannot be read: {str(error).splitlines()[0]}") from error

    def _note_stored(self, done: asyncio.Future[None], hashes: set[str]) -> None:
        if not done.cancelled() and done.exception() is None:
            self._stored |= hashes

    def _write(self, steps: list[tuple[str, dict[str, Any], bool]]) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        write = _Write(steps, loop, loop.create_future())
        with self._closing:
            if self._is_closed:
                write.done.set_exception(RunLogError("the log has been closed"))
            else:
                self._queue.put(write)
        return write.done

    def _write_forever(self) -> None:
        """Commit whatever has gathered while the last commit was being made durable."""
        connection: Any = None
        is_open = True
        while is_open:
            batch: list[_Write] = []
            item = self._queue.get()
            while True:
                if item is None:
                    is_open = False
                    break
                batch.append(item)
                if len(batch) >= _MOST_IN_A_COMMIT or self._queue.empty():
                    break
                item = self._queue.get()
            if not batch:
                break
            try:
                connection = connection or self._engine.raw_connection()
                self._commit(connection, batch)
            except Exception as error:  # noqa: BLE001 - the thread must live; every waiter is told
                for write in batch:
                    write.error = write.error or error
            _resolve(batch)
        if connection is not None:
            connection.close()

    def _commit(self, connection: Any, batch: list[_Write]) -> None:
        """Commit all writes at once; where one fails, each alone, so that it takes no other with it."""
        try:
            self._execute(connection, batch)
        except Exception:
            connection.rollback()
            if len(batch) == 1:
                raise
            for write in batch:
                write.error = write.after.error if write.after is not None else None
                if write.error is not None:
                    continue
                try:
                    self._execute(connection, [write])
                except Exception as error:  # noqa: BLE001 - whatever it is, its waiter is told
                    connection.rollback()
                    write.error = error

    def _execute(self, connection: Any, batch: list[_Write]) -> None:
        self._merge_claims(batch)
        cursor = connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        for write in batch:
            for sql, values, must_change in write.steps:
                cursor.execute(sql, values)
                if must_change and cursor.rowcount != 1:
                    raise RunLogError("this run is being sent by another kernel, or has left the log")
        connection.commit()
        cursor.close()

    def _merge_claims(self, batch: list[_Write]) -> None:
        """Insert a run as sent at once where its claim waits in the same commit: one statement less."""
        inserted: dict[str, tuple[_Write, dict[str, Any]]] = {}
        for write in batch:
            sql, values, _ = write.steps[0] if write.steps else ("", {}, False)
            if sql == self._sql.insert_run:
                inserted[values["task_uuid"]] = write, values
            elif sql == self._sql.claim and values["before"] == 0 and values["run_uuid"] in inserted:
                write.after, row = inserted[values["run_uuid"]]
                row.update(state="sent", attempts=1, sent_at_utc=values["at_utc"], request=values["request"])
                write.steps = write.steps[1:]


class _Statements:
    """The hot statements as SQL text, made once from the table definitions."""

    def __init__(self, dialect: sa.Dialect) -> None:
        def text(statement: sa.ClauseElement) -> str:
            return str(statement.compile(dialect=dialect))

        def bind(*names: str) -> dict[str, sa.BindParameter[Any]]:
            return {name: sa.bindparam(name) for name in names}

        def word(value: str | int) -> sa.ColumnElement[Any]:
            return sa.literal_column(repr(value))  # a constant of ours, never anything from outside

        mine = runs.c.task_uuid == sa.bindparam("run_uuid")
        self.insert_run = text(sa.insert(runs).values(bind(*_RUN_COLUMNS)))
        self.insert_tag = text(upsert(run_tags).values(bind("run_uuid", "tag")).on_conflict_do_nothing())
        body: Any = sa.bindparam("body")
        key: Any = sa.bindparam("hash")
        self.insert_cell = text(upsert(cells).values(hash=key, source=body).on_conflict_do_nothing())
        self.insert_environment = text(upsert(environments).values(hash=key, snapshot=body).on_conflict_do_nothing())
        self.insert_attempt = text(
            sa.insert(attempts).values(
                task_uuid=sa.bindparam("attempt_uuid"), run_uuid=sa.bindparam("run_uuid"),
                number=sa.bindparam("number"), sent_at_utc=sa.bindparam("at_utc"),
            )
        )  # fmt: skip
        self.claim = text(
            sa.update(runs)
            .where(mine, runs.c.attempts == sa.bindparam("before"))
            .values(
                state=sa.case((runs.c.state == word("prepared"), word("sent")),
                              else_=runs.c.state),
                attempt_uuid=sa.bindparam("attempt_uuid"), attempts=sa.bindparam("number"),
                sent_at_utc=sa.bindparam("at_utc"), request=sa.bindparam("request"),
            )
        )  # fmt: skip
        put = upsert(results).values(bind(*_RESULT_COLUMNS))
        kept = {"run_uuid", "position"}
        self.put_result = text(
            put.on_conflict_do_update(
                index_elements=["run_uuid", "position"],
                set_={name: put.excluded[name] for name in _RESULT_COLUMNS if name not in kept},
            )
        )
        self.accept = text(
            sa.update(runs).where(mine, runs.c.state == word("sent")).values(
                state=word("accepted"))
        )  # fmt: skip
        discarded = word("discarded")
        self.finish = text(
            sa.update(runs).where(mine).values(
                state=sa.case((runs.c.state == discarded, discarded), else_=sa.bindparam("state")),
                finished_at_utc=sa.bindparam("at_utc"), duration_s=sa.bindparam("duration_s"),
                cost_usd=sa.bindparam("cost_usd"), error=sa.bindparam("error"),
            )
        )  # fmt: skip
        is_open = runs.c.state.in_([word(state.value) for state in sorted(UNFINISHED_STATES)])
        self.set_state = text(
            sa.update(runs)
            .where(mine, is_open, sa.or_(runs.c.attempts > word(0), sa.bindparam("state") == word("discarded")))
            .values(state=sa.bindparam("state"))
        )


_RUN_COLUMNS = (
    "task_uuid", "attempt_uuid", "provider", "task_type", "model", "request", "request_hash", "asked_hash",
    "seed_given", "prompt_template", "prompt", "notebook", "cell_id", "cell_hash", "cell_ordinal",
    "execution_count", "kernel", "parent_uuid", "state", "attempts", "created_at_utc", "sent_at_utc",
    "environment_hash", "note",
)  # fmt: skip
_RESULT_COLUMNS = (
    "run_uuid", "position", "item_uuid", "url", "seed", "cost_usd", "media_type", "size_bytes",
    "received_sha256", "stored_sha256", "file", "medium_state", "raw", "error",
)  # fmt: skip


def _unfinished() -> sa.ColumnElement[bool]:
    states = [state.value for state in UNFINISHED_STATES]
    return sa.and_(runs.c.finished_at_utc.is_(None), runs.c.state.in_(states))


def _run_row(run: RunRecord) -> dict[str, Any]:
    row = {name: getattr(run, name) for name in _RUN_COLUMNS}
    row["request"] = json.dumps(run.request)
    row["state"] = run.state.value
    row["seed_given"] = int(run.seed_given)
    return row


def _run_of(row: Any) -> RunRecord:
    values = {name: row[name] for name in _RUN_COLUMNS}
    values |= {name: row[name] for name in ("sent_at_utc", "finished_at_utc", "duration_s", "cost_usd")}
    values["request"] = json.loads(row["request"])
    values["error"] = None if row["error"] is None else json.loads(row["error"])
    values["seed_given"] = bool(row["seed_given"])
    values["state"] = State(row["state"])
    return RunRecord(**values)


def _result_row(run_uuid: str, record: ResultRecord) -> dict[str, Any]:
    row = {name: getattr(record, name) for name in _RESULT_COLUMNS if name != "run_uuid"}
    row["run_uuid"] = run_uuid
    row["raw"] = json.dumps(record.raw)
    row["error"] = None if record.error is None else json.dumps(record.error)
    return row


def _result_of(row: Any) -> ResultRecord:
    values = {name: row[name] for name in _RESULT_COLUMNS if name != "run_uuid"}
    values["raw"] = json.loads(row["raw"])
    values["error"] = None if row["error"] is None else json.loads(row["error"])
    return ResultRecord(**values)


def _resolve(batch: Sequence[_Write]) -> None:
    """Wake the waiters, with one call to each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Write]] = {}
    for write in batch:
        by_loop.setdefault(write.loop, []).append(write)
    for loop, writes in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, writes)


def _settle(writes: list[_Write]) -> None:
    for write in writes:
        if write.done.done():
            continue
        if write.error is None:
            write.done.set_result(None)
        elif isinstance(write.error, RunLogError):
            write.done.set_exception(write.error)
        else:
            failure = RunLogError(f"the log cannot be written: {_in_words(write.error)}")
            failure.__cause__ = write.error
            write.done.set_exception(failure)


def _in_words(error: Exception) -> str:
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return "another process has locked it for 30 s"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
