"""The sandbox's useapi.net service: accounts, choice of accounts, the course of tasks, faults and callbacks."""

import asyncio
import collections
import contextlib
import dataclasses
import http.server
import io
import json
import queue
import random
import re
import shutil
import threading
import time
import urllib.parse

import av
import pytest
from PIL import Image

from runware_nb.sandbox.core.clock import Clock
from runware_nb.sandbox.core.making.films import decode_first_frame
from runware_nb.sandbox.core.service import Options
from runware_nb.sandbox.useapi.accounts import Account, Balancer
from runware_nb.sandbox.useapi.behaviour import Behaviour
from runware_nb.sandbox.useapi.callbacks import post_callback
from runware_nb.sandbox.useapi.endpoints import ENDPOINTS
from runware_nb.sandbox.useapi.refusals import Refused
from runware_nb.sandbox.useapi.service import UseApiService
from runware_nb.sandbox.useapi.tasks import plan_steps
from tests.useapi_sandbox import FIRST, SECOND, THIRD, UseApiSandbox, png, send

CHI_SQUARE_1_PERCENT = {1: 6.63, 2: 9.21}
"""Critical values by degrees of freedom."""


@pytest.fixture(scope="module")
def process():
    process = UseApiSandbox()
    yield process
    process.close()


@pytest.fixture
def useapi(process):
    """A service with one account, whose tasks end at once."""
    process.restart()
    process.add_account()
    return process


def hold(useapi, *script):
    """Let all tasks take an hour, with further faults."""
    useapi.faults({"kind": "latency", "seconds": 3600, "count": None}, *script)


def chi_square(counts, expected):
    return sum((counts[key] - expected) ** 2 / expected for key in counts)


class Callbacks:
    """A receiver of callbacks on this machine."""

    def __init__(self, statuses=()):
        self.received = queue.Queue()
        remaining = list(statuses)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(handler):  # noqa: N805
                body = handler.rfile.read(int(handler.headers["Content-Length"]))
                self.received.put((handler.path, json.loads(body)))
                handler.send_response(remaining.pop(0) if remaining else 200)
                handler.send_header("Location", f"{self.url}/elsewhere")
                handler.end_headers()

            def log_message(handler, *_):  # noqa: N805
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def next(self):
        return self.received.get(timeout=30)

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextlib.contextmanager
def callbacks(statuses=()):
    receiver = Callbacks(statuses)
    try:
        yield receiver
    finally:
        receiver.close()


# --- accounts ---------------------------------------------------------------------------------------


def test_passwords_are_masked_and_an_update_renews_the_session(useapi):
    first = useapi.add_account()
    second = useapi.add_account(max_jobs=7)
    assert (first["maxJobs"], second["maxJobs"]) == (5, 7)
    assert first["jwt"]["token"] != second["jwt"]["token"]
    everything = [first, *useapi.call("GET", "/accounts")[1].values(), useapi.call("GET", f"/accounts/{FIRST}")[1]]
    assert "wonder-wall" not in json.dumps(everything)


@pytest.mark.parametrize(("form", "shown"), [("masked", "********"), ("echoed", "wonder-wall"), ("absent", None)])
def test_switch_for_the_password(useapi, form, shown):
    useapi.switch(password=form)
    assert useapi.add_account().get("password") == shown
    assert useapi.call("GET", f"/accounts/{FIRST}")[1]["password"] == "********"


def test_switch_for_percent_decoding(useapi):
    useapi.switch(percent_decode=False)
    body = {"email": FIRST, "password": "x", "maxJobs": 5}
    assert useapi.call("POST", f"/accounts/{FIRST.replace('@', '%40')}", body)[0] == 400
    assert useapi.call("POST", f"/accounts/{FIRST}", body)[0] == 200


def test_switches_for_accounts(useapi):
    useapi.switch(account_read_status=201, mismatch_status=422, max_accounts=1, delete_response="object")
    assert useapi.call("GET", f"/accounts/{FIRST}")[0] == 201
    assert useapi.call("POST", f"/accounts/{FIRST}", {"email": SECOND, "password": "x", "maxJobs": 5})[0] == 422
    assert useapi.call("POST", f"/accounts/{SECOND}", {"email": SECOND, "password": "x", "maxJobs": 5})[0] == 400
    assert useapi.call("DELETE", f"/accounts/{FIRST}") == (200, {"account": FIRST, "deleted": True, "remaining": 0})


@pytest.mark.parametrize("status", [400, 409, 422])
def test_the_status_of_a_mismatch_is_switchable(useapi, status):
    useapi.switch(mismatch_status=status)
    assert useapi.call("POST", f"/accounts/{FIRST}", {"email": SECOND, "password": "x", "maxJobs": 5})[0] == status


@pytest.mark.parametrize("form", ["empty", "object"])
def test_the_response_of_each_deletion_is_switchable(useapi, form):
    useapi.switch(delete_response=form)
    asset = useapi.upload()[1]["assetId"]
    task_id = useapi.create()[1]["taskId"]
    hold(useapi)
    held = useapi.create()[1]["taskId"]
    paths = {f"/assets/{asset}": "assetId", f"/tasks/{task_id}": "taskId", f"/scheduler/{held}": "taskId",
             f"/accounts/{FIRST}": "account"}  # fmt: skip
    for path, name in paths.items():
        status, _, body = useapi.raw("DELETE", path)
        assert status == (204 if form == "empty" else 200)
        assert body == b"" if form == "empty" else json.loads(body)[name] in path
        assert useapi.raw("DELETE", path)[0] == 404


