"""An argparse that answers in one sentence, with the corrected line, and never ends the process."""

from __future__ import annotations

import argparse
import difflib
import re
import shlex
from collections.abc import Sequence
from typing import Any, NoReturn

from ..errors import MagicUsageError

__all__ = ["HelpRequested", "LineParser", "split_line"]


class HelpRequested(Exception):
    """`-h` was asked for; carries the text."""


class _Help(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> NoReturn:
        raise HelpRequested(parser.format_help())


class LineParser(argparse.ArgumentParser):
    """A parser for one line.

    Args:
        prog: What the line begins with, such as `%%runware`.
        description: What it does.
    """

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, add_help=False, allow_abbrev=False, exit_on_error=False)
        self.add_argument("-h", "--help", action=_Help, nargs=0, help="show this")

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse words.

        Raises:
            MagicUsageError: They cannot be understood.
            HelpRequested: Help was asked for.
        """
        try:
            options, left = self.parse_known_args(list(words))
        except argparse.ArgumentError as error:
            raise MagicUsageError(f"{self.prog}: {error}") from error
        if left:
            raise self._unknown(left[0], words)
        return options

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing and exiting, as argparse does."""
        raise MagicUsageError(f"{self.prog}: {message}")

    def option_names(self) -> list[str]:
        """List every option, for completion."""
        return [name for action in self._actions for name in action.option_strings]

    def _unknown(self, word: str, words: Sequence[str]) -> MagicUsageError:
        name, equals, value = word.partition("=")
        if not name.startswith("-"):
            return MagicUsageError(f"{self.prog}: {word!r} is one word too many; quote values that hold blanks")
        known = {each.lstrip("-"): each for each in self.option_names()}  # their dashes make any two look alike
        near = difflib.get_close_matches(name.lstrip("-"), known, n=1)
        if not near:
            return MagicUsageError(f"{self.prog}: no option {name}; `{self.prog} -h` lists them")
        meant = known[near[0]]
        right = [f"{meant}{equals}{value}" if each == word else each for each in words]
        return MagicUsageError(
            f"{self.prog}: no option {name}; did you mean {meant}?", corrected=f"{self.prog} {shlex.join(right)}"
        )


_SPAN = re.compile(r"""\\[\\"' ]|'[^']*'|"(?:\\.|[^"\\])*"|\\""", re.DOTALL)


def _keep_backslash(match: re.Match[str]) -> str:
    """Double a backslash that escapes nothing; inside quotes shlex keeps it as it is."""
    return "\\\\" if match[0] == "\\" else match[0]


def split_line(line: str) -> list[str]:
    """Split a line into words the way a shell does; a backslash before anything but a quote, a blank or itself stays.

    Raises:
        MagicUsageError: A quote is open.
    """
    lexer = shlex.shlex(_SPAN.sub(_keep_backslash, line), posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError as error:
        raise MagicUsageError(f"a quote is not closed in: {line.strip()[:80]}") from error
