"""RunKey goes through the whole engine: fates, money, results, recorded answers, and its own statements about failures."""

import getpass
import logging
import time
import traceback
from argparse import Namespace

import pytest

import runware_nb as rw
from runware_nb.commands import find_command
from runware_nb.errors import (
    ArgumentInvalid,
    AuthenticationFailed,
    BudgetExceeded,
    ConfigError,
    FateUnknown,
    NotConfirmed,
    OutOfCredit,
    ProviderFailed,
    TaskError,
    TaskFailed,
    TaskInvalid,
    TransportTimeout,
)
from runware_nb.loop import background_loop, wait
from runware_nb.media.compare import Verdict
from runware_nb.net.trace import wire_trace
from runware_nb.providers.runkey.client import RunKey
from runware_nb.reproduce.bundle import make_bundle, merge_bundle
from runware_nb.reproduce.code import code_for
from runware_nb.reproduce.replay import original_of, send_again
from runware_nb.reproduce.verify import plan_verification, verify
from runware_nb.runlog import State
from runware_nb.runlog.filters import RunFilter
from runware_nb.sandbox.runkey.faults import chaos
from runware_nb.session import Session
from runware_nb.settings import Settings
from tests.runkey_sandbox import SCALE, RunKeyProcess, new_clock, runkey_package

GIVEN = {"prompt": "a lighthouse", "seed": 7, "width": 64, "height": 64}


@pytest.fixture(scope="module")
def _process():
    process = RunKeyProcess("--time-scale", str(SCALE))
    yield process
    process.close()


@pytest.fixture
def runkey(_process, monkeypatch):
    _process.clear()
    monkeypatch.setenv("RUNKEY_API_KEY", _process.api_key)
    return _process


@pytest.fixture
def open_session(runkey, tmp_path, monkeypatch):
    sessions = []

    def build(*, key=None, clock=None, **values):
        if key is not None:
            monkeypatch.setenv("RUNKEY_API_KEY", key)
        settings = Settings(home=tmp_path / ".runware").with_values(runkey_url=runkey.url, **values)
        sessions.append(Session(settings, packages=[runkey_package(clock)]))
        return sessions[-1]

    yield build
    for session in sessions:
        session.close()


def submit(session, template="tpl_image", given=GIVEN, *, agreed=True, **more):
    task = {"taskType": "runkey/run", "model": template, "input": dict(given), **more}
    return session.submit(task, service="runkey", agreed=agreed)


def charges(runkey):
    return runkey.read("ledger")["charges"]


def started(runkey):
    return len(runkey.read("tasks")["tasks"])


# --- results and money ----------------------------------------------------------------------------


def test_an_image_is_stored_and_recorded_in_credits(runkey, open_session):
    session = open_session()
    job = submit(session)
    outcome = job.result(30)
    assert str(outcome.cost) == "15 credits"
    assert outcome.cost_usd is None
    assert [result.image.size for result in outcome] == [(64, 64)]
    record = session.log.find(job.task_uuid)
    assert (record.state, record.provider, record.operation, record.model) == (
        State.SUCCEEDED, "runkey-sandbox", "runkey-run", "tpl_image",
    )  # fmt: skip
    assert (record.cost, record.cost_unit, record.prompt) == (15.0, "credits", "a lighthouse")
    assert record.remote_id.startswith("task_")
    assert record.results[0].raw["runkey"]["output"]["thumbnail_url"]
    assert (charges(runkey)[0]["task_id"], len(charges(runkey))) == (record.remote_id, 1)
    assert "a lighthouse" in outcome._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize(
    ("template", "kind"), [("tpl_video", "video/mp4"), ("tpl_audio", "audio/mpeg")]
)  # fmt: skip
def test_videos_and_audio_are_files_of_their_kind(open_session, template, kind):
    session = open_session()
    job = submit(session, template)
    (result,) = job.result(60)
    assert result.path.exists()
    assert session.log.find(job.task_uuid).results[0].media_type == kind


@pytest.mark.parametrize("template", ["tpl_json", "tpl_inline"])
def test_json_is_a_structured_result(open_session, template):
    job = submit(open_session(), template)
    (result,) = job.result(30)
    assert result.structured["labels"] == ["sandbox"]
    assert result.structured["input"] == GIVEN
    assert job.notices == []