def test_a_404_of_accounts_may_be_json(useapi):
    useapi.switch(account_not_found="json")
    assert useapi.call("GET", f"/accounts/{SECOND}") == (404, {"error": f"Account {SECOND} not found.", "code": 404})
    useapi.call("DELETE", f"/accounts/{FIRST}")
    assert useapi.call("GET", "/accounts")[1]["code"] == 404


@pytest.mark.parametrize(("form", "body"), [("text", b"Not found."), ("empty", b"")])
def test_a_404_need_not_be_json(useapi, form, body):
    useapi.switch(not_found=form, account_not_found=form)
    assert useapi.raw("GET", "/tasks/no")[::2] == (404, body)
    assert useapi.raw("GET", "/no-such-path")[::2] == (404, body)
    assert useapi.raw("GET", f"/accounts/{SECOND}")[0] == 404


def test_calls_without_an_email_need_exactly_one_account(useapi):
    for path in ("/tasks/?offset=0&limit=5", "/assets/?offset=0&limit=5", "/features/"):
        sign = "&" if "?" in path else "?"
        useapi.restart()
        assert useapi.call("GET", path)[0] == 404
        useapi.add_account()
        assert useapi.call("GET", path)[0] == 200
        useapi.add_account(THIRD)
        assert useapi.call("GET", path)[0] == 400
        assert useapi.call("GET", f"{path}{sign}email={THIRD}")[0] == 200
        assert useapi.call("GET", f"{path}{sign}email=no@example.com")[0] == 404


def test_each_route_has_a_form_with_a_slash(useapi):
    for path in ("/accounts/", f"/accounts/{FIRST}/", "/scheduler/", "/features"):
        assert useapi.call("GET", path)[0] == 200


def test_an_expired_subscription(useapi):
    useapi.switch(subscription="expired")
    assert useapi.create()[0] == 402
    assert useapi.call("GET", "/accounts", token="user:1-other")[0] == 401


# --- choice of the account --------------------------------------------------------------------------


def test_the_choice_is_uniform_among_accounts_with_capacity():
    """600 tasks over accounts of 2, 5 and 10: uniform whoever has capacity, and never above a limit."""
    running = collections.Counter()
    accounts = [Account(FIRST, 2, 0.0), Account(SECOND, 5, 0.0), Account(THIRD, 10, 0.0)]
    balancer = Balancer(random.Random(13), running.__getitem__)
    ends = random.Random(14)
    counts = collections.defaultdict(collections.Counter)
    active = []
    for _ in range(600):
        free = tuple(account.email for account in accounts if running[account.email] < account.max_jobs)
        chosen = balancer.choose(accounts, request_max_jobs=None, replaces=False, broken_status=596)
        counts[free][chosen.email] += 1
        running[chosen.email] += 1
        active.append(chosen.email)
        assert all(running[account.email] <= account.max_jobs for account in accounts)
        while len(active) > 12 or (active and ends.random() < 0.45):
            running[active.pop(ends.randrange(len(active)))] -= 1
    assert sum(chosen.total() for chosen in counts.values()) == 600
    tested = 0
    for free, chosen in counts.items():
        assert set(chosen) <= set(free)
        if len(free) > 1 and chosen.total() >= 30:
            tested += 1
            per_account = {email: chosen[email] for email in free}
            assert chi_square(per_account, chosen.total() / len(free)) < CHI_SQUARE_1_PERCENT[len(free) - 1]
    assert tested >= 2


def test_a_seed_repeats_the_choice(useapi):
    def owners():
        useapi.restart()
        for email in (FIRST, SECOND, THIRD):
            useapi.add_account(email)
        return [useapi.create()[1]["taskId"] for _ in range(8)]

    assert owners() == owners()


def test_no_account_exceeds_its_limit_over_sockets(useapi):
    """With 17 slots in three accounts, 17 tasks are accepted and the next gets 429."""
    for email, max_jobs in ((FIRST, 2), (SECOND, 5), (THIRD, 10)):
        useapi.add_account(email, max_jobs)
    hold(useapi)
    assert [useapi.create()[0] for _ in range(17)] == [200] * 17
    assert useapi.create()[0] == 429
    peaks = {email: account["peak_jobs"] for email, account in useapi.control("ledger")["accounts"].items()}
    assert peaks == {FIRST: 2, SECOND: 5, THIRD: 10}
    assert len(useapi.call("GET", "/scheduler")[1]) == 17


def test_an_account_in_error_is_left_out_until_it_is_posted_again(useapi):
    useapi.add_account(SECOND)
    useapi.faults({"kind": "expire_session"})
    assert useapi.create(email=SECOND)[:1] == (596,)
    assert useapi.call("GET", f"/accounts/{SECOND}")[1]["error"]
    assert {useapi.create()[1]["taskId"].split("-task:")[0].partition("runwayml:")[2] for _ in range(6)} == {FIRST}
    assert useapi.create(email=SECOND)[0] == 596
    assert useapi.call("GET", "//v2/account")[1]["accounts"]["runwayml"] == {"total": 2, "active": 1, "error": 1}
    useapi.switch(broken_accounts_status=429)
    assert useapi.create(email=SECOND)[0] == 429
    assert "error" not in useapi.add_account(SECOND)
    assert useapi.create(email=SECOND)[0] == 200


