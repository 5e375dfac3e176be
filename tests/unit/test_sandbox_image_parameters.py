"""The parameters of images in the sandbox: which models have them, and what is refused."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from runware_nb.sandbox.core.journal import Journal
from runware_nb.sandbox.core.making.pictures import open_image, paint_image
from runware_nb.sandbox.runware.behaviour import Behaviour
from runware_nb.sandbox.runware.inputs import Uploads, guiding_media
from runware_nb.sandbox.runware.models import MODELS
from runware_nb.sandbox.runware.schemas import request_schema
from runware_nb.sandbox.runware.validation import Refused, check_task
from runware_nb.sandbox.runware.work import checks_content

FLUX, SDXL, SD_15 = "runware:101@1", "civitai:101055@128078", "civitai:4384@128713"
BASE = {"taskType": "imageInference", "taskUUID": "x", "positivePrompt": "a cat", "width": 512, "height": 512}


@pytest.mark.parametrize(
    ("air", "has", "lacks"),
    [
        (FLUX, {"outpaint", "controlNet", "ipAdapters", "puLID", "layerDiffuse", "acceleration", "safety"},
         {"refiner", "photoMaker", "embeddings"}),
        (SDXL, {"refiner", "photoMaker", "embeddings", "ipAdapters", "controlNet"}, {"puLID", "layerDiffuse"}),
        (SD_15, {"embeddings", "ipAdapters", "controlNet"}, {"refiner", "photoMaker", "puLID", "layerDiffuse"}),
        ("runware:106@1", {"lora"}, {"outpaint", "controlNet", "strength", "refiner"}),
    ],
)  # fmt: skip
def test_each_architecture_has_its_own_parameters(air, has, lacks):
    names = request_schema(air)["properties"].keys()
    assert has <= names
    assert not lacks & names


@pytest.mark.parametrize(
    ("air", "field", "value", "parameter"),
    [
        (SDXL, "ipAdapters", [{"model": "a:b@1", "guideImages": [], "weight": 1}], "ipAdapters.0.guideImages"),
        (SDXL, "ipAdapters", [{"model": "a:b@1", "guideImages": ["x"], "weight": 2}], "ipAdapters.0.weight"),
        (SDXL, "refiner", {"model": "a:b@1", "startStep": 1}, "refiner.startStep"),
        (SDXL, "photoMaker", {"images": []}, "photoMaker.images"),
        (SDXL, "photoMaker", {"images": ["x"], "strength": 60}, "photoMaker.strength"),
        (SDXL, "embeddings", [{"weight": 1}], "embeddings.0.model"),
        (SDXL, "outpaint", {"left": 100}, "outpaint.left"),
        (SDXL, "controlNet", [{"model": "a:b@1"}], "controlNet.0.guideImage"),
        (FLUX, "puLID", {"inputImages": ["x", "y"]}, "puLID.inputImages"),
        (FLUX, "puLID", {"inputImages": ["x"], "idWeight": 4}, "puLID.idWeight"),
        (SDXL, "layerDiffuse", True, "layerDiffuse"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_refused_by_its_name(air, field, value, parameter):
    with pytest.raises(Refused) as caught:
        check_task({**BASE, "model": air, field: value}, MODELS[air], Behaviour())
    assert caught.value.error["parameter"] == parameter


def png(color, size=(64, 64)):
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def painted(**fields):
    task = {**BASE, "width": 96, "height": 96, **fields}
    return paint_image(task, air=FLUX, seed=1, steps=20, cfg=3.5, media=png)


def test_images_of_a_face_count_under_the_names_that_the_service_uses():
    plain = painted().tobytes()
    assert painted(pulid={"inputImages": ["red"]}).tobytes() == plain
    documented = painted(puLID={"inputImages": ["red"]}).tobytes()
    assert painted(pulid={"images": ["red"]}).tobytes() == documented != plain


def test_a_heavier_guide_changes_more():
    def brightness(image):
        return sum(image.convert("L").tobytes())

    weights = (0, 0.3, 1)
    shades = [brightness(painted(controlNet=[{"guideImage": "white", "weight": weight}])) for weight in weights]
    assert shades == sorted(set(shades))
    assert brightness(painted()) == shades[0]


@pytest.mark.parametrize(
    ("safety", "checks"),
    [({}, False), ({"checkContent": True}, True), ({"mode": "full"}, True), ({"mode": "none", "checkContent": True}, False),
     ({"mode": "fast", "checkContent": False}, True)],
)  # fmt: skip
def test_the_mode_of_the_safety_check_counts_more_than_its_flag(safety, checks):
    assert checks_content({"safety": safety}) is checks


def test_images_outside_of_inputs_are_found_by_the_path_of_their_parameter():
    task = {"controlNet": [{"guideImage": "a"}, "odd"], "ipAdapters": [{"guideImages": ["b", "c"]}],
            "puLID": {"inputImages": ["d"]}, "photoMaker": {"images": ["e"]}, "pulid": None}  # fmt: skip
    assert list(guiding_media(task)) == [
        ("controlNet.0.guideImage", "a"), ("ipAdapters.0.guideImages", "b"), ("ipAdapters.0.guideImages", "c"),
        ("puLID.inputImages", "d"), ("photoMaker.images", "e"),
    ]  # fmt: skip


def test_an_upload_that_is_reduced_keeps_its_orientation(tmp_path):
    import base64

    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (3000, 1000), "red").save(buffer, "JPEG", exif=exif)
    uploads = Uploads(Journal(None))
    _, name = uploads.add(base64.b64encode(buffer.getvalue()).decode(), parameter="image", own_body=lambda _: None,
                          shrink=True)  # fmt: skip
    with Image.open(io.BytesIO(uploads.body(name))) as stored:
        assert stored.height == 2048
        assert stored.width < stored.height
        assert stored.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_sandbox_reads_an_image_as_its_orientation_turns_it(orientation):
    upright = Image.linear_gradient("L").resize((48, 32)).convert("RGB")
    upright.paste("red", (0, 0, 12, 8))
    turns = [None, None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM,
             Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_90, Image.Transpose.TRANSVERSE,
             Image.Transpose.ROTATE_270]  # fmt: skip
    turn = turns[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    (upright if turn is None else upright.transpose(turn)).save(buffer, "PNG", exif=exif)
    assert open_image(buffer.getvalue()).tobytes() == upright.tobytes()
