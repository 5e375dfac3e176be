"""The filters of the log, the same for every command that takes some of its runs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..runlog.filters import SORTS, RunFilter, parse_since
from ..runlog.records import State

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["add_filters", "filter_from"]


def add_filters(parser: argparse.ArgumentParser, *, limit: int | None = 20) -> None:
    """Declare the filters.

    Args:
        parser: Where to.
        limit: How many runs by default; None for all.
    """
    group = parser.add_argument_group("which runs")
    group.add_argument("-m", "--model", metavar="AIR", help="of this model: AIR identifier or alias")
    group.add_argument("--tag", action="append", default=[], metavar="T", help="with this label; repeatable, all count")
    group.add_argument("--since", metavar="WHEN", help="made since: 2026-11-01, today, or 7d for the last seven days")
    group.add_argument("--until", metavar="WHEN", help="made before")
    group.add_argument("--cell", metavar="CELL", help="of this cell: its number, or its id or the beginning of it")
    group.add_argument("--notebook", metavar="FILE", help="of this notebook")
    group.add_argument("--state", metavar="STATE", help=", ".join(State))
    group.add_argument("--search", metavar="WORDS", help="with all these words in prompt or note")
    group.add_argument("--min-rating", type=int, metavar="N", help="with N stars or more")
    group.add_argument("--sort", default="newest", metavar="BY", help=", ".join(SORTS))
    group.add_argument("--limit", type=int, default=limit, metavar="N", help="how many")
    group.add_argument("--page", type=int, default=1, metavar="N", help="which page of so many")


def filter_from(options: argparse.Namespace, session: Session) -> RunFilter:
    """Make the filter.

    Raises:
        MagicUsageError: A value makes no sense.
    """
    return RunFilter(
        model=session.aliases.air_of(options.model) if options.model else None,
        tags=tuple(options.tag),
        since=parse_since(options.since) if options.since else None,
        until=parse_since(options.until) if options.until else None,
        cell=options.cell,
        notebook=options.notebook,
        state=options.state,
        search=options.search,
        min_rating=options.min_rating,
        sort=options.sort,
        limit=1_000_000 if options.limit is None else options.limit,
        page=options.page,
    )
