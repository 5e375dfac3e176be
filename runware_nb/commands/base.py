"""What a command is, and which there are."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from ..core.operations import OPERATIONS, TEXT_TO_IMAGE
from ..core.results import Outcome
from ..reprs import short_repr

if TYPE_CHECKING:
    from ..session import Job, Session

__all__ = ["COMMANDS", "Command", "CommandResult", "LineCommand"]


@short_repr()
@dataclass(frozen=True, slots=True)
class CommandResult:
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
        outcome: Results that a notebook binds to `_rw`; None keeps what is there.
        stream: What the command reports from now on, each as text and as JSON. A terminal prints it until Ctrl-C,
            because what the command started would end with the process; other front ends do not read it.
    """

    bundle: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    notes: tuple[str, ...] = ()
    is_failure: bool = False
    value: Any = None
    job: Job | None = None
    next_cell: str | None = None
    json_notes: tuple[str, ...] = ()
    outcome: Outcome | None = None
    stream: Iterator[tuple[str, Any]] | None = None


class Command(Protocol):
    """A module of this package, or an object of the module `commands` in the package of a provider.

    A command may have more attributes: `IS_RUN` set to True for one that returns a job (a notebook adds
    `--output`, `--background` and `--quiet`), `TAKES_ID` set to True if its first word is an id of the service (which
    may look like a key), and `complete(session, before)`, which returns what may follow the words *before* on its line.
    """

    SUMMARY: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def run(self, session: Session, options: argparse.Namespace) -> CommandResult:
        """Do it."""


class LineCommand(Command, Protocol):
    """A command whose arguments depend on its line, such as on the model that the line names."""

    @property
    def flags_by_parameter(self) -> Mapping[str, Sequence[str]]:
        """The options of each parameter of its task, with which a refused value is corrected on the line."""

    def for_words(self, words: Sequence[str]) -> Command:
        """Return the command for a line, before the line is parsed.

        Args:
            words: What follows its name.

        Raises:
            MagicUsageError: The line must not be parsed, because a message about it would repeat a secret.
        """


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
        "prompt": "prompt",
        **{operation.name: "operation" for operation in OPERATIONS if operation.function is not None},
        TEXT_TO_IMAGE.name: "text_to_image",  # its prompt is free text on the line, which no other operation has
        "upload": "upload",
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
        "webhook": "webhook",
        "trace": "trace",
        "raw": "raw",
    }
)
"""Command names, and the module of each; loaded when used. Those of providers are in their `ProviderPackage`."""
