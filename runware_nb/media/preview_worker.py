"""The process that reads one file for its preview; see `preview.py` for why it is a process of its own."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from .drawn import Drawn, NoPreview

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["main"]

_SIDE_PX = 512
_BODY_BYTES = 62 * 1024
_MEMORY_BYTES = 3 * 1024**3
_CPU_S = 30


def main() -> None:
    """Read the file that the first argument names, of the media type in the second, and write its preview as JSON."""
    _limit_resources()
    path, media_type = sys.argv[1:3]
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints must not get between the bytes of the answer
    try:
        drawn = _draw(path, media_type)
        body, size = _encode(drawn.image)
        written = _as_json(body, size, drawn.facts, "")
    except NoPreview as reason:
        written = _as_json(b"", (0, 0), (), f"no preview: {reason}")
    except MemoryError:
        written = _as_json(b"", (0, 0), (), "no preview: the file needs too much memory")
    except Exception as error:  # noqa: BLE001 - hostile files raise anything, and the caller needs one sentence
        written = _as_json(b"", (0, 0), (), f"no preview: the file cannot be read ({type(error).__name__})")
    with os.fdopen(answer, "wb") as stream:
        stream.write(written)


def _limit_resources() -> None:
    """Bound memory and time, where the system can."""
    try:
        import resource
    except ImportError:  # Windows: the deadline of the caller is the bound
        return
    for name, limit in (("RLIMIT_AS", _MEMORY_BYTES), ("RLIMIT_CPU", _CPU_S), ("RLIMIT_CORE", 0), ("RLIMIT_FSIZE", 0)):
        with contextlib.suppress(ValueError, OSError, AttributeError):
            resource.setrlimit(getattr(resource, name), (limit, limit))


def _draw(path: str, media_type: str) -> Drawn:
    if media_type.startswith("model/"):
        from .model_preview import draw_model

        with open(path, "rb") as file:  # noqa: PTH123 - a stream, not a text
            return draw_model(file.read(), side_px=_SIDE_PX)
    from .av_preview import draw_poster, draw_waveform

    draw = draw_poster if media_type.startswith("video/") else draw_waveform
    return draw(path, media_type, side_px=_SIDE_PX)


def _encode(image: Image) -> tuple[bytes, tuple[int, int]]:
    """Return a picture as PNG if it has few colors or transparency, else as JPEG, and its size in pixels."""
    from .thumbnail import make_thumbnail

    if image.mode in {"RGBA", "P"}:
        buffer = io.BytesIO()
        image.save(buffer, "PNG", optimize=True)
        if buffer.tell() <= _BODY_BYTES:
            return buffer.getvalue(), image.size
        from PIL import Image as Images

        flat = Images.new("RGB", image.size, (238, 238, 238))
        rgba = image.convert("RGBA")
        flat.paste(rgba, mask=rgba.getchannel("A"))
        image = flat
    small = make_thumbnail(image.convert("RGB"), side_px=_SIDE_PX, max_bytes=_BODY_BYTES)
    return small.body, (small.width, small.height)


def _as_json(body: bytes, size: tuple[int, int], facts: tuple[str, ...], problem: str) -> bytes:
    written: dict[str, Any] = {
        "body": base64.b64encode(body).decode(), "width": size[0], "height": size[1], "facts": facts,
        "problem": problem,
    }  # fmt: skip
    return json.dumps(written).encode()