def test_the_owner_of_an_asset_overrides_the_email(useapi):
    useapi.add_account(SECOND)
    mine, other = useapi.upload(SECOND)[1]["assetId"], useapi.upload(FIRST)[1]["assetId"]
    assert f":{SECOND}-task:" in useapi.create(email=FIRST, imageAssetId1=mine)[1]["taskId"]
    status, body = useapi.create(imageAssetId1=mine, imageAssetId2=other)
    assert (status, "same account" in body["error"]) == (400, True)
    assert useapi.create(imageAssetId1="unknown")[0] == 404
    assert useapi.create(email="no@example.com")[0] == 404
    useapi.call("DELETE", f"/accounts/{SECOND}")
    assert useapi.create(imageAssetId1=mine)[0] == 404


@pytest.mark.parametrize(("reading", "accepted"), [("lower", 5), ("replace", 8)])
def test_max_jobs_of_a_request(useapi, reading, accepted):
    useapi.switch(request_max_jobs=reading)
    hold(useapi)
    assert useapi.create(maxJobs=1)[0] == 200
    assert useapi.create(maxJobs=1)[0] == 429
    assert [useapi.create(maxJobs=8)[0] for _ in range(8)] == [200] * (accepted - 1) + [429] * (9 - accepted)


@pytest.mark.parametrize("status", [404, 400])
def test_create_without_any_account(useapi, status):
    useapi.restart()
    useapi.switch(no_accounts_status=status)
    assert useapi.create()[0] == status


@pytest.mark.parametrize(("where", "header", "field"), [
    ("none", False, False), ("header", True, False), ("body", False, True), ("both", True, True),
])  # fmt: skip
def test_where_a_429_states_its_delay(useapi, where, header, field):
    useapi.switch(retry_after=where)
    useapi.faults({"kind": "busy"})
    status, headers, body = useapi.raw("POST", "/videos/create", b'{"model": "gen4"}')
    assert (status, "retry-after" in headers, "retryAfter" in json.loads(body)) == (429, header, field)


# --- the course of tasks ----------------------------------------------------------------------------


def test_steps_of_a_task():
    """Two jobs run at once, and a third is THROTTLED until one of them ends."""
    steps = plan_steps(100.0, duration_s=10.0, throttled_s=0.0, others=[], parallel=2, final="SUCCEEDED")
    assert steps == [(100.0, "PENDING"), (101.0, "RUNNING"), (110.0, "SUCCEEDED")]
    steps = plan_steps(100.0, duration_s=10.0, throttled_s=0.0, others=[110.0, 108.0], parallel=2, final="FAILED")
    assert steps == [(100.0, "PENDING"), (101.0, "THROTTLED"), (108.0, "RUNNING"), (117.0, "FAILED")]
    steps = plan_steps(100.0, duration_s=10.0, throttled_s=0.0, others=[110.0, 108.0], parallel=0, final="FAILED")
    assert len(steps) == 3


def test_a_third_job_is_throttled_and_lists_are_filtered(useapi):
    hold(useapi)
    for _ in range(2):
        useapi.create()
    useapi.faults({"kind": "latency", "seconds": 0, "count": None})
    task_id = useapi.create()[1]["taskId"]
    task = useapi.call("GET", f"/tasks/{task_id}")[1]
    assert (task["status"], task["progressRatio"], task["artifacts"]) == ("THROTTLED", None, [])
    listed = useapi.call("GET", "/tasks/?offset=0&limit=9&statuses=THROTTLED")[1]
    assert [item["taskId"] for item in listed] == [task_id]


@pytest.mark.parametrize(("given", "image", "video"), [(None, 2, 5), (0.0, 0, 0), (7.0, 7, 7)])
def test_how_long_tasks_take(given, image, video):
    """Without an option, an image takes 2 seconds and a video 5."""
    service = UseApiService(Options("key", Clock(), latency_s=given))
    service.state.put_account(FIRST, 5)
    for path, seconds in (("images/create", image), ("videos/create", video)):
        task = service.state.create(path, ENDPOINTS[path], {"model": "gen4"}, {})
        assert task.ready_at - task.steps[0][0] == pytest.approx(seconds, abs=1e-5)


def test_a_first_account_serves_at_once(useapi):
    """Any e-mail and any password, as the documents of the sandbox say; nothing else is needed."""
    useapi.restart()
    body = {"email": "demo@example.com", "password": "anything", "maxJobs": 5}
    assert useapi.call("POST", "/accounts/demo@example.com", body)[0] == 200
    task = useapi.call("GET", f"/tasks/{useapi.create()[1]['taskId']}")[1]
    assert (task["status"], ":demo@example.com-task:" in task["taskId"]) == ("SUCCEEDED", True)


def test_explore_mode_is_free_and_waits(useapi):
    useapi.faults({"kind": "throttle", "seconds": 3600})
    task_id = useapi.create(exploreMode=True)[1]["taskId"]
    assert useapi.call("GET", f"/tasks/{task_id}")[1]["status"] == "THROTTLED"
    assert useapi.control("ledger")["total"] == {"amount": 0, "unit": "credits"}


