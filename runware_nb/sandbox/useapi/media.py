"""Result files: images and videos painted from the request and its input assets."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

from PIL import Image

from ..core.making.films import decode_first_frame, encode_film, film_frames
from ..core.making.painter import Brief, encode, paint
from ..core.making.pictures import open_image
from .tasks import Artifact

__all__ = ["FRAME_RATE", "first_images", "paint_result", "result_duration_s", "result_size"]

FRAME_RATE = 8
_LONG_SIDE_PX = {"image": 768, "video": 480}
_WORDS = {"landscape": "16:9", "portrait": "9:16"}


def result_size(product: str, options: dict[str, Any]) -> tuple[int, int]:
    """Return width and height in pixels, both even, from the aspect ratio of a request (16:9 by default)."""
    text = str(options.get("aspect_ratio") or options.get("outpaint_aspect_ratio") or "16:9")
    try:
        left, right = (float(part) for part in _WORDS.get(text, text).split(":"))
        ratio = min(max(left / right, 0.25), 4.0)
    except (ValueError, ZeroDivisionError):
        ratio = 16 / 9
    long = _LONG_SIDE_PX[product]
    width, height = (long, long / ratio) if ratio >= 1 else (long * ratio, long)
    return round(width / 2) * 2, round(height / 2) * 2


def result_duration_s(options: dict[str, Any]) -> float:
    """Return the length of a video in seconds, at most 15."""
    value = options.get("seconds") or options.get("duration") or 5
    return float(min(max(value, 1), 15)) if isinstance(value, (int, float)) and not math.isnan(value) else 5.0


def first_images(contents: Sequence[bytes]) -> list[Image.Image]:
    """Return the images of input files, and the first frames of input videos. Audio is left out."""
    images = []
    for content in contents:
        try:
            images.append(open_image(content))
        except OSError:
            try:
                images.append(decode_first_frame(content)[0])
            except OSError:
                continue
    return images


def paint_result(
    artifact: Artifact, options: dict[str, Any], contents: Sequence[bytes], seed: int
) -> tuple[bytes, str]:
    """Return the file of one result and its media type. The same input gives the same file.

    Args:
        artifact: The result.
        options: Parameters of the request.
        contents: Files of the input assets.
        seed: Decides what the request leaves open.
    """
    inputs = first_images(contents)
    text = f"{options.get('model')}/{seed}"
    brief = Brief(
        prompt=str(options.get("text_prompt") or "a landscape"),
        seed=int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big"),
        width=artifact.width, height=artifact.height, model=str(options.get("model") or "gen4"),
        seed_image=inputs[0] if inputs else None, strength=0.4 if inputs else 0.8,
    )  # fmt: skip
    image = paint(brief)
    if not artifact.duration_s:
        body, media_type, _ = encode(image, "PNG", 95)
        return body, media_type
    first = inputs[0] if inputs else image
    last = inputs[1] if len(inputs) > 1 else image if inputs else None
    count = max(2, round(artifact.duration_s * FRAME_RATE))
    return encode_film(
        film_frames(first, last, (artifact.width, artifact.height), count), fps=FRAME_RATE, output_format="MP4"
    )
