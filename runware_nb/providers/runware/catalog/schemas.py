"""Request schemas of the snapshot's models, as JSON Schema 2020-12, from the ranges of Runware reference 5."""

from __future__ import annotations

from functools import cache
from typing import Any

from ....core.operations import Operation, Option
from ..operations import binding_of, operation_of_task, option_fields
from .models import Model

__all__ = ["SCHEDULERS", "request_schema"]

Schema = dict[str, Any]

SCHEDULERS = (
    "Default", "DDIM", "DDIMScheduler", "DDPMScheduler", "DEISMultistepScheduler", "DPM++", "DPM++ 2M",
    "DPM++ 2M Beta", "DPM++ 2M Exponential", "DPM++ 2M Karras", "DPM++ 2M SDE", "DPM++ 2M SDE Beta",
    "DPM++ 2M SDE Exponential", "DPM++ 2M SDE Karras", "DPM++ 2M SDE Uniform", "DPM++ 2M Uniform", "DPM++ 3M",
    "DPM++ 3M Beta", "DPM++ 3M Exponential", "DPM++ 3M Karras", "DPM++ 3M SDE Uniform", "DPM++ 3M Uniform",
    "DPM++ Beta", "DPM++ Exponential", "DPM++ Karras", "DPM++ SDE", "DPM++ SDE Beta", "DPM++ SDE Exponential",
    "DPM++ SDE Karras", "DPM++ Uniform", "DPM++ Uniform Beta", "DPM++ Uniform Exponential", "DPM++ Uniform Karras",
    "DPMSolverMultistepInverse", "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler",
    "EDMDPMSolverMultistepScheduler", "EDMEulerScheduler", "Euler", "Euler a", "Euler Beta", "Euler Exponential",
    "Euler Karras", "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler",
    "Heun", "HeunDiscreteScheduler", "Heun Karras", "IPNDMScheduler", "IPNDM Uniform", "IPNDM Uniform Beta",
    "IPNDM Uniform Exponential", "IPNDM Uniform Karras", "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler",
    "LCM", "LCMScheduler", "LMS", "LMSDiscreteScheduler", "LMS Karras", "PNDMScheduler", "TCDScheduler", "UniPC",
    "UniPC 2M", "UniPC 2M Karras", "UniPC 2M Uniform", "UniPC 3M", "UniPC 3M Karras", "UniPC 3M Uniform",
    "UniPC Karras", "UniPC Uniform", "UniPC Uniform Beta", "UniPC Uniform Exponential", "UniPC Uniform Karras",
)  # fmt: skip


def _text(low: int | None = None, high: int | None = None) -> Schema:
    bounds = {"minLength": low, "maxLength": high}
    return {"type": "string", **{name: value for name, value in bounds.items() if value is not None}}


def _whole(low: int | None = None, high: int | None = None, step: int | None = None) -> Schema:
    bounds = {"minimum": low, "maximum": high, "multipleOf": step}
    return {"type": "integer", **{name: value for name, value in bounds.items() if value is not None}}


def _number(low: float, high: float) -> Schema:
    return {"type": "number", "minimum": low, "maximum": high}


def _list(items: Schema, low: int = 0, high: int | None = None) -> Schema:
    return {
        "type": "array",
        "items": items,
        **({"minItems": low} if low else {}),
        **({"maxItems": high} if high else {}),
    }


def _object(properties: Schema, *required: str) -> Schema:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


_MEDIUM = _text(1)
_WEIGHTED = _list(_object({"model": _text(1), "weight": _number(-4, 4)}, "model"))
_SPAN = {"startStep": _whole(1), "endStep": _whole(1), "startStepPercentage": _whole(0, 99),
         "endStepPercentage": _whole(1, 100)}  # fmt: skip
_FLAG: Schema = {"type": "boolean"}
_ANY_OBJECT: Schema = {"type": "object"}

_PARAMETERS: dict[str, Schema] = {
    "positivePrompt": _text(2, 3000),
    "negativePrompt": _text(2, 3000),
    "seed": _whole(0, 9223372036854775807),
    "steps": _whole(1, 100),
    "scheduler": {"enum": list(SCHEDULERS)},
    "CFGScale": _number(0, 50),
    "trueCFGScale": _number(0, 50),
    "strength": _number(0, 1),
    "maskMargin": _whole(32, 128),
    "clipSkip": _whole(0, 2),
    "promptWeighting": {"enum": ["compel", "sdEmbeds"]},
    "vae": _text(1),
    "outpaint": _object({**{side: _whole(0, None, 64) for side in ("top", "right", "bottom", "left")},
                         "blur": _whole(0, 32)}),
    "lora": _WEIGHTED,
    "embeddings": _WEIGHTED,
    "controlNet": _list(_object({"model": _text(1), "guideImage": _MEDIUM, "weight": _number(0, 1), **_SPAN,
                                 "controlMode": {"enum": ["prompt", "controlnet", "balanced"]}},
                                "model", "guideImage")),
    "ipAdapters": _list(_object({"model": _text(1), "weight": _number(0, 1), "guideImages": _list(_MEDIUM, 1)},
                                "model")),
    "refiner": _object({"model": _text(1), "startStep": _whole(2), "startStepPercentage": _whole(1, 99)}, "model"),
    "acceleratorOptions": _object({"teaCache": _FLAG, "teaCacheDistance": _number(0, 1), "fbCache": _FLAG,
                                   "fbCacheThreshold": _number(0, 1), "deepCache": _FLAG,
                                   "deepCacheInterval": _whole(1), "deepCacheBranchId": _whole(0),
                                   "cacheMaxConsecutiveSteps": _whole(1, 5)}),
    "hiresFix": {"type": ["boolean", "object"]},
    "layerDiffuse": _FLAG,
    "photoMaker": _object({"images": _list(_MEDIUM, 1, 4), "style": _text(), "strength": _whole(15, 50)}, "images"),
    "upscaleFactor": _number(1, 16),
    "targetMegapixels": _number(0.1, 100),
    "prompt": _text(1, 3000),
    "messages": _list(_object({"role": {"enum": ["user", "assistant", "system"]}}, "role", "content"), 1),
    "includeUsage": _FLAG,
    "duration": _number(0.5, 600),
    "fps": _whole(1, 60),
    "speech": _object({"text": _text(1)}, "text"),
    "importModel": _ANY_OBJECT,
    "trainingSteps": _whole(1),
    "settings": _ANY_OBJECT,
    "providerSettings": _ANY_OBJECT,
    "resolution": _text(1),
}  # fmt: skip
_SHARED: dict[str, Schema] = {
    "outputQuality": _whole(20, 99), "checkNSFW": _FLAG, "safety": _ANY_OBJECT, "advancedFeatures": _ANY_OBJECT,
    "watermark": _ANY_OBJECT,
}  # fmt: skip
_LISTS = {"referenceImages", "images", "videos", "audios", "documents", "frameImages"}


