"""models: search the service's models, or list the bundled ones."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..errors import ConfigError
from ..loop import background_loop, wait
from ..present.table import Table, render_table
from ..providers.runware.catalog import Model, all_models, listed_models
from .base import CommandResult

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "search models at the service"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("words", nargs="*", help="words to search for")
    parser.add_argument("--search", metavar="TEXT", help="the same, as an option")
    parser.add_argument("--category", metavar="NAME", help="checkpoint, lora, lycoris, vae or embeddings")
    parser.add_argument("--architecture", metavar="NAME", help="such as flux1d or sdxl")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="how many, 1 to 100")
    parser.add_argument("--offset", type=int, default=0, metavar="N", help="how many to skip")
    parser.add_argument("--bundled", action="store_true", help="list what is known without asking")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Search, or list."""
    search = " ".join(filter(None, [options.search, *options.words]))
    if options.bundled:
        return _bundled(search)
    try:
        session.require_key()
    except ConfigError as error:
        answer = _bundled(search)
        note = f"This is the bundled catalog. {session.front_end.message(error)}"
        return CommandResult(answer.bundle, answer.json, (note,), answer.is_failure)
    filters = {"category": options.category, "architecture": options.architecture}
    given = {name: value for name, value in filters.items() if value}
    found = wait(
        background_loop().submit(
            session.client().search_models(search, limit=options.limit, offset=options.offset, **given)
        )
    )
    rows = [(model.air, model.name, model.category, model.architecture) for model in listed_models(found)]
    total = found.get("totalResults")
    caption = f"{len(rows)} of {total if isinstance(total, int) else len(rows)}"
    table = Table(("model", "name", "category", "architecture"), rows, caption, empty=f"no model for {search!r}")
    return CommandResult(render_table(table), {"data": [found]}, is_failure=not rows)


def _bundled(search: str) -> CommandResult:
    words = search.lower().split()
    found = [
        model
        for model in all_models()
        if all(
            word in f"{model.air} {model.name} {model.slug} {model.architecture} {model.task_type}".lower()
            for word in words
        )
    ]
    rows = [(m.air, m.name, m.architecture, ", ".join(m.aliases), m.task_type, _sizes(m)) for m in found]
    table = Table(
        ("model", "name", "architecture", "aliases", "kind", "size"), rows, "bundled", empty=f"none for {search!r}"
    )
    value = [
        {"air": m.air, "name": m.name, "task_type": m.task_type, "architecture": m.architecture,
         "aliases": list(m.aliases)}
        for m in found
    ]  # fmt: skip
    return CommandResult(render_table(table), value, is_failure=not found)


def _sizes(model: Model) -> str:
    sizes = model.sizes
    if sizes is None:
        return ""
    if sizes.pairs_px:
        return ", ".join(f"{width}x{height}" for width, height in sizes.pairs_px[:3]) + " and others"
    of = f", multiples of {sizes.step_px}" if sizes.step_px > 1 else ""
    return f"{sizes.low_px} to {sizes.high_px} px{of}"
