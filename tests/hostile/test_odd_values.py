"""Odd values are normalized where responses are parsed, and each seam holds whatever comes through it."""

import argparse
import asyncio
import base64
import contextlib
import json
import math
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runware_nb.core.parsing import TOO_DEEP, as_identifier, parse_json
from runware_nb.core.results import Result, is_final, item_id
from runware_nb.errors import MediaError, ProtocolError
from runware_nb.providers.runware.classify import task_error
from runware_nb.providers.runware.collect import Collector
from runware_nb.providers.runware.frames import parse_frame
from runware_nb.providers.runware.sse import delta_of
from tests.conftest import TASK as IMAGE

from .fate_server import FateServer, connect, play, result

TASK = {"taskType": "imageInference", "taskUUID": "10000000-0000-4000-8000-000000000000", "numberResults": 2}

KEYS = st.sampled_from(
    ["taskUUID", "taskType", "imageUUID", "imageURL", "previewURL", "cost", "resultIndex", "progress", "status", "seed",
     "error", "code", "message", "outputs", "files", "uuid", "url", "text", "imageBase64Data", "parameter", "response"]
)  # fmt: skip
odd_values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([10**400, -(10**400), 10**30, -1, 1e308]), st.floats(),
    st.text(st.characters(codec=None), max_size=6), st.sampled_from(["\ud800", "\x00", "\x1b[2J", "x" * 3000, "success"]),
)  # fmt: skip
odd_json = st.recursive(
    odd_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=10,
)
objects = st.dictionaries(KEYS, odd_json, max_size=8)


def every(value):
    """Give every value inside a value, keys included."""
    yield value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from every(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from every(inner)


@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
@given(odd_json | objects)
def test_what_is_parsed_can_be_counted_encoded_and_stored(value):
    parsed = parse_json(json.dumps(value))
    assert json.loads(json.dumps(parsed, allow_nan=False)) == parsed
    for inner in every(parsed):
        if isinstance(inner, int | float):
            assert math.isfinite(float(inner))
        if isinstance(inner, str):
            inner.encode()


@given(st.dictionaries(st.text(max_size=5), st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
                       | st.text(max_size=9) | st.booleans() | st.none()))  # fmt: skip
def test_proper_json_is_not_changed(value):
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NaN", "NaN"), ("[-Infinity]", ["-Infinity"]), ("1e999", "1e999"), ("9" * 5000, "9" * 5000),
        (str(2**63), 2**63), ('"\\ud83d\\ude80 \\ud800"', "🚀 \ufffd"), ('{"\\udc00": 1}', {"\ufffd": 1}),
        ('{"a": 1, "a": 2}', {"a": 2}), ("\ufeff{}", {}), ('"\\\\ud800"', "\\ud800"), ('"a\\u0000b"', "a\x00b"),
    ],
    ids=lambda value: str(value)[:12],
)  # fmt: skip
def test_what_no_reader_could_hold_is_kept_as_text(text, value):
    assert parse_json(text) == value


def test_values_that_are_nested_too_deep_are_left_out_alone():
    """The image beside them was paid for."""
    odd = "[" * 200 + "]" * 200
    text = f'{{"data":[{{"taskUUID":"u","imageURL":"http://x","odd":{odd}}}]}}'
    (item,) = parse_frame(text).items
    assert item["imageURL"] == "http://x"
    assert TOO_DEEP in json.dumps(item)
    json.dumps(item)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"data":' * 100_000, b"\xff\xfe\x00", "9" * 5000 + "x"])
def test_what_cannot_be_parsed_is_one_error(text):
    with pytest.raises(ProtocolError):
        parse_frame(text)


@given(st.text(st.characters(codec=None)) | st.integers() | odd_json)
def test_an_identifier_is_short_printable_text_or_none(value):
    name = as_identifier(value)
    assert name is None or (name.isprintable() and 0 < len(name) <= 200)


@pytest.mark.parametrize("odd", [[1], {"a": 1}, True, 1.5, "", "\x00", 10**400], ids=str)
def test_an_odd_uuid_names_no_task(odd):
    frame = parse_frame(json.dumps({"data": [{"taskUUID": odd}], "errors": [{"code": "x", "taskUUID": odd}]}))
    for entry in (*frame.items, *frame.errors):
        assert not entry.get("taskUUID") or isinstance(entry["taskUUID"], str)
        hash(entry.get("taskUUID"))