def test_a_seed_in_the_input_makes_the_same_request_free(runkey, open_session):
    session = open_session()
    first, second = submit(session), submit(session)
    assert first.result(30)[0].path == second.result(30)[0].path
    session.close()
    third = submit(open_session(), agreed=False)
    assert third.result(30).is_recorded
    assert "it cost 15 credits when it was generated" in " ".join(third.notices)
    assert len(charges(runkey)) == 1
    given = {name: value for name, value in GIVEN.items() if name != "seed"}
    sent = runkey.data(third.record.remote_id)["input"]
    assert sent == GIVEN
    unseeded = [submit(open_session(), "tpl_inline", given) for _ in range(2)]
    assert not any(job.result(30).is_recorded for job in unseeded)


def test_a_price_is_unknown_until_own_runs_show_it(runkey, open_session):
    session = open_session()
    with pytest.raises(NotConfirmed, match="price of tpl_image is unknown"):
        submit(session, agreed=False)
    submit(session).result(30)
    plan = session.plan({"taskType": "runkey/run", "model": "tpl_image", "input": {"seed": 8}}, service="runkey")
    assert str(plan.price) == "about 15 credits (median of 1 of your similar runs)"
    session.configure(budget_credits=20.0)
    with pytest.raises(BudgetExceeded, match="credits"):
        submit(session, given={**GIVEN, "seed": 8}).result(30)
    assert len(charges(runkey)) == 1


def test_replay_and_replay_mode(runkey, open_session):
    session = open_session()
    job = submit(session)
    job.result(30)
    again = send_again(session, original_of(session, session.log.find(job.task_uuid)), agreed=True)
    assert again.job.result(30)[0].received_sha256 == job.result(30)[0].received_sha256
    session.close()
    replay = open_session(mode="replay")
    assert submit(replay).result(30).is_recorded
    assert len(charges(runkey)) == 2


def test_verify_and_bundle(runkey, open_session, tmp_path):
    """An image is made again and compared; a bundle brings the run into another log, where it answers at no cost."""
    session = open_session()
    job = submit(session)
    job.result(30)
    run = session.log.find(job.task_uuid)
    (checked,) = verify(session, plan_verification(session, [run], budget_usd=None), agreed=True)
    assert (checked.why_not, checked.cost, checked.cost_unit) == (None, 15.0, "credits")
    assert checked.verdict is Verdict.EXACT
    make_bundle(session, tmp_path / "runs.zip", [run])
    other = Session(
        Settings(home=tmp_path / "other" / ".runware").with_values(runkey_url=runkey.url), packages=[runkey_package()]
    )
    merge_bundle(other, tmp_path / "runs.zip")
    assert other.log.find(job.task_uuid).cost == 15.0
    other.close()
    assert len(charges(runkey)) == 2


def test_a_result_is_used_by_its_url_and_is_the_parent(runkey, open_session):
    session = open_session()
    parent = submit(session)
    (result,) = parent.result(30)
    child = submit(session, "tpl_inline", {"image_url": result, "seed": 1})
    assert child.result(30)[0].structured["input"] == {"image_url": result.url, "seed": 1}
    record = session.log.find(child.task_uuid)
    assert record.parent_uuid == parent.task_uuid
    assert record.request["assets"] == {"image_url": result.url}
    again = send_again(session, original_of(session, record), agreed=True)
    assert again.job.result(30)[0].structured["input"] == {"image_url": result.url, "seed": 1}
    source = code_for(record, session.media.folder)
    assert "rw.runkey.run(" in source
    assert f"{{'image_url': '{result.url}', 'seed': 1}}" in source
    by_url = submit(session, "tpl_inline", {"image_url": result.url, "seed": 1})
    assert by_url.result(30)[0].structured["input"]["image_url"] == result.url


def test_files_are_refused_because_there_is_no_upload(runkey, open_session, tmp_path):
    session = open_session()
    for value in (tmp_path / "a.png", b"\x89PNG"):
        with pytest.raises(TaskInvalid, match=r"RunKey has no upload.*Nothing was sent"):
            submit(session, given={"image_url": value})
    with pytest.raises(TaskInvalid, match="RunKey has no upload"):
        submit(session, given={}, assets={"image_url": "cat.png"})
    assert session.log.count() == 0


def test_an_expired_file_states_that_it_is_gone(runkey, open_session):
    runkey.set("faults", [{"kind": "expire"}])
    job = submit(open_session())
    job.result(30)
    assert "no longer has this file" in " ".join(job.notices)
    assert job.record.results[0].medium_state == "expired"


