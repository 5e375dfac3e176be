"""The create calls: their parameters, limits and products."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .accounts import read_max_jobs
from .refusals import Refused

__all__ = ["ENDPOINTS", "Endpoint", "asset_fields", "check"]

Json = dict[str, Any]
Numbers = Mapping[str, tuple[float, float]]
Choices = Mapping[str, tuple[object, ...]]

_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4", "21:9")
_WIDE = ("landscape", "portrait")
_CAMERA = dict.fromkeys(("horizontal", "vertical", "roll", "zoom", "pan", "tilt"), (-10.0, 10.0))
_ASSET = re.compile(r"asset_?id\d*$", re.IGNORECASE)
_LONGEST_REPLY = 1024


@dataclass(frozen=True)
class Endpoint:
    """One create call.

    Attributes:
        product: `video` or `image`.
        required: Parameters that must be present.
        any_of: Parameters of which at least one must be present; empty for none.
        prompt_max: Maximum length of the prompt in characters.
        numbers: Bounds of numbers, both included.
        choices: Accepted values.
    """

    product: str
    required: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    prompt_max: int = 5000
    numbers: Numbers = field(default_factory=dict)
    choices: Choices = field(default_factory=dict)


_TIMES: Choices = {"seconds": (5, 10)}
_ACTING = Endpoint(
    "video", ("driving_assetId", "character_assetId"), numbers={"motion_multiplier": (1, 5)},
)  # fmt: skip
_RESTYLE = Endpoint(
    "video", ("assetId", "text_prompt"), numbers={"structure_transformation": (0, 10)}, choices=_TIMES,
)  # fmt: skip

ENDPOINTS: Mapping[str, Endpoint] = {
    "videos/create": Endpoint("video", ("model",)),
    "videos/upscale": Endpoint("video", ("videoAssetId",)),
    "images/create": Endpoint("image", ("model",), numbers={"diversity": (1, 5)}, choices={"num_images": (1, 4)}),
    "frames/create": Endpoint(
        "image", ("text_prompt",), prompt_max=1000, numbers={"diversity": (0, 5)},
        choices={"num_images": (1, 4), "aspect_ratio": _RATIOS},
    ),
    "gen4_5/create": Endpoint(
        "video", any_of=("text_prompt", "firstImage_assetId"), choices={"seconds": (5, 8, 10), "aspect_ratio": _RATIOS},
    ),
    "gen4/create": Endpoint("video", ("firstImage_assetId",), choices={**_TIMES, "aspect_ratio": _RATIOS}),
    "gen4turbo/create": Endpoint("video", ("firstImage_assetId",), choices={**_TIMES, "aspect_ratio": _RATIOS}),
    "gen4/upscale": Endpoint("video", ("assetId",)),
    "gen4/video": Endpoint("video", ("video_assetId", "text_prompt"), prompt_max=1000),
    "gen4/act-two": Endpoint(
        "video", ("driving_assetId", "character_assetId"), numbers={"expression_intensity": (1, 5)},
    ),
    "gen4/act-two-voice": Endpoint("video", ("video_assetId", "voiceId")),
    "gen3turbo/create": Endpoint("video", numbers=_CAMERA, choices={**_TIMES, "aspect_ratio": _WIDE}),
    "gen3turbo/video": _RESTYLE,
    "gen3/video": _RESTYLE,
    "gen3turbo/extend": Endpoint("video", ("assetId",)),
    "gen3/extend": Endpoint("video", ("assetId",), choices=_TIMES),
    "gen3turbo/expand": Endpoint("video", ("videoAssetId",)),
    "gen3turbo/actone": _ACTING,
    "gen3/actone": _ACTING,
    "gen3/create": Endpoint("video", choices=_TIMES),
    "gen3alpha/upscale": Endpoint("video", ("assetId",)),
    "gen2/create": Endpoint("video", numbers={"motion": (1, 10)}),
    "gen2/extend": Endpoint("video", ("assetId",), numbers={"motion": (1, 10)}),
    "lipsync/create": Endpoint("video", any_of=("image_assetId", "video_assetId")),
    "super_slow_motion": Endpoint(
        "video", ("assetId", "speed"), numbers={"speed": (0.1, 1)}, choices={"format": ("mp4", "prores")},
    ),
}  # fmt: skip
"""Create calls by path. Source: useapi-runwayml reference 6.2, 6.3 and 6.4."""

_DURATIONS: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("seedance-2", "seedance-2-fast"), tuple(range(4, 16))),
    **dict.fromkeys(("grok-imagine-1.5", "happyhorse-1.0"), tuple(range(3, 16))),
    **dict.fromkeys(
        ("kling-o3-4k", "kling-o3-pro", "kling-o3-standard", "kling-3.0-pro", "kling-3.0-standard", "wan-2.6-flash"),
        (5, 10, 15),
    ),
    **dict.fromkeys(("kling-2.6-pro", "kling-2.6-i2v", "gen4", "gen4-turbo"), (5, 10)),
    "veo-3.1": (4, 6, 8),
    **dict.fromkeys(("sora-2", "sora-2-pro"), (4, 8, 12)),
    "gen4.5": tuple(range(2, 11)),
}
_PROMPTS: Mapping[str, int] = {
    **dict.fromkeys(("seedance-2", "seedance-2-fast"), 3500),
    **dict.fromkeys(
        ("grok-imagine-1.5", "kling-3.0-motion-control", "happyhorse-1.0", "kling-o3-4k", "kling-o3-pro",
         "kling-o3-standard"), 2500,
    ),
    **dict.fromkeys(("gen4", "gen4-turbo"), 512),
}  # fmt: skip
"""Limits of the models of `videos/create`. A model that is not listed is accepted, because the list grows."""


def asset_fields(body: Json) -> dict[str, str]:
    """Return the parameters that name assets, with their values."""
    return {name: value for name, value in body.items() if _ASSET.search(name) and isinstance(value, str)}


def check(path: str, endpoint: Endpoint, body: Json) -> None:
    """Check the parameters of a create call.

    Raises:
        Refused: A parameter is missing or invalid.
    """
    for name in endpoint.required:
        if body.get(name) in (None, ""):  # a value may be a list, which no set can contain
            raise Refused(400, f"Required parameter {name} is missing or empty.")
    if endpoint.any_of and not any(body.get(name) for name in endpoint.any_of):
        raise Refused(400, f"At least one of the parameters {', '.join(endpoint.any_of)} is required.")
    numbers: dict[str, tuple[float, float]] = {**endpoint.numbers, "seed": (1, 4294967294)}
    choices = dict(endpoint.choices)
    prompt_max = endpoint.prompt_max
    if path == "videos/create":
        model = str(body["model"])
        prompt_max = _PROMPTS.get(model, prompt_max)
        if model in _DURATIONS:
            choices["duration"] = _DURATIONS[model]
        if body.get("endFrameAssetId") and not body.get("startFrameAssetId"):
            raise Refused(400, "Parameter endFrameAssetId requires startFrameAssetId.")
    for name, (low, high) in numbers.items():
        _check_number(body.get(name), name, low, high)
    for name, accepted in choices.items():
        value = body.get(name)
        if value is not None and (isinstance(value, bool) or not _is_among(value, accepted)):
            raise Refused(400, f"Parameter {name} must be one of {', '.join(str(choice) for choice in accepted)}.")
    for name, longest in (("text_prompt", prompt_max), ("replyUrl", _LONGEST_REPLY), ("replyRef", _LONGEST_REPLY)):
        _check_text(body.get(name), name, longest)
    for name, value in body.items():
        if _ASSET.search(name) and value is not None and not isinstance(value, str):
            raise Refused(400, f"Parameter {name} must be a string.")
    _check_text(body.get("email"), "email", _LONGEST_REPLY)
    if body.get("maxJobs") is not None:
        read_max_jobs(body["maxJobs"])
    if not isinstance(body.get("exploreMode", False), bool):
        raise Refused(400, "Parameter exploreMode must be true or false.")


def _is_among(value: object, accepted: tuple[object, ...]) -> bool:
    return any(type(value) is type(choice) and value == choice for choice in accepted)


def _check_number(value: object, name: str, low: float, high: float) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise Refused(400, f"Parameter {name} must be a number between {low:.10g} and {high:.10g}.")


def _check_text(value: object, name: str, longest: int) -> None:
    if value is None:
        return
    if not isinstance(value, str) or len(value) > longest:
        raise Refused(400, f"Parameter {name} must be a string of at most {longest} characters.")
