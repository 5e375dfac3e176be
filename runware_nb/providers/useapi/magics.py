"""The cell magic of useapi.net: `%%useapi [video|image|frames|PATH]` with the prompt below it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from ...commands.arguments import split_line
from ...commands.dispatch import LineStyle
from ...commands.names import fill_names, notice_about
from ...errors import MagicUsageError
from ...notebook.parsing import fill_line
from .models import ENDPOINTS
from .options import KINDS, find_path
from .package import PACKAGE

if TYPE_CHECKING:
    from ...notebook.magic_runner import Runner

__all__ = ["run_cell"]

_STYLE = LineStyle("%%{}")
_DEFAULT = "video"


def run_cell(runner: Runner, line: str, cell: str) -> None:
    """Generate with the body of a cell as the prompt. The first word names the create call; it is `video` without one.

    Names in braces are filled in, on the line and in the prompt.

    Raises:
        RunwareNBError: One sentence about what is wrong.
    """
    words, problems = fill_line(line, runner.names)
    typed = split_line(line)
    kind, words, typed = _kind_of(words, typed, line)
    template = cell.strip("\r\n")
    prompt = fill_names(template, runner.names)
    values = {"prompt": prompt.text, "template": template} if template.strip() else {}
    runner.run_words(
        ["useapi", *kind, *words],
        typed=["useapi", *kind, *typed],
        notice=notice_about([*prompt.problems, *problems]),
        style=_STYLE,
        values=values,
    )


def _kind_of(words: list[str], typed: list[str], line: str) -> tuple[list[str], list[str], list[str]]:
    """Return the command that a line means, and what remains of the line.

    Raises:
        MagicUsageError: The first word is a command that has no cells, or no create call.
    """
    if not words or words[0].startswith("-"):
        return [_DEFAULT], words, typed
    first = words[0]
    if first == "create":
        return ["create"], words[1:], typed[1:]
    if first in KINDS:
        return [first], words[1:], typed[1:]
    if find_path(first) is not None:
        return ["create"], words, typed
    if first in PACKAGE.commands:
        raise MagicUsageError(
            f"%%useapi expects options, and the prompt below them. Write the command {first} with one %.",
            corrected=f"%useapi {line.strip()}",
        )
    near = difflib.get_close_matches(first, [*KINDS, *ENDPOINTS], n=1)
    if near:
        raise MagicUsageError(
            f"Unknown create call {first!r} after %%useapi. Did you mean {near[0]}? The prompt belongs below the line. "
            "Nothing was sent.",
            corrected=" ".join(["%%useapi", near[0], *typed[1:]]),
        )
    raise MagicUsageError(
        f"Unknown create call {first!r} after %%useapi: expected {', '.join(KINDS)} or a path such as gen4/create. "
        "The prompt belongs below the line. Nothing was sent."
    )
