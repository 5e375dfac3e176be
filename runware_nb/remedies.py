"""What a user can do about an error, as data. Each front end words it in its own syntax.

A module below the front ends does not know whether its caller typed a magic, a terminal command or Python. It names the
command or the option as data, and the `Syntax` of the front end turns it into text.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Protocol

from .reprs import short_repr

__all__ = [
    "CHANGE_SERVICE",
    "COMMAND_CALL",
    "LEAVE_REPLAY",
    "LIST_RUNS",
    "PYTHON",
    "RESUME",
    "Command",
    "LineSyntax",
    "Option",
    "PythonSyntax",
    "Remedy",
    "Syntax",
    "command",
]


@short_repr()
@dataclass(frozen=True, slots=True)
class Command:
    """A command with its arguments.

    Attributes:
        name: Its name, such as `log`.
        words: Positional arguments.
        options: Names in Python spelling, with their values; True is an option without a value.
        python: The call that does the same; `rw.command(...)` if there is no function of its own.
    """

    name: str
    words: tuple[str, ...] = ()
    options: tuple[tuple[str, str | bool], ...] = ()
    python: str | None = None


@short_repr()
@dataclass(frozen=True, slots=True)
class Option:
    """An option of a command, which is a parameter in Python.

    Attributes:
        name: Name in Python spelling, such as `min_rating`.
        value: Its value on a line; True for an option without one; None where the value does not matter.
        python: The same in Python; the name by default.
    """

    name: str
    value: str | bool | None = None
    python: str | None = None


class Syntax(Protocol):
    """How a front end writes commands and options."""

    def command(self, command: Command) -> str:
        """Return a command as the user would type it."""

    def option(self, option: Option) -> str:
        """Return an option as the user would type it."""


@short_repr()
@dataclass(frozen=True, slots=True)
class Remedy:
    """Sentences that state what to do.

    Attributes:
        template: The sentences, with `{0}`, `{1}` for the terms. Text of a user belongs into a term, where braces mean
            nothing.
        terms: Commands and options.
    """

    template: str
    terms: tuple[Command | Option, ...] = ()

    def word(self, syntax: Syntax) -> str:
        """Return the sentences in the syntax of a front end."""
        written = [syntax.command(term) if isinstance(term, Command) else syntax.option(term) for term in self.terms]
        return self.template.format(*(f"`{text}`" for text in written))


def command(name: str, *words: str, python: str | None = None, **options: str | bool) -> Command:
    """Return a command as it is written in Python: `command("budget", "5", all=True)`."""
    return Command(name, words, tuple(options.items()), python)


@short_repr()
@dataclass(frozen=True, slots=True)
class PythonSyntax:
    """Calls of functions, under the name `rw`.

    Attributes:
        is_command_call: Whether the user called `rw.command`, whose parameters are the options of a line.
    """

    is_command_call: bool = False

    def command(self, command: Command) -> str:
        """Return the call of a function."""
        if command.python is not None:
            return command.python
        words = [_quoted(word) for word in (command.name, *command.words)]
        words += [f"{name}={_python_value(value)}" for name, value in command.options]
        return f"rw.command({', '.join(words)})"

    def option(self, option: Option) -> str:
        """Return a parameter."""
        if option.python is not None and not self.is_command_call:
            return option.python
        return option.name if option.value is None else f"{option.name}={_python_value(option.value)}"


@short_repr()
@dataclass(frozen=True, slots=True)
class LineSyntax:
    """Lines of words, such as those of a terminal.

    Attributes:
        prefix: The first word of each line.
        provider_prefix: What a command of a provider, such as `runkey task`, begins with: `%` in a notebook, where the
            provider has a magic of its own. By default, it follows the first word as other commands do.
    """

    prefix: str
    provider_prefix: str = ""

    def command(self, command: Command) -> str:
        """Return a line."""
        words = [shlex.quote(word) for word in command.words]
        for name, value in command.options:
            words += [_flag(name)] if value is True else [_flag(name), shlex.quote(str(value))]
        if self.provider_prefix and " " in command.name:
            return " ".join([self.provider_prefix + command.name, *words])
        return " ".join([self.prefix, command.name, *words])

    def option(self, option: Option) -> str:
        """Return an option with its dashes."""
        return f"{_flag(option.name)} {option.value}" if isinstance(option.value, str) else _flag(option.name)


PYTHON = PythonSyntax()
"""The syntax of errors that no front end has worded."""
COMMAND_CALL = PythonSyntax(is_command_call=True)
"""The syntax of `rw.command`."""


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _python_value(value: str | bool) -> str:
    return str(value) if isinstance(value, bool) else _quoted(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


RESUME = command("resume", python="rw.resume()")
LIST_RUNS = Remedy("{0} lists the runs.", (command("log", python="rw.log.select()"),))
LEAVE_REPLAY = Remedy("{0} uses the service again.", (command("config", "mode", "live"),))
CHANGE_SERVICE = Remedy(
    "{0} starts the sandbox, and {1} returns to the service.", (command("sandbox"), command("sandbox", stop=True))
)
