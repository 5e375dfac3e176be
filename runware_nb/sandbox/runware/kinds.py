"""What each kind of task answers with, and how it is made."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.making import words
from ..core.making.pictures import (
    cut_out,
    detections,
    encode,
    guide,
    mask_picture,
    open_image,
    paint_image,
    trace,
    upscale,
)
from ..core.making.solids import turned_solid

if TYPE_CHECKING:
    from PIL.Image import Image

    from .models import Model
    from .work import Item, Work

__all__ = ["KINDS", "OUTPUTS", "Kind", "Media", "Product"]

Json = dict[str, Any]
Product = tuple[bytes, str]
Media = Callable[[Any], bytes]
"""Gives the bytes behind a media value of a request."""

OUTPUTS = "outputs"
_SAMPLE_RATE = 44_100
_IMAGE_FORMATS = {"JPG", "PNG", "WEBP"}
_SOUND_FORMATS = {"MP3", "WAV", "FLAC", "OGG"}


def _one(_: Json, __: Model) -> float:
    return 1.0


@dataclass(frozen=True)
class Kind:
    """One kind of task.

    Attributes:
        stem: What its result keys begin with, `outputs` for lists of files, None where there is no file.
        make: Makes an item's file; None where there is none.
        tell: Gives further fields of an item's answer; None where there are none.
        units: What its price counts in: megapixels, seconds, thousands of tokens.
        has_seed: Whether results name their seed.
        count_key: Parameter that says how many results there are.
    """

    stem: str | None
    make: Callable[[Work, Item, Media], Product] | None = None
    tell: Callable[[Work, Item, Media], Json] | None = None
    units: Callable[[Json, Model], float] = _one
    has_seed: bool = False
    count_key: str = "numberResults"


def _input_image(work: Work, media: Media) -> Image:
    inputs = work.task.get("inputs") or {}
    value = inputs.get("image") or (inputs.get("images") or [None])[0]
    return open_image(media(value))


def _encoded(work: Work, image: Image) -> Product:
    if image.mode == "RGBA" and work.output_format == "JPG":
        image = open_image(_on_white(image))
    body, media_type, _ = encode(image, work.output_format, int(work.task.get("outputQuality", 95)))
    return body, media_type


def _on_white(image: Image) -> bytes:
    from PIL import Image as Images

    return encode(Images.alpha_composite(Images.new("RGBA", image.size, "white"), image).convert("RGB"), "PNG", 95)[0]


def _image(work: Work, item: Item, media: Media) -> Product:
    task, model = work.task, work.model
    image = paint_image(
        task, air=model.air, seed=item.seed, steps=int(task.get("steps", max(model.steps, 14))),
        cfg=float(task.get("CFGScale", model.cfg)), media=media,
    )  # fmt: skip
    return _encoded(work, image)


def _megapixels(task: Json, _: Model) -> float:
    return int(task.get("width") or 1024) * int(task.get("height") or 1024) / 1e6


def _upscale(work: Work, item: Item, media: Media) -> Product:
    if work.stem == "video":
        return _refilm(work, media, lambda first: upscale(work.task, first))
    return _encoded(work, upscale(work.task, _input_image(work, media)))


def _remove_background(work: Work, item: Item, media: Media) -> Product:
    if work.stem == "video":
        return _refilm(work, media, lambda first: cut_out(work.task, first))
    return _encoded(work, cut_out(work.task, _input_image(work, media)))


def _refilm(work: Work, media: Media, change: Callable[[Image], Image]) -> Product:
    from ..core.making.films import decode_first_frame, encode_film, film_frames

    first, fps, duration = decode_first_frame(media(work.task["inputs"]["video"]))
    changed = change(first)
    size = (changed.width - changed.width % 2, changed.height - changed.height % 2)
    rate = max(1, min(24, round(fps)))
    frames = film_frames(changed, None, size, max(2, round(duration * rate)))
    return encode_film(frames, fps=rate, output_format=work.output_format)


def _mask(work: Work, item: Item, media: Media) -> Product:
    return _encoded(work, mask_picture(work.task, _input_image(work, media)))


def _found(work: Work, item: Item, media: Media) -> Json:
    return {"detections": detections(work.task, _input_image(work, media))}


def _guide(work: Work, item: Item, media: Media) -> Product:
    return _encoded(work, guide(work.task, _input_image(work, media), work.model.air.rpartition("@")[2]))


def _vectorize(work: Work, item: Item, media: Media) -> Product:
    if (work.task.get("inputs") or {}).get("image"):
        image = _input_image(work, media)
    else:
        image = paint_image(work.task, air=work.model.air, seed=item.seed, steps=25, cfg=7.0, media=media)
    return trace(image), "image/svg+xml"


def _caption(work: Work, item: Item, media: Media) -> Json:
    inputs = work.task.get("inputs") or {}
    if inputs.get("video"):
        from ..core.making.films import decode_first_frame

        first, _, duration = decode_first_frame(media(inputs["video"]))
        said = words.caption(first, str(work.task.get("prompt") or ""))
        return {"text": f"{said} It lasts {duration:.1f} seconds."}
    image = _input_image(work, media)
    if work.model.air == "runware:154@1":
        return {"structuredData": words.age_groups(image)}
    return {"text": words.caption(image, str(work.task.get("prompt") or ""))}


def _enhance(work: Work, item: Item, media: Media) -> Json:
    version = work.items.index(item)
    most = int(work.task.get("promptMaxLength", 400))
    return {"text": words.enhanced_prompt(str(work.task["prompt"]), version, most)}


def _answer(work: Work, item: Item, media: Media) -> Json:
    inputs = work.task.get("inputs") or {}
    seen = [words.caption(open_image(media(value))) for value in inputs.get("images") or []]
    made = words.answer(work.task["messages"], work.task.get("settings") or {}, seed=item.seed, seen=seen)
    if work.task.get("outputFormat") == "JSON" or "jsonSchema" in work.task:
        example = words.example_of(work.task.get("jsonSchema") or {}, seed=item.seed)
        made["text"] = json.dumps(example, ensure_ascii=False)
    made |= work.wording or {}
    if not work.task.get("includeUsage", True):
        made.pop("usage")
    return made


def _tokens(task: Json, _: Model) -> float:
    return sum(len(str(each.get("content")).split()) for each in task["messages"]) / 1000 + 0.05


def _film(work: Work, item: Item, media: Media) -> Product:
    from ..core.making.films import encode_film, film_frames

    task = work.task
    inputs = task.get("inputs") or {}
    pictures = [open_image(media(value)) for value in _frame_values(inputs)]
    wide, tall = int(task.get("width") or 640), int(task.get("height") or 360)
    if not task.get("width") and pictures:
        wide, tall = pictures[0].size
    size = (wide - wide % 2, tall - tall % 2)
    first = pictures[0] if pictures else paint_image(
        {**task, "width": size[0], "height": size[1], "inputs": {}}, air=work.model.air, seed=item.seed, steps=25,
        cfg=7.0, media=media,
    )  # fmt: skip
    fps = min(24, int(task.get("fps", 12)))
    count = max(2, round(float(task.get("duration", 3)) * fps))
    frames = film_frames(first, pictures[-1] if len(pictures) > 1 else None, size, count)
    return encode_film(frames, fps=fps, output_format=work.output_format)


def _frame_values(inputs: Json) -> list[Any]:
    found = [each.get("image") if isinstance(each, dict) else each for each in inputs.get("frameImages") or []]
    return found or [inputs["image"]] if found or inputs.get("image") else []


def _seconds(task: Json, _: Model) -> float:
    return float(task.get("duration", 3))


def _sound(work: Work, item: Item, media: Media) -> Product:
    from ..core.making.films import encode_sound, melody

    task = work.task
    speech = (task.get("speech") or {}).get("text")
    duration = float(task.get("duration") or (max(0.5, 0.075 * len(str(speech))) if speech else 3.0))
    rate = int((task.get("audioSettings") or {}).get("sampleRate", _SAMPLE_RATE))
    text = str(speech or task.get("positivePrompt") or "")
    samples = melody(text, item.seed, min(duration, 60.0), rate=rate, is_speech=bool(speech))
    return encode_sound(samples, rate=rate, output_format=work.output_format)


def _solid(work: Work, item: Item, media: Media) -> Product:
    inputs = work.task.get("inputs") or {}
    image = _input_image(work, media) if inputs.get("image") or inputs.get("images") else None
    return turned_solid(image, item.seed), "model/gltf-binary"


def _trained(work: Work, item: Item, media: Media) -> Json:
    wanted = work.task.get("importModel") or {}
    name = wanted.get("uniqueIdentifier") or f"lora-{work.uuid[:8]}"
    return {"air": wanted.get("air") or f"sandbox:{name}@1"}


def _weights(work: Work, item: Item, media: Media) -> Product:
    """Write an empty but valid safetensors file: a header that names nothing."""
    header = b"{}      "
    return len(header).to_bytes(8, "little") + header, "application/octet-stream"


def _tool(work: Work, item: Item, media: Media) -> Product:
    """Bring the first input into the format asked for."""
    from ..core.making.films import decode_first_frame, encode_film, encode_sound, film_frames, melody

    inputs = work.task.get("inputs") or {}
    values = [each for name in ("image", "video") if (each := inputs.get(name))]
    values += [*(inputs.get("images") or []), *(inputs.get("videos") or [])]
    if work.output_format in _SOUND_FORMATS:
        samples = melody(str(work.task.get("settings")), item.seed, 2.0, rate=_SAMPLE_RATE, is_speech=False)
        return encode_sound(samples, rate=_SAMPLE_RATE, output_format=work.output_format)
    body = media(values[0])
    try:
        first, fps, duration = open_image(body), 12.0, 2.0
    except OSError:
        first, fps, duration = decode_first_frame(body)
    if work.output_format in _IMAGE_FORMATS:
        return _encoded(work, first)
    size = (first.width - first.width % 2, first.height - first.height % 2)
    frames = film_frames(first, None, size, max(2, round(duration * fps)))
    return encode_film(frames, fps=round(fps), output_format=work.output_format)


KINDS: dict[str, Kind] = {
    "imageInference": Kind("image", _image, units=_megapixels, has_seed=True),
    "upscale": Kind("image", _upscale),
    "removeBackground": Kind("image", _remove_background),
    "imageMasking": Kind("maskImage", _mask, _found),
    "controlNetPreprocess": Kind("guideImage", _guide),
    "vectorize": Kind("image", _vectorize),
    "caption": Kind(None, tell=_caption),
    "promptEnhance": Kind(None, tell=_enhance, count_key="promptVersions"),
    "textInference": Kind(None, tell=_answer, units=_tokens),
    "videoInference": Kind("video", _film, units=_seconds, has_seed=True),
    "audioInference": Kind("audio", _sound, units=_seconds, has_seed=True),
    "3dInference": Kind(OUTPUTS, _solid, has_seed=True),
    "training": Kind(OUTPUTS, _weights, _trained),
    "tools": Kind(OUTPUTS, _tool),
}
