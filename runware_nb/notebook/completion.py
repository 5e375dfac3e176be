"""Completion of the magic's line, in JupyterLab and IPython, with no extension to install."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..core.operations import OPERATIONS, TEXT_TO_IMAGE
from .provider_magics import has_magic

__all__ = ["complete_runware", "complete_saved_prompt", "install_completion", "remove_completion"]

_SAVED = re.compile(r"\{@[\w/-]*$")


def install_completion(shell: Any) -> None:
    """Add it to a shell. A matcher rather than a hook, since models hold `:` and `@`."""
    from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher

    @context_matcher(identifier="runware_nb")
    def matcher(context: CompletionContext) -> dict[str, Any]:
        line = context.line_with_cursor[: context.cursor_position]
        fragment, words = complete_runware(line, shell.user_ns)
        if not words and context.full_text.lstrip().startswith("%%runware"):
            fragment, words = complete_saved_prompt(line)
        return {
            "completions": [SimpleCompletion(word, type="param") for word in words],
            "matched_fragment": fragment,
            "suppress": bool(words),
        }

    completer = getattr(shell, "Completer", None)
    if completer is not None and hasattr(completer, "custom_matchers"):
        completer.custom_matchers = [m for m in completer.custom_matchers if not _is_ours(m)] + [matcher]


def remove_completion(shell: Any) -> None:
    """Take it out again."""
    completer = getattr(shell, "Completer", None)
    if completer is not None and hasattr(completer, "custom_matchers"):
        completer.custom_matchers = [m for m in completer.custom_matchers if not _is_ours(m)]


def complete_runware(line: str, names: Mapping[str, Any] = MappingProxyType({})) -> tuple[str, list[str]]:
    """Complete a line up to the cursor.

    Args:
        line: What stands before the cursor.
        names: The user's variables.

    Returns:
        The piece being typed, and what it may become; nothing for a line that is not ours.
    """
    start = line.lstrip()
    words = start.split(" ")
    fragment, before = words[-1], [word for word in words[1:-1] if word]
    if start.startswith(("%runware ", "%%runware ")):
        found = _candidates(before, fragment, names, is_cell=start.startswith("%%"))
    elif start.startswith("%") and len(words) > 1 and has_magic(words[0].lstrip("%")):
        is_cell = start.startswith("%%")
        found = _of_provider(words[0].lstrip("%"), ["run", *before] if is_cell else before, fragment)
    else:
        return "", []
    words = [word for word in dict.fromkeys(found) if word.startswith(fragment)]
    if not words:
        piece, saved = complete_saved_prompt(fragment)
        words = [fragment.removesuffix(piece) + name for name in saved]
    return fragment, words


def complete_saved_prompt(line: str) -> tuple[str, list[str]]:
    """Complete `{@` in a prompt up to the cursor with the names of saved prompts.

    Args:
        line: What stands before the cursor.

    Returns:
        The piece being typed, and what it may become.
    """
    match = _SAVED.search(line)
    if match is None:
        return "", []
    from ..session import current_session

    names = [f"{{@{name}}}" for name in current_session().prompts.names()]
    return match[0], [name for name in names if name.startswith(match[0])]


def _candidates(before: list[str], fragment: str, names: Mapping[str, Any], *, is_cell: bool) -> list[str]:
    from ..commands import COMMANDS, find_command
    from ..commands.arguments import LineParser
    from ..session import current_session
    from .completion_values import after_command, after_option
    from .parsing import add_run_placement, cell_parser

    session = current_session()
    cells = [operation.name for operation in OPERATIONS if operation.function is not None]
    is_image_cell = is_cell and (not before or before[0] not in cells)
    if not before:
        return [*cell_parser().option_names(), *cells] if is_cell else list(COMMANDS)
    values = after_option(before[-1], session, names, TEXT_TO_IMAGE.name if is_image_cell else before[0], fragment)
    if values is not None:
        return values
    if is_image_cell or (is_cell and before[0] == TEXT_TO_IMAGE.name):
        return cell_parser().option_names()
    if before[0] not in COMMANDS:
        return []
    parser = LineParser("", "")
    command = find_command(before[0])
    command.add_arguments(parser)
    add_run_placement(parser, command)
    if before == ["prompt"]:
        return parser.values_of("") or []
    options = parser.option_names()
    return options if fragment.startswith("-") else [*after_command(before[0], session, names, fragment), *options]


def _of_provider(name: str, before: list[str], fragment: str) -> list[str]:
    """List what may follow on the line of a provider's magic."""
    from ..commands.arguments import LineParser
    from ..commands.dispatch import command_names, find_command

    names = [second for first, _, second in (command.partition(" ") for command in command_names()) if first == name]
    if not before:
        return [command for command in names if command]
    if before[0] not in names:
        return []
    parser = LineParser("", "")
    find_command(f"{name} {before[0]}").add_arguments(parser)
    values = parser.values_of(before[-1])
    if values is not None:
        return values
    words = [] if fragment.startswith("-") else parser.values_of("") or []
    complete = getattr(find_command(f"{name} {before[0]}"), "complete", None)
    if complete is not None and not fragment.startswith("-"):
        from ..session import current_session
        from .completion_values import typable

        words += typable(complete(current_session(), before[1:]))
    return [*words, *parser.option_names()]


def _is_ours(matcher: Any) -> bool:
    return getattr(matcher, "matcher_identifier", "") == "runware_nb"
