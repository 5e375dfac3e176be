"""The commands for a terminal: JSON on stdout, sentences on stderr, exit 0, 1 or 2."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from . import __version__
from .commands import COMMANDS, Answer, find_command
from .commands.arguments import HelpRequested, LineParser
from .commands.correcting import corrected_line
from .commands.image_options import refuse_keys
from .errors import ConfigError, MagicUsageError, NotConfirmed, RunwareNBError, TaskError, TaskInvalid
from .loop import WaitInterrupted

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0; 1 when the service said no, nothing was found or it could not be reached; 2 for wrong usage.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in {"-h", "--help"}:
        print(_usage())  # noqa: T201 - what a terminal is for
        return 0 if words else 2
    if words[0] in {"-V", "--version"}:
        print(f"runware-nb {__version__}")  # noqa: T201 - what a terminal is for
        return 0
    try:
        return _run(words[0], words[1:])
    except HelpRequested as help_text:
        print(help_text)  # noqa: T201 - what a terminal is for
        return 0
    except (MagicUsageError, ConfigError, NotConfirmed) as error:
        _say("\n".join(error._render_traceback_()))
        return 2
    except TaskInvalid as error:
        _print_errors(error)
        return 1 if error.raw else 2
    except TaskError as error:
        _print_errors(error)
        return 1
    except RunwareNBError as error:
        _say(f"{type(error).__name__}: {error}")
        return 1
    except WaitInterrupted as error:
        _say(str(error))
        return 130
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(name: str, words: list[str]) -> int:
    if name == "sandbox":
        return _foreground_sandbox(words)
    command = find_command(name)
    parser = LineParser(f"runware-nb {name}", command.SUMMARY)
    command.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="JSON even when a person is reading")
    refuse_keys(words)
    options = parser.read(words)
    from .session import current_session
    from .session.hooks import hooks

    if sys.stdin.isatty() and sys.stderr.isatty():
        hooks.ask = _ask
    if sys.stderr.isatty():
        hooks.show_progress = _show_progress
    try:
        answer = command.run(current_session(), options)
    except TaskInvalid as error:
        error.corrected = corrected_line(f"runware-nb {name}", words, error)
        raise
    if answer.job is not None:
        answer = _wait(answer)
    as_json = options.json or not sys.stdout.isatty()
    for note in answer.notes + (answer.json_notes if as_json else ()):
        _say(note)
    if as_json:
        print(json.dumps(answer.json, indent=2, ensure_ascii=False))  # noqa: T201 - the answer
    else:
        print(answer.bundle.get("text/plain", ""))  # noqa: T201 - the answer
    return int(answer.is_failure)


def _wait(answer: Answer) -> Answer:
    from .commands.text_to_image import answer_of
    from .session.show import render_outcome

    job = answer.job
    assert job is not None
    try:
        outcome = job.result()
    except RunwareNBError:
        for notice in job.notices:
            _say(notice)
        raise
    written = answer_of(outcome)
    shown = render_outcome(outcome)["text/plain"]
    bundle = {"text/plain": "\n".join([shown, *written["files"]])}
    return Answer(bundle, written, tuple(job.notices), is_failure=bool(outcome.errors))


def _ask(question: str) -> bool:
    """Ask on stderr: stdout is for the answer."""
    print(question, end="", file=sys.stderr, flush=True)  # noqa: T201 - a question to a person
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _show_progress(done: int, total: int, what: str) -> None:
    end = "\n" if done == total else ""
    print(f"\r{done} of {total} {what}", end=end, file=sys.stderr, flush=True)  # noqa: T201 - to a person


def _foreground_sandbox(words: list[str]) -> int:
    """Become the sandbox: it is a program of its own, and shares no code with the client."""
    command = [sys.executable, "-m", "runware_nb.sandbox", *words]
    if os.name == "posix":
        sys.stdout.flush()
        os.execv(sys.executable, command)  # noqa: S606 - our own module, no shell
    import subprocess

    return subprocess.call(command)  # noqa: S603 - our own module, no shell


def _print_errors(error: TaskError) -> None:
    _say("\n".join(error._render_traceback_()))
    if error.raw:
        print(json.dumps({"data": [], "errors": [error.raw]}, indent=2, ensure_ascii=False))  # noqa: T201 - the answer


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)  # noqa: T201 - beside the answer


def _usage() -> str:
    lines = ["usage: runware-nb COMMAND [options]; -h after a command explains it", ""]
    width = max(map(len, COMMANDS))
    lines += [f"  {name.ljust(width)}  {find_command(name).SUMMARY}" for name in COMMANDS]
    return "\n".join(lines)
