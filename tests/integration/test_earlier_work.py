"""Work made with earlier versions still opens, replays and verifies. `tests/earlier/make.py` made it."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

EARLIER = Path(__file__).resolve().parent.parent / "earlier"
VERSIONS = sorted(path.stem for path in EARLIER.glob("*.zip"))
BUNDLING = [version for version in VERSIONS if version != "0001"]  # the first version had no bundles
DATA_URL = re.compile(r'src="(data:image/[^"]+)"')


@pytest.fixture
def unpack(tmp_path):
    def unpacked(version):
        folder = tmp_path / version
        with zipfile.ZipFile(EARLIER / f"{version}.zip") as archive:
            archive.extractall(folder)
        return folder

    return unpacked


@pytest.fixture
def run_python(sandbox):
    def run(*arguments, cwd, **environment):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120,
            env={**os.environ, **sandbox.environment, **environment},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
        return done.stdout

    return run


def test_there_is_work_of_every_version_of_the_log():
    revisions = {path.stem[:4] for path in (EARLIER.parent.parent / "runware_nb/runlog/migrations/versions").glob("0*")}
    assert VERSIONS[:7] == ["0001", "0002", "0003", "0004", "0005", "0006", "0007"]
    assert set(VERSIONS) <= revisions


@pytest.mark.parametrize("version", VERSIONS)
def test_earlier_work_opens(version, unpack, run_python):
    """Every run, file, provenance and command; the run that was not collected is still pending."""
    folder = unpack(version)
    work = json.loads(run_python(str(EARLIER / "use.py"), cwd=folder))
    states = work["states"]
    assert sorted(states.values()) == ["sent"] + ["succeeded"] * 20
    assert work["pending"] == [name for name, state in states.items() if state == "sent"]
    assert len(work["types"]) == 12
    assert len(work["files"]) == 19
    assert all(work["shown"].values())
    assert work["hashes"] == work["files"]
    assert set(work["provenance"].values()) <= states.keys()
    assert set(work["commands"].values()) == {False}


@pytest.mark.parametrize("version", VERSIONS)
def test_an_earlier_notebook_replays_to_the_same_images(version, unpack, run_python, sandbox):
    """In replay mode, the cells of the executed notebook show the very images that they showed then, at no cost."""
    folder = unpack(version)
    before = nbformat.read(folder / "airships.ipynb", as_version=4)
    command = ["-m", "nbconvert", "--execute", "--to", "notebook", "--output", "replayed.ipynb"]
    run_python(*command, "airships.ipynb", cwd=folder, RUNWARE_NB_MODE="replay", IPYTHONDIR=str(folder / "ipython"))
    after = nbformat.read(folder / "replayed.ipynb", as_version=4)
    hashes = [sorted(_images(cell)) for cell in before.cells]
    assert [len(images) for images in hashes] == [0, 1, 1, 2]
    assert [sorted(_images(cell)) for cell in after.cells] == hashes
    assert sandbox.charges() == []


@pytest.mark.parametrize("version", BUNDLING)
def test_an_earlier_bundle_opens_and_replays(version, unpack, run_python, sandbox, tmp_path):
    """A colleague checks and opens the bundle in an empty folder, and replays a run from it exactly."""
    folder = unpack(version)
    other = tmp_path / "colleague"
    other.mkdir()
    run_python("-m", "runware_nb", "bundle", "check", str(folder / "airships.zip"), cwd=other)
    run_python("-m", "runware_nb", "bundle", "open", str(folder / "airships.zip"), "opened", cwd=other)
    runs = json.loads(run_python("-m", "runware_nb", "log", "--json", cwd=other / "opened"))
    assert [run["state"] for run in runs] == ["succeeded"] * 3
    line = ["replay", runs[0]["task_uuid"], "--yes", "--json"]
    replayed = run_python("-m", "runware_nb", *line, cwd=other / "opened", RUNWARE_NB_MODE="live")
    assert "exact" in replayed
    assert len(sandbox.charges()) == 1


@pytest.mark.parametrize("version", BUNDLING)
def test_earlier_records_import(version, unpack, run_python, tmp_path):
    folder = unpack(version)
    other = tmp_path / "colleague"
    other.mkdir()
    run_python("-m", "runware_nb", "import", str(folder / "runs.jsonl"), cwd=other)
    assert len(json.loads(run_python("-m", "runware_nb", "log", "--limit", "50", "--json", cwd=other))) == 20


@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
def test_earlier_runs_verify(version, unpack, run_python):
    """The same requests, sent again, give the same images: neither the request nor its hash has changed."""
    folder = unpack(version)
    line = ["verify", "-m", "runware:101@1", "--search", "airship", "--yes", "--json"]
    checked = json.loads(run_python("-m", "runware_nb", *line, cwd=folder))
    verdicts = [run["verdict"] for run in checked["runs"]] if isinstance(checked, dict) else [
        run["verdict"] for run in checked
    ]  # fmt: skip
    assert len(verdicts) >= 4
    assert set(verdicts) == {"exact"}


def _images(cell):
    html = "".join(output.get("data", {}).get("text/html", "") for output in cell.get("outputs", []))
    return DATA_URL.findall(html)
