"""Commands of the trial: `%trial NAME`, and `runware-nb trial NAME`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ...commands.base import CommandResult

if TYPE_CHECKING:
    from ...session import Session

__all__ = ["Echo", "Status"]


class Echo:
    """`echo`: send a task, and return its job."""

    SUMMARY = "send a text, and get it back"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--prompt", metavar="TEXT", required=True, help="the text to return")
        parser.add_argument("--style", choices=["plain", "loud"], default="plain", help="how it is returned")

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:
        """Send the text."""
        task = {"taskType": "trialEcho", "text": options.prompt, "style": options.style}
        job = session.submit(task, service="trial")
        return CommandResult(job=job, value=job)


class Status:
    """`status`: the URL in use."""

    SUMMARY = "show the URL of the trial service"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments: none."""

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:
        """Show it."""
        url = session.settings.value("trial_url")
        return CommandResult({"text/plain": f"The trial is at {url}."}, {"url": url})
