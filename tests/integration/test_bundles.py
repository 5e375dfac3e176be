"""Bundles: what we make is whole and valid, and what others make does no harm."""

import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from runware_nb.errors import BundleError
from runware_nb.reproduce.bundle import make_bundle, merge_bundle, open_into
from runware_nb.reproduce.bundle_files import MANIFEST, METADATA, PREVIEW, RECORDS, read_bundle
from runware_nb.reproduce.notebook_runs import runs_of_notebook
from runware_nb.reproduce.records import read_lines, write_lines
from runware_nb.reproduce.secrets import find_secret
from runware_nb.runlog import RunLog
from runware_nb.runlog.filters import RunFilter
from tests.conftest import TASK

SEEDED = {**TASK, "seed": 7}
HOSTILE = "<img src=x onerror=alert(1)> <script>alert(2)</script> \" ' & 🚢"


@pytest.fixture
def filled(sandbox, make_session):
    session = make_session(sandbox)
    first = session.submit({**SEEDED, "numberResults": 2}, tags=("a",), note="n").result()
    session.submit({**TASK, "seed": 8, "positivePrompt": HOSTILE}).result()
    session.submit(
        {
            "taskType": "removeBackground",
            "model": "runware:109@1",
            "inputs": {"image": Image.new("RGB", (40, 30), "red")},
        },
        agreed=True,
    ).result()
    session.submit(
        {"taskType": "removeBackground", "model": "runware:109@1", "inputs": {"image": first[0]}}, agreed=True
    ).result()
    return session


def every(session):
    return session.log.select(RunFilter(limit=1000))


@pytest.fixture
def bundle(filled, tmp_path):
    path = tmp_path / "made.zip"
    made = make_bundle(filled, path, every(filled))
    assert (made.runs, made.missing) == (4, 0)
    return path


def test_a_bundle_is_whole_and_opens_anywhere(bundle, filled, tmp_path):
    with read_bundle(bundle) as read:
        assert read.check() == len(read.sizes) - 1
    folder = tmp_path / "a colleague's" / "folder"
    open_into(bundle, folder)
    log = RunLog(folder / ".runware")
    theirs, mine = every_of(log), every_of(filled.log)
    log.close()
    assert [run.task_uuid for run in theirs] == [run.task_uuid for run in mine]
    for one, other in zip(theirs, mine, strict=True):
        assert one.is_imported
        assert (one.request, one.request_hash, one.asked_hash, one.tags, one.note) == (
            other.request, other.request_hash, other.asked_hash, other.tags, other.note,
        )  # fmt: skip
        for result, original in zip(one.results, other.results, strict=True):
            body = (folder / "runware_images" / result.file).read_bytes()
            assert body == filled.media.find(original.file).read_bytes()
            assert hashlib.sha256(body).hexdigest() == original.stored_sha256
    assert 'mode = "replay"' in (folder / ".runware" / "config.toml").read_text()


def every_of(log):
    return log.select(RunFilter(limit=1000, sort="oldest"))


def test_its_checksums_are_what_sha256sum_checks(bundle, tmp_path):
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path / "out")
    checked = subprocess.run(["sha256sum", "-c", "--quiet", MANIFEST], cwd=tmp_path / "out", capture_output=True)
    assert checked.returncode == 0, checked.stdout


def test_the_reference_library_reads_it_and_the_validator_passes_it(bundle, tmp_path):
    from rocrate.rocrate import ROCrate

    folder = tmp_path / "crate"
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(folder)
    crate = ROCrate(folder)
    files = [entity for entity in crate.get_entities() if entity.type == "File"]
    assert {RECORDS, PREVIEW} <= {entity.id for entity in files}
    assert sum(entity.type == "CreateAction" for entity in crate.get_entities()) == 4
    for entity in files:
        body = (folder / entity.id).read_bytes()
        assert hashlib.sha256(body).hexdigest() == entity["sha256"]
        assert int(entity["contentSize"]) == len(body)
    script = Path(__file__).parent.parent / "strangers" / "ro_crate.py"
    validated = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, timeout=120)
    found = json.loads(validated.stdout.splitlines()[-1])
    assert found["issues"] == []
    assert found["checks"] > 10
    (folder / METADATA).write_text((folder / METADATA).read_text().replace('"datePublished"', '"dateUnpublished"'))
    broken = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, timeout=120)
    assert json.loads(broken.stdout.splitlines()[-1])["issues"]  # it would have said so


