"""How the commands of useapi.net ask the service, and how they shorten personal data."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from ....loop import background_loop, wait
from ..accounts import check_email
from ..protocol import shorten_account
from ..provider import UseApiProvider

if TYPE_CHECKING:
    from ....session import Session
    from ..client import UseApi

__all__ = [
    "MOST_LISTED",
    "NO_ACCOUNTS",
    "add_account_option",
    "add_full_option",
    "ask",
    "emails_of",
    "format_time",
    "shown_email",
]

T = TypeVar("T")

MOST_LISTED = 50


def ask(session: Session, question: Callable[[UseApi], Coroutine[Any, Any, T]]) -> T:
    """Ask useapi.net something that costs nothing.

    Raises:
        ConfigError: There is no token, or replay mode sends nothing.
        TaskError: The service refused it.
        TransportError: The service cannot be reached.
    """
    session.require_key("useapi")
    provider = session.provider("useapi")
    assert isinstance(provider, UseApiProvider)
    return wait(background_loop().submit(question(provider.client)))


def shown_email(email: str, options: argparse.Namespace) -> str:
    """Return an e-mail as a list shows it: whole only if the line has `--full`."""
    return email if getattr(options, "full", False) else shorten_account(email)


def format_time(seconds: float | None) -> str:
    """Format a time in UTC; an empty text if it is unknown or out of range."""
    if seconds is None:
        return ""
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, OSError, ValueError):
        return ""


def add_full_option(parser: argparse.ArgumentParser) -> None:
    """Declare `--full`."""
    parser.add_argument("--full", action="store_true", help="show whole e-mails and ids, which are personal data")


def add_account_option(parser: argparse.ArgumentParser) -> None:
    """Declare `--account`."""
    parser.add_argument("--account", metavar="EMAIL", help="only those of this account")


async def emails_of(client: UseApi, only: str | None) -> list[str]:
    """Return the accounts that a list is about. Lists of the service are about one account each."""
    return [check_email(only)] if only else [account.email for account in await client.accounts()]


NO_ACCOUNTS = "useapi.net stores no Runway account for you. `account add EMAIL` adds one."
