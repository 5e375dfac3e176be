"""The thread that writes: whatever has gathered while one commit was made durable goes into the next."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import BudgetExceeded, RunLogError
from ..forking import block_fork, make_lock
from ..reprs import short_repr
from .databases import Change, execute_all, in_words, is_connection_lost, is_misplaced, is_taken, without_secrets
from .records import RunClaimed, RunMissing, TwinExists
from .statements import Statements

__all__ = ["Source", "Writer", "Written"]

_MOST_IN_A_COMMIT = 512


class Source(Protocol):
    """Where the writer gets its connection from. Called on the writing thread."""

    def connect(self, held: Any, *, again: bool = False) -> Any:
        """Return a connection to the database that is at its place now, with all unfinished runs of this process in it.

        Args:
            held: The connection in use; None for none. It is returned if it is still the right one, or closed.
            again: Whether it is closed in any case, because what was read through it makes no sense.
        """

    def carry(self, connection: Any) -> bool:
        """Write the unfinished runs again that the database lacks; return whether there were any."""

    def note(self, writes: Sequence[Written]) -> None:
        """Note what was committed."""

    def finish(self, held: Any) -> Any:
        """Return a connection as `connect` does if unfinished runs would be lost otherwise, else *held*."""


@short_repr("run_uuid", "ends", "error")
@dataclass(slots=True)
class Written:
    """Statements that are committed together.

    Attributes:
        steps: What to run.
        loop: Loop of the future; None if nothing waits for it.
        done: Resolved once the commit is durable; None where nobody waits.
        on_error: Called on the writing thread when nobody waits and the write failed.
        error: What went wrong.
        after: A write that this one has been merged into, and fails with.
        run_uuid: The run that it is about; None where it is not part of the way of a run.
        ends: Whether the run has ended with it.
        kept: Statements that belong to the run, and that the log has already from another one.
        consequence: What the failure means for the task, as a sentence; empty where that is said elsewhere.
        looked: Set once the write was handled, for a thread that waits.
    """

    steps: list[Change]
    loop: asyncio.AbstractEventLoop | None = None
    done: asyncio.Future[None] | None = None
    on_error: Callable[[Exception], None] | None = None
    error: Exception | None = field(default=None)
    after: Written | None = field(default=None)
    run_uuid: str | None = None
    ends: bool = False
    kept: list[Change] = field(default_factory=list)
    consequence: str = ""
    looked: threading.Event | None = None


class Writer:
    """Writes for all threads of this process.

    Args:
        source: Opens the database, and opens it again when it was replaced.
        sql: Its statements.
    """

    def __init__(self, source: Source, sql: Statements) -> None:
        self._source = source
        self._sql = sql
        self._queue: queue.SimpleQueue[Written | None] = queue.SimpleQueue()
        self._closing = make_lock()
        self._is_closed = False
        self._connection: Any = None
        self._thread: threading.Thread | None = None  # started by the first write

    def write(
        self,
        steps: list[Change],
        *,
        run_uuid: str | None = None,
        ends: bool = False,
        kept: Sequence[Change] = (),
        consequence: str = "",
    ) -> asyncio.Future[None]:
        """Queue statements; they are committed in order, and the future is done once that is durable.

        Args:
            steps: What to run.
            run_uuid: The run that they are about.
            ends: Whether the run has ended with them.
            kept: Statements that belong to the run, and that the log has already from another one.
            consequence: What a failure means for the task, as a sentence.
        """
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        # Redacted here: what is kept to be written again, into a log that replaces this one, holds no key either.
        write = Written(
            without_secrets(steps), loop, done, run_uuid=run_uuid, ends=ends, kept=without_secrets(kept),
            consequence=consequence,
        )  # fmt: skip
        with self._closing:
            if self._is_closed:
                done.set_exception(RunLogError("the log has been closed"))
            else:
                self._enqueue(write)
        return done

    def write_unawaited(self, steps: list[Change], on_error: Callable[[Exception], None]) -> None:
        """Queue statements that nothing waits for, from any thread; `close` still waits until they are durable.

        Args:
            steps: What to run.
            on_error: Called with the failure, on any thread.
        """
        with self._closing:
            if not self._is_closed:
                self._enqueue(Written(without_secrets(steps), on_error=on_error))
                return
        on_error(RunLogError("the log has been closed"))

    def renew(self, timeout_s: float) -> None:
        """Have the writing thread look whether the database is still at its place, and open it again if it is not.

        Raises:
            RunLogError: It cannot be opened, or that takes too long.
        """
        looked = threading.Event()
        errors: list[Exception] = []
        look = Written([], on_error=errors.append, looked=looked)
        with self._closing:
            if self._is_closed:
                return
            self._enqueue(look)
        if not looked.wait(timeout_s):
            raise RunLogError("the log was replaced, and cannot be opened again yet; try again")
        if errors:
            raise _failure(errors[0], "")

    def _enqueue(self, write: Written) -> None:
        self._queue.put(write)
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_forever, name="runware log", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Write what is waiting, and end."""
        with self._closing:  # nothing is queued behind the end, where nobody would ever write it
            if self._is_closed:
                return
            self._is_closed = True
            self._queue.put(None)
        if self._thread is not None:
            self._thread.join(timeout=10)

    def release(self) -> None:
        """Close the connection; the next commit opens one. The caller makes sure that no commit is running."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    def _drop_lost(self) -> None:
        """Drop a connection whose server has gone, without a word to it: SQLAlchemy would log a traceback."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.invalidate()

    def _write_forever(self) -> None:
        is_open = True
        while is_open:
            batch, is_open = self._gather()
            if not batch:
                break
            with block_fork():
                try:
                    # Before every commit, so that no task leaves whose record is in a file that nobody will read again.
                    self._connect()
                    self._commit(self._connection, batch)
                    self._try_again(batch)
                except Exception as error:  # noqa: BLE001 - the thread must live; every waiter is told
                    for write in batch:
                        write.error = write.error or error
                if any(write.error is not None and is_connection_lost(write.error) for write in batch):
                    self._drop_lost()
                self._source.note([write for write in batch if write.error is None])
            _resolve(batch)
        with block_fork():
            with contextlib.suppress(Exception):
                self._connection = self._source.finish(self._connection)
            self.release()

    def _connect(self, *, again: bool = False) -> None:
        held, self._connection = self._connection, None  # where no connection can be had, this one is closed
        self._connection = self._source.connect(held, again=again)

    def _try_again(self, batch: list[Written]) -> None:
        """Write once more what failed because the database is not the one that it was.

        It can be replaced in ways that its place does not show: a copy is written over the same file, or a server is
        restored. Then a run that was written is not there, or the file makes no sense.
        """
        failed = [write for write in batch if write.error is not None]
        if any(is_misplaced(write.error) for write in failed if write.error is not None):
            self._connect(again=True)
        elif not any(_lacks_run(write.error) for write in failed) or not self._source.carry(self._connection):
            return
        for write in failed:
            self._commit_alone(self._connection, write)

    def _gather(self) -> tuple[list[Written], bool]:
        batch: list[Written] = []
        item = self._queue.get()
        while item is not None:
            batch.append(item)
            if len(batch) >= _MOST_IN_A_COMMIT or self._queue.empty():
                return batch, True
            item = self._queue.get()
        return batch, False

    def _commit(self, connection: Any, batch: list[Written]) -> None:
        """Commit all writes at once; where one fails, each alone, so that it takes no other with it."""
        try:
            self._merge_claims(batch)
            self._execute(connection, batch)
        except Exception as error:
            if is_connection_lost(error):
                raise
            with contextlib.suppress(Exception):
                connection.rollback()
            if len(batch) == 1:
                batch[0].error = error
                return
            for write in batch:
                self._commit_alone(connection, write)

    def _commit_alone(self, connection: Any, write: Written) -> None:
        write.error = write.after.error if write.after is not None else None
        if write.error is not None:
            return
        try:
            self._execute(connection, [write])
        except Exception as error:  # noqa: BLE001 - whatever it is, its waiter is told
            write.error = error
            with contextlib.suppress(Exception):
                connection.rollback()

    def _execute(self, connection: Any, batch: list[Written]) -> None:
        steps = [step for write in batch for step in write.steps]
        if not steps:
            return
        execute_all(connection, steps, probe=self._sql.any_budget, probed=self._sql.of_budgets)

    def _merge_claims(self, batch: list[Written]) -> None:
        """Insert a run as sent at once where its claim waits in the same commit: one statement less."""
        inserted: dict[str, tuple[Written, dict[str, Any]]] = {}
        for write in batch:
            sql, values, _ = write.steps[0] if write.steps else ("", {}, None)
            if sql == self._sql.insert_run:
                inserted[values["task_uuid"]] = write, values
            elif sql == self._sql.claim and values["before"] == 0 and values["run_uuid"] in inserted:
                write.after, row = inserted[values["run_uuid"]]
                row.update(state="sent", attempts=1, sent_at_utc=values["at_utc"], request=values["request"],
                           sender=values["sender"], remote_id=values["remote_id"])  # fmt: skip
                write.steps = write.steps[1:]


