"""What Python programmers expect of awaitables, of values and of their reprs."""

import asyncio
import copy
import os
import pickle
import signal
import subprocess
import sys

import anyio
import pytest

from runware_nb import errors
from runware_nb.core.results import Outcome, Result
from runware_nb.errors import ProviderFailed, TaskInvalid, TransportError
from runware_nb.loop import WaitCancelled, take_stop_sentence
from runware_nb.media import FileMedium, MemoryMedium
from runware_nb.runlog import State
from tests.conftest import TASK

SMALL = {**TASK, "width": 128, "height": 128}


# --- awaiting ----------------------------------------------------------------------------------------------------


async def by_timeout(job):
    async with asyncio.timeout(0.2):
        await job


async def by_nested_timeout(job):
    async with asyncio.timeout(30), asyncio.timeout(0.2):
        await job


async def by_wait_for(job):
    await asyncio.wait_for(job, 0.2)


async def by_wait_for_a_task(job):
    await asyncio.wait_for(asyncio.create_task(job), 0.2)


async def by_anyio(job):
    with anyio.fail_after(0.2):
        await job


@pytest.mark.parametrize("wait", [by_timeout, by_nested_timeout, by_wait_for, by_wait_for_a_task, by_anyio])
def test_a_timeout_around_await_is_a_timeout(start_sandbox, make_session, wait):
    """TimeoutError on every Python, and the run goes on."""
    session = make_session(start_sandbox("--latency-s", "1.5"))
    job = session.submit({**SMALL, "seed": 1})
    with pytest.raises(TimeoutError):
        asyncio.run(wait(job))
    assert len(job.result(30)) == 1


def test_a_task_that_is_cancelled_is_cancelled(start_sandbox, make_session):
    session = make_session(start_sandbox("--latency-s", "1"))
    job = session.submit({**SMALL, "seed": 1})

    async def main():
        task = asyncio.create_task(job)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert type(caught.value) is asyncio.CancelledError
        return task.cancelled()

    assert asyncio.run(main())
    assert len(job.result(30)) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals; nothing to enable")
def test_stop_is_told_from_a_timeout(start_sandbox, make_session):
    """A kernel turns the interrupt into a cancellation; that one alone raises WaitCancelled, with its sentence."""
    session = make_session(start_sandbox("--latency-s", "1.5"))
    job = session.submit({**SMALL, "seed": 1})

    async def main():
        cell = asyncio.current_task()
        loop = asyncio.get_running_loop()
        before = signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(cell.cancel))
        ours = signal.getsignal(signal.SIGINT)
        try:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(job, 0.15)
            assert signal.getsignal(signal.SIGINT) is ours
            loop.call_later(0.1, os.kill, os.getpid(), signal.SIGINT)
            with pytest.raises(WaitCancelled, match=job.task_uuid):
                async with asyncio.timeout(20):
                    await job
            cell.uncancel()
            assert signal.getsignal(signal.SIGINT) is ours
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await asyncio.gather(job, job)
        finally:
            signal.signal(signal.SIGINT, before)

    asyncio.run(main())
    assert job.task_uuid in take_stop_sentence()
    assert take_stop_sentence() is None


def test_a_job_goes_where_a_coroutine_or_an_awaitable_goes(sandbox, make_session):
    session = make_session(sandbox)
    jobs = [session.submit({**SMALL, "seed": seed}) for seed in range(1, 4)]
    first = jobs[0]

    async def main():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in [*jobs, first]]
        outcomes = [task.result() for task in tasks]
        outcomes.append(await asyncio.create_task(first))
        outcomes += await asyncio.gather(*jobs)
        done, pending = await asyncio.wait([asyncio.ensure_future(job) for job in jobs])
        assert not pending
        outcomes += [task.result() for task in done]
        outcomes += [await each for each in asyncio.as_completed(jobs)]
        outcomes.append(await asyncio.shield(first))
        future = asyncio.run_coroutine_threadsafe(first, asyncio.get_running_loop())
        outcomes.append(await asyncio.wrap_future(future))
        with pytest.raises(TypeError, match="use tasks explicitly"):
            await asyncio.wait([first])
        return outcomes

    assert [len(outcome) for outcome in asyncio.run(main())] == [1] * 16
    assert len(asyncio.run(first)) == 1
    assert first._waits == {}
    with pytest.raises(TypeError, match="send"):
        first.send()


def test_the_tasks_own_error_comes_out_of_every_wait(sandbox, make_session):
    sandbox.faults({"kind": "fail", "code": "inferenceError", "message": "out of paint", "count": None})
    session = make_session(sandbox, max_retries=0)
    job = session.submit({**SMALL, "seed": 1})

    async def main():
        for make in (asyncio.create_task, asyncio.ensure_future, asyncio.shield):
            with pytest.raises(ProviderFailed, match="out of paint"):
                await make(job)

    asyncio.run(main())


# --- pickling ----------------------------------------------------------------------------------------------------


def copies(value):
    yield pickle.loads(pickle.dumps(value))
    yield copy.deepcopy(value)


def test_outcomes_travel_with_their_images(sandbox, make_session):
    session = make_session(sandbox)
    outcome = session.submit({**SMALL, "numberResults": 2, "seed": 4}).result(30)
    shown = outcome._repr_mimebundle_()
    body = pickle.dumps(outcome)
    assert sandbox.api_key.encode() not in body
    for again in copies(outcome):
        assert [result.bytes for result in again] == [result.bytes for result in outcome]
        assert [result.raw for result in again] == [result.raw for result in outcome]
        assert (again.task, again.cost_usd, again.duration_s) == (outcome.task, outcome.cost_usd, outcome.duration_s)
        assert again._repr_mimebundle_() == shown
        assert again[0]._repr_mimebundle_() == outcome[0]._repr_mimebundle_()


