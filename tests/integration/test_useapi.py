"""useapi.net as a service of the session: every run goes through the whole engine, to a sandbox over real sockets."""

import asyncio
import dataclasses
import http.server
import json
import random
import threading
import time
import urllib.error
import urllib.request
import uuid

import pytest

import runware_nb as rw
from runware_nb.errors import (
    AuthenticationFailed,
    ContentRefused,
    FateUnknown,
    MediaError,
    NotConfirmed,
    OutOfCredit,
    RateLimited,
    TaskError,
    TaskFailed,
    TaskInvalid,
    TaskNotFound,
    TransportTimeout,
)
from runware_nb.loop import background_loop, wait
from runware_nb.net.clock import Clock
from runware_nb.providers.base import Attempt
from runware_nb.providers.useapi.client import UseApi
from runware_nb.providers.useapi.package import PACKAGE
from runware_nb.providers.useapi.provider import TERMS, UseApiProvider
from runware_nb.runlog import State
from runware_nb.session import Session
from runware_nb.settings import load_settings
from tests.useapi_sandbox import FIRST, SECOND, THIRD, UseApiSandbox, png

SCALE = 200.0
PASSWORD = "wonder-wall-4711"
VIDEO = {"taskType": "useapi/videos/create", "model": "gen4", "text_prompt": "a ship", "seed": 7}
IMAGE = {"taskType": "useapi/images/create", "model": "gen4", "text_prompt": "a ship", "seed": 7}


@pytest.fixture(scope="module")
def _sandbox():
    sandbox = UseApiSandbox("--time-scale", str(SCALE), "--latency-s", "30", "--seed", "7")
    yield sandbox
    sandbox.close()


@pytest.fixture
def sandbox(_sandbox):
    _sandbox.restart()
    return _sandbox


@pytest.fixture
def open_session(sandbox, tmp_path, monkeypatch):
    """Opens sessions on one log, with a clock at the pace of the sandbox."""
    monkeypatch.setenv("USEAPI_TOKEN", sandbox.token)
    monkeypatch.setenv("RUNWARE_NB_USEAPI_URL", sandbox.url)
    sessions = []

    def build(*, scale=SCALE, **values):
        settings = load_settings().with_values(home=tmp_path / ".runware", **values)
        package = dataclasses.replace(
            PACKAGE, build=lambda context: UseApiProvider(context, clock=Clock(scale), rng=random.Random(1))
        )
        sessions.append(Session(settings, packages=[package]))
        return sessions[-1]

    yield build
    for session in sessions:
        session.close()


def submit(session, task=VIDEO, *, agreed=True, **options):
    return session.submit(task, service="useapi", agreed=agreed, **options)


def charges(sandbox):
    return sandbox.control("ledger")["charges"]


def client_of(sandbox):
    return UseApi(sandbox.token, url=sandbox.url, clock=Clock(SCALE))


def ask(sandbox, question):
    async def scenario():
        async with client_of(sandbox) as client:
            return await question(client)

    return asyncio.run(scenario())


def on_loop(question):
    """Runs a question to a provider on the loop that its connections belong to."""
    return wait(background_loop().submit(question), timeout_s=60)


# --- from submission to the file ---


def test_a_video_is_generated_recorded_and_stored(sandbox, open_session):
    sandbox.add_account(FIRST)
    session = open_session()
    job = submit(session, tags="coast")
    outcome = job.result(60)
    record = session.log.find(job.task_uuid)
    assert (record.state, record.provider, record.model) == (State.SUCCEEDED, "useapi-sandbox", "gen4")
    assert record.operation == "useapi/videos/create"
    assert (record.prompt, record.remote_id.startswith("user:1000-runwayml:")) == ("a ship", True)
    assert (record.cost, outcome.cost) == (None, None)  # unknown, and not 0
    assert outcome[0].path.suffix == ".mp4"
    assert outcome[0].raw["account"] == FIRST
    assert outcome[0].seed == 7
    assert charges(sandbox)[0]["task_id"] == record.remote_id