@pytest.mark.parametrize("is_nested", [False, True])
def test_both_shapes_of_create_and_read(useapi, is_nested):
    form = "nested" if is_nested else "flat"
    useapi.switch(create_response=form, task_response=form)
    created = useapi.create()[1]
    assert ("taskId" in created, "task" in created) == (not is_nested, is_nested)
    task_id = (created["task"] if is_nested else created)["taskId"]
    task = useapi.call("GET", f"/tasks/{task_id}")[1]
    assert (task["task"] if is_nested else task)["status"] == "SUCCEEDED"


def test_switches_for_tasks(useapi):
    task_id = useapi.create(replyRef="ref-1")[1]["taskId"]
    path = f"/tasks/{task_id}"
    assert useapi.call("GET", path)[1]["replyRef"] == "ref-1"
    useapi.switch(task_list="object", reply_ref_in_tasks=False, metadata="old", delete_response="object")
    (task,) = useapi.call("GET", "/tasks/?offset=0&limit=5")[1]["tasks"]
    assert "replyRef" not in task
    assert set(task["artifacts"][0]["metadata"]) == {"frameRate", "duration", "dimensions"}
    useapi.switch(metadata="null")
    assert useapi.call("GET", path)[1]["artifacts"][0]["metadata"] is None
    assert useapi.call("DELETE", path)[0] == 200
    assert useapi.call("GET", path)[0] == 404


@pytest.mark.parametrize(("reading", "slots"), [("record", 1), ("cancel", 0)])
def test_deleting_a_running_task(useapi, reading, slots):
    useapi.switch(delete_task=reading)
    hold(useapi)
    task_id = useapi.create()[1]["taskId"]
    assert useapi.call("DELETE", f"/tasks/{task_id}")[0] == 204
    assert len(useapi.call("GET", "/scheduler")[1]) == slots


def test_stopping_the_scheduler_frees_a_slot_and_leaves_the_task(useapi):
    useapi.add_account(max_jobs=1)
    hold(useapi)
    task_id = useapi.create(replyRef="mine")[1]["taskId"]
    assert useapi.create()[0] == 429
    assert useapi.call("GET", "/scheduler")[1] == [{"taskId": task_id, "replyUrl": None, "replyRef": "mine"}]
    assert useapi.call("DELETE", f"/scheduler/{task_id}")[0] == 204
    assert useapi.call("GET", f"/tasks/{task_id}")[0] == 200
    assert useapi.create()[0] == 200


def test_results_expire_if_a_switch_is_set():
    """A finished task answers 410 after its retention."""
    service = UseApiService(Options("key", Clock()))
    service.state.put_account(FIRST, 5)
    task = service.state.create("videos/create", ENDPOINTS["videos/create"], {"model": "gen4"}, {})
    service.set_behaviour({"retention_s": 3600})
    assert service.state.task(task.id) is task
    task.steps = [(time - 3601, status) for time, status in task.steps]
    with pytest.raises(Refused) as refused:
        service.state.task(task.id)
    assert refused.value.status == 410


def test_results_are_real_media_behind_signed_links(useapi):
    asset = useapi.upload()[1]["assetId"]
    kinds = {"/videos/create": "mp4", "/images/create": "png"}
    for path, extension in kinds.items():
        task_id = useapi.create(path, model="gen4", text_prompt="a ship", imageAssetId1=asset, aspect_ratio="1:1")[1][
            "taskId"
        ]
        (artifact,) = useapi.call("GET", f"/tasks/{task_id}")[1]["artifacts"]
        status, headers, body = send("GET", artifact["url"], b"", "none")
        assert (status, artifact["filename"].endswith(extension)) == (200, True)
        assert artifact["fileSize"] == str(len(body))
        image = decode_first_frame(body)[0] if extension == "mp4" else Image.open(io.BytesIO(body))
        assert image.size == (artifact["metadata"]["width"], artifact["metadata"]["height"])
        assert image.width == image.height
        assert send("GET", artifact["url"].partition("?")[0], b"", "none")[0] == 403


def test_credits_are_charged_and_end_with_412(useapi):
    useapi.switch(plan_credits=30)
    assert useapi.create(duration=5)[0] == 200
    features = useapi.call("GET", "/features/")[1]
    assert (features["permitted"]["numPlanCredits"], features["used"]["numPlanCredits"]) == (30, 25)
    assert useapi.create(duration=5)[0] == 412
    assert [charge["amount"] for charge in useapi.control("ledger")["charges"]] == [25]


# --- assets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("media_type", "form", "status"), [
    ("image/webp", "refuse", 400), ("image/webp", "convert", 200), ("image/jpeg", "refuse", 200),
])  # fmt: skip
def test_webp(useapi, media_type, form, status):
    """The documents list no WebP. Declared as JPEG, as the vendor advises, it is accepted and converted."""
    useapi.switch(webp=form)
    response_status, asset = useapi.upload(content=png("WEBP"), media_type=media_type)
    assert response_status == status, asset
    if status == 200:
        assert send("GET", asset["url"], b"", "none")[2][:3] == b"\xff\xd8\xff"


