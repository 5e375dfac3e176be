"""A recorded answer whose file is not here: downloaded again while the service has it, never paid for again."""

import dataclasses

import fsspec
import pytest
from PIL import Image

from runware_nb.commands import diff, gallery
from runware_nb.commands.images_in import find_image
from runware_nb.engine.input_lineage import restore_inputs
from runware_nb.engine.thumbnails import picture_of
from runware_nb.errors import MediaError
from runware_nb.loop import background_loop, wait
from runware_nb.reproduce.gallery import gallery_page
from runware_nb.reproduce.replay import original_of
from runware_nb.runlog import State
from tests.conftest import TASK

SEEDED = {**TASK, "seed": 7}
UPSCALE = {"taskType": "upscale", "model": "runware:504@1", "upscaleFactor": 2}


@pytest.fixture
def machines(sandbox, make_session, log_url, tmp_path):
    """Sessions of several machines: one log, and a folder of media each."""

    def machine(name, **values):
        return make_session(sandbox, log_url=log_url, media_url=str(tmp_path / name), **values)

    return machine


def stored(session):
    return sorted(path.name for path in session.media.folder.glob("*/*"))


def delete_files(session):
    for path in session.media.folder.glob("*/*"):
        path.unlink()


def rewrite(session, run, **changes):
    """Change the record of a run's first result."""
    changed = dataclasses.replace(run.results[0], **changes)

    async def write():
        await session.log.add_results(run.task_uuid, [changed], accepted=False)

    wait(background_loop().submit(write()))


# --- several machines, one log ----------------------------------------------------------------------


def test_an_answer_paid_for_on_another_machine_is_downloaded_and_not_paid_for_again(sandbox, machines):
    here, there = machines("here"), machines("there")
    operation = {**UPSCALE, "inputs": {"image": Image.new("RGB", (64, 64), "teal")}}
    for task in ({**SEEDED, "numberResults": 3}, operation):
        paid = here.submit(task, agreed=True).result()
        charges = len(sandbox.charges())
        job = there.submit(task)
        recorded = job.result()
        assert recorded.is_recorded
        assert [result.path.parent.parent for result in recorded] == [there.media.folder] * len(paid)
        assert [result.bytes for result in recorded] == [result.bytes for result in paid]
        assert len(job.notices) == 1
        assert len(sandbox.charges()) == charges


def test_an_expired_file_leaves_the_answer_recorded_and_the_message_states_what_is_missing(sandbox, machines):
    here, there = machines("here"), machines("there")
    paid = here.submit(SEEDED).result()
    sandbox.reset()  # the service has forgotten the task and its files, and its ledger is empty
    job = there.submit(SEEDED)
    recorded = job.result()
    assert recorded.is_recorded
    (sentence,) = (notice for notice in job.notices if "missing" in notice)
    for part in (f"Image #1 of run {paid.task_uuid}", "no longer has this file", str(there.media.folder),
                 "Nothing was sent or charged", "use `fresh=True`"):  # fmt: skip
        assert part in sentence
    assert recorded[0].path is None
    with pytest.raises(MediaError, match="is missing"):
        _ = recorded[0].bytes
    assert "is missing" in recorded._repr_mimebundle_()["text/plain"]
    assert sandbox.charges() == []
    assert here.log.find(paid.task_uuid).results[0].medium_state == "stored"  # it still is, on the other machine
    fresh = there.submit(SEEDED, fresh=True).result()
    assert not fresh.is_recorded
    assert fresh[0].path.is_file()
    assert len(sandbox.charges()) == 1


def test_a_run_joined_while_another_machine_waits_for_it_brings_its_files(start_sandbox, make_session, tmp_path):
    sandbox = start_sandbox("--latency-s", "0.5")
    here, there = (make_session(sandbox, media_url=str(tmp_path / name)) for name in ("here", "there"))
    first = here.submit(SEEDED)
    second = there.submit(SEEDED)
    assert first.result()[0].bytes == second.result()[0].bytes
    assert second.result()[0].path.is_relative_to(there.media.folder)
    assert len(sandbox.charges()) == 1


