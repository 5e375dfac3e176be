"""Operations on results, outcomes and jobs: what is sent, when, for which cell, and what becomes of what is not sent."""

import asyncio
import contextlib
import copy
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest
from PIL import Image

import runware_nb as rw
from runware_nb.commands import find_command
from runware_nb.commands.arguments import LineParser
from runware_nb.commands.images_in import find_image
from runware_nb.core.chaining import METHODS
from runware_nb.core.results import Outcome, Result
from runware_nb.engine.chained_job import ChainedJob
from runware_nb.engine.context import CellContext
from runware_nb.engine.job_view import render_job
from runware_nb.engine.jobs import Job
from runware_nb.engine.submission import Submission
from runware_nb.engine.uses import record_use
from runware_nb.errors import (
    ArgumentInvalid,
    BudgetExceeded,
    ConfigError,
    MagicUsageError,
    NotConfirmed,
    NotRecorded,
    RunCancelled,
    SourceFailed,
    TaskFailed,
    TaskInvalid,
    TransportTimeout,
)
from runware_nb.loop import WaitInterrupted
from runware_nb.runlog.spending import set_budget
from runware_nb.settings import Key
from tests.conftest import TASK
from tests.runs import run_record

WAIT_S = 30
STEP_UUID = "22222222-2222-4222-8222-222222222222"


@pytest.fixture
def session(sandbox, make_session, front_end, monkeypatch):
    """A session whose user agrees to every cost; it is the current one."""
    front_end.questions = []

    def agree(question):
        front_end.questions.append((question, threading.current_thread()))
        return True

    front_end.asks = agree
    made = make_session(sandbox, front_end=front_end)
    monkeypatch.setattr("runware_nb.session.current._session", made)
    return made


@pytest.fixture
def image(session):
    """An outcome of one image, and its charge is no part of what a test counts."""
    return session.submit({**TASK, "seed": 1}).result(WAIT_S)


class Source:
    """A job that ends when the test says so.

    Attributes:
        job: The job.
        outcome: What it will have.
    """

    def __init__(self, session, outcome, **changes):
        request = dict(outcome.task)
        values = {"request": request, "operation": "text-to-image", "provider": "sandbox"} | changes
        self.job = Job(session.engine, run_record(7, **values), is_new=False)
        self.outcome = outcome

    def arrive(self):
        self.job.settle(self.outcome, None)


@pytest.fixture
def source(session, image):
    return Source(session, image)


def operations_in(session):
    return [run.operation for run in reversed(session.log.recent(None))]


def command(session, name, *words):
    module = find_command(name)
    parser = LineParser(name, module.SUMMARY)
    module.add_arguments(parser)
    return module.run(session, parser.read(list(words)))


# --- six steps ---------------------------------------------------------------------------------------


def six_steps(session, second_prompt):
    mask = Image.new("L", (256, 256), 0)
    mask.paste(255, (0, 0, 256, 128))
    first = session.submit({**TASK, "seed": 1})
    second = session.submit(
        {**TASK, "positivePrompt": second_prompt, "seed": 2, "seedImage": first, "maskImage": mask, "strength": 0.8}
    )
    third = second.upscale(2)
    fourth = third.remove_background()
    return [first, second, third, fourth, fourth.vectorize(), fourth.caption()]


def test_a_chain_that_is_built_again_sends_only_what_depends_on_a_change(sandbox, session):
    """Six steps; then the same again, from the log; then another second step, which is one request and four more."""
    jobs = six_steps(session, "a red roof")
    assert [len(job.result(WAIT_S)) for job in jobs] == [1] * 6
    assert "picture" in jobs[-1].result()[0].text
    sent = sandbox.requests()
    types = [task["taskType"] for task in sent if task["taskType"] != "mediaStorage"]
    assert sorted(types) == sorted(
        ["imageInference", "imageInference", "upscale", "removeBackground", "vectorize", "caption"]
    )
    runs = {run.operation: run for run in session.log.recent(None)}
    assert runs["caption"].parent_uuid == runs["remove-background"].task_uuid
    assert runs["vectorize"].parent_uuid == runs["remove-background"].task_uuid
    assert runs["remove-background"].parent_uuid == runs["upscale"].task_uuid

    session.consent._accepted_kinds.clear()
    before = len(sandbox.charges())
    again = six_steps(session, "a red roof")
    assert [job.result(WAIT_S).is_recorded for job in again] == [True] * 6
    assert [job.task_uuid for job in again] == [job.task_uuid for job in jobs]
    assert len(sandbox.charges()) == before

    changed = six_steps(session, "a blue roof")
    assert [job.result(WAIT_S).is_recorded for job in changed] == [True] + [False] * 5
    assert len(sandbox.charges()) == before + 5
    charged = [charge["task_id"] for charge in sandbox.charges()[-5:]]
    assert charged[:3] == [job.task_uuid for job in changed[1:4]]
    assert set(charged[3:]) == {job.task_uuid for job in changed[4:]}  # these two depend on the same step


