"""Commands for tasks at useapi.net."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ....commands.arguments import whole_number
from ....commands.base import CommandResult
from ....errors import (
    MagicUsageError,
    RunNotFound,
)
from ....present.table import Table, render_facts, render_table
from ..protocol import UseApiTask, owner_of, shorten_id
from ..provider import UseApiProvider
from .asking import add_account_option, add_full_option, ask, emails_of, shown_email

if TYPE_CHECKING:
    from ....session import Session
    from ..client import UseApi

__all__ = ["OneTask", "Tasks"]


def _task_row(task: UseApiTask, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "task": task.task_id if options.full else shorten_id(task.task_id),
        "run": task.reply_ref or "",
        "account": shown_email(task.account or "", options),
        "status": task.status or "not stated",
        "progress": task.progress,
        "created": task.created_at or "",
        "error": task.error or "",
    }


def _status_text(task: UseApiTask) -> str:
    if task.is_waiting:
        return "THROTTLED: waiting at Runway"
    progress = "" if task.progress is None or task.is_final else f" ({100 * task.progress:.0f} %)"
    return f"{task.status or 'not stated'}{progress}"


class Tasks:
    """`tasks`: what useapi.net lists, whether or not it was submitted here."""

    SUMMARY = "list the tasks of the Runway accounts as useapi.net reports them"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add_account_option(parser)
        add_full_option(parser)
        parser.add_argument("--status", metavar="S", help="only these, such as RUNNING,THROTTLED")
        parser.add_argument(
            "--limit", type=whole_number, default=20, metavar="N", help="most of each account (default 20)"
        )

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:
        """List them."""

        async def read(client: UseApi) -> list[UseApiTask]:
            found = []
            for email in await emails_of(client, options.account):
                found += await client.tasks(email, statuses=(options.status or "").upper(), limit=options.limit)
            return found

        tasks = ask(session, read)
        rows = [_task_row(task, options) for task in tasks]
        cells = [
            [row["task"], row["run"][:8], _status_text(task), row["created"][:16].replace("T", " "), row["error"][:80]]
            for row, task in zip(rows, tasks, strict=True)
        ]
        table = Table(["task", "run here", "status", "created (UTC)", "error"], cells, empty="No tasks.")
        return CommandResult(render_table(table), rows, value=tasks)


class OneTask:
    """`task ID`: a task as it is now."""

    TAKES_ID = True
    SUMMARY = "show a task as useapi.net reports it, by our run's UUID or by its id there"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "ref", metavar="ID", help="UUID of a run, or its first characters; or the long id of a task"
        )
        add_full_option(parser)

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:
        """Show it.

        Raises:
            MagicUsageError: There is no such run, or its id at the service never arrived here.
        """
        task_id = options.ref if owner_of(options.ref) is not None else _remote_id(session, options.ref)
        task = ask(session, lambda client: client.task(task_id))
        row = _task_row(task, options)
        facts = [
            ("task", row["task"]), ("run here", row["run"]), ("account", row["account"]),
            ("status", _status_text(task)), ("message", task.progress_text or ""), ("created (UTC)", row["created"]),
            ("error", row["error"]),
            ("starts in", "" if task.starts_in_s is None else f"about {task.starts_in_s:.0f} s"),
            *((f"result {number}", f"{artifact.kind} {artifact.filename}") for number, artifact in
              enumerate(task.artifacts, 1)),
        ]  # fmt: skip
        row["results"] = [{"kind": artifact.kind, "filename": artifact.filename} for artifact in task.artifacts]
        return CommandResult(render_facts([fact for fact in facts if fact[1]]), row, value=task)


def _remote_id(session: Session, ref: str) -> str:
    try:
        run = session.log.find(ref)
    except RunNotFound as error:
        raise MagicUsageError(f"{error.problem} `tasks --full` lists the tasks with their ids.") from error
    if run.provider not in UseApiProvider.services:
        raise MagicUsageError(f"Run {run.task_uuid[:8]} belongs to the service {run.provider!r}, not to useapi.net.")
    if run.remote_id is None:
        raise MagicUsageError(
            f"Run {run.task_uuid[:8]} ({run.state.value}) has no id at useapi.net. It was not sent, was refused, or "
            "its response was lost: then `resume` looks for it there."
        )
    return run.remote_id
