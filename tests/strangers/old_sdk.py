"""Every call of the older package `runware` 0.5, run in an environment of its own by `test_old_sdk.py`.

The two official packages share the module name `runware`, so they cannot live together.
Prints one JSON object: for each call its result, or the error it raised.
"""

import asyncio
import base64
import dataclasses
import json
import sys
from pathlib import Path

from runware import (
    I3dInference,
    IAudioInference,
    IImageBackgroundRemoval,
    IImageCaption,
    IImageInference,
    IImageUpscale,
    IModelSearch,
    IPhotoMaker,
    IPromptEnhance,
    Runware,
)
from runware import types as t

PNG = "data:image/png;base64," + base64.b64encode(Path(sys.argv[3]).read_bytes()).decode()
FILM = "data:video/mp4;base64," + base64.b64encode(Path(sys.argv[4]).read_bytes()).decode()


def plain(value):
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def calls(sdk, uploaded):
    image = {"model": "runware:101@1", "positivePrompt": "a small airship", "width": 256, "height": 256}
    importing = t.ITrainingImportModel(
        air="me:style@1", name="style", uniqueIdentifier="style", version="1", private=True
    )
    return {
        "imageInference": lambda: sdk.imageInference(IImageInference(**image, numberResults=3, seed=5)),
        "imageInference async": lambda: sdk.imageInference(
            IImageInference(**image, numberResults=1, deliveryMethod="async")
        ),
        "imageInference inpainting": lambda: sdk.imageInference(
            IImageInference(**image, seedImage=PNG, maskImage=PNG, strength=0.9)
        ),
        "photoMaker": lambda: sdk.photoMaker(
            IPhotoMaker(
                model="civitai:101055@128078",
                positivePrompt="img of a man",
                width=512,
                height=512,
                inputImages=[PNG],
                style="No style",
                strength=20,
            )
        ),
        "imageCaption": lambda: sdk.imageCaption(IImageCaption(inputImages=[PNG])),
        "imageBackgroundRemoval": lambda: sdk.imageBackgroundRemoval(
            IImageBackgroundRemoval(inputImage=PNG, model="runware:109@1", outputFormat="PNG")
        ),
        "imageUpscale": lambda: sdk.imageUpscale(IImageUpscale(inputImage=PNG, upscaleFactor=2, model="runware:503@1")),
        "imageVectorize": lambda: sdk.imageVectorize(t.IVectorize(inputs=t.IInputs(image=PNG), model="recraft:1@1")),
        "promptEnhance": lambda: sdk.promptEnhance(
            IPromptEnhance(prompt="a cat", promptMaxLength=64, promptVersions=3)
        ),
        "uploadImage": lambda: sdk.uploadImage(PNG),
        "uploadMedia": lambda: sdk.uploadMedia(PNG),
        "modelSearch": lambda: sdk.modelSearch(IModelSearch(search="pixel art", limit=2)),
        "modelUpload": lambda: sdk.modelUpload(
            t.IUploadModelLora(
                air="me:lora@1",
                architecture="flux1d",
                name="mine",
                downloadURL="https://example.com/x.safetensors",
                uniqueIdentifier="mine",
                version="1",
                format="safetensors",
                private=True,
            )
        ),
        "videoInference": lambda: sdk.videoInference(
            t.IVideoInference(model="google:3@3", positivePrompt="a cat", duration=1, width=512, height=512)
        ),
        "videoCaption": lambda: sdk.videoCaption(
            t.IVideoCaption(model="memories:1@1", inputs=t.IVideoCaptionInputs(video=FILM))
        ),
        "videoBackgroundRemoval": lambda: sdk.videoBackgroundRemoval(
            t.IVideoBackgroundRemoval(model="bria:51@1", inputs=t.IVideoBackgroundRemovalInputs(video=FILM))
        ),
        "videoUpscale": lambda: sdk.videoUpscale(
            t.IVideoUpscale(model="bria:50@1", inputs=t.IVideoUpscaleInputs(video=FILM), upscaleFactor=2)
        ),
        "audioInference": lambda: sdk.audioInference(
            IAudioInference(model="minimax:music@2.6", positivePrompt="a tune", duration=10)
        ),
        "inference3d": lambda: sdk.inference3d(
            I3dInference(model="microsoft:trellis-2@4b", inputs=t.I3dInputs(image=PNG))
        ),
        "textInference": lambda: sdk.textInference(
            t.ITextInference(
                model="google:gemma@4-31b", messages=[t.ITextInferenceMessage(role="user", content="hello")]
            )
        ),
        "training": lambda: sdk.training(
            t.ITraining(
                model="runware:flux-1-dev@style-lora-training",
                inputs=t.ITrainingInputs(dataset=PNG),
                importModel=importing,
            )
        ),
        "getResponse": lambda: sdk.getResponse(uploaded["task"], 3),
        "getResponse of a film": lambda: sdk.getResponse(uploaded["film"]),
        "getTaskDetails": lambda: sdk.getTaskDetails(uploaded["task"]),
        "a wrong parameter": lambda: sdk.imageInference(IImageInference(**{**image, "width": 250})),
    }


async def main():
    sdk = Runware(api_key=sys.argv[2], url=sys.argv[1])
    await sdk.connect()
    found, uploaded = {}, {}
    for name in calls(sdk, uploaded):
        try:
            found[name] = plain(await asyncio.wait_for(calls(sdk, uploaded)[name](), 60))
            if name == "imageInference":
                uploaded["task"] = found[name][0]["taskUUID"]
            elif name == "videoInference":
                uploaded["film"] = found[name]["taskUUID"]
        except Exception as error:
            found[name] = {"raised": f"{type(error).__name__}: {error}"}
    await sdk.disconnect()
    print(json.dumps(found))


asyncio.run(main())
