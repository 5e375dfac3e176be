"""Bundles of others: their files take the place of none of one's own, and none is shown as what it is not."""

import io
import json
import os

import pytest
from PIL import Image

from runware_nb.errors import BundleError
from runware_nb.media.compare import Verdict
from runware_nb.media.provenance import embed, is_same_medium, without_origin
from runware_nb.media.store import exported_name
from runware_nb.reproduce.bundle import make_bundle, merge_bundle, open_into
from runware_nb.reproduce.bundle_files import read_bundle
from runware_nb.reproduce.replay import find_original, only_one, send_again
from runware_nb.runlog import MediaStore
from tests.conftest import TASK

from .foreign_files import (
    HEAD,
    UUID,
    bundle_of,
    command,
    media_name,
    picture,
    result,
    run,
    sha256,
    write_bundle,
    write_records,
)


@pytest.fixture
def session(sandbox, make_session):
    return make_session(sandbox)


def stored(body, **changes):
    digest = changes.pop("received_sha256", sha256(body))
    return result(
        file=media_name(digest), received_sha256=digest, stored_sha256=sha256(body), medium_state="stored", **changes
    )


# --- the media folder -------------------------------------------------------------------------------


def test_a_file_planted_under_the_hash_of_a_later_image_does_not_replace_it(session, make_session, sandbox, tmp_path):
    """The seed decides the image, so a stranger can know the hash of what the user will pay for."""
    other = make_session(sandbox, home=tmp_path / "stranger" / ".runware")
    task = {**TASK, "seed": 3, "outputFormat": "JPG"}
    known = other.submit(task).result()
    digest = other.log.find(known.task_uuid).results[0].received_sha256
    fake = picture("red", "JPEG")
    forged = result(
        file=media_name(digest, "jpg"), received_sha256=digest, stored_sha256=sha256(fake), medium_state="stored"
    )
    merge_bundle(
        session, bundle_of(tmp_path / "theirs.zip", run(results=[forged]), **{media_name(digest, "jpg"): fake})
    )
    theirs = session.log.find(UUID.format(1)).results[0]
    assert theirs.file == f"imported/{media_name(sha256(fake), 'jpg')}"
    assert session.media.find(theirs.file).read_bytes() == fake
    mine = session.submit(task).result()
    kept = session.log.find(mine.task_uuid).results[0]
    assert kept.file == media_name(digest, "jpg")
    assert is_same_medium(session.media.find(kept.file).read_bytes(), known[0].bytes)
    assert not is_same_medium(mine[0].bytes, fake)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_file_is_the_image_only_if_its_content_is(tmp_path, kind):
    """It may have been left by an earlier version's import, by a tool that synchronizes folders, or by an editor."""
    store, body = MediaStore(tmp_path), picture("blue", kind)
    first = store.put(body, dress=lambda received: embed(received, infotext="one", record={"run": 1}))
    again = store.put(body, dress=lambda received: embed(received, infotext="two", record={"run": 2}))
    assert again == first, "the same image is stored once, as it was written first"
    planted = picture("red", kind) + bytes(200)
    first.path.write_bytes(planted)
    paid = store.put(body, dress=lambda received: embed(received, infotext="two", record={"run": 2}))
    assert paid.name != first.name
    assert first.path.read_bytes() == planted, "the other file may be the user's own work"
    assert paid.path.read_bytes() == embed(body, infotext="two", record={"run": 2})
    assert (paid.sha256, paid.stored_sha256) == (sha256(body), sha256(paid.path.read_bytes()))
    assert paid == store.put(body, dress=lambda received: embed(received, infotext="two", record={"run": 2}))
    paid.path.write_bytes(planted)
    assert store.put(body, dress=lambda received: embed(received, infotext="two", record={"run": 2})) == paid
    assert paid.path.read_bytes() != planted, "a name that is the hash of the content is that of no other file"


