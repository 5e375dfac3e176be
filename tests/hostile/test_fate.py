"""Only a response that names a task, or the HTTP response to exactly its request, decides what became of it."""

import asyncio
import contextlib
import json
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runware_nb import Client
from runware_nb.core.retry import refuses_request
from runware_nb.errors import (
    AuthenticationFailed,
    ContentRefused,
    OutOfCredit,
    ProtocolError,
    RateLimited,
    TaskError,
    TaskInvalid,
    TaskNotFound,
    TransportError,
    TransportTimeout,
)
from runware_nb.providers.runware import Router, TrackedAttempt
from runware_nb.providers.runware.attempt import now
from runware_nb.providers.runware.classify import task_error
from runware_nb.providers.runware.fate import Fate, Leaving, SendStarted, Sent, Started
from runware_nb.providers.runware.frames import Frame, parse_frame, split_orphans
from runware_nb.providers.runware.tracker import archived_frame
from runware_nb.settings import Settings
from tests.conftest import TASK

from .fate_server import FateServer, connect, done, error, play, result

OTHER = {"taskUUID": "20000000-0000-4000-8000-000000000000"}
OURS = "10000000-0000-4000-8000-000000000000"
CODES = ["maintenanceSoon", "internalServerError", "rateLimitExceeded", "invalidWidth", "invalidApiKey",
         "insufficientCredits", "contentPolicyViolation", "taskNotFound", "conflictTaskUUID", "timeoutProvider"]  # fmt: skip


@pytest.fixture(autouse=True)
def _quick(request, monkeypatch):
    """Polls follow each other at once, except where their pauses are what is tested."""
    if "flood" not in request.node.name:
        monkeypatch.setattr("runware_nb.providers.runware.fate.poll_delay_s", lambda attempt: 0.02 * (attempt + 1))
        monkeypatch.setattr("runware_nb.providers.runware.fate.first_poll_s", lambda task_type: 0.02)
        monkeypatch.setattr("runware_nb.providers.runware.fate.UNANSWERED_POLL_S", 0.2)
        monkeypatch.setattr("runware_nb.core.retry.backoff_s", lambda attempt, *, jitter: 0.02)


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


# --- pushed errors that name no task ---------------------------------------------------------------


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("scope", [None, OTHER, {"taskUUID": ""}, {"taskUUID": [1]}, {"taskUUID": "no uuid"}], ids=str)
def test_an_error_that_does_not_name_our_task_never_ends_it(code, scope):
    """The result that follows was paid for, and running the cell again would be paid for again."""

    async def work(server):
        server.on_task = lambda task: [error(code, scope)]
        server.on_question = lambda question: [{"data": [result(question, status="processing", imageURL=None)]}]
        async with connect(server) as client:
            running = asyncio.ensure_future(client.run(TASK, timeout_s=20))
            await until(lambda: server.submitted)
            await until(lambda: server.questions or scope is OTHER)
            await server.push(done(server.submitted[0]))
            return await running, server

    outcome, server = play(work)
    assert len(outcome) == 1
    assert not outcome.errors
    assert len(server.submitted) == 1


@pytest.mark.parametrize("code", ["maintenanceSoon", "internalServerError"])
def test_an_error_that_names_no_task_makes_each_task_ask_once(code):
    async def work(server):
        server.on_task = lambda task: []
        server.on_question = lambda question: [done(question)]
        async with connect(server) as client:
            running = [asyncio.ensure_future(client.run(TASK, timeout_s=20)) for _ in range(3)]
            await until(lambda: len(server.submitted) == 3)
            await server.push(error(code))
            outcomes = await asyncio.gather(*running)
        return outcomes, server

    outcomes, server = play(work)
    assert all(len(outcome) == 1 for outcome in outcomes)
    assert sorted(question["taskUUID"] for question in server.questions) == sorted(
        task["taskUUID"] for task in server.submitted
    )


