"""sandbox: a local service to try things on, without a key and at no cost."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..core.redaction import show_url
from ..present.table import render_facts
from .base import CommandResult

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "start a local service that costs nothing, and use it until `sandbox --stop` or `login`"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--port", type=int, default=0, help="port; 0 takes a free one")
    parser.add_argument("--latency-s", type=float, metavar="S", help="seconds that a task takes")
    parser.add_argument(
        "--time-scale", type=float, metavar="X", help="how many of its seconds pass in one second (default 1)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="decides what requests leave open")
    parser.add_argument("--faults", default="", metavar="JSON", help="script of faults")
    parser.add_argument("--stop", action="store_true", help="stop it, and return to the service in use before")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Start it as a child of this process, one at a time; or stop it.

    Raises:
        ConfigError: It did not start.
    """
    if options.stop:
        return _stop(session)
    if session.settings.mode == "replay":
        sentence = "Replay mode answers every request from the log, so no sandbox was started."
        return CommandResult({"text/plain": sentence}, {"running": False})
    arguments = ["--port", str(options.port), "--seed", str(options.seed)]
    if options.latency_s is not None:
        arguments += ["--latency-s", str(options.latency_s)]
    if options.time_scale is not None:
        arguments += ["--time-scale", str(options.time_scale)]
    if options.faults:
        arguments += ["--faults", options.faults]
    sandbox = session.connection.use_sandbox(arguments)
    facts = {"service": "sandbox (local, costs nothing)", "URL": sandbox.info["rest_url"]}
    public = {name: value for name, value in sandbox.info.items() if not _is_secret(name)}
    return CommandResult(render_facts(list(facts.items()), title="sandbox started"), public)


def _is_secret(name: str) -> bool:
    """Return whether a value of the sandbox's first line is a key, by its name."""
    return name.endswith(("key", "token", "secret", "password"))


def _stop(session: Session) -> CommandResult:
    unfinished = [job for job in session.running_jobs() if job.record.provider == "sandbox"]
    was_running = session.connection.sandbox is not None and session.connection.sandbox.is_running
    was_used = session.connection.leave_sandbox(tells=False)
    url = show_url(session.settings.rest_url)
    if not was_used:
        sentence = f"This session uses no sandbox of its own. The service is {url}."
        return CommandResult({"text/plain": sentence}, {"running": False, "rest_url": url})
    key = session.settings.api_key
    whose = f"with the key from {key.source}" if key is not None else "and there is no key yet: run `login`"
    start = "The sandbox was stopped." if was_running else "The sandbox had already ended."
    sentence = f"{start} The service is {url} again, {whose}."
    if unfinished:
        count = f"{len(unfinished)} run{'' if len(unfinished) == 1 else 's'}"
        sentence += f" {count} of the sandbox did not finish. To collect them, start it again, then run `resume`."
    written = {"running": False, "rest_url": url, "unfinished": len(unfinished)}
    return CommandResult({"text/plain": sentence}, written)
