"""poll: ask once about a task."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..core.parsing import is_uuid
from ..core.results import Result
from ..errors import MagicUsageError, RunNotFound
from ..loop import background_loop, wait
from ..present.table import render_facts
from ..providers.registry import package_of_service
from ..providers.runware.frames import Frame
from ..remedies import Remedy, command
from .base import CommandResult

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "ask once about a task"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("task_uuid", metavar="UUID", help="task UUID; of a logged run its first characters do")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Ask."""
    task_uuid = options.task_uuid
    _refuse_other_service(session, task_uuid)
    if not is_uuid(task_uuid):
        if len(task_uuid) < 4:
            raise MagicUsageError(f"{task_uuid!r} is no task UUID")
        record = session.log.find(task_uuid)
        if record.is_imported:
            raise MagicUsageError(
                f"Run {record.task_uuid[:8]} was imported, so this service did not run it for you. Nothing was sent."
            )
        task_uuid = record.attempt_uuid
    frame = wait(background_loop().submit(session.client().poll(task_uuid)))
    if not frame.items and not frame.errors:
        note = f"the service does not know task {task_uuid}, or does not show it yet"
        return CommandResult({}, {"data": []}, (note,), is_failure=True)
    return CommandResult(_shown(frame), frame_json(frame), is_failure=bool(frame.errors))


def frame_json(frame: Frame) -> dict[str, Any]:
    """Write a frame as it came."""
    made: dict[str, Any] = {"data": list(frame.items)}
    if frame.errors:
        made["errors"] = list(frame.errors)
    return made


def _shown(frame: Frame) -> dict[str, str]:
    facts = []
    for index, item in enumerate(frame.items):
        status = item.get("status", "success")
        progress = f" {item['progress']} %" if "progress" in item else ""
        url = Result(item, "").url or ""
        facts.append((f"#{index + 1}", f"{status}{progress} {url}".strip()))
    facts += [("error", f"{error['code']}: {error['message']}") for error in frame.errors]
    return render_facts(facts)


def _refuse_other_service(session: Session, ref: str) -> None:
    """Refuse a run of another service: Runware does not know it.

    Raises:
        MagicUsageError: The run belongs to another service.
    """
    try:
        record = session.log.find(ref)
    except RunNotFound:
        return
    package = package_of_service(record.provider)
    if package is None:
        return
    error = MagicUsageError(
        f"Run {record.task_uuid[:8]} belongs to the service {record.provider!r}, and `poll` asks Runware. Nothing was "
        "sent."
    )
    if "task" in package.commands:
        error.with_remedy(Remedy("{0} asks its service.", (command(f"{package.name} task", record.task_uuid[:8]),)))
    raise error