@pytest.mark.parametrize("message", [error("maintenanceSoon"), "garbage {", {"data": [7]}], ids=str)
def test_a_flood_does_not_lead_to_a_flood_of_polls(message):
    async def work(server):
        server.on_task = lambda task: []
        server.on_question = lambda question: [{"data": [result(question, status="processing", imageURL=None)]}]
        async with connect(server) as client:
            running = asyncio.ensure_future(client.run(TASK, timeout_s=20))
            await until(lambda: server.submitted)
            for _ in range(40):
                await server.push(*[message] * 25)
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.1)
            asked = len(server.questions)
            await server.push(done(server.submitted[0]))
            return await running, asked

    outcome, asked = play(work)
    assert len(outcome) == 1
    assert 1 <= asked <= 4


def test_an_error_about_a_utility_concerns_no_task():
    board = Router()
    flight = board.flights[OURS] = flying()
    for task_type in ("ping", "modelSearch", "imageUpload", "videoInference"):
        board.on_frame(parse_frame(json.dumps(error("x", taskType=task_type))))
    assert flight.fate.complaint is None
    board.on_frame(parse_frame(json.dumps(error("x", taskType="getResponse"))))
    assert flight.fate.complaint is not None


def test_a_refusal_without_a_name_is_reported_once_the_service_does_not_know_the_task():
    """Two sends under one UUID, and neither arrived: the error without a name is the likely reason."""

    async def work(server):
        server.on_task = lambda task: [error("invalidWidth")]
        server.on_question = lambda question: [error("taskNotFound", question, taskType=question["taskType"])]
        async with connect(server) as client:
            try:
                await client.run(TASK, timeout_s=20)
            finally:
                assert len({task["taskUUID"] for task in server.submitted}) == 1

    with pytest.raises(TaskInvalid, match="the service says invalidWidth") as caught:
        play(work)
    assert caught.value.may_have_arrived  # the log keeps the run: a rerun joins it, under the same UUID


@pytest.mark.parametrize("code", ["maintenanceSoon", "somethingNew"])
def test_an_announcement_does_not_end_a_task_that_was_lost_twice(code):
    """The service says that it does not know the task: it is sent again, as it would be without the announcement."""

    async def work(server):
        server.on_task = lambda task: [error(code)] if len(server.submitted) < 4 else [done(task)]
        server.on_question = lambda question: [error("taskNotFound", question, taskType=question["taskType"])]
        async with connect(server) as client:
            outcome = await client.run(TASK, timeout_s=25)
        return outcome, {task["taskUUID"] for task in server.submitted}

    outcome, names = play(work)
    assert len(outcome) == 1
    assert len(names) == 1  # under one UUID, so it cannot be charged twice


def test_the_deadline_names_what_the_service_said_last():
    async def work(server):
        server.on_task = lambda task: [error("maintenanceSoon")]
        server.on_question = lambda question: [{"data": [result(question, status="processing", imageURL=None)]},
                                               error("maintenanceSoon")]  # fmt: skip
        async with connect(server) as client:
            await client.run(TASK, timeout_s=1)

    with pytest.raises(TransportTimeout, match="last reported: the service says maintenanceSoon"):
        play(work)


# --- errors about a poll ---------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["websocket", "rest"])
@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("rateLimitExceeded", True), ("internalServerError", True), ("insufficientCredits", True),
        ("rateLimitExceeded", False), ("internalServerError", False), ("insufficientCredits", False),
        ("maintenanceSoon", False),  # an unknown code that names the task is about the task
    ],
)  # fmt: skip
def test_an_error_about_a_poll_is_not_about_the_task(transport, named, code):
    asked = []

    def answer(question):
        asked.append(question)
        refused = error(code, question if named else None, taskType="getResponse")
        return refused if len(asked) == 1 else done(question)

    async def work(server):
        server.on_task = lambda task: [{"data": [{"taskType": task["taskType"], "taskUUID": task["taskUUID"]}]}]
        server.on_question = lambda question: [answer(question)]
        server.on_post = lambda tasks: (
            (429 if len(asked) == 0 else 200, answer(tasks[0]))
            if tasks[0]["taskType"] == "getResponse"
            else (200, server.on_task(tasks[0])[0])
        )
        async with connect(server, transport=transport) as client:
            outcome = await client.run({**TASK, "deliveryMethod": "async"}, timeout_s=20)
        return outcome, server

    outcome, server = play(work)
    assert len(outcome) == 1
    assert len(server.submitted) == 1


