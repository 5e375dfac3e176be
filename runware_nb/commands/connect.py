"""connect: key and endpoints, and whether they work."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..view.table import render_facts
from .base import Answer

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "connect now, and say over what and with whose key"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--transport", choices=["websocket", "rest"], help="how to talk to the service")
    parser.add_argument("--rest-url", metavar="URL", help="address for REST")
    parser.add_argument("--ws-url", metavar="URL", help="address for WebSocket")


def run(session: Session, options: argparse.Namespace) -> Answer:
    """Connect."""
    session.configure(transport=options.transport, rest_url=options.rest_url, ws_url=options.ws_url)
    key = session.require_key()
    transport = session.connect()
    facts = {"transport": transport, "service": session.settings.service, "key": f"from {key.source}"}
    bundle = render_facts(list(facts.items()), title="connected")
    return Answer(bundle, facts, notes=tuple(session.take_notices()))
