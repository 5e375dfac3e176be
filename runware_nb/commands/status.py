"""status: connection, balance, log, disk."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.amounts import parse_amount
from ..core.redaction import show_url
from ..errors import AuthenticationFailed, ConfigError, RunwareNBError
from ..loop import background_loop, wait
from ..present.results import format_usd
from ..present.table import render_facts
from ..providers.registry import packages
from ..remedies import Remedy, command
from ..runlog.spending import budgets_of
from .base import CommandResult
from .cost import budget_line

if TYPE_CHECKING:
    from ..runlog import RunLog
    from ..session import Session

_LOOKED_AT = 2000
"""Runs that are looked at for damage: a fifth of a second."""
_MOST_NAMED = 5
SUMMARY = "show the connection, the balance, and where log and images are"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare no arguments."""


def run(session: Session, options: argparse.Namespace) -> CommandResult:  # noqa: ARG001 - every command has them
    """Show everything that can be found out; what cannot be reached is reported and does not end the command."""
    facts: dict[str, Any] = {}
    notes: list[str] = []
    _add_connection(session, facts, notes)
    _add_other_services(session, facts)
    facts["mode"] = session.settings.mode
    try:
        log = session.log
        size = "" if session.settings.log_url else f" ({_size_of_log(session.settings.home) / 1e6:.1f} MB)"
        facts["log"] = f"{log.name}{size}"
        with log.reading() as connection:
            lines = map(budget_line, budgets_of(connection))
            facts |= {line.partition(":")[0]: line.partition(": ")[2] for line in lines}
        facts["runs"] = f"{log.count()}, {len(log.pending())} unfinished"
        damaged = _damaged(session, log)
        if damaged:
            facts["damaged"] = damaged
        facts["images"] = f"{session.media.folder} ({_size_of(session.media.folder) / 1e6:.1f} MB)"
    except ConfigError as error:  # a setting that could not be read
        notes.append(session.front_end.message(error))
    notes += [problem.sentence for problem in session.settings.problems]
    notes += session.connection.take_notices()
    return CommandResult(
        render_facts(list(facts.items())), facts, tuple(dict.fromkeys(notes)), is_failure="connection" in facts
    )


def _add_connection(session: Session, facts: dict[str, Any], notes: list[str]) -> None:
    """Add key, service, transport and balance; transport and balance only as the service confirmed them."""
    facts["key"] = "none"
    try:
        session.require_key()
    except ConfigError as error:
        notes.append(session.front_end.message(error))
        if session.settings.api_key is not None:
            facts["key"] = f"from {session.settings.api_key.source}, not checked"
        return
    except RunwareNBError as error:
        facts["connection"] = f"{type(error).__name__}: {session.front_end.message(error)}"
    key = session.settings.api_key
    source = "none" if key is None else f"from {key.source}"
    facts["key"] = f"{source}, not checked"
    facts["service"] = f"{session.settings.service} ({show_url(session.settings.rest_url)})"
    if "connection" in facts:
        return
    try:
        facts["transport"] = session.connect()
        facts["key"] = f"{source}, accepted"
        account = wait(background_loop().submit(session.client().account()))
        balance = account.get("balance")
        known = parse_amount(balance.get("amount") if isinstance(balance, dict) else balance)
        facts["balance"] = "unknown" if known is None else format_usd(known)
    except AuthenticationFailed as error:
        facts["key"] = f"{source}, refused"
        facts["connection"] = f"{type(error).__name__}: {session.front_end.message(error)}"
    except RunwareNBError as error:
        facts["connection"] = f"{type(error).__name__}: {session.front_end.message(error)}"


def _add_other_services(session: Session, facts: dict[str, Any]) -> None:
    """Add the other services that have a key. None of them is asked: their own commands do that."""
    for package in packages():
        if package.build is None or not package.secrets:
            continue
        # A provider is not built for this: it may load much, and has its own notices.
        sandbox = session.connection.sandbox
        with contextlib.suppress(ConfigError):
            key = session.connection.secret(package.secrets[0]) if sandbox is None else None
            if key is not None:
                facts[package.name] = f"key from {key.source}, not checked"
            elif sandbox is not None and sandbox.secret(package.secrets[0]) is not None:
                facts[package.name] = "the sandbox's key"


def _damaged(session: Session, log: RunLog) -> str:
    """Count the runs that cannot be read; in a large log among the newest, so that this takes a moment only."""
    rows = log.find_damaged(newest=_LOOKED_AT)
    if not rows:
        return ""
    names = ", ".join(f"row:{row.number}" for row in rows[:_MOST_NAMED]) + (", ..." if len(rows) > _MOST_NAMED else "")
    among = f" among the newest {_LOOKED_AT:,}" if log.count() > _LOOKED_AT else ""
    noun = "run" if len(rows) == 1 else "runs"
    remedy = Remedy("{0} removes one.", (command("forget", f"row:{rows[0].number}"),))
    return f"{len(rows)} {noun}{among} cannot be read ({names}). {session.front_end.remedy(remedy)}"


def _size_of_log(home: Path) -> int:
    return sum(path.stat().st_size for path in home.glob("runs.sqlite*")) + _size_of(home / "thumbnails")


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
