"""Commands for the Runway accounts that useapi.net stores, and for their credits."""

from __future__ import annotations

import argparse
import getpass
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....commands.arguments import whole_number
from ....commands.base import Command, CommandResult
from ....core.redaction import known_secrets
from ....engine.consent import confirm
from ....errors import (
    ArgumentInvalid,
    ConfigError,
    MagicUsageError,
    RunwareNBError,
    TaskNotFound,
)
from ....present.table import Table, render_facts, render_table
from ....remedies import Remedy
from ....settings import text_of_variable
from ..accounts import MOST_JOBS, RECOMMENDED_JOBS, Password, UseApiAccount, check_email, check_max_jobs
from ..package import RUNWAY_PASSWORD
from ..protocol import Features, shorten_accounts
from .asking import NO_ACCOUNTS, add_account_option, add_full_option, ask, format_time, shown_email

if TYPE_CHECKING:
    from ....session import Session
    from ..client import UseApi

__all__ = ["Account", "Accounts", "Credits", "account_rows", "explain_state", "read_accounts"]

_REFUSAL = (
    "A password must not be on a line or in a cell, because both are saved and shared. Nothing was sent. Delete it "
    "from the line. If the notebook or the history of a shell was shared, change the password at Runway. Without an "
    "option, `account add EMAIL` asks for it at a hidden prompt; --password-env NAME and --password-file FILE read it "
    "from elsewhere."
)


def explain_state(account: UseApiAccount, running: int) -> tuple[str, str]:
    """Return the state of an account in one word or two, and what the user can do about it."""
    if account.error is not None:
        said = account.error.strip().rstrip(".")
        return "error", (
            f"{said}. The account serves no task until it is added again with its password (`account add`)."
        )
    if account.max_jobs is not None and running >= account.max_jobs:
        return "busy", "All its slots are in use. Further tasks wait, or run on another account."
    return "ready", ""


def account_rows(
    accounts: Sequence[UseApiAccount],
    running: Mapping[str, int],
    credits_left: Mapping[str, float | None] | None = None,
) -> list[dict[str, Any]]:
    """Return what is shown of each account. The e-mail is whole: the caller shortens it where it is displayed."""
    rows = []
    for account in accounts:
        state, advice = explain_state(account, running.get(account.email, 0))
        row = {
            "account": account.email, "state": state, "running": running.get(account.email, 0),
            "max_jobs": account.max_jobs, "session_expires_utc": format_time(account.session_expires_at),
            "advice": advice,
        }  # fmt: skip
        if credits_left is not None:
            row["credits"] = credits_left.get(account.email)
        rows.append(row)
    return rows


async def read_accounts(client: UseApi) -> tuple[list[UseApiAccount], Counter[str]]:
    """Return the accounts, and how many tasks useapi.net tracks for each."""
    accounts = await client.accounts()
    tracked = await client.scheduler() if accounts else []
    return accounts, Counter(task.account for task in tracked if task.account is not None)


async def _credits(client: UseApi, accounts: Sequence[UseApiAccount]) -> dict[str, Features | str]:
    """Return the plan of each account, or why it could not be read."""
    found: dict[str, Features | str] = {}
    for account in accounts:
        if account.error is not None:
            found[account.email] = account.error
            continue
        try:
            found[account.email] = await client.features(account.email)
        except RunwareNBError as error:
            found[account.email] = error.problem
    return found


