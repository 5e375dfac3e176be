"""`02_forms_and_gallery.ipynb` runs by itself, and reads by itself: its outputs are saved with it."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

REPO = Path(__file__).resolve().parent.parent.parent
NOTEBOOK = REPO / "notebooks" / "02_forms_and_gallery.ipynb"

pytestmark = pytest.mark.kernel


def kinds(cell):
    """Say what a cell shows, whatever is in it: a gallery's controls are saved as their line of text."""
    return [sorted(output.get("data", {"stream": ""}).keys() - {"application/vnd.jupyter.widget-view+json"})
            for output in cell.get("outputs", [])]  # fmt: skip


@pytest.fixture(scope="module")
def saved():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_runs_to_the_same_kinds_of_outputs(saved, tmp_path):
    fresh = nbformat.read(NOTEBOOK, as_version=4)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    NotebookClient(fresh, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert [kinds(cell) for cell in fresh.cells] == [kinds(cell) for cell in saved.cells]
    log = [run for cell in fresh.cells for output in cell.get("outputs", []) for run in [output.get("ename")] if run]
    assert log == []


def test_its_saved_outputs_can_be_read_alone(saved):
    assert NOTEBOOK.stat().st_size < 600_000
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert "widget-view" not in text, "a widget without its kernel says only that it is not found"
    assert not re.search(r"/(home|root|tmp|work)/", text), "paths of a machine"
    html, _ = HTMLExporter().from_notebook_node(saved)
    images = re.findall(r"<img [^>]*>", html)
    assert len(images) > 15
    assert all('alt="' in image for image in images)
    for words in ("Copy as cell", "%%runware -s 256x256", "ballot harbour: 6 votes", "95 % interval", "mask:"):
        assert words in html, words


def test_what_a_form_made_stays_without_its_controls(saved):
    shown = [output for cell in saved.cells for output in cell.get("outputs", []) if "data" in output]
    form = next(each for each in shown if "results appear here and stay" in each["data"].get("text/plain", ""))
    assert "<img" in form["data"]["text/html"]
