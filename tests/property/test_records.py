"""Reading accepts what writing wrote, whatever kind of run it is."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runware_nb.errors import BundleError
from runware_nb.reproduce.records import read_lines, write_lines
from runware_nb.runlog import FINAL_STATES, Parent, ResultRecord, RunLog, RunRecord, State
from runware_nb.runlog.maintenance import add_runs

AT = "2026-01-01T00:00:00.000+00:00"

TASKS = ["imageInference", "upscale", "imageUpscale", "removeBackground", "caption", "imageMasking", "vectorize", "training",
         "controlNetPreprocess", "promptEnhance", "textInference", "videoInference", "audioInference", "3dInference",
         "tools", "modelSearch", "x" * 60]  # fmt: skip
TEXT = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(["\u2028", "a\x85b\x0c\x1c", "\r\n"])
SAFE = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Zl", "Zp"]), max_size=12
)  # no reader cleans it
INTEGERS = st.integers(-(2**63), 2**64 - 1)
JSON = st.recursive(st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6)  # fmt: skip
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
ERRORS = st.fixed_dictionaries({"message": TEXT.filter(str.isprintable)}, optional={"code": SAFE, "raw": OBJECT})
UUIDS = st.uuids(version=4).map(str)
NAME = st.sampled_from([f"ab/{'ab' * 32}.jpg", f"00/{'0' * 64}.svg"])


def optional(values):
    return st.none() | values


RESULTS = st.builds(
    ResultRecord, position=st.integers(0, 3), item_uuid=optional(UUIDS), url=optional(SAFE), seed=optional(st.integers(-(2**63), 2**63 - 1)),
    cost=optional(st.floats(0, 9)), media_type=optional(st.just("image/png")), size_bytes=optional(st.integers(0, 2**40)),
    file=optional(NAME), raw=OBJECT, error=optional(ERRORS), rating=optional(st.integers(1, 5)), is_favourite=st.booleans(),
    medium_state=st.sampled_from(["none", "stored", "expired", "missing"]),
)  # fmt: skip
PARENTS = st.lists(st.builds(Parent, UUIDS, st.sampled_from(["seedImage", "prompt", "start frame"]),
                             optional(st.integers(0, 99))), max_size=3, unique=True).map(tuple)  # fmt: skip
RUNS = st.builds(
    RunRecord, task_uuid=UUIDS, attempt_uuid=UUIDS, provider=st.sampled_from(["runware", "sandbox"]),
    task_type=st.sampled_from(TASKS), model=optional(SAFE), request=OBJECT, request_hash=st.just("1:r"),
    asked_hash=st.just("1:a"), created_at_utc=st.just("2026-01-01T00:00:00.000+00:00"), prompt_template=optional(SAFE),
    state=st.sampled_from(sorted({*FINAL_STATES, State.DISCARDED})), attempts=st.integers(0, 9),
    seed_given=st.booleans(), notebook=st.none() | st.just("a.ipynb"), cell_id=optional(SAFE), cell_ordinal=optional(st.integers(0, 9)),
    execution_count=optional(st.integers(0, 9)), finished_at_utc=st.just(AT), duration_s=optional(st.floats(0, 9)),
    cost=optional(st.floats(0, 9)), error=optional(ERRORS), tags=st.sets(SAFE, max_size=2).map(lambda t: tuple(sorted(t))),
    note=optional(SAFE), parents=PARENTS, replay_of=optional(UUIDS), is_imported=st.booleans(),
    inputs=st.lists(st.fixed_dictionaries({"place": st.just("inputs.image")}, optional={"file": NAME}), max_size=2),
    results=st.lists(RESULTS, max_size=2, unique_by=lambda result: result.position),
)  # fmt: skip
SHARED = ("task_uuid", "attempt_uuid", "task_type", "model", "request", "state", "note", "tags", "error", "inputs",
          "results", "cost_usd", "notebook", "replay_of", "parents")  # fmt: skip


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    log = RunLog(tmp_path_factory.mktemp("log"))
    yield log
    log.close()


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(st.lists(RUNS, max_size=2, unique_by=lambda run: run.task_uuid))
def test_reading_accepts_what_writing_wrote(log, runs):
    text = "".join(write_lines(log, runs)).encode().decode()
    read = {run.task_uuid: run for run in read_lines(text.split("\n")).runs}
    assert len(read) == len(runs)
    for run in runs:
        for name in SHARED:
            assert getattr(read[run.task_uuid], name) == getattr(run, name), name
        assert read[run.task_uuid].parent_uuid == (run.parents[0].task_uuid if run.parents else None)
    merged = add_runs(log, read.values(), sources={}, snapshots={})
    assert merged.skipped == ()
    assert [log.find(task_uuid).parents for task_uuid in merged.added] == [read[name].parents for name in merged.added]
    assert len(merged.added) + merged.known == len(runs)


ODD = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=4) | JSON
ODD_RUNS = st.builds(
    RunRecord, task_uuid=UUIDS, attempt_uuid=UUIDS, provider=st.just("sandbox"), task_type=st.sampled_from(TASKS), model=ODD,
    request=st.dictionaries(TEXT, ODD, max_size=2), request_hash=st.just("1:r"), asked_hash=st.just("1:a"), prompt_template=ODD,
    created_at_utc=st.just("2026-01-01T00:00:00.000+00:00"), state=st.just(State.FAILED), error=ODD, note=ODD, cost=ODD, duration_s=ODD,
)  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(st.lists(ODD_RUNS, max_size=2, unique_by=lambda run: run.task_uuid))
def test_a_run_that_the_reader_does_not_take_is_named_in_one_line(log, runs):
    read = read_lines(list(write_lines(log, runs)), tolerant=True)
    assert len(read.runs) + len(read.skipped) == len(runs)
    assert all(sentence.startswith("line ") and sentence.isprintable() for sentence in read.skipped)


def test_records_of_earlier_versions_have_the_parents_of_their_media(log):
    mother, father = "1" * 8 + "-0000-4000-8000-000000000000", "2" * 8 + "-0000-4000-8000-000000000000"
    run = RunRecord(
        task_uuid="3" * 8 + "-0000-4000-8000-000000000000", attempt_uuid="3" * 8 + "-0000-4000-8000-000000000000",
        provider="runware", task_type="imageInference", model="m", request={"seedImage": "a", "maskImage": "b"},
        request_hash="1:r", asked_hash="1:a", created_at_utc=AT, finished_at_utc=AT, state=State.SUCCEEDED,
        parent_uuid=mother, inputs=[{"maker": mother, "named": "a"}, {"maker": father, "named": "b"}],
    )  # fmt: skip
    *head, line = write_lines(log, [run])
    earlier = {name: value for name, value in json.loads(line).items() if name != "parents"}
    (read,) = read_lines([*head, json.dumps(earlier)]).runs
    assert read.parents == (Parent(mother, "seedImage"), Parent(father, "maskImage"))
    (read,) = read_lines([*head, json.dumps({**earlier, "inputs": []})]).runs
    assert read.parents == (Parent(mother, "medium"),)
    for wrong in ("x", [7], [{"task_uuid": mother}], [{"task_uuid": "x", "role": "image"}]):
        with pytest.raises(BundleError):
            read_lines([*head, json.dumps({**earlier, "parents": wrong})])
