"""Request schemas, written the way the schema service writes them (reference 7)."""

from __future__ import annotations

from functools import cache
from typing import Any

from .models import MODELS, SCHEDULERS, Model

__all__ = ["FORMATS", "request_schema", "utility_schema"]

Json = dict[str, Any]

_IMAGES = ("JPG", "PNG", "WEBP")
FORMATS: dict[str, tuple[str, ...]] = {
    "imageInference": _IMAGES, "upscale": _IMAGES, "removeBackground": ("PNG", "WEBP", "JPG"), "imageMasking": _IMAGES,
    "controlNetPreprocess": _IMAGES, "vectorize": ("SVG",), "videoInference": ("MP4", "WEBM", "MOV"),
    "audioInference": ("MP3", "WAV", "FLAC", "OGG"), "3dInference": ("GLB",), "textInference": ("TEXT", "JSON"),
}  # fmt: skip
"""Output formats of each kind of task, the default first."""

_ASYNC_ONLY = {"videoInference", "3dInference", "training"}
_COUNTED = {"imageInference": 20, "videoInference": 4, "audioInference": 4, "3dInference": 4, "textInference": 4}


def _text(**bounds: Any) -> Json:
    return {"type": "string", **bounds}


def _integer(low: int | None = None, high: int | None = None, **more: Any) -> Json:
    bounds = {name: value for name, value in (("minimum", low), ("maximum", high)) if value is not None}
    return {"type": "integer", **bounds, **more}


def _number(low: float, high: float, **more: Any) -> Json:
    return {"type": "number", "minimum": low, "maximum": high, **more}


def _choice(*values: object) -> Json:
    return {"oneOf": [{"const": value, "title": str(value)} for value in values]}


def _object(properties: Json, *required: str, strict: bool = False) -> Json:
    made: Json = {"type": "object", "properties": properties, "additionalProperties": not strict}
    return {**made, "required": list(required)} if required else made


def _list_of(items: Json, **bounds: Any) -> Json:
    return {"type": "array", "items": items, **bounds}


_MEDIUM = _text(minLength=1)
_WEIGHTED = _list_of(_object({"model": _text(), "weight": _number(-4, 4, default=1)}, "model"))
_GUIDANCE = _list_of(
    _object(
        {
            "model": _text(), "guideImage": _MEDIUM, "weight": _number(0, 1, default=1), "startStep": _integer(1),
            "endStep": _integer(1), "startStepPercentage": _integer(0, 99), "endStepPercentage": _integer(1, 100),
            "controlMode": _choice("prompt", "controlnet", "balanced"),
        },
        "model", "guideImage",
    )
)  # fmt: skip
_ADAPTERS = _list_of(
    _object(
        {
            "model": _text(), "weight": _number(0, 1, default=1), "guideImages": _list_of(_MEDIUM, minItems=1),
            "guideImage": _MEDIUM, "combineMethod": _choice("concat", "add", "subtract", "average", "norm_average"),
            "weightType": _text(), "embedScaling": _text(), "weightComposition": _number(0, 1),
        },
        "model",
    )
)  # fmt: skip
_FACE = {"idWeight": _number(0, 3, default=1), "trueCFGScale": _number(0, 10)}
_OUTPAINT = _object(
    {**{side: _integer(0, multipleOf=64) for side in ("top", "right", "bottom", "left")}, "blur": _integer(0, 32)}
)
_OPEN = {"type": "object"}

