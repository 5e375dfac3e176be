"""Many tasks over several accounts of useapi.net, and kernels that are killed while they are in progress."""

import asyncio
import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from runware_nb.errors import FateUnknown, TaskFailed
from runware_nb.net.clock import Clock
from runware_nb.providers.useapi.client import UseApi
from runware_nb.providers.useapi.package import PACKAGE
from runware_nb.providers.useapi.provider import UseApiProvider
from runware_nb.runlog import State
from runware_nb.session import Session
from runware_nb.settings import load_settings
from tests.useapi_sandbox import FIRST, SECOND, THIRD, UseApiSandbox

REPO = Path(__file__).parents[2]
SCALE = 300.0
LIMITS = {FIRST: 2, SECOND: 5, THIRD: 10}
FIVE_PERCENT = {1: 3.841, 2: 5.991}
"""The values that chi-square exceeds with a probability of 5 %, by degrees of freedom."""


@pytest.fixture(scope="module")
def _sandbox():
    sandbox = UseApiSandbox("--time-scale", str(SCALE), "--latency-s", "30", "--seed", "13")
    yield sandbox
    sandbox.close()


@pytest.fixture
def sandbox(_sandbox):
    _sandbox.restart()
    _sandbox.switch(parallel_jobs=0, files="tiny")
    for email, most in LIMITS.items():
        _sandbox.add_account(email, most)
    return _sandbox


@pytest.fixture
def open_session(sandbox, tmp_path, monkeypatch):
    monkeypatch.setenv("USEAPI_TOKEN", sandbox.token)
    monkeypatch.setenv("RUNWARE_NB_USEAPI_URL", sandbox.url)
    sessions = []

    def build(*, fetches_media=True, home="home", **values):
        package = dataclasses.replace(
            PACKAGE, build=lambda context: UseApiProvider(context, clock=Clock(SCALE), rng=random.Random(1))
        )
        session = Session(load_settings().with_values(home=tmp_path / home, **values), packages=[package])
        session.fetches_media = fetches_media
        sessions.append(session)
        return session

    yield build
    for session in sessions:
        session.close()


def task(seed, **more):
    return {"taskType": "useapi/images/create", "model": "gen4", "text_prompt": f"ship {seed}", "seed": seed,
            "aspect_ratio": "4:1", **more}  # fmt: skip


def ledger(sandbox):
    return sandbox.control("ledger")


def served_by(sandbox):
    """Returns how many tasks each account got."""
    return Counter(
        charge["task_id"].partition("-runwayml:")[2].rpartition("-task:")[0] for charge in ledger(sandbox)["charges"]
    )


def chi_square(counts, expected):
    return sum((counts.get(name, 0) - wanted) ** 2 / wanted for name, wanted in expected.items())


def test_600_tasks_keep_to_the_limit_of_every_account(sandbox, open_session):
    session = open_session(fetches_media=False)
    jobs = session.submit_all([task(seed) for seed in range(1, 601)], service="useapi", agreed=True)
    assert all(len(job.result(300)) == 1 for job in jobs)
    account = ledger(sandbox)["accounts"]
    peaks = {email: account[email]["peak_jobs"] for email in LIMITS}
    assert all(0 < peaks[email] <= most for email, most in LIMITS.items()), peaks
    records = [session.log.find(job.task_uuid) for job in jobs]
    charged = [charge["task_id"] for charge in ledger(sandbox)["charges"]]
    assert len(charged) == 600
    assert {record.remote_id for record in records} == set(charged)
    assert {record.state for record in records} == {State.SUCCEEDED}
    links = {record.results[0].url for record in records}
    assert len(links) == 600  # each run has the result of its own task


async def _create_and_release(sandbox, count):
    """Creates tasks and frees the slot of each, so that every account always has capacity."""
    async with UseApi(sandbox.token, url=sandbox.url, clock=Clock(SCALE)) as client:
        for seed in range(count):
            created = await client.images_create("gen4", f"ship {seed}")
            await client.untrack(created.task_id)