@pytest.mark.parametrize(("content", "media_type"), [
    (b"no image", "image/png"), (b"no video", "video/mp4"), (b"", "image/png"), (b"x", "text/plain"),
])  # fmt: skip
def test_files_of_another_type_are_refused(useapi, content, media_type):
    assert useapi.upload(content=content, media_type=media_type)[0] == 400


def test_sizes_of_uploads(useapi):
    path = "/assets/?name=a&duration=3.5&width=10&height=20"
    asset = useapi.call("POST", path, b"sound", **{"Content-Type": "audio/wav"})[1]
    assert asset["metadata"] == {"duration": 3.5, "width": 10, "height": 20}
    assert useapi.call("POST", "/assets/?name=a&width=wide", b"x", **{"Content-Type": "audio/wav"})[0] == 400
    assert useapi.call("POST", "/assets/?name=a&width=nan", b"x", **{"Content-Type": "audio/wav"})[0] == 400
    useapi.switch(max_upload_bytes=3)
    assert useapi.call("POST", path, b"sound", **{"Content-Type": "audio/wav"})[0] == 400
    assert len(useapi.call("GET", "/assets/?offset=0&limit=50&mediaType=audio")[1]) == 1


# --- calls without a task ---------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["array", "object", "elevenlabs"])
def test_forms_of_voices(useapi, form):
    """Each voice has a sample that can be decoded."""
    useapi.switch(voices=form)
    body = useapi.call("GET", "/lipsync/voices/")[1]
    voice = (body if form == "array" else body["voices"])[0]
    url = voice["preview_url" if form == "elevenlabs" else "previewUrl"]
    status, headers, sound = send("GET", url, b"", "none")
    assert (status, headers["content-type"]) == (200, "audio/mpeg")
    with av.open(io.BytesIO(sound)) as container:
        assert next(container.decode(audio=0)) is not None


def test_voices_need_an_email_if_there_are_several_accounts(useapi):
    useapi.add_account(THIRD)
    assert useapi.call("GET", "/lipsync/voices")[0] == 400
    assert useapi.call("GET", f"/lipsync/voices?email={THIRD}")[0] == 200


@pytest.mark.parametrize("form", ["text", "segments", "array"])
def test_forms_of_transcripts(useapi, form):
    useapi.switch(transcript=form)
    path = "/assets/?name=speech&duration=4"
    asset = useapi.call("POST", path, b"sound", **{"Content-Type": "audio/wav"})[1]["assetId"]
    body = useapi.call("GET", f"/transcribe/?assetId={asset}&language=de")[1]
    text, segments = "This is speech. The language is de.", [
        {"start": 0.0, "end": 2.0, "text": "This is speech."}, {"start": 2.0, "end": 4.0, "text": "The language is de."},
    ]  # fmt: skip
    assert body == {"text": {"text": text}, "segments": {"text": text, "segments": segments}, "array": segments}[form]


def test_the_upscaler_returns_the_bytes_of_an_image(useapi):
    """Only the sandbox's own files are fetched, and the sizes are checked."""
    url = urllib.parse.quote(useapi.upload()[1]["url"], safe="")
    status, headers, body = useapi.raw("GET", f"/image_upscaler/?image_url={url}&width=256&height=144")
    assert (status, headers["content-type"]) == (200, "image/png")
    assert Image.open(io.BytesIO(body)).size == (256, 144)
    for size in (
        "width=256",
        "width=0&height=9",
        "width=9&height=4097",
        "width=9&height=nine",
        "width=9&height=" + "9" * 5000,
    ):
        assert useapi.raw("GET", f"/image_upscaler/?image_url={url}&{size}")[0] == 400
    sound = useapi.call("POST", "/assets/?name=a", b"sound", **{"Content-Type": "audio/wav"})[1]["url"]
    for other in ("https://example.com/a.png", "http://[", sound, f"{useapi.url}/files/{FIRST}.png"):
        quoted = urllib.parse.quote(other, safe="")
        assert useapi.raw("GET", f"/image_upscaler/?image_url={quoted}&width=8&height=8")[0] == 400
    useapi.control("reset")
    assert useapi.raw("GET", f"/image_upscaler/?image_url={url}&width=8&height=8")[0] == 404  # no account
    useapi.add_account()
    assert useapi.raw("GET", f"/image_upscaler/?image_url={url}&width=8&height=8")[0] == 400  # the file is deleted


def test_a_switch_restores_the_preview_of_prompts(useapi):
    """It returned a URL and a seed, and 403 for a moderated prompt."""
    useapi.switch(preview="active")
    status, body = useapi.call("GET", "/text_to_image_preview/?text_prompt=a%20ship")
    assert (status, set(body)) == (200, {"url", "seed"})
    assert Image.open(io.BytesIO(send("GET", body["url"], b"", "none")[2])).format == "PNG"
    assert useapi.call("GET", "/text_to_image_preview/")[0] == 400
    useapi.faults({"kind": "moderate", "on": "text_to_image_preview"})
    assert useapi.call("GET", "/text_to_image_preview/?text_prompt=x")[0] == 403


