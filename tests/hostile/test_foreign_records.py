"""Records of others: nothing in them acts as one's own, and none of them breaks a command."""

import ast
import contextlib
import hashlib
import json
import socket
import threading

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from runware_nb.engine.media_sources import look_up
from runware_nb.errors import BundleError, RunwareNBError
from runware_nb.media.provenance import embed
from runware_nb.providers.runware.tasks import expected_results
from runware_nb.reproduce.bundle import merge_bundle
from runware_nb.reproduce.code import code_for
from runware_nb.reproduce.records import read_lines, write_lines
from runware_nb.runlog import RunLog
from runware_nb.runlog.maintenance import add_runs
from runware_nb.runlog.schema import results, runs
from tests.conftest import TASK

from .foreign_files import HEAD, UUID, WHEN, bundle_of, command, media_name, picture, result, run, sha256, write_records


def read(*items, tolerant=False):
    return read_lines([json.dumps(item) for item in (HEAD, *items)], tolerant=tolerant)


@pytest.fixture
def session(sandbox, make_session):
    return make_session(sandbox)


# --- the reader -------------------------------------------------------------------------------------

NESTED = 5
for _ in range(900):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"provider": "sandbox\nimport os"}, "provider is"), ({"created_at_utc": "2026-01-01\nimport os  #"}, "created_at_utc is"),
        ({"created_at_utc": "2026-01-01T00:00:00"}, "with its zone"), ({"created_at_utc": "9999-12-31T23:59:59-23:00"}, "created_at_utc is"),
        ({"results": [result(rating=10**9)]}, "rating is"), ({"results": [result(rating=0)]}, "rating is"), ({"results": [result(rating=True)]}, "rating is"),
        ({"cost_usd": -1}, "cost_usd is"), ({"cost_usd": float("inf")}, "cost_usd is"), ({"cost_usd": float("nan")}, "cost_usd is"),
        ({"cost_usd": True}, "cost_usd is"), ({"cost_usd": 10**400}, "cost_usd is"), ({"duration_s": 1e300}, "duration_s is"),
        ({"request": {"seed": 2**64}}, "more than 64 bits"), ({"request": {"x": NESTED}}, "levels deep"), ({"request": {"x": 1e999}}, "not a finite number"),
        ({"request": {"positivePrompt": "\ud800"}}, "surrogate"), ({"request": {"\ud800": 1}}, "surrogate"), ({"prompt_template": "\udfff"}, "surrogate"),
        ({"request": {"lora": 5}}, "lora is 5"), ({"request": {"lora": [1]}}, "lora is"), ({"request": {"lora": [{"model": 1}]}}, "lora is"),
        ({"request": {"lora": [{"model": "m", "weight": "1"}]}}, "lora is"), ({"request": {"taskType": "upscale"}}, "taskType of the request is"),
        ({"error": {"message": 5}}, "message is 5"), ({"error": {"code": ["x"]}}, "code is"), ({"error": "text"}, "error is"), ({"error": {"parameter": {}}}, "parameter"),
        ({"tags": "abc"}, "tags are"), ({"tags": [1]}, "a tag is 1"), ({"tags": [["x"]]}, "a tag is"), ({"tags": ["x" * 2000]}, "a tag has"),
        ({"results": [result(), result()]}, "the same position"), ({"results": [result(raw={"cost": -1})]}, "cost is -1"), ({"results": [result(raw={"cost": True})]}, "cost is True"),
        ({"results": [result(medium_state="mine")]}, "medium_state"), ({"results": [result(medium_state=["none"])]}, "medium_state"), ({"results": [5]}, "position"),
        ({"results": [result(position=-1)]}, "position is"), ({"results": [result(seed=2**63)]}, "seed is"), ({"results": [result(stored_sha256="x")]}, "stored_sha256 is"),
        ({"results": [result(perceptual_hash="zz")]}, "perceptual_hash"), ({"results": [result(error={"message": []})]}, "message is"),
        ({"results": [result(file="../x")]}, "expected the name of a media file"), ({"results": [result(file="ab\\" + "a" * 64 + ".png")]}, "expected the name of a media file"),
        ({"inputs": [{"sha256": "x"}]}, "sha256 is"), ({"inputs": [5]}, "inputs are not a list"), ({"inputs": [{"maker": "x"}]}, "expected a task UUID"), ({"inputs": 5}, "inputs are not a list"),
        ({"state": "prepared"}, "ended"), ({"state": ["failed"]}, "ended"), ({"state": "discarded", "finished_at_utc": None}, "ended"),
        ({"parent_uuid": "x"}, "parent_uuid"), ({"replay_of": 5}, "replay_of"), ({"task_uuid": [1]}, "expected a task UUID"), ({"task_type": "a b"}, "task_type is"),
        ({"cell_hash": "abc"}, "cell_hash is"), ({"environment_hash": 5}, "environment_hash is"), ({"attempts": 2**31}, "attempts is"), ({"seed_given": 1}, "seed_given is"),
        ({"model": ["m"]}, "model is"), ({"execution_count": -1}, "execution_count is"), ({"note": 5}, "note is"), ({"notebook": {}}, "notebook is"),
    ],
)  # fmt: skip
def test_a_value_that_no_log_writes_is_refused_with_its_line(changes, sentence):
    item = run(**changes)
    if "request" in changes:
        item["model"] = None
    with pytest.raises(BundleError, match=sentence) as refused:
        read(item)
    assert str(refused.value).startswith("line 2: ")
    assert str(refused.value).isprintable()
    assert read(item, tolerant=True).skipped[0].startswith("line 2: ")


