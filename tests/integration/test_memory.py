"""The log as its users meet it: joined twins, prices, budgets, replay mode, verification, lineage."""

import asyncio
import functools
import io
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from runware_nb.errors import (
    BudgetExceeded,
    ConfigError,
    MediaError,
    NotConfirmed,
    NotRecorded,
    RunLogError,
    TaskInvalid,
)
from runware_nb.media.compare import Verdict
from runware_nb.reproduce.code import code_for
from runware_nb.reproduce.replay import find_original, send_again
from runware_nb.reproduce.verify import plan_verification, verify
from runware_nb.runlog import RunLog, State
from runware_nb.runlog.spending import set_budget, sum_spending
from tests.conftest import TASK

SEEDED = {**TASK, "seed": 7}


@pytest.fixture
def make_session(make_session, front_end):
    """Makes sessions whose user and cell the test plays."""
    return functools.partial(make_session, front_end=front_end)


@pytest.fixture
def answers(front_end):
    """What the user says when asked; every question is kept."""
    asked = []

    def script(*said):
        left = list(said)

        def ask(question):
            asked.append(question)
            return left.pop(0)

        front_end.asks = ask
        return asked

    return script


# --- twins ------------------------------------------------------------------------------------------


def test_two_kernels_asking_at_the_same_moment_pay_once(start_sandbox, make_session, log_url):
    sandbox = start_sandbox("--latency-s", "0.5")
    sessions = [make_session(sandbox, log_url=log_url) for _ in range(4)]
    for session in sessions:
        assert session.log.count() == 0  # all are open
    jobs = [session.submit({**SEEDED, "numberResults": 2}) for session in sessions]
    outcomes = [job.result(timeout_s=60) for job in jobs]
    assert {outcome[0].bytes for outcome in outcomes} == {outcomes[0][0].bytes}
    assert len(sandbox.charges()) == 1
    assert sessions[0].log.count() == 1
    assert {job.task_uuid for job in jobs} == {sandbox.charges()[0]["task_uuid"]}


def test_a_run_that_another_kernel_has_prepared_and_not_sent_is_taken_over(start_sandbox, make_session):
    """Its kernel waits for a free slot, or has died: whoever comes first sends it, once."""
    sandbox = start_sandbox("--latency-s", "1.0")
    busy, free = make_session(sandbox, max_in_flight=1), make_session(sandbox)
    first = busy.submit({**TASK, "seed": 1})
    waiting = busy.submit({**TASK, "seed": 2})
    while waiting.record.task_uuid not in {run.task_uuid for run in free.log.recent()}:
        time.sleep(0.01)
    taken = free.submit({**TASK, "seed": 2})
    assert taken.task_uuid == waiting.task_uuid
    started = time.monotonic()
    assert taken.result()[0].bytes == waiting.result()[0].bytes
    assert time.monotonic() - started < 30
    assert len(first.result()) == 1
    assert sorted(charge["results"] for charge in sandbox.charges()) == [1, 1]
    assert free.log.find(waiting.task_uuid).state is State.SUCCEEDED


DIES_PREPARED = """
import os, sys, time
import runware_nb as rw
from runware_nb.runlog.store import RunLog

def die(*_, **__):
    time.sleep(0.3)  # what was queued before is on disk by then
    os._exit(9)
RunLog.mark_sent = die if sys.argv[1] == "before the claim" else RunLog.mark_sent
if sys.argv[1] == "after the claim":
    real = RunLog.mark_sent
    def claimed(*arguments, **others):
        done = real(*arguments, **others)
        done.add_done_callback(die)
        return done
    RunLog.mark_sent = claimed
rw.image("a small airship over a forest", width=256, height=256, seed=7).result()
"""


