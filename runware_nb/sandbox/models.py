"""The sandbox's own catalogue: models, what they accept, what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

__all__ = ["ENTRIES", "MODELS", "Model", "price_usd", "request_schema", "search"]

SCHEDULERS = [
    "Default", "DDIM", "DPM++ 2M", "DPM++ 2M Karras", "DPM++ 2M SDE Karras", "DPM++ SDE Karras", "Euler",
    "Euler a", "Euler Beta", "Euler Karras", "FlowMatchEulerDiscreteScheduler", "Heun", "LCM", "UniPC",
    "UniPC Karras",
]  # fmt: skip


@dataclass(frozen=True)
class Model:
    """One image model.

    Attributes:
        air: Identifier.
        slug: Name in documentation addresses.
        name: Name for people.
        architecture: As modelSearch spells it.
        step_px: Width and height are multiples of this.
        default_steps: Steps when the request has none.
        default_cfg: Guidance when the request has none.
        usd_fixed: Price of an image without pixels.
        usd_per_megapixel: Price of a million pixels.
        strict: Whether unknown parameters are refused (sources disagree; it differs by model).
        extras: Parameters beyond the common ones.
    """

    air: str
    slug: str
    name: str
    architecture: str
    step_px: int
    default_steps: int
    default_cfg: float
    usd_fixed: float
    usd_per_megapixel: float
    strict: bool
    extras: tuple[str, ...]


_SD_EXTRAS = (
    "negativePrompt", "seed", "steps", "scheduler", "CFGScale", "strength", "maskMargin", "clipSkip", "vae",
    "promptWeighting", "acceleratorOptions", "outpaint", "lora", "controlNet", "ipAdapters", "embeddings",
    "hiresFix", "ultralytics",
)  # fmt: skip
_FLUX_EXTRAS = (
    "negativePrompt", "seed", "steps", "scheduler", "CFGScale", "trueCFGScale", "strength", "maskMargin",
    "promptWeighting", "acceleratorOptions", "outpaint", "lora", "hiresFix", "ultralytics",
)  # fmt: skip

MODELS = {
    model.air: model
    for model in (
        Model("runware:100@1", "bfl-flux-1-schnell", "FLUX.1 [schnell]", "flux1s", 16, 4, 1.0,
              0.0003, 0.001144, False, _FLUX_EXTRAS),
        Model("runware:101@1", "bfl-flux-1-dev", "FLUX.1 [dev]", "flux1d", 16, 28, 3.5,
              0.001267, 0.002416, False, (*_FLUX_EXTRAS, "controlNet", "ipAdapters", "puLID", "acceleration")),
        Model("civitai:101055@128078", "stability-sdxl-1-0", "SDXL 1.0 VAE fix", "sdxl", 64, 25, 7.0,
              0.0005, 0.002, True, (*_SD_EXTRAS, "refiner", "photoMaker")),
        Model("civitai:4384@128713", "civitai-dreamshaper-8", "DreamShaper 8", "sd1x", 64, 25, 7.0,
              0.0003, 0.0012, True, _SD_EXTRAS),
        Model("runware:z-image@turbo", "tongyi-z-image-turbo", "Z-Image Turbo", "zimage", 64, 8, 1.0,
              0.0004, 0.0015, True, (*[e for e in _FLUX_EXTRAS if e not in {"trueCFGScale", "promptWeighting"}],
                                     "controlNet")),
    )
}  # fmt: skip

_LORAS = (
    ("civitai:120096@135931", "Pixel Art XL", "sdxl", ["pixel art", "retro", "game"], "pixel, pixel art"),
    ("civitai:43820@52591", "Pixel Art Style Model 8bit", "sd1x", ["pixel art", "8bit"], "pixelart"),
    ("civitai:640459@716306", "Retro Pixel FLUX", "flux1d", ["pixel art", "flux"], "retro pixel"),
    ("civitai:652699@730120", "Amateur Photography", "flux1d", ["photo", "realism"], "amateur photo"),
    ("civitai:58390@62833", "Detail Tweaker", "sd1x", ["detail", "enhancer"], ""),
    ("civitai:122359@135867", "Detail Tweaker XL", "sdxl", ["detail", "enhancer"], ""),
    ("civitai:25995@32988", "Watercolour blend", "sd1x", ["watercolour", "painting"], "watercolour"),
    ("civitai:99532@106568", "Ink line art", "sdxl", ["ink", "line art"], "ink drawing"),
    ("civitai:73756@83390", "Paper cut-out", "sdxl", ["paper", "craft"], "papercut"),
)


def _entries() -> list[dict[str, Any]]:
    made = [
        {
            "air": model.air, "name": model.name, "version": "1", "category": "checkpoint",
            "architecture": model.architecture, "type": "base", "tags": ["base model", model.architecture],
            "capabilities": ["text-to-image", "image-to-image"], "comment": "", "private": False,
            "source": "official", "heroImage": None, "shortDescription": f"{model.name}, as a sandbox paints it.",
            "defaultWidth": 1024, "defaultHeight": 1024, "defaultSteps": model.default_steps,
            "defaultCFG": model.default_cfg, "defaultScheduler": "Default", "defaultStrength": 0.8,
        }
        for model in MODELS.values()
    ]  # fmt: skip
    made += [
        {
            "air": air, "name": name, "version": "1", "category": "lora", "architecture": architecture,
            "type": "", "tags": tags, "capabilities": ["text-to-image"], "comment": "", "private": False,
            "source": "community", "heroImage": None, "shortDescription": f"{name}: {', '.join(tags)}.",
            "positiveTriggerWords": words, "defaultWeight": 1.0,
        }
        for air, name, architecture, tags, words in _LORAS
    ]  # fmt: skip
    return made


ENTRIES = _entries()


def price_usd(model: Model, width: int, height: int) -> float:
    """Price one image, in US dollars."""
    return round(model.usd_fixed + model.usd_per_megapixel * width * height / 1e6, 4)


def search(query: dict[str, Any]) -> dict[str, Any]:
    """Answer a modelSearch: every word must occur in name, tags, description or identifier."""
    words = str(query.get("search", "")).lower().split()
    found = []
    for entry in ENTRIES:
        text = f"{entry['name']} {entry['air']} {' '.join(entry['tags'])} {entry['shortDescription']}".lower()
        wanted = all(entry[key] == query[key] for key in ("category", "architecture") if query.get(key))
        tagged = set(query.get("tags") or []) <= set(entry["tags"])
        if wanted and tagged and all(word in text for word in words):
            found.append(entry)
    if str(query.get("sort", "")).lstrip("-") == "name":
        found.sort(key=lambda entry: entry["name"], reverse=str(query["sort"]).startswith("-"))
    offset, limit = int(query.get("offset", 0)), int(query.get("limit", 20))
    return {"totalResults": len(found), "results": found[offset : offset + limit]}


def _text(**bounds: Any) -> dict[str, Any]:
    return {"type": "string", **bounds}


def _integer(low: int, high: int | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, **({} if high is None else {"maximum": high}), **more}


def _number(low: float, high: float, **more: Any) -> dict[str, Any]:
    return {"type": "number", "minimum": low, "maximum": high, **more}


def _choice(*values: str) -> dict[str, Any]:
    return {"oneOf": [{"const": value, "title": value} for value in values]}


_WEIGHTED = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["model"],
        "properties": {"model": _text(), "weight": _number(-4, 4, default=1)},
    },
}


@cache
def request_schema(air: str) -> dict[str, Any]:
    """Write a model's request schema, the way the schema service does (reference 7)."""
    model = MODELS[air]
    common: dict[str, Any] = {
        "taskType": {"type": "string", "const": "imageInference"},
        "taskUUID": _text(format="uuid"),
        "model": _text(),
        "modelId": _text(),
        "positivePrompt": _text(minLength=2, maxLength=3000),
        "width": _integer(128, 2048, multipleOf=model.step_px),
        "height": _integer(128, 2048, multipleOf=model.step_px),
        "numberResults": _integer(1, 20, default=1),
        "deliveryMethod": {**_choice("sync", "async"), "default": "sync"},
        "webhookURL": _text(format="uri"),
        "uploadEndpoint": _text(format="uri"),
        "outputType": {**_choice("URL", "base64Data", "dataURI"), "default": "URL"},
        "outputFormat": {
            "oneOf": [{"const": each} for each in ("JPG", "PNG", "WEBP", "JPEG", "jpg", "jpeg", "png", "webp")],
            "default": "JPG",
        },
        "outputQuality": _integer(20, 99, default=95),
        "ttl": _integer(60),
        "includeCost": {"type": "boolean", "default": False},
        "safety": {"type": "object"},
        "checkNSFW": {"type": "boolean"},
        "routing": {"type": "object"},
        "advancedFeatures": {"type": "object"},
        "providerSettings": {"type": "object"},
        "inputs": {"type": "object"},
        "seedImage": _text(),
        "maskImage": _text(),
        "referenceImages": {"type": "array"},
    }
    extras: dict[str, dict[str, Any]] = {
        "negativePrompt": _text(minLength=2, maxLength=3000),
        "seed": _integer(0, 9223372036854775807),
        "steps": _integer(1, 100, default=model.default_steps),
        "scheduler": _choice(*SCHEDULERS),
        "CFGScale": _number(0, 50, default=model.default_cfg),
        "trueCFGScale": _number(0, 20),
        "strength": _number(0, 1, default=0.8),
        "maskMargin": _integer(32, 128),
        "clipSkip": _integer(0, 2),
        "lora": _WEIGHTED,
        "embeddings": _WEIGHTED,
        "acceleration": {**_choice("none", "low", "medium", "high"), "default": "none"},
    }
    properties = common | {name: extras.get(name, {}) for name in model.extras}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["taskType", "taskUUID", "positivePrompt", "width", "height"],
        "properties": properties,
        "additionalProperties": not model.strict,
        "dependentRequired": {"width": ["height"], "height": ["width"]},
    }
