"""A notebook that is run again: where the images are the same, the outputs are, and the rest stands beside them."""

import json
import os

import nbformat
import pytest
from nbclient import NotebookClient

CELLS = [
    "%load_ext runware_nb\nimport runware_nb as rw",
    "%%runware -s 256x256 -n 2 --seed 7 --steps 9\na small airship",
    'rw.image("a fox", width=256, height=256, seed=8).result()',
    'job = rw.image("a cat", width=256, height=256, seed=9)\njob',
    "import time\njob.result()[0]; time.sleep(0.5)",
    'rw.image("a fox", width=256, height=256, seed=8).result()[0]',
]

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]


def execute(folder):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    return NotebookClient(book, timeout=60, resources={"metadata": {"path": str(folder)}}).execute()


def split(book):
    """The outputs with images, as they are in the file, and the text of all others."""
    outputs = [json.loads(json.dumps(output)) for cell in book.cells for output in cell.outputs]
    images = [output for output in outputs if "data:image" in json.dumps(output)]
    return images, json.dumps([output for output in outputs if output not in images])


def test_the_same_images_are_the_same_outputs(sandbox, tmp_path, monkeypatch):
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    first, first_words = split(execute(tmp_path))
    second, second_words = split(execute(tmp_path))
    assert len(first) == 4
    assert second == first
    assert "recorded: run" not in first_words
    assert second_words.count("recorded: run") >= 3
    assert len(sandbox.charges()) == 3
    monkeypatch.setenv("RUNWARE_NB_MODE", "replay")
    replayed, words = split(execute(tmp_path))
    assert replayed == first
    assert "replayed: run" in words
    assert os.listdir(tmp_path / "runware_images")