@pytest.mark.parametrize("moment", ["before the claim", "after the claim"])
def test_a_kernel_that_died_before_its_first_byte_is_made_good_by_running_the_cell_again(sandbox, make_session, moment):
    environment = {**os.environ, **sandbox.environment}
    died = subprocess.run([sys.executable, "-c", DIES_PREPARED, moment], env=environment, timeout=60)
    assert died.returncode == 9
    assert sandbox.charges() == []
    session = make_session(sandbox)
    (left,) = session.pending()
    assert left.attempts == (0 if moment == "before the claim" else 1)
    started = time.monotonic()
    assert len(session.submit(SEEDED).result()) == 1
    assert time.monotonic() - started < 20  # the sender is known to be gone: nothing is waited for
    assert [charge["task_uuid"] for charge in sandbox.charges()] == [left.task_uuid]
    assert session.log.count() == 1


def test_a_discarded_run_that_never_left_frees_its_budget(sandbox, make_session, run_async):
    session = make_session(sandbox, budget_usd=0.01)
    session.apply_budget("sandbox", "USD")
    record = session.submit(SEEDED).record
    session.job(record.task_uuid).result()

    async def prepare():
        from tests.runs import run_record

        await session.log.prepare(run_record(5, estimate=0.005))
        return session.log.find("00000005")

    unsent = run_async(prepare())
    with pytest.raises(BudgetExceeded):
        session.submit({**TASK, "seed": 8, "width": 1024, "height": 1024}).result()
    session.discard(unsent)
    assert len(session.submit({**TASK, "seed": 8, "width": 1024, "height": 1024}).result()) == 1


# --- prices -----------------------------------------------------------------------------------------


def test_a_budget_stops_before_sending_and_says_what_is_left(sandbox, make_session, log_url):
    session = make_session(sandbox, budget_usd=0.01, log_url=log_url)
    jobs = [session.submit({**TASK, "width": 1024, "height": 1024, "seed": seed}) for seed in range(6)]
    errors = [job.future.exception(timeout=30) for job in jobs]
    assert [type(error) for error in errors] == [type(None)] * 2 + [BudgetExceeded] * 4
    assert "costs about $0.0038, and $0.0024 is left of the budget of your settings" in str(errors[-1])
    assert sandbox.ledger()["total_usd"] == pytest.approx(0.0076)
    assert session.pending() == []


def test_what_is_dear_is_asked_about_once_and_refused_where_nobody_answers(sandbox, make_session, answers):
    session = make_session(sandbox, ask_above_usd=0.005)
    dear = {**TASK, "width": 1024, "height": 1024, "numberResults": 8}
    with pytest.raises(
        NotConfirmed,
        match=r"estimated cost of \$0\.\d+ \(price list\) is above.*cannot ask.*Nothing was sent.*agreed=True",
    ):
        session.submit(dear)
    asked = answers(False, True)
    with pytest.raises(NotConfirmed, match=r"You answered no\. Nothing was sent\."):
        session.submit(dear)
    assert sandbox.charges() == []
    assert session.log.count() == 0
    assert len(session.submit(dear).result()) == 8
    assert len(session.submit(dear, agreed=True).result()) == 8
    assert len(asked) == 2


def test_a_front_end_that_takes_no_input_cannot_ask(sandbox, make_session, front_end):
    front_end.asks = lambda question: None
    with pytest.raises(NotConfirmed, match="cannot ask for confirmation"):
        make_session(sandbox, ask_above_usd=0.0).submit(TASK)


def test_a_recorded_answer_costs_nothing_and_asks_nothing(sandbox, make_session):
    session = make_session(sandbox)
    session.submit(SEEDED).result()
    session.configure(ask_above_usd=0.0)
    with session.log.changing() as connection:
        set_budget(connection, "sandbox", "", 0.0)
    assert session.submit(SEEDED).is_recorded
    with pytest.raises(NotConfirmed):
        session.submit(SEEDED, fresh=True)


def test_without_a_listed_price_the_median_of_own_runs_is_taken(sandbox, make_session):
    session = make_session(sandbox)
    unknown = {**TASK, "model": "runware:106@1", "width": 1024, "height": 1024}
    assert "no price is listed" in session.plan(unknown).price.basis
    for seed in (1, 2):
        session.submit({**unknown, "seed": seed}, agreed=seed == 1).result()
    price = session.plan({**unknown, "numberResults": 3}).price
    assert price.basis == "median of 2 of your similar runs"
    assert price.usd == pytest.approx(3 * session.log.recent()[0].cost_usd)
    other = session.plan({**unknown, "width": 512}).price  # another size is another price, but not 0 and not unknown
    assert (other.usd, other.basis) == (price.usd / 3, "median of 2 of your runs with other parameters")