def test_a_file_cut_short_is_written_again(tmp_path):
    store, body = MediaStore(tmp_path), picture("blue")
    path = store.put(body).path
    path.write_bytes(body[:50])
    assert store.put(body).path == path
    assert path.read_bytes() == body


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_what_was_written_into_a_file_is_told_from_the_image(kind):
    body = picture("blue", kind)
    dressed = embed(body, infotext="größe 🚢", record={"task_uuid": "x"})
    assert dressed != body
    assert is_same_medium(dressed, body)
    assert is_same_medium(body, dressed)
    assert without_origin(dressed) == body
    assert not is_same_medium(dressed, picture("red", kind))
    assert not is_same_medium(dressed, dressed[:-1])


def test_an_image_that_is_turned_by_its_metadata_is_another_one():
    exif = Image.Exif()
    exif[0x0112] = 3
    bodies = []
    for values in ({}, {"exif": exif}):
        body = io.BytesIO()
        Image.effect_noise((32, 24), 50).save(body, "JPEG", **values)
        bodies.append(body.getvalue())
    plain = without_origin(bodies[1])
    assert without_origin(plain) == plain
    assert not is_same_medium(bodies[1], plain)


def test_a_record_shows_no_file_of_ones_own_that_it_only_names(session, tmp_path):
    """A file of records brings no files; one of the user's belongs to a record only if the record has its hash."""
    mine = session.submit({**TASK, "seed": 3}).result()
    kept = session.log.find(mine.task_uuid).results[0]
    named = result(file=kept.file, received_sha256=kept.received_sha256, medium_state="stored")
    forged = [
        run(1, results=[named]),
        run(2, inputs=[{"file": kept.file}]),
        run(3, results=[{**named, "stored_sha256": kept.stored_sha256}]),
    ]
    merge_bundle(session, write_records(tmp_path / "theirs.jsonl", *forged))
    first, second, third = (session.log.find(UUID.format(number)) for number in (1, 2, 3))
    assert first.results[0].file == second.inputs[0]["file"] == f"imported/{kept.file}"
    assert session.media.find(first.results[0].file) is None
    assert third.results[0].file == f"imported/{media_name(kept.stored_sha256, 'jpg')}"


def test_files_of_others_go_into_a_bundle_and_out_again(session, make_session, sandbox, tmp_path):
    fake = picture("red")
    merge_bundle(
        session, bundle_of(tmp_path / "theirs.zip", run(results=[stored(fake)]), **{media_name(sha256(fake)): fake})
    )
    session.submit({**TASK, "seed": 3}).result()
    made = make_bundle(session, tmp_path / "both.zip", session.log.recent(None))
    assert (made.runs, made.media, made.missing) == (2, 2, 0)
    with read_bundle(tmp_path / "both.zip") as bundle:
        bundle.check()
        assert not any("imported" in name for name in bundle.sizes)
    third = make_session(sandbox, home=tmp_path / "third" / ".runware")
    assert len(merge_bundle(third, tmp_path / "both.zip").added) == 2
    for record in third.log.recent(None):
        path = third.media.find(record.results[0].file)
        assert sha256(path.read_bytes()) == record.results[0].stored_sha256
    file = third.log.find(UUID.format(1)).results[0].file
    assert exported_name(file) == media_name(sha256(fake))
    assert str(command(third, f"forget {UUID.format(1)} --yes").bundle)
    assert third.media.find(file) is None
    assert third.media.strays({record.results[0].file for record in third.log.recent(None)}) == []


# --- exact ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPG", "PNG"])
def test_another_image_with_the_hash_of_the_right_one_is_not_exact(session, make_session, sandbox, tmp_path, kind):
    """The bundle states the hash that the replay will give, and shows something else."""
    other = make_session(sandbox, home=tmp_path / "stranger" / ".runware")
    task = {**TASK, "seed": 3, "outputFormat": kind}
    known = other.submit(task).result()
    honest = tmp_path / "honest.zip"
    make_bundle(other, honest, other.log.recent(None))
    found = send_again(session, only_one(find_original(session, str(honest)), "x"), agreed=True)
    assert found.verdict is Verdict.EXACT
    digest = other.log.find(known.task_uuid).results[0].received_sha256
    fake = picture("red", "JPEG")
    name = media_name(digest, "jpg")
    forged = result(file=name, received_sha256=digest, stored_sha256=sha256(fake), medium_state="stored")
    item = run(request={**TASK, "seed": 3, "outputFormat": kind}, results=[forged])
    path = bundle_of(tmp_path / "theirs.zip", item, **{name: fake})
    found = send_again(session, only_one(find_original(session, str(path)), "x"), agreed=True)
    assert found.verdict is Verdict.DRIFTED
    merge_bundle(session, path)
    found = send_again(session, only_one(find_original(session, UUID.format(1)), "x"), agreed=True)
    assert found.verdict is Verdict.DRIFTED
    missing = run(2, request=item["request"], results=[result(received_sha256=digest, medium_state="missing")])
    merge_bundle(session, write_records(tmp_path / "theirs.jsonl", missing))
    found = send_again(session, only_one(find_original(session, UUID.format(2)), "x"), agreed=True)
    assert found.verdict is Verdict.MISSING