def test_merging_leaves_what_is_here_alone(bundle, filled, sandbox, make_session, tmp_path):
    assert merge_bundle(filled, bundle).added == []
    other = make_session(sandbox, home=tmp_path / "other" / ".runware")
    assert len(merge_bundle(other, bundle).added) == 4
    assert merge_bundle(other, bundle).known == 4
    paid = len(sandbox.charges())
    job = other.submit({**SEEDED, "numberResults": 2})
    assert not job.is_recorded  # somebody else's answer is not mine: it is asked for
    job.result()
    assert len(sandbox.charges()) == paid + 1
    other.configure(mode="replay")
    assert len(other.submit({**SEEDED, "numberResults": 2}).result()) == 2


def test_lines_of_json_are_the_same_for_the_same_runs(filled, tmp_path, sandbox, make_session):
    lines = list(write_lines(filled.log, every(filled)))
    assert lines == list(write_lines(filled.log, list(reversed(every(filled)))))
    path = tmp_path / "runs.jsonl"
    path.write_text("".join(lines), encoding="utf-8")
    other = make_session(sandbox, home=tmp_path / "other" / ".runware")
    assert len(merge_bundle(other, path).added) == 4
    assert list(write_lines(other.log, every(other))) == lines
    assert "/" not in str(json.loads(lines[-1]).get("notebook") or "")
    assert "sender" not in lines[-1]


def test_a_hostile_prompt_is_shown_harmless(bundle, tmp_path):
    with zipfile.ZipFile(bundle) as archive:
        page = archive.read(PREVIEW).decode()
    assert "<script>" not in page
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert page.count('alt="a small airship over a forest"') == 2
    assert "default-src 'none'" in page


# --- secrets ----------------------------------------------------------------------------------------


def notebook(path, source, outputs=()):
    cells = [{"cell_type": "markdown", "id": "m0", "metadata": {}, "source": ["# fine"]},
             {"cell_type": "code", "id": "c1", "metadata": {}, "execution_count": 1, "source": source,
              "outputs": list(outputs)}]  # fmt: skip
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def printed(text):
    return {"output_type": "stream", "name": "stdout", "text": text}


KEY = "aB3dE6gH9jK2mN5pQ8sT1vW4xY7zA0cD"


@pytest.mark.parametrize(
    ("source", "outputs"),
    [
        (f"key = '{KEY}'", []), (["x\n", f"%env RUNWARE_API_KEY={KEY}"], []), ("password = 'hunter2hunter2'", []),
        ("x", [printed(["Authorization: Bearer abc12345def"])]), ("x", [printed(f"your key is {KEY}")]),
        ("x", [{"output_type": "execute_result", "metadata": {}, "data": {"text/html": [f"<b>{KEY}</b>"]}}]),
        ("x", [{"output_type": "error", "ename": "E", "evalue": KEY, "traceback": [KEY]}]),
        ("token='sk-abcdefghijklmnopqrstu'", []), ("hf = 'hf_abcdefghijklmnopqrst'", []), (f"{{'apiKey': '{'0' * 8}deadbeef'}}", []),
    ],
)  # fmt: skip
def test_a_planted_key_stops_the_export_and_names_the_cell(filled, tmp_path, source, outputs):
    path = notebook(tmp_path / "nb.ipynb", source, outputs)
    out = tmp_path / "out.zip"
    with pytest.raises(BundleError, match=r"cell 2 of nb.ipynb \(id c1\) holds") as caught:
        make_bundle(filled, out, every(filled), notebook=path)
    assert KEY not in str(caught.value)
    assert not out.exists()
    assert list(tmp_path.glob(".bundle-*")) == []


def test_a_key_in_use_is_found_in_any_shape(filled, tmp_path):
    key = filled.settings.api_key.reveal()
    path = notebook(tmp_path / "nb.ipynb", f"# {key.lower()} {key}")
    with pytest.raises(BundleError, match="an API key in use"):
        make_bundle(filled, tmp_path / "out", every(filled), notebook=path)