def test_usage_appears_late_in_two_forms(useapi):
    """Calls are counted by day, endpoint and status; those with a wrong token are not."""
    useapi.create()
    useapi.create(model=None)
    useapi.call("GET", "/accounts", token="user:1-other")
    assert useapi.call("GET", "//v2/account/stats") == (200, {})
    useapi.switch(stats_lag_s=0)
    counts = {}
    for endpoints in useapi.call("GET", "//v2/account/stats")[1].values():  # midnight may have passed
        for endpoint, statuses in endpoints.items():
            for status, count in statuses.items():
                counts[endpoint, status] = counts.get((endpoint, status), 0) + count
    create = "POST /v1/runwayml/videos/create"
    assert (counts[create, "200"], counts[create, "400"], counts["GET /v2/account/stats", "200"]) == (1, 1, 1)
    assert "GET /v1/runwayml/accounts" not in {endpoint for endpoint, _ in counts}
    useapi.switch(stats="rows")
    rows = useapi.call("GET", "//v2/account/stats")[1]["stats"]
    assert sum(row["count"] for row in rows if (row["endpoint"], row["status"]) == (create, 400)) == 1
    assert set(rows[0]) == {"date", "endpoint", "status", "count"}


# --- faults -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("when", "accepted"), [("before_accept", 0), ("after_accept", 1), ("mid_body", 1)])
def test_broken_connections(useapi, when, accepted):
    """Before acceptance nothing is charged. Afterwards the task exists, and is found by its replyRef."""
    useapi.faults({"kind": "cut", "when": when})
    status, headers, body = useapi.raw("POST", "/videos/create", b'{"model": "gen4", "replyRef": "lost"}')
    assert status == 0
    assert (len(body) > 0) == (when == "mid_body")
    listed = useapi.call("GET", "/tasks/?offset=0&limit=5")[1]
    assert [task["replyRef"] for task in listed] == ["lost"] * accepted
    assert len(useapi.control("ledger")["charges"]) == accepted


@pytest.mark.parametrize(("fault", "status"), [
    ({"kind": "busy"}, 429), ({"kind": "no_credits"}, 412), ({"kind": "moderate"}, 422), ({"kind": "expire_session"}, 596),
    ({"kind": "refuse", "status": 503, "message": "Try later."}, 503), ({"kind": "html"}, 502),
])  # fmt: skip
def test_refusals_before_acceptance_charge_nothing(useapi, fault, status):
    useapi.faults(fault)
    response = useapi.raw("POST", "/videos/create", b'{"model": "gen4"}')
    assert response[0] == status
    assert response[2].startswith(b"<html>") if fault["kind"] == "html" else json.loads(response[2])["code"] == status
    assert useapi.control("ledger")["charges"] == []


def test_busy_may_state_its_delay(useapi):
    useapi.faults({"kind": "busy", "retry_after_s": 2.5})
    assert useapi.raw("POST", "/videos/create", b'{"model": "gen4"}')[1]["retry-after"] == "2.5"


def test_faults_of_polls(useapi):
    task_id = useapi.create()[1]["taskId"]
    useapi.faults({"kind": "html", "on": "tasks", "status": 524}, {"kind": "slow", "on": "tasks", "seconds": 0.01})
    assert useapi.raw("GET", f"/tasks/{task_id}")[0] == 524
    assert useapi.raw("GET", f"/tasks/{task_id}")[0] == 200


@pytest.mark.parametrize("form", ["string", "object", "null"])
def test_late_moderation(useapi, form):
    useapi.switch(failure=form)
    useapi.faults({"kind": "fail", "message": "Moderated late."})
    task = useapi.call("GET", f"/tasks/{useapi.create()[1]['taskId']}")[1]
    as_object = {"errorMessage": "Moderated late.", "reason": "SAFETY.INPUT.TEXT"}
    errors = {"string": "Moderated late.", "object": as_object, "null": None}
    assert (task["status"], task["artifacts"], task["error"]) == ("FAILED", [], errors[form])


def test_success_without_artifacts(useapi):
    useapi.faults({"kind": "no_artifacts"})
    task = useapi.call("GET", f"/tasks/{useapi.create()[1]['taskId']}")[1]
    assert (task["status"], task["artifacts"]) == ("SUCCEEDED", [])


@pytest.mark.parametrize("kind", ["expire", "truncate", "drop", "bomb"])
def test_faults_of_files(useapi, kind):
    useapi.faults({"kind": kind})
    (artifact,) = useapi.call("GET", f"/tasks/{useapi.create()[1]['taskId']}")[1]["artifacts"]
    status, _, body = send("GET", artifact["url"], b"", "none")
    assert status == {"expire": 404, "truncate": 200, "drop": 0, "bomb": 200}[kind]
    assert len(body) != int(artifact["fileSize"])


def test_unknown_faults_and_switches_are_refused():
    service = UseApiService(Options("key", Clock()))
    for script in ('{"kind": "odd"}', '{"kind": "cut", "when": "later"}', '{"kind": "login", "reason": "other"}'):
        with pytest.raises(ValueError):
            service.faults.load(script)
    for values in ({"unknown": 1}, {"metadata": "other"}, {"parallel_jobs": True}, {"parallel_jobs": -1}):
        with pytest.raises(ValueError):
            service.set_behaviour(values)
    assert service.state.behaviour == Behaviour()


