"""Commands of useapi.net: `%useapi NAME`, `runware-nb useapi NAME` and `rw.command("useapi NAME")`."""

from __future__ import annotations

import argparse
import datetime as dt
import getpass
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ...commands.arguments import whole_number
from ...commands.base import Command, CommandResult
from ...commands.image_options import add_label_options, read_set
from ...commands.images_in import find_image
from ...commands.text_to_image import dry_run
from ...core.redaction import known_secrets
from ...engine.consent import confirm
from ...errors import (
    ArgumentInvalid,
    ConfigError,
    MagicUsageError,
    RunNotFound,
    RunwareNBError,
    TaskInvalid,
    TaskNotFound,
)
from ...loop import background_loop, wait
from ...present.html import element, text
from ...present.table import Table, render_facts, render_table
from ...remedies import Remedy
from ...session.api import as_tags
from ...settings import text_of_variable
from .accounts import MOST_JOBS, RECOMMENDED_JOBS, Password, UseApiAccount, check_email, check_max_jobs
from .assets import is_asset_id
from .models import ENDPOINTS, IMAGE_MODELS, VIDEO_MODELS, Parameter, models_for, near_model, parameters_of
from .options import (
    KINDS,
    MULTISHOT,
    LineOption,
    default_model,
    find_path,
    flags_by_parameter,
    line_options,
    model_on_line,
)
from .package import RUNWAY_PASSWORD
from .protocol import Asset, Features, UseApiTask, owner_of, shorten_account, shorten_accounts, shorten_id
from .provider import PREFIX, UseApiProvider

if TYPE_CHECKING:
    from ...session import Session
    from .client import UseApi

__all__ = [
    "Account",
    "Accounts",
    "Assets",
    "Credits",
    "FormCommand",
    "Generate",
    "Models",
    "OneAsset",
    "OneTask",
    "Tasks",
    "account_rows",
    "ask",
    "create",
    "explain_state",
    "find_asset",
    "frames",
    "image",
    "read_accounts",
    "task_on_line",
    "video",
]

T = TypeVar("T")

_MOST_LISTED = 50
_REFUSAL = (
    "A password must not be on a line or in a cell, because both are saved and shared. Nothing was sent. Delete it "
    "from the line. If the notebook or the history of a shell was shared, change the password at Runway. Without an "
    "option, `account add EMAIL` asks for it at a hidden prompt; --password-env NAME and --password-file FILE read it "
    "from elsewhere."
)


# --- what all commands need ---------------------------------------------------------------------


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


def _shown(email: str, options: argparse.Namespace) -> str:
    return email if getattr(options, "full", False) else shorten_account(email)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, OSError, ValueError):
        return ""


def _add_full(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--full", action="store_true", help="show whole e-mails and ids, which are personal data")


def _add_account(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--account", metavar="EMAIL", help="only those of this account")


async def _emails(client: UseApi, only: str | None) -> list[str]:
    """Return the accounts that a list is about. Lists of the service are about one account each."""
    return [check_email(only)] if only else [account.email for account in await client.accounts()]


_NO_ACCOUNTS = "useapi.net stores no Runway account for you. `account add EMAIL` adds one."


# --- accounts --------------------------------------------------------------------------------------


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
            "max_jobs": account.max_jobs, "session_expires_utc": _time(account.session_expires_at), "advice": advice,
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
        _add_full(parser)
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
        table = Table([*columns, "what to do"], cells, empty=_NO_ACCOUNTS)
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
        _add_full(parser)

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
        f"useapi.net stores the account {_shown(account.email, options)}: Runway accepted the password, and at most "
        f"{account.max_jobs or max_jobs} tasks run at a time. The password was not stored here."
    )
    if account.session_expires_at is not None:
        sentence += f" Its session lasts until {_time(account.session_expires_at)} UTC."
    row = {**account_rows([account], {})[0], "account": _shown(account.email, options)}
    return CommandResult({"text/plain": sentence}, row, value=account)


def _remove(session: Session, email: str, options: argparse.Namespace) -> CommandResult:
    shown = _shown(email, options)
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
            f"useapi.net stores no account {_shown(email, options)}. `accounts --full` lists those that it stores."
        ) from error
    left = {email: plan.credits_left} if isinstance(plan, Features) else {} if plan is not None else None
    row = {**account_rows([account], {email: running}, left)[0], "account": _shown(email, options)}
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
        _add_full(parser)
        _add_account(parser)

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
                "account": _shown(email, options),
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
        table = Table(["account", "credits left", "used", "of the plan", ""], cells, empty=_NO_ACCOUNTS,
                      caption=f"useapi.net subscription: {is_active}{most}")  # fmt: skip
        written = {"subscription_is_active": platform.is_active, "accounts": rows}
        return CommandResult(render_table(table), written, value=plans, is_failure=not rows)


