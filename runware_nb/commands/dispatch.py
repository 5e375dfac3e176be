"""From the words of a line to an answer: the one path for magics, the terminal and `rw.command`.

The commands of a provider's package have names of two words, such as `trial status`. They are found here as well, so
that they work in every front end, and the magic `%trial` is only a shorter way to write them.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from .. import remedies
from ..core.operations import OPERATIONS, operation_of
from ..errors import ArgumentInvalid, ConfigError, MagicUsageError, SeveralResults, TaskInvalid
from ..providers.registry import load_module, package_named, packages
from ..reprs import short_repr
from ..settings import current_folder
from .arguments import HelpRequested, LineParser, quote_typed
from .base import COMMANDS, Command, CommandResult, LineCommand
from .correcting import corrected_line, line_with_choice
from .image_options import refuse_keys, refuse_keys_of_known_shape
from .prompt_words import refuse_media_words
from .prompts_in import typed_words

if TYPE_CHECKING:
    from ..providers.package import ProviderPackage
    from ..session import Session

__all__ = ["CommandCall", "LineStyle", "command_names", "find_command", "list_commands", "read_line", "run_command"]

_WITH_FREE_PROMPT = {operation.name: operation for operation in OPERATIONS if operation.has_free_prompt}
"""The operations whose words without an option are the prompt."""
_MOST_DAMAGED = 20
"""Damaged rows that one command names."""
_COUNTS_DAMAGED = remedies.Remedy("{0} counts them.", (remedies.command("status"),))


@short_repr()
@dataclass(frozen=True, slots=True)
class LineStyle:
    """How a front end writes a line with a command.

    Attributes:
        start: What a line begins with, where `{}` is the name of the command.
        is_line: Whether the rest follows as words, so that a refused line can be written again with a valid value.
    """

    start: str
    is_line: bool = True


_PYTHON_CALL = LineStyle("rw.command({!r})", is_line=False)


@short_repr()
@dataclass(frozen=True, slots=True)
class CommandCall:
    """A line that was understood, and was not run yet.

    Attributes:
        name: The name of the command.
        command: The command.
        options: What the line states.
        typed: The words after the name, as the user typed them.
        style: How the front end writes lines.
    """

    name: str
    command: Command
    options: argparse.Namespace
    typed: Sequence[str]
    style: LineStyle

    def run(self, session: Session) -> CommandResult:
        """Run the command. If the service refuses a value of the line, the error has the corrected line.

        Raises:
            MagicUsageError: A word of the prompt is the name of a medium.
            RunwareNBError: The command failed.
        """
        start = self.style.start.format(self.name)
        operation = _WITH_FREE_PROMPT.get(self.name)
        if operation is not None:
            shown = start if self.style.is_line else None
            refuse_media_words(operation, session, self.options, start=shown, typed=self.typed)
        try:
            return run_command(self.command, session, self.options)
        except TaskInvalid as error:
            if self.style.is_line:
                flags = getattr(self.command, "flags_by_parameter", None)
                error.corrected = corrected_line(start, self.typed, error, command=self.name, flags=flags)
            raise
        except SeveralResults as error:
            if self.style.is_line:
                error.corrected = line_with_choice(self.style.start.format(self.name), self.typed, error)
            raise


def read_line(
    words: Sequence[str],
    style: LineStyle,
    *,
    typed: Sequence[str] | None = None,
    refuse: Callable[[Sequence[str]], None] = refuse_keys,
    extend: Callable[[LineParser, Command], None] | None = None,
) -> CommandCall:
    """Find the command that a line names, and parse what follows.

    Args:
        words: The line, at least one word.
        style: How the front end writes lines.
        typed: The same words before names in braces were replaced, for the corrected line.
        refuse: Raises an error if the line contains a key.
        extend: Adds options of the front end to those of the command.

    Raises:
        MagicUsageError: There is no such command, or the line cannot be parsed.
        HelpRequested: Help was asked for, or the line contains the name of a provider only.
    """
    words = [words[0] if words[0] in COMMANDS else _with_dashes(words[0]), *words[1:]]
    provider = _provider_named(words[0])
    if provider is not None and (len(words) == 1 or words[1] in {"-h", "--help"}):
        raise HelpRequested(_help_of_provider(provider, style))
    length = 1 if provider is None else 2
    name = " ".join(words[:length])
    try:
        command = find_command(name, style)
    except MagicUsageError as error:
        if error.corrected is not None and style.is_line:
            rest = (words if typed is None else typed)[length:]
            error.corrected = " ".join([error.corrected, *map(quote_typed, rest)])
        raise
    if hasattr(command, "for_words"):
        command = cast("LineCommand", command).for_words(words[length:])
    parser = LineParser(style.start.format(name), command.SUMMARY)
    command.add_arguments(parser)
    if extend is not None:
        extend(parser, command)
    is_id = len(words) > length and getattr(command, "TAKES_ID", False) and not words[length].startswith("-")
    if is_id:
        refuse_keys_of_known_shape(words[length])
    refuse([*words[:length], *words[length + is_id :]])
    rest = list((words if typed is None else typed)[length:])
    options = parser.read(words[length:], rest)
    # A prompt is rendered from what was typed, so that braces in the value of a variable keep no meaning.
    options.typed_words = typed_words(words[length:], rest)
    return CommandCall(name, command, options, rest, style)


def command_names() -> list[str]:
    """Return the names of all commands; those of providers have two words."""
    return [*COMMANDS, *(f"{package.name} {name}" for package in packages() for name in package.commands)]


def list_commands(start: str) -> list[str]:
    """Return one line of help for each command, and for each provider that has commands of its own.

    Args:
        start: What each line begins with, where `{}` is the name.
    """
    summaries = {name: find_command(name).SUMMARY for name in COMMANDS}
    summaries |= {package.name: f"commands for {package.summary}" for package in packages() if package.commands}
    width = max(map(len, summaries))
    return [f"  {start.format(name.ljust(width))}  {summary}" for name, summary in summaries.items()]


def find_command(name: str, style: LineStyle = _PYTHON_CALL) -> Command:
    """Load a command by name.

    Args:
        name: As typed; two words for a command of a provider.
        style: How the front end writes lines, for the corrected line.

    Raises:
        MagicUsageError: There is none; the message names the nearest.
    """
    module = COMMANDS.get(name)
    if module is not None:
        loaded = importlib.import_module(f".{module}", __package__)
        return cast("Command", loaded.OperationCommand(operation_of(name)) if module == "operation" else loaded)
    first, _, second = name.partition(" ")
    provider = _provider_named(first)
    if provider is not None and second in provider.commands:
        return cast("Command", getattr(load_module(first, "commands"), provider.commands[second]))
    names = command_names() if provider is None else [f"{first} {command}" for command in provider.commands]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        meant = min(near, key=lambda other: (-_likeness(name, other), abs(len(other) - len(name))))
        corrected = style.start.format(meant)
        raise MagicUsageError(f"no command {name!r}; did you mean {meant}? Nothing was sent.", corrected=corrected)
    raise MagicUsageError(f"no command {name!r}; there are: {', '.join(names)}")


def run_command(command: Command, session: Session, options: argparse.Namespace) -> CommandResult:
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
    answer = dataclasses.replace(answer, notes=(*answer.notes, *session.take_notices()))
    rows = session.log.damage.take() if session.has_log else []
    if not rows:
        return answer
    sentences = [row.sentence for row in rows[:_MOST_DAMAGED]]
    if len(rows) > _MOST_DAMAGED:
        counts = session.front_end.remedy(_COUNTS_DAMAGED)
        sentences.append(f"{len(rows) - _MOST_DAMAGED} more rows are damaged. {counts}")
    return dataclasses.replace(answer, notes=(*answer.notes, *sentences))


def _provider_named(word: str) -> ProviderPackage | None:
    """Return the provider whose commands a line is about; None if its first word is no provider with commands."""
    package = None if word in COMMANDS else package_named(word)
    return package if package is not None and package.commands else None


def _help_of_provider(package: ProviderPackage, style: LineStyle) -> str:
    names = {f"{package.name} {name}": find_command(f"{package.name} {name}").SUMMARY for name in package.commands}
    lines = [style.start.format(name) for name in names]
    width = max(map(len, lines))
    listed = [f"  {line.ljust(width)}  {summary}" for line, summary in zip(lines, names.values(), strict=True)]
    return "\n".join([f"Commands for {package.summary}; -h after a command explains it:", "", *listed])


def _for_line(error: ArgumentInvalid, command: Command) -> MagicUsageError:
    """Return an error that a function worded for Python in the words of a command's line."""
    parser = LineParser("", command.SUMMARY)
    command.add_arguments(parser)
    sentence = error.on_line if error.option in parser.option_names() else error.problem
    return MagicUsageError(sentence).with_remedy(error.remedy)


def _with_dashes(word: str) -> str:
    """Return the name of a command that was typed as the name of its function, such as `remove_background`."""
    name = word.replace("_", "-")
    return name if name in COMMANDS else word


def _likeness(typed: str, name: str) -> float:
    return round(difflib.SequenceMatcher(None, typed, name).ratio(), 3)