def test_costs_are_summed_by_cell_day_model_and_tag(sandbox, make_session):
    session = make_session(sandbox)
    session.submit({**SEEDED, "numberResults": 2}, tags=("a", "b")).result()
    session.submit({**SEEDED, "seed": 9}, tags=("a",)).result()
    total = sandbox.ledger()["total_usd"]
    with session.log.reading() as connection:
        for by in ("cell", "day", "model"):
            (row,) = sum_spending(connection, by)
            assert (row.runs, row.results) == (2, 3)
            assert row.cost_usd == pytest.approx(total)
        assert {each.key[0]: each.runs for each in sum_spending(connection, "tag")} == {"a": 2, "b": 1}


# --- media ------------------------------------------------------------------------------------------


def edit(of, **changes):
    return {"taskType": "removeBackground", "model": "runware:109@1", "inputs": {"image": of}, **changes}


def test_lineage_is_found_however_a_result_is_handed_on(sandbox, make_session):
    session = make_session(sandbox)
    first = session.submit({**SEEDED, "outputFormat": "PNG"}).result()
    parent = session.log.recent()[0].task_uuid
    result = first[0]
    seed_task = {**TASK, "seed": 3, "strength": 0.6}
    ways = [result, result.path, str(result.path), result.bytes, result.image, result.url, result.item_uuid,
            result.image.rotate(90)]  # fmt: skip
    for number, way in enumerate(ways):
        job = session.submit({**seed_task, "seed": 100 + number, "inputs": {"seedImage": way}})
        job.result()
        assert job.record.parent_uuid == parent, f"way {number}: {type(way)}"
        assert session.log.find(job.task_uuid).inputs[0].get("sha256")
        assert [(each.task_uuid, each.role) for each in session.log.find(job.task_uuid).parents] == [
            (parent, "seedImage")
        ]
    stranger = session.submit({**seed_task, "inputs": {"seedImage": Image.new("RGB", (32, 32), "blue")}})
    stranger.result()
    assert (stranger.record.parent_uuid, stranger.record.parents) == (None, ())
    assert len(session.log.children_of([parent])) == len(ways)


def test_the_same_picture_is_the_same_request_whatever_carries_it(sandbox, make_session, tmp_path):
    session = make_session(sandbox)
    result = session.submit({**SEEDED, "outputFormat": "PNG"}).result()[0]
    once = session.submit(edit(result), agreed=True).result()
    paid = len(sandbox.charges())
    copy = tmp_path / "copy.png"
    copy.write_bytes(result.bytes)
    for way in (result, result.bytes, copy, result.url, result.item_uuid):
        again = session.submit(edit(way))
        assert again.is_recorded, type(way)
        assert again.result()[0].bytes == once[0].bytes
    assert len(sandbox.charges()) == paid


def test_inline_media_stay_out_of_the_log_and_come_back_when_needed(sandbox, make_session, run_async):
    import base64

    session = make_session(sandbox)
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype="uint8"))
    path = session.settings.home.parent / "noise.png"
    noise.save(path)
    uri = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    done = session.submit(edit(uri), agreed=True)
    done.result()
    kept = session.log.find(done.task_uuid)
    assert uri[:200] not in json.dumps(kept.request)
    assert kept.request["inputs"]["image"].startswith("sha256:")
    assert (session.media.folder / kept.inputs[0]["file"]).is_file()
    original = find_original(session, done.task_uuid)[0]
    assert original.request["inputs"]["image"] == session.media.folder / kept.inputs[0]["file"]
    assert send_again(session, original, agreed=True).verdict is Verdict.EXACT
    (session.media.folder / kept.inputs[0]["file"]).unlink()
    with pytest.raises(TaskInvalid, match="is not here any more"):
        find_original(session, done.task_uuid)


# --- again ------------------------------------------------------------------------------------------


