"""The poster of a video and the waveform of audio, read with PyAV. Only the preview process imports this module."""

from __future__ import annotations

import array
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import av

from .drawn import Drawn, NoPreview

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["draw_poster", "draw_waveform"]

_FORMATS = {
    "video/mp4": "mov", "video/quicktime": "mov", "video/3gpp": "mov", "audio/mp4": "mov", "video/webm": "matroska",
    "video/x-matroska": "matroska", "video/ogg": "ogg", "audio/ogg": "ogg", "audio/mpeg": "mp3", "audio/wav": "wav",
    "audio/flac": "flac", "audio/aac": "aac",
}  # fmt: skip
"""FFmpeg's reader of each type. Only this one is tried: others, such as that of playlists, open further files."""
_MOST_PIXELS = 64_000_000
_MOST_FRAMES = 48
_MOST_PACKETS = 200_000
_PLAIN = 6.0
"""A frame whose brightness varies less is of one color, such as the black one that many videos begin with."""
_WAVE_HZ = 8_000
_MOST_WAVE_S = 20 * 60
_WAVE_HEIGHT_PX = 96
_WAVE_COLOR = (66, 133, 244, 255)
_LINE_COLOR = (128, 128, 128, 160)


def draw_poster(path: str, media_type: str, *, side_px: int) -> Drawn:
    """Return the first frame of a video that shows something, with a mark that it can be played.

    Raises:
        NoPreview: It has no frame, or too large ones.
    """
    with _open(path, media_type) as container:
        if not container.streams.video:
            raise NoPreview("the file has no video")
        stream = container.streams.video[0]
        stream.thread_count = 1
        if stream.width * stream.height > _MOST_PIXELS:
            raise NoPreview(f"its frames have {stream.width} × {stream.height} pixels")
        frame = _first_telling_frame(container, stream)
        facts = (
            _duration(container, stream),
            f"{stream.width} × {stream.height}",
            f"{float(stream.average_rate):.4g} fps" if stream.average_rate else "",
            "with sound" if container.streams.audio else "",
        )
    frame = _shrunk(frame, side_px)
    return Drawn(_with_play_mark(frame), tuple(fact for fact in facts if fact))


def draw_waveform(path: str, media_type: str, *, side_px: int) -> Drawn:
    """Return the loudness of audio over time.

    Raises:
        NoPreview: It has no samples.
    """
    with _open(path, media_type) as container:
        if not container.streams.audio:
            raise NoPreview("the file has no audio")
        stream = container.streams.audio[0]
        rate, channels = stream.rate, stream.channels
        samples = _samples(container, stream)
    if not samples:
        raise NoPreview("the file has no samples")
    is_cut = len(samples) >= _WAVE_HZ * _MOST_WAVE_S
    seconds = len(samples) / _WAVE_HZ
    sides = {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")
    length = f"more than {seconds / 60:.0f} min" if is_cut else _length(seconds)
    return Drawn(_wave(samples, side_px), (length, f"{rate / 1000:g} kHz", sides))


def _open(path: str, media_type: str) -> Any:
    if media_type not in _FORMATS:
        raise NoPreview(f"{media_type} has none")
    return av.open(path, "r", format=_FORMATS[media_type], options={"protocol_whitelist": "file"})


def _first_telling_frame(container: Any, stream: Any) -> Image:
    from PIL import ImageStat

    first: Image | None = None
    for number, frame in enumerate(_decoded(container, stream)):
        if frame.width * frame.height > _MOST_PIXELS:
            raise NoPreview(f"a frame has {frame.width} × {frame.height} pixels")
        image: Image = frame.to_image()
        first = first or image
        if ImageStat.Stat(image.convert("L").resize((64, 64))).stddev[0] > _PLAIN:
            return image
        if number + 1 >= _MOST_FRAMES:
            break
    if first is None:
        raise NoPreview("the file has no frame")
    return first


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Return the frames of a stream. A damaged packet is left out, and the end is reached after so many packets."""
    for number, packet in enumerate(container.demux(stream)):
        if number >= _MOST_PACKETS:
            return
        try:
            yield from packet.decode()
        except av.FFmpegError:
            continue


def _samples(container: Any, stream: Any) -> array.array[int]:
    resampler: Any = av.AudioResampler(format="s16", layout="mono", rate=_WAVE_HZ)
    samples = array.array("h")
    most = _WAVE_HZ * _MOST_WAVE_S
    for frame in _decoded(container, stream):
        frame.pts = None
        for part in resampler.resample(frame):
            samples.frombytes(bytes(part.planes[0])[: 2 * part.samples])
        if len(samples) >= most:
            return samples[:most]
    for part in resampler.resample(None):
        samples.frombytes(bytes(part.planes[0])[: 2 * part.samples])
    return samples


def _duration(container: Any, stream: Any) -> str:
    seconds = float(container.duration or 0) / 1_000_000
    if not seconds and stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    return _length(seconds) if 0 < seconds < 1e6 else ""


def _length(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02} min"


def _shrunk(image: Image, side_px: int) -> Image:
    from PIL import Image as Images

    small = image.convert("RGB")
    small.thumbnail((side_px, side_px), Images.Resampling.LANCZOS, reducing_gap=3.0)
    return small


def _with_play_mark(image: Image) -> Image:
    """Draw a triangle in a disk, so that the picture is recognized as a video where nothing can play it."""
    from PIL import Image as Images
    from PIL import ImageDraw

    radius = max(6, min(image.size) // 8)
    scale = 4
    mark = Images.new("RGBA", (2 * radius * scale, 2 * radius * scale))
    draw = ImageDraw.Draw(mark)
    whole, middle = 2 * radius * scale - 1, radius * scale
    draw.ellipse((0, 0, whole, whole), fill=(0, 0, 0, 150))
    reach = middle * 0.5
    draw.polygon(
        [(middle - reach * 0.7, middle - reach), (middle - reach * 0.7, middle + reach), (middle + reach, middle)],
        fill=(255, 255, 255, 235),
    )
    mark = mark.resize((2 * radius, 2 * radius), Images.Resampling.LANCZOS)
    image.paste(mark, (image.width // 2 - radius, image.height // 2 - radius), mark)
    return image


def _wave(samples: array.array[int], width: int) -> Image:
    from PIL import Image as Images
    from PIL import ImageDraw

    image = Images.new("RGBA", (width, _WAVE_HEIGHT_PX))
    draw = ImageDraw.Draw(image)
    middle = _WAVE_HEIGHT_PX // 2
    draw.line((0, middle, width, middle), fill=_LINE_COLOR)
    loudest = max(1, *map(abs, (max(samples), min(samples))))
    step = len(samples) / width
    for x in range(width):
        piece = samples[int(x * step) : max(int(x * step) + 1, math.ceil((x + 1) * step))]
        high, low = max(piece, default=0) / loudest, min(piece, default=0) / loudest
        draw.line((x, middle - high * (middle - 2), x, middle - low * (middle - 2)), fill=_WAVE_COLOR)
    return image
