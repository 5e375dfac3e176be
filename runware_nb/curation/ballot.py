"""Blind pairwise voting: which pair comes next, and what was chosen."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import MagicUsageError
from ..runlog.ballots import Vote, add_vote, take_back_vote, votes_of
from ..runlog.exhibits import Place, list_images
from ..runlog.filters import RunFilter
from .bradley_terry import Rank, rank_items

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["MOST_CANDIDATES", "Ballot", "ranks_of"]

MOST_CANDIDATES = 200
"""Images in one ballot: n images want some 3 n votes, and nobody gives more than a few hundred."""


_SHARE = {"left": 1.0, "right": 0.0, "tie": 0.5}
"""Of the left one in a vote."""


class Ballot:
    """Votes on the images that a filter lets pass.

    Args:
        session: Whose log.
        name: What the votes are counted under.
        wanted: Which images.
        voter: Who votes; empty where nobody says.

    Raises:
        MagicUsageError: There are fewer than two, or too many.
    """

    def __init__(self, session: Session, name: str, wanted: RunFilter, *, voter: str = "") -> None:
        self.name = name
        self.voter = voter
        self._session = session
        self.candidates = list_images(session.log, wanted)
        count = len(self.candidates)
        if count < 2:
            raise MagicUsageError(
                f"a vote needs two images or more, and {count} fit; `%runware log` shows which there are"
            )
        if count > MOST_CANDIDATES:
            raise MagicUsageError(
                f"{count:,} images are too many to vote on; choose at most {MOST_CANDIDATES}, by --tag for instance"
            )
        self._given: list[int] = []

    @property
    def votes(self) -> list[Vote]:
        """All votes of this ballot, of everybody."""
        return votes_of(self._session.log, self.name)

    def next_pair(self) -> tuple[Place, Place]:
        """Choose what to show next: who was shown least, against an equal that it has met least, on either side."""
        return pair_of(self.candidates, self.votes, self._session.chance)

    def vote(self, left: Place, right: Place, choice: str) -> None:
        """Write a choice down.

        Raises:
            MagicUsageError: There is no such choice.
            RunLogError: The log cannot be written.
        """
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        self._given.append(add_vote(self._session.log, self.name, Vote(left, right, choice, self.voter, now)))

    def take_back(self) -> bool:
        """Remove the last vote given here; False where there is none."""
        if not self._given:
            return False
        take_back_vote(self._session.log, self._given.pop())
        return True

    def ranks(self) -> list[Rank[Place]]:
        """Rank the candidates by all votes so far."""
        return ranks_of(self.votes)


def ranks_of(votes: Sequence[Vote]) -> list[Rank[Place]]:
    """Rank what was voted on."""
    return rank_items((vote.left, vote.right, _SHARE[vote.choice]) for vote in votes)


def pair_of(candidates: Sequence[Place], votes: Sequence[Vote], chance: random.Random) -> tuple[Place, Place]:
    """Choose the pair that tells most."""
    shown: Counter[Place] = Counter()
    won: dict[Place, float] = {}
    met: Counter[frozenset[Place]] = Counter()
    for vote in votes:
        for place, share in ((vote.left, _SHARE[vote.choice]), (vote.right, 1 - _SHARE[vote.choice])):
            shown[place] += 1
            won[place] = won.get(place, 0.0) + share
        met[frozenset((vote.left, vote.right))] += 1
    mixed = chance.sample(list(candidates), len(candidates))
    one = min(mixed, key=lambda place: shown[place])

    def success(place: Place) -> float:
        """Give the share of votes won, near enough to a strength: fitting the model takes a second for 200 images."""
        return (won.get(place, 0.0) + 1) / (shown[place] + 2)

    def fitness(other: Place) -> tuple[int, int, float]:
        return met[frozenset((one, other))], shown[other], abs(success(one) - success(other))

    other = min((place for place in mixed if place != one), key=fitness)
    return (one, other) if chance.random() < 0.5 else (other, one)
