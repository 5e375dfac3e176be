import asyncio
import json
import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from runware_nb.core.money import Money
from runware_nb.errors import RunLogError, RunNotFound, SchemaTooNew
from runware_nb.runlog import MediaStore, Parent, ResultRecord, RunLog, State, Uploaded, opening
from runware_nb.runlog.ballots import Vote, add_vote, votes_of
from runware_nb.runlog.filters import RunFilter
from runware_nb.runlog.maintenance import forget_runs
from runware_nb.runlog.opening import open_engine
from runware_nb.runlog.records import RunClaimed
from runware_nb.runlog.schema import HEAD, metadata
from runware_nb.runlog.spending import Budget, budgets_of, set_budget, sum_spending
from tests.postgres import Postgres
from tests.runs import run_record

AT = "2026-01-01T00:00:00.000+00:00"


@pytest.fixture
def log(tmp_path, log_url):
    made = RunLog(tmp_path / ".runware", log_url)
    yield made
    made.close()


def test_a_run_reads_back_as_it_was_written(log, run_async):
    record = run_record(cell_hash="c" * 64, environment_hash="e" * 64, tags=("b", "a"), note="n", execution_count=3)

    async def write():
        await log.prepare(record, cell_source="%%runware\nx", environment="{}")

    run_async(write())
    found = log.find(record.task_uuid)
    assert found.request == record.request
    assert (found.state, found.note, found.execution_count) == (State.PREPARED, "n", 3)
    assert sorted(found.tags) == ["a", "b"]
    assert log.cell_source("c" * 64) == "%%runware\nx"


def test_the_parents_of_a_run_are_kept_in_order_and_forgotten_with_it(log, run_async):
    first, second, child = (f"{number:08x}-0000-4000-8000-000000000000" for number in (1, 2, 3))
    parents = (Parent(second, "seedImage", 1), Parent(first, "prompt", 0), Parent(second, "maskImage"))

    async def write():
        for number in (1, 2):
            await log.prepare(run_record(number, finished_at_utc=AT))
        await log.prepare(run_record(3, parents=(*parents, parents[0]), parent_uuid=second))
        for number in (1, 2, 3):
            await log.drop_unsent(f"{number:08x}-0000-4000-8000-000000000000", AT)

    run_async(write())
    assert log.find(child).parents == parents
    assert [run.task_uuid for run in log.children_of([first, second])] == [child]
    forget_runs(log, [second])
    assert log.find(child).parents == parents  # its origin stays known, although that run is gone
    forget_runs(log, [child])
    assert log.children_of([first, second]) == []


def test_uploads_are_remembered_by_hash_for_each_account(log, run_async):
    """A second upload replaces the first, a later use only its time, and files that are forgotten are forgotten here."""
    one, two, three = (f"{digit}" * 64 for digit in "abc")
    errors = []

    async def write():
        for service, media_uuid, at_utc in (("s:1", "u1", AT), ("s:2", "other", AT), ("s:1", "u1", "2026-02-01")):
            log.note_upload(service, one, media_uuid, at_utc, errors.append)
        log.note_upload("s:1", two, "u2", AT, errors.append, given_sha256=three)
        log.note_upload("s:1", two, "u2", AT, errors.append, given_sha256=one)  # another file in the same form
        await log.prepare(run_record(1, inputs=[{"file": f"aa/{one}.png"}]))

    run_async(write())
    assert log.find_upload("s:1", one) == Uploaded("u1", one, one, "2026-02-01")
    assert log.find_upload("s:2", one) == Uploaded("other", one, one, AT)
    assert log.find_uploaded("s:1", "u2") == Uploaded("u2", two, three, AT)
    assert (log.find_upload("s:3", one), log.find_uploaded("s:2", "u2")) == (None, None)

    async def replace():
        log.note_upload("s:1", one, "u3", "2026-03-01", errors.append)
        log.forget_upload("s:1", two, errors.append)
        await log.drop_unsent("00000001-0000-4000-8000-000000000000", AT)

    run_async(replace())
    assert log.find_upload("s:1", one) == Uploaded("u3", one, one, "2026-03-01")
    assert log.find_upload("s:1", two) is None
    assert forget_runs(log, ["00000001-0000-4000-8000-000000000000"]) == [f"aa/{one}.png"]
    assert (log.find_upload("s:1", one), errors) == (None, [])