@pytest.mark.parametrize("status", [400, 404, 500, 503])
@pytest.mark.parametrize("body", [{"data": []}, error("internalServerError"), error("x", OTHER), b"<html>"], ids=str)
def test_a_poll_that_failed_says_nothing_about_the_task(status, body):
    polls = []

    def respond(tasks):
        if tasks[0]["taskType"] != "getResponse":
            return 200, {"data": [{"taskType": "imageInference", "taskUUID": tasks[0]["taskUUID"]}]}
        polls.append(tasks)
        return (status, body) if len(polls) == 1 else (200, done(tasks[0]))

    async def work(server):
        server.on_post = respond
        async with connect(server, transport="rest") as client:
            return await client.run({**TASK, "deliveryMethod": "async"}, timeout_s=20), server

    outcome, server = play(work)
    assert len(outcome) == 1
    assert len(server.submitted) == 1


def test_a_refused_key_at_a_poll_ends_the_waiting_and_not_the_run():
    def respond(tasks):
        if tasks[0]["taskType"] == "getResponse":
            return 401, error("invalidApiKey")
        return 200, {"data": [{"taskType": "imageInference", "taskUUID": tasks[0]["taskUUID"]}]}

    async def work(server):
        server.on_post = respond
        async with connect(server, transport="rest") as client:
            await client.run({**TASK, "deliveryMethod": "async"}, timeout_s=20)

    with pytest.raises(AuthenticationFailed) as caught:
        play(work)
    assert caught.value.may_have_arrived
    assert caught.value.outcome is None


@pytest.mark.parametrize("kind", ["task", "poll"])
def test_an_item_without_a_name_in_the_response_to_one_request_is_its_item(kind):
    """It was paid for, and nothing else was asked for in that request."""

    def respond(tasks):
        item = {"imageURL": "http://127.0.0.1:1/x.png", "cost": 0.01}
        is_poll = tasks[0]["taskType"] == "getResponse"
        return 200, {"data": [item] if is_poll == (kind == "poll") else []}

    async def work(server):
        server.on_post = respond
        async with connect(server, transport="rest") as client:
            return await client.run(TASK, timeout_s=20), server

    outcome, server = play(work)
    assert [item.cost_usd for item in outcome] == [0.01]
    assert len(server.submitted) == 1


# --- the HTTP response to exactly that request -----------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "is_refusal"),
    [
        (400, "invalidWidth", True), (400, "somethingNew", True), (401, "", True), (402, "", True), (403, "x", True),
        (404, "unknownModel", True), (409, "conflictTaskUUID", True), (429, "", True), (200, "invalidWidth", True),
        (200, "insufficientCredits", True), (200, "promptBlocked", True), (200, "maintenanceSoon", False),
        (200, "internalServerError", False), (408, "", False), (425, "", False), (500, "invalidWidth", False),
        (503, "insufficientCredits", False), (504, "timeoutProvider", False), (500, "", False),
    ],
)  # fmt: skip
def test_which_responses_refuse_a_request_without_naming_its_tasks(status, code, is_refusal):
    assert refuses_request(task_error({"code": code}, http_status=status)) is is_refusal


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, error("invalidWidth"), TaskInvalid), (400, error("somethingNew"), TaskInvalid), (400, {"data": []}, TaskInvalid),
        (401, error("invalidApiKey"), AuthenticationFailed), (402, error("insufficientCredits", OTHER), OutOfCredit),
        (200, error("promptBlocked"), ContentRefused), (404, error("modelNotFound"), TaskNotFound),
    ],
    ids=str,
)  # fmt: skip
def test_a_refusal_of_exactly_this_request_settles_its_task(status, body, expected):
    async def work(server):
        server.on_post = lambda tasks: (status, body)
        async with connect(server, transport="rest") as client:
            try:
                await client.run(TASK, timeout_s=20)
            finally:
                assert len(server.submitted) == 1
                assert not server.questions

    with pytest.raises(expected) as caught:
        play(work)
    assert not caught.value.may_have_arrived


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, error("invalidWidth")), (503, error("insufficientCredits")), (500, {"data": []}), (502, b"<html>bad</html>"),
        (200, error("maintenanceSoon")), (200, error("internalServerError")), (408, error("requestTimeout")),
        (200, error("invalidWidth", OTHER)), (200, b'{"data": [{"taskUU'),
    ],
    ids=str,
)  # fmt: skip
def test_a_response_that_leaves_the_fate_open_makes_the_task_ask(status, body):
    def respond(tasks):
        return (200, done(tasks[0])) if tasks[0]["taskType"] == "getResponse" else (status, body)

    async def work(server):
        server.on_post = respond
        async with connect(server, transport="rest") as client:
            return await client.run(TASK, timeout_s=20), server

    outcome, server = play(work)
    assert len(outcome) == 1
    assert len(server.submitted) == 1
    assert len(server.questions) == 1


