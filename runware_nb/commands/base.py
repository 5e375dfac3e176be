"""What a command is, and which there are."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, cast

from .. import remedies
from ..core.operations import OPERATIONS, TEXT_TO_IMAGE, operation_of
from ..errors import ArgumentInvalid, ConfigError, MagicUsageError
from ..reprs import short_repr
from ..settings import current_folder
from .arguments import LineParser

if TYPE_CHECKING:
    from ..session import Job, Session

__all__ = ["COMMANDS", "Answer", "Command", "find_command", "run_command"]

_MOST_DAMAGED = 20
"""Damaged rows that one command names."""
_COUNTS_DAMAGED = remedies.Remedy("{0} counts them.", (remedies.command("status"),))


@short_repr()
@dataclass(frozen=True, slots=True)
class Answer:
    """Output of a command.

    Attributes:
        bundle: How a person sees it: `text/plain`, and `text/html` where that is better.
        json: How a program sees it.
        notes: Further sentences; stderr in a terminal.
        is_failure: Whether the service refused, or nothing was found.
        value: What Python code gets.
        job: A run in progress; the caller decides how to wait for it and show it.
        next_cell: Source for a new cell below this one, where there are cells.
        json_notes: Sentences that the bundle contains and the JSON does not; stderr in a terminal that prints JSON.
    """

    bundle: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    notes: tuple[str, ...] = ()
    is_failure: bool = False
    value: Any = None
    job: Job | None = None
    next_cell: str | None = None
    json_notes: tuple[str, ...] = ()


class Command(Protocol):
    """One module of this package."""

    SUMMARY: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def run(self, session: Session, options: argparse.Namespace) -> Answer:
        """Do it."""


COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "connect": "connect",
        "login": "login",
        "logout": "logout",
        "status": "status",
        "sandbox": "sandbox",
        "models": "models",
        "model-search": "models",
        "model": "model",
        "alias": "alias",
        **{operation.name: "operation" for operation in OPERATIONS if operation.function is not None},
        TEXT_TO_IMAGE.name: "text_to_image",  # its prompt is free text on the line, which no other operation has
        "log": "log",
        "show": "show",
        "code": "code",
        "diff": "diff",
        "compare": "compare",
        "history": "history",
        "rate": "rate",
        "vote": "vote",
        "ranking": "ranking",
        "cost": "cost",
        "budget": "budget",
        "methods": "methods",
        "pending": "pending",
        "resume": "resume",
        "discard": "discard",
        "forget": "forget",
        "prune": "prune",
        "replay": "replay",
        "verify": "verify",
        "bundle": "bundle",
        "export": "export",
        "import": "import_runs",
        "gallery": "gallery",
        "read": "read",
        "form": "form",
        "asyncio": "run_asyncio",
        "config": "config",
        "size": "size",
        "poll": "poll",
        "trace": "trace",
        "raw": "raw",
    }
)
"""Command names, and the module of each; loaded when used."""


def find_command(name: str, *, syntax: remedies.Syntax = remedies.PYTHON) -> Command:
    """Load a command by name.

    Args:
        name: As typed.
        syntax: Of the front end, for the corrected line.

    Raises:
        MagicUsageError: There is none; the message names the nearest.
    """
    module = COMMANDS.get(name)
    if module is None:
        near = difflib.get_close_matches(name, list(COMMANDS), n=3, cutoff=0.5)
        if near:
            meant = min(near, key=lambda each: (-_likeness(name, each), abs(len(each) - len(name))))
            corrected = syntax.command(remedies.command(meant))
            raise MagicUsageError(f"no command {name!r}; did you mean {meant}?", corrected=corrected)
        raise MagicUsageError(f"no command {name!r}; there are: {', '.join(COMMANDS)}")
    loaded = importlib.import_module(f".{module}", __package__)
    return cast("Command", loaded.OperationCommand(operation_of(name)) if module == "operation" else loaded)


def run_command(command: Command, session: Session, options: argparse.Namespace) -> Answer:
    """Run a command, and add a sentence for each row of the log that it had to leave out.

    Raises:
        RunwareNBError: The command failed.
    """
    if session.has_log:
        session.log.damage.take()  # what an earlier cell met is not about this command
    try:
        answer = command.run(session, options)
    except ArgumentInvalid as error:
        raise _for_line(error, command) from error
    except FileNotFoundError as error:
        if current_folder() is not None:
            raise
        raise ConfigError("The working directory was deleted. Change to another one and run this again.") from error
    rows = session.log.damage.take() if session.has_log else []
    if not rows:
        return answer
    sentences = [row.sentence for row in rows[:_MOST_DAMAGED]]
    if len(rows) > _MOST_DAMAGED:
        counts = session.front_end.remedy(_COUNTS_DAMAGED)
        sentences.append(f"{len(rows) - _MOST_DAMAGED} more rows are damaged. {counts}")
    return dataclasses.replace(answer, notes=(*answer.notes, *sentences))


def _for_line(error: ArgumentInvalid, command: Command) -> MagicUsageError:
    """Return an error that a function worded for Python in the words of a command's line."""
    parser = LineParser("", command.SUMMARY)
    command.add_arguments(parser)
    sentence = error.on_line if error.option in parser.option_names() else error.problem
    return MagicUsageError(sentence).with_remedy(error.remedy)


def _likeness(typed: str, name: str) -> float:
    return round(difflib.SequenceMatcher(None, typed, name).ratio(), 3)
