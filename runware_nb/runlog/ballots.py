"""Votes: blind choices between two results."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from ..errors import MagicUsageError
from ..reprs import short_repr
from .exhibits import Place, runs_of
from .schema import votes
from .store import RunLog

__all__ = [
    "CHOICES", "Vote", "add_vote", "ballots_of", "merge_votes", "take_back_vote", "votes_among", "votes_of",
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
    """Write a vote down, and give its number.

    Raises:
        MagicUsageError: There is no such choice, or both sides are one result.
        RunLogError: The log cannot be written.
    """
    if vote.choice not in CHOICES:
        raise MagicUsageError(f"choice {vote.choice!r}: it is one of {', '.join(CHOICES)}")
    if vote.left == vote.right:
        raise MagicUsageError("a vote is between two results; these are one")
    row = {
        "ballot": ballot[:200], "left_uuid": vote.left[0], "left_position": vote.left[1],
        "right_uuid": vote.right[0], "right_position": vote.right[1], "choice": vote.choice,
        "voter": vote.voter[:100], "created_at_utc": vote.created_at_utc,
    }  # fmt: skip
    with log.changing() as connection:
        return int(connection.execute(sa.insert(votes).values(row).returning(votes.c.id)).scalar_one())


def take_back_vote(log: RunLog, number: int) -> None:
    """Remove a vote that was a slip.

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
        return [
            Vote((row["left_uuid"], row["left_position"]), (row["right_uuid"], row["right_position"]), row["choice"],
                 row["voter"], row["created_at_utc"], row["id"])
            for row in rows
        ]  # fmt: skip


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
    """Add votes of another log, once each, and only on runs that are here.

    Returns:
        How many are new.

    Raises:
        MagicUsageError: One of them is none.
        RunLogError: The log cannot be written.
    """
    known = {(name, dataclasses.replace(vote, id=0)) for name in ballots_of(log) for vote in votes_of(log, name)}
    new = [each for each in dict.fromkeys(given) if each not in known]
    here = runs_of(log, [place for _, vote in new for place in (vote.left, vote.right)])
    added = [(name, vote) for name, vote in new if vote.left[0] in here and vote.right[0] in here]
    for name, vote in added:
        add_vote(log, name, vote)
    return len(added)


def ballots_of(log: RunLog) -> dict[str, int]:
    """List the ballots, and how many votes each has.

    Raises:
        RunLogError: The log cannot be read.
    """
    counted = sa.select(votes.c.ballot, sa.func.count()).group_by(votes.c.ballot).order_by(votes.c.ballot)
    with log.reading() as connection:
        return {name: int(count) for name, count in connection.execute(counted)}
