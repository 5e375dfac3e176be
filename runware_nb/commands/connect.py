"""connect: set endpoints, and have the service confirm the key."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..core.redaction import show_url
from ..present.table import render_facts
from .base import CommandResult

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "connect now, and have the service confirm the key"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--transport", choices=["websocket", "rest"], help="how to talk to the service")
    parser.add_argument("--rest-url", metavar="URL", help="URL for REST; ends the use of the sandbox")
    parser.add_argument("--ws-url", metavar="URL", help="URL for WebSocket; ends the use of the sandbox")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Connect, and report only what the service confirmed.

    Raises:
        ConfigError: There is no key, or a value is invalid.
        AuthenticationFailed: The service refused the key.
        TransportError: The service cannot be reached.
    """
    session.configure(transport=options.transport, rest_url=options.rest_url, ws_url=options.ws_url)
    key = session.connection.require_key()
    transport = session.connect()
    url = show_url(session.settings.rest_url if transport == "rest" else session.settings.ws_url)
    facts = {"transport": transport, "service": f"{session.settings.service} ({url})",
             "key": f"from {key.source}, accepted"}  # fmt: skip
    bundle = render_facts(list(facts.items()), title="connected")
    return CommandResult(bundle, facts, notes=tuple(session.connection.take_notices()))
