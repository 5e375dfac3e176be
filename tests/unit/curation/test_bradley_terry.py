"""Ranks from pairwise votes, against the model itself rather than our way of fitting it."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runware_nb.curation import rank_items
from runware_nb.curation.ballot import pair_of
from runware_nb.runlog.ballots import Vote

PRIOR = 1 / 2.0**2


def posterior(strengths, votes):
    """The logarithm of what is maximised, written from the model: a tie is half a vote for each."""
    total = -0.5 * PRIOR * sum(value * value for value in strengths.values())
    for first, second, share in votes:
        chance = 1 / (1 + math.exp(strengths[second] - strengths[first]))
        total += share * math.log(chance) + (1 - share) * math.log(1 - chance)
    return total


votes = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from([0.0, 0.5, 1.0])).filter(lambda v: v[0] != v[1]),
    min_size=1, max_size=30,
)  # fmt: skip


@given(votes)
def test_no_other_strengths_explain_the_votes_better(cast):
    found = {rank.item: rank.strength for rank in rank_items(cast)}
    best = posterior(found, cast)
    for item, strength in found.items():
        for change in (-0.01, 0.01):
            assert posterior({**found, item: strength + change}, cast) <= best + 1e-7


@given(votes)
def test_ranks_are_complete_centred_and_within_their_intervals(cast):
    ranks = rank_items(cast)
    assert {rank.item for rank in ranks} == {item for vote in cast for item in vote[:2]}
    assert sum(rank.strength for rank in ranks) == pytest.approx(0, abs=1e-9)
    assert all(rank.low <= rank.strength <= rank.high and 0 < rank.chance < 1 for rank in ranks)
    assert sum(rank.votes for rank in ranks) == 2 * len(cast)
    assert sum(rank.wins for rank in ranks) == pytest.approx(len(cast))
    assert [rank.strength for rank in ranks] == sorted((rank.strength for rank in ranks), reverse=True)


def test_turned_around_votes_turn_the_ranking_around():
    cast = [("a", "b", 1.0), ("b", "c", 1.0), ("a", "c", 1.0), ("c", "a", 0.5)]
    turned = [(first, second, 1 - share) for first, second, share in cast]
    forward = {rank.item: rank.strength for rank in rank_items(cast)}
    backward = {rank.item: rank.strength for rank in rank_items(turned)}
    assert all(forward[item] == pytest.approx(-backward[item]) for item in forward)


def test_more_votes_narrow_the_interval_and_one_who_never_lost_stays_finite():
    few = rank_items([("a", "b", 1.0)] * 3)
    many = rank_items([("a", "b", 1.0)] * 300)
    assert many[0].strength < 20
    mixed_few = rank_items([("a", "b", 1.0), ("a", "b", 0.0)] * 3)
    mixed_many = rank_items([("a", "b", 1.0), ("a", "b", 0.0)] * 300)
    assert mixed_many[0].high - mixed_many[0].low < (mixed_few[0].high - mixed_few[0].low) / 3
    assert few[0].item == many[0].item == "a"


def test_true_strengths_are_found_and_their_intervals_hold_them():
    chance = random.Random(7)
    truth = {name: (n - 4.5) / 3 for n, name in enumerate("abcdefghij")}
    cast = []
    for _ in range(3000):
        first, second = chance.sample(list(truth), 2)
        won = chance.random() < 1 / (1 + math.exp(truth[second] - truth[first]))
        cast.append((first, second, 1.0 if won else 0.0))
    ranks = rank_items(cast)
    assert [rank.item for rank in ranks] == list("jihgfedcba")
    assert sum(rank.low <= truth[rank.item] <= rank.high for rank in ranks) >= 8


def test_no_votes_no_ranks():
    assert rank_items([]) == []


def test_everybody_is_shown_before_anybody_twice_and_pairs_differ():
    chance = random.Random(1)
    places = [(f"{n:08d}", 0) for n in range(10)]
    cast = []
    for _ in range(45):
        left, right = pair_of(places, cast, chance)
        assert left != right
        cast.append(Vote(left, right, chance.choice(["left", "right", "tie"])))
        shown = [sum(place in (vote.left, vote.right) for vote in cast) for place in places]
        assert max(shown) - min(shown) <= 2
    met = {frozenset((vote.left, vote.right)) for vote in cast}
    assert len(met) >= 35, "pairs that have met are not shown again while others have not"
    assert {vote.left < vote.right for vote in cast} == {True, False}, "sides change"
