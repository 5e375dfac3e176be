"""One damaged row of a log: every command lists the others, names it, and lets the user remove it."""

import argparse
import asyncio
import json
import sqlite3

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runware_nb.commands import find_command, run_command
from runware_nb.core.money import Money
from runware_nb.errors import MagicUsageError, RunLogError, RunwareNBError
from runware_nb.runlog import ResultRecord, RunLog, State, UseRecord
from runware_nb.runlog.ballots import Vote, add_vote
from runware_nb.runlog.damage import RunDamaged
from runware_nb.runlog.maintenance import forget_runs
from runware_nb.runlog.rows import RESULT_COLUMNS, RUN_COLUMNS, USE_COLUMNS
from runware_nb.session import Session
from runware_nb.settings import Key, Settings
from tests.runs import run_record

AT = "2026-01-01T00:00:00.000+00:00"
FILE = "ab/" + "a" * 64 + ".png"


def session_of(home, **values):
    return Session(Settings(home=home, api_key=Key("k" * 32, "the test"), rest_url="http://127.0.0.1:9/v1",
                            ws_url="ws://127.0.0.1:9/v1", schemas_url="", **values), fetches_media=False)  # fmt: skip


async def fill(log):
    """Write four runs: two that ended, one that failed, one that is in flight."""
    for number in (1, 2, 3, 4):
        record = run_record(
            number, request_hash=f"1:{number}", asked_hash=f"1:{number}", tags=("study",), notebook="/n/one.ipynb",
            cell_hash=f"{number}" * 64, environment_hash="e" * 64, execution_count=number, model="m:1@1",
            inputs=[{"place": "inputImage", "sha256": "b" * 64, "file": FILE}], estimate=0.01,
        )  # fmt: skip
        record.request = {"taskType": "imageInference", "model": "m:1@1", "positivePrompt": "a ship", "seed": number}
        name = record.task_uuid
        await log.prepare(record, cell_source=f"%%runware\n{number}", environment=json.dumps({"python": "3"}))
        await log.mark_sent(name, name, 1, AT, json.dumps(record.request))
        if number == 4:
            continue
        result = ResultRecord(position=0, seed=number, cost=0.01, media_type="image/png", url="http://x/y.png",
                              received_sha256=f"{number}" * 64, file=FILE, medium_state="stored", raw={"seed": 1})  # fmt: skip
        state = State.FAILED if number == 3 else State.SUCCEEDED
        await log.finish(name, state, at_utc=AT, duration_s=1.0, cost=Money(0.01), records=[result],
                         error={"code": "x", "message": "y"} if number == 3 else None)  # fmt: skip
    done = asyncio.get_running_loop().create_future()
    log.add_use(
        UseRecord(run_uuid=run_record(1).task_uuid, how="recorded", used_at_utc=AT, cell_hash="1" * 64),
        done.set_exception,
    )
    await log.set_state(run_record(4).task_uuid, State.DETACHED)
    first, second = ((run_record(number).task_uuid, 0) for number in (1, 2))
    for voter in ("ann", "ben"):
        add_vote(log, "study", Vote(first, second, "left", voter, AT))


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A log without the constraints that a damaged one does not keep either, as bytes."""
    home = tmp_path_factory.mktemp("log") / ".runware"
    log = RunLog(home)
    asyncio.run(fill(log))
    log.close()
    path = home / "runs.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE type = 'table'")
        connection.execute("PRAGMA writable_schema = OFF")
    connection.close()
    return path.read_bytes()


def damaged_session(folder, original, table, column, value, which):
    home = folder / ".runware"
    home.mkdir(exist_ok=True)
    for path in home.glob("runs.sqlite*"):
        path.unlink()
    (home / "runs.sqlite").write_bytes(original)
    connection = sqlite3.connect(home / "runs.sqlite")
    with connection:
        connection.execute(f"UPDATE {table} SET {column} = {value[0]} WHERE rowid = ?", (*value[1], which))
    connection.close()
    return session_of(home)


def call(session, line):
    words = line.split()
    command = find_command(words[0])
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    options = parser.parse_args(words[1:])
    options.names, options.defaults = {}, {}
    return run_command(command, session, options)


LISTINGS = (
    "log --limit all", "log --sort cost", "log --sort rating", "log --search ship", "log --tag study",
    "log --notebook one.ipynb", "export {}/runs.jsonl", "gallery", "gallery {}/page.html", "methods", "cost",
    "cost --by tag", "cost --by day", "cost --by cell", "ranking", "pending", "history 00000002", "show 00000002",
    "code 00000002", "diff 00000002 00000002", "compare 00000002", "prune --damaged --yes", "log",
)  # fmt: skip
"""Every command that lists; the runs that the damage does not concern are in what it lists."""

VALUES = st.one_of(
    st.sampled_from([
        ("?", (None,)), ("?", ("",)), ("?", ("{",)), ("?", ("[]",)), ("?", ("null",)), ("?", ("exploded",)),
        ("?", ("[" * 2000,)), ("?", ("9" * 5000,)), ("?", (2**63 - 1,)), ("?", (-(2**63),)), ("?", (1e308,)),
        ("9e999", ()), ("-9e999", ()), ("?", (b"\xff\xfe",)), ("CAST(x'ff41fe' AS TEXT)", ()), ("?", ("2026-13-45",)),
        ("?", ("{}",)), ("?", ('{"a": 1e999}',)), ("?", ("0" * 100_000,)), ("?", ("../../etc/passwd",)), ("?", (-1,)),
        ("?", ("\x00",)), ("?", ('[{"place": 1}]',)), ("?", ('{"model": [1], "positivePrompt": {}, "width": "x"}',)),
    ]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ).map(lambda value: ("?", (json.dumps(value),))),
    st.binary(max_size=8).map(lambda value: ("CAST(? AS TEXT)", (value,))),
    st.binary(max_size=8).map(lambda value: ("?", (value,))),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: ("?", (value,))),
    st.floats(allow_nan=False).map(lambda value: ("?", (value,))),
)  # fmt: skip
COLUMNS = st.sampled_from([
    *(("runs", name) for name in (*RUN_COLUMNS, "finished_at_utc", "duration_s", "cost", "error", "best_rating")),
    *(("results", name) for name in (*RESULT_COLUMNS, "rating", "perceptual_hash", "is_favourite")),
    *(("uses", name) for name in USE_COLUMNS),
    *(("votes", name) for name in ("ballot", "left_uuid", "left_position", "right_uuid", "right_position", "choice",
                                   "voter", "pair", "created_at_utc")),
    ("cells", "source"), ("environments", "snapshot"), ("run_tags", "tag"),
    *(("spending", name) for name in ("day", "key", "notebook", "runs", "results", "unknown", "cost")),
])  # fmt: skip


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(COLUMNS, VALUES, st.integers(1, 4))
@example(("runs", "state"), ("?", ("exploded",)), 1)
@example(("runs", "request"), ("?", ("{",)), 1)
@example(("runs", "request"), ("CAST(x'7b22ff227d' AS TEXT)", ()), 1)
@example(("results", "raw"), ("?", ("{",)), 1)
@example(("runs", "inputs"), ("?", ("{",)), 3)
@example(("environments", "snapshot"), ("?", ("[]",)), 1)
def test_every_listing_lists_the_other_runs(tmp_path, original, where, value, which):
    """Whatever one cell of the tables contains, no command ends with anything but a sentence, and none hides a run."""
    table, column = where
    if (table, column) == ("runs", "task_uuid") and which == 2:
        return
    session = damaged_session(tmp_path, original, table, column, value, which)
    try:
        listed = {
            run.task_uuid for run in session.log.select(filter_of(session, with_replays=True, with_discarded=True))
        }
        others = {run_record(number).task_uuid for number in (1, 2, 3, 4) if table != "runs" or number != which}
        assert others <= listed
        for listing in LISTINGS:
            try:
                call(session, listing.format(tmp_path))
            except RunwareNBError as error:
                # about the very run that is damaged, or a column that is asked for by name, such as the ballot
                is_about_it = table == "votes" or (which in {1, 2} and table in {"runs", "results"})
                assert is_about_it or isinstance(error, MagicUsageError), (listing, error)
                assert "\n" not in str(error)
        left = {run.task_uuid for run in session.log.recent(None)}
        assert len(left) >= len(others) - 1
    finally:
        session.close()


def filter_of(session, **values):
    from runware_nb.runlog.filters import RunFilter

    return RunFilter(**values)


# --- naming, counting and removing --------------------------------------------------------------------


@pytest.fixture
def session(tmp_path):
    made = session_of(tmp_path / ".runware")
    asyncio.run(fill(made.log))
    yield made
    made.close()


def break_row(session, number, column="state", value="exploded"):
    with session.log.changing() as connection:
        connection.execute(sa.text(f"UPDATE runs SET {column} = :v WHERE task_uuid = :u"),
                           {"v": value, "u": run_record(number).task_uuid})  # fmt: skip


def test_the_damaged_row_is_named_after_the_command_and_counted_by_status(session):
    """The user is told which row and why, once for each command, and `status` counts."""
    break_row(session, 1)
    break_row(session, 2, "request", "{")
    answer = call(session, "log")
    assert len(answer.json) == 2
    assert len(answer.notes) == 2
    assert any(
        "row 2" in note.lower() and "request" in note and run_record(2).task_uuid in note for note in answer.notes
    )
    assert any("'exploded'" in note for note in answer.notes)
    status = call(session, "status")
    assert status.json["damaged"].startswith("2 runs cannot be read (row:2, row:1)")
    break_row(session, 1, value="succeeded")
    break_row(session, 2, "request", "{}")
    assert "damaged" not in call(session, "status").json
    assert call(session, "log").notes == ()


def test_a_damaged_run_is_named_where_it_is_asked_for(session):
    break_row(session, 2)
    for ref in (run_record(2).task_uuid, "00000002", "row:2"):
        with pytest.raises(RunDamaged, match=r'exploded.*`rw\.command\("forget", "row:2"\)`'):
            session.log.find(ref)


def test_forget_removes_a_damaged_run_and_prune_all_of_them(session):
    """Finished or not: what cannot be read cannot be collected either, and the question states what is lost."""
    break_row(session, 4, "created_at_utc", "yesterday")
    assert call(session, "forget row:4 --yes").json["removed"] == 1
    break_row(session, 1)
    break_row(session, 2, "inputs", "{")
    assert call(session, "prune --damaged --yes").json["removed"] == 2
    assert [run.task_uuid for run in session.log.recent(None)] == [run_record(3).task_uuid]
    with session.log.reading() as connection:
        for table in ("results", "uses", "votes", "run_tags"):
            left = connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar()
            assert left == (1 if table in {"results", "run_tags"} else 0), table
    assert session.log.find_damaged() == []


def test_a_healthy_unfinished_run_is_still_not_forgotten(session):
    with pytest.raises(RunLogError, match="may have been charged"):
        forget_runs(session.log, [run_record(4).task_uuid])


def test_a_file_that_a_damaged_row_names_is_not_a_stray(session):
    """Prune deletes files that no run refers to; a row that cannot be read may still refer to one."""
    from runware_nb.runlog.maintenance import stored_files

    break_row(session, 1, "inputs", '[{"place": "inputImage", "file": "' + FILE + '"')
    with session.log.reading() as connection:
        connection.execute(sa.text("DELETE FROM results"))
        assert FILE in stored_files(connection)


def test_malformed_pages_are_one_sentence(tmp_path, original):
    """Pages that SQLite cannot read end a command with what can be done about it."""
    home = tmp_path / ".runware"
    home.mkdir()
    body = bytearray(original)
    for start in range(4096 * 4, len(body), 4096):
        body[start : start + 2048] = b"\xa5" * 2048
    (home / "runs.sqlite").write_bytes(body)
    session = session_of(home)
    try:
        with pytest.raises(RunLogError) as caught:
            [call(session, listing.format(tmp_path)) for listing in LISTINGS]
        assert "\n" not in str(caught.value)
        assert ".recover" in str(caught.value)
    finally:
        session.close()


def test_on_postgresql_too(tmp_path, postgres):
    """JSON, states and times are text there as well."""
    session = session_of(tmp_path / ".runware", log_url=postgres.database())
    try:
        asyncio.run(fill(session.log))
        break_row(session, 1)
        break_row(session, 2, "request", "[")
        with session.log.changing() as connection:
            connection.execute(
                sa.text("UPDATE results SET raw = '{' WHERE run_uuid = :u"), {"u": run_record(3).task_uuid}
            )
        for listing in ("log --limit all", "cost", "pending", f"export {tmp_path}/x.jsonl", "gallery"):
            answer = call(session, listing)
            if listing.startswith("log"):
                assert [run["task_uuid"] for run in answer.json] == [run_record(4).task_uuid, run_record(3).task_uuid]
                assert len(answer.notes) == 3
        assert call(session, "prune --damaged --yes").json["removed"] == 2
    finally:
        session.close()


def test_resume_collects_the_others(sandbox, make_session):
    """Runs in flight of which one row is damaged: the others are collected, and the damaged one is named."""
    sandbox.faults({"kind": "latency", "seconds": 3, "count": None})
    session = make_session(sandbox)
    jobs = [session.submit({"taskType": "imageInference", "model": "runware:101@1", "positivePrompt": "a ship",
                            "width": 128, "height": 128, "seed": seed}) for seed in (1, 2, 3)]  # fmt: skip
    for job in jobs:
        while not job.record.attempts:
            pass
    second = make_session(sandbox)
    with second.log.changing() as connection:
        connection.execute(sa.text("UPDATE runs SET request = '{' WHERE task_uuid = :u"), {"u": jobs[0].task_uuid})
    answer = call(second, "resume")
    assert {run["task_uuid"] for run in answer.json} == {job.task_uuid for job in jobs[1:]}
    assert {run["state"] for run in answer.json} == {"succeeded"}
    assert any(jobs[0].task_uuid in note for note in answer.notes)
    assert len(sandbox.charges()) == 3
