"""ranking: who leads in a ballot, and how sure that is."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..curation.ballot import rank_conditions, ranks_of
from ..curation.bradley_terry import Rank
from ..engine.thumbnails import picture_of
from ..errors import MagicUsageError
from ..present.ranking import RankRow, render_ranking
from ..runlog.ballots import Vote, ballots_of, votes_of
from ..runlog.exhibits import Place, runs_of
from ..runlog.records import RunRecord
from .base import CommandResult
from .filters import ALL, read_limit

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "rank the images of a ballot by its votes (Bradley-Terry), with 95 % intervals"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("ballot", nargs="?", metavar="BALLOT", help="its name; not needed where there is only one")
    parser.add_argument("--by", action="append", default=[], metavar="NAME",
                        help="rank the values of a parameter, such as cfg, instead of images; repeatable")  # fmt: skip
    parser.add_argument(
        "--limit", type=read_limit, default=20, metavar="N", help="how many lines, or `all` (default: 20)"
    )


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Rank them."""
    name = options.ballot or _only_one(ballots_of(session.log))
    votes = votes_of(session.log, name)
    if not votes:
        there = ", ".join(ballots_of(session.log)) or "the log has no votes yet: `vote --tag study` starts a ballot"
        raise MagicUsageError(f"ballot {name!r} has no votes; {there}")
    count = None if options.limit == ALL else max(options.limit, 1)
    if options.by:
        return _by_condition(session, name, votes, options.by, count)
    ranks = ranks_of(votes)
    shown = ranks[:count]
    found = runs_of(session.log, [rank.item for rank in shown])
    rows = [_row(session, rank, found) for rank in shown]
    voters = len({vote.voter for vote in votes})
    part = f"; {len(shown)} of {len(ranks)} are shown, `--limit all` shows every one" if len(shown) < len(ranks) else ""
    caption = (
        f"ballot {name}: {len(votes)} votes of {voters} voter{'' if voters == 1 else 's'} on {len(ranks)} images; "
        f"0 is an average image; if intervals overlap, the order may be due to chance{part}"
    )
    written = [
        {"task_uuid": rank.item[0], "index": rank.item[1], "strength": rank.strength, "low": rank.low,
         "high": rank.high, "wins": rank.wins, "votes": rank.votes}
        for rank in ranks
    ]  # fmt: skip
    return CommandResult(render_ranking(rows, caption), written, value=ranks)


def _by_condition(session: Session, name: str, votes: list[Vote], by: list[str], count: int | None) -> CommandResult:
    """Rank the conditions that the images were generated under."""
    ranking = rank_conditions(session.log, votes, by)
    names = ", ".join(ranking.names)
    if not ranking.ranks:
        raise MagicUsageError(
            f"ballot {name!r} has no votes between two images that differ in {names}; "
            f"`vote --ballot {name} --by {by[0]}` shows such pairs"
        )
    shown = ranking.ranks[:count]
    rows = [
        RankRow(str(rank.item), rank.strength, rank.low, rank.high,
                f"{rank.wins:g} of {rank.votes} votes, {ranking.images[rank.item]} images")
        for rank in shown
    ]  # fmt: skip
    parts = [f"ballot {name} by {names}: {ranking.votes} votes on {len(ranking.ranks)} conditions",
             "0 is an average condition; if intervals overlap, the order may be due to chance"]  # fmt: skip
    if ranking.mixed:
        parts.append(f"{ranking.mixed} of these votes are on pairs that also differ in other parameters")
    if ranking.alike:
        parts.append(f"{ranking.alike} votes between images of one condition do not count")
    if len(shown) < len(ranking.ranks):
        parts.append(f"{len(shown)} of {len(ranking.ranks)} are shown, `--limit all` shows every one")
    written = [
        {"condition": dict(rank.item.values), "strength": rank.strength, "low": rank.low, "high": rank.high,
         "wins": rank.wins, "votes": rank.votes, "images": ranking.images[rank.item]}
        for rank in ranking.ranks
    ]  # fmt: skip
    return CommandResult(render_ranking(rows, "; ".join(parts), what="condition"), written, value=ranking.ranks)


def _only_one(ballots: dict[str, int]) -> str:
    if len(ballots) == 1:
        return next(iter(ballots))
    there = ", ".join(f"{name} ({count} votes)" for name, count in ballots.items())
    raise MagicUsageError(
        f"say which ballot: {there}" if there else "the log has no votes yet: `vote --tag study` starts a ballot"
    )


def _row(session: Session, rank: Rank[Place], found: dict[str, RunRecord]) -> RankRow:
    uuid, position = rank.item
    run = found.get(uuid)
    results = [each for each in run.results if each.position == position] if run is not None else []
    picture = picture_of(session, run, results[0]) if run is not None and results else None
    record = f"{rank.wins:g} of {rank.votes} votes"
    return RankRow(f"{uuid[:8]}#{position + 1}", rank.strength, rank.low, rank.high, record, picture)