def test_a_recorded_chain_asks_nothing_and_waits_for_nothing(sandbox, session, front_end):
    """Each step is answered when it is built: a question about its cost would stop a notebook that sends nothing."""
    session.submit({**TASK, "seed": 1}).upscale(2).caption().result(WAIT_S)
    session.consent._accepted_kinds.clear()
    front_end.asks = None
    first = session.submit({**TASK, "seed": 1})
    assert rw.upscale(first, factor=2).is_recorded
    again = first.upscale(2).caption()
    assert not isinstance(again, ChainedJob)
    assert again.is_recorded
    assert again.result(WAIT_S)[0].text


# --- a step that waits ---------------------------------------------------------------------------------


def test_a_step_is_returned_at_once_and_sent_when_its_source_is_there(sandbox, session, source):
    before = operations_in(session)
    step = source.job.upscale(2)
    last = step.remove_background()
    name = step.task_uuid
    assert isinstance(step, rw.Job)
    assert step.waiting == f"waits for run {source.job.task_uuid[:8]} (text-to-image)"
    assert last.waiting == f"waits for run {name[:8]} (upscale)"
    assert (step.is_done, step.is_queued, step.is_withdrawn) == (False, True, False)
    assert operations_in(session) == before
    assert session.job(name[:8]) is step
    assert step.waiting in step._repr_mimebundle_()["text/plain"]
    changes = []
    last.on_change(lambda: changes.append(last.waiting))
    source.arrive()
    assert last.result(WAIT_S)[0].image.size == (512, 512)
    assert step.result()[0].image.size == (512, 512)
    assert step.task_uuid == name == session.log.find(name).task_uuid
    assert operations_in(session) == [*before, "upscale", "remove-background"]
    assert step.is_leaving
    assert changes
    assert session.engine.chains.waiting == []


def test_a_step_belongs_to_the_cell_that_built_it(session, source, front_end):
    cells = [CellContext(execution_count=3, kernel="k", cell_source="the chain", cell_ordinal=4)]
    front_end.cell = lambda: cells[0]
    step = source.job.upscale(2, tags="study", note="a note")
    cells[0] = CellContext(execution_count=9, kernel="k", cell_source="another cell", cell_ordinal=0)
    source.arrive()
    step.result(WAIT_S)
    run = session.log.find(step.task_uuid)
    assert (run.execution_count, run.cell_ordinal, run.tags, run.note) == (3, 4, ("study",), "a note")
    assert step.scope == ("k", 3)


def test_the_cost_is_asked_about_when_the_chain_is_built(session, source, front_end):
    step = source.job.upscale(2)
    assert [thread for _, thread in front_end.questions[-1:]] == [threading.current_thread()]
    asked = len(front_end.questions)
    session.consent._accepted_kinds.clear()  # whoever asked again would ask in the background
    source.arrive()
    step.result(WAIT_S)
    assert len(front_end.questions) == asked


def test_a_no_leaves_the_step_unsent(sandbox, session, source, front_end):
    before = len(sandbox.charges())
    front_end.asks = lambda question: False
    with pytest.raises(NotConfirmed, match=r"You answered no\. This step was not sent\."):
        source.job.upscale(2)
    front_end.asks = None
    with pytest.raises(NotConfirmed, match=r"cannot ask for confirmation\. This step was not sent"):
        source.job.upscale(2)
    step = source.job.upscale(2, agreed=True)
    source.arrive()
    step.result(WAIT_S)
    assert len(sandbox.charges()) == before + 1


def test_a_budget_holds_when_a_step_is_sent(sandbox, session, source):
    step = session.submit({**TASK, "seed": 2, "seedImage": source.job})
    after = step.upscale(2)
    with session.log.changing() as connection:
        set_budget(connection, "sandbox", "", 0.000001)
    before = len(sandbox.charges())
    source.arrive()
    with pytest.raises(BudgetExceeded):
        step.result(WAIT_S)
    with pytest.raises(SourceFailed, match="was not sent and cost nothing"):
        after.result(WAIT_S)
    assert len(sandbox.charges()) == before