# --- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"), [(40001, AuthenticationFailed), (40002, OutOfCredit), (40004, TaskInvalid), (40005, TaskInvalid)]
)
def test_a_refusal_is_not_charged_and_not_repeated(runkey, open_session, code, kind):
    session = open_session()
    runkey.set("faults", [{"kind": "refuse", "code": code, "msg": "No.", "status": 418}])
    job = submit(session)
    with pytest.raises(kind, match=rf"code {code}, request req_") as caught:
        job.result(30)
    assert caught.value.request_id.startswith("req_")
    record = session.log.find(job.task_uuid)
    assert (record.state, record.attempts) == (State.FAILED, 1)
    assert started(runkey) == 0


def test_no_gpu_is_tried_again_a_few_times(runkey, open_session):
    session = open_session()
    runkey.set("faults", [{"kind": "refuse", "code": 50002, "count": 2}])
    job = submit(session)
    job.result(30)
    assert session.log.find(job.task_uuid).attempts == 1  # those that were refused are withdrawn
    other = submit(session, runkey.template("tpl_none", scenario="no_gpu"))
    with pytest.raises(ProviderFailed, match="no GPU is available"):
        other.result(30)
    assert session.log.find(other.task_uuid).attempts == 1
    assert started(runkey) == 1


def test_a_limit_of_the_account_is_waited_for(runkey, open_session):
    session = open_session()
    runkey.set("faults", [{"kind": "refuse", "code": 40003, "retry_after_s": 30, "count": 6}])
    job = submit(session)
    job.result(30)
    assert session.log.find(job.task_uuid).attempts == 1
    assert len(charges(runkey)) == 1


@pytest.mark.parametrize("retry_after", ["header", "both", "none"])
def test_a_task_above_the_limit_of_another_program_waits_for_its_place(runkey, open_session, retry_after):
    """Its deadline starts when it has a place, so it cannot end before."""
    runkey.set("behaviour", {"retry_after": retry_after})
    runkey.set("account", {"plan": "free"})
    runkey.template("tpl_others", run_s=2 * SCALE)
    for _ in range(5):
        runkey.start("tpl_others")
    session = open_session()
    job = submit(session)
    job.result(30)
    record = session.log.find(job.task_uuid)
    assert (record.state, record.attempts) == (State.SUCCEEDED, 1)  # those that were refused are withdrawn
    assert runkey.read("requests")["run"] > 6
    assert len(charges(runkey)) == 6


def test_without_a_key_nothing_is_sent(runkey, open_session, monkeypatch):
    session = open_session()
    monkeypatch.delenv("RUNKEY_API_KEY")
    with pytest.raises(ConfigError, match=r"No RunKey\.ai API key"):
        submit(session)
    assert session.log.count() == 0


# --- fates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "tasks"),
    [
        ({"kind": "cut", "when": "before_accept"}, 0),
        ({"kind": "cut", "when": "after_accept"}, 1),
        ({"kind": "cut", "when": "mid_body"}, 1),
        ({"kind": "html", "status": 502}, 0),
        ({"kind": "html", "status": 200}, 0),
        ({"kind": "html", "status": 429}, 0),
        ({"kind": "refuse", "code": 50001}, 0),
        ({"kind": "refuse", "code": 50099}, 0),
        ({"kind": "refuse", "code": 50003}, 0),
    ],
)
def test_a_lost_response_is_an_unknown_fate_that_is_never_sent_again(runkey, open_session, fault, tasks):
    """Neither the same request, nor a new kernel, nor `resume` sends it again; the log lists it."""
    session = open_session(budget_credits=1000.0)
    runkey.set("faults", [fault])
    job = submit(session)
    with pytest.raises(FateUnknown, match=r"may have been accepted and charged.*not sent again") as caught:
        job.result(30)
    assert "asks the service again" not in str(caught.value), "RunKey cannot be asked for it"
    notes = find_command("pending").run(session, Namespace(cancel=False, all=False)).notes
    assert sum(note.count("may have been accepted") for note in notes) == 1
    assert "asks the service again" not in " ".join(notes)
    record = session.log.find(job.task_uuid)
    assert (record.state, record.remote_id, record.attempts) == (State.UNKNOWN, None, 1)
    with pytest.raises(FateUnknown):
        submit(session).result(30)
    session.close()
    again = open_session()
    assert [run.task_uuid for run in again.pending()] == [job.task_uuid]
    with pytest.raises(FateUnknown):
        again.engine.known.resume_run(again.log.find(job.task_uuid), sends=True).result(30)
    assert again.log.find(job.task_uuid).state is State.UNKNOWN
    assert started(runkey) == tasks


