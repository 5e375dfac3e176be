"""Short films and sounds: real files, encoded with FFmpeg's libraries through PyAV."""

from __future__ import annotations

import array
import hashlib
import io
import math
import random
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from PIL import Image

__all__ = ["decode_first_frame", "encode_film", "encode_sound", "film_frames", "melody"]

_FILM_CODECS = {"MP4": ("mp4", "libx264"), "MOV": ("mov", "libx264"), "WEBM": ("webm", "libvpx")}
_SOUND_CODECS = {"MP3": ("mp3", "libmp3lame"), "FLAC": ("flac", "flac"), "OGG": ("ogg", "libopus"),
                 "WAV": ("wav", "pcm_s16le")}  # fmt: skip


def film_frames(
    first: Image.Image, last: Image.Image | None, size: tuple[int, int], count: int
) -> Iterator[Image.Image]:
    """Move over a picture, slowly closer; towards another picture if there is one."""
    wide, tall = size
    first = first.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    end = last.convert("RGB").resize(size, Image.Resampling.LANCZOS) if last is not None else None
    for number in range(count):
        share = number / max(count - 1, 1)
        if end is not None:
            yield Image.blend(first, end, share)
            continue
        crop = 1 - 0.2 * share
        left, top = wide * (1 - crop) * share, tall * (1 - crop) / 2
        box = (left, top, left + wide * crop, top + tall * crop)
        yield first.resize(size, Image.Resampling.BILINEAR, box=box)


def encode_film(frames: Iterator[Image.Image], *, fps: int, output_format: str) -> tuple[bytes, str]:
    """Encode frames of one size, both sides even.

    Returns:
        The file and its media type.
    """
    container_name, codec = _FILM_CODECS[output_format]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_name) as container:
        stream: Any = container.add_stream(codec, rate=fps)
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "30", "threads": "1", "deadline": "realtime"}
        for number, frame in enumerate(frames):
            if number == 0:
                stream.width, stream.height = frame.size
            container.mux(stream.encode(_as_frame(frame)))
        container.mux(stream.encode(None))
    media_type = {"MOV": "video/quicktime"}.get(output_format, f"video/{output_format.lower()}")
    return buffer.getvalue(), media_type


def _as_frame(image: Image.Image) -> Any:
    make: Any = av.VideoFrame.from_image  # untyped in PyAV
    return make(image)


def decode_first_frame(body: bytes) -> tuple[Image.Image, float, float]:
    """Open a film.

    Returns:
        Its first frame, its frames a second, its duration in seconds.

    Raises:
        OSError: It is no film.
    """
    try:
        with av.open(io.BytesIO(body), "r") as container:
            stream = container.streams.video[0]
            rate = float(stream.average_rate or 12)
            duration = float(container.duration or 1_000_000) / 1_000_000
            for frame in container.decode(stream):
                decoded: Any = frame  # untyped in PyAV
                image: Image.Image = decoded.to_image()
                return image, rate, duration
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise OSError(f"no film: {error}") from error
    raise OSError("no film: no frame in it")


def melody(text: str, seed: int, duration_s: float, *, rate: int, is_speech: bool) -> array.array[int]:
    """Compose mono samples of 16 bits: notes for music, chirps in the rhythm of the letters for speech."""
    chance = random.Random(hashlib.sha256(f"{text}\0{seed}".encode()).digest())
    scale = (0, 2, 4, 7, 9, 12, 14, 16)
    samples = array.array("h")
    total = int(duration_s * rate)
    letters = [letter for letter in text.lower() if not letter.isspace()] or ["a"]
    position = 0
    while len(samples) < total:
        if is_speech:
            letter = letters[position % len(letters)]
            pitch, length, loud = 140.0 + ord(letter) % 90, int(rate * 0.07), 9000 if letter.isalpha() else 0
        else:
            pitch = 220.0 * 2 ** (chance.choice(scale) / 12)
            length, loud = int(rate * chance.choice((0.15, 0.3, 0.3, 0.6))), 8000
        position += 1
        length = min(length, total - len(samples))
        turn = 2 * math.pi * pitch / rate
        samples.extend(
            int(loud * (1 - at / (length + 1)) * (math.sin(turn * at) + 0.4 * math.sin(2 * turn * at)) / 1.4)
            for at in range(length)
        )
    return samples


def encode_sound(samples: array.array[int], *, rate: int, output_format: str) -> tuple[bytes, str]:
    """Encode mono samples.

    Returns:
        The file and its media type.
    """
    container_name, codec = _SOUND_CODECS[output_format]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_name) as container:
        out_rate = 48_000 if codec == "libopus" else rate
        stream: Any = container.add_stream(codec, rate=out_rate)
        stream.layout = "mono"
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=out_rate, frame_size=960)
        for start in range(0, len(samples), 4096):
            piece = samples[start : start + 4096]
            frame = av.AudioFrame(format="s16", layout="mono", samples=len(piece))
            frame.planes[0].update(piece.tobytes())
            frame.rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            for resampled in resampler.resample(frame):
                container.mux(stream.encode(resampled))
        for resampled in resampler.resample(None):
            container.mux(stream.encode(resampled))
        container.mux(stream.encode(None))
    media_type = {"MP3": "audio/mpeg"}.get(output_format, f"audio/{output_format.lower()}")
    return buffer.getvalue(), media_type