def test_a_text_is_cleaned_of_what_moves_the_cursor_or_turns_the_direction():
    odd = "a\x1b]0;x\x07b\u202ec\x9bd"
    request = {"taskType": "imageInference", "positivePrompt": odd + "\n\t🧑\u200d🚀"}
    (record,) = read(
        run(request=request, model=odd, note=odd, notebook="/home/x/..\\n\x1b.ipynb", cell_id="a\nb", tags=["a\u2028b"])
    ).runs
    assert record.model == "a\ufffd]0;x\ufffdb\ufffdc\ufffdd"
    assert record.prompt == "a\ufffd]0;x\ufffdb\ufffdc\ufffdd\n\t🧑\u200d🚀"
    assert (record.notebook, record.cell_id, record.tags) == ("n\ufffd.ipynb", "a b", ("a b",))


def test_the_prompt_and_the_hashes_are_those_of_the_request():
    """A record that shows one prompt and asks for another, or states the hash of another request."""
    honest, forged = read(run(prompt="a cat", request_hash="1:" + "0" * 64), run(2)).runs
    assert forged.prompt == honest.prompt == "a fox"
    assert honest.request_hash == forged.request_hash != "1:" + "0" * 64
    assert honest.asked_hash == honest.request_hash


def test_a_uuid_in_capitals_is_the_same_run():
    name = UUID.format("a")
    (record,) = read(run(task_uuid=name.upper(), attempt_uuid=name.upper())).runs
    assert record.task_uuid == record.attempt_uuid == name
    with pytest.raises(BundleError, match="occurs twice"):
        read(run(task_uuid=name), run(task_uuid=name.upper()))


def test_the_text_of_a_cell_and_an_environment_have_the_hash_that_they_state():
    source, versions = "print('mine')", {"python": "3.11", "packages": {"runware-nb": "1"}}
    cell = {"kind": "cell", "hash": sha256(source.encode()), "source": source}
    digest = sha256(json.dumps(versions, sort_keys=True).encode())
    taken = read(cell, {"kind": "environment", "hash": digest, "snapshot": versions})
    assert (taken.sources, taken.snapshots, taken.skipped) == ({cell["hash"]: source}, {digest: versions}, [])
    forged = read({**cell, "source": "import os"})
    assert forged.sources == {}
    assert "does not have this hash" in forged.skipped[0]
    for odd in ({"python": 5}, {"packages": 5}, {"packages": {"x": []}}, {"python": "a\nb"}):
        text = json.dumps(odd, sort_keys=True).encode()
        with pytest.raises(BundleError, match=r"environment|packages"):
            read({"kind": "environment", "hash": sha256(text), "snapshot": odd})
    with pytest.raises(BundleError, match="does not have this hash"):
        read({"kind": "environment", "hash": "0" * 64, "snapshot": versions})


def test_hashes_of_ones_own_runs_are_computed_as_they_were(session, make_session, sandbox, tmp_path):
    """An opened bundle answers only if the reader computes the same hashes; media count by content, in their order."""
    first = session.submit({**TASK, "seed": 3}).result()
    unseeded = session.submit(TASK, fresh=True)
    unseeded.result()
    mask = Image.new("L", (256, 256), 255)
    session.submit({**TASK, "seed": 4, "seedImage": first[0], "maskImage": mask, "strength": 0.8}, agreed=True).result()
    before = {record.task_uuid: record for record in session.log.recent(None)}
    lines = list(write_lines(session.log, list(before.values())))
    as_sorted = [json.dumps(json.loads(line), sort_keys=True) for line in lines]  # as earlier versions wrote them
    for text in (lines, as_sorted):
        for record in read_lines(text).runs:
            mine = before[record.task_uuid]
            assert (record.request_hash, record.asked_hash) == (mine.request_hash, mine.asked_hash)


