"""Amounts of money with their unit. Amounts of different units are never added or compared."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ..reprs import short_repr

__all__ = ["COST_UNITS", "USD", "Money", "dollars", "format_amount", "format_costs", "format_sums", "sums_by_unit"]

USD = "USD"
COST_UNITS = (USD, "credits")
"""Units in which services charge."""
_MOST_DECIMALS = 9
"""No service charges less: a smaller amount is the error of a sum."""


@short_repr()
@dataclass(frozen=True, slots=True)
class Money:
    """An amount in the unit of a service.

    There is no Money for an unknown price: that is None, never an amount of 0.

    Attributes:
        amount: How much.
        unit: `USD` or `credits`.

    Raises:
        ValueError: No service charges in this unit.
    """

    amount: float
    unit: str = USD

    def __post_init__(self) -> None:
        if self.unit not in COST_UNITS:
            raise ValueError(f"invalid unit of money {self.unit!r}: expected one of {', '.join(COST_UNITS)}")

    def __str__(self) -> str:
        return format_amount(self.amount, self.unit)


def dollars(amount: float | None) -> Money | None:
    """Return an amount in US dollars; None, which is an unknown amount, stays None."""
    return None if amount is None else Money(amount)


def format_amount(amount: float | None, unit: str = USD) -> str:
    """Format an amount, such as `$0.0038` or `12 credits`; an unknown one as unknown.

    It has four decimals, or two significant digits if it is less than that, such as `$0.000023`.

    Args:
        amount: How much; None if it is unknown.
        unit: `USD` or `credits`.
    """
    if amount is None:
        return "cost unknown"
    digits = f"{amount:.4f}".rstrip("0")
    if amount and not digits.strip("-0."):  # an amount that was charged is never shown as nothing
        places = 1 - math.floor(math.log10(abs(amount)))
        digits = f"{amount:.{min(places, _MOST_DECIMALS)}f}".rstrip("0")
    whole, _, decimals = digits.partition(".")
    if unit == USD:
        return f"${whole}.{decimals.ljust(2, '0')}"
    number = f"{whole}.{decimals}" if decimals else whole
    return f"{number} {'credit' if number == '1' else 'credits'}" if unit == "credits" else f"{number} {unit}"


def sums_by_unit(amounts: Iterable[tuple[float | None, str]]) -> dict[str, float]:
    """Return the sum of the known amounts for each unit that occurs, in the order of `COST_UNITS`.

    Args:
        amounts: Amounts, None for an unknown one, with their units.
    """
    sums: dict[str, float] = {}
    for amount, unit in amounts:
        if amount is not None:
            sums[unit] = sums.get(unit, 0.0) + amount
    # a damaged log may have any text as a unit, and what it says about the other units must be shown all the same
    known = [unit for unit in COST_UNITS if unit in sums]
    return {unit: sums[unit] for unit in [*known, *sorted(sums.keys() - set(known))]}


def format_sums(sums: dict[str, float]) -> str:
    """Format one amount for each unit, such as `$0.02 and 12 credits`; no amounts at all are `$0.00`."""
    return " and ".join(format_amount(amount, unit) for unit, amount in sums.items()) or format_amount(0.0)


def format_costs(amounts: Iterable[tuple[float | None, str]]) -> str:
    """Format the sum of what is known for each unit, and how many are unknown, such as `$0.0023 + 1 unknown`.

    Args:
        amounts: Amounts, None for an unknown one, with their units. If none is known, the sum is unknown and not $0.00.
    """
    listed = list(amounts)
    sums = sums_by_unit(listed)
    unknown = sum(amount is None for amount, _ in listed)
    if unknown and not sums:
        return format_amount(None)
    return f"{format_sums(sums)} + {unknown} unknown" if unknown else format_sums(sums)