def replaying(make_session, sandbox, **values):
    session = make_session(sandbox, mode="replay", **values)
    session.configure(rest_url="http://127.0.0.1:9/v1", ws_url="ws://127.0.0.1:9/v1")
    return session


def test_replay_mode_answers_byte_for_byte_without_key_or_network(sandbox, make_session):
    live = make_session(sandbox)
    picked = live.submit({**TASK, "numberResults": 2}).result()  # a seed was picked: what was asked decides
    edited = live.submit(edit(picked[0]), agreed=True).result()
    sandbox_free = replaying(make_session, sandbox)
    again = sandbox_free.submit({**TASK, "numberResults": 2}).result()
    assert [result.bytes for result in again] == [result.bytes for result in picked]
    assert [result.seed for result in again] == [result.seed for result in picked]
    assert sandbox_free.submit(edit(again[0])).result()[0].bytes == edited[0].bytes
    assert sandbox_free.submit(edit(again[0].bytes)).result()[0].bytes == edited[0].bytes
    assert len(sandbox.charges()) == 2
    with pytest.raises(NotRecorded, match=r"no record of this request \('a small airship'"):
        sandbox_free.submit({**TASK, "positivePrompt": "a small airship"})
    with pytest.raises(NotRecorded):
        sandbox_free.submit({**TASK, "numberResults": 2, "seed": 5})
    with pytest.raises(NotRecorded):
        sandbox_free.submit(edit(picked[1]))


def test_replay_mode_prefers_the_cell_then_the_newest(sandbox, make_session, front_end):
    from runware_nb.session import CellContext

    session = make_session(sandbox)
    where = {"cell": "one", "ordinal": 0}
    front_end.cell = lambda: CellContext(cell_id=f"cell-{where['cell']}", cell_ordinal=where["ordinal"])
    made = {}
    for cell, ordinal in (("one", 0), ("one", 1), ("two", 0)):
        where.update(cell=cell, ordinal=ordinal)
        made[cell, ordinal] = session.submit(TASK).result()[0].bytes
    assert len(set(made.values())) == 3
    session.configure(mode="replay")
    for (cell, ordinal), body in made.items():
        where.update(cell=cell, ordinal=ordinal)
        assert session.submit(TASK).result()[0].bytes == body
    where.update(cell="three", ordinal=0)
    assert session.submit(TASK).result()[0].bytes == made["two", 0]
    where.update(cell="one")
    with pytest.raises(NotRecorded, match=r"\(id cell-one\).*'a small airship over a forest' then, 'something"):
        session.submit({**TASK, "positivePrompt": "something else"})


def test_the_nearest_record_and_what_differs_are_named(sandbox, make_session):
    session = make_session(sandbox)
    picked = session.submit({**TASK, "steps": 9, "CFGScale": 3}).result()
    near = session.submit({**SEEDED, "steps": 9, "lora": [{"model": "civitai:1@1", "weight": 0.5}]}).result()
    session.configure(mode="replay")
    with pytest.raises(NotRecorded) as caught:
        session.submit({**SEEDED, "steps": 12, "lora": [{"model": "civitai:1@1", "weight": 1.0}], "numberResults": 1})
    assert f"nearest record is run {near.task_uuid[:8]}" in str(caught.value)
    assert "differs in steps: 9 then, 12 now; loras.0.weight: 0.5 then, 1 now. Nothing was sent" in str(caught.value)
    with pytest.raises(NotRecorded, match=f"{picked.task_uuid[:8]} of .* differs in steps: 9 then, not given now"):
        session.submit({**TASK, "CFGScale": 3})
    assert len(sandbox.charges()) == 2


def test_without_any_record_the_error_says_so(sandbox, make_session):
    with pytest.raises(NotRecorded, match="There is no record of any run"):
        make_session(sandbox, mode="replay").submit(SEEDED)


def test_a_failure_is_replayed_as_a_failure(sandbox, make_session):
    session = make_session(sandbox)
    sandbox.faults(
        {"kind": "refuse", "status": 400, "code": "invalidPositivePrompt", "on": "imageInference", "count": 1}
    )
    with pytest.raises(TaskInvalid):
        session.submit(SEEDED).result()
    session.configure(mode="replay")
    with pytest.raises(TaskInvalid):
        session.submit(SEEDED).result()