# --- in the log -------------------------------------------------------------------------------------


def test_a_cell_made_from_a_foreign_record_has_its_values_and_nothing_else(session, tmp_path):
    """Rows that an earlier version imported are not checked again, so the code has to be safe by itself."""
    request = {
        "taskType": "imageInference",
        "positivePrompt": 'a"""\n\u2028\r"; import os\n',
        "x\ny": "\x85",
        "lora": 5,
    }
    for number, changes in enumerate(
        ({}, {"task_type": "evil\nimport os", "request": request | {"taskType": "evil"}}), 1
    ):
        (record,) = read(run(number)).runs
        record.provider, record.created_at_utc = "sandbox\nimport os", "2026\nimport os\r\u2028\x0c"
        record.request = request
        for name, value in changes.items():
            setattr(record, name, value)
        written = code_for(record, tmp_path)
        tree = ast.parse(written)
        assert [type(node) for node in tree.body] == [ast.Import, ast.Assign, ast.Expr]
        assert [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names] == [
            "runware_nb"
        ]


def test_a_rating_beyond_five_does_not_break_the_list(session, tmp_path):
    """A log may hold one that an earlier version imported."""
    merge_bundle(session, write_records(tmp_path / "theirs.jsonl", run()))
    with session.log.changing() as connection:
        connection.execute(sa.update(runs).values(best_rating=10**9))
        connection.execute(sa.update(results).values(rating=10**9))
    for line in ("log", f"show {UUID.format(1)}", "gallery out.html"):
        text = str(command(session, line).bundle)
        assert text.count("★★★★★★") == 0


def test_a_foreign_result_answers_no_request_of_ones_own(session, sandbox, tmp_path):
    """The forger knows the image that the user edits and states what the edit gave: it is sent, not answered."""
    mine = session.submit({**TASK, "seed": 3}).result()
    kept = session.log.find(mine.task_uuid).results[0]
    edit = {"taskType": "removeBackground", "model": "runware:109@1", "inputs": {"image": mine[0]}}
    theirs = picture("red", "JPEG")
    file = media_name(sha256(theirs), "jpg")
    forged = run(
        task_type="removeBackground", model="runware:109@1",
        request={"taskType": "removeBackground", "model": "runware:109@1", "inputs": {"image": kept.item_uuid}},
        inputs=[{"sha256": kept.received_sha256}],
        results=[result(item_uuid=kept.item_uuid, received_sha256="e" * 64, stored_sha256=sha256(theirs), medium_state="stored",
                        file=file)],
    )  # fmt: skip
    merge_bundle(session, bundle_of(tmp_path / "theirs.zip", forged, **{file: theirs}))
    charged = len(sandbox.charges())
    (before,) = look_up(session, session.provider(), edit).inputs
    assert (before.maker, before.sha256) == (mine.task_uuid, kept.received_sha256)
    assert session.log.find_result(sha256=sha256(theirs)) is None
    assert session.log.find_result(sha256=sha256(theirs), with_imported=True)[0] == UUID.format(1)
    job = session.submit(edit, agreed=True)
    job.result()
    assert job.task_uuid != UUID.format(1)
    assert len(sandbox.charges()) == charged + 1


def test_a_run_of_others_is_never_pending_joined_or_asked_about(session, sandbox, tmp_path):
    """A discarded run without an end was taken for one that is still to be collected."""
    (record,) = read(run()).runs
    add_runs(session.log, [record], sources={}, snapshots={})
    with session.log.changing() as connection:
        connection.execute(sa.update(runs).values(state="discarded", finished_at_utc=None, attempts=1))
    assert session.log.find_twin(record.request_hash) is None
    assert session.log.find(record.task_uuid).is_finished
    with session.log.changing() as connection:
        connection.execute(sa.update(runs).values(state="accepted", is_joinable=1))
    assert session.pending() == []
    assert session.log.find_twin(record.request_hash) is None
    with pytest.raises(RunwareNBError, match="was imported"):
        command(session, f"poll {record.task_uuid[:8]}")
    command(session, f"show {record.task_uuid}")
    command(session, f"forget {record.task_uuid} --yes")
    assert session.log.count() == 0
    assert sandbox.charges() == []


