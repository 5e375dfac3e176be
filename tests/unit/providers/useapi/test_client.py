"""What the client sends and what it makes of every response, over real sockets to a server that plays canned bytes."""

import asyncio
import contextlib
import http.server
import json
import random
import socket
import threading

import pytest

from runware_nb.errors import (
    ArgumentInvalid,
    AuthenticationFailed,
    ConfigError,
    ContentRefused,
    FateUnknown,
    OutOfCredit,
    ProtocolError,
    ProviderFailed,
    RateLimited,
    TaskError,
    TaskFailed,
    TaskInvalid,
    TaskNotFound,
    TransportError,
    TransportTimeout,
)
from runware_nb.net.clock import Clock
from runware_nb.net.deadlines import now
from runware_nb.net.trace import wire_trace
from runware_nb.providers.useapi.client import UseApi, poll_interval_s, resubmit_delay_s
from tests.contract.test_useapi_examples import CREATE

TOKEN = "user:1234-a1b2c3d4e5f6g7h8i9j0"
EMAIL = "me+tag@example.com"
OWNER = f"user:1234-runwayml:{EMAIL}"
TASK, ASSET = f"{OWNER}-task:0b3b", f"{OWNER}-asset:77aa"
CUT = object()
"""In place of a response: the connection breaks."""


class Canned:
    """A server that plays responses in order, and keeps what it was sent."""

    def __init__(self):
        self.responses, self.seen = [], []
        canned = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def respond(self):
                length = int(self.headers.get("Content-Length") or 0)
                canned.seen.append((self.command, self.path, dict(self.headers), self.rfile.read(length)))
                answer = canned.responses.pop(0) if len(canned.responses) > 1 else canned.responses[0]
                if answer is CUT:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, body, *headers = answer
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in headers[0].items() if headers else ():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def __getattr__(self, name):
                if name.startswith("do_"):
                    return self.respond
                raise AttributeError(name)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def play(self, *responses):
        self.responses, self.seen = list(responses), []

    @property
    def requests(self):
        return [f"{method} {path}" for method, path, _, _ in self.seen]

    @property
    def body(self):
        return json.loads(self.seen[-1][3])

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture(scope="module")
def _server():
    server = Canned()
    yield server
    server.close()


@pytest.fixture
def server(_server):
    _server.play((200, {}))
    return _server


@pytest.fixture
def ask(server):
    """Runs a question to a fresh client in an event loop of its own."""

    def run(question, *responses, token=TOKEN, **options):
        if responses:
            server.play(*responses)

        async def scenario():
            async with UseApi(token, url=server.url, clock=Clock(10_000), rng=random.Random(1), **options) as client:
                return await question(client)

        return asyncio.run(scenario())

    return run


def refused(status, text="Because."):
    return status, {"error": text, "code": status}


# --- construction ---


def test_the_token_comes_from_the_argument_or_the_environment(monkeypatch, server, ask):
    with pytest.raises(ConfigError, match="USEAPI_TOKEN"):
        UseApi()
    monkeypatch.setenv("USEAPI_TOKEN", TOKEN)
    monkeypatch.setenv("RUNWARE_NB_USEAPI_URL", server.url)
    assert UseApi().url == server.url
    ask(lambda client: client.scheduler(), (200, []))
    assert server.seen[0][2]["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("token", ["", "  ", "user:1 2", "user:1\n2"])
def test_an_unusable_token_is_refused_before_anything_is_sent(token):
    with pytest.raises(ConfigError):
        UseApi(token)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.useapi.net",
        "http://192.0.2.7:8000",
        "ftp://127.0.0.1/",
        "https://user@api.useapi.net",
        "https://user:word@api.useapi.net",
        "https://api.useapi.net?a=1",
        "https://api.useapi.net#a",
        "https://",
        "https://[::1/",
        "https://x:port/",
    ],
)
def test_a_token_is_sent_by_https_or_to_this_machine_only(url):
    with pytest.raises(ConfigError, match="Nothing was sent"):
        UseApi(TOKEN, url=url)
    for good in ("https://api.useapi.net/", "http://localhost:5", "http://127.0.0.1:5/", "http://[::1]:5"):
        assert UseApi(TOKEN, url=good).url == good.rstrip("/")


