"""The commands for a terminal: JSON on stdout, sentences on stderr, exit 0, 1 or 2."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import IO, Any, TextIO

from . import __version__
from .commands import Command, CommandResult
from .commands.arguments import HelpRequested, LineParser
from .commands.dispatch import LineStyle, list_commands, read_line
from .engine.front_end import ScriptFrontEnd, use_front_end
from .errors import ConfigError, MagicUsageError, NotConfirmed, RunwareNBError, TaskError, TaskInvalid
from .loop import WaitInterrupted
from .printable import printable, printable_json
from .providers.runware.operations import option_of_field
from .remedies import LineSyntax
from .settings import child_environment

__all__ = ["TerminalFrontEnd", "main"]

_SYNTAX = LineSyntax("runware-nb")
_STYLE = LineStyle("runware-nb {}")
_BROKEN_PIPE = 141
"""128 and the number of SIGPIPE, by which other tools end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0; 1 if the service refused, nothing was found, it could not be reached or the output could not be written; 2
        for wrong usage; 130 after Ctrl-C; 141 if the reader of the output ended first, as for any Unix tool.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = _main(words)
        _print()  # flushes whatever a command printed
    except (_ReaderGone, BrokenPipeError):
        status = _BROKEN_PIPE
    except _CannotWrite as error:
        with contextlib.suppress(_ReaderGone):
            _say(f"runware-nb: cannot write the output: {error}")
        status = 1
    except Exception:  # noqa: BLE001 - a fault of ours: Python would print the same, with whatever its message contains
        with contextlib.suppress(_ReaderGone):
            _say(traceback.format_exc(), end="")
        status = 1
    _leave_nothing_to_flush()
    return status


def _main(words: list[str]) -> int:
    if not words or words[0] in {"-h", "--help"}:
        _print(_usage())
        return 0 if words else 2
    if words[0] in {"-V", "--version"}:
        _print(f"runware-nb {__version__}")
        return 0
    try:
        earlier = use_front_end(TerminalFrontEnd())
        try:
            return _run(words)
        except RunwareNBError as error:
            error.syntax = _SYNTAX
            if isinstance(error, TaskError):
                error.flag = option_of_field(error.parameter)
            raise
        finally:
            use_front_end(earlier)
    except HelpRequested as help_text:
        _print(str(help_text))
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


def _run(words: list[str]) -> int:
    if words[0] == "sandbox":
        return _foreground_sandbox(words[1:])
    call = read_line(words, _STYLE, extend=_add_json)
    from .session import current_session

    answer = call.run(current_session())
    as_json = call.options.json or not _is_terminal(sys.stdout)
    if answer.job is not None:
        answer = _wait(answer, prints_text=not as_json)
    for note in answer.notes + (answer.json_notes if as_json else ()):
        _say(note)
    if as_json:
        _print(printable_json(answer.json, indent=2 if answer.stream is None else None))
    else:
        _print(answer.bundle.get("text/plain", ""))
    if answer.stream is not None:
        _print_stream(answer.stream, as_json=as_json)
    return int(answer.is_failure)


def _print_stream(stream: Iterator[tuple[str, Any]], *, as_json: bool) -> None:
    """Print what a command reports until Ctrl-C, which is the way to end it and no failure."""
    try:
        for text, value in stream:
            _print(printable_json(value, indent=None) if as_json else text)
    except KeyboardInterrupt:
        _say("Stopped.")


def _add_json(parser: LineParser, command: Command) -> None:  # noqa: ARG001 - every command has it
    parser.add_argument("--json", action="store_true", help="JSON even when a person is reading")


def _wait(answer: CommandResult, *, prints_text: bool) -> CommandResult:
    """Wait for a job, and return what is printed about it.

    Args:
        answer: With a job.
        prints_text: Whether a generated text is printed while it is written.
    """
    from .commands.text_to_image import answer_of
    from .engine.display import render_outcome

    job = answer.job
    assert job is not None
    printed = ""
    try:
        if prints_text and job.record.operation == "text":
            for piece in job.pieces(raises=False):
                _print(piece, end="")
                printed += piece
            _print()
        outcome = job.result()
    except RunwareNBError:
        for notice in job.notices:
            _say(notice)
        raise
    written = answer_of(outcome)
    shown = render_outcome(outcome)["text/plain"]
    if printed:
        _print("")
        shown = shown.removeprefix(printed).lstrip("\n")  # what is known about the text stands below it
    bundle = {"text/plain": "\n".join([shown, *written["files"]])}
    return CommandResult(bundle, written, tuple(job.notices), is_failure=bool(outcome.errors))


