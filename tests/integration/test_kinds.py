"""Every kind of task through the client, over both transports, as results that can be used."""

import asyncio
import io
import wave

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw, ImageStat

from runware_nb import Client
from runware_nb.errors import MediaError, TaskFailed, TaskInvalid, TaskNotFound
from runware_nb.sandbox.core.making.films import decode_first_frame, encode_film, film_frames
from tests.conftest import TASK

pytestmark = pytest.mark.usefixtures("polls_soon")
BOTH = pytest.mark.parametrize("transport", ["websocket", "rest"])


def connect(sandbox, transport="websocket", **values):
    return Client(sandbox.api_key, transport=transport, **sandbox.urls, **values)


def disc(size=(96, 64), colour="teal"):
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).ellipse((30, 12, 70, 52), fill=colour)
    return picture


def run(sandbox, run_async, transport, task, **options):
    async def main():
        async with connect(sandbox, transport) as client:
            outcome = await client.run(task, **options)
            for result in outcome:
                if result.url:
                    await client.fetch(result)
            return outcome

    return run_async(main())


@BOTH
@pytest.mark.parametrize("task_type", ["upscale", "imageUpscale"])
def test_upscale(sandbox, run_async, transport, task_type):
    placed = {"inputs": {"image": disc()}} if task_type == "upscale" else {"inputImage": disc()}
    task = {"taskType": task_type, "model": "runware:504@1", "upscaleFactor": 2, **placed}
    (result,) = run(sandbox, run_async, transport, task)
    assert result.image.size == (192, 128)
    assert result.raw["taskType"] == task_type


@BOTH
def test_upscale_to_megapixels(sandbox, run_async, transport):
    task = {"taskType": "upscale", "model": "runware:503@1", "targetMegapixels": 1, "inputs": {"image": disc()}}
    (result,) = run(sandbox, run_async, transport, task)
    assert result.image.width * result.image.height == pytest.approx(1e6, rel=0.01)


@BOTH
def test_remove_background(sandbox, run_async, transport):
    task = {"taskType": "removeBackground", "model": "runware:109@1", "inputs": {"image": disc()},
            "outputFormat": "PNG"}  # fmt: skip
    (result,) = run(sandbox, run_async, transport, task)
    assert result.image.getpixel((2, 2))[3] == 0
    assert result.image.getpixel((50, 32)) == (0, 128, 128, 255)


@BOTH
def test_caption_says_the_colours(sandbox, run_async, transport):
    task = {"taskType": "caption", "model": "runware:150@2", "inputs": {"image": disc()}}
    (result,) = run(sandbox, run_async, transport, task)
    assert "white" in result.text
    assert "teal" in result.text


@BOTH
def test_a_classifier_answers_structured(sandbox, run_async, transport):
    task = {"taskType": "caption", "model": "runware:154@1", "inputs": {"image": disc()}}
    (result,) = run(sandbox, run_async, transport, task)
    assert result.text is None
    assert sum(each["score"] for each in result.structured["ages"]) == pytest.approx(1, abs=0.01)


@BOTH
def test_masking_finds_what_stands_out(sandbox, run_async, transport):
    task = {"taskType": "imageMasking", "model": "runware:35@1", "inputs": {"image": disc()}, "outputFormat": "PNG",
            "settings": {"maskBlur": 0, "maskPadding": 0}}  # fmt: skip
    (result,) = run(sandbox, run_async, transport, task)
    (box,) = result.detections
    assert (box["x_min"], box["y_min"]) == (30, 12)
    assert result.image.convert("L").getpixel((50, 32)) == 255
    assert result.image.convert("L").getpixel((2, 2)) == 0


@BOTH
@pytest.mark.parametrize("kind", ["canny", "depth", "openpose", "seg", "normalbae", "tile"])
def test_controlnet_guides(sandbox, run_async, transport, kind):
    task = {"taskType": "controlNetPreprocess", "model": f"runware:controlnet-preprocess@{kind}",
            "inputs": {"image": disc()}, "outputFormat": "PNG"}  # fmt: skip
    (result,) = run(sandbox, run_async, transport, task)
    assert result.image.size == (96, 64)
    if kind == "canny":
        assert set(result.image.convert("L").tobytes()) == {0, 255}
    if kind == "depth":
        grey = result.image.convert("L")
        assert grey.getpixel((2, 60)) > grey.getpixel((2, 3))


@BOTH
def test_all_versions_of_a_prompt_come_back(sandbox, run_async, transport):
    """Reference 5.10: the vendor's SDK gives one of N, since the items carry no identity."""
    task = {"taskType": "promptEnhance", "prompt": "a cat", "promptVersions": 5, "promptMaxLength": 64}
    outcome = run(sandbox, run_async, transport, task)
    assert len(outcome) == len({result.text for result in outcome}) == 5


@BOTH
def test_vectorize(sandbox, run_async, transport):
    task = {"taskType": "vectorize", "model": "recraft:1@1", "inputs": {"image": disc()}}
    (result,) = run(sandbox, run_async, transport, task)
    assert result.bytes.startswith(b"<svg")
    assert b"#008080" in result.bytes