class Accounts:
    """`accounts`: the Runway accounts that useapi.net stores."""

    SUMMARY = "list the Runway accounts: state, jobs running of maximum, expiry of the session"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add_full_option(parser)
        parser.add_argument("--credits", action="store_true", help="ask for the credits of each account too")

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:
        """List them."""

        async def read(client: UseApi) -> Any:
            accounts, running = await read_accounts(client)
            return accounts, running, await _credits(client, accounts) if options.credits else None

        accounts, running, plans = ask(session, read)
        left = None if plans is None else {
            email: plan.credits_left if isinstance(plan, Features) else None for email, plan in plans.items()
        }  # fmt: skip
        short = shorten_accounts(account.email for account in accounts)
        rows = account_rows(accounts, running, left)
        if not options.full:
            rows = [{**row, "account": short[row["account"]]} for row in rows]
        columns = ["account", "state", "jobs", "session expires (UTC)", *(["credits"] if plans is not None else [])]
        cells = [
            [
                row["account"], row["state"], f"{row['running']} of {row['max_jobs'] or '?'}",
                row["session_expires_utc"], *([_number(row["credits"])] if plans is not None else []), row["advice"],
            ]
            for row in rows
        ]  # fmt: skip
        table = Table([*columns, "what to do"], cells, empty=NO_ACCOUNTS)
        return CommandResult(render_table(table), rows, value=accounts, is_failure=not rows)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.10g}"


class Account:
    """`account add|remove|show EMAIL`."""

    SUMMARY = "add, update, show or remove a Runway account"
    flags_by_parameter: Mapping[str, Sequence[str]] = {"max_jobs": ("--max-jobs",)}

    @classmethod
    def for_words(cls, words: Sequence[str]) -> Command:
        """Refuse a line that contains a password, before anything can repeat it.

        Raises:
            MagicUsageError: A word can only be a password. The message does not repeat it.
        """
        plain: list[str] = []
        passwords: list[str] = []
        names_password = takes_value = takes_password = False
        for word in words:
            name, equals, value = word.partition("=")
            is_flag = name in _WITH_VALUE or name in _OF_PASSWORDS or word in _PLAIN_FLAGS
            if takes_password and not is_flag:
                passwords.append(word)
            elif takes_value:
                takes_value = False
                continue
            elif name in _OF_PASSWORDS:
                names_password, takes_password = True, not equals
                passwords.append(value)
                continue
            elif name in _WITH_VALUE:
                takes_value = not equals
            elif not word.startswith("-"):
                plain.append(word)
            takes_password = False
        if names_password or len(plain) > 2:
            _refuse_passwords([*passwords, *(word for word in plain[1:] if not _is_email(word))], plain)
        return cls()

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("action", choices=["add", "remove", "show"], help="what to do")
        parser.add_argument("email", metavar="EMAIL", help="the e-mail with which you sign in at Runway")
        parser.add_argument(
            "--max-jobs", type=whole_number, metavar="N",
            help=f"with add: most tasks at a time, 1 to {MOST_JOBS} (default {RECOMMENDED_JOBS})",
        )  # fmt: skip
        parser.add_argument("--password-env", metavar="NAME", help="with add: environment variable of the password")
        parser.add_argument("--password-file", metavar="FILE", help="with add: file whose first line is the password")
        parser.add_argument("--credits", action="store_true", help="with show: ask for the credits too")
        parser.add_argument("--yes", action="store_true", help="with remove: do not ask")
        add_full_option(parser)

    def run(self, session: Session, options: argparse.Namespace) -> CommandResult:
        """Do it.

        Raises:
            MagicUsageError: The e-mail or an option is invalid. Nothing was sent.
            ConfigError: This session cannot ask for the password.
            NotConfirmed: The user did not agree to the removal. Nothing was changed.
        """
        email = _email(options.email, is_new=options.action == "add")
        if options.action == "add":
            return _add_to(session, email, options)
        given = {"--max-jobs": options.max_jobs, "--password-env": options.password_env,
                 "--password-file": options.password_file}  # fmt: skip
        for flag, value in given.items():
            if value is not None:
                raise MagicUsageError(
                    f"{flag} belongs to `account add`, and not to {options.action}. Nothing was sent."
                )
        return (_remove if options.action == "remove" else _show)(session, email, options)