def test_replay_sends_again_compares_and_leaves_the_record_alone(sandbox, make_session):
    session = make_session(sandbox)
    first = session.submit({**TASK, "numberResults": 2})
    outcome = first.result()
    done = send_again(session, find_original(session, first.task_uuid[:8])[0], agreed=True)
    assert done.verdict is Verdict.EXACT
    assert done.job.task_uuid != first.task_uuid
    assert done.job.record.replay_of == first.task_uuid
    assert len(sandbox.charges()) == 2
    from_file = find_original(session, str(outcome[0].path))[0]
    assert from_file.is_own
    assert from_file.run.task_uuid == first.task_uuid


def test_a_file_of_somebody_else_is_asked_about_first(sandbox, make_session, answers, tmp_path):
    mine = make_session(sandbox)
    picture = tmp_path / "sent by mail.png"
    mine.submit({**SEEDED, "outputFormat": "PNG", "webhookURL": "https://example.com/x"}).result()[0].save(picture)
    theirs = make_session(sandbox, home=tmp_path / "their home" / ".runware")
    (original,) = find_original(theirs, str(picture))
    assert not original.is_own
    assert "webhookURL" not in original.request
    with pytest.raises(NotConfirmed, match=r"It is not from your log\. The estimated cost is \$0\.0014"):
        send_again(theirs, original, agreed=False)
    asked = answers(True)
    assert send_again(theirs, original, agreed=False).verdict is Verdict.EXACT
    assert "sends the request in sent by mail.png again, as 1 run. It is not from your log." in asked[0]


@pytest.mark.parametrize("medium", ["/etc/passwd", "http://169.254.169.254/latest", "http://localhost/x", "~/key.png", "http://10.0.0.1/a.png", "http://224.0.0.1/a.png", "http://[::ffff:10.0.0.1]/a.png", "http://localhost./a.png", "http://[x/a.png"])  # fmt: skip
def test_a_request_of_somebody_else_cannot_name_files_or_hosts_of_ours(sandbox, make_session, tmp_path, medium):
    from runware_nb.media.provenance import embed

    picture = tmp_path / "x.png"
    Image.new("RGB", (8, 8)).save(picture)
    request = {"taskType": "imageInference", "positivePrompt": "x", "seedImage": medium}
    picture.write_bytes(embed(picture.read_bytes(), infotext="x", record={"request": request}))
    with pytest.raises(TaskInvalid, match="on this machine or nowhere"):
        find_original(make_session(sandbox), str(picture))


def test_a_request_of_somebody_else_can_only_make_something(sandbox, make_session, tmp_path):
    """Not: delete a medium, read the account, upload a model."""
    from runware_nb.media.provenance import embed

    for task_type in ("mediaStorage", "accountManagement", "modelUpload", "authentication"):
        picture = tmp_path / f"{task_type}.png"
        Image.new("RGB", (8, 8)).save(picture)
        request = {"taskType": task_type, "operation": "delete", "mediaUUID": "3f2a9c1b-1111-4222-8333-944455556666"}
        picture.write_bytes(embed(picture.read_bytes(), infotext="x", record={"request": request}))
        with pytest.raises(TaskInvalid, match="makes nothing"):
            find_original(make_session(sandbox), str(picture))


def test_a_file_that_says_nothing_cannot_be_replayed(sandbox, make_session, tmp_path):
    picture = tmp_path / "bare.png"
    Image.new("RGB", (8, 8)).save(picture)
    with pytest.raises(MediaError, match="says nothing about where it came from"):
        find_original(make_session(sandbox), str(picture))