def test_check_compares_what_is_shown_with_what_was_received(tmp_path):
    fake, right = picture("red"), picture("blue")
    for changes, body in (
        ({"stored_sha256": sha256(fake), "received_sha256": sha256(right)}, fake),  # the hash of another image
        ({"stored_sha256": None, "received_sha256": sha256(right)}, fake), ({"stored_sha256": sha256(right)}, fake),
    ):  # fmt: skip
        name = media_name(sha256(right))
        item = run(results=[{**stored(right), "file": name, **changes}])
        with (
            read_bundle(bundle_of(tmp_path / "x.zip", item, **{name: body})) as bundle,
            pytest.raises(BundleError, match="result #1"),
        ):
            bundle.check()
    dressed = embed(right, infotext="x", record={})
    item = run(results=[stored(dressed, received_sha256=sha256(right))])
    with read_bundle(bundle_of(tmp_path / "x.zip", item, **{media_name(sha256(right)): dressed})) as bundle:
        bundle.check()


# --- all or nothing, and said -----------------------------------------------------------------------


def test_a_bundle_that_cannot_be_opened_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    body = picture("red")
    path = bundle_of(tmp_path / "x.zip", run(results=[stored(body)]), **{media_name(sha256(body)): body})
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RUNWARE_NB_HOME", str(tmp_path))

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("runware_nb.reproduce.bundle.save_to_project", fail)
        for folder in (tmp_path / "there", tmp_path / "new"):
            with pytest.raises(BundleError, match=r"No space left on device.*Nothing was opened"):
                open_into(path, folder)
    assert list((tmp_path / "there").iterdir()) == []
    assert not (tmp_path / "new").exists()
    _, merged = open_into(path, tmp_path / "there")
    assert len(merged.added) == 1


def test_an_import_that_fails_leaves_no_files(session, tmp_path):
    body, other = picture("red"), picture("blue")
    item = run(results=[stored(body), {**stored(other), "position": 1}])
    media = {media_name(sha256(body)): body, media_name(sha256(other)): other}
    (session.media.folder / "imported").mkdir(parents=True)
    blocked = session.media.folder / "imported" / sha256(other)[:2]
    blocked.write_text("a file where a folder has to be")
    with pytest.raises(BundleError, match="Nothing was imported"):
        merge_bundle(session, bundle_of(tmp_path / "x.zip", item, **media))
    assert session.log.count() == 0
    assert list(session.media.folder.rglob("*.png")) == []
    assert not list(session.media.folder.rglob(".part-*"))


def test_one_line_that_cannot_be_used_is_named_with_its_file_and_the_others_are_taken(session, tmp_path):
    merged = merge_bundle(session, write_records(tmp_path / "theirs.jsonl", run(1), run(2, cost_usd=-1), run(3)))
    assert merged.added == [UUID.format(1), UUID.format(3)]
    assert merged.skipped == ("theirs.jsonl, line 3: cost_usd is -1: expected a number from 0 to 1e+06",)
    (tmp_path / "cut.jsonl").write_text(json.dumps(HEAD) + "\n" + json.dumps(run(4)) + "\n" + json.dumps(run(5))[:90])
    with pytest.raises(BundleError, match=r"cut\.jsonl, line 3: the line is not valid JSON.*Nothing was imported"):
        merge_bundle(session, tmp_path / "cut.jsonl")
    assert session.log.count() == 2


