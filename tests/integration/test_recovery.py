"""Killed in the middle: what was paid for is found again, once."""

import os
import signal
import subprocess
import sys
import time

import pytest

from runware_nb.runlog import State

VICTIM = """
import runware_nb as rw, sys, time
job = rw.image("a small airship", width=256, height=256, number_results=2)
print(job.task_uuid, flush=True)
job.result()
print("done", flush=True)
time.sleep(60)
"""


def start_victim(sandbox):
    environment = {**os.environ, **sandbox.environment}
    process = subprocess.Popen([sys.executable, "-c", VICTIM], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def unfinished(session, ref):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = [run for run in session.pending() if run.task_uuid == ref]
        if found and found[0].state is not State.PREPARED:
            return found[0]
        time.sleep(0.05)
    raise AssertionError("the run never left")


def test_a_killed_process_loses_nothing_and_pays_once(start_sandbox, make_session):
    sandbox = start_sandbox("--latency-s", "2.0")
    process, task_uuid = start_victim(sandbox)
    session = make_session(sandbox)
    assert unfinished(session, task_uuid).state in {State.SENT, State.ACCEPTED}
    time.sleep(0.3)
    kill(process)
    outcome = session.job(task_uuid).result()
    assert len(outcome) == 2
    assert all(result.path.is_file() for result in outcome)
    assert [charge["task_uuid"] for charge in sandbox.charges()] == [task_uuid]
    assert session.log.find(task_uuid).state is State.SUCCEEDED
    assert session.pending() == []


def test_service_and_kernel_killed_together_lose_nothing(start_sandbox, make_session, tmp_path):
    """What `%runware sandbox` does: the sandbox dies with its kernel, and the next one continues its state."""
    state = ("--latency-s", "1.0", "--state-dir", str(tmp_path / "state"))
    first = start_sandbox(*state)
    process, task_uuid = start_victim(first)
    unfinished(make_session(first), task_uuid)
    time.sleep(0.3)
    kill(process)
    first.kill()
    second = start_sandbox(*state)
    assert len(make_session(second).job(task_uuid).result()) == 2
    assert len(second.charges()) == 1


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.4, 1.2])
def test_killed_at_any_moment_it_is_collected_or_was_never_sent(start_sandbox, make_session, delay_s):
    sandbox = start_sandbox("--latency-s", "0.8")
    process, task_uuid = start_victim(sandbox)
    time.sleep(delay_s)
    kill(process)
    session = make_session(sandbox)
    time.sleep(1.0)
    charges = sandbox.charges()
    pending = [run for run in session.pending() if run.attempts > 0]
    for run in pending:
        try:
            assert len(session.job(run.task_uuid).result()) == 2
        except Exception as error:  # claimed, but killed before its first byte left: the service knows nothing
            assert "does not know" in str(error)
            assert charges == []
    if charges:
        assert [charge["task_uuid"] for charge in charges] == [task_uuid]
        assert session.log.find(task_uuid).state is State.SUCCEEDED
        assert len(session.job(task_uuid).result()) == 2
    assert sandbox.charges() == charges