def test_verify_tells_exact_from_close_from_drifted_within_a_budget(start_sandbox, make_session):
    sandbox = start_sandbox()
    session = make_session(sandbox)
    jobs = [session.submit({**TASK, "seed": seed, "outputFormat": "PNG"}) for seed in (1, 2, 3)]
    for job in jobs:
        job.result()
    runs = [session.log.find(job.task_uuid) for job in jobs]
    stand_in(session, runs[1], lambda image: image.point(lambda level: min(255, level + 2)))
    stand_in(session, runs[2], lambda image: image.rotate(180))
    price = sandbox.ledger()["total_usd"]
    small = plan_verification(session, runs, budget_usd=price / 2)
    assert len(small.chosen) == 1
    assert {each.why_not for each in small.left_out} == {f"the budget of ${price / 2:.2f} does not cover it"}
    plan = plan_verification(session, runs, budget_usd=None)
    found = verify(session, plan, agreed=True)
    assert [each.verdict for each in found] == [Verdict.EXACT, Verdict.CLOSE, Verdict.DRIFTED]
    assert sandbox.ledger()["total_usd"] == pytest.approx(2 * price)
    assert session.log.find(runs[0].task_uuid).results[0].perceptual_hash is not None
    assert (
        session.submit({**TASK, "seed": 1, "outputFormat": "PNG"}).task_uuid == runs[0].task_uuid
    )  # the first answers


def stand_in(session, run, change):
    """Put another picture in the place of a run's result, as if it had come then."""

    import sqlalchemy as sa

    from runware_nb.runlog.schema import results

    result = run.results[0]
    with Image.open(session.media.find(result.file)) as image:
        changed = change(image.convert("RGB"))
    body = io.BytesIO()
    changed.save(body, "PNG")
    stored = session.media.put(body.getvalue())
    result.received_sha256, result.file = stored.sha256, stored.name
    with session.log.changing() as connection:
        row = sa.update(results).where(results.c.run_uuid == run.task_uuid)
        connection.execute(row.values(received_sha256=stored.sha256, file=stored.name))


def test_what_cannot_be_verified_says_why(sandbox, make_session):
    session = make_session(sandbox)
    sandbox.faults(
        {"kind": "refuse", "status": 400, "code": "invalidPositivePrompt", "on": "imageInference", "count": 1}
    )
    failed = session.submit(SEEDED)
    with pytest.raises(Exception, match=r"."):
        failed.result()
    plan = plan_verification(session, session.log.recent(), budget_usd=1.0)
    assert plan.chosen == []
    assert plan.left_out[0].why_not == "it is failed"
    assert [each.verdict for each in verify(session, plan, agreed=False)] == [None]


def test_the_code_of_a_run_makes_it_again_from_the_record(sandbox, make_session, monkeypatch):
    import runware_nb.session.current as sessions

    session = make_session(sandbox)
    monkeypatch.setattr(sessions, "_session", session)
    prompt = 'it\'s "quoted" {brace}\n\\back\\slash 🚢 مرحبا <b>'
    task = {**TASK, "positivePrompt": prompt, "numberResults": 2, "lora": [{"model": "civitai:1@2", "weight": 0.5}],
            "negativePrompt": "rain", "CFGScale": 3.5, "outputFormat": "PNG"}  # fmt: skip
    first = session.submit(task)
    first.result()
    child = session.submit(edit(first.result()[0]), agreed=True)
    child.result()
    paid = len(sandbox.charges())
    for job in (first, child):
        written = code_for(session.log.find(job.task_uuid), session.media.folder)
        names = {}
        exec(compile(written, "the cell", "exec"), names)
        made = names.get("images", names.get("results"))
        assert made.is_recorded
        assert [result.bytes for result in made] == [result.bytes for result in job.result()]
    assert len(sandbox.charges()) == paid
    assert "taskUUID" not in written


# --- media in a bucket ------------------------------------------------------------------------------


def test_media_may_live_in_a_bucket_that_machines_share(sandbox, make_session, tmp_path):
    bucket = f"file://{tmp_path / 'bucket'}"
    here = make_session(sandbox, media_url=bucket)
    first = here.submit(SEEDED).result()
    (there,) = (tmp_path / "bucket").rglob("*.jpg")
    assert there.read_bytes() == first[0].bytes
    for path in here.media.folder.rglob("*.jpg"):
        path.unlink()
    assert here.submit(SEEDED).result()[0].bytes == first[0].bytes
    assert len(sandbox.charges()) == 1