@pytest.mark.parametrize("count", [1, 4])
def test_images_are_results_of_their_own(sandbox, open_session, count):
    sandbox.add_account(FIRST)
    outcome = submit(open_session(), {**IMAGE, "num_images": count}).result(60)
    assert [result.index for result in outcome] == list(range(count))
    assert {result.image.size for result in outcome} == {(768, 432)}
    assert len({result.item_uuid for result in outcome}) == count


@pytest.mark.parametrize(
    "switches",
    [
        {"create_response": "nested", "task_response": "nested"}, {"task_list": "object"}, {"metadata": "old"},
        {"metadata": "null"}, {"reply_ref_in_tasks": False}, {"parallel_jobs": 0}, {"password": "absent"},
        {"account_read_status": 201}, {"percent_decode": False}, {"request_max_jobs": "replace"}, {"webp": "convert"},
        {"delete_response": "object"}, {"callbacks": "none"}, {"retry_after": "both"},
    ],
)  # fmt: skip
def test_every_form_of_the_responses_leads_to_the_same_result(sandbox, open_session, switches):
    sandbox.switch(**switches)
    ask(sandbox, lambda client: client.save_account(SECOND, PASSWORD, 5))
    assert ask(sandbox, lambda client: client.account(SECOND)).max_jobs == 5
    task = {**VIDEO, "assets": {"startFrameAssetId": png("WEBP")}}
    assert submit(open_session(), task).result(60)[0].path.exists()
    assert ask(sandbox, lambda client: client.tasks(SECOND))[0].status == "SUCCEEDED"
    assert ask(sandbox, lambda client: client.delete_account(SECOND)) is True
    assert ask(sandbox, lambda client: client.delete_account(SECOND)) is False


def test_the_same_request_is_answered_from_the_log(sandbox, open_session):
    sandbox.add_account(FIRST)
    session = open_session()
    first = submit(session).result(60)
    again = submit(session, agreed=False)
    assert again.result(60).is_recorded
    assert again.result()[0].path == first[0].path
    assert len(charges(sandbox)) == 1


def test_a_seed_is_picked_only_for_models_that_take_one(sandbox, open_session):
    sandbox.add_account(FIRST)
    session = open_session()
    unseeded = {"taskType": "useapi/videos/create", "text_prompt": "a ship"}
    assert submit(session, {**unseeded, "model": "gen4.5"}).record.request["seed"] > 0
    assert "seed" not in submit(session, {**unseeded, "model": "sora-2"}).record.request
    assert "seed" not in submit(session, {**unseeded, "model": "a-new-model"}).record.request


def test_the_unknown_price_is_asked_about(sandbox, open_session):
    sandbox.add_account(FIRST)
    with pytest.raises(NotConfirmed, match="price of gen4 is unknown"):
        submit(open_session(), agreed=False)
    assert charges(sandbox) == []


def test_a_first_use_tells_once_what_the_service_is(sandbox, open_session, capsys):
    sandbox.add_account(FIRST)
    session = open_session()
    for seed in (1, 2):
        submit(session, {**IMAGE, "seed": seed}).result(60)
    assert capsys.readouterr().err.count(TERMS) == 1  # a script shows no outputs
    assert session.take_notices() == []


# --- inputs ---


def test_files_and_results_become_assets_of_one_account(sandbox, open_session):
    for email in (FIRST, SECOND, THIRD):
        sandbox.add_account(email)
    session = open_session()
    image = submit(session, IMAGE).result(60)[0]
    owner = image.raw["account"]
    job = submit(
        session,
        {**VIDEO, "model": "seedance-2", "seed": None, "assets": {"imageAssetId1": image, "imageAssetId2": png()}},
    )
    video = job.result(60)[0]
    assert video.raw["account"] == owner
    assets = job.record.request["assets"]
    assert assets["imageAssetId1"] == image.raw["artifact"]["assetId"]  # it is there already, and was not uploaded
    assert f":{owner}-asset:" in assets["imageAssetId2"]
    assert [medium.get("sha256") is not None for medium in session.log.find(job.task_uuid).inputs] == [True, True]


def test_an_upload_goes_to_the_account_that_the_task_names_and_is_sent_once(sandbox, open_session):
    for email in (FIRST, SECOND):
        sandbox.add_account(email)
    session = open_session()
    content = png()
    for seed in (1, 2):
        task = {**VIDEO, "seed": seed, "account": SECOND, "assets": {"startFrameAssetId": content}}
        assert submit(session, task).result(60)[0].raw["account"] == SECOND
    uploads = ask(sandbox, lambda client: client.assets(SECOND, media_type="image"))
    assert len(uploads) == 1
    assert ask(sandbox, lambda client: client.assets(FIRST)) == []