def test_the_choice_is_uniform_among_accounts_with_capacity(sandbox):
    sandbox.faults({"kind": "latency", "seconds": 100_000, "count": 1000})
    asyncio.run(_create_and_release(sandbox, 150))
    assert chi_square(served_by(sandbox), dict.fromkeys(LIMITS, 50)) < FIVE_PERCENT[2]


def test_the_choice_is_uniform_among_the_others_if_one_is_full(sandbox):
    sandbox.faults({"kind": "latency", "seconds": 100_000, "count": 1000})

    async def fill():
        async with UseApi(sandbox.token, url=sandbox.url) as client:
            for seed in range(LIMITS[FIRST]):
                await client.images_create("gen4", f"full {seed}", email=FIRST)

    asyncio.run(fill())
    asyncio.run(_create_and_release(sandbox, 100))
    counts = served_by(sandbox)
    assert counts.pop(FIRST) == LIMITS[FIRST]
    assert chi_square(counts, {SECOND: 50, THIRD: 50}) < FIVE_PERCENT[1]


def test_an_account_in_error_is_left_out_until_it_is_posted_again(sandbox, open_session):
    session = open_session(fetches_media=False)
    sandbox.faults({"kind": "expire_session"})
    with pytest.raises(TaskFailed, match="adds it again with its password"):
        session.submit(task(1), service="useapi", agreed=True).result(60)
    provider = session.provider("useapi")
    provider.limiter.expire()
    jobs = [session.submit(task(seed), service="useapi", agreed=True) for seed in range(2, 62)]
    for job in jobs:
        job.result(120)
    counts = served_by(sandbox)
    assert len(counts) == 2
    (broken,) = set(LIMITS) - set(counts)
    assert provider.limiter.most == sum(LIMITS.values()) - LIMITS[broken]
    sandbox.add_account(broken, LIMITS[broken])
    job = session.submit(task(99, account=broken), service="useapi", agreed=True)
    assert job.result(60)[0].raw["account"] == broken


def test_without_capacity_the_client_waits_and_every_task_is_done_once(sandbox, open_session):
    """Another program uses all slots, so the service answers 429."""
    most = sum(LIMITS.values())
    sandbox.faults({"kind": "latency", "seconds": 1000, "count": most})

    async def fill():
        async with UseApi(sandbox.token, url=sandbox.url) as client:
            await asyncio.gather(*(client.images_create("gen4", f"full {seed}") for seed in range(most)))

    asyncio.run(fill())
    session = open_session(fetches_media=False)
    jobs = session.submit_all([task(seed) for seed in range(1, 21)], service="useapi", agreed=True)
    waited = set()
    for job in jobs:
        job.on_change(lambda job=job: waited.add((job.waiting or "").partition(":")[0]))
    for job in jobs:
        job.result(200)
    assert "waiting to be sent again" in waited
    account = ledger(sandbox)["accounts"]
    assert {email: account[email]["peak_jobs"] for email in LIMITS} == LIMITS
    assert len(ledger(sandbox)["charges"]) == most + 20
    assert {session.log.find(job.task_uuid).attempts for job in jobs} == {1}  # refused attempts are withdrawn


KILLED = """
import dataclasses, random, sys, time
from pathlib import Path
from runware_nb.net.clock import Clock
from runware_nb.providers.useapi.package import PACKAGE
from runware_nb.providers.useapi.provider import UseApiProvider
from runware_nb.session import Session
from runware_nb.settings import load_settings
package = dataclasses.replace(PACKAGE, build=lambda context: UseApiProvider(context, clock=Clock(float(sys.argv[2]))))
session = Session(load_settings().with_values(home=Path(sys.argv[1])), packages=[package])
tasks = [{"taskType": "useapi/images/create", "model": "gen4", "text_prompt": f"ship {n}", "seed": n, "aspect_ratio": "4:1"} for n in range(1, 61)]
jobs = session.submit_all(tasks, service="useapi", agreed=True)
is_counted = {
    "sent": lambda job: job.record.attempts > 0,
    "refused": lambda job: str(job.waiting).startswith("waiting to be sent again"),
}[sys.argv[4]]
while len(counted := [job.task_uuid for job in jobs if is_counted(job)]) < int(sys.argv[3]):
    time.sleep(0.002)
print("now", *counted, flush=True)
time.sleep(60)
"""


