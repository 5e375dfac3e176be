"""Result files of tasks: images, videos, audio and JSON, drawn from the input."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

from PIL.Image import Image

from ..core.ledger import hash_of
from ..core.making.painter import Brief, encode, paint

__all__ = ["make_files"]

Json = dict[str, Any]
Product = tuple[bytes, str]
_FORMATS = {"png": "PNG", "jpg": "JPG", "jpeg": "JPG", "webp": "WEBP"}
_SIDE_PX, _LEAST_PX, _MOST_PX = 512, 64, 1024
_VIDEO_FPS, _VIDEO_FRAMES = 12, 18
_AUDIO_RATE, _AUDIO_S = 44_100, 2.0


def make_files(output: str, given: Json, seed: int) -> dict[str, tuple[str, Callable[[], Product]]]:
    """Return the files of a result, by the key that has their URL: extension, and the function that makes the file.

    Args:
        output: Kind of result.
        given: Input of the task. URLs in it are not fetched; they only change what is drawn.
        seed: Seed of the sandbox.
    """
    if output == "image":
        wanted = _FORMATS.get(str(given.get("output_format") or given.get("format") or "png").lower(), "PNG")
        full = (wanted.lower(), functools.partial(_image, given, seed, wanted, 1))
        return {"result_url": full, "thumbnail_url": ("png", functools.partial(_image, given, seed, "PNG", 4))}
    if output == "video":
        thumbnail = ("png", functools.partial(_image, given, seed, "PNG", 4))
        return {"result_url": ("mp4", functools.partial(_video, given, seed)), "thumbnail_url": thumbnail}
    if output == "audio":
        return {"result_url": ("mp3", functools.partial(_audio, given, seed))}
    if output == "json":
        return {"result_url": ("json", functools.partial(_json, given))}
    return {}


def _painted(given: Json, seed: int, divisor: int = 1) -> Image:
    prompt = str(given.get("prompt") or given.get("style") or "a ship on the sea")
    own = given.get("seed")
    base = own if isinstance(own, int) else int(hash_of(given)[:8], 16)
    return paint(
        Brief(prompt=prompt, seed=base + seed, width=_side(given, "width") // divisor,
              height=_side(given, "height") // divisor, model="runkey")
    )  # fmt: skip


def _side(given: Json, name: str) -> int:
    value = given.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        return _SIDE_PX
    return min(max(value, _LEAST_PX), _MOST_PX) // 8 * 8


def _image(given: Json, seed: int, wanted: str, divisor: int) -> Product:
    body, media_type, _ = encode(_painted(given, seed, divisor), wanted, 90)
    return body, media_type


def _video(given: Json, seed: int) -> Product:
    from ..core.making.films import encode_film, film_frames

    first = _painted(given, seed, 2)
    frames = film_frames(first, None, (first.width // 2 * 2, first.height // 2 * 2), _VIDEO_FRAMES)
    return encode_film(frames, fps=_VIDEO_FPS, output_format="MP4")


def _audio(given: Json, seed: int) -> Product:
    from ..core.making.films import encode_sound, melody

    text = str(given.get("prompt") or given.get("text") or "runkey")
    samples = melody(text, seed, _AUDIO_S, rate=_AUDIO_RATE, is_speech="text" in given)
    return encode_sound(samples, rate=_AUDIO_RATE, output_format="MP3")


def _json(given: Json) -> Product:
    return json.dumps({"input": given, "labels": ["sandbox"], "score": 1.0}).encode(), "application/json"