@BOTH
def test_video_with_a_first_frame(sandbox, run_async, transport):
    task = {"taskType": "videoInference", "model": "google:3@3", "positivePrompt": "it moves", "duration": 2,
            "fps": 10, "frameImages": [{"inputImage": disc((128, 96)), "frame": "first"}]}  # fmt: skip
    (result,) = run(sandbox, run_async, transport, task)
    first, fps, duration = decode_first_frame(result.bytes)
    assert (first.size, fps, duration) == ((128, 96), 10, 2)
    assert ImageStat.Stat(ImageChops.difference(first, disc((128, 96)))).mean[0] < 12


@BOTH
def test_operations_on_videos(sandbox, run_async, transport):
    film, _ = encode_film(film_frames(disc(), None, (96, 64), 6), fps=6, output_format="MP4")
    task = {"taskType": "upscale", "model": "bria:50@1", "inputs": {"video": film}, "upscaleFactor": 2}
    (result,) = run(sandbox, run_async, transport, task)
    assert decode_first_frame(result.bytes)[0].size == (192, 128)
    assert "videoURL" in result.raw


@BOTH
def test_audio(sandbox, run_async, transport):
    task = {"taskType": "audioInference", "model": "runware:ace-step@v1.5-turbo", "positivePrompt": "a tune",
            "duration": 1.5, "outputFormat": "WAV", "outputType": "base64Data"}  # fmt: skip

    async def main():
        async with connect(sandbox, transport) as client:
            return await client.fetch((await client.run(task))[0])

    with wave.open(io.BytesIO(run_async(main()).bytes)) as sound:
        assert sound.getnframes() / sound.getframerate() == pytest.approx(1.5, abs=0.02)


@BOTH
def test_solids(sandbox, run_async, transport):
    task = {"taskType": "3dInference", "model": "microsoft:trellis-2@4b", "inputs": {"image": disc()}}
    (result,) = run(sandbox, run_async, transport, task)
    assert result.bytes.startswith(b"glTF")
    assert [set(file) for file in result.files] == [{"uuid", "url"}]
    assert result.item_uuid == result.files[0]["uuid"]


@BOTH
def test_training(sandbox, run_async, transport):
    task = {"taskType": "training", "model": "runware:flux-1-dev@style-lora-training", "inputs": {"dataset": disc()},
            "importModel": {"air": "me:style@1"}}  # fmt: skip
    (result,) = run(sandbox, run_async, transport, task)
    assert result.air == "me:style@1"


@BOTH
def test_tools_and_what_nobody_knows_pass_through(sandbox, run_async, transport):
    task = {"taskType": "tools", "model": "runware:ffmpeg@0", "inputs": {"image": disc()}, "outputFormat": "PNG",
            "settings": {"anything": 1}}  # fmt: skip
    assert run(sandbox, run_async, transport, task)[0].bytes.startswith(b"\x89PNG")
    with pytest.raises(TaskInvalid) as caught:
        run(sandbox, run_async, transport, {"taskType": "telepathy", "thought": "x"})
    assert caught.value.code == "invalidTaskType"


@BOTH
def test_text_and_its_usage(sandbox, run_async, transport):
    task = {"taskType": "textInference", "model": "google:gemma@4-31b", "includeUsage": True,
            "messages": [{"role": "user", "content": "hello"}], "settings": {"maxTokens": 4, "thinkingLevel": "low"}}  # fmt: skip
    (result,) = run(sandbox, run_async, transport, task)
    assert len(result.text.split()) == 4
    assert result.finish_reason == "length"
    assert result.usage["completionTokens"] == 4
    assert result.reasoning
    assert result.cost_usd > 0


@BOTH
def test_outpainting_changes_only_what_is_new(sandbox, run_async, transport):
    task = {**TASK, "width": 256, "height": 192, "seedImage": disc((128, 64)), "outputFormat": "PNG", "seed": 3,
            "outpaint": {"left": 64, "right": 64, "top": 64, "bottom": 64}}  # fmt: skip
    (result,) = run(sandbox, run_async, transport, task)
    assert result.image.size == (256, 192)
    inner = result.image.convert("RGB").crop((64, 64, 192, 128))
    assert ImageChops.difference(inner, disc((128, 64))).getbbox() is None
    assert ImageStat.Stat(result.image.crop((0, 0, 64, 192))).stddev[0] > 1


# --- utilities ---------------------------------------------------------------------------------------


@BOTH
def test_utilities_answer_through_run_as_well(sandbox, run_async, transport):
    (result,) = run(sandbox, run_async, transport, {"taskType": "modelSearch", "search": "pixel", "limit": 1})
    assert result.raw["totalResults"] == 3


@BOTH
def test_a_model_of_ones_own(sandbox, run_async, transport):
    model = {"category": "lora", "architecture": "flux1d", "format": "safetensors", "name": "mine", "version": "1",
             "downloadURL": "https://example.com/x", "air": "me:mine@1"}  # fmt: skip

    async def main():
        async with connect(sandbox, transport) as client:
            ready = await client.upload_model(model)
            with pytest.raises(TaskInvalid, match="already"):
                await client.upload_model(model)
            with pytest.raises(TaskFailed, match="no air"):
                await client.upload_model({**model, "air": ""})
            return ready, await client.search_models("mine", visibility="private")

    ready, found = run_async(main())
    assert (ready["status"], ready["air"]) == ("ready", "me:mine@1")
    assert found["totalResults"] == 1