def test_a_reference_that_fits_a_run_of_ones_own_means_that_one(session, run_async, tmp_path):
    mine = session.submit({**TASK, "seed": 3})
    mine.result()
    again = UUID.format("b")
    run_async(retried(session.log, mine.task_uuid, again))
    near = mine.task_uuid[:24] + "0" * 12
    merged = merge_bundle(session, write_records(tmp_path / "theirs.jsonl", run(task_uuid=near, attempt_uuid=mine.task_uuid),
                                                 run(task_uuid=again), run(task_uuid=mine.task_uuid.upper())))  # fmt: skip
    assert (merged.added, merged.known) == ([near], 2)
    assert {session.log.find(ref).task_uuid for ref in (mine.task_uuid[:8], again, mine.task_uuid)} == {mine.task_uuid}
    assert session.log.find(near).is_imported


async def retried(log, task_uuid, attempt_uuid):
    from runware_nb.runlog.schema import attempts

    with log.changing() as connection:
        connection.execute(
            sa.insert(attempts).values(task_uuid=attempt_uuid, run_uuid=task_uuid, number=2, sent_at_utc=WHEN)
        )


def test_the_text_of_ones_own_cell_replaces_what_was_imported_under_its_hash(tmp_path, run_async, log_url):
    from tests.runs import run_record

    source = "rw.image('mine')"
    digest = hashlib.sha256(source.encode()).hexdigest()
    log = RunLog(tmp_path, log_url)
    add_runs(log, [run_record(1, cell_hash=digest, finished_at_utc=WHEN)], sources={digest: "forged"}, snapshots={})
    assert log.cell_source(digest) == "forged"  # as an earlier version has left it

    async def prepare():
        await log.prepare(run_record(2, cell_hash=digest), cell_source=source)

    run_async(prepare())
    assert log.cell_source(digest) == source
    log.close()


def test_money_of_others_is_in_no_sum_budget_or_estimate(session, tmp_path):
    merge_bundle(session, write_records(tmp_path / "theirs.jsonl", run(cost_usd=900.0)))
    with session.log.reading() as connection:
        from runware_nb.runlog.spending import sum_spending

        assert sum_spending(connection, "day") == []
    task = {"taskType": "imageInference", "model": "runware:101@1"}
    assert session.log.median_cost(task, "sandbox", results_of=expected_results) is None


def test_nothing_is_fetched_from_a_url_in_a_record(session, tmp_path):
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/x.png"
    fetched = result(
        url=url,
        medium_state="stored",
        file=media_name("a" * 64),
        raw={"imageURL": url, "cost": 0.1},
        media_type="image/png",
    )
    merge_bundle(
        session,
        write_records(
            tmp_path / "theirs.jsonl", run(results=[fetched]), run(2, results=[result(raw={"imageURL": url})])
        ),
    )
    stop = threading.Event()
    seen = []
    thread = threading.Thread(target=count_connections, args=(listener, stop, seen))
    thread.start()
    for number in (1, 2):
        for line in ("show {}", "code {}", "history {}"):
            command(session, line.format(UUID.format(number)))
    for line in ("log", "gallery out.html", "export out.jsonl", "methods", "bundle make out.zip"):
        command(session, line)
    stop.set()
    thread.join()
    listener.close()
    assert seen == []


def count_connections(listener, stop, seen):
    while not stop.is_set():
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        connection.close()
        seen.append(1)


def test_a_uuid_in_the_metadata_of_a_file_is_no_origin(session, tmp_path):
    """Pillow puts a PNG's text `runware_nb` where a result of this process puts its task UUID."""
    mine = session.submit({**TASK, "seed": 3, "outputFormat": "PNG"}).result()
    path = tmp_path / "theirs.png"
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("runware_nb", mine.task_uuid)
    Image.new("RGB", (64, 64), "red").save(path, pnginfo=texts)
    with Image.open(path) as opened:
        opened.load()
        edit = {"taskType": "upscale", "inputs": {"image": opened}}
        (found,) = look_up(session, session.provider(), edit).inputs
    assert found.maker is None
    edit = {"taskType": "upscale", "inputs": {"image": mine[0].image.rotate(90)}}
    (found,) = look_up(session, session.provider(), edit).inputs
    assert found.maker == mine.task_uuid