def test_a_result_of_another_account_is_uploaded_to_the_one_that_is_named(sandbox, open_session):
    for email in (FIRST, SECOND):
        sandbox.add_account(email)
    session = open_session()
    image = submit(session, {**IMAGE, "account": FIRST}).result(60)[0]
    video = submit(session, {**VIDEO, "account": SECOND, "assets": {"startFrameAssetId": image}}).result(60)[0]
    assert video.raw["account"] == SECOND


def test_a_file_goes_to_the_account_with_the_most_free_slots(sandbox, open_session):
    sandbox.add_account(FIRST, 2)
    sandbox.add_account(SECOND, 10)
    outcome = submit(open_session(), {**VIDEO, "assets": {"startFrameAssetId": png()}}).result(60)
    assert outcome[0].raw["account"] == SECOND


def test_a_url_is_fetched_and_uploaded(sandbox, open_session):
    sandbox.add_account(FIRST)
    status, asset = sandbox.upload()
    assert status == 200
    outcome = submit(open_session(), {**VIDEO, "startFrameAssetId": asset["url"]}).result(60)
    assert outcome[0].path.exists()


@pytest.mark.parametrize("form", ["path", "text", "bytes", "image", "array"])
def test_an_input_is_a_path_bytes_an_image_or_an_array(sandbox, open_session, tmp_path, form):
    import numpy as np
    from PIL import Image

    sandbox.add_account(FIRST)
    path = tmp_path / "input.webp"
    path.write_bytes(png("WEBP"))
    image = Image.open(path)
    given = {"path": path, "text": str(path), "bytes": path.read_bytes(), "image": image, "array": np.asarray(image)}[
        form
    ]
    job = submit(open_session(), {**IMAGE, "assets": {"imageAssetId1": given}})
    assert job.result(60)[0].path.exists()
    assert job.record.inputs[0]["sha256"]


def test_assets_of_several_accounts_are_refused_here(sandbox, open_session):
    for email in (FIRST, SECOND):
        sandbox.add_account(email)
    ids = [sandbox.upload(email)[1]["assetId"] for email in (FIRST, SECOND)]
    session = open_session()
    mixed = {**VIDEO, "model": "seedance-2", "seed": None, "imageAssetId1": ids[0], "imageAssetId2": ids[1]}
    with pytest.raises(TaskInvalid, match=r"different accounts.*Nothing was sent"):
        submit(session, mixed)
    with pytest.raises(TaskInvalid, match="the account that owns the assets"):
        submit(session, {**VIDEO, "account": FIRST, "startFrameAssetId": ids[1]})
    assert charges(sandbox) == []


@pytest.mark.parametrize(
    "change",
    [
        {"taskType": "imageInference"}, {"replyRef": "mine"}, {"duration": 7}, {"account": "a b@x.org"}, {"maxJobs": True},
        {"assets": "odd"}, {"text_prompt": "x" * 600}, {"seed": 0},
    ],
)  # fmt: skip
def test_a_task_that_would_be_refused_is_not_written_or_sent(sandbox, open_session, change):
    session = open_session()
    with pytest.raises(TaskInvalid, match="Nothing was sent"):
        submit(session, {**VIDEO, **change})
    assert session.log.count() == 0


def test_a_file_that_is_no_medium_is_refused_before_anything_is_sent(sandbox, open_session, tmp_path):
    sandbox.add_account(FIRST)
    path = tmp_path / "notes.txt"
    path.write_text("no image")
    with pytest.raises(MediaError):
        submit(open_session(), {**VIDEO, "assets": {"startFrameAssetId": str(path)}}).result(60)
    assert charges(sandbox) == []


