"""raw: send a JSON file just as it is."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MagicUsageError
from ..loop import background_loop, wait
from ..session.raw import send_raw
from .base import Answer
from .poll import frame_json

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "send a JSON file as it is: one task, or an array of tasks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", help="JSON file; - is standard input")


def run(session: Session, options: argparse.Namespace) -> Answer:
    """Read, send, record."""
    tasks = _read(options.file)
    session.require_key()
    frame = wait(background_loop().submit(send_raw(session, tasks)))
    answer = frame_json(frame)
    return Answer(
        {"text/plain": json.dumps(answer, indent=2, ensure_ascii=False)}, answer, is_failure=bool(frame.errors)
    )


def _read(name: str) -> list[dict[str, Any]]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise MagicUsageError(f"{name} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise MagicUsageError(f"{name} is no JSON file: it is not UTF-8 text (byte {error.start})") from error
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MagicUsageError(f"{name} is no JSON: {error}") from error
    tasks = value if isinstance(value, list) else [value]
    if not tasks or not all(isinstance(task, dict) for task in tasks):
        raise MagicUsageError(f"{name} holds no task: a task is a JSON object, several are an array of objects")
    if any("apiKey" in task for task in tasks):
        raise MagicUsageError(f"{name} holds a key; take the authentication element out: your own key is used")
    return tasks