@pytest.mark.parametrize("errors", ["all is lost", ["all is lost"], {"message": "all is lost"}])
def test_an_error_may_be_text(errors):
    (error,) = parse_frame(json.dumps({"errors": errors})).errors
    assert error["message"] == "all is lost"


@pytest.mark.parametrize("data", [7, "x", [7], ["x", None], True])
def test_only_an_empty_array_states_that_there_is_nothing(data):
    """Taken for an empty response, it would mean that the service does not know the task."""
    with pytest.raises(ProtocolError):
        parse_frame(json.dumps({"data": data}))


@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(objects, max_size=4), st.lists(objects | st.text(max_size=3), max_size=3), odd_json)
def test_any_frame_can_be_read_and_collected(data, errors, extra):
    try:
        frame = parse_frame(json.dumps({"data": data, "errors": errors, "error": extra}))
    except ProtocolError:
        return
    for error in frame.errors:
        assert str(task_error(error))
        assert len(str(task_error(error))) < 3000
    collector = Collector(TASK)
    collector.begin_poll()
    collector.add(frame.items)
    collector.fail([task_error(error) for error in frame.errors])
    collector.settle_poll()
    outcome = collector.outcome()
    assert len({result.index for result in outcome}) == len(outcome)
    for one in outcome:
        assert 0 <= one.index < 20_000
        for name in ("url", "files", "text", "seed", "cost_usd", "item_uuid", "usage", "detections", "air"):
            getattr(one, name)
        repr(one)
    assert 0 <= collector.progress <= 100


@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
@given(odd_json | objects)
def test_any_event_of_a_stream_can_be_read(event):
    with contextlib.suppress(ProtocolError):
        delta_of(json.dumps(event))


def test_two_results_that_claim_one_place_are_both_kept():
    """Both were paid for. The log keeps one result for each place."""
    for claim in ({"resultIndex": 0}, {"seed": 7}):
        collector = Collector({**TASK, "seed": 7})
        items = [{"imageUUID": name, "imageURL": f"http://x/{name}", **claim} for name in "ab"]
        collector.add(items)
        collector.add(items)
        assert sorted((result.index, result.item_uuid) for result in collector.outcome()) == [(0, "a"), (1, "b")]


@pytest.mark.parametrize("index", [10**30, -1, True, "0", 1.0, 10**400], ids=str)
def test_an_index_that_makes_no_sense_is_none(index):
    collector = Collector(TASK)
    (result,) = collector.add(parse_frame(json.dumps({"data": [{"imageURL": "http://x", "resultIndex": index}]})).items)
    assert result.index == 0
    assert item_id({"resultIndex": index}) is None


@pytest.mark.parametrize("progress", [10**400, -7, "x", True, [], 1e308], ids=str)
def test_progress_stays_between_0_and_100(progress):
    collector = Collector(TASK)
    text = json.dumps({"data": [{"status": "processing", "progress": progress}]})
    collector.add(parse_frame(text).items)
    assert 0 <= collector.progress <= 100


def test_a_result_is_known_by_the_fields_of_media_and_not_by_the_first_url():
    item = {"previewURL": "http://x/preview", "inputImageURL": "http://x/input", "imageURL": "http://x/image"}
    assert Result(item, "u").url == "http://x/image"
    assert Result({"previewDataURI": "data:,x", "imageBase64Data": "aGk="}, "u").inline == b"hi"
    assert Result({"imageURL": "http://x/i", "videoURL": "http://x/v", "videoUUID": "v"}, "u").url == "http://x/i"
    assert is_final(item)


@pytest.mark.parametrize(
    "item",
    [{"previewURL": "http://x"}, {"inputImageURL": "http://x", "inputImageUUID": "u"}, {"imageURL": ""}, {"imageURL": [1]},
     {"text": 7}, {"outputs": "x"}, {"previewBase64Data": "aGk="}],
    ids=str,
)  # fmt: skip
def test_a_preview_is_no_result(item):
    assert not is_final(item)
    assert Result(item, "u").url is None