# --- tasks ----------------------------------------------------------------------------------------------


def _task_row(task: UseApiTask, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "task": task.task_id if options.full else shorten_id(task.task_id),
        "run": task.reply_ref or "",
        "account": _shown(task.account or "", options),
        "status": task.status or "not stated",
        "progress": task.progress,
        "created": task.created_at or "",
        "error": task.error or "",
    }


def _status_text(task: UseApiTask) -> str:
    if task.is_waiting:
        return "THROTTLED: waiting at Runway"
    progress = "" if task.progress is None or task.is_final else f" ({100 * task.progress:.0f} %)"
    return f"{task.status or 'not stated'}{progress}"


class Tasks:
    """`tasks`: what useapi.net lists, whether or not it was submitted here."""

    SUMMARY = "list the tasks of the Runway accounts as useapi.net reports them"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        _add_account(parser)
        _add_full(parser)
        parser.add_argument("--status", metavar="S", help="only these, such as RUNNING,THROTTLED")
        parser.add_argument(
            "--limit", type=whole_number, default=20, metavar="N", help="most of each account (default 20)"
        )

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:
        """List them."""

        async def read(client: UseApi) -> list[UseApiTask]:
            found = []
            for email in await _emails(client, options.account):
                found += await client.tasks(email, statuses=(options.status or "").upper(), limit=options.limit)
            return found

        tasks = ask(session, read)
        rows = [_task_row(task, options) for task in tasks]
        cells = [
            [row["task"], row["run"][:8], _status_text(task), row["created"][:16].replace("T", " "), row["error"][:80]]
            for row, task in zip(rows, tasks, strict=True)
        ]
        table = Table(["task", "run here", "status", "created (UTC)", "error"], cells, empty="No tasks.")
        return CommandResult(render_table(table), rows, value=tasks)


class OneTask:
    """`task ID`: a task as it is now."""

    TAKES_ID = True
    SUMMARY = "show a task as useapi.net reports it, by our run's UUID or by its id there"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "ref", metavar="ID", help="UUID of a run, or its first characters; or the long id of a task"
        )
        _add_full(parser)

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:
        """Show it.

        Raises:
            MagicUsageError: There is no such run, or its id at the service never arrived here.
        """
        task_id = options.ref if owner_of(options.ref) is not None else _remote_id(session, options.ref)
        task = ask(session, lambda client: client.task(task_id))
        row = _task_row(task, options)
        facts = [
            ("task", row["task"]), ("run here", row["run"]), ("account", row["account"]),
            ("status", _status_text(task)), ("message", task.progress_text or ""), ("created (UTC)", row["created"]),
            ("error", row["error"]),
            ("starts in", "" if task.starts_in_s is None else f"about {task.starts_in_s:.0f} s"),
            *((f"result {number}", f"{artifact.kind} {artifact.filename}") for number, artifact in
              enumerate(task.artifacts, 1)),
        ]  # fmt: skip
        row["results"] = [{"kind": artifact.kind, "filename": artifact.filename} for artifact in task.artifacts]
        return CommandResult(render_facts([fact for fact in facts if fact[1]]), row, value=task)


def _remote_id(session: Session, ref: str) -> str:
    try:
        run = session.log.find(ref)
    except RunNotFound as error:
        raise MagicUsageError(f"{error.problem} `tasks --full` lists the tasks with their ids.") from error
    if run.provider not in UseApiProvider.services:
        raise MagicUsageError(f"Run {run.task_uuid[:8]} belongs to the service {run.provider!r}, not to useapi.net.")
    if run.remote_id is None:
        raise MagicUsageError(
            f"Run {run.task_uuid[:8]} ({run.state.value}) has no id at useapi.net. It was not sent, was refused, or "
            "its response was lost: then `resume` looks for it there."
        )
    return run.remote_id