_PARAMETERS: dict[str, Json] = {
    "positivePrompt": _text(minLength=2, maxLength=3000),
    "negativePrompt": _text(minLength=2, maxLength=3000),
    "seed": _integer(0, 9223372036854775807),
    "steps": _integer(1, 100),
    "scheduler": _choice(*SCHEDULERS),
    "CFGScale": _number(0, 50),
    "trueCFGScale": _number(0, 20),
    "strength": _number(0, 1, default=0.8),
    "maskMargin": _integer(32, 128),
    "clipSkip": _integer(0, 2),
    "promptWeighting": _choice("compel", "sdEmbeds"),
    "vae": _text(),
    "outpaint": _OUTPAINT,
    "lora": _WEIGHTED,
    "lycoris": _WEIGHTED,
    "embeddings": _WEIGHTED,
    "controlNet": _GUIDANCE,
    "ipAdapters": _ADAPTERS,
    "puLID": _object({"inputImages": _list_of(_MEDIUM, minItems=1, maxItems=1), **_FACE,
                      "CFGStartStep": _integer(0, 10), "CFGStartStepPercentage": _integer(0, 99)}, "inputImages"),
    "pulid": _object({"images": _list_of(_MEDIUM, maxItems=1), **_FACE, "CFGstartStep": _integer(0, 10),
                      "CFGstartStepPercentage": _integer(0, 99)}),
    "refiner": _object({"model": _text(), "startStep": _integer(2), "startStepPercentage": _integer(1, 99)}, "model"),
    "acceleration": {**_choice("none", "low", "medium", "high"), "default": "none"},
    "acceleratorOptions": _OPEN,
    "hiresFix": {"type": ["boolean", "object"]},
    "layerDiffuse": {"type": "boolean"},
    "photoMaker": _object({"images": _list_of(_MEDIUM, minItems=1, maxItems=4), "style": _text(),
                           "strength": _integer(15, 50)}, "images"),
    "upscaleFactor": _number(1, 8),
    "targetMegapixels": _number(0.1, 64),
    "settings": _OPEN,
    "providerSettings": _OPEN,
    "prompt": _text(minLength=1, maxLength=3000),
    "promptMaxLength": _integer(12, 400),
    "promptVersions": _integer(1, 5, default=1),
    "messages": _list_of(_object({"role": _choice("user", "assistant", "system"), "content": {}}, "role", "content"),
                         minItems=1),
    "includeUsage": {"type": "boolean"},
    "duration": _number(1, 300),
    "fps": _integer(8, 60),
    "speech": _object({"text": _text(minLength=1), "voice": _text()}, "text"),
    "audioSettings": _object({"sampleRate": _integer(8000, 48000), "bitrate": _integer(32, 320),
                              "channels": _choice(1, 2)}),
    "importModel": _object({"name": _text(), "version": _text()}),
    "learningRate": _number(0, 1),
    "trainingSteps": _integer(1),
    "triggerWord": _text(),
    "resolution": _choice("0.5K", "1K", "2K", "4K"),
}  # fmt: skip
_SETTINGS: dict[str, Json] = {
    "imageMasking": _object({"confidence": _number(0, 1, default=0.25), "maxDetections": _integer(1, 20, default=6),
                             "maskPadding": _integer(default=4), "maskBlur": _integer(0, default=4)}),
    "controlNetPreprocess": _object({"lowThresholdCanny": _integer(0, 255), "highThresholdCanny": _integer(0, 255)}),
    "textInference": _object({"systemPrompt": _text(), "maxTokens": _integer(1), "temperature": _number(0, 2),
                              "topP": _number(0, 1), "topK": _integer(1)}),
    "removeBackground": _object({"rgba": _list_of(_number(0, 255), minItems=4, maxItems=4),
                                 "returnOnlyMask": {"type": "boolean"}}),
}  # fmt: skip
_INPUTS: dict[str, Json] = {
    name: _list_of({})
    for name in ("referenceImages", "images", "videos", "audios", "documents", "frameImages", "referenceVideos")
}


@cache
def request_schema(air: str, *, strict: bool | None = None) -> Json:
    """Write a model's request schema.

    Args:
        air: The model.
        strict: Whether parameters it does not know are refused; its own way where None.
    """
    model = MODELS[air]
    strict = model.is_strict if strict is None else strict
    properties = _common(model)
    for name in model.takes:
        properties[name] = _PARAMETERS.get(name, {})
    if model.task_type in _SETTINGS and "settings" in properties:
        properties["settings"] = _SETTINGS[model.task_type]
    if model.task_type == "promptEnhance":
        properties["prompt"] = _text(minLength=1, maxLength=300)
    properties |= _needed(model)
    rules: Json = {}
    if model.inputs:
        inputs = {name: _INPUTS.get(name, _MEDIUM if name != "image" else {}) for name in model.inputs}
        properties["inputs"] = _object(inputs, *model.needs_inputs, strict=strict)
    if model.sizes is not None:
        properties |= _size_properties(model)
        rules = _size_rules(model)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": model.name,
        "type": "object",
        "required": ["taskType", "taskUUID", "model", *model.needs],
        "properties": properties,
        "additionalProperties": not strict,
        **rules,
    }


def _needed(model: Model) -> Json:
    return {name: _PARAMETERS[name] for name in model.needs if name in _PARAMETERS and name != "prompt"}