def test_a_key_in_a_prompt_or_a_logged_cell_is_found(sandbox, make_session, tmp_path):
    session = make_session(sandbox)
    session.submit({**SEEDED, "positivePrompt": f"draw {KEY}"}).result()
    with pytest.raises(BundleError, match="the record of run"):
        make_bundle(session, tmp_path / "out", every(session))


@pytest.mark.parametrize(
    "text",
    [
        "a small airship over a forest", "3f2a9c1b-1111-4222-8333-944455556666", "a" * 64, "0123456789abcdef" * 4,
        "https://im.runware.ai/image/os/aB3dE6gH9jK2mN5pQ8sT1vW4xY7zA0cD/ii/x.jpg", "runware:101@1", "token",
        "the secret of the forest", "data:image/png;base64," + "aB3" * 400, "SuperLongCamelCaseIdentifierName",
        "password: [redacted]", "a_very_long_variable_name_2026", "imageInferenceWithManyParameters",
    ],
)  # fmt: skip
def test_what_is_no_key_is_let_through(text):
    assert find_secret(text, []) is None


def test_a_notebook_takes_the_runs_of_its_cells(filled, tmp_path):
    source = "%%runware\na small airship"
    read = {"cells": [{"cell_type": "code", "id": "c9", "source": source, "metadata": {}}]}
    assert runs_of_notebook(filled, read, "other.ipynb") == []
    import sqlalchemy as sa

    from runware_nb.runlog.schema import runs

    first, second, third, fourth = [run.task_uuid for run in every(filled)]
    with filled.log.changing() as connection:
        for task_uuid, values in ((first, {"cell_hash": hashlib.sha256(source.encode()).hexdigest()}),
                                  (second, {"cell_id": "c9"}), (third, {"notebook": "/home/me/other.ipynb"})):  # fmt: skip
            connection.execute(sa.update(runs).where(runs.c.task_uuid == task_uuid).values(values))
    assert {run.task_uuid for run in runs_of_notebook(filled, read, "other.ipynb")} == {first, second, third}


# --- hostile bundles --------------------------------------------------------------------------------