def test_a_wrong_parameter_is_refused_before_anything_is_sent(session, source):
    with pytest.raises(TaskInvalid, match="width"):
        session.submit({**TASK, "width": 7, "seedImage": source.job})
    with pytest.raises(TaskInvalid):
        source.job.upscale(99)
    assert session.engine.chains.waiting == []


def test_a_key_in_a_step_is_refused_before_anything_is_sent(sandbox, session, source):
    with pytest.raises(TaskInvalid, match="contains an API key"):
        source.job.caption(f"what is {sandbox.api_key}?")


def test_a_plan_accepts_jobs(session, source):
    plan = session.plan({**TASK, "seedImage": source.job})
    assert plan.price.cost is not None
    plan = session.plan({"taskType": "promptEnhance", "prompt": source.job.caption()})
    assert isinstance(plan.task["prompt"], str)


def test_a_step_is_not_sent_to_another_service(sandbox, session, source):
    step = source.job.upscale(2)
    session.configure(rest_url="https://api.runware.ai/v1", ws_url="wss://ws-api.runware.ai/v1")
    before = len(sandbox.charges())
    source.arrive()
    with pytest.raises(ConfigError, match="its chain was built for the service 'sandbox', and 'runware' is in use now"):
        step.result(WAIT_S)
    assert len(sandbox.charges()) == before


def test_a_step_is_not_sent_with_the_key_of_another_account(sandbox, start_sandbox, session, source):
    other = start_sandbox()
    step = source.job.upscale(2)
    session.configure(api_key=Key(other.api_key, "a test"), **other.urls)
    before = len(sandbox.charges())
    source.arrive()
    with pytest.raises(ConfigError, match="its chain was built for another account or with other settings"):
        step.result(WAIT_S)
    assert (len(sandbox.charges()), other.charges()) == (before, [])


def test_two_steps_under_one_uuid_are_one_step(sandbox, session, source):
    """Both are known to Stop: the table of steps keeps the first, and another request under its UUID is refused."""
    task = {"taskType": "upscale", "taskUUID": STEP_UUID, "upscaleFactor": 2, "inputs": {"image": source.job}}
    first = session.submit(task)
    assert session.submit(task) is first
    assert len(set(map(id, session.submit_all([task, task])))) == 1
    with pytest.raises(TaskInvalid, match=f"Another step of a chain waits under taskUUID {STEP_UUID}"):
        session.submit({**task, "upscaleFactor": 4})
    before = len(sandbox.charges())
    assert session.cancel_queued() == [STEP_UUID]
    source.arrive()
    with pytest.raises(RunCancelled):
        first.result(WAIT_S)
    assert (len(sandbox.charges()), session.engine.chains.waiting) == (before, [])


def test_steps_under_one_uuid_in_a_batch_are_asked_about_once(session, source, front_end):
    front_end.questions.clear()
    task = {"taskType": "upscale", "taskUUID": STEP_UUID, "upscaleFactor": 2, "inputs": {"image": source.job}}
    first, second = session.submit_all([task, task], fresh=True)
    assert first is second
    assert len(session.engine.chains.waiting) == 1
    with pytest.raises(TaskInvalid, match="waits under taskUUID"):
        session.submit_all([{**task, "taskUUID": STEP_UUID.replace("2", "3")}, {**task, "upscaleFactor": 4}])
    assert len(session.engine.chains.waiting) == 1


def test_a_price_that_was_unknown_is_not_agreed_to_above_the_threshold(sandbox, session, image, source, front_end):
    """Nobody can be asked when the step is sent. A price below the threshold counts towards the sum of the cell."""
    session.configure(ask_above_usd=0.001)
    step = source.job.upscale(2)
    assert "unknown" in front_end.questions[-1][0]
    image.upscale(4, agreed=True).result(WAIT_S)
    before = len(sandbox.charges())
    source.arrive()
    with pytest.raises(NotConfirmed, match=r"the price of this step \(.*\) was unknown. Its estimated cost is now \$0"):
        step.result(WAIT_S)
    assert len(sandbox.charges()) == before