# --- models --------------------------------------------------------------------------------------------


class Models:
    """`models [MODEL]`: what is known about models."""

    SUMMARY = "list the models, or the options of one with their ranges and defaults"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("model", nargs="?", metavar="MODEL", help="a model, or a create call such as frames")

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:
        """List them; nothing is sent.

        Raises:
            MagicUsageError: No such model or call is known here.
        """
        del session
        return _list_models() if options.model is None else _describe_model(options.model)


def _list_models() -> CommandResult:
    rows: list[dict[str, Any]] = []
    for kind, models in (("video", VIDEO_MODELS), ("image", IMAGE_MODELS)):
        rows += [
            {
                "model": model.name, "cell": f"%%useapi {kind} --model {model.name}", "produces": kind,
                "durations_s": list(model.durations), "prompt_characters": model.prompt_most,
                "takes_seed": model.takes_seed,
            }
            for model in models.values()
        ]  # fmt: skip
    for path, endpoint in ENDPOINTS.items():
        if not models_for(path):
            word = next((kind for kind, known in KINDS.items() if known == path), path)
            rows.append({"model": word, "cell": f"%%useapi {word}", "produces": endpoint.produces,
                         "durations_s": [], "prompt_characters": None, "takes_seed": True})  # fmt: skip
    cells = [
        [row["model"], row["produces"], _range(row["durations_s"]), row["prompt_characters"] or "",
         "yes" if row["takes_seed"] else "no", row["cell"]]
        for row in rows
    ]  # fmt: skip
    caption = "From the documents of useapi.net. `models MODEL` lists the options of one; other models can be used too."
    table = Table(["model", "produces", "seconds", "prompt (characters)", "seed", "cell"], cells, caption=caption)
    return CommandResult(render_table(table), rows)


def _range(numbers: Sequence[int]) -> str:
    is_row = len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]} to {numbers[-1]}" if is_row else ", ".join(map(str, numbers))


def _describe_model(name: str) -> CommandResult:
    found = [(path, name) for path in ("videos/create", "images/create") if name in models_for(path)]
    path = find_path(name)
    calls: list[tuple[str, str | None]] = [*found] if found else [(path, None)] if path is not None else []
    if not calls:
        import difflib

        names = [*VIDEO_MODELS, *IMAGE_MODELS, *KINDS, *ENDPOINTS]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]}?" if near else "`models` lists them."
        raise MagicUsageError(f"Unknown model or create call {name!r}. {hint}")
    rows: list[dict[str, Any]] = []
    tables: list[dict[str, str]] = []
    for call, model in calls:
        flags = flags_by_parameter(call)
        groups: dict[str, list[dict[str, Any]]] = {}
        for parameter in parameters_of(call, model):
            row = _parameter_row(call, parameter, flags.get(parameter.name, ()))
            rows.append(row)
            shot = MULTISHOT.fullmatch(parameter.name)
            groups.setdefault(f"multishot {shot[1]}" if shot else row["option"], []).append(row)
        cells = [_option_cells(group) for group in groups.values()]
        columns = ["option", "accepts", "default", "meaning", "name at the service"]
        word = next((kind for kind, known in KINDS.items() if known == call), call)
        heading = f"%%useapi {word}{f' --model {model}' if model else ''}: {ENDPOINTS[call].summary}"
        table = render_table(Table(columns, cells))
        tables.append(
            {
                "text/html": element("div", element("strong", text(heading)) + table["text/html"]),
                "text/plain": f"{heading}\n{table['text/plain']}",
            }
        )
    bundle = {
        "text/html": "".join(table["text/html"] for table in tables),
        "text/plain": "\n\n".join(table["text/plain"] for table in tables),
    }
    return CommandResult(bundle, rows)