def rebuilt(bundle, path, change=None, extra=()):
    """Pack a bundle anew, with changed or added files, and a manifest that fits."""
    with zipfile.ZipFile(bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files.pop(MANIFEST)
    if change is not None:
        change(files)
    sums = "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in sorted(files.items()))
    files[MANIFEST] = sums.encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
        for info, body in extra:
            archive.writestr(info, body)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt", "/etc/cron.d/evil", "media/../../evil", "media/aa/../../../x.jpg", "..\\evil.ipynb", "C:\\x.ipynb",
        "C:x.ipynb", ".bashrc", "media/aa/evil.sh", "sub/x.ipynb", "a\x01b.ipynb", ".runware/config.toml", "x.py", "media/AA/" + "A" * 64 + ".jpg",
        ".ipynb", "~x.ipynb", "media/" + "a" * 64 + ".jpg",
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(bundle, tmp_path, name):
    hostile = rebuilt(bundle, tmp_path / "hostile.zip", lambda files: files.update({name: b"x"}))
    with pytest.raises(BundleError, match=r"cannot contain a file|occurs twice"):
        open_into(hostile, tmp_path / "victim")
    assert not (tmp_path / "victim").exists()
    assert not (tmp_path / "evil.txt").exists()


def test_a_link_in_a_zip_is_refused(bundle, tmp_path):
    info = zipfile.ZipInfo("link.ipynb")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    hostile = rebuilt(bundle, tmp_path / "hostile.zip", extra=[(info, "/etc/passwd")])
    with pytest.raises(BundleError, match="is a symbolic link"):
        open_into(hostile, tmp_path / "victim")


def test_a_link_in_a_directory_is_refused(bundle, tmp_path):
    folder = tmp_path / "dir"
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(folder)
    os.symlink("/etc/passwd", folder / "x.ipynb")
    with pytest.raises(BundleError, match="is a symbolic link"):
        open_into(folder, tmp_path / "victim")


def test_a_zip_bomb_is_refused_before_it_unpacks(bundle, tmp_path):
    hostile = rebuilt(
        bundle, tmp_path / "hostile.zip", lambda files: files.update({"x.ipynb": bytes(64 * 1024 * 1024)})
    )
    assert hostile.stat().st_size < 2 * 1024 * 1024
    with pytest.raises(BundleError, match=r"times (its|the) size at most|overlaps"):
        open_into(hostile, tmp_path / "victim")
    assert not (tmp_path / "victim").exists()


def test_a_size_that_lies_is_found_while_reading(bundle, tmp_path):
    """The directory of a zip file says 10 bytes; what it unpacks to is what counts."""
    hostile = rebuilt(bundle, tmp_path / "hostile.zip", lambda files: files.update({"x.ipynb": b"y" * 5000}))
    raw = bytearray(hostile.read_bytes())
    at = raw.rindex(b"x.ipynb", 0, raw.rindex(b"PK\x05\x06"))
    raw[at - 46 + 24 : at - 46 + 28] = (10).to_bytes(4, "little")
    hostile.write_bytes(bytes(raw))
    with pytest.raises(BundleError, match=r"is longer than it says|cannot be read|has been changed"):
        open_into(hostile, tmp_path / "victim")


def test_twice_the_same_name_is_refused(bundle, tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        hostile = rebuilt(bundle, tmp_path / "hostile.zip", extra=[(RECORDS, "{}")])
    with pytest.raises(BundleError, match="occurs twice"):
        open_into(hostile, tmp_path / "victim")


def test_what_was_changed_added_or_removed_is_named(bundle, tmp_path):
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path / "dir")
    (medium, *_) = sorted((tmp_path / "dir" / "media").rglob("*.jpg"))
    body = medium.read_bytes()
    for change, sentence in (
        (lambda: medium.write_bytes(body[:-1] + b"!"), "has been changed"),
        (medium.unlink, "is missing"),
        (lambda: (medium.write_bytes(body), (tmp_path / "dir" / "new.ipynb").write_text("{}")), "was added later"),
    ):
        change()
        with pytest.raises(BundleError, match=sentence), read_bundle(tmp_path / "dir") as read:
            read.check()


RECORD_LINE = '{"kind":"runware_nb records","version":1}\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("\n", "not a file of runware_nb records"), ("", "not a file of runware_nb records"), ("not json\n", "line 1: the line is not valid JSON"), ("[1]\n", "line 1: the line is not a JSON object"),
        ('{"kind":"runware_nb records","version":99}\n', "version 99"), (RECORD_LINE + '{"kind":"evil"}\n', "line 2: unknown kind of record 'evil'"),
        (RECORD_LINE + '{"kind":"run"}\n', "a run has no task_uuid"), (RECORD_LINE + "[" * 100_000 + "\n", "line 2: the line is not valid JSON"),
        (RECORD_LINE + '{"kind":"cell","hash":1,"source":2}\n', "record 'cell'"),
    ],
)  # fmt: skip
def test_records_that_are_none_are_refused_with_their_line(text, sentence):
    with pytest.raises(BundleError, match=sentence):
        read_lines(text.splitlines(keepends=True))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"task_uuid": "../../x"}, "expected a task UUID"), ({"state": "sent"}, "that has ended"), ({"state": "evil"}, "that has ended"),
        ({"request": "x"}, "request is"), ({"cost_usd": "1"}, "cost_usd is"), ({"attempts": True}, "attempts is"),
        ({"results": {}}, "results are not a list|results is"), ({"results": [{"position": "0"}]}, "position of a result"),
        ({"results": [{"position": 0, "file": "../../../etc/passwd"}]}, "expected the name of a media file"),
        ({"results": [{"position": 0, "file": "/etc/passwd"}]}, "expected the name of a media file"), ({"results": [{"position": 0, "raw": []}]}, "raw is"),
    ],
)  # fmt: skip
def test_a_hostile_record_is_refused(filled, change, sentence):
    lines = list(write_lines(filled.log, every(filled)[:1]))
    item = {**json.loads(lines[-1]), **change}
    with pytest.raises(BundleError, match=sentence):
        read_lines([*lines[:-1], json.dumps(item)])


