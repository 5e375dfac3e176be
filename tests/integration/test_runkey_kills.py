"""SIGKILL while 60 RunKey tasks are in progress: what has an id is collected, the rest is listed, nothing is sent twice."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runware_nb.errors import FateUnknown
from runware_nb.runlog import State
from runware_nb.session import Session
from runware_nb.settings import Settings
from tests.runkey_sandbox import RunKeyProcess, runkey_package

REPO = Path(__file__).parents[2]
TASKS, KILLS, SCALE = 60, 4, 60
KERNEL = f"""
import sys
from pathlib import Path
from runware_nb.session import Session
from runware_nb.settings import Settings
from tests.runkey_sandbox import new_clock, runkey_package
settings = Settings(home=Path(sys.argv[1])).with_values(runkey_url=sys.argv[2])
session = Session(settings, packages=[runkey_package(new_clock({SCALE}))])
jobs = session.submit_all(
    [{{"taskType": "runkey/run", "model": "tpl_20s", "input": {{"prompt": f"ship {{n}}", "seed": n}}}}
     for n in range({TASKS})], service="runkey", agreed=True,
)
print("now", flush=True)
for job in jobs:
    job.future.exception()
"""


@pytest.fixture
def runkey(monkeypatch):
    process = RunKeyProcess("--time-scale", str(SCALE))
    process.template("tpl_20s", output="inline", run_s=20)
    process.set("account", {"plan": "team"})
    monkeypatch.setenv("RUNKEY_API_KEY", process.api_key)
    yield process
    process.close()


def check(runkey, runs):
    """The ledgers agree: no request was accepted twice, and each accepted task is one of the log or of unknown fate."""
    accepted = runkey.read("tasks")["tasks"]
    assert len({task["request_hash"] for task in accepted}) == len(accepted)
    known = {run.remote_id for run in runs if run.remote_id is not None}
    assert known <= {task["task_id"] for task in accepted}
    unknown = [run for run in runs if run.attempts and run.remote_id is None]
    assert len(accepted) - len(known) <= len(unknown)
    return unknown


@pytest.mark.timeout(180)
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_at_random_moments_nothing_is_lost_or_sent_twice(runkey, tmp_path):
    rng = random.Random("RunKey kills")
    home = tmp_path / ".runware"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")]),
                   "RUNWARE_NB_RUNKEY_URL": runkey.url}  # fmt: skip
    for _ in range(KILLS):
        kernel = subprocess.Popen(
            [sys.executable, "-c", KERNEL, str(home), runkey.url], stdout=subprocess.PIPE, text=True, env=environment
        )
        assert kernel.stdout.readline() == "now\n"
        wanted = len(runkey.read("tasks")["tasks"]) + rng.randint(1, 6)  # by progress: machines differ in speed
        while len(runkey.read("tasks")["tasks"]) < wanted and kernel.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.02))
        kernel.send_signal(signal.SIGKILL)
        kernel.wait()
        kernel.stdout.close()
    # `resume` collects what has an id. It sends nothing, and lists what it cannot know.
    before = runkey.read("requests")["run"]
    resumed = subprocess.run(
        [sys.executable, "-m", "runware_nb", "resume"], env=environment, capture_output=True, text=True, timeout=150
    )
    assert runkey.read("requests")["run"] == before
    session = Session(Settings(home=home).with_values(runkey_url=runkey.url), packages=[runkey_package()])
    runs = session.log.recent(None)
    unknown = check(runkey, runs)
    assert {run.state for run in runs if run.remote_id is not None} == {State.SUCCEEDED}, resumed
    for run in unknown:
        assert run.task_uuid[:8] in resumed.stdout + resumed.stderr
        with pytest.raises(FateUnknown):
            session.job(run.task_uuid).result(30)
        assert session.log.find(run.task_uuid).state is State.UNKNOWN
    # The same cell again sends what was never sent, and nothing else.
    session.close()
    last = subprocess.run(
        [sys.executable, "-c", KERNEL, str(home), runkey.url], env=environment, capture_output=True, text=True,
        timeout=150,
    )  # fmt: skip
    assert last.returncode == 0, last.stderr
    session = Session(Settings(home=home).with_values(runkey_url=runkey.url), packages=[runkey_package()])
    runs = session.log.recent(None)
    assert {run.task_uuid for run in check(runkey, runs)} == {run.task_uuid for run in unknown}
    assert sum(run.state is State.SUCCEEDED for run in runs) == TASKS - len(unknown)
    charged = {charge["task_id"] for charge in runkey.read("ledger")["charges"]}
    assert {run.remote_id for run in runs if run.state is State.SUCCEEDED} <= charged
    assert len(charged) <= TASKS
    session.close()