def test_a_conflict_without_a_name_in_response_to_a_second_send_means_that_the_first_arrived():
    def respond(tasks):
        task = tasks[0]
        sends = len(server_of[0].submitted)
        if task["taskType"] == "getTaskDetails":
            return 404, error("taskNotFound", task, taskType="getTaskDetails")
        if task["taskType"] == "getResponse":
            return 200, done(task) if sends > 1 else {"data": []}
        return (503, error("serviceUnavailable")) if sends == 1 else (400, error("conflictTaskUUID"))

    server_of = []

    async def work(server):
        server_of.append(server)
        server.on_post = respond
        async with connect(server, transport="rest") as client:
            return await client.run(TASK, timeout_s=20), server

    outcome, server = play(work)
    assert len(outcome) == 1
    assert len({task["taskUUID"] for task in server.submitted}) == 1


@given(st.lists(st.sampled_from([OURS, OTHER["taskUUID"], "", "x", None]), max_size=6), st.integers(1, 2))
def test_splitting_a_response_loses_nothing(names, count):
    tasks = [
        {"taskType": "imageInference", "taskUUID": OURS},
        {"taskType": "caption", "taskUUID": str(uuid.UUID(int=9))},
    ]
    entries = tuple({"code": "x", "taskUUID": name, "n": n} for n, name in enumerate(names))
    frame, orphans = split_orphans(Frame(entries, entries), tasks[:count])
    assert [item["n"] for item in frame.items] == list(range(len(names)))
    assert sorted(entry["n"] for entry in (*frame.errors, *orphans)) == list(range(len(names)))
    assert all(not orphan["taskUUID"] or orphan["taskUUID"] == "x" for orphan in orphans)


# --- archived responses ----------------------------------------------------------------------------

REQUEST = [{"taskType": "imageInference", "taskUUID": OURS}]