def test_an_input_with_a_foreign_name_is_refused(filled):
    """Inputs belong to the media of the request by their order, so none of them can be left out."""
    lines = list(write_lines(filled.log, every(filled)[:1]))
    for inputs in ([{"file": "../../x"}], ["z"], [{"sha256": "y"}]):
        with pytest.raises(BundleError, match=r"expected the name of a media file|inputs are not|sha256 is"):
            read_lines([*lines[:-1], json.dumps({**json.loads(lines[-1]), "inputs": inputs})])


def test_neither_half_a_file_nor_none_is_a_bundle(bundle, tmp_path):
    half = tmp_path / "half.zip"
    half.write_bytes(bundle.read_bytes()[:5000])
    for path in (half, tmp_path / "none.zip"):
        with pytest.raises(BundleError, match=r"is no bundle|there is no"), read_bundle(path):
            pass
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BundleError, match="is missing"), read_bundle(empty) as read:
        read.check()


def test_a_crate_that_is_none_is_refused(bundle, tmp_path):
    for body, sentence in (
        (b"[]", "is no RO-Crate"),
        (b'{"@graph":[{"@id":"nowhere","@type":"File"}]}', "names 'nowhere'"),
    ):
        hostile = rebuilt(bundle, tmp_path / "hostile.zip", lambda files, body=body: files.update({METADATA: body}))
        with pytest.raises(BundleError, match=sentence):
            open_into(hostile, tmp_path / "victim")


