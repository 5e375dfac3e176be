"""Still previews of media that are not images: the poster of a video, the waveform of audio, the shape of a 3D model.

The files come from outside and may be hostile, and FFmpeg, which reads video and audio, is native code. A crash of
native code ends its process, and a loop in it cannot be interrupted. So each file is read in a process of its own,
which has no keys in its environment, a bounded memory and a deadline: the kernel survives whatever happens there.
"""

from __future__ import annotations

import base64
import binascii
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.media_types import sniff
from ..printable import printable
from ..reprs import short_repr, shortened
from ..settings import child_environment
from .medium_kinds import MediumKind, kind_of

__all__ = ["PREVIEW_BYTES", "TIMEOUT_S", "Preview", "format_preview", "has_preview", "parse_preview", "preview_of"]

PREVIEW_BYTES = 64 * 1024
"""Largest preview in bytes: 86 KiB as base64, which leaves room for markup below 100 KiB."""
TIMEOUT_S = 15.0
"""How long a file may be read. A usual one takes less than a second."""
_MOST_FILE_BYTES = 2 * 1024**3
_MOST_ANSWER_BYTES = 4 * PREVIEW_BYTES
_MOST_FACTS = 8
_WORKER = "import sys; sys.path.append(sys.argv.pop(1)); from runware_nb.media.preview_worker import main; main()"
_MISSING_PYAV = 'pip install "runware-nb[preview]" adds previews of video and audio'


@short_repr()
@dataclass(frozen=True, slots=True)
class Preview:
    """What is shown of a file that is not an image.

    Attributes:
        body: A PNG or JPEG; None if there is no picture.
        media_type: Of the picture.
        width: Pixels of the picture.
        height: Pixels of the picture.
        facts: Short phrases about the file, such as `5.0 s` and `1280 × 720`.
        problem: Why there is no picture, as a clause; empty if there is one.
        is_lasting: Whether the same file always gives the same. It is False if a package is missing.
    """

    body: bytes | None = None
    media_type: str = "image/png"
    width: int = 0
    height: int = 0
    facts: tuple[str, ...] = ()
    problem: str = ""
    is_lasting: bool = True


def has_preview(media_type: str) -> bool:
    """Return whether files of a type are shown by a preview: videos, audio and 3D models."""
    return kind_of(media_type) in {MediumKind.VIDEO, MediumKind.AUDIO, MediumKind.MODEL}


def preview_of(source: bytes | Path, media_type: str, *, timeout_s: float = TIMEOUT_S) -> Preview | None:
    """Return the preview of a video, of audio or of a 3D model; None for any other type.

    Args:
        source: The bytes, or the file that contains them.
        media_type: As `sniff` detected it.
        timeout_s: How long reading may take, in seconds.
    """
    if not has_preview(media_type):
        return None
    if kind_of(media_type) is not MediumKind.MODEL and importlib.util.find_spec("av") is None:
        return Preview(problem=_MISSING_PYAV, is_lasting=False)
    if isinstance(source, Path):
        return _preview_of_file(source, media_type, timeout_s)
    try:
        with tempfile.TemporaryDirectory(prefix="runware-nb-", ignore_cleanup_errors=True) as folder:
            file = Path(folder) / "medium"
            file.write_bytes(source)
            return _preview_of_file(file, media_type, timeout_s)
    except OSError as error:
        return Preview(problem=f"no preview: {error.strerror or error}", is_lasting=False)


def _preview_of_file(file: Path, media_type: str, timeout_s: float) -> Preview:
    try:
        if file.stat().st_size > _MOST_FILE_BYTES:
            return Preview(problem=f"no preview: the file is larger than {_MOST_FILE_BYTES / 1024**3:.0f} GiB")
        answer, is_late = _ask_worker([str(file.absolute()), media_type], timeout_s)
    except (OSError, ValueError) as error:
        return Preview(problem=f"no preview: {shortened(printable(str(error)), 200)}", is_lasting=False)
    if is_late:
        # It is kept, although a busy machine may be the reason: otherwise each display of a file that hangs its reader
        # would wait as long again.
        return Preview(problem=f"no preview: reading the file took longer than {timeout_s:g} s")
    found = parse_preview(answer)
    return Preview(problem="no preview: the file cannot be read") if found is None else found


def _ask_worker(arguments: list[str], timeout_s: float) -> tuple[bytes, bool]:
    """Run the worker on a file; return what it wrote, and whether it was ended because its time was over."""
    if not sys.executable:
        raise OSError("Python's own path is not known")
    root = str(Path(__file__).resolve().parent.parent.parent)
    process = subprocess.Popen(  # noqa: S603 - our own module, no shell
        [sys.executable, "-P", "-c", _WORKER, root, *arguments],  # -P: no module from the folder of the notebook
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=child_environment(),  # it reads hostile files, so it gets no keys
        start_new_session=os.name == "posix",  # Stop ends this wait, and with it the worker
    )
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        process.kill()

    timer = threading.Timer(timeout_s, end)
    timer.daemon = True
    timer.start()
    try:
        assert process.stdout is not None
        with process.stdout as stream:
            answer = stream.read(_MOST_ANSWER_BYTES)
            if not stream.read(1):
                process.wait()
    finally:
        timer.cancel()
        process.kill()
        process.wait()
    return answer, is_late.is_set()


def parse_preview(answer: bytes) -> Preview | None:
    """Parse a preview; return None if it is not one. A hostile file may have taken over the worker that wrote it."""
    try:
        read: Any = json.loads(answer)
        body = base64.b64decode(read["body"], validate=True) if read["body"] else None
        width, height = int(read["width"]), int(read["height"])
        facts = tuple(shortened(printable(str(fact)), 80) for fact in list(read["facts"])[:_MOST_FACTS])
        problem = shortened(printable(str(read["problem"])), 300)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, binascii.Error):
        return None
    media_type = sniff(body) if body else None
    if body is not None and (media_type not in {"image/png", "image/jpeg"} or len(body) > PREVIEW_BYTES):
        return None
    if not (0 <= width <= 4096 and 0 <= height <= 4096):
        return None
    return Preview(body, media_type or "image/png", width, height, facts, problem)


def format_preview(preview: Preview) -> bytes:
    """Format a preview as the JSON that `parse_preview` reads."""
    written = {
        "body": base64.b64encode(preview.body or b"").decode(), "width": preview.width, "height": preview.height,
        "facts": preview.facts, "problem": preview.problem,
    }  # fmt: skip
    return json.dumps(written).encode()