def _resolve(batch: Sequence[Written]) -> None:
    """Wake the waiters, with one call to each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Written]] = {}
    for write in batch:
        if write.loop is not None:
            by_loop.setdefault(write.loop, []).append(write)
        elif write.error is not None and write.on_error is not None:
            with contextlib.suppress(Exception):  # the thread must live
                write.on_error(write.error)
        if write.looked is not None:
            write.looked.set()
    for loop, writes in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, writes)


def _settle(writes: list[Written]) -> None:
    for write in writes:
        if write.done is None or write.done.done():
            continue
        if write.error is None:
            write.done.set_result(None)
        elif is_taken(write.error, "ux_runs_twin", "runs.request_hash"):
            write.done.set_exception(TwinExists("the same request is already in progress"))
        else:
            write.done.set_exception(_failure(write.error, write.consequence))


def _failure(error: Exception, consequence: str) -> Exception:
    """Return the error for those who wait."""
    is_of_run = isinstance(error, BudgetExceeded | RunMissing | RunClaimed)
    if is_of_run or (isinstance(error, RunLogError) and not consequence):
        return error
    sentence = str(error) if isinstance(error, RunLogError) else f"the log cannot be written: {in_words(error)}"
    kind = type(error) if isinstance(error, RunLogError) else RunLogError
    failure = kind(f"{sentence.rstrip('.')}. {consequence}" if consequence else sentence)
    failure.__cause__ = error
    return failure


def _lacks_run(error: Exception | None) -> bool:
    """Whether a run may be missing from the database: its row was not found, or what belongs to it has no row."""
    if error is None or isinstance(error, RunMissing | RunClaimed):
        return error is not None
    if isinstance(error, sqlite3.IntegrityError):
        return "FOREIGN KEY" in str(error)
    return type(error).__name__ == "ForeignKeyViolation"
