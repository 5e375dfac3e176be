"""status: connection, balance, log, disk."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, RunwareNBError
from ..loop import background_loop, wait
from ..runlog.spending import budgets_of
from ..view.results import format_usd
from ..view.table import render_facts
from .base import Answer
from .cost import budget_line

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "say what is connected, what is left to spend, and where things are"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare no arguments."""


def run(session: Session, options: argparse.Namespace) -> Answer:  # noqa: ARG001 - every command has them
    """Look everywhere; what cannot be reached is said, and is no failure of its own."""
    facts: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    try:
        facts["key"] = f"from {session.require_key().source}"
        facts["service"] = f"{session.settings.service} ({session.settings.rest_url})"
        facts["transport"] = session.connect()
        account = wait(background_loop().submit(session.client().account()))
        balance = account.get("balance")
        amount = balance.get("amount") if isinstance(balance, dict) else balance
        facts["balance"] = format_usd(float(amount)) if isinstance(amount, int | float) else "unknown"
    except ConfigError as error:
        facts["key"] = "none"
        notes = (str(error),)
    except RunwareNBError as error:
        facts["connection"] = f"{type(error).__name__}: {error}"
    log = session.log
    size = "" if session.settings.log_url else f" ({_size_of_log(session.settings.home) / 1e6:.1f} MB)"
    facts["log"] = f"{log.name}{size}"
    facts["mode"] = session.settings.mode
    with log.reading() as connection:
        facts |= {line.partition(":")[0]: line.partition(": ")[2] for line in map(budget_line, budgets_of(connection))}
    facts["runs"] = f"{log.count()}, {len(log.pending())} unfinished"
    facts["images"] = f"{session.media.folder} ({_size_of(session.media.folder) / 1e6:.1f} MB)"
    notes += tuple(session.take_notices())
    return Answer(render_facts(list(facts.items())), facts, notes, is_failure="connection" in facts)


def _size_of_log(home: Path) -> int:
    return sum(path.stat().st_size for path in home.glob("runs.sqlite*")) + _size_of(home / "thumbnails")


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