def test_a_gateway_that_turns_the_request_away_refuses_it(runkey, open_session):
    session = open_session()
    runkey.set("faults", [{"kind": "html", "status": 403}])
    job = submit(session)
    with pytest.raises(TaskFailed, match=r"refused before it reached RunKey\. Nothing was accepted or charged"):
        job.result(30)
    assert session.log.find(job.task_uuid).state is State.FAILED


def test_an_id_that_cannot_be_used_is_an_unknown_fate(runkey, open_session):
    runkey.set("behaviour", {"task_ids": "unsafe"})
    session = open_session()
    job = submit(session)
    with pytest.raises(FateUnknown, match="task id that cannot be used"):
        job.result(30)
    assert session.log.find(job.task_uuid).state is State.UNKNOWN


def test_a_service_that_cannot_be_reached_was_sent_nothing(open_session, tmp_path):
    session = open_session()
    session.configure(runkey_url="http://127.0.0.1:9/v1")
    job = submit(session)
    with pytest.raises(Exception, match="cannot be reached"):
        job.result(30)
    record = session.log.find(job.task_uuid)
    assert record.is_finished
    assert record.state is not State.UNKNOWN


def test_odd_ids_are_percent_encoded(runkey, open_session):
    runkey.set("behaviour", {"task_ids": "odd"})
    session = open_session()
    job = submit(session)
    assert job.result(30)[0].image.size == (64, 64)
    assert session.log.find(job.task_uuid).remote_id == charges(runkey)[0]["task_id"]


@pytest.mark.parametrize(
    "faults",
    [
        [{"kind": "cut", "on": "task", "count": 3}],
        [{"kind": "cut", "when": "mid_body", "on": "task", "count": 3}],
        [{"kind": "html", "on": "task", "count": 3}],
        [{"kind": "refuse", "code": 50001, "on": "task", "count": 3}],
        [{"kind": "refuse", "code": 50002, "on": "task", "count": 3}],
        [{"kind": "refuse", "code": 40003, "on": "task", "count": 9}],
        [{"kind": "refuse", "code": 40006, "on": "task", "count": 2}],
        [{"kind": "odd_status", "on": "task", "count": 4}],
    ],
    ids=lambda faults: f"{faults[0]['kind']}-{faults[0].get('code') or faults[0].get('when')}",
)
def test_a_question_that_fails_says_nothing_about_the_task(runkey, open_session, faults):
    session = open_session()
    runkey.set("faults", faults)
    job = submit(session)
    assert job.result(30)[0].image.size == (64, 64)
    assert session.log.find(job.task_uuid).attempts == 1
    assert len(charges(runkey)) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "refuse", "code": 40006}, TaskError),
        ({"kind": "refuse", "code": 50001}, ProviderFailed),
        ({"kind": "refuse", "code": 40001}, AuthenticationFailed),
    ],
)
def test_a_question_that_fails_for_long_leaves_the_task_to_be_collected(runkey, open_session, fault, kind):
    session = open_session()
    runkey.set("faults", [{**fault, "on": "task", "count": None}])
    job = submit(session)
    with pytest.raises(kind):
        job.result(30)
    record = session.log.find(job.task_uuid)
    assert (record.state, record.is_finished) == (State.ACCEPTED, False)
    runkey.set("faults", [])
    assert session.job(job.task_uuid).result(30)[0].image.size == (64, 64)
    assert len(charges(runkey)) == 1


def test_a_deadline_does_not_end_the_task(runkey, open_session):
    session = open_session(timeout_s=2.0)
    job = submit(session, runkey.template("tpl_long", run_s=4 * SCALE))
    with pytest.raises(TransportTimeout, match="goes on at the service"):
        job.result(30)
    deadline = time.monotonic() + 30
    while session.log.find(job.task_uuid).state is not State.SUCCEEDED:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(charges(runkey)) == 1


