"""URLs of images that cannot be used: the other images are stored, and a new poll brings the missing one."""

import pytest

from tests.conftest import TASK


@pytest.mark.parametrize("url", ["dots", "label", "control", "surrogate", "port"])
def test_an_image_whose_url_cannot_be_used_is_downloaded_from_the_url_of_a_poll(sandbox, make_session, url):
    sandbox.faults({"kind": "bad_url", "url": url, "items": [1]})
    session = make_session(sandbox)
    outcome = session.submit({**TASK, "numberResults": 3}).result()
    run = session.log.find(outcome.task_uuid)
    assert [result.medium_state for result in run.results] == ["stored", "missing", "stored"]
    path = session.recovery.find(run, run.results[1], polls=True)
    assert path.is_file()
    stored = session.log.find(outcome.task_uuid).results[1]
    assert (stored.medium_state, stored.url.startswith(sandbox.info["media_url"])) == ("stored", True)
    assert [charge["results"] for charge in sandbox.charges()] == [3]


def test_a_url_that_stays_unusable_costs_one_image_and_one_poll(sandbox, make_session):
    sandbox.faults({"kind": "bad_url", "url": "port", "items": [0], "stays": True})
    session = make_session(sandbox)
    outcome = session.submit({**TASK, "numberResults": 2}).result()
    run = session.log.find(outcome.task_uuid)
    assert session.recovery.find(run, run.results[0], polls=True) is None
    assert session.recovery.find(run, run.results[1], polls=True) is not None
    assert len(sandbox.charges()) == 1