@pytest.mark.parametrize(
    ("details", "items", "errors"),
    [
        ({"response": {"data": [{"taskUUID": OURS}]}}, 1, 0),
        ({"response": {"data": [{"taskUUID": OURS}, {**OTHER, "imageURL": "http://x"}]}}, 1, 0),
        ({"response": {"data": [{"imageURL": "http://x"}]}}, 1, 0),
        ({"response": {"data": ["x", 5, None, {"taskUUID": OURS}]}}, 1, 0),
        ({"response": "text"}, 0, 0), ({"response": ["text"]}, 0, 0), ({"response": None}, 0, 0), ({}, 0, 0),
        ({"response": {"data": "text"}}, 0, 0),
        ({"response": {"errors": [{"code": "x", "taskUUID": OURS}, {"code": "x", **OTHER}]}}, 0, 1),
        ({"response": {"errors": [{"code": "x"}]}}, 0, 0),
        ({"response": {"errors": [{"code": "x"}]}, "request": "text"}, 0, 0),
        ({"response": {"errors": [{"code": "x"}]}, "request": REQUEST}, 0, 1),
        ({"response": {"errors": ["text"]}, "request": ["text", {"taskType": "authentication"}, *REQUEST]}, 0, 1),
        ({"response": {"errors": [{"code": "x"}]}, "request": [*REQUEST, OTHER]}, 0, 0),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_only_what_the_archive_states_about_this_task_counts(details, items, errors):
    frame = archived_frame(details, OURS)
    assert (len(frame.items), len(frame.errors)) == (items, errors)
    assert all(entry["taskUUID"] == OURS for entry in frame.errors)


def test_odd_details_of_a_task_are_survived():
    """Strings where objects belong, a response that came twice, and the image of another task."""

    def answer(question):
        if question["taskType"] == "getResponse":
            return [{"data": []}]
        foreign = {**result({**question, **OTHER}), "imageUUID": "foreign"}
        own = {"data": ["x", 7, foreign, result(question)]}
        item = {"taskType": "getTaskDetails", "taskUUID": question["taskUUID"], "request": "text", "response": own}
        return [{"data": [item, item]}, {"data": [item]}]

    async def work(server):
        server.on_task = lambda task: [error("maintenanceSoon")]
        server.on_question = answer
        async with connect(server) as client:
            return await client.run(TASK, timeout_s=20), server

    outcome, server = play(work)
    assert [item.item_uuid for item in outcome] == ["00000000-0000-4000-8000-000000000000"]
    assert len(server.submitted) == 1


@pytest.mark.parametrize(
    "body", [{}, {"mediaUUID": ""}, {"mediaUUID": None}, {"mediaUUID": [1]}, {"mediaUUID": "x"}], ids=str
)
def test_an_upload_without_a_uuid_is_an_error_before_the_task_is_sent(body):
    from PIL import Image

    async def work(server):
        server.on_post = lambda tasks: (
            200,
            {"data": [{"taskType": "mediaStorage", "taskUUID": tasks[0]["taskUUID"], **body}]},
        )
        async with connect(server) as client:
            try:
                await client.run({**TASK, "seedImage": Image.new("RGB", (64, 64))}, timeout_s=20)
            finally:
                assert [task["taskType"] for task in server.submitted] == ["mediaStorage"]

    with pytest.raises(ProtocolError, match=r"no usable mediaUUID.* was not sent, and nothing was charged"):
        play(work)


@pytest.mark.parametrize("transport", ["websocket", "rest"])
def test_a_utility_that_is_answered_twice_counts_once(transport):
    def answer(task):
        item = {"taskType": task["taskType"], "taskUUID": task["taskUUID"], "totalResults": 1, "results": []}
        return {"data": [item, item]}

    async def work(server):
        server.on_task = lambda task: [answer(task), answer(task)]
        server.on_post = lambda tasks: (200, answer(tasks[0]))
        async with connect(server, transport=transport) as client:
            return await client.search_models("x")

    assert play(work)["totalResults"] == 1


# --- the board, with anything ----------------------------------------------------------------------


def flying(task_uuid=OURS):
    task = {"taskType": "imageInference", "taskUUID": task_uuid, "numberResults": 2}
    flight = TrackedAttempt(task, Fate.unsent(task, max_retries=3))
    report = flight.report(0.5)
    for event in (Started(now() + 60, report), SendStarted(), Leaving(), Sent(pushes=True, report=report)):
        flight.advance(event)
    return flight


scopes = st.sampled_from([{}, OTHER, {"taskUUID": None}, {"taskUUID": 7}, {"taskUUID": "x"}, {"taskUUID": {"a": 1}}])
types = st.sampled_from([{}, {"taskType": "imageInference"}, {"taskType": "getResponse"}, {"taskType": 7}])
orphans = st.builds(lambda code, scope, kind: {"code": code, "message": "m", **scope, **kind},
                    st.sampled_from(CODES) | st.text(max_size=5), scopes, types)  # fmt: skip


@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(st.lists(orphans, min_size=1, max_size=3), max_size=6), st.integers(1, 3))
def test_no_number_or_kind_of_errors_without_our_name_ends_a_task(frames, count):
    board = Router()
    for number in range(count):
        name = f"1000000{number}-0000-4000-8000-000000000000"
        board.flights[name] = flying(name)
    for errors in frames:
        board.on_frame(parse_frame(json.dumps({"errors": errors})))
        board.on_frame(parse_frame(json.dumps({"error": errors})))
    for flight in board.flights.values():
        assert not flight.collector.is_done
        assert not flight.collector.errors
        assert flight.fate.broken is None
        assert not flight.fate.should_ask  # it asks by its clock, which bounds how often


FAULTS = [RuntimeError("odd"), KeyError("x"), RecursionError("deep"), UnicodeError("bad"), OverflowError("large")]


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_a_fault_in_one_task_of_a_frame_reaches_that_task_alone(monkeypatch, fault, caplog):
    board = Router()
    first, second = (board.flights.setdefault(name, flying(name)) for name in (OURS, OTHER["taskUUID"]))
    real = TrackedAttempt.take

    def take(flight, items, errors):
        if flight is first:
            raise fault
        real(flight, items, errors)

    monkeypatch.setattr(TrackedAttempt, "take", take)
    items = [result({"taskUUID": flight.task_uuid}) for flight in (first, second)]
    board.on_frame(parse_frame(json.dumps({"data": items})))
    assert len(second.outcome()) == 1
    assert type(fault).__name__ in str(first.fate.broken)
    assert "may have been charged" in str(first.fate.broken)


@pytest.mark.parametrize("fault", FAULTS[:2], ids=repr)
@pytest.mark.parametrize(
    "seam",
    ["runware_nb.providers.runware.websocket.parse_frame", "runware_nb.providers.runware.router.Router.on_frame"],
)
def test_a_fault_with_one_frame_does_not_end_the_reader(monkeypatch, seam, fault, caplog):
    import importlib

    module, _, name = seam.rpartition(".")
    try:
        owner = importlib.import_module(module)
    except ModuleNotFoundError:
        owner = Router
    real = getattr(owner, name)
    faults = []

    def broken(*arguments, **values):
        if is_armed and not faults:
            faults.append(fault)
            raise fault
        return real(*arguments, **values)

    is_armed = []
    monkeypatch.setattr(owner, name, broken)

    async def work(server):
        server.on_task = lambda task: []
        server.on_question = lambda question: [done(question)]
        async with connect(server) as client:
            await client.open()
            running = asyncio.ensure_future(client.run(TASK, timeout_s=20))
            await until(lambda: server.submitted)
            is_armed.append(True)
            await server.push(done(server.submitted[0]))  # this is the frame that is lost
            return await running, server

    outcome, server = play(work)
    assert faults
    assert len(outcome) == 1
    assert len(server.submitted) == 1
    assert server.connections == 1


frames = st.one_of(
    st.binary(max_size=20), st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([10**400, OURS]),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "errors", "error", "taskUUID", "taskType", "code", "status", "progress",
                                           "resultIndex", "cost", "imageURL", "message"]), inner, max_size=5),
        max_leaves=12,
    ).map(json.dumps),
)  # fmt: skip