def test_a_bucket_that_cannot_be_written_is_said_and_nothing_is_lost(sandbox, make_session, tmp_path):
    (tmp_path / "blocked").write_text("no folder")
    session = make_session(sandbox, media_url=f"file://{tmp_path / 'blocked'}")
    job = session.submit(SEEDED)
    assert job.result()[0].path.is_file()
    assert any("could not be copied to the bucket yet" in notice for notice in job.notices)
    assert session.log.find(job.task_uuid).results[0].medium_state == "stored"


def test_an_unknown_kind_of_bucket_is_one_sentence(sandbox, make_session):
    with pytest.raises(ConfigError, match="RUNWARE_NB_MEDIA_URL='nosuch://x' cannot be used"):
        _ = make_session(sandbox, media_url="nosuch://x").media


# --- PostgreSQL -------------------------------------------------------------------------------------


def test_the_whole_way_of_a_run_on_postgresql(sandbox, make_session, postgres):
    url = postgres.database()
    session = make_session(sandbox, log_url=url)
    first = session.submit({**SEEDED, "numberResults": 4}, tags=("a",), note="n")
    assert len(first.result()) == 4
    assert session.submit({**SEEDED, "numberResults": 4}).is_recorded
    assert [run.task_uuid for run in session.log.recent()] == [first.task_uuid]
    other = RunLog(session.settings.home, url)
    assert other.find(first.task_uuid[:8]).tags == ("a",)
    other.close()


def test_a_log_that_dies_in_the_middle_keeps_the_paid_images_in_memory(start_sandbox, make_session, tmp_path):
    from tests.postgres import Postgres

    sandbox = start_sandbox("--latency-s", "1.0")
    server = Postgres()
    try:
        session = make_session(sandbox, log_url=server.database())
        job = session.submit(SEEDED)
        while job.record.attempts == 0:
            time.sleep(0.02)
        server.stop()
        outcome = job.result(timeout_s=60)
        assert outcome[0].image.size == (256, 256)
        assert any("is not in the log" in notice for notice in job.notices)
        with pytest.raises(RunLogError):
            session.submit({**SEEDED, "seed": 8}).result()
        assert len(sandbox.charges()) == 1
        server.start()
        assert asyncio.run(asyncio.sleep(0)) is None
        assert [run.task_uuid for run in session.pending()] == [job.task_uuid]
        again = make_session(sandbox, log_url=session.settings.log_url)
        assert len(again.job(job.task_uuid).result()) == 1
        assert again.log.find(job.task_uuid).state is State.SUCCEEDED
        again.close()
        session.close()
    finally:
        server.close()


# --- the windows of a crash, the late ones ----------------------------------------------------------

DIES_STORING = """
import os, sys
import runware_nb as rw
from runware_nb.media.store import MediaStore
from runware_nb.runlog.store import RunLog

if sys.argv[1] == "answer known, file not fetched":
    MediaStore.put = lambda *_, **__: os._exit(9)
else:
    RunLog.finish = lambda *_, **__: os._exit(9)
rw.image("a small airship over a forest", width=256, height=256, seed=7, number_results=2).result()
"""


@pytest.mark.parametrize("moment", ["answer known, file not fetched", "file stored, run not finished"])
@pytest.mark.parametrize("remembers", [True, False], ids=["the service remembers", "the service has forgotten"])
def test_what_was_answered_before_a_crash_is_kept(sandbox, make_session, moment, remembers):
    environment = {**os.environ, **sandbox.environment}
    died = subprocess.run([sys.executable, "-c", DIES_STORING, moment], env=environment, timeout=60)
    assert died.returncode == 9
    session = make_session(sandbox)
    (left,) = session.pending()
    assert [result.raw["imageURL"] != "" for result in left.results] == [True] * len(left.results)
    if not remembers:
        unknown = {"kind": "refuse", "status": 404, "code": "taskNotFound", "count": None}
        sandbox.faults({**unknown, "on": "getResponse"}, {**unknown, "on": "getTaskDetails"})
    if remembers or len(left.results) == 2:
        outcome = session.job(left.task_uuid).result()
        assert len(outcome) == 2
        assert all(result.path.is_file() for result in outcome)
        found = session.log.find(left.task_uuid)
        assert found.state is State.SUCCEEDED
        assert [result.medium_state for result in found.results] == ["stored", "stored"]
    assert len(sandbox.charges()) == 1
    again = make_session(sandbox).job(left.task_uuid)  # once more changes nothing
    if remembers:
        assert len(again.result()) == 2
        assert len(sandbox.charges()) == 1