@BOTH
def test_usage_details_and_deletion(sandbox, run_async, transport):
    async def main():
        async with connect(sandbox, transport) as client:
            outcome = await client.run(TASK)
            details = await client.task_details(outcome.task_uuid)
            usage = await client.usage("activity", groupBy=["model"])
            first = await client.upload(disc())
            same = await client.upload(disc())
            await client.delete_media(first)
            again = await client.upload(disc())
            with pytest.raises(TaskNotFound):
                await client.delete_media(first)
            with pytest.raises(TaskNotFound):
                await client.task_details("00000000-0000-4000-8000-000000000000")
            return details, usage, first, same, again

    details, usage, first, same, again = run_async(main())
    assert details["request"][0]["positivePrompt"] == TASK["positivePrompt"]
    assert usage["usage"]["model"]["data"][0]["count"] == 1
    assert first == same != again


# --- media in ----------------------------------------------------------------------------------------


def as_file(tmp_path, name="in.png"):
    disc().save(tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize("transport", ["websocket"])
@pytest.mark.parametrize(
    "form", ["path", "text path", "bytes", "pil", "array", "webp", "data uri", "base64", "result", "uuid", "url"]
)
def test_a_medium_in_every_form(sandbox, run_async, transport, form, tmp_path):
    """Reference 11, rows 5, 6 and 7: local files, base64 and .webp files were refused or mistaken."""
    import base64

    text = base64.b64encode(as_file(tmp_path).read_bytes()).decode()
    forms = {
        "path": as_file(tmp_path), "text path": str(as_file(tmp_path)), "bytes": as_file(tmp_path).read_bytes(),
        "pil": disc(), "array": np.asarray(disc()), "webp": as_file(tmp_path, "in.webp"),
        "data uri": f"data:image/png;base64,{text}", "base64": text,
    }  # fmt: skip

    async def main():
        async with connect(sandbox, transport) as client:
            value = forms.get(form)
            if form in {"result", "uuid", "url"}:
                (value,) = await client.run(TASK)
                value = {"result": value, "uuid": value.item_uuid, "url": value.url}[form]
            return await client.run({**TASK, "seedImage": value, "strength": 0.5})

    outcome = run_async(main())
    assert len(outcome) == 1
    assert isinstance(outcome.task["inputs"]["seedImage"], str)
    assert "seedImage" not in outcome.task


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "nowhere.png", "there is no such file"),
        (str, "is a directory"),
        (lambda folder: (folder / "a.txt").write_text("hello") and folder / "a.txt", "is not an image"),
        (lambda folder: (folder / "0.png").touch() or folder / "0.png", "is empty"),
        (lambda folder: as_file(folder).read_bytes()[:300], "is damaged or incomplete"),
        (lambda folder: "cats & dogs.png", "there is no such file"),
        (lambda folder: 7, "a value of type int"),
        (lambda folder: np.zeros((4, 4, 7), "uint8"), "is not an image"),
        (lambda folder: np.zeros((4, 4, 3)), "astype"),
        (lambda folder: "x" * 5000 + "\0", "cannot be read"),
    ],
)
def test_what_is_no_medium_is_one_sentence(sandbox, run_async, tmp_path, make, words):
    medium = make(tmp_path)

    async def main():
        async with connect(sandbox) as client:
            await client.run({**TASK, "inputs": {"seedImage": medium}})

    with pytest.raises(MediaError, match=words) as caught:
        run_async(main())
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert sandbox.charges() == []


def test_the_same_medium_twice_at_once_is_uploaded_once(sandbox, run_async):
    async def main():
        async with connect(sandbox) as client:
            task = {**TASK, "inputs": {"seedImage": disc(), "maskImage": disc()}}
            outcomes = await asyncio.gather(*(client.run(task) for _ in range(3)))
            return {name for outcome in outcomes for name in outcome.task["inputs"].values()}

    assert len(run_async(main())) == 1


@BOTH
@pytest.mark.parametrize(
    "fault",
    [{"kind": "refuse", "status": 429, "code": "rateLimitExceeded", "retry_after_s": 0.1}, {"kind": "malform"},
     {"kind": "refuse", "status": 503, "code": "serviceUnavailable", "names_task": False}, {"kind": "html"},
     {"kind": "cut", "when": "before_accept"}],
    ids=lambda fault: fault["kind"] + str(fault.get("status", "")),
)  # fmt: skip
def test_trouble_while_uploading_is_sat_out(sandbox, run_async, transport, fault):
    sandbox.faults({**fault, "on": "mediaStorage"})
    (result,) = run(sandbox, run_async, transport, {**TASK, "seedImage": disc(), "strength": 0.5})
    assert result.image.size == (256, 256)
    assert len(sandbox.charges()) == 1
