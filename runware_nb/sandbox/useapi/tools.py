"""Calls that create no task: voices, transcripts, enlarged images and previews of prompts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from PIL import Image

from ..core.making.films import encode_sound, melody
from ..core.making.painter import Brief, encode, paint
from ..core.making.pictures import open_image
from .assets import Asset
from .refusals import Refused

__all__ = ["VOICES", "enlarge", "paint_preview", "read_language", "read_side", "transcript", "voice_sample", "voices"]

Json = dict[str, Any]
VOICES = {"sandbox-amy": "Amy", "sandbox-ben": "Ben", "sandbox-carla": "Carla"}
"""Names of the voices by id. They are the sandbox's own."""
_LANGUAGE = re.compile("[a-z]{2}")
_LONGEST_SIDE_PX = 4096
_PREVIEW_PX = (512, 288)
_SAMPLE_RATE, _SAMPLE_S = 22_050, 1.0
_DEFAULT_S = 5.0


def voices(form: str, url_of: Callable[[str], str]) -> Any:
    """Return the voices.

    Args:
        form: `array`, `object` (an array in `voices`), or `elevenlabs`, whose models the documents name.
        url_of: Returns the URL of the sample of a voice.
    """
    if form == "elevenlabs":
        items = [
            {"voice_id": voice, "name": name, "category": "premade", "labels": {}, "preview_url": url_of(voice)}
            for voice, name in VOICES.items()
        ]
    else:
        items = [{"id": voice, "name": name, "previewUrl": url_of(voice)} for voice, name in VOICES.items()]
    return items if form == "array" else {"voices": items}


def voice_sample(voice: str) -> tuple[bytes, str]:
    """Return the sound of a voice and its media type."""
    samples = melody(voice, 0, _SAMPLE_S, rate=_SAMPLE_RATE, is_speech=True)
    return encode_sound(samples, rate=_SAMPLE_RATE, output_format="MP3")


def read_language(text: str) -> str:
    """Return a language.

    Raises:
        Refused: It does not have two letters.
    """
    if not _LANGUAGE.fullmatch(text):
        raise Refused(400, "Parameter language is required and must have two lower-case letters, such as en.")
    return text


def transcript(asset: Asset, language: str, form: str) -> Any:
    """Return the transcript of an asset, which states what it was made of. Speech is not recognized.

    Args:
        asset: Audio or video.
        language: Language of the speech.
        form: `text`, `segments` (text and an array of segments), or `array` (the segments only).

    Raises:
        Refused: The asset is an image.
    """
    if asset.media_type.startswith("image/"):
        raise Refused(400, "The asset must be audio or video.")
    words = [f"This is {asset.name}.", f"The language is {language}."]
    length_s = float(asset.metadata.get("duration") or _DEFAULT_S) / len(words)
    segments = [
        {"start": round(number * length_s, 2), "end": round((number + 1) * length_s, 2), "text": text}
        for number, text in enumerate(words)
    ]
    if form == "array":
        return segments
    return {"text": " ".join(words), **({"segments": segments} if form == "segments" else {})}


def read_side(text: str, name: str) -> int:
    """Return a width or height in pixels.

    Raises:
        Refused: It is not an integer from 1 to 4096. The documents state no limit; this one is the sandbox's.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= _LONGEST_SIDE_PX):
        raise Refused(400, f"Parameter {name} is required and must be an integer between 1 and {_LONGEST_SIDE_PX}.")
    return int(text)


def enlarge(content: bytes, size: tuple[int, int]) -> tuple[bytes, str]:
    """Return an image in another size, as PNG, and its media type.

    Raises:
        Refused: The content is not an image.
    """
    try:
        image = open_image(content)
    except OSError as error:
        raise Refused(400, "image_url is not an image.") from error
    body, media_type, _ = encode(image.convert("RGB").resize(size, Image.Resampling.LANCZOS), "PNG", 95)
    return body, media_type


def paint_preview(prompt: str, seed: int) -> tuple[bytes, str]:
    """Return the preview of a prompt and its media type."""
    width, height = _PREVIEW_PX
    body, media_type, _ = encode(
        paint(Brief(prompt=prompt, seed=seed, width=width, height=height, model="preview")), "PNG", 95
    )
    return body, media_type