def test_the_token_is_in_no_textual_form(ask):
    async def question(client):
        return repr(client), str(client), repr(vars(client))

    assert not any(TOKEN in text for text in ask(question))


# --- what is sent ---


@pytest.mark.parametrize(
    ("question", "request_line", "response"),
    [
        (lambda c: c.accounts(), "GET /v1/runwayml/accounts", {}),
        (lambda c: c.account(EMAIL), f"GET /v1/runwayml/accounts/{EMAIL}", {}),
        (lambda c: c.delete_account(EMAIL), f"DELETE /v1/runwayml/accounts/{EMAIL}", {}),
        (lambda c: c.task(TASK), f"GET /v1/runwayml/tasks/{TASK}", {"taskId": TASK}),
        (lambda c: c.tasks(), "GET /v1/runwayml/tasks/?offset=0&limit=100", []),
        (lambda c: c.tasks(EMAIL, statuses="FAILED,RUNNING", limit=5),
         "GET /v1/runwayml/tasks/?offset=0&limit=5&statuses=FAILED%2CRUNNING&email=me%2Btag@example.com", []),
        (lambda c: c.delete_task(TASK), f"DELETE /v1/runwayml/tasks/{TASK}", {}),
        (lambda c: c.scheduler(), "GET /v1/runwayml/scheduler", []),
        (lambda c: c.untrack(TASK), f"DELETE /v1/runwayml/scheduler/{TASK}", {}),
        (lambda c: c.assets(EMAIL, media_type="video"),
         "GET /v1/runwayml/assets/?offset=0&limit=50&mediaType=video&email=me%2Btag@example.com", []),
        (lambda c: c.asset(ASSET), f"GET /v1/runwayml/assets/{ASSET}", {"assetId": ASSET}),
        (lambda c: c.delete_asset(ASSET), f"DELETE /v1/runwayml/assets/{ASSET}", {}),
        (lambda c: c.describe_image(ASSET), f"GET /v1/runwayml/frames/describe/{ASSET}", {"prompt": "a ship"}),
        (lambda c: c.features(), "GET /v1/runwayml/features/", {}),
        (lambda c: c.features(EMAIL), "GET /v1/runwayml/features/?email=me%2Btag@example.com", {}),
        (lambda c: c.platform_account(), "GET /v2/account", {}),
        (lambda c: c.set_platform_account(reply_url="https://x/y"), "POST /v2/account", {}),
    ],
)  # fmt: skip
def test_each_call_has_the_documented_form(server, ask, question, request_line, response):
    ask(question, (200, response))
    assert server.requests == [request_line]
    assert server.seen[0][2]["Authorization"] == f"Bearer {TOKEN}"


def test_an_account_is_saved_with_all_fields_and_one_email_in_path_and_body(server, ask):
    ask(lambda c: c.save_account(EMAIL, "wonder-wall", 7), (200, {"email": EMAIL, "maxJobs": 7}))
    assert server.requests == [f"POST /v1/runwayml/accounts/{EMAIL}"]
    assert server.body == {"email": EMAIL, "password": "wonder-wall", "maxJobs": 7}
    ask(lambda c: c.save_account(EMAIL, "wonder-wall"))
    assert server.body["maxJobs"] == 5


