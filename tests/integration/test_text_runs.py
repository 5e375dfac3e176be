"""Streamed text on the path of all runs: what is shown, what is in the log, and what is paid for."""

import asyncio
import contextlib
import datetime as dt
import functools
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import runware_nb as rw
from runware_nb.core.prompts import as_prompt
from runware_nb.core.results import PARTIAL
from runware_nb.engine import execution, text_stream
from runware_nb.errors import ContentRefused, RunNotFound, SourceFailed, TaskInvalid, TransportError, TransportTimeout
from runware_nb.loop import background_loop, wait
from runware_nb.runlog import ResultRecord, State

WORDS = [f"word{number}" for number in range(40)]
TEXT = " ".join(WORDS)
TALK = {
    "taskType": "textInference", "model": "google:gemma@4-31b", "includeUsage": True, "deliveryMethod": "stream",
    "messages": [{"role": "user", "content": "hello ☕"}], "seed": 5,
}  # fmt: skip


def write(**options):
    return {"kind": "write", "text": TEXT, "reasoning": "I count — 慎重に.", **options}


@pytest.fixture
def session(sandbox, make_session, monkeypatch):
    made = make_session(sandbox)
    monkeypatch.setattr("runware_nb.session.operations.current_session", lambda: made)
    return made


@pytest.fixture
def submit(session):
    return lambda task=TALK, **options: session.submit(task, agreed=True, **options)


def wait_for(job, has_come):
    """Wait until something has arrived of a job; each change wakes the wait."""
    changed = threading.Event()
    job.on_change(changed.set)
    until = time.monotonic() + 20
    while not has_come(job):
        assert time.monotonic() < until, "nothing came"
        changed.wait(0.1)
        changed.clear()


def logged(session, job):
    return session.log.find(job.task_uuid)


def logged_text(session, task_uuid):
    with contextlib.suppress(RunNotFound):
        results = session.log.find(task_uuid).results
        return results[0].raw if results else None
    return None


def wait_for_log(session, task_uuid, is_there):
    until = time.monotonic() + 20
    while not is_there(logged_text(session, task_uuid)):
        assert time.monotonic() < until, "it was not written"
        time.sleep(0.01)


def test_a_stream_is_a_run_like_any_other(sandbox, session, submit):
    sandbox.faults(write())
    job = submit()
    assert "".join(job.pieces()) == TEXT == job.text == job.result()[0].text
    assert job.reasoning == "I count — 慎重に."
    record = logged(session, job)
    assert record.state is State.SUCCEEDED
    assert [kept.raw["text"] for kept in record.results] == [TEXT]
    assert PARTIAL not in record.results[0].raw
    assert record.results[0].raw["usage"]["completionTokens"] > 0
    (charge,) = sandbox.charges()
    assert record.cost == charge["cost_usd"] > 0
    again = submit()
    assert again.is_recorded
    assert list(again.pieces()) == [TEXT]
    assert submit({**TALK, "deliveryMethod": "sync"}).is_recorded, "how a text is delivered does not decide it"
    assert len(sandbox.charges()) == 1


def test_early_words_are_here_before_later_ones_are_sent(sandbox, session, submit):
    sandbox.faults(write(), {"kind": "hold", "after": 9})
    job = submit()
    wait_for(job, lambda job: job.text.endswith("word4"))
    assert not job.is_done
    assert "word9" not in job.text
    sandbox.control("release", post=True)
    assert job.result()[0].text == TEXT


def test_pieces_for_asyncio(sandbox, session, submit, run_async):
    sandbox.faults(write(), {"kind": "hold", "after": 9})

    async def main():
        pieces = []
        async for piece in submit().stream():
            if not pieces:
                await asyncio.to_thread(sandbox.control, "release", post=True)
            pieces.append(piece)
        return pieces

    pieces = run_async(main())
    assert "".join(pieces) == TEXT
    assert len(pieces) > 1


def test_stop_keeps_what_has_arrived_and_the_rest_arrives_later(sandbox, session, submit, monkeypatch):
    """The interval of writes is endless here: only Stop can have written what the log has."""
    monkeypatch.setattr(text_stream, "WRITE_EVERY_S", 1e6)
    sandbox.faults(write(), {"kind": "hold", "after": 12})
    job = submit()
    wait_for(job, lambda job: job.text.endswith("word7"))
    job.detach()
    wait_for_log(session, job.task_uuid, lambda raw: raw and raw["text"].endswith("word7"))
    record = logged(session, job)
    assert record.results[0].raw[PARTIAL] is True
    assert record.results[0].raw["reasoningContent"] == "I count — 慎重に."
    assert record.state is State.DETACHED
    assert not record.is_finished
    assert [run.task_uuid for run in session.pending()] == [job.task_uuid]
    assert session.log.find_recorded(record.request_hash) is None, "an incomplete text answers no request"
    sandbox.control("release", post=True)
    assert job.result()[0].text == TEXT
    record = logged(session, job)
    assert (record.state, record.results[0].raw["text"]) == (State.SUCCEEDED, TEXT)
    assert PARTIAL not in record.results[0].raw
    assert len(sandbox.charges()) == 1


