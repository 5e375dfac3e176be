"""What users see, pinned by mypy; never run."""

from pathlib import Path
from typing import assert_type

from PIL.Image import Image

import runware_nb as rw

job = rw.image("a ship", model="runware:101@1", width=1024, height=1024, number_results=4, seed=7)
assert_type(job, rw.Job)
outcome = job.result(timeout_s=10.0)
assert_type(outcome, rw.Outcome)
assert_type(outcome[0], rw.Result)
assert_type(outcome[1:], list[rw.Result])
assert_type(outcome.cost_usd, float | None)
assert_type(outcome[0].image, Image)
assert_type(outcome[0].bytes, bytes)
assert_type(outcome[0].path, Path | None)
assert_type(outcome[0].url, str | None)
assert_type(outcome[0].seed, int | None)
assert_type(outcome[0].save("x"), Path)
assert_type(job.task_uuid, str)
assert_type(rw.connect(transport="rest"), str)
assert_type(rw.job("3f2a"), rw.Job)
image = outcome[0]
assert_type(image.upscale(2), rw.Job)
assert_type(image.upscale(2).remove_background(), rw.Job)
assert_type(image.upscale(factor=2, model="runware:500@1", agreed=True).caption("What is it?"), rw.Job)
assert_type(job.vectorize(), rw.Job)
assert_type(image.caption().enhance(versions=2), rw.Job)
assert_type(image.ask("What is it?"), rw.Job)
assert_type(image.video("pan left", duration=5), rw.Job)
assert_type(outcome.upscale(2), rw.Job | rw.JobGroup)
assert_type(outcome.upscale(2).remove_background(), rw.Job | rw.JobGroup)
group = rw.JobGroup([job, image.mask("face")])
assert_type(group.controlnet("canny"), rw.JobGroup)
assert_type(group[0], rw.Job)
assert_type(group.result(timeout_s=10.0), list[rw.Outcome])


prompt = rw.prompt("studio", place="Oslo", seed=7)
assert_type(rw.image(prompt), rw.Job)
assert_type(rw.image(outcome[1]), rw.Job)
assert_type(rw.image(job, enhance=True), rw.Job)
assert_type(rw.prompts["studio"], str)
assert_type(list(rw.prompts), list[str])
assert_type(rw.prompts.restore("studio"), str)


async def in_an_async_cell() -> None:
    """The same, awaited."""
    assert_type(await job, rw.Outcome)
    assert_type(await image.upscale(2), rw.Outcome)
    assert_type(await group, list[rw.Outcome])
    async with rw.Client() as client:
        assert_type(client, rw.Client)
        assert_type(await client.run({"taskType": "imageInference"}), rw.Outcome)
        assert_type(await client.run(rw.ImageTask(positive_prompt="x", model="m")), rw.Outcome)
        assert_type(await client.fetch(outcome[0]), rw.Result)


def operations(image: Image, path: Path) -> None:
    """The functions of the operations take any medium, and return a job."""
    upscaled = rw.upscale(image, 2)
    assert_type(upscaled, rw.Job)
    assert_type(rw.upscale(upscaled, factor=2.5, prompt="leaves", extra={"settings": {"steps": 9}}, tags="x"), rw.Job)
    assert_type(rw.remove_background(path, rgba=(255, 255, 255, 0)), rw.Job)
    assert_type(rw.caption("photo.png", "what is it?"), rw.Job)
    assert_type(rw.mask(outcome, "face"), rw.Job)
    assert_type(rw.controlnet(outcome[0], "canny", width=512), rw.Job)
    assert_type(rw.enhance("a ship", versions=2), rw.Job)
    assert_type(rw.vectorize(prompt="a logo"), rw.Job)
    assert_type(rw.video("a storm", duration=5, first_frame=image, loras=["civitai:1@2", ("civitai:3@4", 0.5)]), rw.Job)
    assert_type(rw.audio("rain", sample_rate=8000), rw.Job)
    assert_type(rw.text(rw.caption(image), images=[image, path], max_tokens=20), rw.Job)
    assert_type(rw.model_3d(image, seed=5), rw.Job)
    rw.upscale(image, facotr=2)  # type: ignore[call-arg]
    rw.upscale(image, 2, "clarity")  # type: ignore[call-arg]
