"""An argparse that answers in one sentence, with the corrected line, and never ends the process."""

from __future__ import annotations

import argparse
import difflib
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from ..errors import MagicUsageError

__all__ = ["HelpRequested", "LineParser", "is_negative_number", "quote_typed", "split_line", "whole_number"]

_ONE_WORD_TEXT = frozenset({
    "prompt", "negative", "note", "tag", "scheduler", "lora", "reference_images", "set", "system", "speech", "voice",
})  # fmt: skip
"""Options of text where a second word without quotes would become part of the prompt, without a message."""
_NEVER_BLANK = frozenset({"output", "format", "acceleration"})
"""Options whose values contain no blanks, so that quotes would not correct the line."""
_NEGATIVE_NUMBER = re.compile(r"-\d+(?:\.\d*)?|-\.\d+")
_SAFE_WORD = re.compile(r"[\w@%+=:,./#{}-]+", re.ASCII)


class HelpRequested(Exception):
    """`-h` was asked for; carries the text."""


class _Help(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> NoReturn:
        raise HelpRequested(parser.format_help())


@dataclass(frozen=True, slots=True)
class _Segment:
    """An option on a line with the words without a dash that follow it.

    Attributes:
        action: The option.
        start: Position of the option.
        first: Position of the first word behind the option and its value.
        end: Position behind the last of these words.
        is_one_word: Whether its value is one word without blanks, and not attached to the option with `=`.
    """

    action: argparse.Action
    start: int
    first: int
    end: int
    is_one_word: bool

    @property
    def has_strays(self) -> bool:
        return self.end > self.first

    @property
    def takes_text(self) -> bool:
        return self.action.nargs is None and self.action.type is None and self.action.dest not in _NEVER_BLANK


class LineParser(argparse.ArgumentParser):
    """A parser for one line.

    Args:
        prog: What the line begins with, such as `%%runware`.
        description: What it does.
    """

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, add_help=False, allow_abbrev=False, exit_on_error=False)
        self.add_argument("-h", "--help", action=_Help, nargs=0, help="show this")

    def read(self, words: Sequence[str], typed: Sequence[str] | None = None) -> argparse.Namespace:
        """Parse words.

        Args:
            words: The line.
            typed: The same words before names in braces were replaced, for the corrected line.

        Raises:
            MagicUsageError: They cannot be understood, or a word may belong to an option or to the prompt.
            HelpRequested: Help was asked for.
        """
        words = list(words)
        typed = words if typed is None else list(typed)
        options = self._parse(words, typed)
        if any(action.dest == "words" for action in self._actions):
            self._refuse_ambiguous(words, typed)
        return options

    def _parse(self, words: list[str], typed: list[str]) -> argparse.Namespace:
        try:
            options, left = self.parse_known_args(words)
        except argparse.ArgumentError as error:
            raise MagicUsageError(f"{self.prog}: {error}") from error
        if hasattr(options, "pairs") and all("=" in word and not word.startswith("-") for word in left):
            # argparse takes the words without a dash from one place only; those behind an option mean the same
            options.pairs = [*options.pairs, *left]
        elif left:
            raise self._unknown(left[0], words, typed)
        return options

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing and exiting, as argparse does."""
        raise MagicUsageError(f"{self.prog}: {message}")

    def option_names(self) -> list[str]:
        """List every option, for completion."""
        return [name for action in self._actions for name in action.option_strings]

    def values_of(self, option: str) -> list[str] | None:
        """Return the allowed values of an option, or of the words without one if it is ""; None if any is allowed."""
        actions = [action for action in self._actions if option in (action.option_strings or [""])]
        values = [str(value) for action in actions for value in action.choices or ()]
        return values or None

    def _unknown(self, word: str, words: list[str], typed: list[str]) -> MagicUsageError:
        name, equals, value = word.partition("=")
        if not name.startswith("-"):
            return self._one_word_too_many(word, words, typed)
        known = {option.lstrip("-"): option for option in self.option_names()}  # their dashes make any two look alike
        near = difflib.get_close_matches(name.lstrip("-"), known, n=1)
        if not near:
            return MagicUsageError(
                f"{self.prog}: unknown option {name}; `{self.prog} -h` lists them. Nothing was sent."
            )
        meant = known[near[0]]
        right = [f"{meant}{equals}{value}" if one == word else as_typed
                 for one, as_typed in zip(words, typed, strict=True)]  # fmt: skip
        return MagicUsageError(
            f"{self.prog}: unknown option {name}; did you mean {meant}? Nothing was sent.", corrected=self._line(right)
        )

    def _one_word_too_many(self, word: str, words: list[str], typed: list[str]) -> MagicUsageError:
        message = f"{self.prog}: {word!r} is one word too many. Quote values that contain blanks. Nothing was sent."
        corrected = self._that_works(self._joined(words, typed)) or self._that_works(self._prompt_first(words, typed))
        return MagicUsageError(message, corrected=corrected)

    def _refuse_ambiguous(self, words: list[str], typed: list[str]) -> None:
        """Refuse `--negative blurry text`: nothing tells whether *text* belongs to the option or to the prompt."""
        one = next(self._ambiguous(words), None)
        if one is None:
            return
        option, value = words[one.start], words[one.start + 1]
        strays = " ".join(words[one.first : one.end])
        is_prompt = one.action.dest == "prompt"
        has_prompt = not words[0].startswith("-") or any(a.action.dest == "prompt" for a in self._segments(words))
        if is_prompt or has_prompt:
            right = self._joined(words, typed)
        else:  # a prompt is needed, so these words are more likely to be the prompt
            right = [" ".join(typed[one.first : one.end]), *typed[: one.first], *typed[one.end :]]
        doubt = "is not part of its value" if is_prompt else f"may belong to {option} or to the prompt"
        raise MagicUsageError(
            f"{self.prog}: {strays!r} after {option} {value} {doubt}. Quote values that contain blanks"
            f"{'' if is_prompt else ', and write the prompt first'}. Nothing was sent.",
            corrected=self._that_works(right),
        )

    def _ambiguous(self, words: list[str]) -> Iterator[_Segment]:
        for one in self._segments(words):
            is_quoted = one.has_strays and re.search(r"\s", words[one.first]) is not None  # a value of its own
            if one.has_strays and not is_quoted and one.is_one_word and one.action.dest in _ONE_WORD_TEXT:
                yield one

    def _segments(self, words: list[str]) -> Iterator[_Segment]:
        position = 0
        while position < len(words) and words[position] != "--":
            name, equals, _ = words[position].partition("=")
            action = self._option_string_actions.get(name)
            if action is None:
                position += 1
                continue
            takes_next = action.nargs is None and not equals
            first = min(position + (2 if takes_next else 1), len(words))
            end = first
            while end < len(words) and (not words[end].startswith("-") or is_negative_number(words[end])):
                end += 1
            is_one_word = takes_next and first == position + 2 and not re.search(r"\s", words[position + 1])
            yield _Segment(action, position, first, end, is_one_word)
            position = end

    def _joined(self, words: list[str], typed: list[str]) -> list[str]:
        """Return the line with the words behind each option of text joined to its value."""
        right: list[str] = []
        position = 0
        for one in self._segments(words):
            right += typed[position : one.start]
            if one.has_strays and one.takes_text:
                right += [*typed[one.start : one.first - 1], " ".join(typed[one.first - 1 : one.end])]
            else:
                right += typed[one.start : one.end]
            position = one.end
        return [*right, *typed[position:]]

    def _prompt_first(self, words: list[str], typed: list[str]) -> list[str]:
        """Return the line with all words that belong to no option in front, as one."""
        loose: list[str] = []
        options: list[str] = []
        position = 0
        for one in self._segments(words):
            loose += [*typed[position : one.start], *typed[one.first : one.end]]
            options += typed[one.start : one.first]
            position = one.end
        return [" ".join([*loose, *typed[position:]]), *options]

    def _that_works(self, right: list[str]) -> str | None:
        """Return a corrected line, or None if it would be refused too."""
        try:
            left = self.parse_known_args(right)[1]
        except (argparse.ArgumentError, MagicUsageError, HelpRequested):
            return None
        return None if left or any(self._ambiguous(right)) else self._line(right)

    def _line(self, words: Sequence[str]) -> str:
        return " ".join([self.prog, *map(quote_typed, words)])


def is_negative_number(word: str) -> bool:
    """Return whether a word that begins with a dash is a number, and no option."""
    return _NEGATIVE_NUMBER.fullmatch(word) is not None


def whole_number(text: str) -> int:
    """Parse a whole number; `7.0` is 7, as a variable may hold it.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        value = 0.5
    if not value.is_integer():
        raise argparse.ArgumentTypeError(f"expected a whole number, not {text!r}")
    return int(value)


def quote_typed(word: str) -> str:
    """Quote a word for a line, where it needs quotes. Names in braces stay names, unlike in `quote_word`."""
    return word if _SAFE_WORD.fullmatch(word) else "'" + word.replace("'", "'\"'\"'") + "'"


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