_WITH_VALUE = frozenset({"--max-jobs", "--password-env", "--password-file"})
_PLAIN_FLAGS = frozenset({"--credits", "--yes", "--full", "-h", "--help"})
_OF_PASSWORDS = frozenset({"--password", "--pass", "--pw", "-p"})
"""Options that do not exist, and that a user may try."""


def _refuse_passwords(passwords: Sequence[str], plain: Sequence[str]) -> None:
    """Refuse a line with a password. It is redacted from now on, because it stays in the cell that was run.

    What a correct line contains is never registered: each later line with the same e-mail or option would be refused.
    """
    needed = [*plain[:1], *filter(_is_email, plain), *_WITH_VALUE, *_PLAIN_FLAGS]
    for password in passwords:
        if not any(password in word for word in needed):
            known_secrets.add(password)
    raise MagicUsageError(_REFUSAL)


def _is_email(word: str) -> bool:
    try:
        check_email(word, is_new=True)
    except ArgumentInvalid:
        return False
    return True


def _email(typed: str, *, is_new: bool) -> str:
    try:
        return check_email(typed, is_new=is_new)
    except ArgumentInvalid as error:
        raise MagicUsageError(
            f"Invalid e-mail {typed!r}: expected the e-mail of a Runway account, such as me@example.com, "
            "with one @ and a dot after it, and without blanks, /, ?, #, % and characters outside ASCII. Nothing was "
            "sent."
        ) from error


def _password(options: argparse.Namespace) -> Password:
    """Return the password from where the line states that it is, else from a hidden prompt.

    Raises:
        MagicUsageError: It is not there. The message does not repeat what was typed, which may be the password.
        ConfigError: This session cannot ask.
    """
    if options.password_env is not None and options.password_file is not None:
        raise MagicUsageError("Use either --password-env or --password-file, not both. Nothing was sent.")
    if options.password_env is not None:
        value = text_of_variable(options.password_env)
        if value is None:
            raise MagicUsageError(
                "The environment variable of --password-env is not set, or is empty. The option takes the name of a "
                f"variable, such as {RUNWAY_PASSWORD.variable}, and not the password. Nothing was sent."
            )
        return Password(value, options.password_env)
    if options.password_file is not None:
        try:
            lines = Path(options.password_file).expanduser().read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
            raise MagicUsageError(
                f"The file of --password-file cannot be read ({reason}). The option takes the path of a file, and not "
                "the password. Nothing was sent."
            ) from None
        if not lines or not lines[0]:
            raise MagicUsageError("The first line of the file of --password-file is empty. Nothing was sent.")
        return Password(lines[0], "a file")
    try:
        typed = getpass.getpass(f"{RUNWAY_PASSWORD.label} (not shown): ")
    except Exception as error:  # EOF in a terminal, StdinNotImplementedError in nbclient
        raise ConfigError(
            "This session cannot ask for the password. Use --password-env NAME or --password-file FILE. Nothing was "
            "sent."
        ) from error
    if not typed:
        raise MagicUsageError("The password is empty. Nothing was sent.")
    return Password(typed, "the prompt")


def _max_jobs(value: int | None) -> int:
    try:
        return check_max_jobs(RECOMMENDED_JOBS if value is None else value)
    except ArgumentInvalid as error:
        raise MagicUsageError(
            f"Invalid --max-jobs {value}: expected an integer from 1 to {MOST_JOBS} ({RECOMMENDED_JOBS} is "
            "recommended). Nothing was sent."
        ) from error


def _add_to(session: Session, email: str, options: argparse.Namespace) -> CommandResult:
    max_jobs = _max_jobs(options.max_jobs)
    session.require_key("useapi")  # before the password is asked for
    password = _password(options)
    account = ask(session, lambda client: client.save_account(email, password, max_jobs))
    sentence = (
        f"useapi.net stores the account {shown_email(account.email, options)}: Runway accepted the password, and at "
        f"most {account.max_jobs or max_jobs} tasks run at a time. The password was not stored here."
    )
    if account.session_expires_at is not None:
        sentence += f" Its session lasts until {format_time(account.session_expires_at)} UTC."
    row = {**account_rows([account], {})[0], "account": shown_email(account.email, options)}
    return CommandResult({"text/plain": sentence}, row, value=account)