@cache
def request_schema(model: Model) -> Schema:
    """Write a model's request schema.

    Sizes are checked as pairs where the model has a fixed list. A parameter the schema does not name is
    reported as unknown, which is a warning only: the service may know more.
    """
    properties = _common(model)
    stated = _stated(operation_of_task(model.task_type))
    for name in (*sorted(model.takes), *model.needs):
        if name != "inputs":
            properties.setdefault(name, stated.get(name) or _PARAMETERS.get(name, {}))
    if model.inputs:
        inputs = {name: {"type": "array"} if name in _LISTS else {} for name in model.inputs}
        properties["inputs"] = {**_object(inputs, *model.needs_inputs), "additionalProperties": False}
    rules: Schema = {}
    if model.sizes is not None:
        side = _whole(model.sizes.low_px, model.sizes.high_px, model.sizes.step_px if model.sizes.step_px > 1 else None)
        properties["width"] = properties["height"] = {"type": "integer"} if model.sizes.pairs_px else side
        rules["dependentRequired"] = {"width": ["height"], "height": ["width"]}
    if model.sizes is not None and model.sizes.pairs_px:
        pairs = [{"properties": {"width": {"const": width}, "height": {"const": height}}}
                 for width, height in model.sizes.pairs_px]  # fmt: skip
        rules |= {"if": {"required": ["width", "height"]}, "then": {"anyOf": pairs}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": model.name,
        "type": "object",
        "required": ["model", *model.needs],
        "properties": properties,
        "additionalProperties": False,
        **rules,
    }


def _stated(operation: Operation | None) -> dict[str, Schema]:
    """Return the schemas of fields whose values the entry of an operation states, and of objects with such fields."""
    schemas: dict[str, Schema] = {}
    for option in () if operation is None else operation.options:
        for path in () if operation is None else option_fields(option, operation):
            name, dot, inner = path.partition(".")
            if option.kind == "images":
                continue  # a list of media, whose schema is among the parameters
            if dot:
                known = schemas.get(name) or _PARAMETERS.get(name, {})
                properties = {**known.get("properties", {}), inner: _schema_of(option)}
                schemas[name] = {**known, "type": "object", "properties": properties}
            elif option.values or option.low is not None or option.high is not None:
                schemas[name] = _schema_of(option)
    return schemas


def _schema_of(option: Option) -> Schema:
    low, high = option.low, option.high
    number = {name: value for name, value in (("minimum", low), ("maximum", high)) if value is not None}
    if option.kind in {"integer", "number"}:
        if option.values:
            return {"enum": [int(value) if option.kind == "integer" else float(value) for value in option.values]}
        return {"type": option.kind, **number}
    if option.kind == "flag":
        return _FLAG
    if option.kind == "numbers":
        return _list({"type": "number", **number}, option.count or 0, option.count)
    if option.values and option.kind == "text":
        return {"enum": list(option.values)}
    return _text(None if low is None else int(low), None if high is None else int(high))


def _common(model: Model) -> Schema:
    """Give the parameters of a kind of task (reference 5.1)."""
    task_type = model.task_type
    operation, binding = operation_of_task(task_type), binding_of(task_type)
    is_on_video = "video" in model.needs_inputs
    delivery = ["sync", "async", "stream"] if binding is not None and binding.can_stream else ["sync", "async"]
    if is_on_video or (operation is not None and operation.long_running):
        delivery = ["async"]
    made: Schema = {
        "taskType": {"const": task_type},
        "taskUUID": _text(),
        "model": _text(1),
        "deliveryMethod": {"enum": delivery},
        "webhookURL": _text(),
        "includeCost": _FLAG,
        "routing": _ANY_OBJECT,
    }
    formats = model.formats or (() if operation is None else operation.formats)
    if formats:
        made["outputFormat"] = {"enum": [*formats, *(each.lower() for each in formats),
                                         *(("JPEG", "jpeg") if "JPG" in formats else ())]}  # fmt: skip
    if operation is not None and operation.most_results is not None:
        made["numberResults"] = _whole(1, operation.most_results)
    if operation is None or operation.produces not in {"text", "model"}:  # else there is no file to deliver
        only_url = is_on_video or (binding is not None and binding.is_url_only)
        made |= {
            "uploadEndpoint": _text(),
            "outputType": {"enum": ["URL"] if only_url else ["URL", "base64Data", "dataURI"]},
            "ttl": _whole(60),
        }
    shared = frozenset() if binding is None else binding.common
    return made | {name: schema for name, schema in _SHARED.items() if name in shared}