def test_stop_counts_a_step_that_takes_over_an_unsent_run(sandbox, session, image, source, monkeypatch, run_async):
    """A run of a kernel that died is prepared. Stop comes when the step has joined it: it is not reported as unsent and sent."""
    unsent = []

    def capture(submission):
        unsent.append(submission._record(session.context()))
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(Submission, "start", capture)
        with pytest.raises(RuntimeError):
            image.upscale(2)

    async def prepare():
        log = await session.open_log()
        await log.prepare(unsent[0], cell_source=None, environment=session.environment, limit=None)

    run_async(prepare())
    joined, stopped = threading.Event(), threading.Event()

    def record(*args, **options):
        if options["how"] == "joined":
            joined.set()
            stopped.wait(WAIT_S)
        return record_use(*args, **options)

    monkeypatch.setattr("runware_nb.engine.submission.record_use", record)
    step = source.job.upscale(2)
    source.arrive()
    assert joined.wait(WAIT_S)
    said = session.queue.stop_cell()
    stopped.set()
    try:
        step.result(WAIT_S)
        was_sent = True
    except RunCancelled:
        was_sent = False
    assert was_sent == (session.log.find(unsent[0].task_uuid).attempts == 1)
    assert not (said.dropped and was_sent)


def test_a_step_that_was_dropped_before_it_joins_an_unsent_run_leaves_it_unsent(session, source):
    step = source.job.upscale(2)
    assert step.begin()
    assert step.drop(RunCancelled("dropped"))
    record = run_record(9)
    job = session.engine.known.join(record, {**TASK, "taskUUID": record.task_uuid}, scope=None, on_added=step.adopt)
    with pytest.raises(RunCancelled):
        job.result(WAIT_S)
    assert record.task_uuid not in [run.task_uuid for run in session.log.recent(None)]


def test_a_step_joins_the_same_request_in_progress(start_sandbox, make_session, front_end):
    """Two chains with the same steps are paid for once, although their sources end at different times."""
    sandbox = start_sandbox("--latency-s", "0.5")
    front_end.asks = lambda question: True
    session = make_session(sandbox, front_end=front_end)
    image = session.submit({**TASK, "seed": 1}).result(WAIT_S)
    sources = [Source(session, image), Source(session, image)]
    steps = [source.job.upscale(2) for source in sources]
    for source in sources:
        source.arrive()
    outcomes = [step.result(WAIT_S) for step in steps]
    assert len({step.task_uuid for step in steps}) == 1
    assert outcomes[0].task_uuid == outcomes[1].task_uuid
    assert len(sandbox.charges()) == 2


def test_replay_mode_answers_a_chain_from_the_log(session, make_session, sandbox):
    session.submit({**TASK, "seed": 1}).upscale(2).result(WAIT_S)
    before = len(sandbox.charges())
    replaying = make_session(sandbox, mode="replay")
    assert replaying.submit({**TASK, "seed": 1}).upscale(2).result(WAIT_S)[0].image.size == (512, 512)
    with pytest.raises(NotRecorded):
        replaying.submit({**TASK, "seed": 1}).upscale(4).result(WAIT_S)
    assert len(sandbox.charges()) == before


# --- sources that fail -----------------------------------------------------------------------------------


def test_a_failed_source_ends_every_step_after_it(sandbox, session):
    """Each names the run that failed, and not the step before it."""
    sandbox.faults(
        {"kind": "refuse", "on": "imageInference", "status": 400, "code": "invalidPrompt", "message": "no such word"}
    )
    first = session.submit({**TASK, "seed": 5})
    last = first.upscale(2).remove_background().caption()
    with pytest.raises(SourceFailed) as caught:
        last.result(WAIT_S)
    assert caught.value.source_uuid == first.task_uuid
    assert str(caught.value).startswith(f"Run {last.task_uuid[:8]} was not sent and cost nothing, because run ")
    assert first.task_uuid[:8] in str(caught.value)
    assert "no such word" in str(caught.value)
    assert caught.value._render_traceback_() == [f"SourceFailed: {caught.value}"]
    assert operations_in(session) == ["text-to-image"]
    with pytest.raises(SourceFailed, match="This task was not sent"):
        first.upscale(2)
    with pytest.raises(SourceFailed, match="This task was not sent"):
        session.submit({**TASK, "seedImage": first})


def test_one_failed_source_of_two_ends_the_step_at_once(session, source, image):
    other = Source(session, image)
    step = session.submit({**TASK, "seed": 3, "seedImage": source.job, "maskImage": other.job})
    assert (
        step.waiting
        == f"waits for runs {source.job.task_uuid[:8]} (text-to-image) and {other.job.task_uuid[:8]} (text-to-image)"
    )
    other.job.settle(None, TaskFailed("it failed"))
    with pytest.raises(SourceFailed, match="it failed"):
        step.result(WAIT_S)
    source.arrive()


