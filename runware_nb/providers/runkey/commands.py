"""Commands of RunKey.ai: `%runkey NAME`, `runware-nb runkey NAME` and `rw.command("runkey NAME")`."""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...commands import webhook
from ...commands.base import CommandResult
from ...commands.image_options import add_run_options
from ...commands.images_in import find_image
from ...commands.object_input import parse_pairs, read_object_file, refuse_keys_inside
from ...commands.text_to_image import dry_run
from ...core.money import Money
from ...core.results import Outcome, Result
from ...errors import MagicUsageError, RunNotFound, RunwareNBError
from ...present.html import element, text
from ...present.table import render_facts
from ...remedies import Remedy, command
from ...runlog import RunRecord
from ...runlog.filters import RunFilter
from ...session.api import as_tags
from .api import account_and_limits, runkey
from .package import SERVICES
from .planning import TASK_TYPE, is_reference, plan_task
from .protocol import is_safe_id

if TYPE_CHECKING:
    from ...session import Session
    from .protocol import RunKeyTask

__all__ = ["Account", "Form", "Run", "Task", "Webhook", "input_names", "medium_of", "past_inputs", "templates"]

_LOOKED_AT = 200
"""Runs of the log that are looked at for what was used before."""


class Run:
    """`run`: run a template. A `%%runkey` cell is the same with its body as the input."""

    SUMMARY = "run a template"
    IS_RUN = True
    TAKES_ID = True

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("template", metavar="TEMPLATE", help="id of the template, such as tpl_abc123")
        parser.add_argument(
            "pairs", nargs="*", metavar="KEY=VALUE", help="inputs of the template; the same as --input KEY=VALUE"
        )
        group = parser.add_argument_group("input")
        group.add_argument(
            "--input", action="append", default=[], metavar="KEY=VALUE",
            help="one input of the template; VALUE is JSON if it is valid JSON (7, true, [1, 2], '\"7\"'), else text; "
            "repeatable",
        )  # fmt: skip
        group.add_argument(
            "--input-file", metavar="FILE", help="JSON or TOML file with the input; --input overrides single keys"
        )
        group.add_argument(
            "--asset", action="append", default=[], metavar="KEY=MEDIUM",
            help="an input that takes a URL: a variable, _rw or #2 of the last result, a run or a URL; RunKey has no "
            "upload, so the medium must have a URL; repeatable",
        )  # fmt: skip
        group.add_argument("--seed", type=int, metavar="N", help="the input named seed")
        parser.add_argument("--webhook-url", metavar="URL", help="URL that RunKey calls when the task has ended")
        add_run_options(parser)

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:
        """Send the task and return its job; with `--dry-run` only plan it.

        Raises:
            MagicUsageError: An input cannot be read, is given twice, or contains a key.
        """
        names = getattr(options, "names", {})
        given = dict(getattr(options, "body", {}))
        if options.input_file is not None:
            if given:
                raise MagicUsageError(
                    "There are two inputs: --input-file and the body of the cell. Keep one of them. Nothing was sent."
                )
            given = read_object_file(options.input_file)
        given |= parse_pairs([*_input_words(options.pairs), *options.input])
        if options.seed is not None:
            if given.get("seed", options.seed) != options.seed:
                raise MagicUsageError(
                    f"There are two seeds: --seed {options.seed} and {given['seed']!r} in the input. Keep one of them. "
                    "Nothing was sent."
                )
            given["seed"] = options.seed
        refuse_keys_inside(given)
        for pair in options.asset:
            name, equals, word = pair.partition("=")
            if not equals or not name or not word:
                raise MagicUsageError(
                    f"Invalid --asset {pair!r:.80}: expected KEY=MEDIUM, such as --asset image_url=_rw. Nothing was "
                    "sent."
                )
            if name in given:
                raise MagicUsageError(f"The input {name!r} is given twice. Keep one of them. Nothing was sent.")
            given[name] = medium_of(word, session, names)
        task: dict[str, Any] = {"taskType": TASK_TYPE, "model": options.template, "input": given}
        if options.webhook_url is not None:
            task["webhookURL"] = options.webhook_url
        if options.dry_run:
            return dry_run(session.plan(task, service="runkey"))
        job = session.submit(
            task, service="runkey", tags=as_tags([*options.tag, *as_tags(_defaults(session, options).get("tag"))]),
            note=options.note, fresh=options.fresh, agreed=options.yes,
            template=getattr(options, "typed_prompt", None),
        )  # fmt: skip
        return CommandResult(job=job, value=job)

    @staticmethod
    def complete(session: Session, before: list[str]) -> list[str]:
        """List what may follow: the templates that the log has, and the inputs of earlier runs of the template."""
        if before and before[-1] in {"--input", "--asset"}:
            template = next((word for word in before if not word.startswith("-")), "")
            return [f"{name}=" for name in input_names(session, template)]
        return templates(session) if not any(not word.startswith("-") for word in before) else []