@pytest.mark.parametrize(
    "arguments",
    [
        ("a b@x.org", "p", 5),
        ("a/b@x.org", "p", 5),
        (EMAIL, "p", True),
        (EMAIL, "p", 5.0),
        (EMAIL, "p", "5"),
        (EMAIL, "p", 11),
        (EMAIL, "", 5),
    ],
)
def test_arguments_that_cannot_be_sent_are_refused_before_any_request(server, ask, arguments):
    with pytest.raises(ArgumentInvalid):
        ask(lambda c: c.save_account(*arguments))
    assert server.seen == []


@pytest.mark.parametrize(("source", "path", "body"), CREATE)
def test_every_example_of_the_documents_is_sent_as_it_is_written(server, ask, source, path, body):
    body = {name: ASSET if str(value).startswith("<") else value for name, value in body.items()}
    task = ask(lambda c: c.create(path, **body), (200, {"taskId": TASK}))
    assert server.requests == [f"POST /v1/runwayml/{path}"]
    reference = server.body["replyRef"]
    assert server.body == {**body, "replyRef": reference}
    assert len(reference) == 36
    assert task.task_id == TASK


def test_the_three_unified_calls_have_functions(server, ask):
    created = (200, {"taskId": TASK})
    ask(lambda c: c.videos_create("gen4", "a ship", duration=5, email=EMAIL), created)
    assert (server.requests[0], server.body["email"]) == ("POST /v1/runwayml/videos/create", EMAIL)
    ask(lambda c: c.images_create("nano-banana", "a cat", replyRef="mine"), created)
    assert (server.requests[0], server.body["replyRef"]) == ("POST /v1/runwayml/images/create", "mine")
    ask(lambda c: c.frames_create("a cat", num_images=4), created)
    assert server.body.keys() == {"text_prompt", "num_images", "replyRef"}


@pytest.mark.parametrize(
    "body",
    [
        {"imageAssetId1": ASSET, "imageAssetId2": "user:1-runwayml:you@example.com-asset:b"},
        {"imageAssetId1": ASSET, "email": "you@example.com"},
        {"maxJobs": True}, {"maxJobs": 0}, {"maxJobs": "5"}, {"replyUrl": "x" * 1025}, {"replyRef": "x" * 1025},
        {"email": "a b@example.com"}, {"duration": 7}, {"seed": float("nan")},
    ],
)  # fmt: skip
def test_a_task_that_the_service_would_refuse_is_not_sent(server, ask, body):
    with pytest.raises((TaskInvalid, ArgumentInvalid)):
        ask(lambda c: c.videos_create("gen4", "a ship", **body))
    assert server.seen == []


def test_unchecked_values_that_are_no_json_are_not_sent(server, ask):
    with pytest.raises(TaskInvalid, match="JSON"):
        ask(lambda c: c.create("videos/create", checks=False, model="m", x=float("nan")))
    with pytest.raises(ArgumentInvalid):
        ask(lambda c: c.create("../v2/account", checks=False, model="m"))
    assert server.seen == []


def test_an_upload_is_raw_bytes_with_their_type(server, ask):
    from tests.useapi_sandbox import png

    content = png()
    ask(lambda c: c.upload(content, email=EMAIL, name="a b&c", duration_s=5.5, width=640), (200, {"assetId": ASSET}))
    method, path, headers, body = server.seen[0]
    assert path == "/v1/runwayml/assets/?name=a%20b%26c&duration=5.5&width=640&email=me%2Btag@example.com"
    assert (method, headers["Content-Type"], body) == ("POST", "image/png", content)
    ask(lambda c: c.upload(png("WEBP")), (200, {"assetId": ASSET}))
    assert server.seen[0][2]["Content-Type"] == "image/jpeg"
    assert server.seen[0][3].startswith(b"\xff\xd8\xff")
    assert ".jpg" in server.seen[0][1]


def test_files_are_fetched_without_the_token(server, ask):
    assert ask(lambda c: c.download(f"{server.url}/file?sig=1"), (200, b"bytes")) == b"bytes"
    assert "Authorization" not in server.seen[0][2]


# --- the fate of a create call ---

