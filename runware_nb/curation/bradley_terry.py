"""Strengths from choices between two: the Bradley-Terry model, with its uncertainty."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..reprs import short_repr

__all__ = ["Rank", "rank_items"]

Item = TypeVar("Item", bound=Hashable)

_PRIOR_SD = 2.0
"""Strengths are expected within a few log-odds: keeps them finite where somebody never lost."""
_STEPS = 50
_SMALL = 1e-9
_QUANTILE = 1.959964
"""Of the normal distribution: 95 % lie within it."""


@short_repr()
@dataclass(frozen=True, slots=True)
class Rank(Generic[Item]):
    """Where one item stands.

    Attributes:
        item: What was voted on.
        strength: Log-odds of winning against an item of average strength; 0 is average.
        low: Lower end of its 95 % interval.
        high: Upper end.
        wins: Votes for it; a tie is half a vote for each.
        votes: Votes it took part in.
    """

    item: Item
    strength: float
    low: float
    high: float
    wins: float
    votes: int

    @property
    def chance(self) -> float:
        """How likely it wins against an average item, 0 to 1."""
        return 1 / (1 + math.exp(-self.strength))


def rank_items(votes: Iterable[tuple[Item, Item, float]]) -> list[Rank[Item]]:
    """Rank what was voted on, the strongest first.

    Args:
        votes: First item, second item, and the first one's share of the vote: 1 won, 0 lost, 0.5 a tie.

    Returns:
        One rank for each item that took part. The posterior mode of the Bradley-Terry model with a normal prior on
        the strengths, found by Newton's method; intervals from the curvature there.

    Source:
        R. A. Bradley and M. E. Terry, Rank analysis of incomplete block designs, Biometrika 39 (1952), 324-345.
    """
    pairs: Counter[tuple[Item, Item]] = Counter()
    wins: Counter[Item] = Counter()
    played: Counter[Item] = Counter()
    for first, second, share in votes:
        pairs[first, second] += 1
        wins[first] += share  # type: ignore[assignment]  # halves, of ties
        wins[second] += 1 - share  # type: ignore[assignment]
        played[first] += 1
        played[second] += 1
    items = list(played)
    place = {item: number for number, item in enumerate(items)}
    games = [(place[first], place[second], count) for (first, second), count in pairs.items()]
    strengths, spread = _fit(len(items), games, [float(wins[item]) for item in items])
    mean = sum(strengths) / len(items) if items else 0.0
    ranks = [
        Rank(item, strengths[n] - mean, strengths[n] - mean - _QUANTILE * spread[n],
             strengths[n] - mean + _QUANTILE * spread[n], float(wins[item]), played[item])
        for n, item in enumerate(items)
    ]  # fmt: skip
    return sorted(ranks, key=lambda rank: -rank.strength)


def _fit(count: int, games: Sequence[tuple[int, int, int]], wins: Sequence[float]) -> tuple[list[float], list[float]]:
    """Give strengths and their standard errors."""
    strengths = [0.0] * count
    precision = 1 / _PRIOR_SD**2
    for _ in range(_STEPS):
        gradient = [wins[n] - precision * strengths[n] for n in range(count)]
        curvature = [[precision if row == column else 0.0 for column in range(count)] for row in range(count)]
        for one, other, number in games:
            chance = 1 / (1 + math.exp(strengths[other] - strengths[one]))
            weight = number * chance * (1 - chance)
            gradient[one] -= number * chance
            gradient[other] -= number * (1 - chance)
            curvature[one][one] += weight
            curvature[other][other] += weight
            curvature[one][other] -= weight
            curvature[other][one] -= weight
        factor = _cholesky(curvature)
        step = _solve(factor, gradient)
        strengths = [value + change for value, change in zip(strengths, step, strict=True)]
        if max(map(abs, step), default=0.0) < _SMALL:
            break
    return strengths, _standard_errors(factor) if count else []


def _cholesky(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    """Factor a symmetric positive matrix: the prior makes it one, however few votes there are."""
    made: list[list[float]] = []
    for n, row in enumerate(matrix):
        line: list[float] = []
        for m in range(n):
            above = made[m]
            line.append((row[m] - sum(map(float.__mul__, line, above))) / above[m])
        line.append(math.sqrt(row[n] - sum(value * value for value in line)))
        made.append(line)
    return made


def _solve(factor: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    count = len(factor)
    down: list[float] = []
    for n in range(count):
        down.append((right[n] - sum(map(float.__mul__, factor[n], down))) / factor[n][n])
    up = [0.0] * count
    for n in reversed(range(count)):
        up[n] = (down[n] - sum(factor[m][n] * up[m] for m in range(n + 1, count))) / factor[n][n]
    return up


def _standard_errors(factor: Sequence[Sequence[float]]) -> list[float]:
    """Give the roots of the inverse's diagonal: of the strengths less their mean, which is what is told."""
    count = len(factor)
    columns = [_solve(factor, [1.0 if m == n else 0.0 for m in range(count)]) for n in range(count)]
    means = [sum(column) / count for column in columns]
    all_mean = sum(means) / count
    return [math.sqrt(max(columns[n][n] - 2 * means[n] + all_mean, 0.0)) for n in range(count)]