# --- refusals and failures ---


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ({"kind": "no_credits"}, OutOfCredit, "choose another account"),
        ({"kind": "moderate"}, ContentRefused, "Change it"),
        ({"kind": "expire_session"}, TaskFailed, "adds it again with its password"),
        ({"kind": "refuse", "status": 400, "message": "Odd."}, TaskInvalid, "Odd"),
        ({"kind": "refuse", "status": 402}, OutOfCredit, "subscription"),
    ],
)
def test_a_refusal_is_final_charges_nothing_and_states_what_to_decide(sandbox, open_session, fault, kind, words):
    sandbox.add_account(FIRST)
    session = open_session()
    sandbox.faults(fault)
    job = submit(session)
    with pytest.raises(kind, match=words):
        job.result(60)
    record = session.log.find(job.task_uuid)
    assert (record.state, record.attempts, record.remote_id) == (State.FAILED, 1, None)
    assert charges(sandbox) == []
    with pytest.raises(kind, match=words):  # as the log has it
        session.job(job.task_uuid).result(60)


@pytest.mark.parametrize("form", ["string", "object", "null"])
def test_a_task_that_fails_later_is_not_repeated(sandbox, open_session, form):
    sandbox.add_account(FIRST)
    sandbox.switch(failure=form)
    session = open_session()
    sandbox.faults({"kind": "fail"})
    job = submit(session)
    with pytest.raises(TaskError) as raised:
        job.result(60)
    assert isinstance(raised.value, ContentRefused) is (form != "null")
    record = session.log.find(job.task_uuid)
    assert (record.state, record.attempts, record.cost) == (State.FAILED, 1, None)
    assert len(charges(sandbox)) == 1


def test_a_success_without_a_result_is_an_error(sandbox, open_session):
    sandbox.add_account(FIRST)
    sandbox.faults({"kind": "no_artifacts"})
    with pytest.raises(TaskFailed, match=r"returned no result. It may have been charged"):
        submit(open_session()).result(60)


def test_a_wrong_token_is_refused(sandbox, open_session, monkeypatch):
    monkeypatch.setenv("USEAPI_TOKEN", "user:1000-00000000000000000000")
    with pytest.raises(AuthenticationFailed, match="USEAPI_TOKEN"):
        submit(open_session()).result(60)


@pytest.mark.parametrize("status", [404, 400])
def test_without_any_account_a_task_is_refused(sandbox, open_session, status):
    sandbox.switch(no_accounts_status=status)
    with pytest.raises(TaskInvalid, match="Configure at least one"):
        submit(open_session()).result(60)


TASK = "user:1000-runwayml:me@example.com-task:11111111-2222-4333-8444-555555555555"


class LateLinks:
    """A service whose task has succeeded with 4 results, of which the last has no link for a long time."""

    token = "user:1000-a1b2c3d4e5f6g7h8i9j0"

    def __init__(self):
        self.is_late = True
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.respond({"taskId": TASK, "status": "PENDING"})

            def do_GET(self):
                if self.path.endswith(".png"):
                    self.respond(png())
                elif "/tasks/" in self.path:
                    self.respond({"taskId": TASK, "status": "SUCCEEDED", "artifacts": service.artifacts})
                else:
                    self.respond({"me@example.com": {"maxJobs": 5}} if "accounts" in self.path else [])

            def respond(self, content):
                content = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def artifacts(self):
        made = [{"id": str(uuid.uuid5(uuid.NAMESPACE_URL, str(n))), "filename": f"{n}.png"} for n in range(4)]
        return [
            {**each, "url": None if n == 3 and self.is_late else f"{self.url}/{n}.png"} for n, each in enumerate(made)
        ]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def test_a_result_without_a_link_is_recorded_and_found_later(open_session, monkeypatch):
    service = LateLinks()
    try:
        monkeypatch.setenv("USEAPI_TOKEN", service.token)
        monkeypatch.setenv("RUNWARE_NB_USEAPI_URL", service.url)
        session = open_session()
        job = submit(session, {**IMAGE, "num_images": 4})
        assert [result.url is None for result in job.result(60)] == [False, False, False, True]
        record = session.log.find(job.task_uuid)
        assert record.state is State.SUCCEEDED
        assert [kept.medium_state for kept in record.results] == ["stored", "stored", "stored", "missing"]
        session.close()
        service.is_late = False
        again = open_session()
        assert all(result.path.exists() for result in again.job(job.task_uuid).result(60))
        assert again.log.find(job.task_uuid).results[3].medium_state == "stored"
    finally:
        service.close()