CREATE_ONE = staticmethod(lambda c: c.videos_create("gen4", "a ship", replyRef="ref-1")).__func__


@pytest.mark.parametrize("body", [{"taskId": TASK}, {"task": {"taskId": TASK}, "code": 200}])
@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_2xx_with_a_task_id_is_accepted_in_both_forms(ask, status, body):
    assert ask(CREATE_ONE, (status, body)).task_id == TASK


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (refused(400), TaskInvalid), (refused(401, "Unauthorized"), AuthenticationFailed), (refused(402), OutOfCredit),
        (refused(403), TaskFailed), (refused(404), TaskInvalid), (refused(409), TaskFailed), (refused(412), OutOfCredit),
        (refused(422), ContentRefused), (refused(429), RateLimited), (refused(596), TaskFailed),
        ((403, b"<html>gateway</html>"), TaskFailed), ((404, b""), TaskFailed), ((413, b"too large"), TaskFailed),
    ],
)  # fmt: skip
def test_a_refusal_is_an_error_and_nothing_is_sent_again(server, ask, response, kind):
    with pytest.raises(TaskError) as raised:
        ask(CREATE_ONE, response)
    assert type(raised.value) is kind
    assert raised.value.may_have_arrived is False
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "response",
    [
        CUT, (200, {"id": "bare"}), (200, b"<html>"), (200, b""), (302, b"", {"Location": "/elsewhere"}),
        (408, b""), (409, b"odd"), (425, b""), (429, b"<html>slow down</html>"), (499, b""),
        (500, b""), (502, b"<html>bad gateway</html>"), (503, b""), (524, b""), (596, b""),
        refused(500), refused(502), refused(504), refused(408),
    ],
)  # fmt: skip
def test_a_response_that_proves_nothing_leaves_the_fate_unknown_and_nothing_is_sent_again(server, ask, response):
    with pytest.raises(FateUnknown, match=r"ref-1.*may have been accepted and charged.*not sent again") as raised:
        ask(CREATE_ONE, response)
    assert raised.value.may_have_arrived
    assert len(server.seen) == 1


def test_a_response_that_is_too_large_leaves_the_fate_unknown(server, ask, monkeypatch):
    monkeypatch.setattr("runware_nb.providers.useapi.client._MAX_BYTES", 100)
    with pytest.raises(FateUnknown):
        ask(CREATE_ONE, (200, {"taskId": TASK, "name": "x" * 200}))


def test_a_task_that_did_not_leave_is_proven_not_to_be_sent(ask):
    async def question(_):
        async with UseApi(TOKEN, url="http://127.0.0.1:9") as client:
            await CREATE_ONE(client)

    with pytest.raises(TransportError) as raised:
        ask(question)
    assert not isinstance(raised.value, FateUnknown)
    assert raised.value.may_have_arrived is False


def test_no_response_in_time_leaves_the_fate_unknown():
    with socket.create_server(("127.0.0.1", 0)) as silent:

        async def scenario():
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            async with UseApi(TOKEN, url=url, timeout_s=0.3) as client:
                await CREATE_ONE(client)

        with pytest.raises(FateUnknown, match="did not respond"):
            asyncio.run(scenario())


# --- reads ---


@pytest.mark.parametrize("body", [b"", b"Account not found.", b'{"error": "Not found.", "code": 404}', b"<html>"])
def test_a_404_of_any_form_means_that_it_does_not_exist(ask, body):
    not_found = (404, body)
    assert ask(lambda c: c.accounts(), not_found) == []
    for question in (lambda c: c.account(EMAIL), lambda c: c.task(TASK), lambda c: c.asset(ASSET)):
        with pytest.raises(TaskNotFound):
            ask(question, not_found)
    for question in (
        lambda c: c.delete_account(EMAIL),
        lambda c: c.delete_task(TASK),
        lambda c: c.untrack(TASK),
        lambda c: c.delete_asset(ASSET),
    ):
        assert ask(question, not_found) is False


