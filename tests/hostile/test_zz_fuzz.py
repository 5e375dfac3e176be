"""One damaged row of a log: every command lists the others, names it, and lets the user remove it."""

import argparse
import asyncio
import json
import sqlite3

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runware_nb.again.records import write_lines
from runware_nb.commands import find_command, run_command
from runware_nb.errors import MagicUsageError, RunLogError, RunNotFound, RunwareNBError
from runware_nb.runlog import ResultRecord, RunLog, State, UseRecord
from runware_nb.runlog.ballots import Vote, add_vote
from runware_nb.runlog.damage import RunDamaged
from runware_nb.runlog.keeping import forget_runs
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
            inputs=[{"place": "inputImage", "sha256": "b" * 64, "file": FILE}], estimate_usd=0.01,
        )  # fmt: skip
        record.request = {"taskType": "imageInference", "model": "m:1@1", "positivePrompt": "a ship", "seed": number}
        name = record.task_uuid
        await log.prepare(record, cell_source=f"%%runware\n{number}", environment=json.dumps({"python": "3"}))
        await log.mark_sent(name, name, 1, AT, json.dumps(record.request))
        if number == 4:
            continue
        result = ResultRecord(position=0, seed=number, cost_usd=0.01, media_type="image/png", url="http://x/y.png",
                              received_sha256=f"{number}" * 64, file=FILE, medium_state="stored", raw={"seed": 1})  # fmt: skip
        state = State.FAILED if number == 3 else State.SUCCEEDED
        await log.finish(name, state, at_utc=AT, duration_s=1.0, cost_usd=0.01, records=[result],
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
    *(("runs", name) for name in (*RUN_COLUMNS, "finished_at_utc", "duration_s", "cost_usd", "error", "best_rating")),
    *(("results", name) for name in (*RESULT_COLUMNS, "rating", "perceptual_hash", "is_favourite")),
    *(("uses", name) for name in USE_COLUMNS),
    *(("votes", name) for name in ("ballot", "left_uuid", "left_position", "right_uuid", "right_position", "choice",
                                   "voter", "pair", "created_at_utc")),
    ("cells", "source"), ("environments", "snapshot"), ("run_tags", "tag"),
    *(("spending", name) for name in ("day", "key", "notebook", "runs", "results", "unknown", "cost_usd")),
])  # fmt: skip


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
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
                is_about_it = table in {"votes"} or (which in {1, 2} and table in {"runs", "results"})
                assert is_about_it or isinstance(error, MagicUsageError), (listing, error)
                assert "\n" not in str(error)
        left = {run.task_uuid for run in session.log.recent(None)}
        assert len(left) >= len(others) - 1
    finally:
        session.close()


def filter_of(session, **values):
    from runware_nb.runlog.filters import RunFilter

    return RunFilter(**values)