@pytest.mark.parametrize("where", ["none", "header", "body", "both"])
def test_a_429_is_waited_out_and_the_task_is_sent_again(sandbox, open_session, where):
    sandbox.add_account(FIRST)
    sandbox.switch(retry_after=where)
    session = open_session()
    sandbox.faults({"kind": "busy", "count": 3})
    job = submit(session)
    job.result(60)
    record = session.log.find(job.task_uuid)
    # A refused attempt is withdrawn in the log: it is known to have left nothing at the service.
    assert (record.state, record.attempts) == (State.SUCCEEDED, 1)
    assert record.attempt_uuid == job.task_uuid
    assert len(charges(sandbox)) == 1


def test_the_wait_for_a_slot_ends_at_the_deadline(sandbox, open_session):
    sandbox.add_account(FIRST)
    session = open_session(timeout_s=0.5)
    sandbox.faults({"kind": "busy", "count": 100})
    job = submit(session)
    with pytest.raises(RateLimited, match=r"No Runway account has a free slot.*left of the time limit"):
        job.result(60)
    assert session.log.find(job.task_uuid).state is State.FAILED
    assert charges(sandbox) == []


def test_a_throttled_task_is_shown_as_waiting(sandbox, open_session):
    sandbox.add_account(FIRST)
    sandbox.faults({"kind": "throttle", "seconds": 400})
    job = submit(open_session())
    seen = set()
    job.on_change(lambda: seen.add(job.waiting))
    shown = ""
    deadline = time.monotonic() + 30
    while not job.is_done and time.monotonic() < deadline:
        if job.waiting:
            shown = job._repr_mimebundle_()["text/plain"] or shown
        time.sleep(0.01)
    job.result(60)
    assert any(text and "THROTTLED" in text for text in seen)
    assert "waiting at Runway" in shown
    assert job.waiting is None


# --- lost responses ---


@pytest.mark.parametrize(
    ("fault", "shows", "found"),
    [
        ({"kind": "cut", "when": "after_accept"}, True, True),
        ({"kind": "cut", "when": "mid_body"}, True, True),
        ({"kind": "cut", "when": "after_accept"}, False, True),  # it is still in the scheduler
        ({"kind": "cut", "when": "before_accept"}, True, False),
        ({"kind": "html", "status": 502}, True, False),
        ({"kind": "refuse", "status": 504}, True, False),
    ],
)
def test_a_lost_response_is_located_by_our_reference_and_never_sent_again(sandbox, open_session, fault, shows, found):
    sandbox.add_account(FIRST)
    sandbox.add_account(SECOND)
    sandbox.switch(reply_ref_in_tasks=shows)
    session = open_session()
    sandbox.faults(fault)
    job = submit(session)
    if found:
        assert job.result(60)[0].path.exists()
        assert session.log.find(job.task_uuid).state is State.SUCCEEDED
    else:
        with pytest.raises(FateUnknown, match="may have been accepted and charged"):
            job.result(60)
        record = session.log.find(job.task_uuid)
        assert (record.state, record.remote_id) == (State.UNKNOWN, None)
        assert [run.task_uuid for run in session.pending()] == [job.task_uuid]
        with pytest.raises(FateUnknown):
            session.job(job.task_uuid).result(60)
    assert session.log.find(job.task_uuid).attempts == 1
    assert len(charges(sandbox)) == int(found)


def test_a_search_that_fails_leaves_the_fate_unknown_until_it_succeeds(sandbox, open_session):
    sandbox.add_account(FIRST)
    session = open_session()
    refusals = [{"kind": "refuse", "on": on, "status": 400} for on in ("scheduler", "tasks")]
    sandbox.faults({"kind": "cut", "when": "after_accept"}, *refusals)
    job = submit(session)
    with pytest.raises(FateUnknown):
        job.result(60)
    assert session.job(job.task_uuid).result(60)[0].path.exists()
    assert len(charges(sandbox)) == 1


def test_one_list_that_is_refused_hides_no_task_of_another(sandbox, open_session):
    sandbox.add_account(FIRST)
    session = open_session()
    sandbox.faults({"kind": "cut", "when": "after_accept"}, {"kind": "refuse", "on": "scheduler", "status": 400})
    assert submit(session).result(60)[0].path.exists()
    assert len(charges(sandbox)) == 1