@pytest.mark.parametrize(
    "response", [(204, b""), (200, {"account": EMAIL, "deleted": True, "remaining": 0}), (200, b"")]
)
def test_any_2xx_of_a_deletion_is_a_success(ask, response):
    assert ask(lambda c: c.delete_account(EMAIL), response) is True


def test_an_account_is_read_from_200_and_201(ask):
    for status in (200, 201):
        assert ask(lambda c: c.account(EMAIL), (status, {"maxJobs": 3})).max_jobs == 3


@pytest.mark.parametrize("trouble", [CUT, (502, b"<html>"), refused(503), (408, b"")])
def test_a_read_is_repeated_after_trouble(server, ask, trouble):
    assert ask(lambda c: c.task(TASK), trouble, trouble, (200, {"taskId": TASK})).task_id == TASK
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    ("response", "kind"),
    [((502, b"<html>"), ProviderFailed), (refused(401, "Unauthorized"), AuthenticationFailed), ((401, b""), AuthenticationFailed),
     ((402, b""), OutOfCredit), ((429, b""), RateLimited), (refused(596), TaskFailed), ((596, b""), TaskFailed), ((999, b""), ProviderFailed),
     ((410, b""), TaskNotFound)],
)  # fmt: skip
def test_errors_of_reads_have_their_class_with_and_without_a_body(ask, response, kind):
    with pytest.raises(TaskError) as raised:
        ask(lambda c: c.task(TASK), response)
    assert type(raised.value) is kind


def test_writes_are_not_repeated(server, ask):
    for question in (
        lambda c: c.save_account(EMAIL, "wonder-wall"),
        lambda c: c.delete_task(TASK),
        lambda c: c.upload(b"GIF87a" + bytes(9)),
    ):
        with contextlib.suppress(TaskError, TransportError, ProtocolError, Exception):
            ask(question, (502, b""))
        assert len(server.seen) <= 1


@pytest.mark.parametrize("body", [b"<html>", b"", b"null"])
def test_a_200_that_is_not_json_is_an_error_of_the_protocol(ask, body):
    with pytest.raises(ProtocolError):
        ask(lambda c: c.task(TASK), (200, body))


def test_references_are_collected_from_the_scheduler_and_all_pages_of_all_accounts(server, ask):
    page = [{"taskId": f"{OWNER}-task:{n}", "replyRef": f"r{n}"} for n in range(200)]
    last = {"tasks": [{"taskId": f"{OWNER}-task:last", "replyRef": "last"}, {"taskId": f"{OWNER}-task:none"}]}
    found = ask(
        lambda c: c.references(),
        (200, [{"taskId": TASK, "replyRef": "scheduled"}]),
        (200, {EMAIL: {}}),
        (200, page),
        (200, last),
    )
    assert found["scheduled"] == TASK
    assert len(found) == 202
    assert [line.partition("?")[2] for line in server.requests[2:]] == [
        "offset=0&limit=200&email=me%2Btag@example.com", "offset=200&limit=200&email=me%2Btag@example.com",
    ]  # fmt: skip


ACCOUNTS = (200, {"broken@example.com": {}, EMAIL: {}})


def test_an_account_that_cannot_be_listed_hides_no_task_of_another_one(ask):
    scheduler, broken, mine = (200, []), refused(596), (200, [{"taskId": TASK, "replyRef": "mine"}])
    found = ask(lambda c: c.find("mine"), scheduler, ACCOUNTS, broken, mine, (200, {"taskId": TASK}))
    assert found.task_id == TASK
    listing = ask(lambda c: c.listing(), refused(400), ACCOUNTS, broken, mine)
    assert listing.task_ids == {"mine": TASK}
    assert isinstance(listing.failure, TaskInvalid)  # the first one


