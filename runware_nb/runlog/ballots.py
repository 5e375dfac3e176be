"""Votes: blind choices between two results."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from ..errors import ArgumentInvalid
from ..reprs import short_repr
from .databases import upsert_for
from .exhibits import Place, runs_of
from .rows import RowError
from .schema import votes
from .store import RunLog

__all__ = [
    "CHOICES", "Vote", "add_vote", "ballots_of", "find_vote", "merge_votes", "take_back_vote", "votes_among",
    "votes_of",
]  # fmt: skip

CHOICES = ("left", "right", "tie")


@short_repr()
@dataclass(frozen=True, slots=True)
class Vote:
    """One choice.

    Attributes:
        left: What was shown on the left.
        right: What was shown on the right.
        choice: `left`, `right` or `tie`.
        voter: Who chose; empty where nobody said.
        created_at_utc: When, in ISO 8601.
        id: Its number in the log; 0 before it is there.
    """

    left: Place
    right: Place
    choice: str
    voter: str = ""
    created_at_utc: str = ""
    id: int = 0


def add_vote(log: RunLog, ballot: str, vote: Vote) -> int:
    """Write a vote to the log and return its number.

    A voter has one vote on a pair of a ballot, whichever side each image was on: a second vote replaces the first.

    Raises:
        ArgumentInvalid: There is no such choice, or both sides are one result.
        RunLogError: The log cannot be written.
    """
    if vote.choice not in CHOICES:
        raise ArgumentInvalid("choice", vote.choice, f"one of {', '.join(CHOICES)}")
    if vote.left == vote.right:
        raise ArgumentInvalid("right", f"{vote.right[0][:8]}#{vote.right[1] + 1}", "another result than left")
    name, voter, pair = _identity(ballot, vote)
    choice = {
        "left_uuid": vote.left[0], "left_position": vote.left[1], "right_uuid": vote.right[0],
        "right_position": vote.right[1], "choice": vote.choice, "created_at_utc": vote.created_at_utc,
    }  # fmt: skip
    with log.changing() as connection:
        insert = upsert_for(connection.dialect)(votes).values(ballot=name, voter=voter, pair=pair, **choice)
        replace = insert.on_conflict_do_update(index_elements=["ballot", "voter", "pair"], set_=choice)
        return int(connection.execute(replace.returning(votes.c.id)).scalar_one())


def find_vote(log: RunLog, ballot: str, vote: Vote) -> Vote | None:
    """Return the vote that this one would replace; None where it would be the voter's first on this pair.

    Raises:
        RunLogError: The log cannot be read.
    """
    name, voter, pair = _identity(ballot, vote)
    same = sa.and_(votes.c.ballot == name, votes.c.voter == voter, votes.c.pair == pair)
    with log.reading() as connection:
        row = connection.execute(sa.select(votes).where(same)).mappings().first()
    votes_found = [] if row is None else log.damage.read([row], _vote_of, table="votes", run="left_uuid")
    return votes_found[0] if votes_found else None


def take_back_vote(log: RunLog, number: int) -> None:
    """Delete a vote.

    Raises:
        RunLogError: The log cannot be written.
    """
    with log.changing() as connection:
        connection.execute(sa.delete(votes).where(votes.c.id == number))


def votes_of(log: RunLog, ballot: str) -> list[Vote]:
    """List the votes of a ballot, oldest first.

    Raises:
        RunLogError: The log cannot be read.
    """
    with log.reading() as connection:
        rows = connection.execute(sa.select(votes).where(votes.c.ballot == ballot).order_by(votes.c.id)).mappings()
        return log.damage.read(rows, _vote_of, table="votes", run="left_uuid")


def votes_among(log: RunLog, task_uuids: Collection[str]) -> list[tuple[str, Vote]]:
    """List the votes between results of these runs, each with its ballot, oldest first.

    Raises:
        RunLogError: The log cannot be read.
    """
    chosen = set(task_uuids)
    every = [(name, vote) for name in ballots_of(log) for vote in votes_of(log, name)]
    among = [each for each in every if {each[1].left[0], each[1].right[0]} <= chosen]
    return sorted(among, key=lambda each: (each[1].created_at_utc, each[0], each[1].left, each[1].right))


def merge_votes(log: RunLog, given: Sequence[tuple[str, Vote]]) -> int:
    """Add votes of another log, on runs that are here; of two votes of one voter on one pair, the later one counts.

    Returns:
        How many are new, or replace an older one.

    Raises:
        ArgumentInvalid: One of them is not a valid vote.
        RunLogError: The log cannot be written.
    """
    latest = {_identity(name, vote): vote for name in ballots_of(log) for vote in votes_of(log, name)}
    here = runs_of(log, [place for _, vote in given for place in (vote.left, vote.right)])
    changed: dict[tuple[str, str, str], tuple[str, Vote]] = {}
    for name, vote in given:
        key = _identity(name, vote)
        known = latest.get(key)
        is_newer = known is None or vote.created_at_utc > known.created_at_utc
        if is_newer and vote.left[0] in here and vote.right[0] in here:
            latest[key], changed[key] = vote, (name, vote)
    for name, vote in changed.values():
        add_vote(log, name, vote)
    return len(changed)


def _identity(ballot: str, vote: Vote) -> tuple[str, str, str]:
    """Return what a vote is known by: ballot, voter, and the pair whichever side each image was on."""
    sides = sorted([vote.left, vote.right])
    return ballot[:200], vote.voter[:100], " ".join(f"{uuid}#{position}" for uuid, position in sides)


def _vote_of(row: RowMapping) -> Vote:
    texts = ("left_uuid", "right_uuid", "choice", "voter", "created_at_utc")
    for name in texts:
        if not isinstance(row[name], str):
            raise RowError(f"the column {name} does not contain a text")
    for name in ("left_position", "right_position"):
        if not isinstance(row[name], int) or row[name] < 0:
            raise RowError(f"the column {name} contains {str(row[name])[:40]!r}, which is not a position")
    if row["choice"] not in CHOICES:
        raise RowError(f"the column choice contains {row['choice'][:40]!r}: expected one of {', '.join(CHOICES)}")
    return Vote((row["left_uuid"], row["left_position"]), (row["right_uuid"], row["right_position"]), row["choice"],
                row["voter"], row["created_at_utc"], row["id"])  # fmt: skip


def ballots_of(log: RunLog) -> dict[str, int]:
    """List the ballots, and how many votes each has.

    Raises:
        RunLogError: The log cannot be read.
    """
    counted = sa.select(votes.c.ballot, sa.func.count()).group_by(votes.c.ballot).order_by(votes.c.ballot)
    with log.reading() as connection:
        return {name: int(count) for name, count in connection.execute(counted) if isinstance(name, str)}
