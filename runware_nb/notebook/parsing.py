"""From a cell to a request: pure functions, no I/O."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..commands import COMMANDS, Command
from ..commands.arguments import LineParser, is_negative_number, quote_typed, split_line
from ..commands.dispatch import CommandCall
from ..commands.image_options import add_image_options, refuse_keys
from ..commands.infotext_block import take_block
from ..commands.names import fill_names, notice_about
from ..commands.prompts_in import add_prompt_options, line_values, parse_values, typed_words
from ..core.operations import OPERATIONS, TEXT_TO_IMAGE
from ..errors import MagicUsageError
from ..reprs import short_repr

__all__ = [
    "CellRequest",
    "OperationCell",
    "Placement",
    "add_run_placement",
    "cell_parser",
    "fill_line",
    "parse_cell",
    "parse_operation_cell",
    "placement_of",
]


_OPERATIONS = [[operation.name] for operation in OPERATIONS if operation.function is not None]
_CELLS = [operation.name for operation in OPERATIONS if operation.function is not None]


@short_repr()
@dataclass(frozen=True, slots=True)
class CellRequest:
    """What a `%%runware` cell asks for.

    Attributes:
        options: The line, parsed.
        template: The body as typed.
        unfilled: The prompt in it as typed, without a block of parameters.
        prompt: The same with names filled in.
        output: Name to bind the result to; None for only `_rw`.
        background: Do not wait.
        quiet: Show nothing.
        notes: What a block of parameters below the prompt says and cannot be sent.
        notice: A sentence about names in braces that were not replaced; None if there are none.
    """

    options: argparse.Namespace
    template: str
    unfilled: str
    prompt: str
    output: str | None
    background: bool
    quiet: bool
    notes: tuple[str, ...] = ()
    notice: str | None = None


@short_repr()
@dataclass(frozen=True, slots=True)
class Placement:
    """What becomes of the run of a command, in a notebook.

    Attributes:
        output: Name to bind the result to; None for only `_rw`.
        background: Whether the cell does not wait.
        quiet: Whether nothing is shown.
    """

    output: str | None = None
    background: bool = False
    quiet: bool = False


@short_repr()
@dataclass(frozen=True, slots=True)
class OperationCell:
    """What a cell such as `%%runware video` asks for.

    Attributes:
        words: The line, with names filled in; the first word is the name of the operation.
        typed: The same words as typed.
        template: The body as typed.
        body: The body with names filled in.
        notice: A sentence about names in braces that were not replaced; None if there are none.
    """

    words: list[str]
    typed: list[str]
    template: str
    body: str
    notice: str | None = None


def add_run_placement(parser: LineParser, command: Command) -> None:
    """Declare the options that state what becomes of a run, for commands that have `IS_RUN` set."""
    if not getattr(command, "IS_RUN", False):
        return
    group = parser.add_argument_group("cell")
    group.add_argument("-o", "--output", metavar="NAME", help="bind the result to a name; _rw always holds the last")
    group.add_argument("-b", "--background", action="store_true", help="do not wait")
    group.add_argument("-q", "--quiet", action="store_true", help="show nothing")


def placement_of(call: CommandCall) -> Placement:
    """Return what a line states about the place of its run.

    Raises:
        MagicUsageError: The name is not a Python name.
    """
    if not getattr(call.command, "IS_RUN", False):
        return Placement()
    options = call.options
    _check_output(options.output)
    return Placement(options.output, options.background, options.quiet)


def _check_output(name: str | None) -> None:
    if name is not None and not name.isidentifier():
        raise MagicUsageError(f"-o {name}: it is a Python name, such as -o ships")


def cell_parser() -> LineParser:
    """Make the parser of the `%%runware` line."""
    parser = LineParser("%%runware", "Generate images; the cell's body is the prompt, whatever text it is.")
    add_image_options(parser)
    add_prompt_options(parser, for_images=True)
    group = parser.add_argument_group("cell")
    group.add_argument("-o", "--output", metavar="NAME", help="bind the result to a name; _rw always holds the last")
    group.add_argument("-b", "--background", action="store_true", help="do not wait")
    group.add_argument("--dry-run", action="store_true", help="show request and price, send nothing")
    group.add_argument("--tag", action="append", default=[], metavar="T", help="label for the log; repeatable")
    group.add_argument("--note", metavar="TEXT", help="note for the log")
    group.add_argument("-q", "--quiet", action="store_true", help="show nothing")
    return parser


def parse_cell(line: str, body: str, names: Mapping[str, Any], *, keys: tuple[str, ...] = ()) -> CellRequest:
    """Read a `%%runware` cell.

    Args:
        line: What stands behind `%%runware`.
        body: The prompt; line breaks around it are not part of it.
        names: The user's variables.
        keys: Keys in use, refused on the line.

    Raises:
        MagicUsageError: The line cannot be understood, or there is no prompt.
        HelpRequested: `-h` stands on the line.
    """
    words, problems = fill_line(line, names)
    refuse_keys(words, keys)
    typed = split_line(line)
    if words and words[0] == TEXT_TO_IMAGE.name:
        del words[0], typed[0]
    if words and words[0] in COMMANDS:
        raise MagicUsageError(
            f"%%runware takes options, and the prompt below them. The command {words[0]} has one %.",
            corrected=f"%runware {line.strip()}",
        )
    near = difflib.get_close_matches(words[0], _CELLS, n=1, cutoff=0.7) if words and words[0][:1] != "-" else []
    if near:
        rest = [near[0], *typed[1:]]
        raise MagicUsageError(
            f"There is no operation {words[0]!r}. Did you mean {near[0]}? Nothing was sent.",
            corrected=" ".join(["%%runware", *map(quote_typed, rest)]),
        )
    options = cell_parser().read(words, typed)
    options.typed_words = typed_words(words, typed)
    template = body.strip("\r\n")
    if not template.strip() and options.vary is None:  # else the prompt is that of the earlier image
        raise MagicUsageError("the prompt is empty: write what to draw below the %%runware line. Nothing was sent.")
    _check_output(options.output)
    names = _with_values(parse_values(options.var), names)
    is_on_line = options.negative is not None
    drawn, notes = take_block(options, template)
    if not drawn.strip() and options.vary is None:
        raise MagicUsageError("the prompt is empty: write what to draw above the parameters. Nothing was sent.")
    if options.negative is not None and not is_on_line:
        negative = fill_names(options.negative, names, leaves_texts=True)
        options.typed_words[negative.text] = options.negative
        options.negative = negative.text
        problems += negative.problems
    prompt = fill_names(drawn, names, leaves_texts=True)
    return CellRequest(
        options=options,
        template=template,
        unfilled=drawn,
        prompt=prompt.text,
        output=options.output,
        background=options.background,
        quiet=options.quiet,
        notes=notes,
        notice=notice_about([*prompt.problems, *problems]),
    )


def parse_operation_cell(line: str, body: str, names: Mapping[str, Any]) -> OperationCell | None:
    """Parse a cell whose line begins with the name of an operation.

    Args:
        line: What follows `%%runware`.
        body: The prompt; line breaks around it are not part of it.
        names: The user's variables.

    Returns:
        The parsed cell; None for the cell of `text-to-image`, and if the first word is not an operation.

    Raises:
        MagicUsageError: A quote is open, or a value would be taken for an option.
    """
    first = line.split(maxsplit=1)[:1]
    if first and first[0].replace("_", "-") in _CELLS:
        first = [first[0].replace("_", "-")]
    if first == [TEXT_TO_IMAGE.name] or first not in _OPERATIONS:
        return None
    words, problems = fill_line(line, names)
    template = body.strip("\r\n")
    prompt = fill_names(template, _with_values(line_values(words), names), leaves_texts=True)
    notice = notice_about([*prompt.problems, *problems])
    return OperationCell(words, split_line(line), template, prompt.text, notice)


def fill_line(line: str, names: Mapping[str, Any]) -> tuple[list[str], list[tuple[str, str]]]:
    """Split a line into words and replace the names in braces in each.

    Returns:
        The words, and what was not replaced, each with the reason.

    Raises:
        MagicUsageError: A quote is open, or a value would be taken for an option.
    """
    typed = split_line(line)
    names = _with_values(line_values([fill_names(word, names).text for word in typed]), names)
    filled = [fill_names(word, names, leaves_texts=True) for word in typed]
    for word, result in zip(typed, filled, strict=True):
        # A prompt from a file must not be able to pass options such as --yes, which agrees to any price.
        if result.text.startswith("-") and not word.startswith("-") and not is_negative_number(result.text):
            raise MagicUsageError(
                f"The value of {word} begins with a dash ({result.text[:40]!r}) and would be taken for an option. "
                f"Write the option and its value as one word, such as --prompt={word}. Nothing was sent."
            )
    return [word.text for word in filled], [problem for word in filled for problem in word.problems]


def _with_values(values: dict[str, str], names: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the user's variables below the values of `-v` options."""
    return {**names, **values} if values else names
