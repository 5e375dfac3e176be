"""The storm in short: `make chaos` has the full one. A failure prints its seed, which repeats it."""

import pytest

from .storm import Storm


@pytest.mark.parametrize("transport", ["websocket", "rest"])
@pytest.mark.parametrize("kills", [0, 2])
def test_nothing_is_lost_or_paid_twice_in_a_storm(tmp_path, run_async, monkeypatch, transport, kills):
    monkeypatch.setattr("runware_nb.delivery.courier.SYNC_SILENCE_S", 2.0)
    storm = Storm(20261122 + kills, transport, 300, 0.15, kills, tmp_path)
    run_async(storm.blow(), timeout_s=150)
    print(storm.summary())
    assert storm.complaints() == []
    assert len(storm.outcomes) > 250


def test_the_storm_would_notice(tmp_path, run_async):
    """A ledger that is wrong is complained about: each of the four ways."""
    storm = Storm(1, "rest", 4, 0.0, 0, tmp_path, in_flight=4)
    run_async(storm.blow())
    assert storm.complaints() == []
    charges = storm.ledger["charges"]
    charges.append({**charges[0], "task_uuid": "another"})
    assert "billed 2 times" in storm.complaints()[0]
    charges.pop()
    charges[0]["results"] += 1
    assert "missing" in storm.complaints()[0]
    charges[0]["results"] = 0
    assert "never billed" in storm.complaints()[-1]
    charges[0]["results"] = 1
    storm.outcomes.popitem()
    assert "no end" in storm.complaints()[0]