def test_a_new_kind_of_media_is_known_by_its_uuid():
    item = {"previewURL": "http://x/p", "hologramUUID": "h", "hologramURL": "http://x/h"}
    assert is_final(item)
    assert Result(item, "u").url == "http://x/h"


def test_an_item_uuid_is_text():
    for odd in ([1], {"a": 1}, True, "\x00"):
        assert Result({"imageUUID": odd}, "u").item_uuid is None
        assert Result({"outputs": {"files": [{"uuid": odd, "url": "http://x"}]}}, "u").item_uuid is None


# --- each image and each run of a session ----------------------------------------------------------

UNUSABLE = [
    "https://a..b/x", f"https://{'a' * 64}.example/x", "https://a\x00b/x", "https://a\nb.example/x", "https://\ud800/x",
    "http://[::1/x", "http://x:99999999/x", "file:///etc/passwd", "x" * 9000, "https:///x", "https://é..é/x", "https://.",
    f"https://{'a.' * 200}b/x", "http://a b/x", "\x1b[2J",
]  # fmt: skip


@pytest.mark.parametrize("url", UNUSABLE, ids=lambda url: repr(url)[:24])
def test_an_unusable_url_is_one_sentence_of_its_image(url):
    from runware_nb.core.urls import check_media_url
    from runware_nb.errors import MediaError

    with pytest.raises(MediaError, match="cannot be used") as caught:
        check_media_url(url)
    assert str(caught.value).isprintable()


@given(
    st.text(st.characters(codec=None), max_size=30)
    | st.text("ahtps:/.[]@#?%-é\x00 ", max_size=30).map("http://".__add__)
)
def test_any_text_in_place_of_a_url_is_usable_or_one_error(url):
    from runware_nb.core.urls import check_media_url
    from runware_nb.errors import MediaError

    with contextlib.suppress(MediaError):
        assert check_media_url(url) == url


@pytest.mark.parametrize("url", ["https://www.example.org/a.png?x=%20#y", "http://127.0.0.1:8080/x", "http://[::1]:80/x",
                                 "https://bücher.example/x", "https://example.org./x"])  # fmt: skip
def test_usual_urls_are_usable(url):
    from runware_nb.core.urls import check_media_url

    assert check_media_url(url) == url


@pytest.fixture
def make(tmp_path):
    """Makes sessions on a scripted server, with one log and one folder of images."""
    from runware_nb.session import Session
    from runware_nb.settings import Key, Settings

    made = []

    def start(server):
        made.append(Session(Settings(api_key=Key("k" * 24, "the test"), home=tmp_path / ".runware", **server.urls)))
        return made[-1]

    yield start
    for session in made:
        session.close()


def test_a_download_that_fails_is_tried_again_after_a_pause(monkeypatch):
    from runware_nb.errors import TransportError

    pauses = []
    monkeypatch.setattr(
        "runware_nb.providers.runware.client.backoff_s", lambda failures, **_: pauses.append(failures) or 0.0
    )

    async def work(server):
        async with connect(server) as client:

            async def download(url, *, timeout_s):
                raise TransportError("the connection broke")

            client._connection.downloads().download = download
            await client.fetch(Result({"imageURL": server.urls["rest_url"]}, "u"))

    with pytest.raises(TransportError):
        play(work)
    assert pauses == [1, 2, 3]


GIF = b"GIF89a" + bytes(64)


@pytest.mark.parametrize(("url", "inline", "body"), [
    ("https://a..b/x", GIF, GIF), ("https://a..b/x", b"no medium", None), ("https://a..b/x", None, None),
    (None, GIF, GIF), ("good", b"no medium", b"downloaded"), ("good", GIF, b"downloaded"),
], ids=["bad URL, image", "bad URL, no image", "bad URL", "image", "URL, no image", "URL, image"])  # fmt: skip
def test_the_bytes_beside_a_url_are_used_where_it_fails(url, inline, body):
    async def work(server):
        async with connect(server) as client:

            async def download(url, *, timeout_s):
                return b"downloaded"

            client._connection.downloads().download = download
            raw = {"imageURL": server.urls["rest_url"] if url == "good" else url}
            raw["imageBase64Data"] = None if inline is None else base64.b64encode(inline).decode()
            return (await client.fetch(Result(raw, "u"))).bytes

    if body is None:
        with pytest.raises(MediaError, match="not a valid name"):
            play(work)
    else:
        assert play(work) == body