def test_the_way_of_a_run_through_its_states(log, run_async):
    record = run_record()
    states = []

    async def live():
        await log.prepare(record)
        states.append(log.find("00000001").state)
        await log.mark_sent(record.task_uuid, record.task_uuid, 1, AT, json.dumps({"a": 1}))
        states.append(log.find("00000001").state)
        await log.add_results(
            record.task_uuid, [ResultRecord(position=0, seed=7, raw={"x": 1}, medium_state="pending")]
        )
        states.append(log.find("00000001").state)
        stored = ResultRecord(position=0, seed=7, raw={"x": 1}, medium_state="stored", file="ab/c.jpg")
        failed = ResultRecord(position=1, error={"code": "c", "message": "m"})
        await log.finish(record.task_uuid, State.PARTIAL, at_utc=AT, duration_s=1.5, cost=Money(0.01), error=None,
                         records=[stored, failed])  # fmt: skip

    run_async(live())
    assert states == [State.PREPARED, State.SENT, State.ACCEPTED]
    found = log.find(record.task_uuid)
    assert (found.state, found.duration_s, found.cost_usd, found.attempts) == (State.PARTIAL, 1.5, 0.01, 1)
    assert [(r.position, r.medium_state, r.error) for r in found.results] == [
        (0, "stored", None), (1, "none", {"code": "c", "message": "m"}),
    ]  # fmt: skip
    assert log.pending() == []


def test_two_processes_cannot_send_the_same_attempt(log, run_async):
    record = run_record()

    async def both():
        await log.prepare(record)
        claims = [log.mark_sent(record.task_uuid, record.task_uuid, 1, AT, "{}") for _ in range(2)]
        return await asyncio.gather(*claims, return_exceptions=True)

    first, second = run_async(both())
    assert first is None
    assert isinstance(second, RunLogError)


def test_a_second_attempt_is_found_by_its_own_uuid(log, run_async):
    record = run_record()
    again = "99999999-0000-4000-8000-000000000000"

    async def live():
        await log.prepare(record)
        await log.mark_sent(record.task_uuid, record.task_uuid, 1, AT, "{}")
        await log.mark_sent(record.task_uuid, again, 2, AT, "{}")

    run_async(live())
    found = log.find(again)
    assert (found.task_uuid, found.attempt_uuid, found.attempts) == (record.task_uuid, again, 2)


def test_a_write_that_fails_takes_no_other_with_it(log, run_async):
    async def live():
        twice = [log.prepare(run_record(1)), log.prepare(run_record(1)), log.prepare(run_record(2))]
        claim = log.mark_sent(run_record(2).task_uuid, run_record(2).task_uuid, 1, AT, "{}")
        return await asyncio.gather(*twice, claim, return_exceptions=True)

    first, second, third, claim = run_async(live())
    assert (first, third, claim) == (None, None, None)
    assert isinstance(second, RunLogError)
    assert log.count() == 2
    assert log.find("00000002").state is State.SENT


def test_a_claim_fails_with_the_run_it_was_merged_into(log, run_async):
    async def live():
        await log.prepare(run_record(1))
        again = [log.prepare(run_record(1)), log.mark_sent(run_record(1).task_uuid, "x", 1, AT, "{}")]
        return await asyncio.gather(*again, return_exceptions=True)

    assert all(isinstance(each, RunLogError) for each in run_async(live()))
    assert log.find("00000001").attempts == 0


