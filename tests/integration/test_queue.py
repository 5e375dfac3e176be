"""Runs that wait for their turn: Stop, cancel, discard and close never send them, and never charge for them."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from runware_nb import Client
from runware_nb.commands import find_command
from runware_nb.commands.arguments import LineParser
from runware_nb.engine.context import CellContext
from runware_nb.errors import RunCancelled, TransportTimeout
from runware_nb.loop import WaitInterrupted
from runware_nb.runlog import State
from runware_nb.runlog.spending import budgets_of, set_budget
from tests.conftest import TASK


def command(session, name, *words):
    module = find_command(name)
    parser = LineParser(name, module.SUMMARY)
    module.add_arguments(parser)
    return module.run(session, parser.read(list(words)))


@pytest.fixture
def slow(start_sandbox):
    """A sandbox whose images take a second, and with four slots: a batch of twelve has eight queued runs."""
    return start_sandbox("--latency-s", "1.0")


def batch(session, count=12, **values):
    jobs = [session.submit({**TASK, "seed": seed, **values}) for seed in range(1, count + 1)]
    until = time.monotonic() + 10
    while sum(job.record.attempts for job in jobs) < 4 and time.monotonic() < until:
        time.sleep(0.01)
    while session.log.count() < count and time.monotonic() < until:
        time.sleep(0.01)
    return jobs


def settle(jobs):
    return [job.future.exception(timeout=30) for job in jobs]


def test_stop_sends_nothing_more_and_states_how_many_were_sent(slow, make_session):
    session = make_session(slow)
    jobs = batch(session)
    threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(WaitInterrupted) as caught:
        jobs[0].result()
    (line,) = caught.value._render_traceback_()
    assert "4 runs of this cell were sent" in line
    assert "8 runs were not sent and cost nothing" in line
    assert jobs[0].task_uuid in line
    errors = settle(jobs)
    assert [type(error) for error in errors] == [type(None)] * 4 + [RunCancelled] * 8
    assert "not sent, because its cell was stopped. It cost nothing." in str(errors[-1])
    time.sleep(0.3)
    assert len(slow.charges()) == 4
    assert session.pending() == []
    assert len(session.submit({**TASK, "seed": 12}).result()) == 1  # it can be asked for again


def test_stop_of_a_run_that_was_not_sent_says_so(slow, make_session):
    session = make_session(slow)
    jobs = batch(session, 5)
    other_cell = CellContext(execution_count=2, kernel="k")
    for job in jobs[:4]:
        job.scope = other_cell.scope  # an earlier cell fills the slots
    threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(WaitInterrupted, match=jobs[4].task_uuid):
        jobs[4].result()
    assert isinstance(jobs[4].future.exception(timeout=5), RunCancelled)
    assert settle(jobs[:4]) == [None] * 4


def test_stop_leaves_the_queue_of_other_cells_alone(slow, make_session, front_end):
    session = make_session(slow, front_end=front_end)
    running = {"cell": 1}
    front_end.cell = lambda: CellContext(execution_count=running["cell"], kernel="k")
    earlier = batch(session, 6)
    running["cell"] = 2
    mine = session.submit({**TASK, "seed": 99})
    stopped = session.queue.stop_cell()
    assert (stopped.sent, stopped.dropped) == (0, 1)
    assert isinstance(mine.future.exception(timeout=5), RunCancelled)
    threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(WaitInterrupted, match=r"is still queued and will be sent.*rw\.cancel_queued\(\)"):
        earlier[5].result()
    assert settle(earlier) == [None] * 6
    assert len(slow.charges()) == 6


def test_queued_runs_can_be_cancelled(slow, make_session):
    session = make_session(slow)
    jobs = batch(session)
    with session.log.changing() as connection:
        set_budget(connection, "sandbox", "", 1.0)
    listed = command(session, "pending")
    assert any("8 runs were queued in this kernel and will be sent in turn" in note for note in listed.notes)
    assert not any("not sent" in note for note in listed.notes)
    answer = command(session, "pending", "--cancel")
    assert sorted(answer.json["cancelled"]) == sorted(job.task_uuid for job in jobs[4:])
    assert answer.bundle["text/plain"] == "Cancelled 8 queued runs. They cost nothing."
    assert [type(error) for error in settle(jobs)] == [type(None)] * 4 + [RunCancelled] * 8
    assert len(slow.charges()) == 4
    assert session.cancel_queued() == []
    with session.log.reading() as connection:
        (budget,) = budgets_of(connection)
    assert budget.reserved_usd == pytest.approx(0)


def test_the_queue_of_another_kernel_is_cancelled_only_when_asked_for(slow, make_session):
    first, second = make_session(slow), make_session(slow)
    jobs = batch(first)
    answer = command(second, "pending", "--cancel")
    assert answer.json["cancelled"] == []
    assert answer.notes == ("8 runs of other kernels were not sent: `pending --cancel --all` cancels them too.",)
    assert len(second.cancel_queued(of_other_kernels=True)) == 8
    errors = settle(jobs)
    assert [type(error) for error in errors[:4]] == [type(None)] * 4
    assert all(isinstance(error, RunCancelled) for error in errors[4:])
    assert len(slow.charges()) == 4


def test_discard_drops_what_was_not_sent_and_collects_what_was(slow, make_session):
    session = make_session(slow)
    jobs = batch(session)
    for job in jobs:
        job.discard()
    errors = settle(jobs)
    assert [type(error) for error in errors] == [type(None)] * 4 + [RunCancelled] * 8
    assert len(slow.charges()) == 4
    assert (session.pending(), session.log.recent()) == ([], [])
    # asked for again, the four are answered from the log, and only the eight are paid for
    again = [session.submit({**TASK, "seed": seed}) for seed in range(1, 13)]
    assert [len(job.result()) for job in again] == [1] * 12
    assert [job.is_recorded for job in again] == [True] * 4 + [False] * 8
    assert len(slow.charges()) == 12


@pytest.mark.parametrize("kernel", ["this", "another"])
def test_a_discarded_run_in_progress_answers_the_same_request(slow, make_session, kernel):
    session = make_session(slow)
    job = session.submit({**TASK, "seed": 1})
    while not job.record.attempts:
        time.sleep(0.01)
    job.discard()
    other = session if kernel == "this" else make_session(slow)
    again = other.submit({**TASK, "seed": 1})
    assert again.task_uuid == job.task_uuid
    assert len(again.result()) == 1
    job.future.result(timeout=30)
    assert len(slow.charges()) == 1
    assert session.log.find(job.task_uuid).state is State.SUCCEEDED  # it is wanted again, so it is shown again


def test_the_command_and_the_method_do_the_same(slow, make_session):
    session = make_session(slow)
    jobs = batch(session, 6)
    assert command(session, "discard", jobs[5].task_uuid).json["state"] == "discarded"
    assert command(session, "discard", jobs[0].task_uuid).json["state"] == "discarded"
    jobs[4].discard()
    assert [type(error) for error in settle(jobs)] == [type(None)] * 4 + [RunCancelled] * 2
    assert len(slow.charges()) == 4


def test_closing_ends_the_queue_before_what_is_in_flight(slow, make_session, tmp_path):
    session = make_session(slow)
    jobs = batch(session)
    session.close()
    states = [run.state for run in make_session(slow).pending()]
    assert sorted(states) == [State.PREPARED] * 8 + [State.SENT] * 4
    assert isinstance(jobs[-1].future.exception(timeout=5), RunCancelled)
    assert "the session was closed" in str(jobs[-1].future.exception())
    time.sleep(1.2)
    assert len(slow.charges()) == 4
    answer = command(make_session(slow), "resume", "--send")
    assert {row["state"] for row in answer.json} == {"succeeded"}
    assert len(slow.charges()) == 12


def test_a_script_that_ends_leaves_its_queue_prepared(slow, tmp_path):
    script = (
        "import time, runware_nb as rw\n"
        "jobs = [rw.image('a ship', width=128, height=128, seed=seed) for seed in range(12)]\n"
        "while sum(job.record.attempts for job in jobs) < 4: time.sleep(0.01)\n"
    )
    environment = {**os.environ, **slow.environment}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    log = sqlite3.connect(tmp_path / ".runware" / "runs.sqlite")
    states = dict(log.execute("SELECT state, count(*) FROM runs GROUP BY state"))
    log.close()
    assert states == {"prepared": 8, "sent": 4}


def test_ctrl_c_in_a_script_drops_its_queue(slow, tmp_path):
    script = (
        "import runware_nb as rw\n"
        "jobs = [rw.image('a ship', width=128, height=128, seed=seed) for seed in range(12)]\n"
        "print('go', flush=True)\n"
        "import time\n"
        "while sum(job.record.attempts for job in jobs) < 4: time.sleep(0.01)\n"
        "print('sent', flush=True)\n"
        "jobs[-1].result()\n"
    )
    environment = {**os.environ, **slow.environment}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout is not None
    assert [process.stdout.readline().strip() for _ in range(2)] == ["go", "sent"]
    time.sleep(0.5)  # until it waits in result()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert "8 runs were not sent and cost nothing" in errors
    log = sqlite3.connect(tmp_path / ".runware" / "runs.sqlite")
    states = dict(log.execute("SELECT state, count(*) FROM runs GROUP BY state"))
    log.close()
    assert states.get("discarded") == 8
    assert "prepared" not in states


def test_the_deadline_starts_when_a_task_has_a_slot(slow, run_async):
    """16 tasks of a second in two slots need 8 s; each is given 3."""

    async def main():
        import asyncio

        async with Client(slow.api_key, max_in_flight=2, timeout_s=3, **slow.urls) as client:
            tasks = [client.run({**TASK, "seed": seed}) for seed in range(16)]
            return await asyncio.gather(*tasks)

    assert [len(outcome) for outcome in run_async(main())] == [1] * 16
    assert len(slow.charges()) == 16


def test_a_task_that_outlives_its_deadline_in_its_slot_still_times_out(start_sandbox, run_async):
    sandbox = start_sandbox("--latency-s", "3")

    async def main():
        async with Client(sandbox.api_key, timeout_s=0.5, **sandbox.urls) as client:
            await client.run(TASK)

    with pytest.raises(TransportTimeout):
        run_async(main())


def test_a_closed_client_sends_nothing_that_was_queued(slow, run_async):
    async def main():
        import asyncio

        async with Client(slow.api_key, max_in_flight=2, **slow.urls) as client:
            tasks = [asyncio.ensure_future(client.run({**TASK, "seed": seed})) for seed in range(6)]
            await asyncio.sleep(0.4)
        return await asyncio.gather(*tasks, return_exceptions=True)

    errors = run_async(main())
    assert all("closed" in str(error) for error in errors)
    time.sleep(1.2)
    assert len(slow.charges()) == 2


def test_cancelled_and_discarded_at_random_moments_every_charge_has_its_run(start_sandbox, make_session):
    """What was dropped cost nothing, what was charged is collected, and no job waits for ever."""
    import random

    sandbox = start_sandbox("--latency-s", "0.02")
    session = make_session(sandbox)
    chance = random.Random(10)
    jobs = [session.submit({**TASK, "width": 128, "height": 128, "seed": seed}) for seed in range(1, 121)]
    shuffled = chance.sample(jobs, len(jobs))
    acts = (
        lambda job: job.cancel(),
        lambda job: job.discard(),
        lambda job: job.detach(),
        lambda job: session.queue.stop_cell(),
    )
    for job in shuffled[:60]:
        chance.choices(acts, weights=(10, 10, 10, 0.1))[0](job)
        time.sleep(chance.random() * 0.01)
    errors = settle(jobs)
    assert {type(error) for error in errors} <= {type(None), RunCancelled}
    charged = {charge["task_uuid"] for charge in sandbox.charges()}
    assert charged == {job.task_uuid for job, error in zip(jobs, errors, strict=True) if error is None}
    assert len(sandbox.charges()) == len(charged)
    assert session.pending() == []
    for job, error in zip(jobs, errors, strict=True):
        run = session.log.find(job.task_uuid) if job.record.attempts else None
        assert (error is None) == (run is not None and bool(run.results))
