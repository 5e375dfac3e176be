"""A key planted in the environment is searched for everywhere afterwards."""

import logging
import sqlite3
import traceback

import pytest

from runware_nb import Client
from runware_nb.errors import RunwareNBError
from tests.conftest import TASK


def everything_in(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


def test_the_key_is_found_in_no_file_no_log_and_no_repr(sandbox, make_session, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    session = make_session(sandbox)
    job = session.submit({**TASK, "seed": 1})
    outcome = job.result()
    sandbox.faults({"kind": "fail", "items": [0]}, {"kind": "html", "skip": 1})
    session.submit({**TASK, "numberResults": 2, "seed": 2}).result()
    session.submit({**TASK, "seed": 3}).result()
    texts = [repr(each) for each in (session.settings, session.client(), job, outcome, outcome[0], vars(session))]
    texts += [*outcome._repr_mimebundle_().values(), caplog.text]
    assert not any(sandbox.api_key in text for text in texts)
    assert sandbox.api_key[:16] not in caplog.text
    session.close()
    found = [path for path, body in everything_in(tmp_path) if sandbox.api_key.encode() in body]
    assert found == []
    with sqlite3.connect(tmp_path / ".runware" / "runs.sqlite") as log:
        assert sandbox.api_key not in "\n".join(log.iterdump())
    log.close()


@pytest.mark.parametrize("transport", ["websocket", "rest"])
def test_the_key_is_in_no_error_even_if_the_service_repeats_it(sandbox, run_async, transport):
    sandbox.faults({"kind": "refuse", "status": 400, "code": "invalidSeed", "message": f"you sent {sandbox.api_key}"})

    async def main():
        async with Client(sandbox.api_key, transport=transport, **sandbox.urls) as client:
            await client.run(TASK)

    with pytest.raises(RunwareNBError) as caught:
        run_async(main())
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    assert "[redacted]" in shown
    assert sandbox.api_key not in shown


def test_tokens_in_callbacks_stay_out_of_the_log(sandbox, make_session, tmp_path):
    session = make_session(sandbox)
    job = session.submit({**TASK, "webhookURL": "https://h.example/hook?token=t0ps3cret"})
    job.result()
    session.close()
    assert not any(b"t0ps3cret" in body for _, body in everything_in(tmp_path))