# --- one machine, files deleted ---------------------------------------------------------------------


def test_a_url_that_has_expired_is_replaced_by_one_poll(sandbox, make_session):
    session = make_session(sandbox)
    paid = session.submit(SEEDED).result()
    run = session.log.find(paid.task_uuid)
    body, url = paid[0].bytes, run.results[0].url
    gone = url.rpartition("/")[0] + "/gone.jpg"
    rewrite(session, run, url=gone, raw={**run.results[0].raw, "imageURL": gone})
    delete_files(session)
    recorded = make_session(sandbox).submit(SEEDED).result()
    assert recorded[0].bytes == body
    assert session.log.find(paid.task_uuid).results[0].url == url
    assert len(sandbox.charges()) == 1


def test_another_file_at_the_recorded_url_is_not_taken_for_it(sandbox, make_session):
    session = make_session(sandbox)
    paid = session.submit(SEEDED).result()
    rewrite(session, session.log.find(paid.task_uuid), received_sha256="0" * 64)
    delete_files(session)
    job = session.submit(SEEDED)
    assert job.result()[0].path is None
    assert any("returns another file than the recorded one" in notice for notice in job.notices)
    assert stored(session) == []


def test_replay_mode_stays_offline(sandbox, make_session):
    session = make_session(sandbox)
    session.submit(SEEDED).result()
    delete_files(session)
    job = make_session(sandbox, mode="replay", api_key=None).submit(SEEDED)
    assert job.result()[0].path is None
    assert any("replay mode downloads nothing" in notice for notice in job.notices)
    assert stored(session) == []


def test_the_files_of_an_imported_run_are_not_downloaded(sandbox, make_session):
    """A URL in a record from somebody else is theirs to choose: showing it must not call it."""
    session = make_session(sandbox)
    run = session.log.find(session.submit(SEEDED).result().task_uuid)
    run.is_imported = True
    delete_files(session)
    assert session.recovery.find(run, run.results[0]) is None
    session.recovery.fetch([run])
    assert stored(session) == []


def test_a_host_that_cannot_be_reached_is_not_tried_for_each_image(start_sandbox, make_session):
    sandbox = start_sandbox()
    session = make_session(sandbox)
    paid = session.submit({**SEEDED, "numberResults": 4}).result()
    run = session.log.find(paid.task_uuid)
    delete_files(session)
    sandbox.kill()
    reasons = [wait(background_loop().submit(session.recovery.locate(run, result))).reason for result in run.results]
    assert ["a moment ago" in reason for reason in reasons] == [False, True, True, True]


def _options(command, *words):
    import argparse

    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def deleted(sandbox, make_session):
    """A session, two runs, and the outcome of the first; their files are deleted."""
    session = make_session(sandbox)
    first = session.submit({**SEEDED, "numberResults": 2}).result()
    second = session.submit({**SEEDED, "numberResults": 2, "CFGScale": 3}).result()
    delete_files(session)
    return session, [session.log.find(outcome.task_uuid) for outcome in (first, second)], first


USES = {
    "a result in memory": lambda session, runs, outcome: [result.image for result in outcome],
    "an input of a task": lambda session, runs, outcome: session.submit(
        {**UPSCALE, "inputs": {"image": outcome[0].image}}, agreed=True
    ).result(),
    "a run's UUID as an input": lambda session, runs, outcome: find_image(f"{runs[0].task_uuid}#2", session, {}),
    "the inputs of a run": lambda session, runs, outcome: restore_inputs(
        session.recovery.find_file,
        {**UPSCALE, "inputs": {"image": f"sha256:{runs[0].results[0].received_sha256}"}},
        [{"file": runs[0].results[0].file}],
    ),
    "a row of the log": lambda session, runs, outcome: picture_of(session, runs[0], runs[0].results[0]).body,
    "show": lambda session, runs, outcome: session.job(runs[0].task_uuid).result()[0].bytes,
    "a page of images": lambda session, runs, outcome: gallery_page(session, runs, title="x", link=lambda _: None),
    "replay": lambda session, runs, outcome: original_of(session, runs[0]).files[0],
    "diff": lambda session, runs, outcome: diff.run(session, _options(diff, runs[0].task_uuid, runs[1].task_uuid)),
    "gallery": lambda session, runs, outcome: [row["file"] for row in gallery.run(session, _options(gallery)).json],
}