def test_the_log_is_written_while_pieces_arrive(sandbox, session, submit, monkeypatch):
    monkeypatch.setattr(text_stream, "WRITE_EVERY_S", 0.0)
    sandbox.faults(write(), {"kind": "hold", "after": 12})
    job = submit()
    wait_for_log(session, job.task_uuid, lambda raw: raw and raw["text"].endswith("word7"))
    assert logged(session, job).state is State.ACCEPTED
    sandbox.control("release", post=True)
    job.result()


def test_an_identical_request_joins_a_stream_in_flight(sandbox, session, submit):
    sandbox.faults(write(), {"kind": "hold", "after": 9})
    job = submit()
    wait_for(job, lambda job: job.has_text)
    assert submit() is job
    sandbox.control("release", post=True)
    job.result()
    assert len(sandbox.charges()) == 1


BREAKS = [
    {"kind": "refuse", "status": 429, "code": "rateLimitExceeded", "retry_after_s": 0.05},
    {"kind": "refuse", "status": 503, "code": "serviceUnavailable", "names_task": False},
    {"kind": "html"},
    {"kind": "cut", "when": "before_accept"},
    {"kind": "cut", "when": "after_accept"},
    {"kind": "cut", "when": "mid_stream", "after": 0},
    {"kind": "cut", "when": "mid_stream", "after": 20},
    {"kind": "unended"},
]


@pytest.mark.parametrize("fault", BREAKS, ids=lambda fault: "-".join(str(value) for value in fault.values()))
def test_a_break_at_any_point_is_completed_and_charged_once(sandbox, session, submit, fault):
    sandbox.faults(fault, write(count=2))
    job = submit()
    assert "".join(job.pieces()) == TEXT, "the pieces repeat nothing and omit nothing"
    record = logged(session, job)
    assert (record.state, record.results[0].raw["text"]) == (State.SUCCEEDED, TEXT)
    assert PARTIAL not in record.results[0].raw
    assert len(sandbox.charges()) == 1


SIZE = {"width": 512, "height": 512}
UNLISTED = [
    {"kind": "refuse", "on": question, "code": "taskNotFound", "status": 404, "count": None, "message": "not known"}
    for question in ("getResponse", "getTaskDetails")
]
"""A service that lists a streamed text only after its end."""


def test_a_text_that_is_not_listed_yet_is_collected_later(sandbox, make_session):
    """It is paid for: to end the run would lose the rest of it."""
    session = make_session(sandbox, timeout_s=2.0)
    sandbox.faults(write(), {"kind": "cut", "when": "mid_stream", "after": 20}, *UNLISTED)
    job = session.submit(TALK, agreed=True)
    with pytest.raises(TransportTimeout, match=r"is incomplete so far.*resume"):
        job.result()
    assert job.text.startswith("word0")
    record = logged(session, job)
    assert (record.state, record.results[0].raw[PARTIAL]) == (State.DETACHED, True)
    assert [run.task_uuid for run in session.pending()] == [job.task_uuid]
    sandbox.faults()
    wait_for_log(session, job.task_uuid, lambda raw: raw["text"] == TEXT)
    assert len(sandbox.charges()) == 1


def test_another_kernel_waits_for_a_text_that_is_not_listed_yet(sandbox, make_session):
    first = make_session(sandbox)
    sandbox.faults(write(), {"kind": "hold", "after": 12}, *UNLISTED)
    job = first.submit(TALK, agreed=True)
    wait_for(job, lambda job: job.text.endswith("word7"))
    first.close()
    second = make_session(sandbox, timeout_s=2.0)
    found = second.job(job.task_uuid)
    with pytest.raises(TransportTimeout, match="is incomplete so far"):
        found.result()
    assert not logged(second, job).is_finished
    sandbox.faults()
    sandbox.control("release", post=True)
    assert second.job(job.task_uuid).result()[0].text == TEXT
    assert len(sandbox.charges()) == 1


def test_a_late_piece_does_not_replace_the_whole_text(sandbox, session, submit):
    """Another kernel has collected the text, and this one writes what it has read so far, or ends with it."""
    sandbox.faults(write())
    job = submit()
    job.result()
    before = logged(session, job)
    piece = ResultRecord(position=0, raw={**before.results[0].raw, "text": "word0", PARTIAL: True})
    wait(background_loop().submit(late_piece(session.log, job.task_uuid, piece)))
    after = logged(session, job)
    assert (after.state, after.cost, after.results) == (before.state, before.cost, before.results)
    assert after.error is None
    assert submit().result()[0].text == TEXT
    assert len(sandbox.charges()) == 1


