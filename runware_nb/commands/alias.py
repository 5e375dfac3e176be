"""alias: names of one's own for models."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..present.table import Table, render_table
from .base import CommandResult

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "name a model; the name keeps the version it means today"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="the name; without it all are listed")
    parser.add_argument("model", nargs="?", metavar="MODEL", help="AIR identifier, with or without @version, or a name")
    parser.add_argument("--remove", action="store_true", help="remove the name")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """List, give or remove."""
    book = session.aliases
    if options.name and options.remove:
        book.drop(options.name)
        return CommandResult({"text/plain": f"{options.name} is not an alias now"}, {"removed": options.name})
    if options.name and options.model:
        made = book.give(options.name, options.model)
        return CommandResult(
            {"text/plain": f"{options.name} means {made.air} from now on"}, {options.name: asdict(made)}
        )
    kept = {name: each for name, each in book.all().items() if options.name in {None, name}}
    rows = [(name, each.air, each.asked, each.given_at_utc[:10]) for name, each in kept.items()]
    empty = (
        "no alias yet: `alias ship runware:101@1` makes one" if options.name is None else f"no alias {options.name!r}"
    )
    table = Table(("alias", "model", "asked for", "given"), rows, empty=empty)
    return CommandResult(render_table(table), {name: asdict(each) for name, each in kept.items()}, is_failure=not kept)