def _run_and_kill(sandbox, home, scale, number, state="sent"):
    """Starts a kernel with 60 tasks, and kills it when so many have been claimed, or wait after a refusal. Returns their ids."""
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")]),
        "USEAPI_TOKEN": sandbox.token, "RUNWARE_NB_USEAPI_URL": sandbox.url,
    }  # fmt: skip
    arguments = [sys.executable, "-c", KILLED, str(home), str(scale), str(number), state]
    kernel = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=REPO, env=environment)
    now, *counted = kernel.stdout.readline().split()
    assert now == "now"
    kernel.send_signal(signal.SIGKILL)
    kernel.wait()
    kernel.stdout.close()
    return counted


def _wait_for_arrivals(sandbox):
    """Waits until what a killed kernel had on its way has arrived: until nothing changes any more."""
    before, after = None, len(ledger(sandbox)["charges"])
    while before != after:
        time.sleep(0.2)
        before, after = after, len(ledger(sandbox)["charges"])


@pytest.mark.parametrize("sent", random.Random(4711).sample(range(1, 40), 3))
def test_after_a_kill_accepted_tasks_are_collected_and_nothing_is_sent_twice(sandbox, open_session, tmp_path, sent):
    """One in six responses is lost, before or after acceptance, and the kernel is killed at some moment."""
    sandbox.faults(
        {"kind": "cut", "when": "after_accept", "rate": 0.1, "count": 1000},
        {"kind": "cut", "when": "before_accept", "rate": 0.07, "count": 1000},
    )
    _run_and_kill(sandbox, tmp_path / "home", SCALE, sent)
    _wait_for_arrivals(sandbox)
    before = {charge["task_id"] for charge in ledger(sandbox)["charges"]}
    sandbox.faults()

    session = open_session(fetches_media=False)
    attempted = [run for run in session.log.recent(None) if run.attempts]
    assert len(attempted) >= sent
    jobs = [session.job(run.task_uuid) for run in attempted if not run.is_finished]
    unknown = set()
    for job in jobs:
        try:
            assert len(job.result(60)) == 1
        except FateUnknown:
            unknown.add(job.task_uuid)
    after = ledger(sandbox)["charges"]
    assert {charge["task_id"] for charge in after} == before  # nothing was submitted by the resume
    assert len(after) == len(before)
    runs = {run.task_uuid: run for run in session.log.recent(None)}
    collected = {run.remote_id for run in runs.values() if run.remote_id is not None}
    assert collected == before  # every accepted task is in the log, found by its id or by our reference
    assert {run.state for run in runs.values() if run.remote_id is not None} <= {State.SUCCEEDED}
    assert {run.task_uuid for run in runs.values() if run.attempts and run.remote_id is None} == unknown
    assert all(runs[task_uuid].state is State.UNKNOWN for task_uuid in unknown)
    assert unknown <= {run.task_uuid for run in session.pending()}
    assert len(before) + len(unknown) == len(attempted)


def test_a_kernel_that_waits_for_a_slot_when_it_is_killed_leaves_runs_that_were_not_sent(
    sandbox, open_session, tmp_path
):
    """A 429 states that nothing was started, so what it refused may be sent by the next kernel, once."""
    sandbox.faults({"kind": "busy", "count": 10_000, "retry_after_s": 170})
    waiting = _run_and_kill(sandbox, tmp_path / "home", 1.0, 3, "refused")
    _wait_for_arrivals(sandbox)
    sandbox.faults()
    session = open_session(fetches_media=False)
    pending = session.pending()
    assert len(pending) == 60
    refused = [run for run in pending if run.task_uuid in waiting]
    assert len(refused) == len(waiting) >= 3
    assert not any(run.attempts for run in refused)
    assert ledger(sandbox)["charges"] == []
    for run in refused[:3]:
        assert len(session.engine.known.resume_run(run, sends=True).result(60)) == 1
    assert len(ledger(sandbox)["charges"]) == 3
