"""webhook: receive the callbacks of services, so that waits for their tasks end sooner."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import MagicUsageError
from ..providers.webhook import CallbackReport, Receiver
from ..remedies import Option, Remedy, command
from .base import CommandResult

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "receive callbacks of services, so that waits for their tasks end sooner"

_MOST_SHOWN = 10
_START = Remedy("{0} starts to receive them.", (command("webhook", port="8766"),))
_PUBLISH = Remedy(
    "Only programs on this machine reach this URL. For a service on the internet, start a tunnel or a reverse proxy to "
    "the port, and pass its URL with {0}.",
    (Option("public_url", "URL"),),
)
_SAVED_SECRET = Remedy(
    "Lines are saved and shared, so a webhook secret does not belong on one, and neither does any other word here. "
    "No receiver was started. Delete it from the line. Set an environment variable to the secret, and pass the name of "
    "the variable with {0}.",
    (Option("secret_env", "NAME"),),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    # Anything else on the line is taken for a secret and refused, without repeating it.
    parser.add_argument("rest", nargs="*", metavar="", help=argparse.SUPPRESS)
    parser.add_argument("--secret", nargs="*", metavar="", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, metavar="P", help="start to receive on this port; 0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--public-url", metavar="URL", help="URL of a tunnel or a reverse proxy to the port")
    parser.add_argument(
        "--service", action="append", default=[], metavar="NAME",
        help="receive callbacks of this service only, such as runkey (default: all that are configured); repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--secret-env", action="extend", nargs="+", default=[], metavar="NAME",
        help="environment variables with the secrets that sign callbacks, in place of those of the services; several "
        "while a secret is being replaced",
    )  # fmt: skip
    parser.add_argument("--stop", action="store_true", help="stop receiving")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Start to receive callbacks, stop, or show what was received.

    The receiver runs on the background loop of this process and ends with the session. A terminal goes on with the
    reports of the answer until Ctrl-C.

    Raises:
        MagicUsageError: The line contains another word, which may be a secret.
        ConfigError: The port cannot be used, a secret is missing, or no service has callbacks.
    """
    if options.rest or options.secret is not None:
        raise MagicUsageError("`webhook` does not accept this line.").with_remedy(_SAVED_SECRET)
    if options.stop:
        was_running = session.callbacks.stop()
        sentence = "Callbacks are no longer received." if was_running else "This session did not receive callbacks."
        return CommandResult({"text/plain": f"{sentence} Runs still end by polling."}, {"running": False})
    if options.port is None:
        return _state(session)
    receiver = session.callbacks.start(
        port=options.port, host=options.host, public_url=options.public_url, secret_variables=options.secret_env,
        services=options.service,
    )  # fmt: skip
    written = {"running": True, **_facts(receiver)}
    notes = (*session.callbacks.left_out, *(() if receiver.is_public else (session.front_end.remedy(_PUBLISH),)))
    return CommandResult(
        {"text/plain": "\n".join(_lines(receiver))}, written, notes, value=receiver, stream=_reports(session)
    )


def _state(session: Session) -> CommandResult:
    receiver = session.callbacks.receiver
    if receiver is None:
        sentence = f"This session does not receive callbacks. {session.front_end.remedy(_START)}"
        return CommandResult({"text/plain": sentence}, {"running": False})
    newest = receiver.reports[-_MOST_SHOWN:]
    total = sum(receiver.counts.values())
    counts = ", ".join(f"{count} {outcome}" for outcome, count in receiver.counts.items())
    lines = [*_lines(receiver), f"{total} callback{'' if total == 1 else 's'}{f': {counts}' if counts else ''}"]
    written = {"running": True, **_facts(receiver), "counts": dict(receiver.counts), "newest": [*map(_json, newest)]}
    text = "\n".join([*lines, *(report.line for report in newest)])
    return CommandResult({"text/plain": text}, written, session.callbacks.left_out, value=receiver)


def _reports(session: Session) -> Iterator[tuple[str, Any]]:
    """Yield each report as text and as JSON, and stop receiving when the reader ends."""
    try:
        for report in session.callbacks.follow():
            yield report.line, _json(report)
    finally:
        session.callbacks.stop()


def _lines(receiver: Receiver) -> list[str]:
    lines = [f"Receiving callbacks on {receiver.local_url}."]
    return [*lines, *(f"URL to give to {service}: {receiver.url_of(service)}" for service in receiver.services)]


def _facts(receiver: Receiver) -> dict[str, Any]:
    urls = {service: receiver.url_of(service) for service in receiver.services}
    return {"url": receiver.local_url, "callback_urls": urls}


def _json(report: CallbackReport) -> dict[str, Any]:
    return {
        "service": report.service,
        "outcome": report.outcome,
        "status": report.status,
        "event": report.event,
        "task_ids": list(report.shown_ids),
        "reason": report.reason,
    }
