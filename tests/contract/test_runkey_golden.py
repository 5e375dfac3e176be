"""The client against the examples of RunKey's documentation, as the sandbox answers them."""

import json
from pathlib import Path

import pytest

from runware_nb.errors import AuthenticationFailed, RateLimited
from runware_nb.providers.runkey.client import RunKey
from tests.runkey_sandbox import RunKeyProcess, new_clock

CASES = {case["name"]: case for case in json.loads((Path(__file__).parent / "runkey.json").read_text())}
QUICK = CASES["quick example: run"]["request"]


@pytest.fixture(scope="module")
def process():
    process = RunKeyProcess("--time-scale", "0.001")  # only `advance` moves the clock
    yield process
    process.close()


@pytest.fixture
def ask(process, run_async):
    """Prepares the sandbox for an example, and asks with a client."""
    process.clear()
    process.template("tpl_abc123", run_s=8)

    def send(name, question):
        case = CASES[name]
        process.set("behaviour", case.get("behaviour", {}))
        task_id = process.start("tpl_abc123", QUICK["input"]) if case.get("before") else ""
        if "advance_s" in case:
            process.advance(case["advance_s"])
        process.set("faults", case.get("faults", []))

        async def use():
            key = case.get("key", process.api_key)
            async with RunKey(key, url=process.url, clock=new_clock(), max_wait_s=20) as client:
                return await question(client, case, task_id)

        return run_async(use())

    return send


@pytest.mark.parametrize("name", ["quick example: run", "full example: run"])
def test_run(ask, process, name):
    task = ask(name, lambda client, case, _: client.run(**case["request"]))
    assert (task.status, task.is_finished) == ("queued", False)
    assert process.data(task.task_id)["template_id"] == "tpl_abc123"
    assert (task.created_at is None) == (name == "quick example: run")


def test_quick_poll(ask):
    task = ask("quick example: poll", lambda client, _, task_id: client.task(task_id))
    assert (task.status, task.processing_time_s, task.credits_used) == ("completed", 8.2, 15)
    assert set(task.output) == {"result_url", "thumbnail_url"}
    assert task.template_id is None


def test_running_task(ask):
    task = ask("running task", lambda client, _, task_id: client.task(task_id))
    assert (task.status, task.progress, task.template_id) == ("running", 65, "tpl_abc123")
    assert task.completed_at is None


def test_completed_task(ask):
    task = ask("completed task", lambda client, _, task_id: client.task(task_id))
    assert (task.status, task.input, task.is_finished) == ("completed", QUICK["input"], True)
    assert task.created_at <= task.started_at <= task.completed_at


def test_account(ask):
    account = ask("account", lambda client, *_: client.account())
    assert (account.email, account.balance, account.plan) == ("user@example.com", 5000, "pro")


def test_error_envelope(ask):
    with pytest.raises(AuthenticationFailed) as caught:
        ask("error envelope", lambda client, *_: client.account())
    assert (caught.value.code, caught.value.http_status) == ("40001", 401)
    assert caught.value.request_id.startswith("req_")


def test_rate_limited_envelope(ask, process):
    """After the stated 30 s the question is asked again, and succeeds. Without the time for it, it fails at once."""
    assert ask("rate-limited envelope", _patient_account).plan == "pro"
    process.set("faults", [])


async def _patient_account(client, *_):
    with pytest.raises(RateLimited) as caught:
        await client._ask("/account", client.clock.now() + 1)
    assert caught.value.retry_after_s == 30
    client.max_wait_s = 100
    return await client.account()
