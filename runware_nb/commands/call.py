"""`rw.command`: every command as a function, for scripts, tests and notebooks without magics."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from ..core.plain_values import plain_task
from ..errors import MagicUsageError, RunwareNBError, TaskInvalid
from ..printable import printable, printable_bundle
from ..remedies import COMMAND_CALL
from ..reprs import short_repr
from .arguments import HelpRequested
from .base import CommandResult
from .dispatch import LineStyle, read_line
from .image_options import refuse_known_keys

__all__ = ["Said", "command"]

_STYLE = LineStyle("rw.command({!r})", is_line=False)


@short_repr()
@dataclass(frozen=True, slots=True)
class Said:
    """What a command answered; it shows itself in a notebook.

    Attributes:
        json: As a terminal prints it.
        value: Objects where there are some: runs, an outcome, a plan.
        notes: Sentences beside the answer.
        is_failure: Whether nothing was found, or the service said no.
        text: As a person reads it.
    """

    json: Any
    value: Any
    notes: tuple[str, ...]
    is_failure: bool
    text: str
    _bundle: Mapping[str, str]

    def __str__(self) -> str:
        return printable("\n".join([self.text, *self.notes]))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return printable_bundle(self._bundle) or {"text/plain": str(self)}


def command(name: str, *words: object, **options: Any) -> Said:
    """Run a command, as `%runware NAME ...` and `runware-nb NAME ...` do.

    `rw.command("log", tag=["study"], limit=5)` is `%runware log --tag study --limit 5`.

    Args:
        name: Its name, such as `diff`; the name of a provider comes first for a command of its own.
        *words: What stands behind it.
        **options: Its options: dashes are underscores, True is an option without a value, a list repeats it.

    Raises:
        MagicUsageError: There is no such command or option, or a value makes no sense.
        RunwareNBError: What the command raises.
    """
    try:
        return _run(name, words, options)
    except HelpRequested as text:
        return Said(None, None, (), is_failure=False, text=str(text), _bundle={"text/plain": str(text)})
    except RunwareNBError as error:
        error.syntax = COMMAND_CALL
        raise


def _run(name: str, words: Sequence[object], options: Mapping[str, Any]) -> Said:
    from ..session import current_session

    line = [*(name.split() or [name]), *(str(_plain(word, f"{name} {number}")) for number, word in enumerate(words, 1))]
    line += _written(options)
    answer = read_line(line, _STYLE, refuse=refuse_known_keys).run(current_session())
    return _waited(answer) if answer.job is not None else _said(answer)


def _written(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        option = f"--{name.rstrip('_').replace('_', '-')}"
        if isinstance(value, Mapping):
            yield from _pairs(option, value)
            continue
        for item in value if isinstance(value, list | tuple) else [value]:
            plain = _plain(item, option)
            if plain is True:
                yield option
            elif plain is not None and plain is not False:
                yield f"{option}={plain}"


def _pairs(option: str, values: Mapping[str, Any]) -> Iterator[str]:
    """Yield an option of the form `KEY=JSON` for each entry of a mapping."""
    for key, value in values.items():
        plain = _plain({key: value}, option)[key]
        try:
            yield f"{option}={key}={json.dumps(plain, ensure_ascii=False)}"
        except (TypeError, ValueError) as error:
            raise MagicUsageError(f"{option}: the value of {key!r} cannot be written as JSON: {error}") from error


def _plain(value: Any, name: str) -> Any:
    """Convert a value as a task's values are converted, so that `seed=5.0` and `seed=np.int64(5)` are `--seed=5`.

    Raises:
        MagicUsageError: It is no value that a line can hold.
    """
    if isinstance(value, PurePath):
        return value
    try:
        return plain_task({name: value})[name]
    except TaskInvalid as error:
        raise MagicUsageError(str(error)) from error


def _said(answer: CommandResult) -> Said:
    text = printable(answer.bundle.get("text/plain", ""))
    notes = tuple(map(printable, answer.notes))
    return Said(answer.json, answer.value, notes, answer.is_failure, text, answer.bundle)


def _waited(answer: CommandResult) -> Said:
    """Wait for a run, and answer as a terminal does."""
    from .text_to_image import answer_of

    job = answer.job
    assert job is not None
    try:
        outcome = job.result()
    except RunwareNBError as error:
        for notice in job.notices:
            error.add_note(notice)
        raise
    bundle = outcome._repr_mimebundle_()
    notes = tuple(map(printable, job.notices))
    return Said(answer_of(outcome), outcome, notes, bool(outcome.errors), bundle["text/plain"], bundle)