async def late_piece(log, task_uuid, piece):
    await log.add_text_so_far(task_uuid, piece)
    await log.finish(
        task_uuid, State.PARTIAL, at_utc="2030-01-01T00:00:00.000+00:00", duration_s=1.0, cost=None,
        error={"code": "streamBroken", "message": ""}, records=[piece],
    )  # fmt: skip


def test_an_incomplete_text_is_no_prompt_and_no_answer(sandbox, session, submit):
    sandbox.faults(write(), {"kind": "hold", "after": 12},
                   {"kind": "fail", "code": "contentModeration", "message": "no", "after": 20})  # fmt: skip
    job = submit()
    wait_for(job, lambda job: job.has_text)
    answer = rw.text("go on", continue_from=job, agreed=True)
    image = session.submit({"taskType": "imageInference", "model": "runware:101@1", "positivePrompt": job, **SIZE})
    sandbox.control("release", post=True)
    assert job.result()[0].is_partial
    with pytest.raises(SourceFailed, match=r"is incomplete\. Nothing was sent"):
        image.result()
    with pytest.raises(SourceFailed, match=r"is incomplete\. Nothing was sent"):
        answer.result()
    with pytest.raises(TaskInvalid, match=r"is incomplete\. Nothing was sent"):
        as_prompt(job.result())
    for earlier in (job, job.task_uuid, ""):
        with pytest.raises(TaskInvalid, match=r"is incomplete\. Nothing was sent"):
            rw.text("go on", continue_from=earlier, agreed=True)
    with pytest.raises(SourceFailed, match=r"is incomplete\. Nothing was sent"):
        session.submit({"taskType": "imageInference", "model": "runware:101@1", "positivePrompt": job, **SIZE})
    assert len(sandbox.requests()) == 1


def test_a_text_that_is_written_is_not_continued_yet(sandbox, session, submit):
    sandbox.faults(write(), {"kind": "hold", "after": 12})
    job = submit()
    wait_for(job, lambda job: job.has_text)
    job.detach()
    for earlier in (job.task_uuid, ""):
        with pytest.raises(TaskInvalid, match="Nothing was sent"):
            rw.text("go on", continue_from=earlier, agreed=True)
    sandbox.control("release", post=True)
    job.result()
    assert len(sandbox.requests()) == 1


@pytest.fixture
def given_up(monkeypatch):
    """Let a text that a service does not list count as lost at its deadline, instead of after a day."""
    monkeypatch.setattr(execution, "_LOST_AFTER", dt.timedelta(0))


def test_what_the_service_has_forgotten_ends_as_partial(sandbox, make_session, given_up):
    session = make_session(sandbox, timeout_s=1.0)
    submit = functools.partial(session.submit, TALK, agreed=True)
    sandbox.faults(write(), {"kind": "cut", "when": "mid_stream", "after": 20}, {"kind": "forget"})
    job = submit()
    with pytest.raises(TransportTimeout, match="incomplete so far"):
        list(job.pieces())
    until = time.monotonic() + 20
    while not logged(session, job).is_finished:
        assert time.monotonic() < until, "it was not given up"
        time.sleep(0.05)
    outcome = session.job(job.task_uuid).result()
    assert outcome[0].is_partial
    assert outcome[0].text.startswith("word0 word1")
    assert TEXT.startswith(outcome[0].text)
    assert [error.code for error in outcome.errors] == ["streamBroken"]
    record = logged(session, job)
    assert record.state is State.PARTIAL
    assert [kept.raw.get(PARTIAL) for kept in record.results] == [True]
    assert record.error["code"] == "streamBroken"
    assert len(sandbox.charges()) == 1, "it is not sent again"
    again = session.job(job.task_uuid).result()
    assert (again[0].text, [error.code for error in again.errors]) == (outcome[0].text, ["streamBroken"])
    assert not submit().is_recorded, "an incomplete text answers no request"


def test_an_error_in_the_stream_keeps_what_came(sandbox, session, submit):
    sandbox.faults(write(), {"kind": "fail", "code": "contentModeration", "message": "no", "after": 20})
    job = submit()
    pieces = []
    with pytest.raises(ContentRefused, match="no"):
        pieces.extend(job.pieces())
    outcome = job.result()
    assert outcome[0].is_partial
    assert TEXT.startswith(outcome[0].text)
    assert outcome[0].text
    record = logged(session, job)
    assert record.state is State.PARTIAL
    assert record.error["code"] == "contentModeration"


def test_an_error_before_any_text_fails_the_run(sandbox, session, submit):
    sandbox.faults(write(reasoning=""), {"kind": "fail", "code": "contentModeration", "message": "no", "after": 0})
    job = submit()
    with pytest.raises(ContentRefused):
        job.result()
    assert logged(session, job).state is State.FAILED


