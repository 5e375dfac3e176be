"""The thread that writes: whatever has gathered while one commit was made durable goes into the next."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.engine import Engine

from ..errors import BudgetExceeded, RunLogError
from ..forking import block_fork, make_lock
from .databases import Change, execute_all, in_words, is_connection_lost, is_taken, without_secrets
from .records import TwinExists
from .statements import Statements

__all__ = ["Writer"]

_MOST_IN_A_COMMIT = 512


@dataclass(slots=True)
class _Write:
    """Statements that are committed together.

    Attributes:
        steps: What to run.
        loop: Loop of the future; None if nothing waits for it.
        done: Resolved once the commit is durable; None where nobody waits.
        on_error: Called on the writing thread when nobody waits and the write failed.
        error: What went wrong.
        after: A write that this one has been merged into, and fails with.
    """

    steps: list[Change]
    loop: asyncio.AbstractEventLoop | None = None
    done: asyncio.Future[None] | None = None
    on_error: Callable[[Exception], None] | None = None
    error: Exception | None = field(default=None)
    after: _Write | None = field(default=None)


class Writer:
    """Writes for all threads of this process.

    Args:
        engine: The database.
        sql: Its statements.
    """

    def __init__(self, engine: Engine, sql: Statements) -> None:
        self._engine = engine
        self._sql = sql
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._closing = make_lock()
        self._is_closed = False
        self._connection: Any = None
        self._thread: threading.Thread | None = None  # started by the first write

    def write(self, steps: list[Change]) -> asyncio.Future[None]:
        """Queue statements; they are committed in order, and the future is done once that is durable."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        write = _Write(without_secrets(steps), loop, done)
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
                self._enqueue(_Write(without_secrets(steps), on_error=on_error))
                return
        on_error(RunLogError("the log has been closed"))

    def _enqueue(self, write: _Write) -> None:
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

    def _write_forever(self) -> None:
        is_open = True
        while is_open:
            batch, is_open = self._gather()
            if not batch:
                break
            with block_fork():
                try:
                    self._connection = self._connection or self._engine.raw_connection()
                    self._commit(self._connection, batch)
                except Exception as error:  # noqa: BLE001 - the thread must live; every waiter is told
                    for write in batch:
                        write.error = write.error or error
                if any(write.error is not None and is_connection_lost(write.error) for write in batch):
                    self.release()
            _resolve(batch)
        with block_fork():
            self.release()

    def _gather(self) -> tuple[list[_Write], bool]:
        batch: list[_Write] = []
        item = self._queue.get()
        while item is not None:
            batch.append(item)
            if len(batch) >= _MOST_IN_A_COMMIT or self._queue.empty():
                return batch, True
            item = self._queue.get()
        return batch, False

    def _commit(self, connection: Any, batch: list[_Write]) -> None:
        """Commit all writes at once; where one fails, each alone, so that it takes no other with it."""
        try:
            self._merge_claims(batch)
            self._execute(connection, batch)
        except Exception as error:
            if is_connection_lost(error):
                raise
            connection.rollback()
            if len(batch) == 1:
                raise
            for write in batch:
                self._commit_alone(connection, write)

    def _commit_alone(self, connection: Any, write: _Write) -> None:
        write.error = write.after.error if write.after is not None else None
        if write.error is not None:
            return
        try:
            self._execute(connection, [write])
        except Exception as error:  # noqa: BLE001 - whatever it is, its waiter is told
            write.error = error
            with contextlib.suppress(Exception):
                connection.rollback()

    def _execute(self, connection: Any, batch: list[_Write]) -> None:
        steps = [step for write in batch for step in write.steps]
        execute_all(connection, steps, probe=self._sql.any_budget, probed=self._sql.of_budgets)

    def _merge_claims(self, batch: list[_Write]) -> None:
        """Insert a run as sent at once where its claim waits in the same commit: one statement less."""
        inserted: dict[str, tuple[_Write, dict[str, Any]]] = {}
        for write in batch:
            sql, values, _ = write.steps[0] if write.steps else ("", {}, None)
            if sql == self._sql.insert_run:
                inserted[values["task_uuid"]] = write, values
            elif sql == self._sql.claim and values["before"] == 0 and values["run_uuid"] in inserted:
                write.after, row = inserted[values["run_uuid"]]
                row.update(state="sent", attempts=1, sent_at_utc=values["at_utc"], request=values["request"],
                           sender=values["sender"])  # fmt: skip
                write.steps = write.steps[1:]


def _resolve(batch: Sequence[_Write]) -> None:
    """Wake the waiters, with one call to each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Write]] = {}
    for write in batch:
        if write.loop is not None:
            by_loop.setdefault(write.loop, []).append(write)
        elif write.error is not None and write.on_error is not None:
            with contextlib.suppress(Exception):  # the thread must live
                write.on_error(write.error)
    for loop, writes in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, writes)


def _settle(writes: list[_Write]) -> None:
    for write in writes:
        if write.done is None or write.done.done():
            continue
        if write.error is None:
            write.done.set_result(None)
        elif isinstance(write.error, RunLogError | BudgetExceeded):
            write.done.set_exception(write.error)
        elif is_taken(write.error, "ux_runs_twin", "runs.request_hash"):
            write.done.set_exception(TwinExists("the same request is already in progress"))
        else:
            failure = RunLogError(f"the log cannot be written: {in_words(write.error)}")
            failure.__cause__ = write.error
            write.done.set_exception(failure)
