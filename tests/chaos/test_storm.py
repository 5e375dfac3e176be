"""The storm in short: `make chaos` has the full one. A failure prints its seed, which repeats it."""

import sqlite3
import uuid

import pytest

from runware_nb.runlog import ResultRecord, RunRecord, State

from .session_storm import EVENTS, SessionStorm, events_of
from .storm import Storm, wrong_costs


@pytest.mark.parametrize("transport", ["websocket", "rest"])
@pytest.mark.parametrize("kills", [0, 1])
def test_nothing_is_lost_or_paid_twice_in_a_storm(tmp_path, run_async, monkeypatch, transport, kills):
    monkeypatch.setattr("runware_nb.providers.runware.fate.first_poll_s", lambda operation: 1.0)  # films, too
    monkeypatch.setattr("runware_nb.providers.runware.fate.SYNC_SILENCE_S", 2.0)
    storm = Storm(20261122 + kills, transport, 80, 0.3, kills, tmp_path)
    run_async(storm.blow(), timeout_s=150)
    print(storm.summary())
    assert storm.complaints() == []
    assert len(storm.outcomes) > 60


@pytest.mark.parametrize(
    ("transport", "events"),
    [("websocket", ("replace log", "kill server", "move both")), ("rest", ("delete log", "move images", "move log"))],
)
def test_nothing_is_lost_or_paid_twice_while_folders_are_moved(tmp_path, monkeypatch, transport, events):
    monkeypatch.setattr("runware_nb.providers.runware.fate.SYNC_SILENCE_S", 2.0)
    storm = SessionStorm(20261126, transport, 40, 0.3, events, tmp_path)
    storm.blow()
    print(storm.summary())
    assert storm.complaints() == []
    assert len(storm.ledger["charges"]) > 30


# --- the storms would notice ---------------------------------------------------------------------------


def test_a_storm_notices_what_the_ledger_does_not_have(tmp_path, run_async):
    storm = Storm(1, "rest", 4, 0.0, 0, tmp_path, in_flight=4)
    run_async(storm.blow())
    assert storm.complaints() == []
    charges = storm.ledger["charges"]
    charge = next(charge for charge in charges if charge["task_type"] == "imageInference")
    charges.append({**charge, "task_uuid": "another"})
    assert "billed 2 times" in storm.complaints()[0]
    charges.pop()
    charge["results"] += 1
    assert "missing" in storm.complaints()[0]
    charge["results"] -= 1
    result = storm.outcomes[charge["task_uuid"]].results[0]
    right, result.raw = result.raw, {**result.raw, "imageURL": "http://127.0.0.1/media/preview.jpg"}
    assert "was taken for the result" in storm.complaints()[0]
    result.raw = right
    charges.remove(charge)
    assert any("never billed" in sentence for sentence in storm.complaints())
    charges.append(charge)
    storm.outcomes.popitem()
    assert "no end" in storm.complaints()[0]
    storm.crashes.append("a task ended in OverflowError")
    assert "OverflowError" in storm.complaints()[0]


LEDGER = {"charges": [{"task_uuid": "a", "cost_usd": 0.02, "results": 2}], "total_usd": 0.02}


@pytest.mark.parametrize(
    ("parts", "whole"), [([0.01, 0.01], 0.02), ([None, 0.01], None), ([None, None], None), ([0.01], None), ([], None)]
)
def test_a_right_or_unknown_cost_is_accepted(parts, whole):
    assert wrong_costs([("a", parts, whole)], LEDGER) == []


@pytest.mark.parametrize("amount", [-5.0, float("nan"), float("inf"), 1.0, 0.0, True, "0.01"])
def test_a_wrong_cost_is_complained_about(amount):
    for parts, whole in [([0.01, 0.01], amount), ([amount, None], None)]:
        assert repr(amount) in wrong_costs([("a", parts, whole)], LEDGER)[0]


def test_a_cost_that_was_never_charged_is_complained_about():
    assert "known costs of 0.030000 exceed" in wrong_costs([("a", [], 0.02), ("b", [0.01], None)], LEDGER)[-1]


@pytest.fixture
def storm(tmp_path):
    """A storm of one task, which is in the log at the path."""
    storm = SessionStorm(1, "rest", 1, 0.0, (), tmp_path)
    name = str(uuid.uuid4())
    run = RunRecord(task_uuid=name, attempt_uuid=name, provider="sandbox", task_type="imageInference", model="m",
                    request={}, request_hash=name, asked_hash=name, created_at_utc="2026-01-01T00:00:00.000+00:00",
                    state=State.SUCCEEDED, cost=0.01, results=[ResultRecord(position=0, cost=0.01)])  # fmt: skip
    charge = {"task_uuid": name, "task_type": "imageInference", "cost_usd": 0.01, "results": 1, "request_hash": name}
    storm.ledger = {"charges": [charge], "total_usd": 0.01}
    storm.records = {storm.home: [run]}
    storm.submitted_after[name] = 0
    assert storm.complaints() == []
    return storm


def test_a_storm_notices_a_run_that_no_log_has(storm):
    storm.records[storm.home].clear()
    assert "was billed, and no log has it" in storm.complaints()[0]


def test_a_storm_notices_a_result_that_no_log_has(storm):
    storm.records[storm.home][0].results.clear()
    assert "1 of 1 results billed for" in storm.complaints()[0]


def test_a_storm_notices_a_run_that_was_written_to_a_log_that_was_moved_away_before(storm):
    storm.homes = [storm.folder / "away-0"]
    storm.records = {storm.homes[0]: storm.records[storm.home]}
    assert storm.complaints() == []  # submitted before the log was moved
    storm.submitted_after = dict.fromkeys(storm.submitted_after, 1)
    assert "is only in away-0" in storm.complaints()[0]


@pytest.mark.parametrize("error", [UnicodeError("odd URL"), KeyError("x")])
def test_a_storm_notices_an_unexpected_exception(storm, error):
    storm.errors.append(error)
    assert f"a job ended in {type(error).__name__}" in storm.complaints()[0]


@pytest.mark.parametrize("event", EVENTS)
def test_each_event_does_what_its_name_states(tmp_path, event):
    storm = SessionStorm(1, "rest", 1, 0.0, (event,), tmp_path)
    log, images = storm.home / ".runware", storm.home / "runware_images"
    for folder in (log, images):
        folder.mkdir(parents=True)
    with sqlite3.connect(log / "runs.sqlite") as connection:
        connection.execute("CREATE TABLE t (n)")
    storm._prepare_replacement()
    with sqlite3.connect(log / "runs.sqlite") as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    connection.close()
    (images / "a.jpg").write_bytes(b"a")
    inode = log.stat().st_ino
    if event != "kill server":
        storm._meddle(event)
    touches_log, touches_images = event.endswith(("log", "both")), event.endswith(("images", "both"))
    assert log.exists() == (not touches_log or event == "replace log")
    assert images.exists() != touches_images
    if touches_log:
        kept = sqlite3.connect(storm.homes[0] / ".runware" / "runs.sqlite")
        assert kept.execute("SELECT n FROM t").fetchall() == [(1,)]
        kept.close()
    if touches_images:
        assert (storm.homes[0] / "runware_images" / "a.jpg").read_bytes() == b"a"
    if event == "replace log":
        assert log.stat().st_ino != inode


def test_a_seed_decides_the_order_of_events():
    assert sorted(events_of(1)) == sorted(EVENTS)
    assert events_of(1) == events_of(1) != events_of(2)
