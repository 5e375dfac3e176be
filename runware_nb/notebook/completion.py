"""Completion of the magic's line, in JupyterLab and IPython, with no extension to install."""

from __future__ import annotations

from typing import Any

from ..errors import RunwareNBError

__all__ = ["complete_runware", "install_completion", "remove_completion"]

_TAKES_RUNS = frozenset({"show", "code", "diff", "history", "rate", "forget", "replay", "verify", "discard", "poll"})
_MODEL_OPTIONS = {"-m", "--model"}


def install_completion(shell: Any) -> None:
    """Add it to a shell. A matcher rather than a hook, since models hold `:` and `@`."""
    from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher

    @context_matcher(identifier="runware_nb")
    def matcher(context: CompletionContext) -> dict[str, Any]:
        line = context.line_with_cursor[: context.cursor_position]
        fragment, words = complete_runware(line)
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


def complete_runware(line: str) -> tuple[str, list[str]]:
    """Complete a line up to the cursor.

    Returns:
        The piece being typed, and what it may become; nothing for a line that is not ours.
    """
    from ..catalog import all_models
    from ..commands import COMMANDS, find_command
    from ..commands.arguments import LineParser
    from .parsing import cell_parser

    start = line.lstrip()
    if not start.startswith(("%runware ", "%%runware ")):
        return "", []
    words = start.split(" ")
    fragment, before = words[-1], [word for word in words[1:-1] if word]
    if before and before[-1] in _MODEL_OPTIONS:
        images = [model for model in all_models() if model.task_type == "imageInference"]
        candidates = [name for model in images for name in (model.air, *model.aliases)]
    elif start.startswith("%%"):
        candidates = cell_parser().option_names()
    elif not before:
        candidates = list(COMMANDS)
    elif before[0] in COMMANDS:
        parser = LineParser("", "")
        find_command(before[0]).add_arguments(parser)
        candidates = (
            parser.option_names() if fragment.startswith("-") else [*_recent_runs(before[0]), *parser.option_names()]
        )
    else:
        candidates = []
    return fragment, [word for word in candidates if word.startswith(fragment)]


def _recent_runs(command: str) -> list[str]:
    """Give the runs of the log for a command that wants one; a log that is not open yet is left alone."""
    from ..session import current_session

    session = current_session()
    if command not in _TAKES_RUNS or not session.has_log:
        return []
    try:
        return [run.task_uuid[:8] for run in session.log.recent(20)]
    except RunwareNBError:
        return []


def _is_ours(matcher: Any) -> bool:
    return getattr(matcher, "matcher_identifier", "") == "runware_nb"