def _remove(session: Session, email: str, options: argparse.Namespace) -> CommandResult:
    shown = shown_email(email, options)
    if not options.yes:
        session.require_key("useapi")
        confirm(
            session.front_end,
            f"The account {shown} will be removed from useapi.net, with the password that is stored there. Its running "
            "tasks may go on. The account at Runway stays.",
            verb="Remove it", undone="Nothing was changed.", remedy=Remedy("Add --yes to agree."),
        )  # fmt: skip
    was_there = ask(session, lambda client: client.delete_account(email))
    sentence = f"The account {shown} was removed from useapi.net." if was_there else (
        f"useapi.net stores no account {shown}. Nothing was changed."
    )  # fmt: skip
    return CommandResult({"text/plain": sentence}, {"account": shown, "removed": was_there}, is_failure=not was_there)


def _show(session: Session, email: str, options: argparse.Namespace) -> CommandResult:
    async def read(client: UseApi) -> Any:
        account = await client.account(email)
        running = sum(task.account == email for task in await client.scheduler())
        return account, running, (await _credits(client, [account]))[email] if options.credits else None

    try:
        account, running, plan = ask(session, read)
    except TaskNotFound as error:
        raise MagicUsageError(
            f"useapi.net stores no account {shown_email(email, options)}. `accounts --full` lists those that it stores."
        ) from error
    left = {email: plan.credits_left} if isinstance(plan, Features) else {} if plan is not None else None
    row = {**account_rows([account], {email: running}, left)[0], "account": shown_email(email, options)}
    facts = [
        ("account", row["account"]), ("state", row["state"]), ("jobs", f"{running} of {account.max_jobs or '?'}"),
        ("session expires (UTC)", row["session_expires_utc"] or "not stated"),
        *([("credits", _number(row["credits"]))] if "credits" in row else []),
        *([("what to do", row["advice"])] if row["advice"] else []),
    ]  # fmt: skip
    return CommandResult(render_facts(facts), row, value=account)


class Credits:
    """`credits`: what is left in each account."""

    SUMMARY = "show the credits of each Runway account, and whether the useapi.net subscription is active"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add_full_option(parser)
        add_account_option(parser)

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:
        """Ask for them. An account that cannot be asked is listed with the reason."""

        async def read(client: UseApi) -> Any:
            platform = await client.platform_account()
            accounts = await client.accounts()
            if options.account:
                accounts = [account for account in accounts if account.email == options.account]
            return platform, await _credits(client, accounts)

        platform, plans = ask(session, read)
        rows: list[dict[str, Any]] = []
        for email, plan in plans.items():
            row: dict[str, Any] = {
                "account": shown_email(email, options),
                "left": None,
                "used": None,
                "plan": None,
                "error": "",
            }
            if isinstance(plan, Features):
                row |= {"left": plan.credits_left, "used": plan.used_credits, "plan": plan.plan_credits}
            else:
                row["error"] = plan
            rows.append(row)
        is_active = {True: "active", False: "not active: renew it at useapi.net", None: "not stated"}[
            platform.is_active
        ]
        most = "" if platform.most_accounts is None else f"; it allows {platform.most_accounts} Runway accounts"
        cells = [
            [row["account"], *(_number(row[name]) for name in ("left", "used", "plan")), row["error"]] for row in rows
        ]
        table = Table(["account", "credits left", "used", "of the plan", ""], cells, empty=NO_ACCOUNTS,
                      caption=f"useapi.net subscription: {is_active}{most}")  # fmt: skip
        written = {"subscription_is_active": platform.is_active, "accounts": rows}
        return CommandResult(render_table(table), written, value=plans, is_failure=not rows)