@pytest.mark.parametrize("question", [lambda c: c.find("other"), lambda c: c.references()])
def test_that_a_task_is_not_listed_is_not_said_after_a_list_that_failed(ask, question):
    scheduler, mine = (200, []), (200, [{"taskId": TASK, "replyRef": "mine"}])
    with pytest.raises(TaskFailed):
        ask(question, scheduler, ACCOUNTS, refused(596), mine)
    with pytest.raises(TaskFailed):
        ask(question, scheduler, refused(596))


@pytest.mark.parametrize("before", [[], [(200, []), ACCOUNTS, (200, [{"taskId": TASK, "replyRef": "mine"}])]])
def test_a_search_ends_where_the_network_does_and_returns_what_it_found(server, ask, before):
    listing = ask(lambda c: c.listing(), *before, CUT, CUT, CUT, (200, []))
    assert isinstance(listing.failure, TransportError)
    assert listing.task_ids == ({"mine": TASK} if before else {})
    assert len(server.seen) == len(before) + 3


def test_a_task_is_found_by_its_reference_or_not_at_all(ask):
    tasks = (200, [{"taskId": TASK, "replyRef": "mine"}])
    assert ask(lambda c: c.find("mine", []), tasks, (200, {"taskId": TASK})).task_id == TASK
    assert ask(lambda c: c.find("other", []), tasks) is None


# --- waiting ---


def states(*found):
    return [(200, {"taskId": TASK, **state}) for state in found]


DONE = {"status": "SUCCEEDED", "artifacts": [{"url": "https://x/y.mp4", "filename": "y.mp4"}]}


def test_a_task_is_polled_until_it_has_ended(server, ask):
    seen = []
    polls = states({"status": "PENDING"}, {"status": "THROTTLED"}, {"status": "NEWS"}, DONE)
    task = ask(lambda c: c.wait(TASK, on_change=lambda task: seen.append(task.status)), *polls)
    assert seen == ["PENDING", "THROTTLED", "NEWS", "SUCCEEDED"]
    assert task.artifacts[0].kind == "video"


def test_trouble_with_a_poll_says_nothing_about_the_task(server, ask):
    trouble = [
        (429, {"error": "slow", "code": 429}, {"Retry-After": "3"}),
        (502, b""),
        (502, b""),
        (502, b""),
        CUT,
        CUT,
        CUT,
        (200, b"<html>"),
    ]
    assert ask(lambda c: c.wait(TASK), *states({"status": "RUNNING"}), *trouble, *states(DONE)).status == "SUCCEEDED"


EMPTY = {"status": "SUCCEEDED", "artifacts": []}
PART = {"status": "SUCCEEDED", "artifacts": [*DONE["artifacts"], {"id": "second", "filename": "z.mp4"}]}


@pytest.mark.parametrize("early", [[EMPTY], [PART], [EMPTY, PART, EMPTY, PART, EMPTY, PART]])
def test_one_early_read_does_not_decide_that_results_do_not_exist(server, ask, early):
    task = ask(lambda c: c.wait(TASK), *states(*early, DONE))
    assert task.is_complete
    assert len(server.seen) == len(early) + 1


@pytest.mark.parametrize("state", [EMPTY, PART])
def test_missing_results_are_waited_for_with_a_few_polls(server, ask, state):
    async def question(client):
        return [task async for task in client.watch(TASK, interval_s=10)]

    seen = ask(question, *states(state))
    assert len(seen) == len(server.seen) == 7
    assert not seen[-1].is_complete


@pytest.mark.parametrize("response", [refused(404), refused(401)])
def test_what_was_read_of_a_task_that_succeeded_is_not_lost_by_a_later_poll(ask, response):
    task = ask(lambda c: c.wait(TASK), *states(PART), response)
    assert [artifact.url for artifact in task.artifacts] == ["https://x/y.mp4", None]
    with pytest.raises((TaskNotFound, AuthenticationFailed)):
        ask(lambda c: c.wait(TASK), *states(EMPTY), response)


