"""prompt: saved prompts of the project."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..errors import ArgumentInvalid, ConfigError, MagicUsageError
from ..present.table import Table, render_table
from ..remedies import Remedy, command
from ..reprs import shortened
from .base import CommandResult
from .prompts_in import places_in

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = 'save prompts and use them as {@NAME}: `prompt save studio "a photo of {subject}"`'
_LONGEST = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("action", nargs="?", default="list", choices=list(_ACTIONS), help="what to do (default list)")
    parser.add_argument("name", nargs="?", metavar="NAME", help="the saved prompt")
    parser.add_argument("text", nargs="*", metavar="TEXT", help="its text for save, its new name for rename")
    parser.add_argument("--replace", action="store_true", help="save over a prompt of this name")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Run the action.

    Raises:
        MagicUsageError: A word is missing, or the name cannot be used.
        ConfigError: A file cannot be written.
    """
    if options.name is None and options.action != "list":
        raise MagicUsageError(f"`prompt {options.action}` needs the name of a saved prompt, such as studio.")
    if options.action != "save" and getattr(options, "body", "").strip():
        raise MagicUsageError(f"`prompt {options.action}` takes no text below the line. Write it with one %.")
    try:
        return _ACTIONS[options.action](session, options)
    except ArgumentInvalid as error:
        raise MagicUsageError(error.on_line.replace("--", "", 1)).with_remedy(error.remedy) from error


def _save(session: Session, options: argparse.Namespace) -> CommandResult:
    body = getattr(options, "body", None)
    if body is not None and options.text:
        raise MagicUsageError("There are two texts: one on the line, and one below it. Keep one of them.")
    text = " ".join(options.text) if body is None else body
    if not text.strip():
        raise MagicUsageError(
            'There is no text to save. Write it behind the name, such as `prompt save studio "a photo of {subject}"`.'
        )
    is_replaced = session.prompts.save(options.name, text, replace=options.replace)
    path = session.prompts.path_of(options.name)
    how = "replaced in" if is_replaced else "saved in"
    undo = ""
    if is_replaced:
        remedy = Remedy("{0} brings the old text back.", (command("prompt", "restore", options.name),))
        undo = f" {session.front_end.remedy(remedy)}"
    places = ", ".join(f"{{{name}}}" for name in places_in(text))
    values = f" Its values: {places}." if places else ""
    return CommandResult(
        {"text/plain": f"{options.name} is {how} {_shown(path)}. Write {{@{options.name}}} to use it.{values}{undo}"},
        {"name": options.name, "text": text, "file": str(path), "replaced": is_replaced},
        value=text,
    )


def _shown(path: Path) -> str:
    """Format a path relative to the working directory, so that a notebook that is shared contains no machine path."""
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)


def list_prompts(session: Session, only: str | None = None) -> CommandResult:
    """List the saved prompts, or the one of a name, and the wildcards."""
    names = [name for name in session.prompts.names() if only in {None, name}]
    texts: dict[str, str | None] = {}
    problems: list[str] = []
    for name in names:
        try:
            texts[name] = session.prompts.find(name) or ""
        except ConfigError as error:
            problems.append(error.problem)
    rows = [
        (name, shortened(" ".join((text or "").split()), _LONGEST), ", ".join(places_in(text or "")))
        for name, text in texts.items()
    ]
    empty = 'no saved prompt yet: `prompt save studio "a photo of {subject}"` saves one'
    wildcards = session.wildcards.names()
    notes = [f"Wildcards: {', '.join(f'__{name}__' for name in wildcards[:50])}."] if wildcards else []
    table = Table(("name", "text", "values"), rows, empty=empty)
    written = {"prompts": texts, "wildcards": wildcards}
    return CommandResult(render_table(table), written, (*problems, *notes), is_failure=not texts, value=texts)


def _show(session: Session, options: argparse.Namespace) -> CommandResult:
    text = session.prompts.get(options.name)
    places = places_in(text)
    return CommandResult({"text/plain": text}, {"name": options.name, "text": text, "values": places}, value=text)


def _delete(session: Session, options: argparse.Namespace) -> CommandResult:
    session.prompts.delete(options.name)
    remedy = Remedy("{0} brings it back.", (command("prompt", "restore", options.name),))
    sentence = f"The saved prompt {options.name} is deleted. {session.front_end.remedy(remedy)}"
    return CommandResult({"text/plain": sentence}, {"deleted": options.name})


def _rename(session: Session, options: argparse.Namespace) -> CommandResult:
    if len(options.text) != 1:
        raise MagicUsageError(f"`prompt rename {options.name}` needs a new name, such as portrait.")
    new = options.text[0]
    session.prompts.rename(options.name, new)
    sentence = f"The saved prompt {options.name} is now {new}. Write {{@{new}}} to use it."
    return CommandResult({"text/plain": sentence}, {"renamed": options.name, "name": new})


def _restore(session: Session, options: argparse.Namespace) -> CommandResult:
    text = session.prompts.restore(options.name)
    sentence = f"The saved prompt {options.name} is back: {shortened(text, _LONGEST)}"
    return CommandResult({"text/plain": sentence}, {"name": options.name, "text": text}, value=text)


_ACTIONS: MappingProxyType[str, Callable[[Session, argparse.Namespace], CommandResult]] = MappingProxyType(
    {
        "list": lambda session, options: list_prompts(session, options.name),
        "save": _save,
        "show": _show,
        "delete": _delete,
        "rename": _rename,
        "restore": _restore,
    }
)
