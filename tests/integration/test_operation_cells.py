"""The code of a run, and the cell copied from a form, make the same request again, for each operation."""

import pytest
from PIL import Image

from runware_nb.core.operations import OPERATIONS, operation_of
from runware_nb.notebook.forms.media_words import cell_of, with_images
from runware_nb.providers.runware.tasks import request_of
from runware_nb.reproduce.code import code_for
from runware_nb.session.operations import task_of

TEXT = 'it\'s "quoted" {brace} \\back 🚢'
VALUES = {
    "text-to-image": {
        "model": "runware:101@1",
        "size": "256x256",
        "steps": 4,
        "number_results": 2,
        "seed": 1,
        "loras": ["civitai:1@2:0.5"],
    },
    "upscale": {"image": "in.png", "model": "runware:500@1", "factor": 2, "prompt": TEXT, "seed": 7},
    "remove-background": {"image": "in.png", "rgba": [255, 0, 0, 255], "alpha_matting": True, "output_format": "PNG"},
    "caption": {"image": "in.png", "prompt": TEXT},
    "mask": {"image": "in.png", "detector": "face", "confidence": 0.5, "mask_blur": 0},
    "controlnet": {"image": "in.png", "preprocessor": "canny", "width": 64, "low_threshold_canny": 50},
    "enhance": {"prompt": TEXT, "versions": 2, "max_length": 64},
    "vectorize": {"image": "in.png"},
    "video": {
        "prompt": TEXT,
        "duration": 1,
        "fps": 8,
        "seed": 1,
        "first_frame": "in.png",
        "last_frame": "in.png",
    },
    "audio": {"prompt": TEXT, "duration": 1, "sample_rate": 8000, "seed": 1, "output_format": "WAV"},
    "text": {"prompt": TEXT, "system_prompt": TEXT, "max_tokens": 8, "seed": 1, "temperature": 0.5},
    "3d": {"image": "in.png", "seed": 5},
    "training": {"dataset": "in.png", "name": TEXT, "identifier": "style", "private": True},
    "tools": {"image": "in.png", "output_format": "PNG"},
}


@pytest.fixture
def session_on(sandbox, make_session, front_end, monkeypatch, tmp_path, polls_soon):
    """Makes sessions with a log of their own, so that nothing is answered from the log; the last one is current."""
    monkeypatch.chdir(tmp_path)
    front_end.asks = lambda question: True  # an unknown price is asked about
    Image.new("RGB", (64, 64), "teal").save("in.png")

    def make(name):
        session = make_session(sandbox, home=tmp_path / name, front_end=front_end)
        monkeypatch.setattr("runware_nb.session.current._session", session)
        return session

    return make


def request_in(session):
    """Return the only run of a log: its request without its own UUID, and the hashes that count media by content."""
    (run,) = session.log.recent()
    return {**run.request, "taskUUID": None, "inputs": None}, run.asked_hash, run.request_hash


def task_for(name):
    task = task_of(operation_of(name), VALUES[name])
    return {**task, "positivePrompt": TEXT} if name == "text-to-image" else task


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_the_code_of_a_run_and_a_copied_cell_make_the_same_request(session_on, operation):
    task = task_for(operation.name)
    first = session_on("first")
    job = first.submit(with_images(task, first, {}))
    assert not job.result().errors
    written = [code_for(first.log.find(job.task_uuid), first.media.folder)]
    if operation.function is None:  # a cell with a magic is tried with the magics
        written.append(cell_of(task, first, {}))
        assert "rw.run(" in written[1]
    for number, source in enumerate(written):
        again = session_on(f"again-{number}")
        exec(compile(source, "the cell", "exec"), {})
        assert request_in(again) == request_in(first)


def test_the_table_of_values_uses_options_of_every_operation():
    assert VALUES.keys() == {operation.name for operation in OPERATIONS}
    for operation in OPERATIONS:
        names = {entry.name for entry in (*operation.inputs, *operation.options)}
        assert VALUES[operation.name].keys() <= names
        assert request_of(operation, VALUES[operation.name])