def test_at_its_deadline_a_wait_has_the_results_that_were_read(ask):
    wait = {"timeout_s": 0.3, "interval_s": 5000}
    assert len(ask(lambda c: c.wait(TASK, **wait), *states(PART)).artifacts) == 2
    with pytest.raises(TransportTimeout):
        ask(lambda c: c.wait(TASK, **wait), *states(EMPTY))


@pytest.mark.parametrize(
    ("state", "kind"), [({"status": "FAILED", "error": "x"}, TaskFailed), ({"status": "SUCCEEDED"}, TaskFailed)]
)
def test_a_task_without_a_result_is_an_error(ask, state, kind):
    with pytest.raises(kind):
        ask(lambda c: c.wait(TASK), *states(state))


def test_a_wait_ends_at_its_deadline_and_the_task_goes_on(ask):
    began = now()
    with pytest.raises(TransportTimeout, match="goes on at Runway"):
        ask(lambda c: c.wait(TASK, timeout_s=0.3, interval_s=500), *states({"status": "RUNNING"}))
    assert now() - began < 20


@pytest.mark.parametrize(
    ("response", "kind"),
    [(refused(401), AuthenticationFailed), (refused(404), TaskNotFound), (refused(402), OutOfCredit)],
)
def test_a_refused_poll_ends_the_wait(ask, response, kind):
    with pytest.raises(kind):
        ask(lambda c: c.wait(TASK), response)


def test_a_closed_client_sends_nothing_and_its_waits_end(server):
    server.play(*states({"status": "RUNNING"}))

    async def scenario():
        client = UseApi(TOKEN, url=server.url, clock=Clock(100))
        waiting = asyncio.create_task(client.wait(TASK, interval_s=10))
        while not server.seen:
            await asyncio.sleep(0.01)
        await client.aclose()
        with pytest.raises(TransportError, match="closed"):
            await asyncio.wait_for(waiting, 20)
        asked = len(server.seen)
        for question in (client.accounts(), client.videos_create("gen4", "a ship"), client.download(server.url)):
            with pytest.raises(TransportError, match="closed") as raised:
                await question
            assert raised.value.may_have_arrived is False
        assert len(server.seen) == asked

    asyncio.run(scenario())


class SlowServer:
    """A server that answers no create call before it is told to."""

    def __init__(self, response):
        self.has_request, self.may_respond = asyncio.Event(), asyncio.Event()
        self.response = json.dumps(response).encode()

    async def handle(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        self.has_request.set()
        await self.may_respond.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(self.response), self.response))
        await writer.drain()
        writer.close()


