"""The official SDK, unmodified, as a stranger's client: what it accepts, nobody here made up."""

import base64
import io

import pytest
from PIL import Image
from runware import Runware
from runware.errors import RunwareError
from runware.types.sdk import RunOptions

from tests.conftest import TASK

BOTH = pytest.mark.parametrize("transport", ["websocket", "rest"])


def png():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def call(sandbox, run_async, transport, work, key=None):
    async def main():
        async with Runware(
            api_key=key or sandbox.api_key, transport=transport,
            ws_base_url=sandbox.ws_url, http_base_url=sandbox.rest_url,
        ) as sdk:  # fmt: skip
            return await work(sdk)

    return run_async(main())


@BOTH
@pytest.mark.parametrize("delivery", ["sync", "async", None])
def test_three_images(sandbox, run_async, transport, delivery):
    task = {**TASK, "numberResults": 3, "seed": 11, "includeCost": True}
    if delivery:
        task["deliveryMethod"] = delivery
    results = call(sandbox, run_async, transport, lambda sdk: sdk.run(task))
    assert [result["seed"] for result in results] == [11, 12, 13]
    assert len({result["imageUUID"] for result in results}) == 3
    assert all(result["imageURL"].startswith(sandbox.info["media_url"]) for result in results)
    (charge,) = sandbox.charges()
    assert charge["results"] == 3
    assert charge["cost_usd"] == pytest.approx(sum(result["cost"] for result in results))


@BOTH
def test_a_slow_image_with_progress(start_sandbox, run_async, transport):
    sandbox = start_sandbox("--latency-s", "1.5")
    seen = []
    results = call(sandbox, run_async, transport, lambda sdk: sdk.run(TASK, RunOptions(on_progress=seen.append)))
    assert len(results) == 1
    assert seen


@BOTH
def test_a_wrong_key(sandbox, run_async, transport):
    with pytest.raises(RunwareError) as caught:
        call(sandbox, run_async, transport, lambda sdk: sdk.model_search({"search": "x"}), key="wrong")
    assert caught.value.code == "auth"


@BOTH
def test_a_wrong_parameter(sandbox, run_async, transport):
    with pytest.raises(RunwareError) as caught:
        call(sandbox, run_async, transport, lambda sdk: sdk.run({**TASK, "width": 1000}))
    assert (caught.value.code, caught.value.parameter) == ("validation", "width")


@BOTH
def test_model_search(sandbox, run_async, transport):
    (found,) = call(sandbox, run_async, transport, lambda sdk: sdk.model_search({"search": "pixel art", "limit": 2}))
    assert found["totalResults"] == 3
    assert [one["category"] for one in found["results"]] == ["lora", "lora"]


@BOTH
def test_image_upload_and_its_use(sandbox, run_async, transport):
    async def work(sdk):
        (uploaded,) = await sdk.image_upload({"image": png()})
        return uploaded, await sdk.run({**TASK, "seedImage": uploaded["imageUUID"]})

    uploaded, results = call(sandbox, run_async, transport, work)
    assert uploaded["imageURL"].endswith(".png")
    assert len(results) == 1


@BOTH
def test_media_storage(sandbox, run_async, transport):
    async def work(sdk):
        (stored,) = await sdk.media_storage({"operation": "upload", "media": png()})
        (gone,) = await sdk.media_storage({"operation": "delete", "media": stored["mediaUUID"]})
        return stored, gone

    stored, gone = call(sandbox, run_async, transport, work)
    assert stored["mediaURL"].startswith("http")
    assert gone["mediaUUID"] == stored["mediaUUID"]


@BOTH
def test_account_management(sandbox, run_async, transport):
    (account,) = call(sandbox, run_async, transport, lambda sdk: sdk.account_management({"operation": "getDetails"}))
    assert account["balance"] == {"amount": 100.0, "freeBalance": 0.0, "currency": "USD"}


@BOTH
def test_get_response_and_task_details(sandbox, run_async, transport):
    async def work(sdk):
        (result,) = await sdk.run(TASK)
        polled = await sdk.get_response({"taskUUID": result["taskUUID"]})
        details = await sdk.get_task_details({"taskUUID": result["taskUUID"]})
        return result, polled, details

    result, polled, details = call(sandbox, run_async, transport, work)
    assert polled[0]["imageUUID"] == result["imageUUID"]
    assert details[0]["request"][0]["positivePrompt"] == TASK["positivePrompt"]


@BOTH
def test_a_rate_limit_is_waited_out(sandbox, run_async, transport):
    sandbox.faults({"kind": "refuse", "status": 429, "code": "rateLimitExceeded", "on": "modelSearch"})
    if transport == "rest":
        assert call(sandbox, run_async, transport, lambda sdk: sdk.model_search({"search": "pixel"}))
    else:
        with pytest.raises(RunwareError) as caught:
            call(sandbox, run_async, transport, lambda sdk: sdk.model_search({"search": "pixel"}))
        assert caught.value.code == "rateLimit"


def test_validation_against_the_sandboxs_schemas(sandbox, run_async, monkeypatch):
    monkeypatch.setattr("runware.client.SCHEMAS_BASE_URL", sandbox.info["schemas_url"])
    monkeypatch.setattr("runware.validate.SCHEMAS_BASE_URL", sandbox.info["schemas_url"])
    with pytest.raises(RunwareError) as caught:
        call(sandbox, run_async, "rest", lambda sdk: sdk.run({**TASK, "steps": 1000}, RunOptions(validate=True)))
    assert caught.value.validation_errors