def image_of(server, task, number=0, **values):
    return result(task, number, imageURL=server.urls["rest_url"] + f"/{number}.png", **values)


REQUEST = {**IMAGE, "numberResults": 2, "seed": 5}


@pytest.mark.parametrize("url", ["https://a..b/x", f"https://{'a' * 64}.b/x", "https://\ud800.b/x"],
                         ids=ascii)  # fmt: skip
def test_one_unusable_image_leaves_the_good_ones(make, url):
    """The good image is shown and stored, the outcome is there, and the log answers the same request later."""

    async def work(server):
        server.on_task = lambda task: [
            {"data": [image_of(server, task, 0), image_of(server, task, 1) | {"imageURL": url}]}
        ]
        return await asyncio.to_thread(use, server)

    def use(server):
        session = make(server)
        job = session.submit(REQUEST)
        outcome = job.result(20)
        assert [item.path is not None for item in outcome] == [True, False]
        assert any("image #2" in notice for notice in job.notices)
        assert session.log.find(job.task_uuid).state.value == "succeeded"
        again = make(server)
        recalled = again.submit(REQUEST).result(20)
        assert [item.path is not None for item in recalled] == [True, False]
        assert len(again.job(job.task_uuid).result(20)) == 2
        assert len(server.submitted) == 1

    play(work)


ODD_FIELDS = {"cost": 10**400, "resultIndex": 10**30, "seed": 10**30, "imageUUID": "\x00\ud800",  "NSFWContent": [1],
              "taskType": [1], "x" * 300: {"a": [1e999, None, "\ud800"]}}  # fmt: skip


@pytest.mark.parametrize("name", ODD_FIELDS, ids=lambda name: name[:20])
def test_a_paid_result_with_an_odd_field_is_stored(make, name):
    odd = ODD_FIELDS[name]

    async def work(server):
        server.on_task = lambda task: [
            {
                "data": [
                    image_of(server, task, n, **{name: odd if name != "imageUUID" else odd * (n + 99)}) for n in (0, 1)
                ]
            }
        ]
        return await asyncio.to_thread(use, server)

    def use(server):
        session = make(server)
        job = session.submit(REQUEST)
        assert all(item.path is not None for item in job.result(20))
        record = make(server).log.find(job.task_uuid)
        assert record.state.value == "succeeded"
        assert len(record.results) == 2
        assert all(kept.file for kept in record.results)

    play(work)


@settings(max_examples=12, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(objects, min_size=1, max_size=3))
def test_whatever_stands_beside_an_image_it_is_stored(shared, fields):
    """Each item has a usable image and any other fields."""
    server, session, seeds = shared

    def respond(task):
        items = [{**odd, **image_of(server, task, n), "seed": task["seed"] + n} for n, odd in enumerate(fields)]
        for item in items:
            for key in ("status", "error", "resultIndex", "code"):
                item.pop(key, None)
        return [{"data": items}]

    server.on_task = respond
    job = session.submit({**IMAGE, "numberResults": len(fields), "seed": next(seeds)}, agreed=True)
    assert all(item.path is not None for item in job.result(20))
    record = session.log.find(job.task_uuid)
    assert (record.state.value, len(record.results)) == ("succeeded", len(fields))


@pytest.fixture
def shared(make):
    """A server on a thread of its own, and a session on it, for many examples."""
    import itertools
    import threading

    ready, end = threading.Event(), []
    server = FateServer()

    async def serve():
        async with server.running():
            end.append((asyncio.get_running_loop(), asyncio.Event()))
            ready.set()
            await end[0][1].wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    yield server, make(server), itertools.count(1, 50)
    end[0][0].call_soon_threadsafe(end[0][1].set)
    thread.join()


FAULTS = [RuntimeError("odd"), KeyError("x"), UnicodeError("bad"), OverflowError("large"), RecursionError("deep")]