def test_missing_results_end_only_their_steps(sandbox, session):
    sandbox.faults({"kind": "fail", "on": "imageInference", "items": [1]})
    first = session.submit({**TASK, "seed": 5, "numberResults": 3})
    group = first.upscale(2)
    assert len(group) == 3
    ends = [job.future.exception(timeout=WAIT_S) for job in group]
    assert [type(end) for end in ends].count(type(None)) == 2
    (missing,) = [end for end in ends if end is not None]
    assert isinstance(missing, SourceFailed)
    assert "has no result #" in str(missing)
    assert "it returned 2" in str(missing)
    assert len(first.result()) == 2


# --- Stop, cancel and the end of a session ---------------------------------------------------------------


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_stop_drops_the_steps_of_a_chain(sandbox, session, source):
    before = len(sandbox.charges())
    source.job.scope = session.context().scope
    step = source.job.upscale(2)
    last = step.caption()
    with pytest.raises(WaitInterrupted, match=r"1 run of this cell was sent.*2 runs were not sent and cost nothing"):
        last.result(on_tick=interrupt)
    for job in (step, last):
        with pytest.raises(RunCancelled, match="not sent, because its cell was stopped"):
            job.result(WAIT_S)
    assert last.is_withdrawn
    assert render_job(last)["text/plain"].startswith(f"Run {last.task_uuid} was not sent")
    assert render_job(last)["text/html"].count(last.task_uuid) == 1
    assert repr(rw.JobGroup([step, last])) == "<JobGroup of 2: 2 discarded>"
    source.arrive()
    session.submit({**TASK, "seed": 11}).result(WAIT_S)  # what ended before has been handled by now
    assert len(sandbox.charges()) == before + 1


def test_a_wrong_name_is_answered_with_the_right_one_and_internals_are_not_listed(session, image):
    for thing in (image, session.submit({**TASK, "seed": 11})):
        with pytest.raises(AttributeError, match=r"'upsacle'\. Did you mean: 'upscale'\?"):
            thing.upsacle(2)
        assert getattr(thing, "__no_such__", None) is None
    names = {name for name in dir(thing) if not name.startswith("_")}
    assert {"upscale", "result", "cancel", "state", "progress", "task_uuid"} <= names
    assert names.isdisjoint({"as_is", "goes_on", "is_joined", "arrived", "execution", "settle"})


def test_stop_leaves_the_chains_of_other_cells_alone(session, source, front_end):
    cells = [CellContext(execution_count=1, kernel="k")]
    front_end.cell = lambda: cells[0]
    step = source.job.upscale(2)
    cells[0] = CellContext(execution_count=2, kernel="k")
    with pytest.raises(WaitInterrupted, match=r"waits for run .* It is sent when that result is here.*cancel_queued"):
        step.result(on_tick=interrupt)
    source.arrive()
    assert len(step.result(WAIT_S)) == 1


def test_a_wait_that_times_out_leaves_the_step_alone(session, source):
    step = source.job.upscale(2)
    with pytest.raises(TransportTimeout, match="waits for run"):
        step.result(timeout_s=0.0)
    source.arrive()
    assert len(step.result(WAIT_S)) == 1


def test_a_step_that_was_dropped_while_it_was_checked_is_not_sent(session, source, sandbox):
    """Stop has reported it as not sent; its new job ends before it is written to the log."""
    step = source.job.upscale(2)
    assert step.begin()
    assert not step.begin()
    assert step.drop(RunCancelled("dropped"))
    new = Job(session.engine, run_record(9), is_new=True)
    step.adopt(new)
    assert isinstance(new.withdrawn, RunCancelled)
    before = operations_in(session)
    session.engine.chains._submitter.executor.start(new, {**TASK, "taskUUID": new.task_uuid}, None)
    with pytest.raises(RunCancelled):
        new.result(WAIT_S)
    assert operations_in(session) == before