@settings(max_examples=15, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(frames, max_size=8))
def test_whatever_arrives_the_reader_reads_on(messages):
    async def work(server):
        server.on_task = lambda task: [*messages, done(task)]
        server.on_question = lambda question: [{"data": [result(question, status="processing", imageURL=None)]}]
        async with connect(server) as client:
            return await client.run(TASK, timeout_s=10), server

    outcome, server = play(work)
    assert len(outcome) == 1
    assert server.connections == 1
    assert len(server.submitted) == 1


def test_each_task_gets_its_own_error_when_the_connection_is_lost_for_good():
    """An error carries the outcome of its task: one object for all would show the results of another task."""
    board = Router()
    first, second = (board.flights.setdefault(name, flying(name)) for name in (OURS, OTHER["taskUUID"]))
    board.on_broken(TransportError("gone"))
    assert first.fate.broken is not second.fate.broken
    assert str(first.fate.broken) == "gone"
    board.on_broken(task_error({"code": "invalidApiKey", "message": "no"}))
    assert isinstance(first.fate.broken, TaskError)
    assert first.fate.broken.code == "invalidApiKey"


def test_a_rate_limit_without_a_name_slows_down_and_sends_the_same_task_again():
    async def work(server):
        server.on_task = lambda task: [error("rateLimitExceeded")] if len(server.submitted) == 1 else [done(task)]
        server.on_question = lambda question: [error("taskNotFound", question, taskType=question["taskType"])]
        async with connect(server) as client:
            with contextlib.suppress(RateLimited):
                return await client.run(TASK, timeout_s=20), server

    outcome, server = play(work)
    assert len(outcome) == 1
    assert len({task["taskUUID"] for task in server.submitted}) == 1