class Task:
    """`task`: read a task from the service, and collect a task that was submitted elsewhere."""

    SUMMARY = "show a task as RunKey has it, and collect one that was submitted elsewhere"
    IS_RUN = True
    TAKES_ID = True

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("task", metavar="ID", help="id of a RunKey task, or the run of the log that has it")
        parser.add_argument(
            "--collect", action="store_true", help="record the task in the log if it is not there, and get its results"
        )
        parser.add_argument("--tag", action="append", default=[], metavar="T", help="tag for the log; repeatable")
        parser.add_argument("--note", metavar="TEXT", help="note for the log")

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:
        """Read the task. Nothing is sent or charged.

        Raises:
            TaskNotFound: RunKey has no such task.
            MagicUsageError: The run of the log has no id of RunKey.
        """
        record = _record_of(session, options.task)
        task_id = options.task if record is None else str(record.remote_id)
        if options.collect and record is not None:
            job = session.job(record.task_uuid)
            return CommandResult(job=job, value=job)
        task = runkey.task(task_id)
        if options.collect:
            planned = plan_task({"model": task.template_id or "unknown", "input": dict(task.input or {})}, as_is=False)
            job = session.adopt(
                planned.task, task_id, service="runkey", tags=options.tag,
                note=options.note or "This task was submitted elsewhere.",
            )  # fmt: skip
            return CommandResult(job=job, value=job)
        facts: list[tuple[str, object]] = [
            ("task", task.task_id), ("status", task.status), ("template", task.template_id), ("reason", task.reason),
            ("progress", None if task.progress is None else f"{task.progress:g} %"), ("created", task.created_at),
            ("started", task.started_at), ("completed", task.completed_at),
            ("processing time", None if task.processing_time_s is None else f"{task.processing_time_s:g} s"),
            ("cost", None if task.credits_used is None else str(Money(task.credits_used, "credits"))),
            ("run", None if record is None else f"{record.task_uuid} ({record.state.value})"),
        ]  # fmt: skip
        bundle = dict(render_facts([(name, value) for name, value in facts if value not in {None, ""}]))
        if task.output is not None:
            written = json.dumps(task.output, ensure_ascii=False, indent=2)
            bundle["text/html"] += element("details", element("summary", "output") + element("pre", text(written)))
            bundle["text/plain"] += f"\noutput: {json.dumps(task.output, ensure_ascii=False)}"
        notes = () if record is not None else (session.front_end.remedy(_collect_remedy(task)),)
        run_uuid = None if record is None else record.task_uuid
        return CommandResult(bundle, {"task": task.raw, "run": run_uuid}, notes, value=task)