# --- how tasks end ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "said", "code"),
    [
        ("object", "Out of memory, code 50001|Out of memory", "50001"),
        ("string", "Out of memory", "failed"),
        ("msg", "Out of memory", "failed"),
        ("message", "Out of memory", "failed"),
        ("error_code", "code 50001", "50001"),
        ("bare", "states no reason", "failed"),
    ],
)
def test_a_failed_task_states_the_reason_of_the_service(runkey, open_session, form, said, code):
    runkey.set("behaviour", {"failed_form": form})
    runkey.set("faults", [{"kind": "fail", "msg": "Out of memory"}])
    session = open_session()
    job = submit(session)
    with pytest.raises(TaskError, match=said) as caught:
        job.result(30)
    assert caught.value.code == code
    record = session.log.find(job.task_uuid)
    assert (record.state, record.attempts, record.cost) == (State.FAILED, 1, None)
    with pytest.raises(type(caught.value), match=said):
        session.job(job.task_uuid).result(30)
    assert started(runkey) == 1


@pytest.mark.parametrize("place", ["task", "call"])
def test_a_timeout_of_the_execution_ends_the_task_wherever_it_is_stated(runkey, open_session, place):
    runkey.set("behaviour", {"timeout_place": place})
    session = open_session()
    job = submit(session, runkey.template("tpl_time", scenario="timeout"))
    with pytest.raises(ProviderFailed, match="timed out"):
        job.result(30)
    record = session.log.find(job.task_uuid)
    assert (record.state, record.attempts) == (State.FAILED, 1)


@pytest.mark.parametrize("when", ["queued", "running"])
def test_a_canceled_task_ends(runkey, open_session, when):
    job = submit(open_session(), runkey.template("tpl_c", queue_s=10, run_s=10, scenario=f"cancel_{when}"))
    with pytest.raises(TaskFailed, match="was canceled"):
        job.result(30)


@pytest.mark.parametrize(("behaviour", "cost"), [({}, None), ({"failure_is_charged": True}, 15.0)])
def test_a_failed_task_costs_what_the_service_states(runkey, open_session, behaviour, cost):
    runkey.set("behaviour", behaviour)
    runkey.set("faults", [{"kind": "fail"}])
    session = open_session()
    job = submit(session)
    with pytest.raises(ProviderFailed):
        job.result(30)
    assert session.log.find(job.task_uuid).cost == cost


@pytest.mark.parametrize(
    "behaviour",
    [
        {"submit_status": 200, "submit_form": "short", "completed_form": "short"},
        {"submit_status": 201, "extra_fields": True},
        {"charge_at": "submit", "over_concurrent": "queue", "queued_counts": False, "window": "sliding"},
        {"rate_headers": "never"},
        {"rate_headers": "success", "limited_has_request_id": True, "credits_check": "price"},
        {"plan_case": "title"},
    ],
    ids="-".join,
)
def test_every_form_that_the_documents_leave_open_is_understood(runkey, open_session, behaviour):
    runkey.set("behaviour", behaviour)
    session = open_session()
    job = submit(session)
    assert job.result(30)[0].image.size == (64, 64)
    assert session.log.find(job.task_uuid).cost == 15.0


def test_a_charge_that_is_not_stated_is_unknown_and_not_free(runkey, open_session):
    runkey.set("behaviour", {"optional_fields": False})
    session = open_session()
    job = submit(session)
    assert job.result(30).cost is None
    assert session.log.find(job.task_uuid).cost is None


@pytest.mark.parametrize("scenario", ["preempted"])
def test_a_task_may_return_to_the_queue(runkey, open_session, scenario):
    job = submit(open_session(), runkey.template("tpl_back", run_s=20, scenario=scenario))
    assert job.result(30)[0].image.size == (64, 64)


def test_a_lost_balance_is_told_before_acceptance(runkey, open_session):
    runkey.set("account", {"balance": -3})
    with pytest.raises(OutOfCredit, match="does not have enough credits"):
        submit(open_session()).result(30)
    assert started(runkey) == 0


def test_chaos_loses_nothing(runkey, open_session):
    """Whatever is hit: each task is accepted at most once, and the log agrees with the ledger."""
    session = open_session(runkey_plan="pro")
    runkey.set("faults", chaos(0.3))
    jobs = [submit(session, "tpl_inline", {"prompt": f"ship {number}", "seed": number}) for number in range(25)]
    for job in jobs:
        try:
            job.result(120)
        except Exception:
            continue
    runkey.set("faults", [])
    for run in session.pending():
        if run.remote_id is not None:
            session.job(run.task_uuid).future.exception(120)
    runs = [session.log.find(job.task_uuid) for job in jobs]
    hashes = [task["request_hash"] for task in runkey.read("tasks")["tasks"]]
    assert len(hashes) == len(set(hashes))
    known = {run.remote_id for run in runs if run.state is State.SUCCEEDED}
    paid = {charge["task_id"] for charge in charges(runkey)}
    assert known <= paid
    assert len(paid - known) <= sum(run.state is State.UNKNOWN for run in runs)