# --- callbacks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reading", "posts"), [("every", 2), ("final", 1)])
def test_callbacks_follow_the_changes(useapi, reading, posts):
    """Each change is posted with the task as it is by then: RUNNING and the end, or the end only."""
    useapi.switch(callbacks=reading)
    useapi.faults({"kind": "latency", "seconds": 0.5})
    with callbacks() as receiver:
        task_id = useapi.create(replyUrl=f"{receiver.url}/token?x=1", replyRef="mine")[1]["taskId"]
        received = [receiver.next() for _ in range(posts)]
        assert receiver.received.empty()
    assert {path for path, _ in received} == {"/token?x=1"}
    assert {(body["taskId"], body["replyRef"]) for _, body in received} == {(task_id, "mine")}
    statuses = [body["status"] for _, body in received]
    assert statuses[-1] == "SUCCEEDED"
    assert set(statuses) <= {"RUNNING", "SUCCEEDED"}  # a post that is late reports the newer status


def test_a_switch_turns_callbacks_off(useapi):
    useapi.switch(callbacks="none")
    with callbacks() as receiver:
        useapi.create(replyUrl=f"{receiver.url}/none")
        useapi.switch(callbacks="every")
        useapi.create(replyUrl=f"{receiver.url}/every")
        assert receiver.next()[0] == "/every"


def test_callbacks_are_repeated_without_redirects(useapi):
    """The default callback of the platform account is used; a refused one is posted again, at most three times."""
    with callbacks([307, 500]) as receiver:
        useapi.call("POST", "//v2/account", {"replyUrl": f"{receiver.url}/default"})
        useapi.create()
        assert [receiver.next()[0] for _ in range(3)] == ["/default"] * 3
        assert receiver.received.empty()


def test_callbacks_may_be_double_or_missing(useapi):
    with callbacks() as receiver:
        useapi.faults({"kind": "mute"}, {"kind": "double", "skip": 1})
        useapi.create(replyUrl=f"{receiver.url}/muted")
        useapi.create(replyUrl=f"{receiver.url}/double")
        assert [receiver.next()[0] for _ in range(2)] == ["/double"] * 2


@pytest.mark.parametrize("url", ["http://192.0.2.1/x", "file:///etc/passwd", "no url", "http://127.0.0.1:1/x"])
def test_callbacks_stay_on_this_machine(url):
    """Another machine is never called, and a receiver that is not there is given up after three attempts."""
    assert not asyncio.run(post_callback(url, {}, Clock(time_scale=1000)))


def test_every_create_call_has_a_product():
    assert {endpoint.product for endpoint in ENDPOINTS.values()} == {"image", "video"}


def test_no_candidate_with_capacity_is_refused_with_429():
    balancer = Balancer(random.Random(0), lambda _: 1)
    with pytest.raises(Refused) as refused:
        balancer.choose([Account(FIRST, 1, 0.0)], request_max_jobs=None, replaces=False, broken_status=596)
    assert refused.value.status == 429


# --- state ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def running(*arguments):
    sandbox = UseApiSandbox(*arguments)
    try:
        yield sandbox
    finally:
        sandbox.process.kill()  # nothing is written at the end


def kept_in(tmp_path):
    return ("--state-dir", str(tmp_path / "state"), "--key-file", str(tmp_path / "key"))


def until(is_so):
    for _ in range(3000):
        if is_so():
            return
        time.sleep(0.01)
    raise AssertionError


def test_state_outlives_the_process(tmp_path):
    """Accounts, tasks, assets, the scheduler, the ledger and the files are those of before, and ids stay unique."""
    lists = ("/accounts", f"/tasks/?offset=0&limit=9&email={FIRST}", f"/assets/?offset=0&limit=9&email={FIRST}",
             "/scheduler", "//v2/account", f"/features/?email={FIRST}")  # fmt: skip

    def seen(useapi):
        return [useapi.call("GET", path)[1] for path in lists] + [useapi.control("ledger")]

    def without_ports(content):
        return re.sub(r"127\.0\.0\.1:\d+", "", json.dumps(content))

    with running(*kept_in(tmp_path)) as first:
        for email in (FIRST, SECOND, THIRD):
            first.add_account(email)
        first.call("POST", "//v2/account", {"name": "Ada"})
        first.faults({"kind": "expire_session"})
        assert first.create(email=SECOND)[0] == 596
        assert first.call("DELETE", f"/accounts/{THIRD}")[0] == 204
        image, deleted = (first.upload()[1]["assetId"] for _ in range(2))
        assert first.call("DELETE", f"/assets/{deleted}")[0] == 204
        done = first.create(imageAssetId1=image, replyRef="mine")[1]["taskId"]
        video = first.call("GET", f"/tasks/{done}")[1]["artifacts"][0]
        body = send("GET", video["url"], b"", "none")[2]
        upscaled = first.create("/videos/upscale", videoAssetId=video["assetId"])[1]["taskId"]
        assert first.call("DELETE", f"/tasks/{upscaled}")[0] == 204
        hold(first)
        held, untracked = (first.create(email=FIRST)[1]["taskId"] for _ in range(2))
        assert first.call("DELETE", f"/scheduler/{untracked}")[0] == 204
        before = seen(first)
    with running(*kept_in(tmp_path)) as second:
        assert without_ports(seen(second)) == without_ports(before)
        assert [task["taskId"] for task in second.call("GET", "/scheduler")[1]] == [held]
        (again,) = second.call("GET", f"/tasks/{done}")[1]["artifacts"]
        assert again["fileSize"] == str(len(body))
        assert send("GET", again["url"], b"", "none")[2] == body
        assert second.call("GET", f"/tasks/{upscaled}")[0] == 404
        created = second.create(email=FIRST, imageAssetId1=image)[1]["taskId"]
        assert created not in {done, upscaled, held, untracked}
        second.control("reset")
    with running(*kept_in(tmp_path)) as third:
        assert third.raw("GET", "/accounts")[0] == 404
        assert third.control("ledger")["charges"] == []


