"""Blind pairwise voting: which pair comes next, and what was chosen."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ArgumentInvalid, RunNotFound
from ..remedies import LIST_RUNS, Option, Remedy, command
from ..reprs import short_repr
from ..runlog.ballots import Vote, add_vote, find_vote, take_back_vote, votes_of
from ..runlog.exhibits import Place, list_images, runs_of
from ..runlog.filters import RunFilter
from .bradley_terry import Rank, rank_items
from .conditions import Condition, condition_of, names_of, setting_of

if TYPE_CHECKING:
    from ..runlog import RunLog
    from ..session import Session

__all__ = ["MOST_CANDIDATES", "Ballot", "ConditionRanks", "rank_conditions", "ranks_of"]

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
        voter: Who votes; empty if no name was set.
        by: Parameters to compare, such as `cfg`: then a pair differs in these and is equal in everything else, prompt
            and seed included.

    Raises:
        RunNotFound: There are fewer than two images, too many, or no two that are such a pair.
    """

    def __init__(
        self, session: Session, name: str, wanted: RunFilter, *, voter: str = "", by: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.voter = voter
        self._session = session
        self.candidates = list_images(session.log, wanted, types=("image/",))  # only images are voted on
        count = len(self.candidates)
        if count < 2:
            raise RunNotFound(f"A vote needs two or more images, and {count} match.").with_remedy(LIST_RUNS)
        if by:
            self._partners: Mapping[Place, Sequence[Place]] | None = _partners(session, self.candidates, by)
            self.candidates = list(self._partners)
        elif count > MOST_CANDIDATES:
            raise RunNotFound(f"{count:,} images are too many to vote on: the most is {MOST_CANDIDATES}.").with_remedy(
                Remedy(
                    "Select fewer, for example with {0}, or compare conditions with {1}.",
                    (Option("tag"), Option("by")),
                )
            )
        else:
            self._partners = None
        self._given: list[tuple[int, Vote | None]] = []

    @property
    def votes(self) -> list[Vote]:
        """All votes of this ballot, of everybody."""
        return votes_of(self._session.log, self.name)

    def next_pair(self) -> tuple[Place, Place]:
        """Choose what to show next: who was shown least, against an equal that it has met least, on either side."""
        return pair_of(self.candidates, self.votes, self._session.rng, self._partners)

    def vote(self, left: Place, right: Place, choice: str) -> None:
        """Write a choice to the log; it replaces an earlier one of this voter on this pair.

        Raises:
            ArgumentInvalid: There is no such choice, or these two are not a pair of this ballot.
            RunLogError: The log cannot be written.
        """
        if self._partners is not None and right not in self._partners.get(left, ()):
            raise ArgumentInvalid(
                "right",
                f"{right[0][:8]}#{right[1] + 1}",
                "an image that differs from the left one in the parameters that are compared, and in nothing else",
            )
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        vote = Vote(left, right, choice, self.voter, now)
        replaced = find_vote(self._session.log, self.name, vote)
        self._given.append((add_vote(self._session.log, self.name, vote), replaced))

    def take_back(self) -> bool:
        """Remove the last vote given here, and restore the one that it replaced; False where there is none."""
        if not self._given:
            return False
        number, replaced = self._given.pop()
        if replaced is None:
            take_back_vote(self._session.log, number)
        else:
            add_vote(self._session.log, self.name, replaced)
        return True

    def ranks(self) -> list[Rank[Place]]:
        """Rank the candidates by all votes so far."""
        return ranks_of(self.votes)


def ranks_of(votes: Sequence[Vote]) -> list[Rank[Place]]:
    """Rank what was voted on."""
    return rank_items((vote.left, vote.right, _SHARE[vote.choice]) for vote in votes)


@short_repr()
@dataclass(frozen=True, slots=True)
class ConditionRanks:
    """Conditions in order, and how far the votes can be trusted for it.

    Attributes:
        ranks: The strongest condition first.
        names: The parameters that make a condition.
        votes: Votes that were counted.
        alike: Votes between two images of one condition, which say nothing about it.
        mixed: Counted votes between images that differ in something else as well, such as the prompt or the seed.
        images: Images of each condition that were voted on.
    """

    ranks: list[Rank[Condition]]
    names: tuple[str, ...]
    votes: int
    alike: int
    mixed: int
    images: Mapping[Condition, int]


def rank_conditions(log: RunLog, votes: Sequence[Vote], by: Sequence[str]) -> ConditionRanks:
    """Rank the values of parameters by the votes on images that were generated with them.

    Raises:
        ArgumentInvalid: No run has such a parameter.
        RunLogError: The log cannot be read.
    """
    runs = runs_of(log, [place for vote in votes for place in (vote.left, vote.right)])
    names = names_of(by, runs.values())
    conditions: dict[Place, Condition] = {}
    settings: dict[Place, str] = {}
    for run in runs.values():
        for result in run.results:
            place = (run.task_uuid, result.position)
            conditions[place] = condition_of(run, result, names)
            settings[place] = setting_of(run, result, names)
    known = [vote for vote in votes if vote.left in conditions and vote.right in conditions]
    counted = [vote for vote in known if conditions[vote.left] != conditions[vote.right]]
    shown = {place for vote in counted for place in (vote.left, vote.right)}
    return ConditionRanks(
        ranks=rank_items((conditions[vote.left], conditions[vote.right], _SHARE[vote.choice]) for vote in counted),
        names=names,
        votes=len(counted),
        alike=len(known) - len(counted),
        mixed=sum(settings[vote.left] != settings[vote.right] for vote in counted),
        images=Counter(conditions[place] for place in shown),
    )


def pair_of(
    candidates: Sequence[Place],
    votes: Sequence[Vote],
    chance: random.Random,
    partners: Mapping[Place, Sequence[Place]] | None = None,
) -> tuple[Place, Place]:
    """Choose the pair that tells most; where *partners* are given, among the pairs that they make."""
    shown: Counter[Place] = Counter()
    won: dict[Place, float] = {}
    met: Counter[frozenset[Place]] = Counter()
    for vote in votes:
        for place, share in ((vote.left, _SHARE[vote.choice]), (vote.right, 1 - _SHARE[vote.choice])):
            shown[place] += 1
            won[place] = won.get(place, 0.0) + share
        met[frozenset((vote.left, vote.right))] += 1
    mixed = chance.sample(list(candidates), len(candidates))

    def is_spent(place: Place) -> bool:
        """Return whether every pair of this image was voted on, so that it would only repeat one."""
        return partners is not None and all(met[frozenset((place, other))] for other in partners[place])

    one = min(mixed, key=lambda place: (is_spent(place), shown[place]))

    def success(place: Place) -> float:
        """Return the share of votes won, near enough to a strength: fitting the model takes a second for 200 images."""
        return (won.get(place, 0.0) + 1) / (shown[place] + 2)

    def fitness(other: Place) -> tuple[int, int, float]:
        return met[frozenset((one, other))], shown[other], abs(success(one) - success(other))

    others = mixed if partners is None else chance.sample(list(partners[one]), len(partners[one]))
    other = min((place for place in others if place != one), key=fitness)
    return (one, other) if chance.random() < 0.5 else (other, one)


def _partners(session: Session, places: Sequence[Place], by: Sequence[str]) -> dict[Place, list[Place]]:
    """Return for each image those that differ from it in the named parameters and in nothing else."""
    runs = runs_of(session.log, places)
    names = names_of(by, runs.values())
    groups: dict[str, list[tuple[Place, Condition]]] = {}
    wanted = set(places)
    for run in runs.values():
        for result in run.results:
            place = (run.task_uuid, result.position)
            if place in wanted:
                group = groups.setdefault(setting_of(run, result, names), [])
                group.append((place, condition_of(run, result, names)))
    partners: dict[Place, list[Place]] = {}
    for group in groups.values():
        for place, condition in group:
            others = [other for other, another in group if another != condition]
            if others:
                partners[place] = others
    if not partners:
        raise RunNotFound(
            f"No two of these {len(places)} images differ only in {', '.join(names)}: all other parameters, "
            "prompt and seed included, must be equal."
        ).with_remedy(Remedy("{0} lists their parameters.", (command("export", python="rw.log.df()"),)))
    return {place: partners[place] for place in places if place in partners}