class Account:
    """`account`: the plan, the balance, and the limits that follow."""

    SUMMARY = "show plan, balance and limits of the account"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments: none."""

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:  # noqa: ARG004 - every command has them
        """Ask for the account. It costs nothing.

        Raises:
            AuthenticationFailed: The key is refused.
            TransportError: The service cannot be reached.
        """
        account, limits = account_and_limits()
        balance = None if account.balance is None else Money(account.balance, "credits")
        email = shortened_email(account.email)
        facts = [
            ("service", session.provider("runkey").name), ("account", email), ("plan", account.plan or "unknown"),
            ("balance", "unknown" if balance is None else str(balance)),
            ("requests per minute", limits.requests_per_minute), ("tasks at once", limits.tasks_at_once),
        ]  # fmt: skip
        written = {
            "service": facts[0][1], "email": email, "plan": account.plan or None, "balance": account.balance,
            "unit": "credits", "requests_per_minute": limits.requests_per_minute,
            "tasks_at_once": limits.tasks_at_once,
        }  # fmt: skip
        return CommandResult(render_facts([fact for fact in facts if fact[1] != ""]), written, value=account)


class Webhook:
    """`webhook`: `runware webhook` for RunKey alone."""

    SUMMARY = "receive callbacks of RunKey, so that waits for its tasks end sooner"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        webhook.add_arguments(parser)

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:
        """Start to receive, stop, or show what was received. See `commands.webhook`.

        Raises:
            MagicUsageError: The line contains another word, which may be a secret.
            ConfigError: The port cannot be used, or the secret is missing.
        """
        options.service = ["runkey"]
        return webhook.run(session, options)


class Form:
    """`form`: controls for a template."""

    SUMMARY = "show a form for a template"
    TAKES_ID = True

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("template", metavar="TEMPLATE", help="id of the template, such as tpl_abc123")
        parser.add_argument("--schema", metavar="FILE", help="JSON Schema of the input, as a JSON or TOML file")

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:
        """Show it.

        Raises:
            MagicUsageError: The schema cannot be read, or there is no notebook.
        """
        schema = None if options.schema is None else read_object_file(options.schema)
        values = {} if schema is None else {"schema": schema}
        if not session.front_end.show_form(f"runkey:{options.template}", **values):
            raise MagicUsageError(
                "A form needs a notebook. `runkey run` with --input and --input-file does the same here."
            )
        return CommandResult()

    @staticmethod
    def complete(session: Session, before: list[str]) -> list[str]:
        """List the templates that the log has."""
        return [] if before else templates(session)


def shortened_email(email: str) -> str:
    """Return an e-mail address with only the first letter of its name, since outputs are saved and shared."""
    name, at, host = email.rpartition("@")
    return f"{name[:1]}…@{host}" if at and name else ""


def templates(session: Session) -> list[str]:
    """Return the templates of the newest runs; none before the log is open, because completion must not wait."""
    return list(dict.fromkeys(run.model for run in _runs(session, None) if run.model)) if session.has_log else []


def input_names(session: Session, template: str) -> list[str]:
    """Return the names of the inputs that earlier runs of a template had; none before the log is open."""
    found = past_inputs(session, template) if session.has_log else []
    return list(dict.fromkeys(name for given in found for name in given))


def past_inputs(session: Session, template: str) -> list[dict[str, Any]]:
    """Return the inputs of earlier runs of a template, the newest first, with media as they were named."""
    found: list[dict[str, Any]] = []
    for run in _runs(session, template):
        given, assets = run.request.get("input"), run.request.get("assets")
        seed = {} if run.request.get("seed") is None else {"seed": run.request["seed"]}
        if isinstance(given, dict):
            found.append({**given, **(assets if isinstance(assets, dict) else {}), **seed})
    return found


def _runs(session: Session, template: str | None) -> list[RunRecord]:
    found: list[RunRecord] = []
    for service in SERVICES:
        with contextlib.suppress(RunwareNBError):
            found += session.log.select(RunFilter(model=template, provider=service, limit=_LOOKED_AT))
    return sorted(found, key=lambda run: run.created_at_utc, reverse=True)


def _input_words(words: list[str]) -> list[str]:
    """Return the words behind the template, which state inputs.

    Raises:
        MagicUsageError: One states none; it may be the rest of a text that was not quoted.
    """
    for word in words:
        if "=" not in word:
            raise MagicUsageError(
                f"{word!r:.80} is one word too many: expected KEY=VALUE behind the template. Quote values that contain "
                "blanks, such as --input prompt='a blue cat'. Nothing was sent."
            )
    return words


def _defaults(session: Session, options: argparse.Namespace) -> Any:
    return getattr(options, "defaults", {}) or session.settings.defaults


def medium_of(word: str, session: Session, names: Any) -> Any:
    """Return the result or the URL that a word means; a run of the log is its first result, which has a URL.

    Raises:
        MagicUsageError: It is nothing that RunKey could fetch. RunKey would take the text for an input and charge.
    """
    found = _meaning_of(word, session, names)
    if isinstance(found, str) and not is_reference(found):
        raise _no_url(found if names.get(word) == found else word, found)
    if isinstance(found, Path):
        raise _no_url(word, str(found))
    return found


def _no_url(word: str, found: str) -> MagicUsageError:
    if Path(found).expanduser().is_file():
        return MagicUsageError(f"RunKey takes URLs only, and {word!r:.80} is a file on this machine. Nothing was sent.")
    return MagicUsageError(f"RunKey takes URLs only, and {word!r:.80} is none. Nothing was sent.")


def _meaning_of(word: str, session: Session, names: Any) -> Any:
    if is_reference(word):
        return word
    run, number_sign, number = word.partition("#")
    try:
        record = session.log.find(run) if run and run not in names else None
    except RunNotFound:
        record = None
    if record is None:
        return find_image(word, session, names)
    outcome: Outcome = session.job(record.task_uuid).result()
    wanted = int(number) - 1 if number_sign and number.isdecimal() else 0
    found: list[Result] = [result for result in outcome.results if result.index == wanted]
    if not found:
        raise MagicUsageError(f"Run {record.task_uuid[:8]} has no result #{wanted + 1}. Nothing was sent.")
    return found[0]


def _record_of(session: Session, ref: str) -> RunRecord | None:
    """Return the run of a task; None if the log has none.

    Raises:
        MagicUsageError: It is the run of another service, or RunKey's id of it is not known.
    """
    if not ref.strip() or not is_safe_id(ref):
        raise MagicUsageError(f"Invalid task id {ref!r:.80}: expected an id such as task_abc123. Nothing was sent.")
    try:
        record = session.log.find(ref)
    except RunNotFound:
        return None
    if record.provider not in SERVICES:
        raise MagicUsageError(f"Run {record.task_uuid[:8]} belongs to the service {record.provider!r}, not to RunKey.")
    if record.remote_id is None:
        raise MagicUsageError(
            f"Run {record.task_uuid[:8]} ({record.state.value}) has no task id of RunKey, so RunKey cannot "
            "be asked for it."
        )
    return record


def _collect_remedy(task: RunKeyTask) -> Remedy:
    return Remedy(
        "The log has no run of this task. {0} records it and gets its results, at no further cost.",
        (command("runkey task", task.task_id, collect=True),),
    )
