"""vote: choose the better of two images, without knowing which is which."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from .. import remedies
from ..curation import Ballot
from ..errors import MagicUsageError
from ..runlog.ballots import CHOICES
from ..runlog.exhibits import Place
from .base import CommandResult
from .filters import add_filters, filter_from

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "vote blind between pairs of images; `ranking` says who leads"

_REF = re.compile(r"([0-9a-fA-F-]{4,36})#([1-9]\d{0,3})")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("vote", nargs="*", metavar="LEFT RIGHT CHOICE", help="a vote given as words: "
                        "3f2a9c1b#1 77b0d2aa#2 left; left, right or tie. Pairs are shown without it")  # fmt: skip
    parser.add_argument("--ballot", metavar="NAME", help="what the votes are counted under (the labels by default)")
    parser.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="NAME",
        help="only pairs that differ in this "
        "parameter, such as cfg, and are equal in all others, prompt and seed included; repeatable",
    )
    parser.add_argument("--voter", default="", metavar="NAME", help="who votes")
    add_filters(parser, limit=None)


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Write a vote down, or show pairs."""
    ballot = Ballot(session, ballot_name(options), filter_from(options, session), voter=options.voter, by=options.by)
    if options.vote:
        return _given(session, ballot, options.vote)
    if not session.front_end.show_ballot(ballot):
        left, right = ballot.next_pair()
        pair = [f"{uuid}#{position + 1}" for uuid, position in (left, right)]
        vote = remedies.Remedy("Vote with {0}; left, right or tie.", (remedies.command("vote", *pair, "left"),))
        said = f"next pair: {pair[0]} {pair[1]}. {session.front_end.remedy(vote)}"
        return CommandResult({"text/plain": said}, {"ballot": ballot.name, "left": pair[0], "right": pair[1]})
    return CommandResult(value=ballot)


def ballot_name(options: argparse.Namespace) -> str:
    """Name a ballot: as given, else by the labels it is about."""
    return str(options.ballot or ",".join(sorted(options.tag)) or "all")


def _given(session: Session, ballot: Ballot, words: list[str]) -> CommandResult:
    if len(words) != 3 or words[2] not in CHOICES:
        raise MagicUsageError("a vote is two images and a choice: vote 3f2a9c1b#1 77b0d2aa#2 left (left, right or tie)")
    left, right = (_place(session, word) for word in words[:2])
    for place, word in ((left, words[0]), (right, words[1])):
        if place not in ballot.candidates:
            raise MagicUsageError(f"{word} is not among the {len(ballot.candidates)} images of ballot {ballot.name!r}")
    ballot.vote(left, right, words[2])
    count = len(ballot.votes)
    said = f"ballot {ballot.name}: {count} vote{'' if count == 1 else 's'}"
    return CommandResult({"text/plain": said}, {"ballot": ballot.name, "votes": count})


def _place(session: Session, word: str) -> Place:
    match = _REF.fullmatch(word)
    if match is None:
        raise MagicUsageError(f"{word!r} names no image; write 3f2a9c1b#2 for the second of that run")
    return session.log.find(match[1]).task_uuid, int(match[2]) - 1