def _option_cells(rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return what is shown of an option, which may set several parameters: the reference images, or the shots."""
    first, last = rows[0], rows[-1]
    default = "" if first["default"] is None else first["default"]
    if len(rows) == 1:
        return [first["option"], first["accepts"], default, first["help"], first["name"]]
    is_shot = MULTISHOT.fullmatch(first["name"]) is not None
    option = f"multishot: {first['option']}, up to {len(rows)}" if is_shot else (
        f"{first['option']}, up to {len(rows)} times"
    )  # fmt: skip
    help_text = re.sub(r" 1\b", "", first["help"])
    return [option, first["accepts"], default, help_text, f"{first['name']} to {last['name']}"]


def _parameter_row(call: str, parameter: Parameter, flags: Sequence[str]) -> dict[str, Any]:
    option = flags[0] if flags else "the prompt" if parameter.name == "text_prompt" else f"--set {parameter.name}=…"
    accepts = parameter.expected if parameter.kind != "flag" else "yes or no"
    return {
        "option": option, "name": parameter.name, "call": call, "accepts": accepts, "default": parameter.default,
        "is_required": parameter.is_required, "help": parameter.help + (" (required)" if parameter.is_required else ""),
    }  # fmt: skip


# --- assets ----------------------------------------------------------------------------------------------


def _asset_row(asset: Asset, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "asset": asset.asset_id if options.full else shorten_id(asset.asset_id),
        "account": _shown(asset.account or "", options),
        "name": asset.name,
        "bytes": asset.file_size_bytes,
    }


class Assets:
    """`assets`: files at Runway."""

    SUMMARY = "list the assets of the Runway accounts"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        _add_account(parser)
        _add_full(parser)
        parser.add_argument("--type", choices=["image", "video", "audio"], help="only these")
        parser.add_argument("--limit", type=whole_number, default=20, metavar="N",
                            help=f"most of each account, at most {_MOST_LISTED} (default 20)")  # fmt: skip

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:
        """List them."""

        async def read(client: UseApi) -> list[Asset]:
            found = []
            for email in await _emails(client, options.account):
                found += await client.assets(email, media_type=options.type, limit=options.limit)
            return found

        assets = ask(session, read)
        rows = [_asset_row(asset, options) for asset in assets]
        cells = [[row["asset"], row["name"], "" if row["bytes"] is None else f"{row['bytes']:,}"] for row in rows]
        caption = "" if options.full else "--full shows the whole ids, which options such as --image accept"
        table = Table(["asset", "name", "bytes"], cells, empty="No assets.", caption=caption)
        return CommandResult(render_table(table), rows, value=assets)


class OneAsset:
    """`asset add FILE` and `asset remove ID`."""

    TAKES_ID = True
    SUMMARY = "upload a file as an asset, or remove one"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("action", choices=["add", "remove"], help="what to do")
        parser.add_argument(
            "what", metavar="FILE|ID", help="a file, variable, URL or run; with remove, the id of an asset"
        )
        parser.add_argument("--account", metavar="EMAIL", help="the account that will own it")
        parser.add_argument("--yes", action="store_true", help="with remove: do not ask")
        _add_full(parser)

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:
        """Upload or remove it.

        Raises:
            MagicUsageError: The word means no file, or no asset.
            NotConfirmed: The user did not agree to the removal. Nothing was changed.
        """
        if options.action == "add":
            value = find_image(options.what, session, getattr(options, "names", {}))

            async def send(client: UseApi) -> Asset:
                body = await client.download(value) if isinstance(value, str) and value.startswith("http") else value
                return await client.upload(body, email=options.account or await _first_account(client))

            asset = ask(session, send)
            row = _asset_row(asset, options)
            facts = [("asset", asset.asset_id if options.full else row["asset"]), ("name", asset.name)]
            row["asset"] = asset.asset_id  # a program needs the whole id to use it
            note = () if options.full else ("The id is in `.value` of rw.command, and with --full.",)
            return CommandResult(render_facts(facts), row, note, value=asset.asset_id)
        if not is_asset_id(options.what):
            raise MagicUsageError("Invalid id of an asset: `assets --full` lists them. Nothing was changed.")
        shown = shorten_id(options.what)
        if not options.yes:
            confirm(session.front_end, f"The asset {shown} will be deleted at Runway.", verb="Delete it",
                    undone="Nothing was changed.", remedy=Remedy("Add --yes to agree."))  # fmt: skip
        was_there = ask(session, lambda client: client.delete_asset(options.what))
        sentence = (
            f"The asset {shown} was deleted." if was_there else f"There is no asset {shown}. Nothing was changed."
        )
        return CommandResult({"text/plain": sentence}, {"asset": shown, "removed": was_there}, is_failure=not was_there)


async def _first_account(client: UseApi) -> str | None:
    """Return the account that owns an upload for which the user names none: one without an error."""
    accounts = await client.accounts()
    usable = [account for account in accounts if account.error is None] or accounts
    return usable[0].email if usable else None


# --- generation ------------------------------------------------------------------------------------------


class Generate:
    """`video`, `image`, `frames` and `create PATH`: a task from one line.

    Args:
        path: The create call; None if the line names it.
        model: The model whose options are declared; None for those of all models.
    """

    IS_RUN = True

    def __init__(self, path: str | None, model: str | None = None) -> None:
        self._path = path
        self._model = model
        self.SUMMARY = "start a task with any create call" if path is None else ENDPOINTS[path].summary

    @property
    def flags_by_parameter(self) -> Mapping[str, Sequence[str]]:
        """See `LineCommand`."""
        return {} if self._path is None else {**flags_by_parameter(self._path), "account": ("--account",)}

    def for_words(self, words: Sequence[str]) -> Command:
        """Return the command with the create call of a line, and for help with the options of its model alone."""
        path = self._path or (find_path(words[0]) if words else None)
        if path is None:
            return self
        model = model_on_line(path, words) if {"-h", "--help"} & set(words) else None
        bound = Generate(path, model if model in models_for(path) else None)
        bound.names_path = self._path is None
        return bound

    names_path = False

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        if self._path is None or self.names_path:
            parser.add_argument("path", metavar="PATH", help="a create call, such as gen4/create; `models` lists them")
            parser.add_argument("pairs", nargs="*", metavar="KEY=VALUE", help="parameters as the service names them")
        else:
            parser.add_argument("words", nargs="*", help="the prompt")
        parser.add_argument("--prompt", metavar="TEXT", help="the prompt, as an option")
        if self._path is not None:
            title = f"{self._path}{f' with {self._model}' if self._model else ''}"
            group = parser.add_argument_group(title)
            for option in line_options(self._path, self._model):
                group.add_argument(*option.flags, dest=option.dest, help=option.help.replace("%", "%%"), **_how(option))
        group = parser.add_argument_group("run")
        group.add_argument("--account", metavar="EMAIL", help="the Runway account that runs it; any by default")
        group.add_argument("--set", action="append", metavar="KEY=JSON", help="any other parameter of the service")
        if self._path is None or self.names_path or models_for(self._path):
            group.add_argument(
                "--unknown-model",
                action="store_true",
                help="send a model that looks like a mistyped name of a known one",
            )
        group.add_argument("--fresh", action="store_true", help="ask again, although the log has the answer")
        group.add_argument("--yes", action="store_true", help="agree to the unknown price")
        add_label_options(parser)

    def run(self, session: Session, options: argparse.Namespace) -> CommandResult:
        """Send the task and return its job; with `--dry-run` only plan it.

        Raises:
            MagicUsageError: A word means no image, or the call is not known.
            TaskInvalid: The model does not accept a value.
        """
        task = self._task(session, options)
        if options.dry_run:
            return dry_run(session.plan(task, service="useapi"))
        defaults = getattr(options, "defaults", {}) or session.settings.defaults
        job = session.submit(
            task,
            service="useapi",
            template=getattr(options, "template", None),
            tags=as_tags([*options.tag, *as_tags(defaults.get("tag"))]),
            note=options.note,
            fresh=options.fresh,
            agreed=options.yes,
        )
        return CommandResult(job=job, value=job)

    def _task(self, session: Session, options: argparse.Namespace) -> dict[str, Any]:
        path = self._path
        pairs = [*getattr(options, "pairs", []), *(options.set or ())]
        if path is None:
            path = options.path.strip("/")  # the provider refuses it, or warns that it is unknown
        words = getattr(options, "words", [])
        if options.prompt is not None and words:
            raise MagicUsageError("There are two prompts: one on the line, and one in --prompt. Nothing was sent.")
        prompt = options.prompt if options.prompt is not None else " ".join(words)
        names = getattr(options, "names", {})
        return task_on_line(path, options, prompt, pairs, lambda word: find_asset(word, session, names))


def _how(option: LineOption) -> dict[str, Any]:
    first = option.parameters[0]
    if first.kind == "flag":
        return {"action": "store_const", "const": not option.is_off_switch}
    if first.kind == "asset":
        return {"metavar": "IMG" if "image" in first.help or "frame" in first.help else "FILE",
                **({"action": "append"} if option.is_list else {})}  # fmt: skip
    kind: Callable[[str], Any] | None = {"integer": whole_number, "number": _number_of}.get(first.kind)
    return {"metavar": {"integer": "N", "number": "X"}.get(first.kind, "TEXT"), "type": kind or str}


def _number_of(typed: str) -> float:
    """Parse a number.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    try:
        value = float(typed)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, not {typed[:40]!r}") from None
    return int(value) if value.is_integer() else value


def find_asset(word: str, session: Session, names: Mapping[str, Any]) -> Any:
    """Return what a word means: the id of an asset, or an image or another file. See `find_image`."""
    known = names.get(word) if word.isidentifier() else None
    if is_asset_id(known):
        return known
    return word if is_asset_id(word) else find_image(word, session, names)


def task_on_line(
    path: str,
    options: argparse.Namespace,
    prompt: str,
    pairs: Sequence[str],
    find: Callable[[str], Any],
) -> dict[str, Any]:
    """Return the task that parsed options ask for.

    Args:
        path: The create call.
        options: As parsed.
        prompt: What to generate; empty if the call is to have none.
        pairs: Further parameters, each as `KEY=JSON`.
        find: Returns the medium that a word means.

    Raises:
        MagicUsageError: A value cannot be read, or a word means no medium.
    """
    task: dict[str, Any] = {"taskType": PREFIX + path}
    assets: dict[str, Any] = {}
    model = default_model(path)
    if model is not None:
        task["model"] = model
    if prompt.strip():
        task["text_prompt"] = prompt
    for option in line_options(path) if path in ENDPOINTS else ():
        given = getattr(options, option.dest, None)
        if given is None:
            continue
        if option.parameters[0].name == "model" and not getattr(options, "unknown_model", False):
            _refuse_mistyped_model(path, given)
        named = option.names(given if option.is_list else [given])
        if option.parameters[0].kind == "asset":
            assets |= {name: find(word) for name, word in named.items()}
        else:
            task |= named
    if options.account is not None:
        task["account"] = options.account
    for name, value in read_set(pairs).items():
        if path in ENDPOINTS and (known := ENDPOINTS[path].parameter(name)) is not None and known.kind == "asset":
            assets[name] = find(str(value))
        else:
            task[name] = value
    return {**task, "assets": assets} if assets else task


def _refuse_mistyped_model(path: str, name: str) -> None:
    """Refuse a model that is probably a mistyped one: a notice would be read after the task was paid.

    Raises:
        TaskInvalid: It looks like a known model. The corrected line names that one.
    """
    near = near_model(path, name)
    if near is not None:
        raise TaskInvalid(
            f"Unknown model {name!r}. Did you mean {near!r}? Add --unknown-model if the model is new. Nothing was "
            "sent.",
            parameter="model", allowed_values=(near,),
        )  # fmt: skip


video, image, frames = (Generate(KINDS[kind]) for kind in ("video", "image", "frames"))
create = Generate(None)


class FormCommand:
    """`form [WHAT]`: the form for accounts, or for a model."""

    SUMMARY = "show a form: accounts, or a model such as gen4"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("what", nargs="?", default="accounts", metavar="WHAT",
                            help="accounts (default), a model, or a create call")  # fmt: skip

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:
        """Show it.

        Raises:
            MagicUsageError: There is no notebook to show it in.
        """
        if not session.front_end.show_form(f"useapi:{options.what}"):
            raise MagicUsageError("A form needs a notebook. `account add` and `create` do the same here.")
        return CommandResult()
