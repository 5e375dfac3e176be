"""A colleague's machine: the bundle of the notebook runs in an empty folder, without key, network or sandbox."""

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

REPO = Path(__file__).resolve().parent.parent.parent
NOTEBOOK = REPO / "notebooks" / "03_reproduce.ipynb"
PROOF = "import hashlib, json; print('PROOF', json.dumps([hashlib.sha256(each.bytes).hexdigest() for each in [*ships, *storm, *tower, *cut]]))"

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(240)]


def execute(path, monkeypatch, environment=None):
    for name in [name for name in os.environ if name.startswith("RUNWARE_")]:
        monkeypatch.delenv(name)
    for name, value in (environment or {}).items():
        monkeypatch.setenv(name, value)
    book = nbformat.read(path, as_version=4)
    NotebookClient(book, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    return book


def pictures_of(book):
    """The pictures of each cell that makes some, as the notebook file holds them."""
    made = {}
    for number, cell in enumerate(book.cells):
        if cell.cell_type == "code" and re.search(r"%%runware|rw\.image|rw\.run\(", cell.source):
            html = "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)
            made[number] = re.findall(r'src="(data:[^"]+)"', html)
    return made


def outputs_with_images(book):
    """The outputs of the cells that generate, byte for byte as the notebook file holds them."""
    return [
        output
        for cell in book.cells
        if cell.cell_type == "code" and re.search(r"%%runware|rw\.image|rw\.run\(", cell.source)
        for output in cell.outputs
        if "data:image" in json.dumps(output)
    ]


def printed(book):
    (said,) = [output.text for output in book.cells[-1].outputs if output.output_type == "stream"]
    return json.loads(said.removeprefix("PROOF "))


def command(*words, cwd):
    done = subprocess.run(
        [sys.executable, "-m", "runware_nb", *words], cwd=cwd, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The executed notebook, with a last cell that proves what it got."""
    folder = tmp_path / "my study"
    folder.mkdir()
    book = nbformat.read(NOTEBOOK, as_version=4)
    book.cells.append(nbformat.v4.new_code_cell(PROOF))
    nbformat.write(book, folder / NOTEBOOK.name)
    executed = execute(folder / NOTEBOOK.name, monkeypatch)
    nbformat.write(executed, folder / NOTEBOOK.name)
    return folder, executed


def test_the_bundle_of_the_notebook_runs_anywhere_to_the_same_bytes(study, tmp_path, monkeypatch):
    folder, mine = study
    made = command("bundle", "make", str(tmp_path / "study.zip"), "--notebook", NOTEBOOK.name, cwd=folder)
    assert made["runs"] == 7  # three of the study, one edit, three that verify made again
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    command("bundle", "check", str(tmp_path / "study.zip"), cwd=empty)
    opened = command("bundle", "open", str(tmp_path / "study.zip"), "study", cwd=empty)
    assert opened["notebooks"] == [NOTEBOOK.name]
    theirs = execute(empty / "study" / NOTEBOOK.name, monkeypatch)
    assert printed(theirs) == printed(mine)
    assert len(set(printed(mine))) == 6
    assert pictures_of(theirs) == pictures_of(mine)
    assert outputs_with_images(theirs) == outputs_with_images(mine), "not only the images: the whole outputs"
    assert all(pictures_of(mine).values())
    assert "replay mode" in json.dumps(theirs.cells[1].outputs)
    mine_files, their_files = (
        {path.name: path.read_bytes() for path in (place / "runware_images").glob("*/*")} for place in (folder, empty / "study")
    )  # fmt: skip
    assert their_files == mine_files
    changed = copy.deepcopy(nbformat.read(empty / "study" / NOTEBOOK.name, as_version=4))
    number = next(n for n, cell in enumerate(changed.cells) if "in a storm" in cell.source)
    changed.cells[number].source = changed.cells[number].source.replace("in a storm", "in a snowstorm")
    nbformat.write(changed, empty / "study" / "changed.ipynb")
    with pytest.raises(CellExecutionError) as caught:
        execute(empty / "study" / "changed.ipynb", monkeypatch)
    said = str(caught.value)
    assert "NotRecorded: Replay mode: cell [4]" in said
    assert "in a snowstorm" in said
    assert "differs in positive_prompt: 'a small airship over a forest in a storm' then, 'a small" in said


def test_the_notebook_says_what_it_teaches(study):
    _, book = study
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    text = {number: json.dumps(cell.outputs) for number, cell in enumerate(code)}
    assert "recorded" in next(text[n] for n, cell in enumerate(code) if "ukiyo" not in cell.source and n == 6)
    assert any("where the two differ" in each for each in text.values())
    assert any("3 exact" in each for each in text.values())
    assert any("were generated in" in each for each in text.values())
    size = len(nbformat.writes(book))
    assert size < 2_000_000