def test_what_is_not_listed_any_more_stays_unknown(sandbox, open_session):
    """Once it has ended, a service that does not repeat the reference cannot be searched for it."""
    sandbox.add_account(FIRST)
    sandbox.switch(reply_ref_in_tasks=False)
    session = open_session()
    sandbox.faults({"kind": "cut", "when": "after_accept"}, {"kind": "refuse", "on": "scheduler", "status": 400})
    job = submit(session)
    with pytest.raises(FateUnknown):
        job.result(60)
    while ask(sandbox, lambda client: client.scheduler()):
        time.sleep(0.05)
    with pytest.raises(FateUnknown):
        session.job(job.task_uuid).result(60)
    assert session.log.find(job.task_uuid).state is State.UNKNOWN
    assert len(charges(sandbox)) == 1


# --- questions ---


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "busy", "on": "tasks", "count": 3}, {"kind": "html", "on": "tasks", "count": 5},
        {"kind": "cut", "on": "tasks", "when": "after_accept", "count": 5}, {"kind": "cut", "on": "tasks", "when": "mid_body"},
        {"kind": "refuse", "on": "tasks", "status": 503, "count": 5},
    ],
)  # fmt: skip
def test_trouble_with_polls_does_not_end_a_task(sandbox, open_session, fault):
    sandbox.add_account(FIRST)
    session = open_session()
    sandbox.faults(fault)
    assert submit(session).result(60)[0].path.exists()
    assert len(charges(sandbox)) == 1


@pytest.mark.parametrize("status", [401, 402, 404, 596])
def test_a_refused_poll_says_nothing_about_the_task(sandbox, open_session, status):
    sandbox.add_account(FIRST)
    session = open_session()
    sandbox.faults({"kind": "refuse", "on": "tasks", "status": status})
    job = submit(session)
    with pytest.raises(TaskError):
        job.result(60)
    record = session.log.find(job.task_uuid)
    assert (record.state, record.is_finished) == (State.ACCEPTED, False)
    assert session.job(job.task_uuid).result(60)[0].path.exists()
    assert len(charges(sandbox)) == 1


def test_a_deadline_does_not_end_the_task(sandbox, open_session):
    sandbox.add_account(FIRST)
    session = open_session(timeout_s=1.0)
    sandbox.faults({"kind": "latency", "seconds": 500})
    job = submit(session)
    with pytest.raises(TransportTimeout, match="goes on"):
        job.result(60)
    deadline = time.monotonic() + 30
    while session.log.find(job.task_uuid).state is not State.SUCCEEDED:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_expired_link_is_replaced_by_a_new_one(sandbox, open_session):
    sandbox.add_account(FIRST)
    session = open_session()
    outcome = submit(session, IMAGE).result(60)
    provider = session.provider("useapi")
    record = session.log.find(outcome.task_uuid)
    attempt = Attempt(dict(record.request), remote_id=record.remote_id)
    located = on_loop(provider.locate_result(attempt, outcome[0]))
    assert (located.item_uuid, located.index) == (outcome[0].item_uuid, 0)
    assert located.url.startswith(sandbox.url)
    assert on_loop(provider.locate_result(Attempt({"taskUUID": "x"}), outcome[0])) is None


def test_a_task_that_was_deleted_or_has_expired_is_not_found(sandbox, open_session):
    sandbox.add_account(FIRST)
    session = open_session(timeout_s=20)
    task_id = submit(session, IMAGE).result(60)[0].raw["remoteTask"]
    sandbox.switch(retention_s=1)
    time.sleep(0.1)
    with pytest.raises(TaskNotFound, match="deleted"):
        ask(sandbox, lambda client: client.task(task_id))


# --- several accounts ---


def test_a_pinned_account_that_is_full_is_waited_for_while_others_are_free(sandbox, open_session):
    sandbox.add_account(FIRST, 1)
    sandbox.add_account(SECOND, 10)
    session = open_session()
    jobs = [submit(session, {**IMAGE, "seed": seed, "account": FIRST}) for seed in range(1, 5)]
    assert {job.result(120)[0].raw["account"] for job in jobs} == {FIRST}
    assert sandbox.control("ledger")["accounts"][FIRST]["peak_jobs"] == 1
    assert len(charges(sandbox)) == 4


