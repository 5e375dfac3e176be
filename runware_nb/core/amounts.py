"""Amounts of money: the one function that decides what counts as one."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["MOST_USD", "parse_amount"]

MOST_USD = 1e9
"""Bound of one amount, in US dollars. A cost, a budget or a balance of a billion dollars is a fault, not an amount.

Below the bound, the sum of all amounts in a log stays finite and exact to far less than a cent.
"""


def parse_amount(value: Any) -> float | None:
    """Return an amount in US dollars, or None if the value is not one: then the amount is unknown.

    An amount is an int or a float, finite, not negative and below `MOST_USD`. A boolean is not an amount, and neither
    is text: the service writes amounts as JSON numbers. An unknown amount is never read as 0, because a task of unknown
    price is asked about, and a cost of 0 would free what a budget has reserved.

    Args:
        value: From a service, a row of the log, a record file, or an argument.

    Source:
        reference/runware.md sections 5.1 and 8: `cost` is a number of US dollars.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        amount = float(value)
    except OverflowError:
        return None
    if not math.isfinite(amount) or not 0 <= amount < MOST_USD:
        return None
    return amount + 0.0  # turns -0.0 into 0.0
