"""Estimates: what a task is expected to cost, before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.amounts import parse_amount
from ..core.money import USD, Money
from ..errors import ConfigError, RunLogError
from ..reprs import short_repr

if TYPE_CHECKING:
    from .ports import Ports

__all__ = ["Estimate", "estimate"]


@short_repr()
@dataclass(frozen=True, slots=True)
class Estimate:
    """What a task is expected to cost.

    Attributes:
        cost: For all its results; None if the price is unknown. An unknown price is never taken for 0.
        basis: What the estimate is based on, in words.
        unit: The unit in which the service charges, also if the price is unknown.
    """

    cost: Money | None
    basis: str
    unit: str = USD

    @property
    def usd(self) -> float | None:
        """US dollars; None if the price is unknown, or the service charges in another unit."""
        return self.cost.amount if self.cost is not None and self.cost.unit == USD else None

    def __str__(self) -> str:
        return f"unknown ({self.basis})" if self.cost is None else f"about {self.cost} ({self.basis})"


def estimate(ports: Ports, task: Mapping[str, Any], service: str = "") -> Estimate:
    """Return an estimate from the service's list of prices, else from the median of the user's own runs.

    Args:
        ports: Whose log is read.
        task: The task.
        service: Who would perform it, as the log names it; empty for Runware, or the sandbox in its place.
    """
    try:
        provider = ports.provider(service)
    except ConfigError:  # a service that is not in use now has no list of prices here
        return Estimate(None, "its service is not in use")
    unit = provider.capabilities.money
    listed = provider.price(task)
    if listed is not None:
        return Estimate(listed, "price list", listed.unit)
    try:
        own = ports.log.median_cost(task, provider.name, results_of=provider.number_of_results, unit=unit)
    except RunLogError:
        own = None
    usual = None if own is None else parse_amount(own.amount)
    if own is None or usual is None:
        return Estimate(None, "no price is listed, and the log has no run of this kind with a known cost", unit)
    what = "similar runs" if own.is_similar else "runs with other parameters"
    return Estimate(Money(round(usual, 6), unit), f"median of {own.runs} of your {what}", unit)
