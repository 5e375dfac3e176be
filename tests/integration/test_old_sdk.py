"""The older official package against the sandbox, unmodified, in an environment of its own.

`make test` sets that environment up in `.venv-old-sdk`. Text streaming is left out: that package sends it to the
live service, whatever its address, unless the server is `ws://localhost:8080` (reference 10.2).
"""

import json
import subprocess

import pytest
from PIL import Image, ImageDraw

from runware_nb.sandbox.core.making.films import encode_film, film_frames
from tests.conftest import REPO, SandboxProcess

PYTHON = REPO / ".venv-old-sdk" / "bin" / "python"


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old-sdk")
    picture = Image.new("RGB", (128, 96), "white")
    ImageDraw.Draw(picture).ellipse((30, 20, 90, 80), fill="teal")
    picture.save(folder / "in.png")
    film, _ = encode_film(film_frames(picture, None, picture.size, 6), fps=6, output_format="MP4")
    (folder / "in.mp4").write_bytes(film)
    sandbox = SandboxProcess()
    try:
        done = subprocess.run(
            [PYTHON, REPO / "tests/strangers/old_sdk.py", sandbox.ws_url, sandbox.api_key, folder / "in.png",
             folder / "in.mp4"],
            capture_output=True, text=True, timeout=150, env={"PYTHONWARNINGS": "ignore"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        yield json.loads(done.stdout.splitlines()[-1])
    finally:
        sandbox.close()


@pytest.mark.parametrize(
    ("call", "field", "count"),
    [
        ("imageInference", "imageURL", 3),
        ("imageInference inpainting", "imageURL", 1),
        ("photoMaker", "imageURL", 1),
        ("imageBackgroundRemoval", "imageURL", 1),
        ("imageUpscale", "imageURL", 1),
        ("imageVectorize", "imageURL", 1),
        ("promptEnhance", "text", 3),
        ("videoCaption", "text", 1),
        ("audioInference", "audioURL", 1),
        ("textInference", "text", 1),
        ("getResponse", "imageURL", 3),
        ("getResponse of a film", "videoURL", 1),
    ],
)
def test_what_comes_as_a_list(answers, call, field, count):
    found = answers[call]
    assert isinstance(found, list), found
    assert len(found) == count
    assert all(each[field] for each in found)


@pytest.mark.parametrize(
    "call",
    ["imageInference async", "videoInference", "videoBackgroundRemoval", "videoUpscale", "training", "inference3d"],
)
def test_what_is_acknowledged(answers, call):
    assert set(answers[call]) == {"taskType", "taskUUID"}


def test_captions_uploads_models_and_details(answers):
    assert "teal" in answers["imageCaption"]["text"]
    assert answers["uploadMedia"]["mediaUUID"]
    assert answers["modelSearch"]["totalResults"] == 3
    assert [each["status"] for each in answers["modelUpload"]][-1] == "ready"
    assert answers["getTaskDetails"]["request"][0]["positivePrompt"] == "a small airship"
    assert answers["uploadImage"]["imageUUID"]


def test_a_refusal_is_raised(answers):
    assert "invalidWidth" in answers["a wrong parameter"]["raised"]