@pytest.mark.parametrize("way", ["cancel", "discard", "session.cancel", "session.discard", "cancel_queued", "command"])
def test_a_step_that_waits_can_be_cancelled(sandbox, session, source, way):
    before = len(sandbox.charges())
    step = source.job.upscale(2)
    last = step.caption()
    assert "2 steps of chains wait in this kernel" in " ".join(command(session, "pending").notes)
    if way == "cancel":
        assert step.cancel()
        assert not step.cancel()
    elif way == "discard":
        step.discard()
    elif way == "session.cancel":
        assert session.cancel(step)
    elif way == "session.discard":
        assert session.discard(step.record)
    elif way == "cancel_queued":
        assert sorted(session.cancel_queued()) == sorted([step.task_uuid, last.task_uuid])
    else:
        assert len(command(session, "pending", "--cancel").json["cancelled"]) == 2
    with pytest.raises(RunCancelled, match="It cost nothing"):
        step.result(WAIT_S)
    with pytest.raises(RunCancelled if way in {"cancel_queued", "command"} else SourceFailed, match="cost nothing"):
        last.result(WAIT_S)
    source.arrive()
    assert session.engine.chains.waiting == []
    assert len(sandbox.charges()) == before


def test_the_end_of_a_session_drops_the_steps(sandbox, session, source):
    step = source.job.upscale(2)
    session.close()
    with pytest.raises(RunCancelled, match=r"because the session was closed\. It cost nothing"):
        step.result(WAIT_S)
    source.arrive()


def test_a_sent_step_is_cancelled_no_more_and_can_be_discarded(session, source):
    step = source.job.upscale(2)
    source.arrive()
    step.result(WAIT_S)
    assert not step.cancel()
    step.discard()
    assert len(step.result()) == 1