def _common(model: Model) -> Json:
    task_type = model.task_type
    made: Json = {
        "taskType": _text(const=task_type),
        "taskUUID": _text(format="uuid"),
        "model": _text(),
        "webhookURL": _text(format="uri"),
        "includeCost": {"type": "boolean", "default": False},
        "routing": _OPEN,
    }
    if task_type in _ASYNC_ONLY or "video" in model.needs_inputs:
        made["deliveryMethod"] = {**_choice("async"), "default": "async"}
    elif task_type == "textInference":
        made["deliveryMethod"] = {**_choice("sync", "async", "stream"), "default": "sync"}
    else:
        made["deliveryMethod"] = {**_choice("sync", "async"), "default": "sync"}
    if task_type in _COUNTED:
        made["numberResults"] = _integer(1, _COUNTED[task_type], default=1)
    formats = model.formats or FORMATS.get(task_type, ())
    if formats:
        made["outputFormat"] = {**_choice(*formats), "default": formats[0]}
    if task_type not in {"caption", "promptEnhance", "textInference", "training"}:
        made["ttl"] = _integer(60)
        made["uploadEndpoint"] = _text(format="uri")
        only_url = task_type in {"videoInference", "3dInference", "tools"} or "video" in model.needs_inputs
        made["outputType"] = {**_choice(*(("URL",) if only_url else ("URL", "base64Data", "dataURI"))),
                              "default": "URL"}  # fmt: skip
    if task_type in {"imageInference", "upscale", "removeBackground"}:
        made["outputQuality"] = _integer(20, 99, default=95)
    if task_type in {"imageInference", "videoInference"}:
        made["safety"] = _object({"checkContent": {"type": "boolean"}, "mode": _choice("none", "fast", "full")})
        made |= {"advancedFeatures": _OPEN, "watermark": _OPEN}
    return made


def _size_properties(model: Model) -> Json:
    sizes = model.sizes
    assert sizes is not None
    if sizes.pairs:
        return {"width": _integer(), "height": _integer()}
    side = _integer(sizes.low, sizes.high, multipleOf=sizes.step)
    return {"width": side, "height": side}


def _size_rules(model: Model) -> Json:
    rules: Json = {"dependentRequired": {"width": ["height"], "height": ["width"]}}
    if model.sizes is not None and model.sizes.pairs:
        pairs = [
            {"properties": {"width": {"const": width}, "height": {"const": height}}, "required": ["width", "height"],
             "title": f"{width}x{height}"}
            for width, height in model.sizes.pairs
        ]  # fmt: skip
        rules["allOf"] = [{"if": {"required": ["width"]}, "then": {"oneOf": pairs}}]
    return rules


_UTILITIES: dict[str, Json] = {
    "modelSearch": _object({
        "search": _text(), "limit": _integer(1, 500, default=20), "offset": _integer(0, default=0),
        "category": _text(), "architecture": _text(), "tags": _list_of(_text()), "type": _text(),
        "visibility": _choice("public", "private", "favorite", "owned", "all"), "sort": _text(), "source": _text(),
        "capabilities": _list_of(_text()), "conditioning": _text(),
    }),
    "accountManagement": _object({
        "operation": _choice("getDetails", "getUsageActivity", "getUsagePerformance", "getUsageErrors"),
        "startDate": _text(), "endDate": _text(), "models": _list_of(_text()), "apiKeys": _list_of(_text()),
        "groupBy": _list_of(_choice("date", "model", "apiKey")), "timezone": _text(),
    }, "operation"),
    "mediaStorage": _object({"operation": _choice("upload", "delete"), "media": _text()}, "operation"),
    "imageUpload": _object({"image": _text()}),
    "modelUpload": _object({
        "category": _choice("checkpoint", "lora", "lycoris", "vae", "embeddings"), "architecture": _text(minLength=1),
        "format": _choice("safetensors"), "name": _text(minLength=1), "version": _text(minLength=1),
        "downloadURL": _text(minLength=1), "air": _text(), "uniqueIdentifier": _text(),
    }, "category", "architecture", "format", "name", "version", "downloadURL"),
    "getResponse": _object({}), "getTaskDetails": _object({}),
}  # fmt: skip


def utility_schema(task_type: str) -> Json:
    """Give a utility's schema; unknown keys are let pass."""
    return {**_UTILITIES[task_type], "$schema": "https://json-schema.org/draft/2020-12/schema"}
