"""sandbox: a local service to try things on, without a key and for nothing."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..session.local_sandbox import LocalSandbox
from ..view.table import render_facts
from .base import Answer

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "start a local service that paints for nothing, and use it from here on"

_running: LocalSandbox | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--port", type=int, default=0, help="port; 0 takes a free one")
    parser.add_argument("--latency-s", type=float, default=0.0, metavar="S", help="seconds that an image takes")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="decides what requests leave open")
    parser.add_argument("--faults", default="", metavar="JSON", help="script of faults")
    parser.add_argument("--stop", action="store_true", help="end it")


def run(session: Session, options: argparse.Namespace) -> Answer:
    """Start it as a child of this process; one at a time."""
    global _running  # noqa: PLW0603 - one sandbox per process is the point
    if session.settings.mode == "replay" and not options.stop:
        said = "replay mode: no sandbox is started; everything is answered from the log"
        return Answer({"text/plain": said}, {"running": False})
    if _running is not None:
        _running.stop()
        _running = None
    if options.stop:
        return Answer({"text/plain": "the sandbox has ended"}, {"running": False})
    arguments = ["--port", str(options.port), "--latency-s", str(options.latency_s), "--seed", str(options.seed)]
    if options.faults:
        arguments += ["--faults", options.faults]
    _running = LocalSandbox(arguments, state_dir=session.settings.home / "sandbox")
    session.configure(**_running.values)
    facts = {"service": "sandbox (local, costs nothing)", "address": _running.info["rest_url"]}
    public = {name: value for name, value in _running.info.items() if name != "api_key"}
    return Answer(render_facts(list(facts.items()), title="sandbox started"), public)
