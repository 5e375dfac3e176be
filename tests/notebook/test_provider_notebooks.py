"""The notebooks of RunKey.ai and useapi.net run unattended, and their saved outputs can be read without a kernel."""

import re
import socket
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from tests.notebook.test_forms_notebook import kinds
from tests.notebook.test_reproduce import command

NOTEBOOKS = Path(__file__).resolve().parent.parent.parent / "notebooks"
SAVED = [NOTEBOOKS / "08_runkey.ipynb", NOTEBOOKS / "09_useapi_accounts.ipynb"]
SENTENCES = {
    "08_runkey": [
        "15 credits", "MP3 audio", "MP4 video", "JSON, 10 lines", "recorded: run", "are left of the budget of 150 credits",
        "runkey: verified: task.completed", "It may have been accepted and charged", "not charged",
    ],
    "09_useapi_accounts": [
        "through useapi.net, an unofficial proxy. Check Runway", "st…@example.com", "cost unknown",
        "moderation refused the prompt", "cannot pay for the task", "cannot use the Runway account",
        "the cost of 8 runs is unknown", "was removed from useapi.net",
    ],
}  # fmt: skip
AT_A_MOMENT = {"09_useapi_accounts": ["2 of 2", "3 of 3", "THROTTLED: waiting at Runway"]}
"""What the saved outputs show, and a slow machine may be too late to show."""

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(240)]
each = pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def words_of(book):
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    texts = [output.get("text", "") for output in outputs]
    data = [output.get("data", {}) for output in outputs]
    return "\n".join([*texts, *(each.get(kind, "") for each in data for kind in ("text/html", "text/plain"))])


@each
def test_it_runs_to_the_same_outputs_and_can_be_shared(path, tmp_path):
    saved, fresh = (nbformat.read(path, as_version=4) for _ in range(2))
    port = free_port()  # the port of the text may be in use on this machine
    for cell in fresh.cells:
        cell.source = cell.source.replace("8766", port)
        if cell.cell_type == "code":
            cell.outputs = []
    NotebookClient(fresh, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert [kinds(cell) for cell in fresh.cells] == [kinds(cell) for cell in saved.cells]
    assert [words for words in SENTENCES[path.stem] if words not in words_of(fresh)] == []
    nbformat.write(fresh, tmp_path / path.name)
    made = command("bundle", "make", "study.zip", "--notebook", path.name, cwd=tmp_path)  # refused if it has a key
    assert made["runs"] > 8


@each
def test_its_saved_outputs_can_be_read_alone(path):
    assert path.stat().st_size < 400_000
    text = path.read_text(encoding="utf-8")
    assert "widget-view" not in text, "a widget without its kernel says only that it is not found"
    assert not re.search(r"/(home|root|tmp|work)/", text), "paths of a machine"
    assert "Traceback" not in text
    book = nbformat.read(path, as_version=4)
    shown = [*SENTENCES[path.stem], *AT_A_MOMENT.get(path.stem, [])]
    assert [words for words in shown if words not in words_of(book)] == []
    html, _ = HTMLExporter().from_notebook_node(book)
    images = re.findall(r"<img [^>]*>", html)
    assert len(images) > 3
    assert all('alt="' in image for image in images)
