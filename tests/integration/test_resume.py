"""pending, resume and discard: after a crash, what was sent is collected, and nothing is sent unasked."""

import dataclasses
import json
import uuid

import pytest
import sqlalchemy as sa

from runware_nb.commands import find_command
from runware_nb.commands.arguments import LineParser
from runware_nb.commands.resume import _notes_on_others
from runware_nb.errors import MagicUsageError, RunLogError, TaskNotFound
from runware_nb.runlog import State
from runware_nb.runlog.schema import runs
from tests.conftest import TASK
from tests.runs import run_record


def command(session, name, *words):
    module = find_command(name)
    parser = LineParser(name, module.SUMMARY)
    module.add_arguments(parser)
    return module.run(session, parser.read(list(words)))


@pytest.fixture
def left_behind(sandbox, make_session, run_async):
    """What dead kernels leave: a run that never left, one that was claimed and lost, one that was accepted."""
    session = make_session(sandbox)
    job = session.submit({**TASK, "webhookURL": "https://example.com/hook?token=secret"})
    job.result()
    names = {}

    async def leave():
        for what in ("prepared", "lost", "accepted"):
            name = names[what] = str(uuid.uuid4())
            fields = {"state": State.PREPARED, "attempts": 0, "sent_at_utc": None, "finished_at_utc": None}
            record = dataclasses.replace(job.record, task_uuid=name, attempt_uuid=name, results=[], **fields)
            await session.log.prepare(record)
            request = {**record.request, "taskUUID": name}
            if what != "prepared":
                await session.log.mark_sent(name, name, 1, record.created_at_utc, json.dumps(request))
            if what == "accepted":
                await session.client().send([request])

    from runware_nb.loop import background_loop, wait

    wait(background_loop().submit(leave()))
    session.close()
    return names


def test_resume_collects_what_was_sent_and_sends_nothing(sandbox, make_session, left_behind):
    session = make_session(sandbox)
    listed = command(session, "pending")
    assert {row["task_uuid"] for row in listed.json} == set(left_behind.values())
    assert "1 run was not sent: `resume --send` sends" in listed.notes[1]
    answer = command(session, "resume")
    states = {row["task_uuid"]: row["state"] for row in answer.json}
    assert states[left_behind["accepted"]] == "succeeded"
    assert states[left_behind["prepared"]] == "prepared"
    assert states[left_behind["lost"]] == "sent"
    assert answer.is_failure
    assert any("does not know" in note for note in answer.notes)
    assert any("Not sent, at no cost" in note and left_behind["prepared"][:8] in note for note in answer.notes)
    assert len(sandbox.charges()) == 2


def test_resume_send_sends_each_once_under_its_own_uuid(sandbox, make_session, left_behind):
    session = make_session(sandbox)
    answer = command(session, "resume", "--send")
    assert not answer.is_failure
    assert {row["state"] for row in answer.json} == {"succeeded"}
    assert all(session.media.find(row["results"][0]["file"]) for row in answer.json)
    assert {charge["task_uuid"] for charge in sandbox.charges()} >= set(left_behind.values())
    assert len(sandbox.charges()) == 4
    assert command(session, "pending").json == []
    assert command(session, "resume", "--send").json == []  # idempotent
    assert len(sandbox.charges()) == 4


def test_one_run_can_be_chosen(sandbox, make_session, left_behind):
    session = make_session(sandbox)
    answer = command(session, "resume", "--send", left_behind["prepared"][:8])
    assert [row["task_uuid"] for row in answer.json] == [left_behind["prepared"]]
    assert len(command(session, "pending").json) == 2


def test_discard_hides_and_collects_quietly(sandbox, make_session, left_behind):
    session = make_session(sandbox)
    for name in left_behind.values():
        assert command(session, "discard", name[:8]).json["state"] == "discarded"
    assert command(session, "pending").json == []
    collecting = session.jobs.get(left_behind["accepted"])
    assert collecting is None or collecting.future.result(20)
    found = session.log.find(left_behind["accepted"])
    assert (found.state, len(found.results)) == (State.DISCARDED, 1)
    assert len(sandbox.charges()) == 2


def test_a_finished_run_cannot_be_discarded(sandbox, make_session):
    session = make_session(sandbox)
    outcome = session.submit(TASK).result()
    with pytest.raises(MagicUsageError, match="is finished"):
        command(session, "discard", outcome.task_uuid)


def test_nothing_pending_is_no_failure(sandbox, make_session):
    session = make_session(sandbox)
    for name in ("pending", "resume"):
        answer = command(session, name)
        assert (answer.json, answer.is_failure) == ([], False)
        assert "nothing is pending" in answer.bundle["text/plain"]


def test_an_unknown_run_is_joined_and_asked_about_but_not_sent_again(sandbox, make_session, left_behind):
    """It may have been paid for: neither the same request nor `resume` sends it, and it stays listed."""
    session = make_session(sandbox)
    name = left_behind["lost"]

    async def forget():
        await session.log.set_state(name, State.UNKNOWN)

    from runware_nb.loop import background_loop, wait

    wait(background_loop().submit(forget()))
    with session.log.changing() as connection:  # a living kernel would be given a minute to send it
        connection.execute(
            sa.update(runs).where(runs.c.task_uuid == name).values(sent_at_utc="2026-01-01T00:00:00+00:00")
        )
    charges = len(sandbox.charges())
    record = session.log.find(name)
    sent = [run for run in session.log.recent() if run.state is State.SUCCEEDED]
    assert [run.remote_id for run in sent] == [run.attempt_uuid for run in sent] != []
    job = session.engine.known.join(record, {**record.request, "taskUUID": name}, scope=None)
    with pytest.raises(TaskNotFound):
        job.result()
    with pytest.raises(RunLogError, match="may have been accepted"):
        session.discard(session.log.find(name))
    assert len(sandbox.charges()) == charges
    assert name in [run.task_uuid for run in session.pending() if run.state is State.UNKNOWN]


def test_runs_of_another_service_are_not_called_nothing(sandbox, make_session):
    session = make_session(sandbox)

    async def leave():
        await session.log.prepare(run_record(7, provider="elsewhere"))

    from runware_nb.loop import background_loop, wait

    wait(background_loop().submit(leave()))
    answer = command(session, "resume")
    assert answer.bundle["text/plain"] == "nothing was collected"
    assert answer.notes[0] == (
        f"1 run was not collected, because it belongs to the service 'elsewhere', which is not in use: "
        f'{run_record(7).task_uuid[:8]}. `rw.command("sandbox", stop=True)`, then `rw.resume()`, collects it.'
    )


def test_runs_of_the_sandbox_are_named_when_it_is_not_in_use(sandbox, make_session):
    session = make_session(sandbox)
    runs = [run_record(7, provider="sandbox"), run_record(8, provider="sandbox")]
    (note,) = _notes_on_others(session, runs)
    assert note == (
        "2 runs were not collected, because they belong to the sandbox, which is not in use: "
        f"{runs[0].task_uuid[:8]}, {runs[1].task_uuid[:8]}. "
        '`rw.command("sandbox")`, then `rw.resume()`, collects them.'
    )