def test_a_file_that_names_ones_own_run_and_shows_another_image_is_somebody_elses(session, tmp_path):
    from runware_nb.reproduce.replay import find_original

    mine = session.submit({**TASK, "seed": 3, "outputFormat": "PNG"}).result()
    record = {"task_uuid": mine.task_uuid, "request": {**TASK, "seed": 3}}
    forged = tmp_path / "forged.png"
    forged.write_bytes(embed(picture("red"), infotext="x", record=record))
    (original,) = find_original(session, str(forged))
    assert not original.is_own
    copy = tmp_path / "copy.png"
    copy.write_bytes(mine[0].path.read_bytes())
    (original,) = find_original(session, str(copy))
    assert original.is_own


# --- whatever comes ---------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec=None), max_size=8) | st.sampled_from(
    ["\u2028", "\x1b[2J", "\ud800", "http://127.0.0.1:9/"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([2**64, 10**400, -(2**63), 1e308]) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=5,
)  # fmt: skip
WIRE = st.sampled_from(["positivePrompt", "lora", "seed", "width", "steps", "inputs", "seedImage", "numberResults", "messages",
                        "outputFormat", "model", "taskType", "frameImages", "speech", "CFGScale", "controlNet"])  # fmt: skip
REQUESTS = st.dictionaries(
    WIRE | TEXT,
    JSON | st.lists(st.dictionaries(st.sampled_from(["model", "weight", "image"]), JSON), max_size=2),
    max_size=4,
)
ANSWERS = st.dictionaries(
    st.sampled_from(["text", "structuredData", "seed", "cost", "imageURL", "outputs", "imageBase64Data", "usage"])
    | TEXT,
    JSON,
    max_size=3,
)
CHANGES = st.fixed_dictionaries({}, optional={
    "request": REQUESTS | JSON, "error": st.dictionaries(st.sampled_from(["message", "code", "raw", "parameter", "taskUUID"]), JSON, max_size=3) | JSON,
    "state": st.sampled_from(["failed", "lost", "partial", "discarded", "succeeded"]), "tags": st.lists(TEXT, max_size=2) | JSON, "note": TEXT,
    "prompt_template": TEXT, "model": TEXT, "cell_id": TEXT, "notebook": TEXT, "task_type": st.sampled_from(["imageInference", "caption", "videoInference"]) | TEXT,
    "results": st.lists(st.builds(lambda changes: result(**changes), st.dictionaries(
        st.sampled_from(["raw", "error", "rating", "seed", "position", "cost_usd", "url", "media_type", "medium_state"]), JSON | ANSWERS, max_size=3)), max_size=2),
    "inputs": st.lists(st.dictionaries(st.sampled_from(["named", "sha256", "file", "maker"]), JSON), max_size=2), "cost_usd": JSON, "created_at_utc": JSON,
    "duration_s": JSON, "parent_uuid": st.sampled_from([UUID.format(1), UUID.format(2)]), "execution_count": JSON, "provider": TEXT,
})  # fmt: skip
LINES = (
    "log",
    "show {}",
    "code {}",
    "history {}",
    "methods",
    "export {}.jsonl",
    "log --sort cost",
    "cost",
    "gallery {}.html",
)


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """One session for all examples, in replay mode: whatever a command would send is an error."""
    from runware_nb.session import Session
    from runware_nb.settings import Settings

    session = Session(Settings(home=tmp_path_factory.mktemp("log") / ".runware", mode="replay"))
    yield session
    session.close()


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(CHANGES)
def test_a_record_is_refused_in_one_sentence_or_every_command_takes_it(offline, tmp_path, changes):
    path = write_records(tmp_path / "theirs.jsonl", run(**changes))
    name = UUID.format(1)
    for some in offline.log.runs_named([name]):
        command(offline, f"forget {some.task_uuid} --yes")
    try:
        merged = merge_bundle(offline, path)
    except BundleError as error:
        assert str(error).isprintable()
        assert offline.log.count() == 0
        return
    if not merged.added:
        (sentence,) = merged.skipped
        assert sentence.startswith("theirs.jsonl, line 2: ")
        assert sentence.isprintable()
        assert offline.log.count() == 0
        return
    for number, line in enumerate(LINES):
        target = tmp_path / f"out{number}"
        for left in tmp_path.glob("out*"):
            left.unlink()
        with contextlib.suppress(RunwareNBError):  # one sentence, such as that a filter selects no run
            answer = command(offline, line.format(name if "." not in line else target))
            json.dumps(answer.json)
            str(answer.bundle)
    with contextlib.suppress(RunwareNBError):  # one sentence
        command(offline, f"replay {name} --yes")
