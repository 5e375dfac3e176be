"""Start the sandbox: `python -m runware_nb.sandbox`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import socket
import sys
import textwrap
import threading
from pathlib import Path

import uvicorn

from .core.clock import Clock
from .runware.app import make_app
from .runware.delivery import CutConnection
from .runware.faults import KINDS
from .runware.service import Service

__all__ = ["main"]

_SCRIPT = """A script is one fault or an array of them. Each has a kind and may have: on (the task type that it waits
for; any inference by default), skip (tasks that pass first), count (tasks that are hit), rate (0 to 1). Example:
  --faults '[{"kind": "drip", "seconds": 2}, {"kind": "odd", "what": "cost", "value": -5, "rate": 0.1}]'"""
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def main(arguments: list[str] | None = None) -> int:
    """Run until interrupted; the first line on stdout tells where everything is.

    Returns:
        0 at the end, 1 when the port is taken, 2 for a wrong argument.
    """
    options = _parser().parse_args(arguments)
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
    service = Service(
        api_key=_key(options.key_file),
        clock=Clock(options.time_scale),
        latency_s=options.latency_s,
        seed=options.seed,
        state_dir=options.state_dir,
        balance_usd=options.balance_usd,
    )
    try:
        service.faults.load(options.faults)
        service.behaviour = service.behaviour.with_values(json.loads(options.behaviour))
    except (ValueError, TypeError, AttributeError) as error:
        print(f"sandbox: --faults or --behaviour: {error}", file=sys.stderr)
        return 2
    _announce(service, listener)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(service, listener, watches_parent=options.watch_stdin))
    return 0


def _parser() -> argparse.ArgumentParser:
    kinds = "\n".join(textwrap.indent(textwrap.fill(f"{kind}: {effect}", 100, subsequent_indent="    "), "  ")
                      for kind, effect in KINDS.items())  # fmt: skip
    parser = argparse.ArgumentParser(
        prog="runware-nb sandbox",
        description="A local service to try things on.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"Kinds of faults, and their options:\n{kinds}\n\n{_SCRIPT}",
    )
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port; 0 takes a free one")
    parser.add_argument("--latency-s", type=float, default=0.0, help="seconds that an image takes")
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
    """Draw a key; or take the one that an earlier start left in a file, readable by its owner only."""
    if file is not None and file.exists():
        return file.read_text().strip()
    key = f"sandbox-{secrets.token_hex(16)}"
    if file is not None:
        file.touch(mode=0o600)
        file.write_text(key)
    return key


def _announce(service: Service, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    base = f"http://{shown}:{port}"
    service.base_url = base
    line = {
        "rest_url": f"{base}/v1",
        "ws_url": f"ws://{shown}:{port}/v1",
        "media_url": f"{base}/media",
        "schemas_url": f"{base}/schemas",
        "runkey_url": None,
        "useapi_url": None,
        "api_key": service.api_key,
        "pid": os.getpid(),
    }
    listener.listen(2048)
    print(json.dumps(line), flush=True)


async def _serve(service: Service, listener: socket.socket, *, watches_parent: bool) -> None:
    config = uvicorn.Config(
        make_app(service),
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


if __name__ == "__main__":
    sys.exit(main())
