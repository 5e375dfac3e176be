"""Estimates: what a task is expected to cost, before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.amounts import parse_amount
from ..errors import RunLogError
from ..present.results import format_usd
from ..providers.runware.catalog import estimate_usd
from ..providers.runware.tasks import expected_results
from ..reprs import short_repr

if TYPE_CHECKING:
    from .session import Session

__all__ = ["Estimate", "estimate"]


@short_repr()
@dataclass(frozen=True, slots=True)
class Estimate:
    """What a task is expected to cost.

    Attributes:
        usd: US dollars for all its results; None if the price is unknown. An unknown price is never taken for 0.
        basis: What the estimate is based on, in words.
    """

    usd: float | None
    basis: str

    def __str__(self) -> str:
        return f"unknown ({self.basis})" if self.usd is None else f"about {format_usd(self.usd)} ({self.basis})"


def estimate(session: Session, task: Mapping[str, Any]) -> Estimate:
    """Return an estimate from the price list, else from the median of the user's own runs.

    Args:
        session: Whose log is read.
        task: In wire spelling.
    """
    listed = estimate_usd(task)
    if listed is not None:
        return Estimate(listed, "price list")
    try:
        own = session.log.median_cost(task, session.settings.service, results_of=expected_results)
    except RunLogError:
        own = None
    usual = None if own is None else parse_amount(own.usd)
    if own is None or usual is None:
        return Estimate(None, "no price is listed, and the log has no run of this kind with a known cost")
    what = "similar runs" if own.is_similar else "runs with other parameters"
    return Estimate(round(usual, 6), f"median of {own.runs} of your {what}")