def test_a_client_that_closes_waits_for_the_response_of_a_create_call():
    async def scenario():
        slow = SlowServer({"taskId": TASK, "status": "PENDING"})
        async with await asyncio.start_server(slow.handle, "127.0.0.1", 0) as listening:
            client = UseApi(TOKEN, url=f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
            creating = asyncio.create_task(CREATE_ONE(client))
            await slow.has_request.wait()
            closing = asyncio.create_task(client.aclose())
            await asyncio.sleep(0)
            with pytest.raises(TransportError, match="closed"):
                await CREATE_ONE(client)
            assert not closing.done()
            slow.may_respond.set()
            assert (await creating).task_id == TASK
            await closing
        return client

    assert not asyncio.run(scenario())._creating


def test_a_client_that_closes_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr("runware_nb.providers.useapi.client._CLOSING_S", 0.05)

    async def scenario():
        slow = SlowServer({})
        async with await asyncio.start_server(slow.handle, "127.0.0.1", 0) as listening:
            client = UseApi(TOKEN, url=f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
            creating = asyncio.create_task(CREATE_ONE(client))
            await slow.has_request.wait()
            await client.aclose()
            with pytest.raises(FateUnknown):
                await creating
            slow.may_respond.set()

    asyncio.run(scenario())


# --- secrets ---


@pytest.mark.parametrize(
    "response",
    [(200, {"email": EMAIL, "password": "lantern~4711", "jwt": {"token": "session~4711"}}), (400, {"error": "bad lantern~4711", "code": 400}),
     (401, {"error": "Wrong username/password combination: lantern~4711", "code": 401}), (500, b"lantern~4711 session~4711"),
     (200, b'["lantern~4711", "session~4711"]'), (200, b"lantern~4711")],
)  # fmt: skip
def test_no_secret_of_an_account_is_in_an_error_a_value_or_the_wire_trace(ask, response):
    wire_trace.is_on = True
    try:
        texts = []
        for question in (
            lambda c: c.save_account(EMAIL, "lantern~4711"),
            lambda c: c.account(EMAIL),
            lambda c: c.accounts(),
        ):
            try:
                texts.append(repr(ask(question, response)))
            except (TaskError, ProtocolError) as error:
                texts.append(f"{error!r} {error} {error.args} {vars(error)}")
        texts.append(repr(list(wire_trace.frames)))
    finally:
        wire_trace.is_on = False
        wire_trace.frames.clear()
    assert not [text for text in texts if "lantern~4711" in text or "session~4711" in text or TOKEN in text]


def test_a_short_password_is_not_in_an_error_either(ask):
    with pytest.raises(TaskInvalid) as raised:
        ask(lambda c: c.save_account(EMAIL, "cat5"), (400, {"error": "password cat5 is too short", "code": 400}))
    assert "cat5" not in f"{raised.value!r} {raised.value.raw}"


# --- pace ---


def test_polls_and_resubmissions_keep_their_pace():
    assert [poll_interval_s(path) for path in ("images/create", "/frames/create", "videos/create", "gen4/upscale")] == [
        10,
        10,
        20,
        20,
    ]
    first = [poll_interval_s("images/create", polls) for polls in range(8)]
    assert first == [2, 3, 4.5, 6.75, 10, 10, 10, 10]
    assert [poll_interval_s("videos/create", polls) for polls in (0, 5, 6, 999)] == [2, 15.1875, 20, 20]
    assert resubmit_delay_s(1, None, jitter=0.5) == 10
    grown = [resubmit_delay_s(number, None, jitter=0.5) for number in range(1, 40)]
    assert grown == sorted(grown)
    assert grown[-1] == 180
    assert {
        resubmit_delay_s(9, 7, jitter=0.1),
        resubmit_delay_s(1, 0, jitter=0.1),
        resubmit_delay_s(1, 9999, jitter=0),
    } == {7, 1, 180}
    assert resubmit_delay_s(1, None, jitter=0) < resubmit_delay_s(1, None, jitter=0.99)


class NotedClock(Clock):
    """A clock that notes its waits, and hardly waits."""

    def __init__(self):
        super().__init__(100_000)
        self.waits = []

    async def sleep(self, seconds):
        self.waits.append(seconds)
        await super().sleep(seconds)


def test_callbacks_cause_no_more_polls_than_one_in_2_seconds_and_none_after_a_429(server):
    clock, woken = NotedClock(), []

    async def wake(seconds):
        woken.append(seconds)  # a callback is there at once

    async def scenario():
        async with UseApi(TOKEN, url=server.url, clock=clock) as client:
            polls = client.watch(TASK, interval_s=lambda polls: 10.0 + polls, first_s=2.0, sleep=wake)
            return [task async for task in polls]

    server.play(
        *states({"status": "RUNNING"}, {"status": "RUNNING"}), (429, {"error": "slow"}, {"Retry-After": "30"}),
        *states({"status": "RUNNING"}, DONE),
    )  # fmt: skip
    assert len(asyncio.run(scenario())) == 4
    assert clock.waits == [2, 2, 30, 2]
    assert woken == [2, 9, 10, 12]