# --- account, secrets ------------------------------------------------------------------------------


def test_the_account_is_shown_without_the_email(open_session):
    session = open_session()
    account = wait(background_loop().submit(session.provider("runkey").account()))
    assert str(account.balance) == "5000 credits"
    assert account.details == {"balance": 5000, "plan": "pro"}


@pytest.fixture
def trace():
    wire_trace.frames.clear()
    wire_trace.is_on = True
    yield wire_trace
    wire_trace.is_on = False
    wire_trace.frames.clear()


def test_secrets_are_nowhere(runkey, open_session, tmp_path, trace, caplog):
    """Key, webhook secret, a token in the callback URL, the e-mail address: in no file, repr, error, log or trace."""
    caplog.set_level(logging.DEBUG)
    token = "abcdefgh12345678"
    session = open_session(runkey_webhook_url=f"http://127.0.0.1:9/hook?token={token}")
    submit(session).result(30)
    runkey.set("faults", [{"kind": "refuse", "code": 40001, "msg": f"Bad key {runkey.api_key}"}])
    failed = submit(session, given={"prompt": "another", "seed": 2})
    with pytest.raises(AuthenticationFailed) as caught:
        failed.result(30)
    provider = session.provider("runkey")
    account = wait(background_loop().submit(provider.account()))
    shown = [repr(provider), repr(provider.client), repr(vars(provider)), repr(vars(provider.client.pace))]
    shown += [str(caught.value), repr(caught.value), "".join(traceback.format_exception(caught.value)), repr(account)]
    shown += [caplog.text, str(list(trace.frames)), str(failed.record.request), failed.record.request["webhookURL"]]
    make_bundle(session, tmp_path / "bundle", session.log.select(RunFilter()))
    session.close()
    assert len(trace.frames) > 4
    bodies = {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for secret in (runkey.api_key, runkey.secret, token, "user@example.com"):
        assert not [text for text in shown if secret in text]
        assert not [name for name, body in bodies.items() if secret.encode() in body]


def test_a_key_that_is_refused_says_so(runkey, open_session):
    with pytest.raises(AuthenticationFailed, match="key is missing or invalid"):
        submit(open_session(key="rk_live_wrong_4711_abc")).result(30)


# --- rw.runkey -------------------------------------------------------------------------------------


@pytest.fixture
def current(open_session, monkeypatch):
    session = open_session()
    monkeypatch.setattr("runware_nb.session.current._session", session)
    return session


def test_python_runs_a_template(runkey, current):
    job = rw.runkey.run("tpl_inline", {"prompt": "a ship"}, seed=3, tags="coast", note="first", agreed=True)
    assert job.result(30)[0].structured["input"] == {"prompt": "a ship", "seed": 3}
    record = current.log.find(job.task_uuid)
    assert (record.tags, record.note) == (("coast",), "first")
    again = rw.runkey.run("tpl_inline", prompt="a ship", seed=3)
    assert again.result(30).is_recorded
    fresh = rw.runkey.run(
        "tpl_inline", prompt="a ship", seed=3, fresh=True, webhook_url="http://127.0.0.1:9/hook", agreed=True
    )
    assert not fresh.result(30).is_recorded
    assert fresh.record.request["webhookURL"] == "http://127.0.0.1:9/hook"
    generic = rw.run({"model": "tpl_inline", "input": {"prompt": "a ship", "seed": 3}}, service="runkey")
    assert generic.result(30).is_recorded


def test_a_receiver_beside_the_notebook_wakes_the_wait(runkey, open_session, monkeypatch):
    """The clock of the session is real, so without the callback the first poll would come after 12 s."""
    monkeypatch.setenv("RUNKEY_WEBHOOK_SECRET", runkey.secret)
    session = open_session(clock=new_clock(scale=1))
    monkeypatch.setattr("runware_nb.session.current._session", session)
    receiver = rw.runkey.receiver()
    job = rw.runkey.run(runkey.template("tpl_100s", output="inline", run_s=100), seed=1, agreed=True)
    assert job.record.request["webhookURL"] == receiver.url_of("runkey")
    assert job.result(11)[0].structured["labels"] == ["sandbox"]
    assert runkey.read("requests")["task"] == 1
    assert [report.status for report in receiver.reports] == [204]


@pytest.mark.parametrize("how", ["forged", "wrong_signature", "missing_header", "tampered"])
def test_a_callback_that_is_refused_wakes_nothing_and_the_polls_go_on(runkey, current, monkeypatch, how):
    monkeypatch.setenv("RUNKEY_WEBHOOK_SECRET", runkey.secret)
    receiver = rw.runkey.receiver()
    runkey.set("faults", [{"kind": "webhook", "how": how}])
    job = rw.runkey.run("tpl_inline", seed=1, agreed=True)
    assert job.result(30)[0].structured["labels"] == ["sandbox"]
    deadline = time.monotonic() + 20
    while not receiver.reports:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert receiver.reports[0].status == 401


def test_python_reads_a_task_and_the_account(runkey, current):
    task_id = runkey.start("tpl_inline", {"a": 1})
    assert rw.runkey.task(task_id).task_id == task_id
    assert str(rw.runkey.account().balance) in {"5000 credits", "4985 credits"}
    with pytest.raises(TaskInvalid, match="cannot be part of a URL"):
        rw.runkey.task("a/b")


def test_python_refuses_what_is_ambiguous_or_no_object(current):
    with pytest.raises(ArgumentInvalid, match="each input once"):
        rw.runkey.run("tpl_inline", {"prompt": "a"}, prompt="b")
    with pytest.raises(TaskInvalid, match="expected an object"):
        rw.runkey.run("tpl_inline", [1])
    with pytest.raises(TaskInvalid, match="Invalid template id"):
        rw.runkey.run("")


# --- the bare client -------------------------------------------------------------------------------


def test_the_bare_client_runs_a_task_without_log(runkey, run_async):
    async def use():
        async with RunKey(runkey.api_key, url=runkey.url, clock=new_clock()) as client:
            task = await client.run("tpl_image", {"width": 64, "height": 64})
            seen = []
            done = await client.wait(task, on_progress=seen.append, timeout_s=30)
            body = await client.fetch(done.output["result_url"])
            account = await client.account()
            return task, done, body, account, await client.task(task.task_id)

    task, done, body, account, read = run_async(use())
    assert (task.status, done.status, done.credits_used, read.status) == ("queued", "completed", 15.0, "completed")
    assert body.startswith(b"\x89PNG")
    assert (account.balance, account.plan) == (4985.0, "pro")
    assert "user@" not in repr(account)


def log_in(session, monkeypatch, *words):
    """Enter a key, and no secret of webhooks, at the hidden prompts."""
    typed = iter([*words, ""])
    monkeypatch.setattr(getpass, "getpass", lambda _: next(typed))
    return find_command("login").run(session, Namespace(provider=["runkey"], forget=True)).bundle["text/plain"]


def test_a_key_that_is_replaced_or_forgotten_is_charged_no_more(runkey, open_session, monkeypatch):
    wrong = "rk_live_" + "WRONG" * 6
    session = open_session()
    submit(session).result(20)
    assert len(charges(runkey)) == 1
    with pytest.raises(AuthenticationFailed):  # not answered by the provider that has the right key
        log_in(session, monkeypatch, wrong)
    submit(session, given={**GIVEN, "seed": 8}).result(20)  # what was in use stays in use
    monkeypatch.setenv("RUNKEY_API_KEY", wrong)
    with pytest.raises(AuthenticationFailed):
        submit(session, given={**GIVEN, "seed": 9}).result(20)
    assert "The service accepted" in log_in(session, monkeypatch, runkey.api_key)
    submit(session, given={**GIVEN, "seed": 10}).result(20)
    assert len(charges(runkey)) == 3
    monkeypatch.delenv("RUNKEY_API_KEY")
    submit(session, given={**GIVEN, "seed": 11}).result(20)  # it was entered
    find_command("logout").run(session, Namespace(provider=["runkey"]))
    with pytest.raises(ConfigError, match="No RunKey"):
        submit(session, given={**GIVEN, "seed": 12})
    assert len(charges(runkey)) == 4