# --- where the rules meet ----------------------------------------------------------------------------


def test_a_task_with_a_short_limit_does_not_make_the_others_connect_again():
    """One attempt to connect serves all; a task whose limit ends it would delay the others beyond their own."""

    class Slow(FateServer):
        async def _socket(self, socket):
            await asyncio.sleep(1.0)
            await super()._socket(socket)

    async def main():
        async with (
            Slow().running() as server,
            Client("k" * 24, settings=Settings(connect_timeout_s=9), **server.urls) as client,
        ):
            running = asyncio.ensure_future(client.run(TASK, timeout_s=20))
            for _ in range(4):
                with pytest.raises(TransportTimeout, match="was not sent"):
                    await client.run(TASK, timeout_s=0.1)
            other = asyncio.ensure_future(client.run(TASK, timeout_s=20))
            await asyncio.sleep(0.05)
            running.cancel()
            return await other, server.connections

    outcome, connections = asyncio.run(main())
    assert len(outcome) == 1
    assert connections == 1


def test_a_client_that_is_closed_while_it_connects_tells_all_who_wait():
    async def work(server):
        server.on_authentication = lambda number: []
        client = connect(server)
        running = [asyncio.ensure_future(client.run(TASK, timeout_s=20)) for _ in range(3)]
        await until(lambda: server.connections)
        await client.aclose()
        return await asyncio.gather(*running, return_exceptions=True)

    errors = play(work)
    assert all(isinstance(error, TransportError) and "closed" in str(error) for error in errors)
    assert len({id(error) for error in errors}) == 3


@pytest.mark.parametrize(("status", "code"), [(401, "invalidApiKey"), (400, "invalidWidth"), (200, "invalidWidth")])
def test_a_request_that_was_refused_is_known_to_have_cost_nothing(status, code):
    """The log completes the run as failed; otherwise it would hold its budget, and be asked about, forever."""

    async def work(server):
        server.on_post = lambda tasks: (status, error(code))
        async with connect(server, transport="rest") as client:
            await client.run(TASK, timeout_s=8)

    with pytest.raises(TaskError) as caught:
        play(work)
    assert not caught.value.may_have_arrived


def test_a_second_answer_to_a_repeated_poll_is_no_failure():
    """Both say that the task is not known yet. If the second one ended it, its result would be paid for and dropped."""

    async def work(server):
        server.on_task = lambda task: [error("maintenanceSoon")]
        unknown = iter([True])

        def respond(question):
            if question["taskType"] == "getTaskDetails":
                return [error("taskNotFound", question, taskType="getTaskDetails")]
            if next(unknown, False):
                return [error("taskNotFound", question, taskType="getResponse")] * 2
            return [done(question)]

        server.on_question = respond
        async with connect(server) as client:
            return await client.run(TASK, timeout_s=8), len({task["taskUUID"] for task in server.submitted})

    outcome, uuids = play(work)
    assert len(outcome) == 1
    assert uuids == 1


def test_a_failure_that_the_service_takes_back_never_leads_to_a_second_attempt():
    """Whatever happens to the connection while the task is followed on: a new UUID would be paid for as well."""

    async def work(server):
        server.on_task = lambda task: [error("internalServerError", task, taskType="imageInference")]
        server.on_question = lambda question: [{"data": [result(question, status="processing", imageURL=None)]}]
        async with connect(server) as client:
            running = asyncio.ensure_future(client.run(TASK, timeout_s=20))
            await until(lambda: len(server.questions) > 1)
            client._router.on_broken(TransportError("the connection was out of reach"))
            await until(lambda: len(server.questions) > 4)
            await server.push(done(server.submitted[0]))
            return await running, len(server.submitted)

    outcome, sent = play(work)
    assert len(outcome) == 1
    assert sent == 1
