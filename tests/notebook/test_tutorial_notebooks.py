"""`04_editing.ipynb` and `05_video_audio_text.ipynb` run unattended, and can be read where no kernel and no HTML is."""

import importlib.util
import re

import nbformat
import pytest
from nbconvert import HTMLExporter

from runware_nb import Session, Settings
from tests.notebook.test_forms_notebook import REPO, kinds
from tests.notebook.test_provider_notebooks import words_of

EDITING = REPO / "notebooks" / "04_editing.ipynb"
MEDIA = REPO / "notebooks" / "05_video_audio_text.ipynb"
SENTENCES = {
    EDITING: [
        "--outpaint 16:9: left=64, right=64, which makes 896x512 px.", "A wide picture of 1536 by 1024 pixels",
        "image with this guide: the same harbor in winter", "recorded: run", "caption", "Write {@poster} to use it.",
        "Drawn for this prompt: __weather__ is", "1 result",
    ],
    MEDIA: [
        "MP4 video, 5.0 s, 640 × 384", "median of 1 of your similar runs", "MP3 audio, 4.0 s", "GLB 3D model",
        "This is message 3 of a conversation that began with", "A wide picture of 640 by 384 pixels", '"answers":',
        "{better[1]} is version #2", "image with this prompt #2", "tokens: ",
    ],
}  # fmt: skip
OF_A_MOMENT = {"%runware pending"}
"""Cells that show less if the machine is slow: the run has ended before the cell begins."""

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(240)]
each = pytest.mark.parametrize("path", SENTENCES, ids=lambda path: path.stem)


def load_save():
    """Return the module with which the outputs are saved, so that both execute the notebooks in the same way."""
    spec = importlib.util.spec_from_file_location("save", REPO / "notebooks" / "save.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown(book):
    return [kinds(cell) for cell in book.cells if cell.source not in OF_A_MOMENT]


def runs_in(folder):
    session = Session(Settings(home=folder / ".runware"))
    try:
        return session.log.recent(100)[::-1]
    finally:
        session.close()


@each
def test_it_runs_to_the_outputs_that_are_saved(path, tmp_path):
    saved, fresh = (nbformat.read(path, as_version=4) for _ in range(2))
    load_save().execute(fresh, tmp_path)
    assert shown(fresh) == shown(saved)
    assert [words for words in SENTENCES[path] if words not in words_of(fresh)] == []
    runs = runs_in(tmp_path)
    assert {run.state.value for run in runs} == {"succeeded"}
    if path == EDITING:  # the second step was changed: it and the four steps that depend on it were sent, nothing else
        changed = next(number for number, run in enumerate(runs) if run.prompt == "a violet evening sky")
        assert sorted(run.task_type for run in runs[changed : changed + 5]) == [
            "caption", "imageInference", "removeBackground", "upscale", "vectorize"
        ]  # fmt: skip
        assert len(runs) == 17
        caption = next(cell for cell in fresh.cells if cell.source.startswith("%runware caption"))
        assert caption.outputs[0]["data"]["text/plain"].startswith("A wide picture of 1536 by 1024 pixels, ")


@each
def test_its_saved_outputs_can_be_read_alone(path):
    assert path.stat().st_size < 1_500_000
    text = path.read_text(encoding="utf-8")
    assert "widget-view" not in text, "a widget without its kernel shows only that it is not found"
    assert not re.search(r"/(home|root|tmp|work)/", text), "paths of a machine"
    assert "Traceback" not in text
    book = nbformat.read(path, as_version=4)
    assert [words for words in SENTENCES[path] if words not in words_of(book)] == []
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    pictures = [kind for output in outputs for kind in output.get("data", {}) if kind.startswith("image/")]
    assert len(pictures) >= 6, "code hosts show images, and leave out those inside HTML"
    html, _ = HTMLExporter().from_notebook_node(book)
    assert len(re.findall(r"<img [^>]*>", html)) >= len(pictures) // 2
