"""The bundled snapshot of models, and how to find one in it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

__all__ = ["DEFAULT_MODEL", "Model", "all_models", "estimate_usd", "find_model", "nearest_names"]

DEFAULT_MODEL = "runware:101@1"
"""What is used when nobody says: FLUX.1 [dev]."""


@dataclass(frozen=True, slots=True)
class Model:
    """One model.

    Attributes:
        air: AIR identifier.
        slug: Its name in the documentation's addresses.
        name: Its name for people.
        architecture: Architecture key, such as `flux-1-dev`.
        aliases: Short names of ours.
        step_px: Width and height are multiples of this.
        steps: Usual number of steps.
        cfg_scale: Usual guidance.
        parameters: What it takes beyond the common parameters, in wire spelling.
        price_points: Prices seen, as (megapixels, US dollars for one image); empty where none is known.

    Source:
        Runware reference 5.2 and 6.2. Prices of compute-billed models vary from run to run.
    """

    air: str
    slug: str
    name: str
    architecture: str
    aliases: tuple[str, ...]
    step_px: int
    steps: int
    cfg_scale: float
    parameters: frozenset[str]
    price_points: tuple[tuple[float, float], ...] = ()

    @property
    def documentation(self) -> str:
        """Address of its documentation."""
        return f"https://runware.ai/docs/models/{self.slug}"

    @property
    def takes_seed(self) -> bool:
        """Whether a seed can be given."""
        return "seed" in self.parameters

    def request_schema(self) -> dict[str, Any]:
        """Give its request schema, as JSON Schema 2020-12."""
        return _request_schema(self)


_SD = frozenset(
    {
        "negativePrompt", "seed", "steps", "scheduler", "CFGScale", "strength", "maskMargin", "clipSkip", "vae",
        "promptWeighting", "acceleratorOptions", "outpaint", "lora", "controlNet", "ipAdapters", "embeddings",
        "hiresFix", "ultralytics",
    }
)  # fmt: skip
_FLUX = frozenset(
    {
        "negativePrompt", "seed", "steps", "scheduler", "CFGScale", "trueCFGScale", "strength", "maskMargin",
        "promptWeighting", "acceleratorOptions", "acceleration", "outpaint", "lora", "hiresFix", "ultralytics",
    }
)  # fmt: skip
_Z = _FLUX - {"trueCFGScale", "promptWeighting", "acceleration"}

_MODELS = (
    Model("runware:101@1", "bfl-flux-1-dev", "FLUX.1 [dev]", "flux-1-dev", ("flux", "flux-dev"), 16, 28, 3.5,
          _FLUX | {"controlNet", "ipAdapters", "puLID", "layerDiffuse"}, ((0.262144, 0.0019), (1.048576, 0.0038))),
    Model("runware:100@1", "bfl-flux-1-schnell", "FLUX.1 [schnell]", "flux-1-schnell", ("schnell", "flux-schnell"),
          16, 4, 1.0, _FLUX, ((0.262144, 0.0006),)),
    Model("civitai:101055@128078", "stability-sdxl-1-0", "SDXL 1.0 VAE fix", "sdxl", ("sdxl",), 64, 25, 7.0,
          _SD | {"refiner", "photoMaker"}, ()),
    Model("civitai:4384@128713", "civitai-dreamshaper-8", "DreamShaper 8", "sd-1-5", ("dreamshaper", "sd15"), 64,
          25, 7.0, _SD, ()),
    Model("runware:z-image@turbo", "tongyi-z-image-turbo", "Z-Image Turbo", "z-image-turbo", ("z-image",), 64, 8,
          1.0, _Z | {"controlNet"}, ()),
)  # fmt: skip

SCHEDULERS = (
    "DDIM", "DDIMScheduler", "DDPMScheduler", "DEISMultistepScheduler", "Default", "DPM++", "DPM++ 2M",
    "DPM++ 2M Beta", "DPM++ 2M Exponential", "DPM++ 2M Karras", "DPM++ 2M SDE", "DPM++ 2M SDE Beta",
    "DPM++ 2M SDE Exponential", "DPM++ 2M SDE Karras", "DPM++ 3M", "DPM++ 3M Karras", "DPM++ Karras", "DPM++ SDE",
    "DPM++ SDE Karras", "Euler", "Euler a", "Euler Beta", "Euler Exponential", "Euler Karras",
    "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler", "Heun",
    "HeunDiscreteScheduler", "Heun Karras", "LCM", "LCMScheduler", "LMS", "LMS Karras", "PNDMScheduler",
    "TCDScheduler", "UniPC", "UniPC Karras", "UniPC Uniform",
)  # fmt: skip


def all_models() -> tuple[Model, ...]:
    """List every model of the snapshot, the default first."""
    return _MODELS


@cache
def _by_name() -> Mapping[str, Model]:
    return {
        name.lower(): model
        for model in _MODELS
        for name in (model.air, model.slug, model.name, *model.aliases)
    }  # fmt: skip


def find_model(name: str) -> Model | None:
    """Find a model by AIR, slug, name or alias; None when the snapshot has none."""
    return _by_name().get(name.strip().lower())


def nearest_names(name: str) -> list[str]:
    """Suggest up to three names that look like *name*."""
    return difflib.get_close_matches(name.lower(), list(_by_name()), n=3, cutoff=0.6)


def estimate_usd(task: Mapping[str, Any]) -> float | None:
    """Estimate what a wire task costs, from prices seen.

    Returns:
        US dollars for all its results; None where the model's price is not known.
    """
    model = find_model(str(task.get("model", "")))
    width, height, count = task.get("width"), task.get("height"), task.get("numberResults", 1)
    if model is None or not model.price_points or not isinstance(width, int) or not isinstance(height, int):
        return None
    megapixels = width * height / 1e6
    points = model.price_points
    if len(points) == 1:
        one = points[0][1] * megapixels / points[0][0]
    else:
        (x0, y0), (x1, y1) = points[0], points[-1]
        one = max(0.0, y0 + (y1 - y0) * (megapixels - x0) / (x1 - x0))
    return round(one * (count if isinstance(count, int) else 1), 6)


@cache
def _request_schema(model: Model) -> dict[str, Any]:
    media = {"type": "string", "minLength": 1}
    weighted = {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["model"],
            "properties": {
                "model": {"type": "string"},
                "weight": {"type": "number", "minimum": -4, "maximum": 4},
            },
        },
    }
    size = {"type": "integer", "minimum": 128, "maximum": 2048, "multipleOf": model.step_px}
    special: dict[str, Any] = {
        "negativePrompt": {"type": "string", "minLength": 2, "maxLength": 3000},
        "seed": {"type": "integer", "minimum": 0, "maximum": 9223372036854775807},
        "steps": {"type": "integer", "minimum": 1, "maximum": 100},
        "scheduler": {"enum": list(SCHEDULERS)},
        "CFGScale": {"type": "number", "minimum": 0, "maximum": 50},
        "trueCFGScale": {"type": "number", "minimum": 0, "maximum": 50},
        "strength": {"type": "number", "minimum": 0, "maximum": 1},
        "maskMargin": {"type": "integer", "minimum": 32, "maximum": 128},
        "clipSkip": {"type": "integer", "minimum": 0, "maximum": 2},
        "lora": weighted,
        "embeddings": weighted,
        "acceleration": {"enum": ["none", "low", "medium", "high"]},
    }
    properties: dict[str, Any] = {
        "taskType": {"const": "imageInference"},
        "taskUUID": {"type": "string"},
        "model": {"type": "string", "minLength": 1},
        "positivePrompt": {"type": "string", "minLength": 2, "maxLength": 3000},
        "width": size,
        "height": size,
        "numberResults": {"type": "integer", "minimum": 1, "maximum": 20},
        "deliveryMethod": {"enum": ["sync", "async"]},
        "webhookURL": {"type": "string"},
        "uploadEndpoint": {"type": "string"},
        "outputType": {"enum": ["URL", "base64Data", "dataURI"]},
        "outputFormat": {"enum": ["JPG", "PNG", "WEBP", "JPEG", "jpg", "jpeg", "png", "webp"]},
        "outputQuality": {"type": "integer", "minimum": 20, "maximum": 99},
        "ttl": {"type": "integer", "minimum": 60},
        "includeCost": {"type": "boolean"},
        "checkNSFW": {"type": "boolean"},
        "safety": {"type": "object"},
        "routing": {"type": "object"},
        "advancedFeatures": {"type": "object"},
        "providerSettings": {"type": "object"},
        "inputs": {"type": "object"},
        "seedImage": media,
        "maskImage": media,
        "referenceImages": {"type": "array", "items": media},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["positivePrompt", "model", "width", "height"],
        "properties": properties | {name: special.get(name, {}) for name in sorted(model.parameters)},
        "additionalProperties": False,
    }