def test_a_passing_error_before_any_text_is_sent_again(sandbox, session, submit):
    sandbox.faults({"kind": "fail", "code": "timeoutProvider", "after": 0})
    job = submit({**TALK, "settings": {}})
    assert job.result()[0].text
    assert logged(session, job).attempts == 2
    assert len(sandbox.charges()) == 1


def test_a_refusal_sends_and_charges_nothing(sandbox, session, submit):
    sandbox.faults({"kind": "refuse", "status": 400, "code": "invalidMessages", "message": "no"})
    with pytest.raises(TaskInvalid):
        submit().result()
    assert sandbox.charges() == []
    with pytest.raises(TaskInvalid, match="Only one result can be streamed"):
        submit({**TALK, "numberResults": 2})
    with pytest.raises(TaskInvalid, match="does not generate text"):
        submit({"taskType": "caption", "deliveryMethod": "stream", "inputs": {"image": "https://x.example/a.png"}})


def test_a_deadline_keeps_the_text_and_collects_the_rest(sandbox, make_session):
    session = make_session(sandbox, timeout_s=1.0)
    sandbox.faults(write(), {"kind": "hold", "after": 12})
    job = session.submit(TALK, agreed=True)
    with pytest.raises(TransportTimeout):
        job.result()
    wait_for_log(session, job.task_uuid, lambda raw: raw and raw["text"].endswith("word7"))
    sandbox.control("release", post=True)
    wait_for_log(session, job.task_uuid, lambda raw: raw["text"] == TEXT)
    assert PARTIAL not in logged_text(session, job.task_uuid)
    assert len(sandbox.charges()) == 1


def test_a_closed_session_keeps_the_text(sandbox, make_session):
    first = make_session(sandbox)
    sandbox.faults(write(), {"kind": "hold", "after": 12})
    job = first.submit(TALK, agreed=True)
    wait_for(job, lambda job: job.text.endswith("word7"))
    first.close()
    with pytest.raises(TransportError):
        job.result(timeout_s=10)
    second = make_session(sandbox)
    assert logged_text(second, job.task_uuid)["text"].endswith("word7")
    sandbox.control("release", post=True)
    assert second.job(job.task_uuid).result()[0].text == TEXT
    assert len(sandbox.charges()) == 1


KERNEL = """
import sys
import runware_nb as rw
from runware_nb.engine import text_stream
text_stream.WRITE_EVERY_S = 0.0
rw.connect()
job = rw.run({talk!r}, agreed=True, fresh=True)
print(job.task_uuid, flush=True)
job.result()
"""


@pytest.mark.parametrize("knows", [True, False], ids=["known", "forgotten"])
def test_a_kernel_that_dies_in_a_stream(sandbox, make_session, tmp_path, given_up, knows):
    sandbox.faults(write(), {"kind": "hold", "after": 12})
    session = make_session(sandbox)
    environment = {**os.environ, **sandbox.environment, "RUNWARE_NB_HOME": str(tmp_path / ".runware")}
    with subprocess.Popen(
        [sys.executable, "-c", KERNEL.format(talk=TALK)], env=environment, stdout=subprocess.PIPE, text=True
    ) as kernel:
        task_uuid = kernel.stdout.readline().strip()
        wait_for_log(session, task_uuid, lambda raw: raw and raw["text"].endswith("word7"))
        kernel.send_signal(signal.SIGKILL)
    (record,) = session.pending()
    assert record.results[0].raw[PARTIAL] is True
    so_far = record.results[0].raw["text"]
    if knows:
        sandbox.control("release", post=True)
    else:
        sandbox.reset()
    job = session.job(record.task_uuid)
    outcome = job.result()
    record = logged(session, job)
    if knows:
        assert (outcome[0].text, record.state) == (TEXT, State.SUCCEEDED)
        assert len(sandbox.charges()) == 1
    else:
        assert (outcome[0].text, outcome[0].is_partial, record.state) == (so_far, True, State.PARTIAL)
        assert sandbox.charges() == [], "it is not sent a second time"


def test_replay_prefers_a_complete_text(sandbox, make_session):
    """Also where the incomplete one is newer."""
    first = make_session(sandbox)
    sandbox.faults(write(count=2), {"kind": "fail", "code": "contentModeration", "after": 20, "skip": 1})
    whole = first.submit(TALK, agreed=True)
    whole.result()
    broken = first.submit(TALK, agreed=True, fresh=True)
    assert broken.result()[0].is_partial
    replaying = make_session(sandbox, mode="replay")
    assert replaying.submit(TALK).result()[0].text == TEXT
    assert len(sandbox.charges()) == 1, "what the service failed is free"
