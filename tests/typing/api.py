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


async def in_an_async_cell() -> None:
    """The same, awaited."""
    assert_type(await job, rw.Outcome)
    async with rw.Client() as client:
        assert_type(client, rw.Client)
        assert_type(await client.run({"taskType": "imageInference"}), rw.Outcome)
        assert_type(await client.run(rw.ImageTask(positive_prompt="x", model="m")), rw.Outcome)
        assert_type(await client.fetch(outcome[0]), rw.Result)
