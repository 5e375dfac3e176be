"""What the operations on images do to the pixels, over a real sandbox."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

import runware_nb as rw
from runware_nb.core.operations import operation_of
from runware_nb.errors import TaskInvalid
from runware_nb.session.operations import task_of

SIZE = (192, 128)
LIGHT = {"width": SIZE[0], "height": SIZE[1], "steps": 20, "output_format": "PNG", "seed": 5, "agreed": True}


@pytest.fixture
def session(sandbox, make_session, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    session = make_session(sandbox, home=tmp_path / "home")
    monkeypatch.setattr("runware_nb.session.current._session", session)
    return session


@pytest.fixture(scope="module")
def source():
    """A red disk on teal with a white corner at the top left, so that a turned copy differs from it."""
    image = Image.new("RGB", SIZE, "teal")
    draw = ImageDraw.Draw(image)
    draw.ellipse((70, 30, 150, 110), fill=(200, 30, 30))
    draw.rectangle((0, 0, 30, 15), fill="white")
    return image


def pixels(image):
    return np.asarray(image.convert("RGB")).astype(int)


def distance(one, other):
    return np.abs(pixels(one) - pixels(other)).mean()


def image_of(prompt="a red cat", **parameters):
    return rw.image(prompt, **{**LIGHT, **parameters}).result().results[0].image


def operate(session, name, **values):
    return session.submit(task_of(operation_of(name), values), agreed=True).result().results[0]


def test_inpainting_leaves_every_pixel_outside_the_mask_unchanged(session, source):
    mask = Image.new("L", SIZE)
    mask.paste(255, (60, 20, 120, 90))
    made = image_of(seed_image=source, mask_image=mask, strength=0.9)
    changed = (pixels(made) != pixels(source)).any(axis=2)
    inside = np.asarray(mask) > 0
    assert not changed[~inside].any()
    assert changed[inside].mean() > 0.9


@pytest.mark.parametrize(
    ("outpaint", "size", "at"),
    [("left=64,right=128", (384, 128), (64, 0)), ({"top": 64, "bottom": 64}, (192, 256), (0, 64)),
     ("3:2", SIZE, None), ("3:1", (384, 128), (64, 0)), ("1:2", (192, 384), (0, 128))],
)  # fmt: skip
def test_outpainting_keeps_the_original_in_place_and_has_the_announced_size(session, source, outpaint, size, at):
    given = {name: value for name, value in LIGHT.items() if name not in {"width", "height"}}
    if at is None:
        with pytest.raises(TaskInvalid, match="already as near to this ratio"):
            rw.image("hills", seed_image=source, outpaint=outpaint, **given)
        assert session.log.recent() == []
        return
    job = rw.image("hills", seed_image=source, outpaint=outpaint, **given)
    made = job.result().results[0].image
    assert made.size == size == (job.record.request["width"], job.record.request["height"])
    kept = made.crop((*at, at[0] + SIZE[0], at[1] + SIZE[1]))
    assert (pixels(kept) == pixels(source)).all()
    if isinstance(outpaint, str) and ":" in outpaint:
        assert any(f"{size[0]}x{size[1]} px" in notice for notice in job.notices)


def test_a_low_strength_stays_nearer_to_the_source_than_a_high_one(session, source):
    near, far = (image_of(seed_image=source, strength=strength) for strength in (0.1, 0.9))
    assert 0 < distance(near, source) < distance(far, source) / 2


def test_a_variation_has_the_prompt_and_the_parameters_of_the_original_and_is_recorded_as_one(session):
    first = rw.image("a blue ship on the sea", **{**LIGHT, "steps": 17}).result()
    job = rw.image(vary=first, strength=0.1, agreed=True)
    made = job.result().results[0]
    request = job.record.request
    assert (request["positivePrompt"], request["steps"], request["width"]) == ("a blue ship on the sea", 17, SIZE[0])
    assert request["seed"] != LIGHT["seed"]
    assert 0 < distance(made.image, first.results[0].image) < 20
    parents = session.log.find(job.task_uuid).parents
    assert ("variation", first.task_uuid, 0) in [(each.role, each.task_uuid, each.index) for each in parents]
    other = rw.image("a red ship", vary=first.results[0].path, strength=0.1, agreed=True, seed=9)
    assert other.result().task["positivePrompt"] == "a red ship"
    assert "variation" in [parent.role for parent in session.log.find(other.task_uuid).parents]


def test_an_upscale_by_2_has_twice_the_size(session, source):
    result = operate(session, "upscale", image=source, factor=2, output_format="PNG")
    assert result.image.size == (2 * SIZE[0], 2 * SIZE[1])
    assert distance(result.image.resize(SIZE, Image.Resampling.BOX), source) < 12


def test_a_removed_background_is_transparent_where_the_color_of_the_border_was(session, source):
    result = operate(session, "remove-background", image=source, output_format="PNG")
    alpha = np.asarray(result.image.convert("RGBA"))[:, :, 3]
    assert (alpha[(pixels(source) == (0, 128, 128)).all(axis=2)] == 0).all()
    assert alpha[70, 110] == 255


@pytest.mark.parametrize("kind", ["canny", "depth", "openpose", "tile"])
def test_a_guide_image_has_the_size_of_its_source(session, source, kind):
    assert operate(session, "controlnet", image=source, preprocessor=kind).image.size == SIZE


@pytest.mark.parametrize("color", ["red", "green", "blue", "yellow"])
def test_a_caption_names_the_dominant_color(session, color):
    image = Image.new("RGB", (96, 64), color)
    image.paste("white", (0, 0, 20, 20))
    assert f"mostly {color}" in operate(session, "caption", image=image).text.replace("dark ", "")


def turned_copy(image, orientation):
    """Return a file whose pixels are turned, and whose EXIF orientation turns them back."""
    undo = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    stored = image if undo is None else image.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    stored.save(buffer, "PNG", exif=exif)
    return buffer.getvalue()


MASK = Image.new("L", SIZE)
MASK.paste(255, (100, 40, 140, 80))
OPERATIONS = {
    "image": lambda session, image: image_of(seed_image=image, strength=0.05),
    "upscale": lambda session, image: operate(session, "upscale", image=image, factor=2).image.resize(SIZE),
    "remove-background": lambda session, image: operate(session, "remove-background", image=image,
                                                        output_format="PNG").image,
    "controlnet": lambda session, image: operate(session, "controlnet", image=image, preprocessor="tile").image,
    "inpaint": lambda session, image: image_of(seed_image=image, mask_image=MASK, strength=0.9),
    "guide": lambda session, image: image_of(control=("guide", image, 0.9, "runware:25@1")),
    "reference": lambda session, image: image_of(model="runware:106@1", reference_images=[image]),
    "mask": lambda session, image: operate(session, "mask", image=image).image,
    "outpaint": lambda session, image: rw.image("hills", seed_image=image, outpaint="left=64", seed=3,
                                                output_format="PNG", agreed=True).result().results[0].image,
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_sees_an_image_as_its_exif_orientation_turns_it(session, source, name):
    upright = OPERATIONS[name](session, turned_copy(source, 1))
    for orientation in range(2, 9):
        made = OPERATIONS[name](session, turned_copy(source, orientation))
        assert made.size == upright.size, orientation
        assert distance(made, upright) < 1, orientation


def test_a_caption_and_a_vector_image_see_the_orientation(session):
    tall = Image.new("RGB", (64, 96), "red")
    for orientation in range(1, 9):
        copy = turned_copy(tall, orientation)
        assert "A tall picture of 64 by 96 pixels" in operate(session, "caption", image=copy).text
        assert b'width="64" height="96"' in operate(session, "vectorize", image=copy).bytes


def test_a_video_begins_with_the_frame_as_its_orientation_turns_it(session):
    import av

    frame = turned_copy(Image.new("RGB", (64, 96), "red"), 6)
    video = session.submit(
        task_of(operation_of("video"), {"first_frame": frame, "prompt": "waves", "duration": 1}), agreed=True
    )
    with av.open(io.BytesIO(video.result().results[0].bytes)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (64, 96)


def test_a_guide_shapes_the_image_and_is_made_first(session, source, sandbox):
    plain = image_of(seed=7)
    job = rw.image("a red cat", control=("canny", source, 1.0), **{**LIGHT, "seed": 7})
    outcome = job.result()
    _, guide, image = reversed(session.log.recent())
    assert (guide.operation, image.operation) == ("controlnet", "text-to-image")
    assert ("guideImage", guide.task_uuid) in [(parent.role, parent.task_uuid) for parent in image.parents]
    assert image.request["controlNet"][0]["model"] == "runware:25@1"
    lines = pixels(Image.open(session.media.folder / guide.results[0].file))[:, :, 0]
    difference = np.abs(pixels(outcome.results[0].image) - pixels(plain)).mean(axis=2)
    assert difference[lines > 200].mean() > 10 * max(0.5, difference[lines == 0].mean())
    shown = outcome._repr_mimebundle_()["text/html"] if hasattr(outcome, "_repr_mimebundle_") else ""
    assert "guide image · runware:25@1 · weight 1" in shown
    charged = len(sandbox.charges())
    rw.image("a green cat", control=("canny", source, 1.0), **{**LIGHT, "seed": 7}).result()
    assert len(sandbox.charges()) == charged + 1, "the guide image was paid for twice"


def test_options_that_guide_by_images_change_the_result(session, source, sandbox):
    plain = image_of(seed=7)
    red = Image.new("RGB", (64, 64), (255, 0, 0))
    for parameters in (
        {"ip_adapters": ("runware:56@1", red, 0.9)},
        {"pulid": (red, 1.0)},
    ):
        made = image_of(seed=7, **parameters)
        assert pixels(made)[50:78, 82:110, 0].mean() > pixels(plain)[50:78, 82:110, 0].mean() + 20, parameters
    sdxl = {"model": "civitai:101055@128078", "seed": 7}
    plain = image_of(**sdxl)
    for parameters in (
        {"embeddings": [("civitai:7808@9208", 0.8)]}, {"refiner": "civitai:101055@128080:80%"},
        {"photomaker": red, "photomaker_strength": 40}, {"ip_adapters": ("runware:55@1", red, 0.9)},
    ):  # fmt: skip
        assert distance(image_of(**sdxl, **parameters), plain) > 0.2, parameters


def test_transparent_images_have_an_alpha_channel_and_are_png(session):
    given = {name: value for name, value in LIGHT.items() if name != "output_format"}
    job = rw.image("a red balloon", transparent=True, **given)
    alpha = np.asarray(job.result().results[0].image)[:, :, 3]
    assert job.record.request["outputFormat"] == "PNG"
    assert alpha[0, 0] == 0
    assert (alpha == 255).any()
    with pytest.raises(TaskInvalid, match="JPG files have no transparency"):
        rw.image("a red balloon", transparent=True, **{**given, "output_format": "JPG"})


def test_the_safety_check_marks_what_it_finds(session):
    flagged = [rw.image(prompt, safety=True, **LIGHT).result().results[0].is_flagged for prompt in ("a cat", "gore")]
    assert flagged == [False, True]


def test_a_parameter_that_the_model_does_not_accept_is_refused_with_models_that_accept_it(session, sandbox, source):
    with pytest.raises(TaskInvalid) as caught:
        rw.image("a ship", model="runware:106@1", seed_image=source, outpaint="left=64", agreed=True)
    assert "runware:106@1 (FLUX.1 Kontext [dev]) does not accept seed_image; runware:101@1 (FLUX.1 [dev])" in str(
        caught.value
    ) or "does not accept outpaint" in str(caught.value)
    for parameters in ({"refiner": "civitai:101055@128080"}, {"photomaker": source}, {"embeddings": "civitai:1@2"}):
        with pytest.raises(TaskInvalid, match=r"does not accept \w+; civitai:\S+ \(.*\) accept it\. Nothing was sent"):
            rw.image("a ship", agreed=True, **parameters)
    assert sandbox.charges() == []