def test_media_travel_from_memory_and_from_disk(tmp_path, monkeypatch):
    (tmp_path / "a.bin").write_bytes(b"on disk")
    media = [MemoryMedium(b"in memory"), FileMedium(tmp_path.joinpath("a.bin").relative_to(tmp_path))]
    bodies = [pickle.dumps(Result({"imageURL": "u"}, "t", medium=medium)) for medium in media]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert [pickle.loads(body).bytes for body in bodies] == [b"in memory", b"on disk"]


def test_errors_travel_with_their_fields(sandbox, make_session):
    sandbox.faults({"kind": "fail", "code": "inferenceError", "message": "out of paint", "count": None})
    session = make_session(sandbox, max_retries=0)
    with pytest.raises(ProviderFailed) as caught:
        session.submit({**SMALL, "seed": 1}).result(30)
    for again in copies(caught.value):
        assert type(again) is ProviderFailed
        assert (str(again), again.code, again.task_uuid, again.raw) == (
            str(caught.value), "inferenceError", caught.value.task_uuid, caught.value.raw,
        )  # fmt: skip
        assert again.outcome.errors[0] is again


TREE = [error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, BaseException)]


@pytest.mark.parametrize("kind", TREE)
def test_every_error_round_trips(kind):
    error = kind("limit", 0, "1 or more") if kind is errors.ArgumentInvalid else kind("what happened")
    error.extra = {"a": 1}
    for again in copies(error):
        assert type(again) is kind
        assert (again.args, vars(again)) == (error.args, vars(error))


def test_fields_given_by_keyword_round_trip():
    error = TaskInvalid("wide", code="invalidWidth", parameter="width", allowed_values=[512], http_status=400)
    error.corrected = "%runware x"
    (again, _) = copies(error)
    assert vars(again) == vars(error)
    assert again._render_traceback_() == error._render_traceback_()
    (lost, _) = copies(TransportError("gone", may_have_arrived=False))
    assert lost.may_have_arrived is False


def test_jobs_clients_and_sessions_are_not_pickled_and_say_what_to_do(sandbox, make_session):
    session = make_session(sandbox)
    job = session.submit({**SMALL, "seed": 1})
    job.result(30)
    with pytest.raises(TypeError, match=job.task_uuid):
        pickle.dumps(job)
    assert copy.deepcopy([job]) == [job] == [copy.copy(job)]
    for owner in (session, session.client(), session.settings, session.settings.api_key):
        with pytest.raises((TypeError, errors.ConfigError)):
            pickle.dumps(owner)


# --- reprs -------------------------------------------------------------------------------------------------------

LONG = "x" * 50_000


def test_the_repr_of_a_record_is_short(sandbox, make_session):
    session = make_session(sandbox)
    for seed in range(3):
        session.submit({**SMALL, "positivePrompt": "ship " * 500, "seed": seed + 1, "numberResults": 4}).result(30)
    for run in session.log.recent(3):
        assert len(repr(run)) < 200
        assert run.task_uuid[:8] in repr(run)
        assert State.SUCCEEDED.value in repr(run)
        assert all(len(repr(result)) < 200 for result in run.results)
    assert len(repr(session.plan({**SMALL, "positivePrompt": "ship " * 500}))) < 300


def test_results_with_long_texts_have_short_reprs():
    raw = {"imageURL": f"https://{LONG}", "text": LONG, "imageBase64Data": LONG}
    result = Result(raw, LONG)
    outcome = Outcome({"positivePrompt": LONG}, LONG, [result] * 50, [TaskInvalid(LONG)])
    for value in (result, outcome, Result({"text": LONG}, "t"), Result({"imageBase64Data": LONG}, "t")):
        assert len(repr(value)) < 300


# --- pipes -------------------------------------------------------------------------------------------------------


def terminal(*words, shell=None, **options):
    command = f'"{sys.executable}" -W error -m runware_nb {" ".join(words)} {shell}'
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60, **options
    )


PIPED = [
    ("-h",),
    (),
    ("prune", "-h"),
    ("--version",),
    ("size",),
    ("log",),
    ("models",),
    ("nonsense",),
    ("log", "--limit=x"),
]


@pytest.mark.parametrize("words", PIPED, ids=" ".join)
def test_a_pipe_that_closes_early_is_no_traceback(words):
    done = terminal(*words, shell="2>&1 | (exec 0<&-; sleep 0.01)")
    assert done.stderr == ""
    assert done.returncode == 141, "as any Unix tool that SIGPIPE ends"


@pytest.mark.parametrize("words", [("-h",), ("nonsense",), ("log",)], ids=" ".join)
@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-", "2>&1 1>/dev/full", "2>/dev/full"])
def test_a_closed_or_full_stream_is_no_traceback(words, closed):
    done = terminal(*words, shell=closed)
    assert "Traceback" not in done.stderr + done.stdout
    assert "Exception ignored" not in done.stderr + done.stdout
    if closed == "2>&-":
        assert "nonsense" not in done.stdout, "what belongs on stderr is not put among the answers"
    if "1>/dev/full" in closed and words != ("nonsense",):
        assert (done.returncode, done.stdout) == (1, "runware-nb: cannot write the output: No space left on device\n")