def test_nothing_is_overwritten(bundle, filled, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    with pytest.raises(BundleError, match="is not empty"):
        open_into(bundle, tmp_path / "full")
    with pytest.raises(BundleError, match="is there already"):
        make_bundle(filled, bundle, every(filled))


def test_a_bundle_that_cannot_be_written_leaves_nothing_behind(filled, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BundleError, match="cannot be written"):
        make_bundle(filled, tmp_path / "file" / "out.zip", every(filled))


def test_a_missing_file_is_counted_and_said(sandbox, filled, tmp_path):
    run = every(filled)[-1]
    filled.media.find(run.results[0].file).unlink()
    sandbox.reset()  # the service has forgotten it too
    filled.media.find(every(filled)[1].results[0].file).write_bytes(b"edited")
    made = make_bundle(filled, tmp_path / "out", every(filled))
    assert made.missing == 2
    open_into(tmp_path / "out", tmp_path / "opened")
    assert io.BytesIO((tmp_path / "out" / RECORDS).read_bytes()).readline().startswith(b'{"kind":"runware_nb records"')


# --- what goes along --------------------------------------------------------------------------------


def test_a_bundle_says_what_the_notebook_imports_and_takes_files_along(filled, tmp_path):
    source = (
        "%load_ext runware_nb\nimport numpy as np, json\nfrom PIL import Image\nimport helpers, other\n!ls\nx = %time 1"
    )
    (tmp_path / "work" / "data").mkdir(parents=True)
    book = notebook(tmp_path / "work" / "nb.ipynb", source)
    for name, text in (("data/labels.csv", "a,b\n1,2\n"), ("helpers.py", "x = 1\n"), ("empty.bin", "")):
        (tmp_path / "work" / name).write_text(text)
    files = [tmp_path / "work" / name for name in ("data/labels.csv", "helpers.py", "empty.bin")]
    made = make_bundle(filled, tmp_path / "out.zip", every(filled), notebook=book, add=files)
    assert made.modules == ("other",)
    with read_bundle(tmp_path / "out.zip") as read:
        required, locked = read.text("requirements.txt").splitlines(), read.text("requirements-lock.txt").splitlines()
        crate = json.loads(read.text(METADATA))
    names = {line.partition("==")[0] for line in required if "==" in line}
    assert names == {"numpy", "pillow", "runware-nb"}
    assert any(line.startswith("sqlalchemy==") for line in locked)
    assert str(Path.home()) not in "".join(required + locked)
    listed = {item["@id"] for item in crate["@graph"] if item.get("@type") == "File"}
    assert {"requirements.txt", "requirements-lock.txt", "files/data/labels.csv", "files/helpers.py"} <= listed
    open_into(tmp_path / "out.zip", tmp_path / "opened")
    assert (tmp_path / "opened" / "data" / "labels.csv").read_text() == "a,b\n1,2\n"
    assert (tmp_path / "opened" / "nb.ipynb").exists()


@pytest.mark.parametrize(
    "name",
    [
        "files/../evil.py", "files//etc/x", "files/.runware/config.toml", "files/a/../../b", "files/json.py", "files/json/__init__.py",
        "files/sitecustomize.py", "files/runware_nb/__init__.py", "files/pyproject.toml", "files/x.ipynb", "files/runware_images/x",
        "files/con.txt", "files/a\\b", "files/C:x", "files/a.", "files/" + "a/" * 9 + "b", "files/",
    ],
)  # fmt: skip
def test_an_added_file_that_would_escape_or_start_something_is_refused(bundle, tmp_path, name):
    hostile = rebuilt(bundle, tmp_path / "hostile.zip", lambda files: files.update({name: b"x"}))
    if name.endswith("/"):
        return
    with pytest.raises(BundleError, match="cannot contain a file"):
        open_into(hostile, tmp_path / "victim")
    assert not (tmp_path / "victim").exists()


def test_a_key_in_an_added_file_stops_the_export(filled, tmp_path):
    (tmp_path / "notes.txt").write_text(f"the key is {KEY}")
    with pytest.raises(BundleError, match=r"notes\.txt (holds|contains)"):
        make_bundle(filled, tmp_path / "out", every(filled), add=[tmp_path / "notes.txt"])
    for path in (tmp_path / "nowhere.csv", tmp_path):
        with pytest.raises(BundleError, match="is not a file"):
            make_bundle(filled, tmp_path / "out", every(filled), add=[path])


def test_one_record_that_cannot_be_used_leaves_the_others_usable(filled, sandbox, make_session, tmp_path):
    lines = list(write_lines(filled.log, every(filled)))
    odd = json.dumps({**json.loads(lines[-1]), "task_uuid": "../x"}) + "\n"
    path = tmp_path / "runs.jsonl"
    path.write_text("".join([*lines, odd]), encoding="utf-8")
    other = make_session(sandbox, home=tmp_path / "other" / ".runware")
    merged = merge_bundle(other, path)
    assert len(merged.added) == 4
    assert len(merged.skipped) == 1
    assert "expected a task UUID" in merged.skipped[0]


def test_the_runs_that_cells_used_and_outputs_name_go_along(filled, tmp_path):
    """The notebook was renamed, a comment was edited, and another notebook had made the same requests."""
    from runware_nb.reproduce.notebook_runs import find_runs
    from runware_nb.session import CellContext

    source = "%%runware --seed 7  # edited\na small airship"
    context = CellContext(notebook="/old/name.ipynb", cell_source=source)
    used = filled.submit({**SEEDED, "numberResults": 2}, context=context)
    used.result()
    named = next(run for run in every(filled) if run.task_uuid != used.task_uuid)
    outputs = [{"output_type": "display_data", "metadata": {}, "data": {"text/html": [f"<b>{named.task_uuid}</b>"]}},
               printed("as in deadbeef#2")]  # fmt: skip
    cells = [{"cell_type": "code", "id": "new", "source": source + "\n", "outputs": [], "execution_count": 1},
             {"cell_type": "code", "id": "out", "source": "x", "outputs": outputs, "execution_count": 2},
             {"cell_type": "code", "id": "gone", "source": "rw.image('never logged')", "outputs": [], "execution_count": 3},
             {"cell_type": "code", "id": "not run", "source": "rw.image('later')", "outputs": []}]  # fmt: skip
    filled.close()
    of_notebook = find_runs(filled, {"cells": cells}, "renamed.ipynb")
    assert {run.task_uuid for run in of_notebook.runs} == {used.task_uuid, named.task_uuid}
    assert len(of_notebook.missing) == 2
    assert "deadbeef" in of_notebook.missing[0]
    assert "id gone" in of_notebook.missing[1]
    lines = list(write_lines(filled.log, of_notebook.runs))
    (use,) = read_lines(lines).uses
    assert (use.run_uuid, use.notebook, read_lines(lines).sources[use.cell_hash]) == (
        used.task_uuid,
        "name.ipynb",
        source,
    )