def test_a_discarded_run_stays_discarded_and_is_still_completed(log, run_async):
    record = run_record()

    async def live():
        await log.prepare(record)
        await log.mark_sent(record.task_uuid, record.task_uuid, 1, AT, "{}")
        await log.set_state(record.task_uuid, State.DISCARDED)
        await log.finish(record.task_uuid, State.SUCCEEDED, at_utc=AT, duration_s=1, cost=Money(1), error=None)

    run_async(live())
    found = log.find(record.task_uuid)
    assert (found.state, found.cost_usd, found.is_finished) == (State.DISCARDED, 1, True)
    assert log.recent() == []


def test_a_run_that_was_dropped_before_it_was_sent_is_never_claimed(log, run_async):
    """It may be waiting for a free slot in this kernel or another: nothing may be paid for it any more."""
    record = run_record()

    async def live():
        await log.prepare(record)
        await log.drop_unsent(record.task_uuid, AT)
        with pytest.raises(RunClaimed):
            await log.mark_sent(record.task_uuid, record.task_uuid, 1, AT, "{}")

    run_async(live())
    assert log.find(record.task_uuid).attempts == 0


def test_what_was_never_sent_cannot_be_detached(log, run_async):
    async def live():
        await log.prepare(run_record())
        await log.set_state(run_record().task_uuid, State.DETACHED)

    run_async(live())
    assert log.find("00000001").state is State.PREPARED


@pytest.mark.parametrize("ref", ["ffffffff", "", "0", "000", "'; DROP TABLE runs; --", "%"])
def test_an_unknown_run_is_one_sentence(log, ref):
    with pytest.raises(RunNotFound, match=r"`rw\.log\.select\(\)` lists the runs"):
        log.find(ref)


def test_a_beginning_that_fits_several_is_refused(log, run_async):
    async def write():
        await asyncio.gather(log.prepare(run_record(1)), log.prepare(run_record(2)))

    run_async(write())
    with pytest.raises(RunNotFound, match="Several runs"):
        log.find("0000")