def test_a_damaged_journal_leaves_the_rest(tmp_path, capfd):
    """Lines that cannot be read or applied are left out, and the damaged file is kept."""
    with running(*kept_in(tmp_path)) as first:
        first.add_account()
        image = first.upload()[1]["assetId"]
        lost, kept = (first.create(imageAssetId1=image)[1]["taskId"] for _ in range(2))
    folder = tmp_path / "state" / "useapi"
    journal = folder / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    assert [json.loads(line)["op"] for line in lines] == ["begin", "account", "asset", "task", "task"]
    (folder / "uploads" / f"{image.rpartition(':')[2]}.png").unlink()
    journal.write_text("".join([*lines[:3], '{"op": "delete_asset", "id": "x"}\n', "[1]\n", lines[4], '{"op": "ta']))
    with running(*kept_in(tmp_path)) as second:
        assert [second.call("GET", f"/tasks/{task_id}")[0] for task_id in (lost, kept)] == [404, 200]
        assert second.call("GET", f"/assets/{image}")[0] == 404
        assert len(second.control("ledger")["charges"]) == 1
        assert second.create()[1]["taskId"] not in {lost, kept}
    assert "4 of 7 lines are unreadable and left out" in capfd.readouterr().err
    assert len(list(folder.glob("journal.damaged-*.jsonl"))) == 1


def test_ids_of_a_journal_that_is_lost_are_not_drawn_again(tmp_path):
    """A client may still have them in its log. In an empty folder, the seed repeats them."""

    def first_id():
        with running(*kept_in(tmp_path)) as useapi:
            useapi.add_account()
            return useapi.create()[1]["taskId"]

    lost = first_id()
    journal = tmp_path / "state" / "useapi" / "journal.jsonl"
    journal.write_bytes(b"\x00\xff\n")
    assert first_id() != lost
    journal.unlink()
    assert first_id() == lost


def test_no_secret_is_in_the_state_folder(tmp_path):
    """Neither a password, nor a session token, nor the API token, nor the sandbox's key."""
    with running(*kept_in(tmp_path)) as useapi:
        useapi.switch(password="echoed")
        token = useapi.add_account()["jwt"]["token"]
        assert (
            useapi.call("POST", f"/accounts/{FIRST}", {"email": FIRST, "password": "open-sesame", "maxJobs": 5})[0]
            == 200
        )
        useapi.upload()
        useapi.create(replyRef="mine")
        secrets = (
            "wonder-wall",
            "open-sesame",
            token,
            useapi.token,
            useapi.token.partition("-")[2],
            useapi.process.api_key,
        )
    kept = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert len(kept) == 2
    for secret in secrets:
        assert all(secret.encode() not in path.read_bytes() for path in kept)


def test_callbacks_outlive_the_process(tmp_path):
    """A change that came while no process ran is posted at the start, and one that was posted is not repeated."""
    with callbacks() as receiver:
        with running(*kept_in(tmp_path)) as first:
            first.add_account()
            first.create(replyUrl=f"{receiver.url}/done", replyRef="done")
            assert receiver.next()[1]["replyRef"] == "done"
            journal = tmp_path / "state" / "useapi" / "journal.jsonl"
            until(lambda: '"posted"' in journal.read_text().splitlines()[-1])
            hold(first)
            pending = first.create(replyUrl=f"{receiver.url}/pending")[1]["taskId"]
        lines = [json.loads(line) for line in journal.read_text().splitlines()]
        for event in lines:
            if event["op"] == "task" and event["task"]["reply_ref"] is None:
                event["task"]["steps"] = [[at - 7200, status] for at, status in event["task"]["steps"]]
        journal.write_text("".join(json.dumps(event) + "\n" for event in lines))
        with running(*kept_in(tmp_path)):
            path, body = receiver.next()
        assert (path, body["taskId"], body["status"]) == ("/pending", pending, "SUCCEEDED")
        assert receiver.received.empty()


def test_a_folder_that_cannot_be_used_is_reported(tmp_path, capfd):
    """Uploads are then kept in memory only."""
    with running(*kept_in(tmp_path)) as useapi:
        useapi.add_account()
        shutil.rmtree(tmp_path / "state" / "useapi" / "uploads")
        assert useapi.upload()[0] == 200
        assert useapi.create()[0] == 200
    assert capfd.readouterr().err.count("cannot be used") == 1


def test_every_switch_and_fault_is_described():
    """The docstring of the switches and the table of faults are what the documentation refers to."""
    for switch in dataclasses.fields(Behaviour):
        assert f"    {switch.name}: " in Behaviour.__doc__, switch.name
    assert all(UseApiService.fault_table.kinds.values())
