"""A log that is deleted, moved, replaced or damaged while runs are in flight: they are paid for, and stay recorded."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import traceback
from pathlib import Path

import psycopg
import pytest

from runware_nb.core.money import Money
from runware_nb.errors import BudgetExceeded, RunLogError
from runware_nb.runlog import MediaStore, Parent, ResultRecord, RunLog, State
from runware_nb.runlog.in_flight import InFlight
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
        record.task_uuid, State.SUCCEEDED, at_utc=AT, duration_s=1.0, cost=Money(0.01), error=None, records=[result]
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
        flying = await send(log, 2, tags=("kept",), note="in flight", parents=(Parent(early.task_uuid, "image", 0),))
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
    assert found[flying.task_uuid].parents == (Parent(early.task_uuid, "image", 0),)
    assert found[flying.task_uuid].attempts == 1
    assert found[unsent.task_uuid].state is State.PREPARED
    assert found[later.task_uuid].state is State.SENT
    if replace in {remove_wal, remove_wal_and_index, remove_index, replace_with_older_copy, overwrite_with_older_copy}:
        assert found[early.task_uuid].state is State.SUCCEEDED
    with sqlite3.connect(home / "runs.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    log.close()
    assert read_again(home)[later.task_uuid].state is State.SENT


def test_a_folder_behind_another_link_gets_the_runs(tmp_path, run_async):
    """The path decides: when its link is changed, runs are written where it leads now, and the old log stays whole."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    home = tmp_path / ".runware"
    home.symlink_to("one")
    log = RunLog(home)

    async def work():
        flying = await send(log, 1)
        home.unlink()
        home.symlink_to("two")
        await end(log, flying)
        return flying

    flying = run_async(work())
    log.close()
    assert read_again(tmp_path / "two")[flying.task_uuid].state is State.SUCCEEDED
    assert read_again(tmp_path / "one")[flying.task_uuid].state is State.SENT


def test_reading_shows_the_log_at_the_path(log, home, run_async):
    """What is listed, rated and counted is the log at the path too, not the file that was deleted."""
    flying = run_async(send(log, 1))
    ended = run_async(send(log, 2))
    run_async(end(log, ended))
    shutil.rmtree(home)
    assert [run.task_uuid for run in log.recent(None)] == [flying.task_uuid]
    assert log.cell_source is not None
    with log.changing() as connection:
        set_budget(connection, "sandbox", "", 1.0)
    shutil.rmtree(home)
    assert [run.task_uuid for run in read_after_writing(log, home)] == [flying.task_uuid]


def read_after_writing(log, home):
    log.pending()
    return read_again(home).values()


