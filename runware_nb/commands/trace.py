"""trace: what travelled between here and the service, for a bug report."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MediaError
from ..media.medium import write_whole
from ..net.trace import TracedFrame, wire_trace
from ..present.table import Table, render_table
from .base import CommandResult
from .filters import ALL, read_limit

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "a wire log without secrets, for bug reports: on, off, show, save FILE"

_SHOWN = 240


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("what", nargs="?", choices=["on", "off", "show", "save"], default="show", help="default: show")
    parser.add_argument("file", nargs="?", metavar="FILE", help="where to save it, as JSON lines")
    parser.add_argument(
        "--limit",
        type=read_limit,
        default=30,
        metavar="N",
        help="how many frames are shown, the last ones, or `all` (default: 30)",
    )


def run(session: Session, options: argparse.Namespace) -> CommandResult:  # noqa: ARG001 - every command has them
    """Turn it on or off, show it, or save it."""
    if options.what in {"on", "off"}:
        wire_trace.is_on = options.what == "on"
        if wire_trace.is_on:
            wire_trace.frames.clear()
        said = "frames are kept now; `trace show` lists them" if wire_trace.is_on else "no more frames are kept"
        return CommandResult({"text/plain": said}, {"trace": options.what})
    frames = list(wire_trace.frames)
    if options.what == "save":
        return _save(frames, Path(options.file or "runware-trace.jsonl").expanduser())
    shown = frames if options.limit == ALL else frames[-max(options.limit, 1) :]
    rows = [(each.at_utc[11:23], each.direction, each.host, _clip(each)) for each in shown]
    empty = "nothing was kept; `trace on` begins" if not wire_trace.is_on else "nothing has travelled yet"
    table = Table(("time (UTC)", "", "host", "frame"), rows, f"{len(shown)} of {len(frames)} frames", empty=empty)
    note = (f"{len(shown)} of {len(frames)} frames; `--limit all` shows every one",) if len(shown) < len(frames) else ()
    return CommandResult(
        render_table(table), [dataclasses.asdict(each) for each in shown], value=shown, json_notes=note
    )


def _save(frames: list[TracedFrame], target: Path) -> CommandResult:
    body = "".join(json.dumps(dataclasses.asdict(each), ensure_ascii=False) + "\n" for each in frames)
    try:
        write_whole(target, body.encode())
    except OSError as error:
        raise MediaError(f"{target} cannot be written: {error.strerror or error}") from error
    said = f"{target}: {len(frames)} frames; read it before you send it to somebody"
    return CommandResult({"text/plain": said}, {"path": str(target), "frames": len(frames)})


def _clip(frame: TracedFrame) -> str:
    written = json.dumps(frame.frame, ensure_ascii=False)
    return written if len(written) <= _SHOWN else f"{written[: _SHOWN - 1]}…"
