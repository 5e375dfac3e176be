"""The process: options, key, ready line, server, and the end with the parent."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import secrets
import socket
import sys
import textwrap
import threading
from collections.abc import Mapping
from pathlib import Path

import uvicorn

from .app import make_app
from .clock import Clock
from .connections import CutConnection
from .service import Options, Service

__all__ = ["build_parser", "run"]

_SCRIPT = """A script is one fault or an array of them. Each has a kind and may have: on (the task type that it waits
for; any inference by default), skip (tasks that pass first), count (tasks that are hit), rate (0 to 1). Example:
  --faults '[{"kind": "drip", "seconds": 2}, {"kind": "odd", "what": "cost", "value": -5, "rate": 0.1}]'"""
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def run(
    services: Mapping[str, type[Service]],
    arguments: list[str] | None = None,
) -> int:
    """Run services on one port until interrupted. The first line on stdout contains their URLs and the key.

    Args:
        services: The services by name. `--faults`, `--behaviour`, `--balance-usd` and the top of `--state-dir` belong
            to the first one. The others have the default balance and a subfolder with their name, and are set through
            their control endpoints.
        arguments: Options of the command line; None takes those of this process.

    Returns:
        0 at the end, 1 if the port is taken, 2 for an invalid argument.
    """
    default = next(iter(services))
    options = build_parser(services[default]).parse_args(arguments)
    if options.host not in _LOOPBACK:
        print(
            f"sandbox: --host {options.host} refused; it listens on this machine only (127.0.0.1)",
            file=sys.stderr,
        )
        return 2
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        print(
            f"sandbox: port {options.port} cannot be used ({reason}); try --port 0 for a free one",
            file=sys.stderr,
        )
        return 1
    key = _key(options.key_file)
    running = [
        service(_options_of(options, key, "" if name == default else name)) for name, service in services.items()
    ]
    try:
        running[0].faults.load(options.faults)
        running[0].set_behaviour(json.loads(options.behaviour))
    except (ValueError, TypeError, AttributeError) as error:
        print(f"sandbox: --faults or --behaviour: {error}", file=sys.stderr)
        return 2
    _announce(running, listener, key)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(running, listener, watches_parent=options.watch_stdin))
    return 0


def _options_of(options: argparse.Namespace, key: str, folder: str) -> Options:
    """Build the options of a service. The default service has no folder of its own, and the balance that was given."""
    common = Options(api_key=key, clock=Clock(options.time_scale), latency_s=options.latency_s, seed=options.seed)
    state_dir = options.state_dir / folder if options.state_dir is not None else None
    if folder:
        return dataclasses.replace(common, state_dir=state_dir)
    return dataclasses.replace(common, state_dir=state_dir, balance=options.balance_usd)


def build_parser(default: type[Service]) -> argparse.ArgumentParser:
    """Build the parser of the options. The help lists the faults of the default service."""
    kinds = "\n".join(textwrap.indent(textwrap.fill(f"{kind}: {effect}", 100, subsequent_indent="    "), "  ")
                      for kind, effect in default.fault_table.kinds.items())  # fmt: skip
    parser = argparse.ArgumentParser(
        prog="runware-nb sandbox",
        description="A local service to try things on.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"Kinds of faults, and their options:\n{kinds}\n\n{_SCRIPT}",
    )
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port; 0 takes a free one")
    parser.add_argument("--latency-s", type=float, help="seconds that a task takes; by default, 0 for Runware")
    parser.add_argument("--seed", type=int, default=0, help="decides what requests leave open")
    parser.add_argument("--faults", default="", help="script of faults, as JSON, or chaos:RATE for a mix of all")
    parser.add_argument("--behaviour", default="{}", help="switches where sources disagree, as JSON")
    parser.add_argument("--key-file", type=Path, help="file that keeps the key for the next start")
    parser.add_argument("--state-dir", type=Path, help="folder for what outlives the process")
    parser.add_argument("--balance-usd", type=float, default=100.0, help="what the account holds at the start")
    parser.add_argument("--time-scale", type=float, default=1.0, help="protocol seconds in a real one, for tests")
    parser.add_argument("--watch-stdin", action="store_true", help="end when stdin does, as a parent's death shows")
    return parser


def _key(file: Path | None) -> str:
    """Return a new key, or the one that an earlier start left in a file that only its owner may read."""
    if file is not None and file.exists():
        return file.read_text().strip()
    key = f"sandbox-{secrets.token_hex(16)}"
    if file is not None:
        file.touch(mode=0o600)
        file.write_text(key)
    return key


def _announce(services: list[Service], listener: socket.socket, key: str) -> None:
    """Listen, and print the ready line."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    line: dict[str, str | int | None] = {}
    for service in services:
        service.base_url = f"http://{shown}:{port}"
        line |= service.urls()
    line |= {"api_key": key, "pid": os.getpid()}
    listener.listen(2048)
    print(json.dumps(line), flush=True)


async def _serve(services: list[Service], listener: socket.socket, *, watches_parent: bool) -> None:
    config = uvicorn.Config(
        make_app(services),
        log_level="critical",
        access_log=False,
        lifespan="off",
        ws_max_size=64 * 1024 * 1024,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=0,
    )
    server = uvicorn.Server(config)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_quiet_cuts)
    if watches_parent:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    for service in services:
        service.start()
    await server.serve(sockets=[listener])


def _end_with_stdin() -> None:
    """End at once when the parent is gone: its end of the pipe closes even when it is killed."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    os._exit(0)


def _quiet_cuts(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    if not isinstance(context.get("exception"), CutConnection):
        loop.default_exception_handler(context)
