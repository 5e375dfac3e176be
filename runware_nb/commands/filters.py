"""The filters of the log, the same for every command that takes some of its runs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..runlog.filters import SORTS, RunFilter, parse_since
from ..runlog.records import State

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["ALL", "add_filters", "filter_from", "note_of_limit", "read_limit"]

ALL = "all"
"""What `--limit all` becomes: every one, where None means that no limit was given."""


def add_filters(parser: argparse.ArgumentParser, *, limit: int | None = 20) -> None:
    """Declare the filters.

    Args:
        parser: Parser to add them to.
        limit: How many runs by default; None where the command decides, or takes all.
    """
    group = parser.add_argument_group("which runs")
    group.add_argument("-m", "--model", metavar="AIR", help="of this model: AIR identifier or alias")
    group.add_argument(
        "--tag", action="append", default=[], metavar="T", help="with this tag; repeatable, a run must have all of them"
    )
    group.add_argument("--since", metavar="WHEN", help="made since: 2026-11-01, today, or 7d for the last seven days")
    group.add_argument("--until", metavar="WHEN", help="made before")
    group.add_argument("--cell", metavar="CELL", help="of this cell: its number, or its id or the beginning of it")
    group.add_argument("--notebook", metavar="FILE", help="of this notebook")
    group.add_argument("--service", metavar="NAME", help="of this service, such as runware, runkey or runkey-sandbox")
    group.add_argument("--state", metavar="STATE", help=", ".join(State))
    group.add_argument("--search", metavar="WORDS", help="with all these words in prompt or note")
    group.add_argument("--min-rating", type=int, metavar="N", help="with a rating of N or more")
    group.add_argument("--sort", default="newest", metavar="BY", help=", ".join(SORTS))
    group.add_argument(
        "--limit", type=read_limit, default=limit, metavar="N", help=f"how many, or `all` (default: {limit or ALL})"
    )
    group.add_argument("--with-replays", action="store_true", help="include runs that replay and verify sent")
    group.add_argument("--page", type=int, default=1, metavar="N", help="page number, from 1")


def read_limit(text: str) -> int | str:
    """Parse a limit: a number, or `all`.

    Raises:
        ValueError: It is neither; argparse reports it.
    """
    return ALL if text.strip().lower() == ALL else int(text)


def note_of_limit(shown: int, total: int, *, at_most: int, what: str = "runs") -> str:
    """Return how many of how many are listed: `20 of 73 runs`; *at_most* + 1 stands for any larger number."""
    return f"{shown:,} of {f'more than {at_most:,}' if total > at_most else f'{total:,}'} {what}"


def filter_from(options: argparse.Namespace, session: Session) -> RunFilter:
    """Return the filter that the options describe.

    Raises:
        MagicUsageError: A value makes no sense.
    """
    return RunFilter(
        model=session.aliases.air_of(options.model) if options.model else None,
        tags=tuple(options.tag),
        since=parse_since(options.since) if options.since else None,
        until=parse_since(options.until, name="until") if options.until else None,
        cell=options.cell,
        notebook=options.notebook,
        state=options.state,
        provider=options.service,
        search=options.search,
        min_rating=options.min_rating,
        with_replays=options.with_replays,
        sort=options.sort,
        limit=None if options.limit in (None, ALL) else options.limit,
        page=options.page,
    )