def test_a_file_that_could_not_be_kept_is_fetched_when_it_is_wanted(sandbox, make_session, monkeypatch):
    from runware_nb.runlog import MediaStore

    session = make_session(sandbox)
    full = lambda *_, **__: (_ for _ in ()).throw(MediaError("cannot be written: No space left on device"))  # noqa: E731
    monkeypatch.setattr(MediaStore, "put", full)
    job = session.submit(SEEDED)
    outcome = job.result()
    assert outcome[0].image.size == (256, 256)  # it is in memory
    assert any("No space left" in notice and "kept in memory" in notice for notice in job.notices)
    assert session.log.find(job.task_uuid).results[0].medium_state == "missing"
    monkeypatch.undo()
    later = make_session(sandbox)
    assert later.job(job.task_uuid).result()[0].path.is_file()
    assert later.log.find(job.task_uuid).results[0].medium_state == "stored"
    assert len(sandbox.charges()) == 1


def test_an_edit_is_made_again_although_the_service_has_forgotten_the_upload(sandbox, make_session, tmp_path):
    """The medium is in the store: it is uploaded anew, and it is the same request."""
    session = make_session(sandbox)
    picture = tmp_path / "photo.png"
    Image.new("RGB", (64, 64), "red").save(picture)
    job = session.submit(edit(picture), agreed=True)
    job.result()
    picture.unlink()
    sandbox.control("reset", post=True)  # it knows none of its media any more
    later = make_session(sandbox)
    done = send_again(later, find_original(later, job.task_uuid)[0], agreed=True)
    assert done.verdict is Verdict.EXACT
    assert done.job.record.request_hash == job.record.request_hash


def test_a_run_prepared_with_inline_media_is_sent_by_resume(sandbox, make_session, run_async):
    import base64

    noise = Image.fromarray(np.random.default_rng(2).integers(0, 255, (64, 64, 3), dtype="uint8"))
    body = io.BytesIO()
    noise.save(body, "PNG")
    environment = {**os.environ, **sandbox.environment}
    uri = "data:image/png;base64," + base64.b64encode(body.getvalue()).decode()
    script = DIES_PREPARED.replace(
        'rw.image("a small airship over a forest", width=256, height=256, seed=7)',
        f"rw.run({edit(uri)!r}, agreed=True)",
    )
    died = subprocess.run([sys.executable, "-c", script, "before the claim"], env=environment, timeout=60)
    assert died.returncode == 9
    session = make_session(sandbox)
    (left,) = session.pending()
    assert left.request["inputs"]["image"].startswith("sha256:")
    assert len(session.engine.known.resume_run(left, sends=True).result()) == 1
    assert [charge["task_uuid"] for charge in sandbox.charges()] == [left.task_uuid]


def test_a_run_with_several_parents_records_each_with_its_field_and_its_result(sandbox, make_session):
    session = make_session(sandbox)
    first, second = session.submit({**SEEDED, "outputFormat": "PNG", "numberResults": 2}).result()
    other = session.submit({**SEEDED, "seed": 99, "outputFormat": "PNG"}).result()[0]
    task = {**TASK, "seed": 3, "seedImage": other, "referenceImages": [second.path, first.bytes, second.url]}
    job = session.submit(task)
    job.result()
    ancestors = [(parent.task_uuid, parent.role, parent.index) for parent in session.log.find(job.task_uuid).parents]
    mother, father = other.task_uuid, first.task_uuid
    assert ancestors == [(mother, "seedImage", 0), (father, "referenceImages", 1), (father, "referenceImages", 0)]
    assert [run.task_uuid for run in session.log.children_of([father])] == [job.task_uuid]
