"""The runs that belong together: what a run was made from, what was made from it, and so on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.money import Money
from ..reprs import short_repr
from ..runlog.records import Parent, RunRecord

if TYPE_CHECKING:
    from ..runlog import RunLog

__all__ = ["Family", "Member", "find_family"]

MOST_RUNS = 500
"""A source may have been used thousands of times. A larger tree could not be read, and would make a notebook large."""


@short_repr("record")
@dataclass(slots=True)
class Member:
    """One run of a family.

    Attributes:
        record: The run.
        link: How it was made from the run above it in the tree; None for a root.
        others: Its other parents: those in the tree at another place, and those that the log no longer has.
        children: The runs below it, oldest first.
    """

    record: RunRecord
    link: Parent | None = None
    others: tuple[Parent, ...] = ()
    children: list[Member] = field(default_factory=list)


@short_repr("chosen")
@dataclass(frozen=True, slots=True)
class Family:
    """Runs that belong together, as trees.

    Attributes:
        chosen: The run that was asked about.
        roots: Members that were not made from another one, oldest first.
        members: All of them by task UUID.
        is_complete: Whether all runs are in it.
    """

    chosen: RunRecord
    roots: list[Member]
    members: dict[str, Member]
    is_complete: bool

    @property
    def costs(self) -> list[Money]:
        """What the runs cost, one amount for each unit. Runs that another user paid for do not count."""
        sums: dict[str, float] = {}
        for member in self.members.values():
            record = member.record
            if record.cost is not None and not record.is_imported:
                sums[record.cost_unit] = sums.get(record.cost_unit, 0.0) + record.cost
        return [Money(amount, unit) for unit, amount in sorted(sums.items(), reverse=True)]

    @property
    def number_unknown(self) -> int:
        """How many runs have ended with a result, and their cost is unknown."""
        records = (member.record for member in self.members.values())
        return sum(
            record.cost is None and not record.is_imported and any(result.error is None for result in record.results)
            for record in records
        )


def find_family(log: RunLog, chosen: RunRecord, *, most: int = MOST_RUNS) -> Family:
    """Find all runs that are connected with a run, whichever of them it is.

    Args:
        log: Where to look.
        chosen: The run.
        most: The largest number of runs. The nearest ones come first.
    """
    found = {chosen.task_uuid: chosen}
    frontier = [chosen]
    is_complete = True
    while frontier and is_complete:
        wanted = {parent.task_uuid for run in frontier for parent in run.parents} - found.keys()
        near = [*log.runs_with_uuids(sorted(wanted)), *log.children_of([run.task_uuid for run in frontier])]
        fresh = {run.task_uuid: run for run in near if run.task_uuid not in found}
        is_complete = len(found) + len(fresh) <= most
        frontier = list(fresh.values())[: most - len(found)]
        found.update((run.task_uuid, run) for run in frontier)
    return _planted(chosen, found.values(), is_complete=is_complete)


def _planted(chosen: RunRecord, runs: Iterable[RunRecord], *, is_complete: bool) -> Family:
    """Arrange runs as trees: each is below the first of its parents, and names the others."""
    members = {run.task_uuid: Member(run) for run in sorted(runs, key=_age)}
    above: dict[str, str] = {}
    roots = []
    for name, member in members.items():
        link = next(
            (
                parent
                for parent in member.record.parents
                if parent.task_uuid in members and not _is_below(parent.task_uuid, name, above)
            ),
            None,
        )
        member.link = link
        member.others = tuple(
            parent for parent in member.record.parents if link is None or parent.task_uuid != link.task_uuid
        )
        if link is None:
            roots.append(member)
        else:
            above[name] = link.task_uuid
            members[link.task_uuid].children.append(member)
    return Family(chosen, roots, members, is_complete)


def _is_below(name: str, top: str, above: dict[str, str]) -> bool:
    """Return whether a run is *top*, or below it so far: an imported log could contain a ring."""
    while name != top and name in above:
        name = above[name]
    return name == top


def _age(run: RunRecord) -> tuple[str, str]:
    return run.created_at_utc, run.task_uuid