@pytest.mark.parametrize(
    "crate",
    [
        b'{"@graph":[{"@id":"../../etc/passwd","@type":"File"}]}', b'{"@graph":[{"@id":"file:///etc/passwd","@type":"File"}]}',
        b'{"@graph":[{"@id":["x"],"@type":"File"}]}', b'{"@graph":[{"@type":"File"}]}', b'{"@graph":5}', b"[" * 100_000, b"1" * 5000, b'{"@graph":[1]}',
    ],
)  # fmt: skip
def test_a_crate_that_names_files_elsewhere_is_refused(tmp_path, crate):
    records = json.dumps(HEAD).encode()
    path = write_bundle(tmp_path / "x.zip", {"records.jsonl": records, "ro-crate-metadata.json": crate})
    with read_bundle(path) as bundle, pytest.raises(BundleError, match="ro-crate-metadata") as refused:
        bundle.check()
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("name", ["nul.ipynb", "COM1.ipynb", "a\u202ebypni.ipynb", "a\x7f.ipynb", "a\u2028.ipynb", "files/a\u202eb.txt", "..\\x.ipynb", "\\\\host\\x.ipynb",
                                  "media\\aa\\x.png", "files/..\\x", "files/a/../b", "./x.ipynb", "x.ipynb/", "files/c:/x"])  # fmt: skip
def test_a_name_that_a_system_takes_for_another_is_refused(tmp_path, name):
    path = write_bundle(tmp_path / "x.zip", {"records.jsonl": json.dumps(HEAD).encode(), name: b"{}"})
    with pytest.raises(BundleError, match=r"cannot contain|is missing|was added"):
        open_into(path, tmp_path / "victim")
    assert not (tmp_path / "victim").exists()


def test_a_folder_that_is_no_plain_tree_is_refused(tmp_path):
    folder = tmp_path / "deep"
    place = folder
    for _ in range(300):
        place = place / "d"
    place.mkdir(parents=True)
    with pytest.raises(BundleError, match="folders deep"), read_bundle(folder):
        pass
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "records.jsonl")
    with pytest.raises(BundleError, match="is not a regular file"), read_bundle(tmp_path / "pipe"):
        pass


def test_a_run_of_ones_own_stays_whatever_a_bundle_says_about_it(session, tmp_path):
    mine = session.submit({**TASK, "seed": 3}).result()
    before = session.log.find(mine.task_uuid)
    body = picture("red")
    forged = run(task_uuid=mine.task_uuid, note="theirs", tags=["theirs"], results=[stored(body, rating=5)])
    merged = merge_bundle(session, bundle_of(tmp_path / "x.zip", forged, **{media_name(sha256(body)): body}))
    assert (merged.added, merged.known) == ([], 1)
    assert session.log.find(mine.task_uuid) == before
    assert list((session.media.folder / "imported").rglob("*.png")) == []


def test_replay_mode_prefers_a_run_of_ones_own(session, sandbox, tmp_path):
    task = {**TASK, "seed": 3}
    mine = session.submit(task).result()
    forged = run(request=task, results=[result(), result(position=1)], created_at_utc="2199-01-01T00:00:00+00:00")
    forged["request"] = session.log.find(mine.task_uuid).request
    merge_bundle(session, write_records(tmp_path / "theirs.jsonl", forged))
    assert len(session.log.asked([session.log.find(mine.task_uuid).asked_hash])) == 2
    from runware_nb.engine.replay_lookup import find_replay

    found = find_replay(session, session.provider(), session.plan(task).task, session.context(counts=False))
    assert found.task_uuid == mine.task_uuid


def test_a_run_of_ones_own_that_no_reader_takes_is_named_and_left_out(session, tmp_path):
    session.submit({**TASK, "seed": 3}).result()
    mine = session.log.recent(None)
    odd = read_odd(session, seed=10**100)
    made = make_bundle(session, tmp_path / "x.zip", [*mine, odd])
    assert made.runs == 1
    assert made.left_out == (
        f"run {odd.task_uuid[:8]} is not in the bundle: request contains an integer of more than 64 bits",
    )
    with read_bundle(tmp_path / "x.zip") as bundle:
        bundle.check()


def read_odd(session, **request):
    from tests.runs import run_record

    return run_record(7, request=request, state="failed", finished_at_utc="2026-01-01T00:00:00.000+00:00")
