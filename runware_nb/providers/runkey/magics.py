"""The cell magic of RunKey.ai: `%%runkey TEMPLATE` with the input below it, as JSON or TOML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...commands.arguments import split_line
from ...commands.dispatch import LineStyle
from ...commands.names import notice_about
from ...commands.object_input import fill_strings, parse_object, refuse_keys_inside
from ...errors import MagicUsageError
from ...notebook.parsing import fill_line
from .package import PACKAGE

if TYPE_CHECKING:
    from ...notebook.magic_runner import Runner

__all__ = ["run_cell"]

_STYLE = LineStyle("%%runkey")


def run_cell(runner: Runner, line: str, cell: str) -> None:
    """Run a template with the body of a cell as its input.

    Names in braces are filled in after the body was parsed, and only in its texts: see `fill_strings`.

    Raises:
        RunwareNBError: One sentence about what is wrong.
    """
    words, problems = fill_line(line, runner.names)
    if words and words[0] in PACKAGE.commands:
        rest = " ".join(split_line(line)[1:])
        corrected = f"%%runkey {rest}" if words[0] == "run" else f"%runkey {line.strip()}"
        raise MagicUsageError(
            f"%%runkey expects a template id, and the input below it. Write the command {words[0]} with one %.",
            corrected=corrected.strip(),
        )
    body: dict[str, object] = {}
    typed_prompt = None
    if "-h" not in words and "--help" not in words:
        if not words:
            raise MagicUsageError(
                "%%runkey has no template. Write its id on the line, such as %%runkey tpl_abc123, and the input below "
                "it as JSON or TOML. Nothing was sent."
            )
        parsed = parse_object(cell, where="the cell")
        refuse_keys_inside(parsed)
        body, unfilled = fill_strings(parsed, runner.names)
        problems += unfilled
        typed_prompt = next((parsed[name] for name in ("prompt", "text") if isinstance(parsed.get(name), str)), None)
    runner.run_words(
        ["runkey", "run", *words],
        typed=["runkey", "run", *split_line(line)],
        notice=notice_about(problems),
        style=_STYLE,
        values={"body": body, "typed_prompt": typed_prompt},
    )
