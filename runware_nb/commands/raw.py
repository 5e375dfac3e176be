"""raw: send the tasks of a JSON file exactly as they are."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MagicUsageError
from ..printable import printable_json
from ..session.raw import send_raw
from .base import CommandResult

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "send the tasks of a JSON file exactly as they are: one task, or an array of tasks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", help="JSON file; - reads standard input")
    parser.add_argument("--fresh", action="store_true", help="send the tasks even if the log has their answers")
    parser.add_argument("--yes", action="store_true", help="agree to the cost")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Read the file, send its tasks, and return the response as it came."""
    response = send_raw(session, _read(options.file), fresh=options.fresh, agreed=options.yes)
    written: dict[str, Any] = {"data": response.items}
    if response.errors:
        written["errors"] = response.errors
    shown = {"text/plain": printable_json(written)}
    return CommandResult(shown, written, tuple(response.notices), is_failure=bool(response.errors))


def _read(name: str) -> list[dict[str, Any]]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise MagicUsageError(f"{name} cannot be read: {error.strerror or error}. Nothing was sent.") from error
    except UnicodeDecodeError as error:
        raise MagicUsageError(
            f"{name} is not a JSON file: byte {error.start} is not UTF-8 text. Nothing was sent."
        ) from error
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MagicUsageError(f"{name} is not valid JSON: {error}. Nothing was sent.") from error
    tasks = value if isinstance(value, list) else [value]
    if not tasks or not all(isinstance(task, dict) for task in tasks):
        raise MagicUsageError(
            f"{name} contains no task: expected a JSON object, or an array of objects. Nothing was sent."
        )
    if any("apiKey" in task for task in tasks):
        raise MagicUsageError(
            f"{name} contains an API key. Nothing was sent. Remove the authentication element: your own key is used."
        )
    return tasks
