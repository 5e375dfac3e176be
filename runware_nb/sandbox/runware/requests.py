"""Reading a request in any of its spellings: old names, flat media, lower-case formats (reference 5.0, 5.1)."""

from __future__ import annotations

from typing import Any

from .validation import Refused

__all__ = ["CURRENT_NAMES", "current_name", "normalise"]

Json = dict[str, Any]

CURRENT_NAMES = {
    "imageUpscale": "upscale",
    "imageBackgroundRemoval": "removeBackground",
    "imageCaption": "caption",
    "imageControlNetPreProcess": "controlNetPreprocess",
    "photoMaker": "imageInference",
}
"""Older names of task types, still accepted; answers repeat the name that was sent."""

_DEFAULT_MODELS = {
    "upscale": "runware:501@1", "removeBackground": "runware:109@1", "caption": "runware:150@2",
    "promptEnhance": "runware:llama-3-1-8b@prompt-enhancer", "imageMasking": "runware:35@1",
}  # fmt: skip
_FLAT = {
    "seedImage": "seedImage", "maskImage": "maskImage", "referenceImages": "referenceImages", "inputImage": "image",
    "inputImages": "images", "frameImages": "frameImages", "inputVideo": "video", "video": "video",
    "referenceVideos": "referenceVideos", "inputAudios": "audios", "inputAudio": "audio",
}  # fmt: skip
_FLAT_SETTINGS = {
    "imageMasking": ("confidence", "maxDetections", "maskPadding", "maskBlur"),
    "removeBackground": ("rgba", "postProcessMask", "returnOnlyMask", "alphaMatting", "alphaMattingErodeSize",
                         "alphaMattingForegroundThreshold", "alphaMattingBackgroundThreshold"),
    "controlNetPreprocess": ("lowThresholdCanny", "highThresholdCanny", "includeHandsAndFaceOpenPose", "width",
                             "height"),
}  # fmt: skip


def current_name(task_type: str) -> str:
    """Give today's name of a task type."""
    return CURRENT_NAMES.get(task_type, task_type)


def normalise(task: Json, *, is_strict: bool) -> Json:
    """Rewrite a request in today's spelling.

    Args:
        task: As it came; not changed.
        is_strict: Whether the model takes media under `inputs` only.

    Raises:
        Refused: A strict model got media at the top level.
    """
    made = dict(task)
    kind = current_name(str(task["taskType"]))
    made["taskType"] = kind
    if "modelId" in made:
        made.setdefault("model", made.pop("modelId"))
    if isinstance(made.get("outputFormat"), str):
        upper = made["outputFormat"].upper()
        made["outputFormat"] = "JPG" if upper == "JPEG" else upper
    _name_the_model(made, kind)
    if task["taskType"] == "photoMaker":
        made["photoMaker"] = {
            "images": made.pop("inputImages", []),
            "style": made.pop("style", "No style"),
            "strength": made.pop("strength", 15),
        }
    _nest_media(made, is_strict=is_strict and kind in {"imageInference", "videoInference", "3dInference"})
    _nest_settings(made, kind)
    if "checkNSFW" in made:
        made["safety"] = {**(made.get("safety") or {}), "checkContent": made.pop("checkNSFW") is True}
    return made


def _name_the_model(made: Json, kind: str) -> None:
    guide = made.pop("preProcessorType", None) if kind == "controlNetPreprocess" else None
    if guide is not None:
        made.setdefault("model", f"runware:controlnet-preprocess@{str(guide).replace('_', '-')}")
    if made.get("model") is None and kind in _DEFAULT_MODELS:
        made["model"] = _DEFAULT_MODELS[kind]


def _nest_media(made: Json, *, is_strict: bool) -> None:
    flat = [name for name in _FLAT if name in made]
    if not flat:
        return
    if is_strict:
        message = f"Unsupported use of '{flat[0]}' parameter for this model. It takes media under 'inputs'."
        raise Refused("unsupportedParameter", message, parameter=flat[0])
    inputs = dict(made.get("inputs") or {})
    for name in flat:
        value = made.pop(name)
        if name == "frameImages" and isinstance(value, list):
            value = [_frame(each) for each in value]
        if name == "inputImages" and "image" not in inputs and isinstance(value, list) and len(value) == 1:
            inputs["image"] = value[0]
        else:
            inputs.setdefault(_FLAT[name], value)
    made["inputs"] = inputs


def _frame(value: Any) -> Any:
    if isinstance(value, dict) and "inputImage" in value:
        return {"image": value["inputImage"], **{k: v for k, v in value.items() if k != "inputImage"}}
    return value


def _nest_settings(made: Json, kind: str) -> None:
    flat = {name: made.pop(name) for name in _FLAT_SETTINGS.get(kind, ()) if name in made}
    if flat:
        made["settings"] = {**flat, **(made.get("settings") or {})}