def test_the_account_is_shortened_where_it_is_displayed(sandbox, open_session):
    sandbox.add_account(SECOND)
    session = open_session()
    outcome = submit(session, {**IMAGE, "account": SECOND}).result(60)
    bundle = outcome._repr_mimebundle_()
    assert all("second+tag" not in text for text in bundle.values())
    assert session.log.find(outcome.task_uuid).request["account"] == SECOND


# --- the account, and rw.useapi ---


def test_the_account_states_credits_and_the_state_of_each_account(sandbox, open_session):
    session = open_session()
    provider = session.provider("useapi")
    assert on_loop(provider.account()).balance is None
    sandbox.add_account(FIRST)
    sandbox.add_account(SECOND)
    account = on_loop(provider.account())
    assert (account.balance.amount, account.balance.unit) == (2_000_000, "credits")
    assert "second+tag" not in repr(account.details)
    sandbox.faults({"kind": "refuse", "on": "features", "status": 400})
    assert on_loop(provider.account()).balance is None  # a part is unknown, so the sum is


def test_under_a_budget_tasks_of_unknown_price_are_sent_one_at_a_time(sandbox, open_session):
    sandbox.add_account(FIRST)
    session = open_session(budget_credits=20.0)
    for job in [submit(session, {**IMAGE, "seed": seed}) for seed in (1, 2, 3)]:
        assert job.result(60).cost is None
    assert sandbox.control("ledger")["accounts"][FIRST]["peak_jobs"] == 1


@pytest.fixture
def api(open_session, monkeypatch):
    """`rw.useapi` in a session at the pace of the sandbox."""
    from runware_nb.session import current

    session = open_session()
    monkeypatch.setattr(current, "_session", session, raising=False)
    monkeypatch.setattr("runware_nb.providers.useapi.api.current_session", lambda: session)
    return rw.useapi


def test_the_functions_generate_and_manage(sandbox, api, monkeypatch):
    assert api.accounts() == []
    assert api.save_account(FIRST, PASSWORD, 3).max_jobs == 3
    monkeypatch.setenv("USEAPI_RUNWAY_PASSWORD", PASSWORD)
    api.save_account(SECOND)
    assert [(account.email, account.running) for account in api.accounts()] == [(FIRST, 0), (SECOND, 0)]
    assert api.credits(FIRST) == 1_000_000
    assert api.credits() == 2_000_000
    image = api.image("a cat", seed=7, num_images=4, agreed=True).result(60)[0]
    video = api.video("a ship", model="gen4", start_frame=image, agreed=True).result(60)[0]
    assert video.raw["account"] == image.raw["account"]
    assert (
        api.frames("a cat by @IMG_1", images=[png()], account=FIRST, agreed=True).result(60)[0].raw["account"] == FIRST
    )
    done = api.create("gen4/upscale", assets={"assetId": video}, agreed=True).result(60)
    assert done[0].path.suffix == ".mp4"
    assert api.task(done[0].raw["remoteTask"]).status == "SUCCEEDED"
    assert api.upload(png(), account=SECOND).account == SECOND
    assert api.delete_account(SECOND) is True
    assert api.delete_account(SECOND) is False


def test_images_are_a_list_and_not_too_many(sandbox, api):
    for images in (png(), "a.png", [png()] * 9):
        with pytest.raises(rw.RunwareNBError, match="Invalid images"):
            api.image("a cat", images=images, agreed=True)


def test_the_client_is_public():
    assert rw.UseApi is UseApi
    assert "useapi" in dir(rw)


def test_closing_the_session_ends_the_queue_and_not_the_tasks(sandbox, open_session):
    sandbox.add_account(FIRST, 1)
    session = open_session()
    jobs = [submit(session, {**IMAGE, "seed": seed}) for seed in range(1, 4)]
    while not any(job.record.remote_id for job in jobs):
        time.sleep(0.01)
    session.close()
    sent = [job for job in jobs if job.record.attempts]
    assert len(charges(sandbox)) <= len(sent)
    again = open_session()
    for run in again.pending():
        if run.attempts:
            again.job(run.task_uuid).result(60)
    assert len(charges(sandbox)) == len(sent)