class TerminalFrontEnd(ScriptFrontEnd):
    """A terminal: it asks and reports progress on stderr, because stdout is for the result of the command."""

    syntax = _SYNTAX

    def option_for(self, field: str | None) -> str | None:
        """Return the option of a line that sets a field of a task; None if there is none."""
        return option_of_field(field)

    def __init__(self) -> None:
        self.can_ask = _is_terminal(sys.stdin) and _is_terminal(sys.stderr)

    def confirm(self, question: str) -> bool | None:
        """Ask on stderr; return None if there is no user at the terminal. See `FrontEnd.confirm`."""
        if not self.can_ask:
            return None
        _say(question, end="")
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    def tell(self, sentence: str) -> bool:  # noqa: ARG002 - see the protocol
        """Return False: a command prints its notes to stderr. See `FrontEnd.tell`."""
        return False

    def show_progress(self, done: int, total: int, what: str) -> None:
        """Rewrite one line of stderr. See `FrontEnd.show_progress`."""
        if _is_terminal(sys.stderr):
            _say(f"{done} of {total} {what}", start="\r", end="\n" if done == total else "")


def _foreground_sandbox(words: list[str]) -> int:
    """Become the sandbox: it is a program of its own, and shares no code with the client."""
    command = [sys.executable, "-m", "runware_nb.sandbox", *words]
    if os.name == "posix":
        _print()
        os.execve(sys.executable, command, child_environment())  # noqa: S606 - our own module, no shell
    import subprocess

    return subprocess.call(command, env=child_environment())  # noqa: S603 - our own module, no shell


def _print_errors(error: TaskError) -> None:
    _say("\n".join(error._render_traceback_()))
    if error.raw:
        _print(printable_json({"data": [], "errors": [error.raw]}))


class _ReaderGone(Exception):
    """The program that reads stdout or stderr has ended."""


class _CannotWrite(Exception):
    """The output cannot be written, such as to a full disk."""


def _print(text: str | None = None, *, end: str = "\n") -> None:
    """Write a line to stdout and flush it; None only flushes. Whatever the text contains, only plain text is written.

    Args:
        text: The line.
        end: What follows it.

    Raises:
        _ReaderGone: The reader has ended.
        _CannotWrite: The output cannot be written.
    """
    if sys.stdout is None:
        return  # closed by the caller
    try:
        if text is not None:
            print(_encodable(printable(text), sys.stdout), end=end)  # noqa: T201 - what a terminal is for
        sys.stdout.flush()
    except BrokenPipeError:
        raise _ReaderGone from None
    except OSError as error:
        raise _CannotWrite(error.strerror or str(error)) from None


def _say(sentence: str, *, start: str = "", end: str = "\n") -> None:
    """Print a sentence to stderr as plain text. If it cannot be written, the answer and the status remain.

    Args:
        sentence: Any text.
        start: Printed before it as it is, such as a carriage return.
        end: Printed after it as it is.

    Raises:
        _ReaderGone: The reader has ended.
    """
    if sys.stderr is None:
        return  # closed by the caller; `print` would write to stdout instead
    try:
        text = start + _encodable(printable(sentence), sys.stderr)
        print(text, end=end, file=sys.stderr, flush=True)  # noqa: T201 - beside the answer
    except BrokenPipeError:
        raise _ReaderGone from None
    except OSError:
        _silence(sys.stderr)


def _encodable(text: str, stream: TextIO) -> str:
    """Return a text with escapes in place of letters that the encoding of a stream does not have."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _leave_nothing_to_flush() -> None:
    """Let Python's flush at exit succeed: what could not be written then is reported as an exception."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except OSError:
            _silence(stream)


def _silence(stream: IO[str]) -> None:
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _is_terminal(stream: IO[str] | None) -> bool:
    return stream is not None and stream.isatty()


def _usage() -> str:
    lines = ["usage: runware-nb COMMAND [options]; -h after a command explains it", ""]
    return "\n".join([*lines, *list_commands("{}")])
