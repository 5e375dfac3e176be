"""A log that is deleted, moved, replaced or damaged while runs are in flight: they are paid for, and stay recorded."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from runware_nb.errors import BudgetExceeded, RunLogError
from runware_nb.runlog import MediaStore, ResultRecord, RunLog, State
from runware_nb.runlog.spending import budgets_of, set_budget
from tests.runs import run_record

AT = "2026-01-01T00:00:00.000+00:00"


@pytest.fixture
def home(tmp_path):
    return tmp_path / ".runware"


@pytest.fixture
def log(home):
    log = RunLog(home)
    yield log
    log.close()


async def send(log, number, **changes):
    """Write a run as far as its first byte."""
    record = run_record(number, request_hash=f"1:{number}", **changes)
    prepared = log.prepare(record, cell_source=f"%%runware\n{number}", environment="{}")
    claimed = log.mark_sent(record.task_uuid, record.task_uuid, 1, AT, '{"positivePrompt": "x"}')
    await asyncio.gather(prepared, claimed)
    return record


async def end(log, record):
    """Write what came of a run."""
    result = ResultRecord(position=0, seed=7, url="http://x/y.png", raw={"seed": 7})
    await log.add_results(record.task_uuid, [result])
    await log.finish(
        record.task_uuid, State.SUCCEEDED, at_utc=AT, duration_s=1.0, cost_usd=0.01, error=None, records=[result]
    )


def read_again(home):
    """Read what another kernel would find."""
    other = RunLog(home)
    try:
        return {run.task_uuid: run for run in other.recent(None)}
    finally:
        other.close()


def delete(home):
    shutil.rmtree(home)


def delete_file(home):
    (home / "runs.sqlite").unlink()


def move(home):
    home.rename(home.with_name("elsewhere"))


def replace_with_other(home):
    """As `git stash -u` and a later checkout, or a sync tool, do."""
    shutil.rmtree(home)
    RunLog(home).close()


def replace_file_with_empty_one(home):
    (home / "new").write_bytes(b"")
    (home / "new").replace(home / "runs.sqlite")


def replace_with_older_copy(home):
    """As a sync tool does: a copy of an hour ago is renamed over the file, whose write-ahead log stays."""
    shutil.copy(home.parent / "copy.sqlite", home / "new")
    (home / "new").replace(home / "runs.sqlite")


def overwrite_with_older_copy(home):
    """As `cp` does: the file stays the same one, and has another content."""
    shutil.copyfile(home.parent / "copy.sqlite", home / "runs.sqlite")
    for ending in ("-wal", "-shm"):
        home.joinpath(f"runs.sqlite{ending}").unlink(missing_ok=True)


def truncate(home):
    os.truncate(home / "runs.sqlite", 0)


def remove_wal(home):
    (home / "runs.sqlite-wal").unlink()


def remove_wal_and_index(home):
    (home / "runs.sqlite-wal").unlink()
    (home / "runs.sqlite-shm").unlink()


def remove_index(home):
    (home / "runs.sqlite-shm").unlink()


REPLACEMENTS = [
    delete, delete_file, move, replace_with_other, replace_file_with_empty_one, replace_with_older_copy,
    overwrite_with_older_copy, truncate, remove_wal, remove_wal_and_index, remove_index,
]  # fmt: skip


@pytest.mark.parametrize("replace", REPLACEMENTS)
def test_runs_in_flight_are_recorded_in_the_log_at_the_path(log, home, replace, run_async):
    """Whatever happens to the files, a run in flight, its result and later runs are on disk where a kernel looks."""

    async def work():
        early = await send(log, 1)
        await end(log, early)
        copy_to(home)
        flying = await send(log, 2, tags=("kept",), note="in flight")
        unsent = run_record(3, request_hash="1:3")
        await log.prepare(unsent)
        replace(home)
        await end(log, flying)
        later = await send(log, 4)
        return early, flying, unsent, later

    def copy_to(home):
        with sqlite3.connect(home / "runs.sqlite") as source, sqlite3.connect(home.parent / "copy.sqlite") as target:
            source.backup(target)

    early, flying, unsent, later = run_async(work())
    found = read_again(home)
    assert found[flying.task_uuid].state is State.SUCCEEDED
    assert [result.seed for result in found[flying.task_uuid].results] == [7]
    assert found[flying.task_uuid].tags == ("kept",)
    assert found[flying.task_uuid].attempts == 1
    assert found[unsent.task_uuid].state is State.PREPARED
    assert found[later.task_uuid].state is State.SENT
    if replace in {remove_wal, remove_wal_and_index, remove_index, replace_with_older_copy, overwrite_with_older_copy}:
        assert found[early.task_uuid].state is State.SUCCEEDED
    with sqlite3.connect(home / "runs.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    log.close()
    assert read_again(home)[later.task_uuid].state is State.SENT