def test_a_script_that_ends_loses_only_unsent_steps(start_sandbox, tmp_path):
    """Its log has the first run and nothing of the step, which was not sent."""
    sandbox = start_sandbox("--latency-s", "20")
    script = (
        "import runware_nb as rw\n"
        "job = rw.image('a ship', width=128, height=128, seed=1)\n"
        "rw.run({'taskType': 'imageInference', 'model': 'runware:101@1', 'positivePrompt': 'a ship', 'width': 128,\n"
        "        'height': 128, 'seed': 2, 'seedImage': job})\n"
    )
    environment = {**os.environ, **sandbox.environment}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    with contextlib.closing(sqlite3.connect(tmp_path / ".runware" / "runs.sqlite")) as log:
        assert log.execute("SELECT count(*), max(seed_given) FROM runs").fetchall() == [(1, 1)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_leaves_its_steps_to_the_parent(sandbox, session, source):
    step = source.job.upscale(2)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            error = step.future.exception(timeout=5)
            source.job.settle(source.outcome, None)
            os.write(writer, f"{type(error).__name__}: {error} {len(session.engine.chains.waiting)}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as answer:
        text = answer.read()
    assert "belongs to the parent process, which goes on with it" in text
    assert text.endswith(" 0")
    before = len(sandbox.charges())
    source.arrive()
    assert len(step.result(WAIT_S)) == 1
    assert len(sandbox.charges()) == before + 1


def test_a_step_is_a_handle_and_no_value(session, source):
    step = source.job.upscale(2)
    with pytest.raises(TypeError, match=step.task_uuid):
        pickle.dumps(step)
    assert copy.copy(step) is step
    assert step.task_uuid in repr(step)
    step.cancel()


# --- waiting for it ----------------------------------------------------------------------------------------


def test_a_chain_can_be_awaited(session, run_async):
    async def main():
        first = session.submit({**TASK, "seed": 1})
        big, bare = first.upscale(2), first.upscale(2).remove_background()
        outcomes = await asyncio.gather(big, bare, asyncio.create_task(first.caption()))
        group = session.submit({**TASK, "seed": 2, "numberResults": 2}).upscale(2)
        return [*outcomes, *await group]

    outcomes = run_async(main())
    assert [len(outcome) for outcome in outcomes] == [1] * 5
    assert outcomes[2][0].text


def test_an_error_reaches_whoever_awaits(sandbox, session, run_async):
    sandbox.faults(
        {"kind": "refuse", "on": "imageInference", "status": 400, "code": "invalidPrompt", "message": "no such word"}
    )

    async def main():
        await session.submit({**TASK, "seed": 1}).upscale(2)

    with pytest.raises(SourceFailed, match="no such word"):
        run_async(main())


# --- groups --------------------------------------------------------------------------------------------------


def test_a_method_acts_on_every_result(sandbox, session):
    three = session.submit({**TASK, "seed": 1, "numberResults": 3})
    waiting = three.upscale(2).remove_background()
    assert [outcome[0].image.size for outcome in waiting.result(WAIT_S)] == [(512, 512)] * 3
    outcome = three.result()
    recorded = outcome.upscale(2)
    assert isinstance(recorded, rw.JobGroup)
    assert [each.is_recorded for each in recorded.result(WAIT_S)] == [True] * 3
    assert [each[0].item_uuid for each in recorded.result()] == [job.result()[0].item_uuid for job in three.upscale(2)]
    assert isinstance(outcome[1].upscale(2), rw.Job)
    assert outcome[1].upscale(2).task_uuid == recorded[1].task_uuid


def test_a_group_is_a_sequence_that_ends_when_all_have_ended(session, image):
    sources = [Source(session, image), Source(session, image)]
    group = rw.JobGroup([source.job for source in sources]).upscale(2)
    assert (len(group), group[1], group[:1][0], list(group)) == (2, list(group)[1], group[0], [group[0], group[1]])
    assert repr(group) == "<JobGroup of 2: 2 waiting>"
    assert not group.is_done
    sources[0].arrive()
    group[0].result(WAIT_S)
    with pytest.raises(TransportTimeout, match="waits for run"):
        group.result(timeout_s=0.0)
    sources[1].job.settle(None, TaskFailed("it failed"))
    with pytest.raises(SourceFailed, match="it failed"):
        group.result(WAIT_S)
    assert group.is_done
    assert repr(group) == "<JobGroup of 2: 1 succeeded, 1 failed>"
    assert len(group[0].result()) == 1
    following = group.caption()
    assert following[0].result(WAIT_S)[0].text
    with pytest.raises(SourceFailed, match="it failed"):
        following[1].result(WAIT_S)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(group)
    assert rw.JobGroup([]).result() == []
    with pytest.raises(TaskInvalid, match="no job to continue with"):
        session.performer(METHODS["upscale"], rw.JobGroup([]), {})


def test_stop_and_cancel_of_a_group(session, image):
    sources = [Source(session, image), Source(session, image)]
    group = rw.JobGroup([source.job for source in sources]).upscale(2)
    threading.Timer(0.1, interrupt).start()
    with pytest.raises(WaitInterrupted, match="2 runs were not sent and cost nothing"):
        group.result()
    assert all(isinstance(job.future.exception(), RunCancelled) for job in group)
    other = rw.JobGroup([Source(session, image).job for _ in range(3)]).caption()
    assert other.cancel() == 3
    assert other.cancel() == 0


def test_a_batch_is_asked_about_once_and_refused_as_a_whole(sandbox, session, image, front_end):
    first = Source(session, image)
    ready = Job(session.engine, run_record(8, provider="sandbox", operation="text-to-image"), is_new=False)
    ready.settle(image, None)
    front_end.asks = lambda question: False
    before = len(sandbox.charges())
    with pytest.raises(NotConfirmed):
        rw.JobGroup([first.job, ready]).upscale(2)
    assert session.engine.chains.waiting == []
    front_end.asks = lambda question: True
    group = rw.JobGroup([first.job, ready]).upscale(2)
    assert [isinstance(job, ChainedJob) for job in group] == [True, False]
    first.arrive()
    group.result(WAIT_S)
    assert len(sandbox.charges()) == before + 1  # the same image twice is the same request


# --- what may stand where --------------------------------------------------------------------------------------


def test_several_results_in_the_place_of_one_are_refused(session, source):
    two = session.submit({**TASK, "seed": 1, "numberResults": 2})
    with pytest.raises(TaskInvalid, match=r"asks for 2 results, and one is expected here.*job\.result\(\)\[0\]"):
        session.submit({**TASK, "seedImage": two})
    outcome = two.result(WAIT_S)
    with pytest.raises(TaskInvalid, match=r"has 2 results, and one is expected here.*outcome\[0\]"):
        session.submit({**TASK, "seedImage": outcome})
    with pytest.raises(TaskInvalid, match=r"A group of 1 jobs.*group\[0\]"):
        session.submit({**TASK, "seedImage": rw.JobGroup([source.job])})
    with pytest.raises(TaskInvalid, match="has no result"):
        session.submit({**TASK, "seedImage": Outcome({}, "u" * 8, [], [])})
    with pytest.raises(TaskInvalid, match="no result to continue with"):
        session.performer(METHODS["upscale"], Outcome({}, "u" * 8, [], []), {})


def test_outcomes_and_jobs_stand_for_their_result_anywhere_in_a_task(session, image, source):
    given = session.submit({**TASK, "seed": 4, "inputs": {"seedImage": image}}).result(WAIT_S)
    same = session.submit({**TASK, "seed": 4, "seedImage": image[0]}).result(WAIT_S)
    assert same.is_recorded
    done = session.submit({**TASK, "seed": 1})
    done.result(WAIT_S)
    assert session.submit({**TASK, "seed": 4, "seedImage": done}).result(WAIT_S).task_uuid == given.task_uuid
    step = rw.run({**TASK, "seed": 4, "inputs": {"seedImage": source.job}})
    with_extra = rw.image(TASK["positivePrompt"], width=256, height=256, seed=4, extra={"seedImage": source.job})
    source.arrive()
    assert step.result(WAIT_S).task_uuid == with_extra.result(WAIT_S).task_uuid == given.task_uuid


def test_a_text_stands_for_itself_in_the_place_of_a_prompt(session, source):
    caption = source.job.caption()
    better = caption.enhance(versions=1)
    source.arrive()
    text = caption.result(WAIT_S)[0].text
    assert session.log.find(better.task_uuid if better.result(WAIT_S) else "").request["prompt"] == text
    direct = caption.result().enhance(versions=1)
    assert session.log.find(direct.task_uuid if direct.result(WAIT_S) else "").request["prompt"] == text
    for run in (better, direct):
        assert [(each.task_uuid, each.role) for each in session.log.find(run.task_uuid).parents] == [
            (caption.task_uuid, "prompt")
        ]
    prompt = session.submit({**TASK, "seed": 1, "positivePrompt": caption})
    prompt.result(WAIT_S)
    assert session.log.find(prompt.task_uuid).prompt == text


def test_kinds_that_do_not_fit_are_refused(session, source):
    caption = source.job.caption()
    with pytest.raises(
        TaskInvalid, match=r"Cannot use upscale\(\) on a result of the kind 'text': expected image or video"
    ):
        caption.upscale(2)
    with pytest.raises(TaskInvalid, match=r"Cannot use enhance\(\) on a result of the kind 'image': expected text"):
        source.job.enhance()
    step = session.submit({**TASK, "seed": 1, "seedImage": caption})
    source.arrive()
    with pytest.raises(TaskInvalid, match=r"is a text, and a medium is expected here\. Nothing was sent"):
        step.result(WAIT_S)
    with pytest.raises(TaskInvalid, match="is a text, and a medium is expected here"):
        session.submit({**TASK, "seedImage": caption.result(WAIT_S)})
    with pytest.raises(TaskInvalid, match="Invalid positivePrompt"):
        session.submit({**TASK, "positivePrompt": source.job})
    with pytest.raises(ArgumentInvalid, match="nearest is factor"):
        source.job.upscale(faktor=2)
    with pytest.raises(ArgumentInvalid, match=r"the method of a result fills it; use rw\.audio\(\)"):
        caption.audio("a storm")


def test_words_of_a_line_find_jobs(session, source):
    names = {"ship": source.job}
    awaited = find_image("ship", session, names)
    session.last = source.job
    assert find_image("#1", session, {}).job is awaited.job is source.job
    with pytest.raises(MagicUsageError, match="has 1 image, and no #2"):
        find_image("#2", session, {})
    step = session.submit({**TASK, "seed": 1, "seedImage": awaited})
    source.arrive()
    assert len(step.result(WAIT_S)) == 1
    assert isinstance(find_image("ship", session, names), Result)


def test_a_result_without_a_session_is_a_value_still(image):
    for value in (pickle.loads(pickle.dumps(image)), pickle.loads(pickle.dumps(image[0]))):
        with pytest.raises(TaskInvalid, match=r"belongs to no session.*rw\.upscale\(result\)"):
            value.upscale(2)
    again = pickle.loads(pickle.dumps(image))
    assert again[0].image.size == (256, 256)
    assert rw.upscale(again[0], factor=2).result(WAIT_S)[0].image.size == (512, 512)
    assert copy.deepcopy(image[0]).upscale(2).result(WAIT_S)[0].image.size == (512, 512)
    with pytest.raises(TaskInvalid, match="belongs to no session"):
        Result({}, "u").caption()


def test_a_source_without_a_result_ends_the_step(session, source):
    step = source.job.upscale(2)
    source.job.settle(Outcome({}, source.job.task_uuid, [], []), None)
    with pytest.raises(SourceFailed, match="has 0 results, and one is expected"):
        step.result(WAIT_S)