@pytest.mark.parametrize("use", USES)
def test_whatever_needs_a_deleted_file_downloads_it_again(sandbox, deleted, use):
    session, runs, outcome = deleted
    charges = len(sandbox.charges())
    assert USES[use](session, runs, outcome)
    assert stored(session), "nothing was downloaded"
    assert len(sandbox.charges()) == charges + (use == "an input of a task")


def test_a_bundle_contains_deleted_files_that_could_be_downloaded(deleted, tmp_path):
    from runware_nb.reproduce.bundle import make_bundle

    session, runs, _ = deleted
    made = make_bundle(session, tmp_path / "bundle", runs)
    assert (made.media, made.missing) == (4, 0)


# --- faults while storing ---------------------------------------------------------------------------


class OddFiles(fsspec.AbstractFileSystem):
    """A location whose library raises what no caller expects."""

    protocol = "odd"

    def exists(self, path, **_):
        raise {"key": KeyError, "runtime": RuntimeError, "stop": StopIteration}[path.strip("/").partition("/")[0]](path)


@pytest.mark.parametrize("kind", ["key", "runtime", "stop"])
def test_an_unexpected_fault_of_the_bucket_is_reported_and_the_run_completed(sandbox, make_session, kind):
    fsspec.register_implementation("odd", OddFiles, clobber=True)
    session = make_session(sandbox, media_url=f"odd://{kind}")
    job = session.submit(SEEDED)
    assert job.result()[0].path.is_file()
    assert any("could not be copied to the bucket yet" in notice for notice in job.notices)
    assert session.log.find(job.task_uuid).state is State.SUCCEEDED


@pytest.mark.parametrize("error", [KeyError("x"), OSError(28, "No space left on device"), ValueError(), MemoryError()])
def test_an_unexpected_fault_of_the_store_is_reported_and_the_run_completed(sandbox, make_session, monkeypatch, error):
    from runware_nb.runlog import MediaStore

    def put(*_, **__):
        raise error

    session = make_session(sandbox)
    monkeypatch.setattr(MediaStore, "put", put)
    job = session.submit(SEEDED)
    assert job.result()[0].image.size == (256, 256)  # in memory
    assert any("kept in memory" in notice for notice in job.notices)
    run = session.log.find(job.task_uuid)
    assert (run.state, run.results[0].medium_state) == (State.SUCCEEDED, "missing")


def test_a_bucket_that_cannot_be_used_does_not_leave_a_paid_run_unfinished(sandbox, make_session):
    session = make_session(sandbox, media_url="nosuch://x")
    job = session.submit(SEEDED)
    assert job.result()[0].image.size == (256, 256)
    assert any("nosuch://x" in notice for notice in job.notices)
    assert session.log.find(job.task_uuid).state is State.SUCCEEDED


def test_many_jobs_that_share_a_bucket_all_finish(sandbox, make_session, tmp_path):
    session = make_session(sandbox, media_url=f"file://{tmp_path / 'bucket'}")
    jobs = [session.submit({**TASK, "width": 128, "height": 128, "seed": 1 + n % 20}, fresh=True) for n in range(60)]
    for job in jobs:
        job.result()
    states = {session.log.find(job.task_uuid).state for job in jobs}
    assert states == {State.SUCCEEDED}
    assert not [notice for job in jobs for notice in job.notices if "bucket" in notice]
    assert len(list((tmp_path / "bucket").rglob("*.*"))) == len(stored(session))