def test_closing_the_session_waits_for_the_response_to_a_task_that_is_being_sent(sandbox, open_session):
    """Otherwise the log would say that nobody knows whether it was accepted and charged."""
    sandbox.add_account(FIRST)
    sandbox.faults({"kind": "slow", "seconds": SCALE})
    session = open_session()
    job = submit(session)
    while not session.provider("useapi").client._creating:
        time.sleep(0.001)
    session.close()
    again = open_session()
    record = again.log.find(job.task_uuid)
    assert record.state is State.ACCEPTED
    assert again.job(job.task_uuid).result(60)[0].path.exists()
    assert [charge["task_id"] for charge in charges(sandbox)] == [record.remote_id]


# --- callbacks ---


def post(url, content):
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize("form", ["flat", "nested"])
def test_a_callback_wakes_the_poll_which_would_come_much_later(sandbox, open_session, monkeypatch, form):
    """A poll of its own would come after 200 s or more."""
    sandbox.add_account(FIRST)
    sandbox.switch(callbacks="final", create_response=form)
    session = open_session(scale=0.01)
    monkeypatch.setattr("runware_nb.providers.useapi.api.current_session", lambda: session)
    receiver = rw.useapi.receiver()
    url = receiver.url_of("useapi")
    job = submit(session, IMAGE)
    assert job.result(60)[0].path.exists()
    assert receiver.counts["verified"] >= 1
    written = str(session.log.find(job.task_uuid).request)
    assert url.rpartition("/")[2] not in written  # the token of the path is sent, and not recorded


def test_forged_callbacks_change_nothing(sandbox, open_session, monkeypatch):
    sandbox.add_account(FIRST)
    sandbox.switch(callbacks="none")
    session = open_session()
    monkeypatch.setattr("runware_nb.providers.useapi.api.current_session", lambda: session)
    receiver = rw.useapi.receiver()
    sandbox.faults({"kind": "latency", "seconds": 400})
    job = submit(session)
    while job.record.remote_id is None:
        time.sleep(0.01)
    forged = {
        "taskId": job.record.remote_id,
        "status": "FAILED",
        "error": "forged",
        "artifacts": [{"url": "http://x/"}],
    }
    url = receiver.url_of("useapi")
    assert post(url, json.dumps(forged).encode()) == 204
    assert post(url, json.dumps({**forged, "taskId": "user:1-runwayml:no@x.org-task:no"}).encode()) == 204
    assert post(url, b"{") == 400
    assert post(url, b"x" * 300_000) == 413
    assert post(f"{receiver.local_url}/useapi/guessed", json.dumps(forged).encode()) == 404
    outcome = job.result(60)
    assert outcome[0].path.exists()
    assert not outcome.errors


def test_tasks_are_found_although_every_callback_is_lost_or_comes_twice(sandbox, open_session, monkeypatch):
    sandbox.add_account(FIRST)
    session = open_session()
    monkeypatch.setattr("runware_nb.providers.useapi.api.current_session", lambda: session)
    receiver = rw.useapi.receiver()
    sandbox.faults({"kind": "mute"}, {"kind": "double"})
    jobs = [submit(session, {**IMAGE, "seed": seed}) for seed in (1, 2)]
    for job in jobs:
        assert job.result(60)[0].path.exists()
    assert len(charges(sandbox)) == 2
    assert receiver.is_running


def test_the_sandbox_of_a_session_takes_the_place_of_the_service(monkeypatch, tmp_path):
    """The user's own token is never sent to it, and its token never to the service."""
    monkeypatch.setenv("USEAPI_TOKEN", "user:1234-a1b2c3d4e5f6g7h8i9j0")
    session = Session(load_settings().with_values(home=tmp_path / ".runware"))
    try:
        session.connection.use_sandbox()
        provider = session.provider("useapi")
        assert provider.name == "useapi-sandbox"
        account = on_loop(provider.client.save_account(FIRST, PASSWORD))
        assert account.max_jobs == 5
        job = submit(session, IMAGE)
        assert job.record.provider == "useapi-sandbox"
        assert job.is_new
    finally:
        session.close()
