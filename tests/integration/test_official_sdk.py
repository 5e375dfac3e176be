"""The official SDK, unmodified, as a stranger's client: what it accepts, nobody here made up."""

import base64
import io
import urllib.request

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
            serverless_base_url=sandbox.rest_url.removesuffix("/v1"),
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


EVERY_KIND = [
    ("upscale", {"model": "runware:504@1", "inputs": {"image": png()}, "upscaleFactor": 2}, "imageURL", b"\xff\xd8"),
    ("removeBackground", {"model": "runware:109@1", "inputs": {"image": png()}}, "imageURL", b"\x89PNG"),
    ("caption", {"model": "runware:150@2", "inputs": {"image": png()}}, "text", None),
    ("caption", {"model": "runware:154@1", "inputs": {"image": png()}}, "structuredData", None),
    ("imageMasking", {"model": "runware:35@1", "inputs": {"image": png()}}, "maskImageURL", b"\xff\xd8"),
    ("controlNetPreprocess", {"model": "runware:controlnet-preprocess@depth", "inputs": {"image": png()}},
     "guideImageURL", b"\xff\xd8"),
    ("promptEnhance", {"model": "runware:llama-3-1-8b@prompt-enhancer", "prompt": "a cat"}, "text", None),
    ("vectorize", {"model": "recraft:1@1", "inputs": {"image": png()}}, "imageURL", b"<svg"),
    ("videoInference", {"model": "google:3@3", "positivePrompt": "a cat", "duration": 1, "width": 256, "height": 256},
     "videoURL", b"\x00\x00\x00"),
    ("audioInference", {"model": "minimax:speech@2.8", "speech": {"text": "hello"}, "outputFormat": "WAV"},
     "audioURL", b"RIFF"),
    ("3dInference", {"model": "microsoft:trellis-2@4b", "inputs": {"image": png()}}, "outputs", b"glTF"),
    ("training", {"model": "runware:flux-1-dev@style-lora-training", "inputs": {"dataset": png()},
                  "importModel": {"uniqueIdentifier": "mine"}}, "outputs", b"\x08"),
    ("tools", {"model": "runware:ffmpeg@0", "inputs": {"image": png()}, "outputFormat": "WEBP"}, "outputs", b"RIFF"),
    ("textInference", {"model": "google:gemma@4-31b", "messages": [{"role": "user", "content": "hi"}]}, "text", None),
]  # fmt: skip


@BOTH
@pytest.mark.parametrize(("task_type", "task", "field", "start"), EVERY_KIND)
def test_every_kind_of_task_is_answered_with_something_real(
    sandbox, run_async, transport, task_type, task, field, start
):
    task = {**task, "taskType": task_type, "includeCost": True}
    (result,) = call(sandbox, run_async, transport, lambda sdk: sdk.run(task))
    assert result["taskType"] == task_type
    assert result["cost"] >= 0
    value = result[field]
    if start is not None:
        url = value["files"][0]["url"] if field == "outputs" else value
        assert urllib.request.urlopen(url).read().startswith(start)


@BOTH
def test_a_slug_stands_for_its_model(sandbox, run_async, transport, monkeypatch):
    monkeypatch.setattr("runware.client.SCHEMAS_BASE_URL", sandbox.info["schemas_url"])
    task = {"model": "bfl-flux-1-dev", "positivePrompt": "a cat", "width": 256, "height": 256}
    assert len(call(sandbox, run_async, transport, lambda sdk: sdk.run(task))) == 1


@BOTH
def test_the_registry_is_refreshed(sandbox, run_async, transport, monkeypatch):
    monkeypatch.setattr("runware.client.SCHEMAS_BASE_URL", sandbox.info["schemas_url"])

    async def work(sdk):
        await sdk.refresh_registry()
        return await sdk.run({"model": "runware:504@1", "inputs": {"image": png()}, "upscaleFactor": 2})

    assert call(sandbox, run_async, transport, work)[0]["taskType"] == "upscale"


TALK = {
    "taskType": "textInference", "model": "google:gemma@4-31b", "messages": [{"role": "user", "content": "hello"}],
    "settings": {"thinkingLevel": "low"}, "includeUsage": True, "includeCost": True,
}  # fmt: skip


@BOTH
def test_a_stream_of_text_with_reasoning_usage_and_cost(sandbox, run_async, transport):
    async def work(sdk):
        return await (await sdk.stream(TALK)).result()

    result = call(sandbox, run_async, transport, work)
    assert "hello" in result.text
    assert result.reasoning_content
    assert result.usage["completionTokens"] > 5
    assert result.cost > 0
    assert result.finish_reason == "stop"


@BOTH
@pytest.mark.parametrize(
    "fault",
    [{"kind": "fail", "code": "contentModeration"}, {"kind": "refuse", "code": "invalidModel", "status": 400}],
)
def test_errors_in_a_stream_and_before_it(sandbox, run_async, transport, fault):
    sandbox.faults(fault)

    async def work(sdk):
        return await (await sdk.stream(TALK)).result()

    with pytest.raises(RunwareError):
        call(sandbox, run_async, transport, work)


@BOTH
def test_model_upload(sandbox, run_async, transport):
    model = {"category": "lora", "architecture": "flux1d", "format": "safetensors", "name": "mine", "version": "1",
             "downloadURL": "https://example.com/x", "air": "me:mine@1"}  # fmt: skip

    async def work(sdk):
        uploaded = await sdk.model_upload(model)
        return uploaded, await sdk.model_search({"search": "mine", "visibility": "private"})

    uploaded, (found,) = call(sandbox, run_async, transport, work)
    assert uploaded[0]["air"] == "me:mine@1"
    assert transport == "websocket" or found["results"][0]["air"] == "me:mine@1"


@BOTH
@pytest.mark.parametrize("operation", ["getUsageActivity", "getUsagePerformance", "getUsageErrors"])
def test_usage_reports(sandbox, run_async, transport, operation):
    async def work(sdk):
        await sdk.run(TASK)
        return await sdk.account_management({"operation": operation, "groupBy": ["date", "model"]})

    (answer,) = call(sandbox, run_async, transport, work)
    assert answer["usage"]["model"]["data"][0]["model"] == "runware:101@1"
    assert answer["usage"]["timeseries"]["meta"]["totalRequests"] == 1


@pytest.mark.parametrize("delivery", ["async", "sync"])
def test_serverless_apps(sandbox, run_async, delivery):
    from runware.types.serverless import InvokeOptions

    async def work(sdk):
        task = await sdk.invoke("my-app", "generate", {"prompt": "x"}, options=InvokeOptions(delivery_method=delivery))
        return task, await sdk.get_task("my-app", task["id"])

    task, again = call(sandbox, run_async, "rest", work)
    assert task["output"] == {"echo": {"prompt": "x"}}
    assert again["status"] == "completed"


@BOTH
def test_progress_comes_with_polls_and_uuids_stay(start_sandbox, run_async, transport):
    sandbox = start_sandbox("--latency-s", "2.5")
    results = call(sandbox, run_async, transport, lambda sdk: sdk.run({**TASK, "numberResults": 4}))
    assert len({result["imageUUID"] for result in results}) == len(results) == 4
