"""ranking: who leads in a ballot, and how sure that is."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..curation.ballot import ranks_of
from ..curation.bradley_terry import Rank
from ..errors import MagicUsageError
from ..runlog.ballots import ballots_of, votes_of
from ..runlog.exhibits import Place, runs_of
from ..runlog.records import RunRecord
from ..session.pictures import picture_of
from ..view.ranking import RankRow, render_ranking
from .base import Answer

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "rank the images of a ballot by its votes (Bradley-Terry), with 95 % intervals"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("ballot", nargs="?", metavar="BALLOT", help="its name; not needed where there is only one")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="how many lines")


def run(session: Session, options: argparse.Namespace) -> Answer:
    """Rank them."""
    name = options.ballot or _only_one(ballots_of(session.log))
    votes = votes_of(session.log, name)
    if not votes:
        there = ", ".join(ballots_of(session.log)) or "nobody has voted yet: `vote --tag study` begins"
        raise MagicUsageError(f"ballot {name!r} has no votes; {there}")
    ranks = ranks_of(votes)
    shown = ranks[: max(options.limit, 1)]
    found = runs_of(session.log, [rank.item for rank in shown])
    rows = [_row(session, rank, found) for rank in shown]
    voters = len({vote.voter for vote in votes})
    caption = (
        f"ballot {name}: {len(votes)} votes of {voters} voter{'' if voters == 1 else 's'} on {len(ranks)} images; "
        "0 is an average image, and where intervals overlap the order may be chance"
    )
    written = [
        {"task_uuid": rank.item[0], "index": rank.item[1], "strength": rank.strength, "low": rank.low,
         "high": rank.high, "wins": rank.wins, "votes": rank.votes}
        for rank in ranks
    ]  # fmt: skip
    return Answer(render_ranking(rows, caption), written, value=ranks)


def _only_one(ballots: dict[str, int]) -> str:
    if len(ballots) == 1:
        return next(iter(ballots))
    there = ", ".join(f"{name} ({count} votes)" for name, count in ballots.items())
    raise MagicUsageError(f"say which ballot: {there}" if there else "nobody has voted yet: `vote --tag study` begins")


def _row(session: Session, rank: Rank[Place], found: dict[str, RunRecord]) -> RankRow:
    uuid, position = rank.item
    run = found.get(uuid)
    results = [each for each in run.results if each.position == position] if run is not None else []
    picture = picture_of(session, run, results[0]) if run is not None and results else None
    record = f"{rank.wins:g} of {rank.votes} votes"
    return RankRow(f"{uuid[:8]}#{position + 1}", rank.strength, rank.low, rank.high, record, picture)
