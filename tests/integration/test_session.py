"""Session, pipeline, log and files together, against the sandbox."""

import asyncio
import base64
import hashlib
import os
import pickle
import signal
import threading
import time
from pathlib import Path

import pytest

from runware_nb.errors import (
    AuthenticationFailed,
    ConfigError,
    MagicUsageError,
    MediaError,
    OutOfCredit,
    ProviderFailed,
    RunLogError,
    RunNotFound,
    TaskFailed,
    TaskInvalid,
    TaskNotFound,
    TransportError,
    TransportTimeout,
)
from runware_nb.loop import WaitInterrupted, background_loop, wait
from runware_nb.runlog import RunLog, State
from runware_nb.session.api import make_image_task
from runware_nb.session.raw import send_raw
from runware_nb.settings import Key
from tests.conftest import TASK


def once_sent(job):
    """Wait until a run has been sent, and has had time to arrive."""
    deadline = time.monotonic() + 20
    while job.state is State.PREPARED and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.4)


def finished(session, ref, state=State.SUCCEEDED, within_s=15):
    """Wait until the log says that a run is over."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        record = session.log.find(ref)
        if record.state is state:
            return record
        time.sleep(0.05)
    raise AssertionError(f"still {record.state}")


def test_an_image_is_made_stored_and_logged(sandbox, make_session):
    session = make_session(sandbox)
    outcome = session.submit({**TASK, "numberResults": 4, "seed": 7}).result()
    record = session.log.find(outcome.task_uuid)
    assert record.state is State.SUCCEEDED
    assert [result.seed for result in record.results] == [7, 8, 9, 10]
    assert record.cost_usd == pytest.approx(sandbox.ledger()["total_usd"])
    for result, kept in zip(outcome, record.results, strict=True):
        assert result.path == session.media.folder / kept.file
        assert result.path.read_bytes() == result.bytes
        assert kept.received_sha256 in result.path.name
        assert kept.size_bytes == len(result.bytes)
        assert hashlib.sha256(result.bytes).hexdigest() == kept.stored_sha256 != kept.received_sha256
        assert result.image.size == (256, 256)


def test_the_run_is_on_disk_before_it_is_sent(sandbox, make_session):
    """While the service refuses to answer, the log already knows the run as sent."""
    sandbox.faults({"kind": "latency", "seconds": 2.0})
    session = make_session(sandbox)
    job = session.submit(TASK)
    once_sent(job)
    record = session.log.find(job.task_uuid)
    assert record.state is State.SENT
    assert record.request["positivePrompt"] == TASK["positivePrompt"]
    assert record.sent_at_utc is not None
    job.result()


def test_a_run_that_cannot_be_written_is_not_sent(sandbox, make_session, tmp_path):
    (tmp_path / "file").write_text("x")
    session = make_session(sandbox, home=tmp_path / "file" / "home")
    with pytest.raises(RunLogError, match="cannot be created"):
        session.submit(TASK).result()
    assert sandbox.charges() == []


def test_one_failure_among_four_leaves_four_rows(sandbox, make_session):
    sandbox.faults({"kind": "fail", "items": [1], "code": "inferenceError", "message": "out of paint"})
    session = make_session(sandbox)
    outcome = session.submit({**TASK, "numberResults": 4, "seed": 1}).result()
    assert [result.index for result in outcome] == [0, 2, 3]
    record = session.log.find(outcome.task_uuid)
    assert record.state is State.PARTIAL
    assert [(r.position, r.error is not None) for r in record.results] == [
        (0, False),
        (1, True),
        (2, False),
        (3, False),
    ]
    assert record.results[1].error["message"] == "out of paint"
    shown = outcome._repr_mimebundle_()
    assert shown["text/html"].count("<img") == 3
    assert "out of paint" in shown["text/html"]
    assert "1 failed" in shown["text/plain"]


def test_a_failure_of_all_raises_and_is_logged(sandbox, make_session):
    sandbox.faults({"kind": "fail", "code": "inferenceError", "count": None})
    session = make_session(sandbox, max_retries=1)
    job = session.submit(TASK)
    with pytest.raises(ProviderFailed):
        job.result()
    record = session.log.find(job.task_uuid)
    assert (record.state, record.attempts) == (State.FAILED, 2)
    assert record.error["code"] == "inferenceError"
    assert sandbox.charges() == []


def test_an_attempt_more_is_the_same_run(sandbox, make_session):
    sandbox.faults({"kind": "fail", "code": "timeoutProvider"})
    session = make_session(sandbox)
    job = session.submit(TASK)
    outcome = job.result()
    record = session.log.find(outcome.task_uuid)
    assert record.task_uuid == job.task_uuid != outcome.task_uuid == record.attempt_uuid
    assert (record.attempts, record.state) == (2, State.SUCCEEDED)


def test_a_seed_is_pinned_for_every_known_model_and_for_no_other(sandbox, make_session):
    session = make_session(sandbox)
    first = session.submit(TASK)
    assert first.record.request["seed"] > 0
    first.result()
    with pytest.raises(TaskInvalid):
        session.submit({**TASK, "model": "acme:new@1"}, agreed=True).result()
    assert "seed" not in session.log.recent(1)[0].request


def test_what_was_asked_and_what_was_sent_have_hashes_of_their_own(sandbox, make_session):
    session = make_session(sandbox)
    one, other = session.submit(TASK).record, session.submit(TASK).record
    assert one.asked_hash == other.asked_hash
    assert one.request_hash != other.request_hash
    assert not one.seed_given


def test_an_unfinished_twin_is_joined(sandbox, make_session):
    sandbox.faults({"kind": "latency", "seconds": 0.8})
    session = make_session(sandbox)
    first = session.submit({**TASK, "seed": 3})
    assert session.submit({**TASK, "seed": 3}) is first
    assert session.submit({**TASK, "seed": 4}) is not first
    first.result()
    assert session.submit({**TASK, "seed": 3}) is not first


def test_a_twin_of_another_kernel_is_joined_too(sandbox, make_session):
    sandbox.faults({"kind": "latency", "seconds": 3.0})
    first, second = make_session(sandbox), make_session(sandbox)
    running = first.submit({**TASK, "seed": 3})
    once_sent(running)
    twin = second.submit({**TASK, "seed": 3})
    assert twin.task_uuid == running.task_uuid
    assert "Joined run" in twin.notices[0]
    assert twin.result()[0].bytes == running.result()[0].bytes
    assert len(sandbox.charges()) == 1


def test_stop_ends_the_wait_and_the_run_is_collected(start_sandbox, make_session):
    sandbox = start_sandbox("--latency-s", "1.0")
    session = make_session(sandbox)
    job = session.submit(TASK)

    def stop_once_sent():
        while job.state is State.PREPARED:
            time.sleep(0.01)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop_once_sent).start()
    with pytest.raises(WaitInterrupted) as caught:
        job.result()
    assert isinstance(caught.value, KeyboardInterrupt)
    (line,) = caught.value._render_traceback_()
    assert job.task_uuid in line
    assert "The service continues task" in line
    record = finished(session, job.task_uuid)
    assert record.results[0].medium_state == "stored"
    assert len(sandbox.charges()) == 1


def test_cancelling_an_await_detaches(start_sandbox, make_session, run_async):
    sandbox = start_sandbox("--latency-s", "5.0")
    session = make_session(sandbox)
    job = session.submit(TASK)

    async def cell():
        waiting = asyncio.ensure_future(await_it())
        await asyncio.sleep(0.4)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await waiting
        assert type(caught.value) is asyncio.CancelledError  # only Stop is a WaitCancelled: this was another task

    async def await_it():
        return await job

    run_async(cell())
    assert job.state is State.DETACHED
    finished(session, job.task_uuid)


def test_a_deadline_detaches_and_names_the_task(start_sandbox, make_session):
    sandbox = start_sandbox("--latency-s", "1.0")
    session = make_session(sandbox)
    job = session.submit(TASK)
    with pytest.raises(TransportTimeout) as caught:
        job.result(timeout_s=0.3)
    assert caught.value.task_uuid == job.task_uuid
    assert len(job.result()) == 1
    assert session.log.find(job.task_uuid).state is State.SUCCEEDED


def test_a_run_that_outlives_the_sessions_own_deadline_is_collected_all_the_same(start_sandbox, make_session):
    sandbox = start_sandbox("--latency-s", "4")
    session = make_session(sandbox, timeout_s=1.5)  # connecting counts as well
    job = session.submit({**TASK, "numberResults": 2})
    with pytest.raises(TransportTimeout, match=job.task_uuid):
        job.result()
    assert session.log.find(job.task_uuid).state is State.DETACHED
    assert [result.medium_state for result in finished(session, job.task_uuid).results] == ["stored", "stored"]
    assert len(sandbox.charges()) == 1


def test_a_discarded_run_is_collected_quietly(start_sandbox, make_session):
    sandbox = start_sandbox("--latency-s", "2.0")
    session = make_session(sandbox)
    job = session.submit(TASK)
    once_sent(job)
    job.discard()
    job.result()
    record = session.log.find(job.task_uuid)
    assert record.state is State.DISCARDED
    assert record.results[0].file is not None
    assert session.log.recent() == []


def test_a_finished_run_is_taken_up_from_the_log(sandbox, make_session):
    first = make_session(sandbox)
    outcome = first.submit({**TASK, "numberResults": 2}).result()
    before = [result.bytes for result in outcome]
    first.close()
    second = make_session(sandbox)
    again = second.job(outcome.task_uuid[:8]).result()
    assert [result.bytes for result in again] == before
    assert [result.seed for result in again] == [result.seed for result in outcome]
    assert len(sandbox.charges()) == 1


def test_a_failed_run_is_taken_up_with_its_error(sandbox, make_session):
    sandbox.faults({"kind": "refuse", "status": 402, "code": "insufficientCredits", "message": "empty"})
    first = make_session(sandbox)
    job = first.submit(TASK)
    with pytest.raises(OutOfCredit, match="empty"):
        job.result()
    with pytest.raises(OutOfCredit, match="empty"):
        make_session(sandbox).job(job.task_uuid).result()


def test_an_unfinished_run_of_another_session_is_collected_and_not_sent(start_sandbox, make_session):
    sandbox = start_sandbox("--latency-s", "2.0")
    first, second = make_session(sandbox), make_session(sandbox)
    job = first.submit({**TASK, "numberResults": 2})
    once_sent(job)
    assert [run.task_uuid for run in second.pending()] == [job.task_uuid]
    assert len(second.job(job.task_uuid).result()) == 2
    assert len(sandbox.charges()) == 1


def test_a_run_that_never_left_is_not_sent_by_looking_at_it(sandbox, make_session):
    session = make_session(sandbox)
    record = session.submit(TASK).record
    session.submit(TASK).result()

    async def prepare_only():
        import dataclasses
        import uuid

        name = str(uuid.uuid4())
        await session.log.prepare(
            dataclasses.replace(
                record, task_uuid=name, attempt_uuid=name, state=State.PREPARED, attempts=0, sent_at_utc=None
            )
        )
        return name

    name = wait(background_loop().submit(prepare_only()))
    before = len(sandbox.charges())
    other = make_session(sandbox)
    looked_at = other.job(name)
    with pytest.raises(TaskFailed, match="never sent, and cost nothing"):
        looked_at.result()
    assert len(sandbox.charges()) == before
    assert other.log.find(name).state is State.PREPARED
    looked_at.discard()
    finished(other, name, State.DISCARDED)


@pytest.mark.parametrize("ref", ["ffffffff-0000-4000-8000-000000000000", "zzzz"])
def test_an_unknown_run_is_one_sentence(sandbox, make_session, ref):
    with pytest.raises(RunNotFound):
        make_session(sandbox).job(ref)


def test_an_unreachable_server_leaves_a_failed_run_that_cost_nothing(sandbox, make_session):
    session = make_session(sandbox, rest_url="http://127.0.0.1:9/v1", ws_url="ws://127.0.0.1:9/v1", max_retries=0)
    job = session.submit(TASK)
    with pytest.raises(TransportError, match="cannot be reached"):
        job.result()
    record = session.log.find(job.task_uuid)
    assert (record.state, record.error["code"]) == (State.FAILED, "notSent")


def test_an_image_that_cannot_be_stored_is_kept_and_said(sandbox, make_session, tmp_path):
    (tmp_path / "runware_images").write_text("a file where the folder should be")
    session = make_session(sandbox)
    job = session.submit(TASK)
    outcome = job.result()
    assert outcome[0].image.size == (256, 256)
    assert "kept in memory" in job.notices[0]
    assert session.log.find(job.task_uuid).results[0].medium_state == "missing"
    assert "kept in memory" not in outcome._repr_mimebundle_()["text/html"], "a notice is an output of its own"


def test_a_log_that_fails_under_way_loses_no_image(sandbox, make_session, monkeypatch):
    session = make_session(sandbox)
    session.submit(TASK).result()

    def broken(*_, **__):
        raise RunLogError("the log cannot be written: disk full")

    monkeypatch.setattr(RunLog, "finish", broken)
    monkeypatch.setattr("runware_nb.engine.result_storage._WRITE_TRIES", 2)
    job = session.submit(TASK)
    assert len(job.result()) == 1
    assert any("not in the log" in notice and "disk full" in notice for notice in job.notices)


def test_a_flagged_image_is_behind_a_click(sandbox, make_session):
    sandbox.faults({"kind": "flag"})
    shown = make_session(sandbox).submit(TASK).result()._repr_mimebundle_()["text/html"]
    assert "<details><summary>flagged by the service" in shown


def test_what_comes_from_outside_is_escaped(sandbox, make_session):
    prompt = '<img src=x onerror="alert(1)"> & "quotes"'
    outcome = make_session(sandbox).submit({**TASK, "positivePrompt": prompt}).result()
    html = outcome._repr_mimebundle_()["text/html"]
    assert "<img src=x" not in html
    assert 'alt="&lt;img src=x onerror=&quot;alert(1)&quot;&gt; &amp; &quot;quotes&quot;"' in html


def test_saving_copies_out(sandbox, make_session, tmp_path):
    outcome = make_session(sandbox).submit({**TASK, "numberResults": 2, "seed": 5}).result()
    saved = outcome.save(tmp_path / "out", "{seed}-{index}")
    assert [path.name for path in saved] == ["5-0.jpg", "6-1.jpg"]
    assert saved[0].read_bytes() == outcome[0].bytes


@pytest.mark.parametrize("change", [{"taskUUID": "not-a-uuid"}, {"width": 1000}, {"positivePrompt": ""}])
def test_a_bad_task_is_refused_before_anything_happens(sandbox, make_session, change):
    session = make_session(sandbox)
    with pytest.raises(TaskInvalid):
        session.submit({**TASK, **change})
    assert len(session.log.recent()) == 0


def test_no_key_is_one_sentence(tmp_path, monkeypatch):
    from runware_nb import Session, Settings

    monkeypatch.setattr("runware_nb.session.layers.stored_key", lambda profile: None)
    with pytest.raises(ConfigError, match="No API key"):
        Session(Settings(home=tmp_path / ".runware")).submit(TASK)


def test_python_spelling_and_its_near_misses():
    task = make_image_task("x", number_results=2, loras=["a:b@1:0.5", ("c:d@2", 1)], extra={"vae": "v"})
    assert task.to_wire()["lora"] == [{"model": "a:b@1", "weight": 0.5}, {"model": "c:d@2", "weight": 1.0}]
    assert (task.model, task.width, task.height) == ("runware:101@1", 1024, 1024)
    with pytest.raises(MagicUsageError, match="the nearest is number_results"):
        make_image_task("x", number_result=2)


def test_raw_tasks_go_unchanged_and_are_remembered(sandbox, make_session):
    session = make_session(sandbox)
    tasks = [dict(TASK), {"taskType": "modelSearch", "search": "pixel"}, {"taskType": "ping", "ping": True}]
    response = send_raw(session, tasks)
    assert sorted(item["taskType"] for item in response.items) == ["imageInference", "modelSearch", "ping"]
    (record,) = session.log.recent()
    assert (record.state, record.results[0].medium_state) == (State.SUCCEEDED, "stored")
    assert {key: value for key, value in record.request.items() if key != "taskUUID"} == TASK


def test_raw_is_sent_again_under_the_same_uuid(sandbox, make_session):
    sandbox.faults({"kind": "cut", "when": "after_accept"})
    session = make_session(sandbox)
    assert len(send_raw(session, [dict(TASK)]).items) == 1
    assert len(sandbox.charges()) == 1
    assert session.log.recent()[0].state is State.SUCCEEDED


def test_settings_can_change_while_a_task_runs(start_sandbox, make_session):
    slow, other = start_sandbox("--latency-s", "2.0"), start_sandbox()
    session = make_session(slow)
    job = session.submit(TASK)
    once_sent(job)
    session.configure(api_key=other.api_key, **other.urls)
    session.submit(TASK).result()
    job.result()
    assert (len(slow.charges()), len(other.charges())) == (1, 1)


def test_nothing_is_written_outside_the_home_and_the_images(sandbox, make_session, tmp_path):
    make_session(sandbox).submit(TASK).result()
    assert {path.name for path in tmp_path.iterdir()} <= {".runware", "runware_images", "ipython"}
    assert Path(".runware/.gitignore").exists()
    assert Path("runware_images/.gitignore").exists()


def claimed_but_never_sent(session, **changes):
    """Leave what a kernel leaves that dies between its claim and its first byte."""

    async def leave():
        import dataclasses
        import json
        import uuid

        job = session.submit({**TASK, **changes})
        await asyncio.wrap_future(job.future)
        name = str(uuid.uuid4())
        fields = {"state": State.PREPARED, "attempts": 0, "sent_at_utc": None, "finished_at_utc": None}
        record = dataclasses.replace(job.record, task_uuid=name, attempt_uuid=name, results=[], **fields)
        await session.log.prepare(record)
        await session.log.mark_sent(
            name, name, 1, record.created_at_utc, json.dumps({**record.request, "taskUUID": name})
        )
        return name

    return wait(background_loop().submit(leave()))


def test_running_the_cell_again_sends_what_never_arrived_under_its_own_uuid(sandbox, make_session, monkeypatch):
    monkeypatch.setattr("runware_nb.engine.execution._ON_ITS_WAY_S", 1.0)
    name = claimed_but_never_sent(make_session(sandbox), seed=5)
    session = make_session(sandbox)
    again = session.submit({**TASK, "seed": 5})
    assert again.task_uuid == name
    assert len(again.result()) == 1
    assert [charge["task_uuid"] for charge in sandbox.charges()][1:] == [name]
    assert session.log.find(name).state is State.SUCCEEDED


def test_looking_at_what_never_arrived_does_not_send_it(sandbox, make_session):
    name = claimed_but_never_sent(make_session(sandbox), seed=5)
    session = make_session(sandbox)
    with pytest.raises(TaskNotFound, match="does not know"):
        session.job(name).result()
    assert len(sandbox.charges()) == 1
    assert session.log.find(name).state is State.SENT


@pytest.mark.parametrize(
    "trouble", [{"rest_url": "http://127.0.0.1:9/v1", "ws_url": "ws://127.0.0.1:9/v1"}, {"api_key": "wrong"}]
)
def test_trouble_while_collecting_leaves_the_run_to_be_collected(start_sandbox, make_session, monkeypatch, trouble):
    monkeypatch.setattr("runware_nb.providers.runware.fate._LONGEST_SILENCE_S", 0.5)
    sandbox = start_sandbox("--latency-s", "2.0")
    first = make_session(sandbox)
    job = first.submit(TASK)
    once_sent(job)
    first.close()
    if "api_key" in trouble:
        trouble = {"api_key": Key(trouble["api_key"], "the test")}
    with pytest.raises((TransportError, AuthenticationFailed)):
        make_session(sandbox, **{**sandbox.urls, **trouble}).job(job.task_uuid).result()
    session = make_session(sandbox)
    assert [run.task_uuid for run in session.pending()] == [job.task_uuid]
    assert len(session.job(job.task_uuid).result()) == 1
    assert len(sandbox.charges()) == 1


def test_a_service_that_dies_after_acceptance_leaves_the_run_to_be_collected(
    start_sandbox, make_session, monkeypatch, tmp_path
):
    monkeypatch.setattr("runware_nb.providers.runware.fate._LONGEST_SILENCE_S", 0.5)
    monkeypatch.setattr("runware_nb.providers.runware.fate.SYNC_SILENCE_S", 0.5)
    state = ("--latency-s", "2.0", "--state-dir", str(tmp_path / "state"))
    sandbox = start_sandbox(*state)
    session = make_session(sandbox, connect_timeout_s=0.5)
    job = session.submit(TASK)
    once_sent(job)
    sandbox.kill()
    with pytest.raises(TransportError) as caught:
        job.result()
    assert caught.value.may_have_arrived
    assert [run.task_uuid for run in session.pending()] == [job.task_uuid]
    second = start_sandbox(*state)
    assert len(make_session(second).job(job.task_uuid).result()) == 1
    assert len(second.charges()) == 1


def test_raw_work_that_met_a_passing_trouble_stays_to_be_collected(sandbox, make_session):
    sandbox.faults({"kind": "refuse", "status": 503, "code": "serviceUnavailable", "names_task": False, "count": None})
    session = make_session(sandbox, max_retries=0)
    response = send_raw(session, [dict(TASK)])
    assert [error["code"] for error in response.errors] == ["serviceUnavailable"]
    assert [run.state for run in session.pending()] == [State.SENT]


def test_the_hash_of_the_bytes_received_is_kept_beside_the_stored_file(sandbox, make_session, run_async):
    """The provenance changes the bytes of the file, and not what they are proven by; a recorded answer says the same."""
    from runware_nb import Client, Result

    session = make_session(sandbox)
    result = session.submit({**TASK, "seed": 12}).result()[0]

    async def fetch():
        async with Client(sandbox.api_key, **sandbox.urls) as client:
            return await client.fetch((await client.run({**TASK, "seed": 12}))[0])

    received = run_async(fetch())
    assert received.received_sha256 == hashlib.sha256(received.bytes).hexdigest() == result.received_sha256
    assert result.bytes == result.path.read_bytes() != received.bytes
    assert pickle.loads(pickle.dumps(result)).received_sha256 == result.received_sha256
    assert session.submit({**TASK, "seed": 12}).result()[0].received_sha256 == result.received_sha256
    with pytest.raises(MediaError):
        _ = Result({"imageURL": "https://x.test/a.png"}, "t").received_sha256


@pytest.mark.parametrize("kind", ["PNG", "JPG", "WEBP"])
def test_every_image_says_where_it_came_from(sandbox, make_session, run_async, kind):
    from runware_nb import Client, read

    session = make_session(sandbox)
    outcome = session.submit({**TASK, "outputFormat": kind, "negativePrompt": "fog", "numberResults": 2}).result()
    for result in outcome:
        found = read(result.path)
        assert found.is_marked_generated
        assert found.parameters.prompt == TASK["positivePrompt"]
        assert found.parameters.to_wire()["seed"] == result.seed
        assert found.record["task_uuid"] == outcome.task_uuid
        assert found.record["item_uuid"] == result.item_uuid
        assert found.record["request"]["model"] == TASK["model"]
        assert found.record["cost_usd"] == result.cost_usd
        assert sandbox.api_key not in result.bytes.decode("latin-1")

    async def fresh():
        async with Client(sandbox.api_key, **sandbox.urls) as client:
            return (await client.fetch((await client.collect(outcome.task))[0])).image

    assert outcome[0].image.tobytes() == run_async(fresh()).tobytes()


def test_a_record_in_a_file_is_no_place_for_media_or_secrets(sandbox, make_session):
    from PIL import Image

    from runware_nb import read

    session = make_session(sandbox)
    noise = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40).decode()
    task = {**TASK, "inputs": {"seedImage": Image.new("RGB", (16, 16))}, "outputFormat": "PNG",
            "webhookURL": "https://example.com/hook?token=secret", "routing": {"blob": noise}}  # fmt: skip
    (result,) = session.submit(task).result()
    request = read(result.path).record["request"]
    assert "secret" not in request["webhookURL"]
    assert request["routing"]["blob"].startswith("sha256:")
    assert len(request["inputs"]["seedImage"]) == 36


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"taskType": "caption", "model": "llava"}, "mostly"),
        ({"taskType": "caption", "model": "age"}, '"score"'),
        ({"taskType": "3dInference", "model": "trellis"}, "GLB 3D model, 288 vertices, 528 triangles"),
        ({"taskType": "vectorize", "model": "recraft:1@1"}, "SVG image, 32 × 32"),
    ],
)
def test_what_is_no_image_is_shown_as_what_it_is(sandbox, make_session, monkeypatch, task, words):
    monkeypatch.setattr("runware_nb.providers.runware.fate.first_poll_s", lambda _: 0.2)
    session = make_session(sandbox)
    from PIL import Image

    job = session.submit({**task, "inputs": {"image": Image.new("RGB", (32, 32), "teal")}}, agreed=True)
    shown = job.result(30)._repr_mimebundle_()
    assert words in shown["text/plain"]
    assert "no bytes" not in shown["text/html"]
    assert "not an image" not in shown["text/html"]
    assert job.notices == []


def test_the_log_knows_the_words_of_every_kind_of_task(sandbox, make_session):
    session = make_session(sandbox)
    session.submit({"taskType": "promptEnhance", "prompt": "a cat"}, agreed=True).result()
    talk = [{"role": "user", "content": "hello"}]
    session.submit({"taskType": "textInference", "model": "gemma", "messages": talk}, agreed=True).result()
    assert [run.prompt for run in session.log.recent()] == ["hello", "a cat"]


def test_an_image_whose_file_is_gone_leaves_the_others_to_be_seen(sandbox, make_session):
    outcome = make_session(sandbox).submit({**TASK, "numberResults": 2}).result()
    sandbox.reset()  # the service has forgotten it, so it cannot be downloaded again
    outcome[0].path.unlink()
    shown = outcome._repr_mimebundle_()
    assert shown["text/html"].count("<img ") == 1
    assert "cannot be read" in shown["text/plain"]