@pytest.mark.parametrize("obstacle", ["file", "parent", "directory", "foreign", "newer"])
def test_a_place_that_cannot_be_used_refuses_in_one_sentence(log, home, obstacle, run_async):
    """If no log can be opened at the path, nothing may be sent, and the sentence states why."""

    async def work():
        await send(log, 1)
        shutil.rmtree(home)
        if obstacle == "file":
            home.write_text("x")
        elif obstacle == "parent":
            home.symlink_to(home.parent / "file" / "deep")
            (home.parent / "file").write_text("x")
        elif obstacle == "directory":
            (home / "runs.sqlite").mkdir(parents=True)
        elif obstacle == "foreign":
            home.mkdir()
            (home / "runs.sqlite").write_bytes(b"This is no database at all. " * 100)
        else:
            RunLog(home).close()
            with sqlite3.connect(home / "runs.sqlite") as connection:
                connection.execute("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(RunLogError) as caught:
            await send(log, 2)
        return str(caught.value)

    sentence = run_async(work())
    assert str(home) in sentence, sentence
    assert sentence.endswith("Nothing was sent."), sentence
    assert "\n" not in sentence
    with pytest.raises(RunLogError):
        log.recent()
    home.unlink() if home.is_file() or home.is_symlink() else shutil.rmtree(home)
    run_async(send(log, 3))  # and as soon as the place can be used, everything goes on
    assert len(read_again(home)) == 2


def test_limits_hold_in_the_new_log(log, home, run_async):
    """A limit does not end because a file was deleted: neither what the command set, nor the limit of the settings."""
    with log.changing() as connection:
        set_budget(connection, "sandbox", "", 0.10)

    async def work():
        ended = await send(log, 1, estimate=0.04)
        await end(log, ended)
        await send(log, 2, estimate=0.04)
        shutil.rmtree(home)
        with pytest.raises(BudgetExceeded):
            await send(log, 3, estimate=0.06)
        await send(log, 4, estimate=0.05)

    run_async(work())
    with log.reading() as connection:
        (budget,) = budgets_of(connection)
    assert (budget.limit_usd, budget.spent_usd, round(budget.reserved_usd, 4)) == (0.10, 0.01, 0.09)


def test_a_limit_of_the_settings_holds_in_the_new_log(sandbox, make_session, home):
    session = make_session(sandbox, budget_usd=0.005)
    session.submit(task(1), agreed=True).result(timeout_s=20)
    shutil.rmtree(home)
    with pytest.raises(BudgetExceeded):
        [session.submit(task(seed), agreed=True).result(timeout_s=20) for seed in range(2, 8)]
    assert sandbox.ledger()["total_usd"] <= 0.005


def test_the_text_of_a_cell_is_written_to_the_new_log(log, home, run_async):
    """The text is written once for a log; the next run of the same cell must not rely on a file that is gone."""

    async def run_of_cell(number):
        record = run_record(number, request_hash=f"1:{number}", cell_hash="c" * 64)
        await log.prepare(record, cell_source="%%runware\nx")
        await log.mark_sent(record.task_uuid, record.task_uuid, 1, AT, "{}")

    run_async(run_of_cell(1))
    run_async(run_of_cell(2))
    shutil.rmtree(home)
    run_async(send(log, 3))
    assert log.cell_source("c" * 64) == "%%runware\nx"


# --- several processes --------------------------------------------------------------------------------

OTHER_KERNEL = """
import asyncio, sys
from pathlib import Path
from runware_nb.runlog import RunLog
sys.path.insert(0, sys.argv[2])
from tests.hostile.test_log_folder import end, send

async def main():
    log = RunLog(Path(sys.argv[1]))
    runs = [await send(log, number) for number in range(101, 111)]
    print("sent", flush=True)
    sys.stdin.readline()
    for run in runs:
        await end(log, run)
        await send(log, int(run.task_uuid[:8], 16) + 100)
    log.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("replace", [replace_with_other, remove_wal_and_index, remove_index, replace_with_older_copy])
def test_two_kernels_write_to_the_new_log(log, home, replace, run_async):
    """Two kernels notice on their own, and their runs in flight come together in the log at the path."""
    shutil.copy(home / "runs.sqlite", home.parent / "copy.sqlite")
    repository = str(Path(__file__).parents[2])
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER_KERNEL, str(home), repository], text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip

    async def work():
        runs = [await send(log, number) for number in range(1, 11)]
        assert other.stdout.readline() == "sent\n"
        replace(home)
        other.stdin.write("\n")
        other.stdin.flush()
        for run in runs:
            await end(log, run)
            await send(log, int(run.task_uuid[:8], 16) + 20)

    run_async(work())
    other.communicate(timeout=30)
    assert other.returncode == 0
    states = [run.state for run in read_again(home).values()]
    assert (states.count(State.SUCCEEDED), states.count(State.SENT)) == (20, 20)
    with sqlite3.connect(home / "runs.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("step", ["missing", "steps"])
def test_the_index_may_be_removed_at_any_step_of_opening_again(log, home, step, run_async, monkeypatch):
    """SQLite then reports that it could not read it; the next try makes a new one."""
    whole, failures = getattr(InFlight, step), []

    def fail_once(*args):
        if not failures:
            failures.append(sqlite3.OperationalError("disk I/O error"))
            failures[0].sqlite_errorname = "SQLITE_IOERR_SHMMAP"
            raise failures[0]
        return whole(*args)

    async def work():
        flying = await send(log, 1)
        delete(home)
        monkeypatch.setattr(InFlight, step, fail_once)
        await end(log, flying)
        return flying

    flying = run_async(work())
    assert failures
    assert read_again(home)[flying.task_uuid].state is State.SUCCEEDED


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork; nothing to enable")
def test_after_a_fork_parent_and_child_write_to_the_new_log(log, home, run_async):
    """A fork closes the file for a moment, in which it may be replaced."""
    flying = run_async(send(log, 1))
    child = os.fork()
    if child == 0:
        try:
            shutil.rmtree(home)
            run_async(send(log, 2))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    run_async(end(log, flying))
    states = {run.task_uuid[7]: run.state for run in read_again(home).values()}
    assert states == {"1": State.SUCCEEDED, "2": State.SENT}


# --- PostgreSQL ---------------------------------------------------------------------------------------


def admin(postgres, *statements):
    with psycopg.connect(
        host="127.0.0.1", port=postgres.port, user="runware", dbname="postgres", autocommit=True
    ) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_dropped_database_is_one_sentence_and_nothing_is_sent(postgres, tmp_path, run_async):
    url = postgres.database()
    name = url.rpartition("/")[2]
    log = RunLog(tmp_path, url)

    async def work():
        flying = await send(log, 1)
        admin(postgres, f"DROP DATABASE {name} WITH (FORCE)")
        sentences = []
        for number in (2, 3):
            with pytest.raises(RunLogError) as caught:
                await send(log, number)
            sentences.append(str(caught.value))
        with pytest.raises(RunLogError, match="does not exist"):
            log.recent()
        admin(postgres, f"CREATE DATABASE {name}")
        await end(log, flying)
        return sentences

    sentences = run_async(work())
    assert all("\n" not in sentence for sentence in sentences)
    assert all(sentence.endswith("Nothing was sent.") for sentence in sentences)
    assert [(run.task_uuid[7], run.state) for run in log.recent()] == [("1", State.SUCCEEDED)]
    log.close()


def test_a_connection_that_is_lost_is_one_sentence_and_the_next_run_is_written(postgres, tmp_path, run_async):
    url = postgres.database()
    name = url.rpartition("/")[2]
    log = RunLog(tmp_path, url)

    async def work():
        flying = await send(log, 1)
        admin(
            postgres,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{name}' AND pid <> pg_backend_pid()",
        )
        with pytest.raises(RunLogError, match="Nothing was sent"):
            await send(log, 2)
        await end(log, flying)

    run_async(work())
    assert [(run.task_uuid[7], run.state) for run in log.recent()] == [("1", State.SUCCEEDED)]
    log.close()


# --- with a service -----------------------------------------------------------------------------------


def task(seed):
    return {"taskType": "imageInference", "model": "runware:101@1", "positivePrompt": "a ship", "width": 128, "height": 128,
            "seed": seed}  # fmt: skip


def test_a_run_is_recorded_although_both_folders_were_deleted_while_it_ran(sandbox, make_session, home):
    """The run, its file and the next run are at the path; each was paid for once."""
    session = make_session(sandbox)
    session.submit(task(1)).result(timeout_s=20)
    sandbox.faults({"kind": "latency", "seconds": 1})
    job = session.submit(task(2))
    while not job.record.attempts:
        time.sleep(0.01)
    shutil.rmtree(home)
    shutil.rmtree(home.parent / "runware_images")
    result = job.result(timeout_s=20)[0]
    assert result.path.is_file()
    assert result.path.is_relative_to(home.parent / "runware_images")
    assert (home.parent / "runware_images" / ".gitignore").is_file()
    found = read_again(home)
    assert found[job.task_uuid].state is State.SUCCEEDED
    assert found[job.task_uuid].results[0].medium_state == "stored"
    session.submit(task(2)).result(timeout_s=20)  # answered from the new log
    assert len(sandbox.charges()) == 2


def test_a_run_that_resume_collects_is_recorded_in_the_new_log(sandbox, make_session, home):
    """A run of an earlier kernel is known only from the log: its record is kept while it is collected."""
    sandbox.faults({"kind": "latency", "seconds": 6})  # longer than all that follows up to the removal of the folder
    first = make_session(sandbox)
    job = first.submit(task(1))
    while not job.record.attempts:
        time.sleep(0.01)
    second = make_session(sandbox)
    (pending,) = second.pending()
    collected = second.engine.known.resume_run(pending, sends=False)
    first.log.close()  # as if its kernel had died: only the second session can record the result
    time.sleep(0.3)
    shutil.rmtree(home)
    collected.result(timeout_s=20)
    assert read_again(home)[job.task_uuid].state is State.SUCCEEDED
    assert len(sandbox.charges()) == 1


def test_media_go_into_the_folder_at_the_path(tmp_path):
    """Deleted, replaced by a file's link or made anew: the folder at the path gets the files."""
    folder = tmp_path / "runware_images"
    store = MediaStore(folder)
    first = store.put(b"\x89PNG\r\n\x1a\n" + b"1" * 100)
    shutil.rmtree(folder)
    again = store.put(b"\x89PNG\r\n\x1a\n" + b"1" * 100)
    assert again.path == first.path
    assert again.path.is_file()
    shutil.rmtree(folder)
    (tmp_path / "other").mkdir()
    folder.symlink_to("other")
    third = store.put(b"\x89PNG\r\n\x1a\n" + b"2" * 100)
    assert (tmp_path / "other" / third.name).is_file()