def test_many_threads_write_at_once(log):
    async def write(first):
        await asyncio.gather(*(log.prepare(run_record(first + n)) for n in range(50)))

    threads = [threading.Thread(target=asyncio.run, args=(write(100 * n),)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.count() == 200


def test_every_commit_is_durable(tmp_path):
    log = RunLog(tmp_path)
    with log._engine.connect() as connection:
        assert connection.execute(sa.text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
    log.close()


def test_the_folder_is_left_alone_by_git(tmp_path):
    RunLog(tmp_path / ".runware").close()
    assert "*" in (tmp_path / ".runware" / ".gitignore").read_text()


def test_a_newer_log_is_refused_and_not_touched(tmp_path):
    RunLog(tmp_path).close()
    with sqlite3.connect(tmp_path / "runs.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = (tmp_path / "runs.sqlite").read_bytes()
    with pytest.raises(SchemaTooNew, match="upgrade runware-nb"):
        RunLog(tmp_path)
    assert (tmp_path / "runs.sqlite").read_bytes() == before


def test_a_corrupt_log_is_one_sentence(tmp_path):
    (tmp_path / "runs.sqlite").write_bytes(b"this is not a database, whatever its name says" * 50)
    with pytest.raises(RunLogError, match="cannot be opened"):
        RunLog(tmp_path)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunLogError, match="cannot be created"):
        RunLog(tmp_path / "file" / "home")


@pytest.mark.parametrize("url", ["nonsense", "mysql://h/x"])
def test_an_odd_database_is_one_sentence(tmp_path, url):
    with pytest.raises(RunLogError, match="sqlite:///FILE or postgresql"):
        RunLog(tmp_path, url)


def old_engine(url, revision="0001"):
    """Make a log as an older version of the package did."""
    from alembic import command
    from alembic.config import Config

    engine = sa.create_engine(url)
    config = Config()
    config.set_main_option("script_location", str(Path(opening.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    return engine


def described(engine):
    inspector = sa.inspect(engine)
    return {
        table: (
            sorted((c["name"], str(c["type"]), c["nullable"], str(c["default"])) for c in inspector.get_columns(table)),
            inspector.get_pk_constraint(table)["constrained_columns"],
            sorted((i["name"], tuple(i["column_names"]), i["unique"], sorted(map(str, (i.get("dialect_options") or {}).values())))
                   for i in inspector.get_indexes(table)),
            sorted(tuple(u["column_names"]) for u in inspector.get_unique_constraints(table)),
        )
        for table in metadata.tables
    }  # fmt: skip


def rules_of(engine):
    """The tables and triggers that are plain SQL."""
    if engine.dialect.name != "sqlite":
        return None
    named = "SELECT name, sql FROM sqlite_master WHERE name LIKE 'runs_text%' AND sql IS NOT NULL ORDER BY name"
    with engine.connect() as connection:
        return [(name, " ".join(sql.split())) for name, sql in connection.execute(sa.text(named))]


@pytest.fixture
def two_urls(tmp_path, request, log_url):
    if log_url is None:
        return f"sqlite:///{tmp_path / 'new.sqlite'}", f"sqlite:///{tmp_path / 'old.sqlite'}"
    return log_url, request.getfixturevalue("postgres").database()


EARLIER = pytest.mark.parametrize("revision", [f"{number:04}" for number in range(1, int(HEAD))])


@EARLIER
def test_the_migrated_log_equals_the_new_one(tmp_path, two_urls, revision):
    new, old = two_urls
    made = open_engine(tmp_path, new)
    old_engine(old, revision).dispose()
    migrated = open_engine(tmp_path, old)
    assert described(made) == described(migrated)
    assert rules_of(made) == rules_of(migrated)
    for engine in (made, migrated):
        with engine.connect() as connection:
            assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars().all() == [HEAD]
        engine.dispose()


@EARLIER
def test_a_filled_log_of_an_earlier_version_keeps_everything(tmp_path, two_urls, revision):
    url = two_urls[1]
    engine = old_engine(url, revision)
    tagged = "(run_uuid, tag) VALUES (:n, 'red')"
    if revision != "0001":
        tagged = "(run_id, tag) SELECT id, 'red' FROM runs WHERE task_uuid = :n"
    # The amounts have a unit since version 0007, and their columns have other names.
    cost_column, estimate_column = ("cost", "estimate") if revision >= "0007" else ("cost_usd", "estimate_usd")
    unit = ", 'USD'" if revision >= "0007" else ""
    with engine.begin() as connection:
        columns = (
            "task_uuid, attempt_uuid, provider, task_type, model, request, request_hash, asked_hash, seed_given, prompt, "
            f"notebook, execution_count, state, attempts, created_at_utc, finished_at_utc, {cost_column}"
        )
        for number, ended, cost in ((1, AT, 0.25), (2, AT, None), (3, None, None)):
            name = f"{number:08x}-0000-4000-8000-000000000000"
            state = "succeeded" if ended else "sent"
            connection.execute(
                sa.text(f"INSERT INTO runs ({columns}) VALUES (:n, :n, 'sandbox', 'imageInference', 'm', '{{}}', '1:r', "
                        "'1:a', 1, 'a red airship', '/n/x.ipynb', 4, :s, 1, '2026-01-01T00', :e, :c)"),
                {"n": name, "s": state, "e": ended, "c": cost},
            )  # fmt: skip
            connection.execute(sa.text(f"INSERT INTO run_tags {tagged}"), {"n": name})
            connection.execute(
                sa.text("INSERT INTO results (run_uuid, position, medium_state, raw) VALUES (:n, 0, 'none', '{}')"),
                {"n": name},
            )
        if revision >= "0006":
            connection.execute(sa.text("UPDATE runs SET remote_id = attempt_uuid"))
        connection.execute(sa.text("UPDATE runs SET task_type = 'photoMaker' WHERE state = 'sent'"))
        if revision >= "0007":
            connection.execute(sa.text("UPDATE runs SET operation = 'text-to-image'"))
        if revision != "0001":
            connection.execute(sa.text(f"UPDATE runs SET {estimate_column} = 0.5"))
            connection.execute(sa.text(f"INSERT INTO budgets VALUES ('sandbox', ''{unit}, 5, 0.25, 0.5)"))
            connection.execute(
                sa.text(f"INSERT INTO spending VALUES ('day', '', 'sandbox', '', 'd'{unit}, 2, 2, 1, 0.25)")
            )
    engine.dispose()
    log = RunLog(tmp_path, url)
    assert [run.tags for run in log.select(RunFilter(tags=("red",), search="red AIR"))] == [("red",)] * 3
    assert [len(run.results) for run in log.recent()] == [1, 1, 1]
    assert [run.task_uuid[:8] for run in log.pending()] == ["00000003"]
    assert all((run.remote_id, run.cost_unit) == (run.attempt_uuid, "USD") for run in log.recent())
    assert log.uses_of([run.task_uuid for run in log.recent()]) == []
    assert [(run.operation, run.cost) for run in log.recent()] == [
        ("text-to-image", cost) for cost in (None, None, 0.25)
    ]
    with log.reading() as connection:
        sums = [(each.unit, each.cost, each.unknown) for each in sum_spending(connection, "day")]
        limits = budgets_of(connection)
    assert sums == [("USD", 0.25, 1)]
    if revision != "0001":
        assert [run.estimate for run in log.recent()] == [0.5] * 3
        assert limits == [Budget("sandbox", "", 5.0, 0.25, 0.5, "USD")]
    if revision != "0001":  # sums are rolled up as runs finish; only the first version had none to bring along
        log.close()
        return
    with log.reading() as connection:
        (cell,) = sum_spending(connection, "cell")
        (tag,) = sum_spending(connection, "tag")
    assert (cell.key, cell.runs, cell.results, cell.cost_usd, cell.unknown) == (("/n/x.ipynb", "In [4]"), 2, 2, 0.25, 1)
    assert (tag.runs, tag.cost_usd) == (2, 0.25)
    log.close()


@pytest.mark.parametrize("revision", ["0002", "0007"])
def test_the_migration_finds_all_parents_of_earlier_runs(tmp_path, two_urls, revision):
    """From the recorded origins of media, with the fields of the request; a damaged row stops nothing."""
    url = two_urls[1]
    engine = old_engine(url, revision)
    one, two, three = (f"{number:08x}-0000-4000-8000-000000000000" for number in (1, 2, 3))
    edit = {"seedImage": "sha256:a", "maskImage": "sha256:b", "inputs": {"images": ["x", "sha256:c"]},
            "assets": {"startFrame": one}, "input": {"media": "a text"}}  # fmt: skip
    made = [{"maker": one}, {"sha256": "b"}, {"named": "x"}, {"maker": two}, {"maker": one}]
    rows = {
        4: (one, edit, made),
        5: (three, {"seedImage": "u"}, [{"maker": one}, {"maker": two}]),  # lists other media than the request has
        6: (None, edit, made[:1]),
        7: (two, "not JSON", "{"),
        8: (None, {"inputs": {"image": "u"}}, [{"maker": "not a UUID"}]),
        9: (None, {"inputs": {"image": "u"}}, [{"maker": one}]),
    }
    with engine.begin() as connection:
        for number, (parent, *texts) in rows.items():
            request, inputs = (text if isinstance(text, str) else json.dumps(text) for text in texts)
            connection.execute(
                sa.text(
                    "INSERT INTO runs (task_uuid, attempt_uuid, provider, task_type, request, request_hash, asked_hash, "
                    "seed_given, state, attempts, created_at_utc, parent_uuid, inputs) VALUES (:n, :n, 'sandbox', "
                    "'imageInference', :r, '1:r', '1:a', 1, 'succeeded', 1, '2026-01-01T00', :p, :i)"
                ),
                {"n": f"{number:08x}-0000-4000-8000-000000000000", "r": request, "p": parent, "i": inputs},
            )
    engine.dispose()
    log = RunLog(tmp_path, url)
    with log.reading() as connection:
        found = connection.execute(sa.text("SELECT * FROM run_parents ORDER BY task_uuid, number")).all()
    assert [(int(row[0][:8], 16), *row[1:]) for row in found] == [
        (4, 0, one, "seedImage", None), (4, 1, two, "images", None), (4, 2, one, "startFrame", None),
        (5, 0, three, "medium", None), (5, 1, one, "medium", None), (5, 2, two, "medium", None),
        (6, 0, one, "medium", None), (7, 0, two, "medium", None), (9, 0, one, "image", None),
    ]  # fmt: skip
    assert log.find("00000004").parents == (
        Parent(one, "seedImage"), Parent(two, "images"), Parent(one, "startFrame")
    )  # fmt: skip
    assert [int(run.task_uuid[:8]) for run in log.children_of([two, one])] == [4, 5, 6, 9]
    log.close()


def test_of_repeated_votes_the_migration_keeps_the_last(tmp_path, two_urls):
    url = two_urls[1]
    engine = old_engine(url, "0003")
    first, second = (f"{number:08x}-0000-4000-8000-000000000000" for number in (1, 2))
    rows = [
        ("study", first, second, "left", "ann"), ("study", second, first, "left", "ann"),  # ann now prefers the second
        ("study", first, second, "left", "bob"), ("other", first, second, "tie", "ann"),
        ("study", first, second, "tie", ""), ("study", first, second, "right", ""),
    ]  # fmt: skip
    with engine.begin() as connection:
        for ballot, left, right, choice, voter in rows:
            connection.execute(
                sa.text("INSERT INTO votes (ballot, left_uuid, left_position, right_uuid, right_position, choice, voter, "
                        "created_at_utc) VALUES (:b, :l, 0, :r, 0, :c, :v, 't')"),
                {"b": ballot, "l": left, "r": right, "c": choice, "v": voter},
            )  # fmt: skip
    engine.dispose()
    log = RunLog(tmp_path, url)
    kept = [(vote.left[0], vote.choice, vote.voter) for vote in votes_of(log, "study")]
    assert kept == [(second, "left", "ann"), (first, "left", "bob"), (first, "right", "")]
    assert len(votes_of(log, "other")) == 1
    add_vote(log, "study", Vote((first, 0), (second, 0), "tie", "ann", "t2"))
    assert len(votes_of(log, "study")) == 3
    log.close()


def test_two_kernels_may_open_an_old_or_a_new_log_at_once(tmp_path, two_urls):
    old_engine(two_urls[1]).dispose()
    for url in two_urls:
        faults = []

        def open_it(url=url, faults=faults):
            try:
                RunLog(tmp_path, url).close()
            except Exception as error:
                faults.append(error)

        threads = [threading.Thread(target=open_it) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []


def test_a_log_server_that_goes_away_and_comes_back(tmp_path, run_async):
    server = Postgres()
    try:
        log = RunLog(tmp_path, server.database())

        async def write(number):
            await log.prepare(run_record(number))

        run_async(write(1))
        server.stop()
        with pytest.raises(RunLogError, match="cannot be written"):
            run_async(write(2))
        with pytest.raises(RunLogError, match="cannot be read"):
            log.recent()
        server.start()
        run_async(write(3))
        assert {run.task_uuid[:8] for run in log.recent()} == {"00000001", "00000003"}
        log.close()
        server.stop()
        with pytest.raises(RunLogError, match=r"the log postgresql\+psycopg://127\.0\.0\.1:\d+/x cannot be opened"):
            RunLog(tmp_path, f"postgresql+psycopg://runware:s3cret@127.0.0.1:{server.port}/x")
        server.start()
    finally:
        server.close()


def test_a_password_in_the_address_is_never_shown(tmp_path, postgres):
    with pytest.raises(RunLogError) as caught:
        RunLog(tmp_path, f"postgresql://runware:s3cret@127.0.0.1:{postgres.port}/nosuch")
    assert "s3cret" not in str(caught.value)
    assert "nosuch" in str(caught.value)


def test_a_read_only_log_is_one_sentence(tmp_path, run_async):
    RunLog(tmp_path).close()
    url = f"sqlite:///file:{tmp_path / 'runs.sqlite'}?mode=ro&uri=true"
    log = RunLog(tmp_path, url)

    async def write():
        await log.prepare(run_record())

    with pytest.raises(RunLogError, match="read-only"):
        run_async(write())
    with pytest.raises(RunLogError, match="read-only"), log.changing() as connection:
        set_budget(connection, "sandbox", "", 1.0)
    log.close()


def test_a_full_disk_is_one_sentence_and_the_log_goes_on(tmp_path, run_async):
    log = RunLog(tmp_path)
    with log._engine.connect() as connection:
        pages = connection.execute(sa.text("PRAGMA page_count")).scalar()
    sa.event.listen(log._engine, "connect", lambda made, _: made.execute(f"PRAGMA max_page_count={pages + 3}"))
    log._engine.dispose()

    async def write(number, note=None):
        await log.prepare(run_record(number, note=note))

    with pytest.raises(RunLogError, match="the disk is full"):
        run_async(write(1, "x" * 200_000))
    run_async(write(2))
    assert log.count() == 1
    log.close()


def test_a_locked_log_is_waited_for(tmp_path, run_async):
    log = RunLog(tmp_path)
    other = sqlite3.connect(tmp_path / "runs.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.5, other.rollback).start()

    async def write():
        await log.prepare(run_record())

    run_async(write(), timeout_s=10)
    assert log.count() == 1
    other.close()
    log.close()


def test_a_file_that_is_locked_while_it_is_opened_is_waited_for(tmp_path, monkeypatch):
    """SQLite asks no busy handler while another process turns a new file to WAL: it refuses at once."""
    monkeypatch.setattr(opening, "BUSY_S", 0.0)  # what it is told to wait; our own patience is what is tested
    other = sqlite3.connect(tmp_path / "runs.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(RunLogError, match="another process has locked it"):
        RunLog(tmp_path)
    threading.Timer(0.3, other.rollback).start()
    monkeypatch.setattr(opening, "_set_pragmas", lambda connection, _: connection.execute("PRAGMA busy_timeout=0"))
    monkeypatch.setattr(opening, "BUSY_S", 10.0)
    RunLog(tmp_path).close()
    other.close()


def test_an_empty_database_file_becomes_a_log(tmp_path):
    (tmp_path / "runs.sqlite").touch()
    log = RunLog(tmp_path)
    assert log.count() == 0
    log.close()


def test_the_same_medium_is_stored_once(tmp_path):
    store = MediaStore(tmp_path / "runware_images")
    body = b"\x89PNG\r\n\x1a\n" + b"x" * 100
    first, second = store.put(body), store.put(body)
    assert first == second
    assert first.path.read_bytes() == body
    assert first.name == f"{first.sha256[:2]}/{first.sha256}.png"
    assert store.find(first.name) == first.path
    assert store.find("no/such.png") is None
    assert (tmp_path / "runware_images" / ".gitignore").exists()


def test_a_closed_log_refuses_instead_of_waiting_for_ever(tmp_path, run_async):
    log = RunLog(tmp_path)
    log.close()
    log.close()

    async def write():
        await log.prepare(run_record())

    with pytest.raises(RunLogError, match="has been closed"):
        run_async(write(), timeout_s=5)


def test_what_was_queued_before_closing_is_still_written(tmp_path, run_async):
    log = RunLog(tmp_path)

    async def write():
        waiting = [log.prepare(run_record(number)) for number in range(1, 50)]
        await asyncio.to_thread(log.close)
        await asyncio.gather(*waiting)

    run_async(write(), timeout_s=10)
    again = RunLog(tmp_path)
    assert again.count() == 49
    again.close()


@pytest.mark.parametrize("state", ["pending", "missing", "expired"])
def test_a_stored_file_stays_known_when_another_kernel_records_the_result_without_it(log, run_async, state):
    record = run_record()
    stored = ResultRecord(position=0, seed=7, raw={"x": 1}, medium_state="stored", file="ab/c.jpg", url="https://a.test/1",
                          media_type="image/jpeg", size_bytes=3, received_sha256="a" * 64, stored_sha256="b" * 64)  # fmt: skip
    without = ResultRecord(position=0, seed=7, raw={"x": 1}, medium_state=state, url="https://a.test/2")

    async def write():
        await log.prepare(record)
        await log.mark_sent(record.task_uuid, record.task_uuid, 1, AT, "{}")
        await log.add_results(record.task_uuid, [without])
        await log.add_results(record.task_uuid, [stored])
        await log.add_results(record.task_uuid, [without])

    run_async(write())
    (found,) = log.find(record.task_uuid).results
    assert (found.medium_state, found.file, found.received_sha256) == ("stored", "ab/c.jpg", "a" * 64)
    assert found.url == "https://a.test/2"  # the newest is the one that may still work


def test_the_id_of_the_service_has_any_length_and_the_unit_is_kept(log, run_async):
    record = run_record(cost_unit="credits")
    remote_id = "user:1-someone@example.com-video:" + "ü" * 5000

    async def live():
        await log.prepare(record)
        await log.mark_sent(record.task_uuid, record.task_uuid, 1, AT, "{}", remote_id=remote_id)

    run_async(live())
    run = log.find(record.task_uuid)
    assert (run.remote_id, run.cost_unit) == (remote_id, "credits")


def test_an_unknown_run_stays_pending_and_is_not_claimed_again(log, run_async):
    """A further attempt could be charged twice; as `detached` it would be sent again by whoever joins it."""
    record = run_record()

    async def live():
        await log.prepare(record)
        await log.mark_sent(record.task_uuid, record.task_uuid, 1, AT, "{}")
        await log.set_state(record.task_uuid, State.UNKNOWN)
        for state in (State.DETACHED, State.DISCARDED):
            await log.set_state(record.task_uuid, state)
        with pytest.raises(RunClaimed):
            await log.mark_sent(record.task_uuid, "99999999-0000-4000-8000-000000000000", 2, AT, "{}")

    run_async(live())
    assert [run.state for run in log.pending()] == [State.UNKNOWN]
    assert [run.state for run in log.select(RunFilter(state="unknown"))] == [State.UNKNOWN]

    run_async(log_result(log, record.task_uuid))
    assert log.find(record.task_uuid).state is State.ACCEPTED


async def log_result(log, run_uuid):
    await log.add_results(run_uuid, [ResultRecord(position=0, raw={"x": 1})])


def test_a_part_of_a_text_replaces_only_a_part(log, run_async):
    """Another kernel may have collected the whole text since: then nothing that it recorded changes."""
    record = run_record()
    quoting = 'whole "isPartial": true}'

    def part(text):
        return ResultRecord(position=0, raw={"text": text, "isPartial": True})

    def stored():
        found = log.find(record.task_uuid)
        return found.state, found.cost, found.error, [kept.raw["text"] for kept in found.results]

    async def write():
        await log.prepare(record)
        await log.add_text_so_far(record.task_uuid, part("a"))
        await log.add_text_so_far(record.task_uuid, part("a b"))
        seen = [stored()[3]]
        await log.finish(
            record.task_uuid, State.SUCCEEDED, at_utc="2026-01-01T00:00:01.000+00:00", duration_s=1.0,
            cost=Money(0.25, "USD"), error=None, records=[ResultRecord(position=0, raw={"text": quoting})],
        )  # fmt: skip
        await log.add_text_so_far(record.task_uuid, part("a b c"))
        seen.append(stored())
        await log.finish(
            record.task_uuid, State.PARTIAL, at_utc="2026-01-01T00:00:02.000+00:00", duration_s=2.0, cost=None,
            error={"code": "streamBroken"}, records=[part("a b c")],
        )  # fmt: skip
        return [*seen, stored()]

    ended = (State.SUCCEEDED, 0.25, None, [quoting])
    assert run_async(write()) == [["a b"], ended, ended]
    assert log.find_recorded(record.request_hash) is not None