@pytest.mark.parametrize(
    "seam",
    [
        "engine.result_storage.record_of",
        "engine.result_storage.store_file",
        "providers.runware.client.Client.fetch",
    ],
)
@pytest.mark.parametrize("fault", FAULTS[2:4], ids=repr)
def test_a_fault_with_one_image_is_named_and_loses_nothing_else(make, monkeypatch, seam, fault):
    from operator import attrgetter

    path, _, name = f"runware_nb.{seam}".rpartition(".")
    owner = attrgetter(path.partition(".")[2])(sys.modules["runware_nb"])
    real = getattr(owner, name)

    def broken(*arguments, **values):
        if any(isinstance(argument, Result) and argument.index == 0 for argument in arguments):
            raise fault
        return real(*arguments, **values)

    monkeypatch.setattr(owner, name, broken)

    async def work(server):
        server.on_task = lambda task: [{"data": [image_of(server, task, n) for n in (0, 1)]}]
        return await asyncio.to_thread(use, server)

    def use(server):
        session = make(server)
        job = session.submit(REQUEST)
        outcome = job.result(20)
        assert outcome[1].path is not None
        assert any(type(fault).__name__ in notice and "image #1" in notice for notice in job.notices)
        assert session.log.find(job.task_uuid).is_finished
        assert len(server.submitted) == 1

    play(work)


@pytest.mark.parametrize("fault", FAULTS[:2], ids=repr)
def test_a_fault_in_one_run_stops_no_other_and_is_never_paid_twice(make, monkeypatch, fault):
    """The run stays in the log as unfinished; the same request joins it."""
    from runware_nb.providers.runware import Tracker

    real, broken_prompts = Tracker._perform, {"one"}

    async def perform(self, flight, duty, deadline):
        event = await real(self, flight, duty, deadline)
        if flight.task["positivePrompt"] in broken_prompts:
            raise fault  # after it was sent
        return event

    monkeypatch.setattr(Tracker, "_perform", perform)

    async def work(server):
        server.on_task = lambda task: [{"data": [image_of(server, task)]}]
        server.on_question = lambda question: [{"data": [image_of(server, question)]}]
        return await asyncio.to_thread(use, server)

    def use(server):
        session = make(server)
        jobs = [session.submit({**IMAGE, "seed": 5, "positivePrompt": prompt}) for prompt in ("one", "two")]
        with pytest.raises(type(fault)) as caught:
            jobs[0].result(20)
        assert "may have been charged" in caught.value.__notes__[-1]
        assert len(jobs[1].result(20)) == 1
        assert not session.log.find(jobs[0].task_uuid).is_finished
        broken_prompts.clear()
        again = session.submit({**IMAGE, "seed": 5, "positivePrompt": "one"})
        assert len(again.result(20)) == 1
        assert again.task_uuid == jobs[0].task_uuid
        assert len(server.submitted) == 2

    play(work)


def test_resume_collects_the_runs_beside_one_that_fails(make, monkeypatch):
    from runware_nb.commands import resume
    from runware_nb.engine.known_runs import KnownRuns
    from runware_nb.providers.runware import Tracker

    real_follow, real_resume, broken = Tracker.follow, KnownRuns.resume_run, []

    async def follow(self, accepted, observer, deadline):
        if accepted.remote_id == broken[0]:
            raise KeyError("odd")
        return await real_follow(self, accepted, observer, deadline)

    def resume_run(self, record, *, sends):
        if record.task_uuid == broken[1]:
            raise OverflowError("large")
        return real_resume(self, record, sends=sends)

    async def work(server):
        server.on_task = lambda task: []
        server.on_question = lambda question: [{"data": [image_of(server, question)]}]
        return await asyncio.to_thread(use, server)

    def use(server):
        session = make(server)
        jobs = [session.submit({**IMAGE, "seed": seed}) for seed in (1, 2, 3)]
        while len(server.submitted) < 3:
            time.sleep(0.01)
        session.close()
        broken.extend(job.task_uuid for job in jobs[:2])
        monkeypatch.setattr(Tracker, "follow", follow)
        monkeypatch.setattr(KnownRuns, "resume_run", resume_run)
        parser = argparse.ArgumentParser()
        resume.add_arguments(parser)
        answer = resume.run(make(server), parser.parse_args([]))
        assert answer.is_failure
        assert any("KeyError: 'odd'" in note for note in answer.notes)
        assert any("OverflowError: large" in note for note in answer.notes)
        assert [run.is_finished for run in answer.value] == [run.task_uuid == jobs[2].task_uuid for run in answer.value]
        assert len(server.submitted) == 3

    play(work)
