"""Ledger of what a service charged, in that service's unit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Charge", "Ledger", "hash_of"]

_DIGITS = 6


@dataclass
class Charge:
    """What one task was charged.

    Attributes:
        task_id: The task's id, chosen by the client or by the service.
        task_type: Type of work.
        request_hash: Hash of the request without its id and delivery. Two tasks that do the same work share it.
        amount: Amount in the ledger's unit.
        results: Number of results delivered.
    """

    task_id: str
    task_type: str
    request_hash: str
    amount: float = 0.0
    results: int = 0


class Ledger:
    """Balance and charges of one account.

    Args:
        unit: Unit of all amounts: `USD` or `credits`.
        start: Balance at the start, in *unit*.
    """

    def __init__(self, unit: str, start: float) -> None:
        self.unit = unit
        self.start = start
        self._charges: dict[str, Charge] = {}
        self._total = 0.0

    @property
    def total(self) -> float:
        """Sum of all charges, in `unit`."""
        return round(self._total, _DIGITS)

    @property
    def balance(self) -> float:
        """Remaining balance, in `unit`."""
        return round(self.start - self.total, _DIGITS)

    @property
    def charges(self) -> list[Charge]:
        """All charges, oldest first."""
        return list(self._charges.values())

    def bill(self, task_id: str, task_type: str, amount: float, *, request_hash: str) -> None:
        """Charge one more result of a task."""
        charge = self._charges.get(task_id)
        if charge is None:
            charge = self._charges[task_id] = Charge(task_id, task_type, request_hash)
        charge.amount = round(charge.amount + amount, _DIGITS)
        charge.results += 1
        self._total += amount

    def clear(self) -> None:
        """Delete all charges and restore the full balance."""
        self._charges.clear()
        self._total = 0.0

    def report(self) -> dict[str, Any]:
        """Return all charges and the total, each amount with its unit, as the control endpoint sends them."""
        rows = [
            {"task_id": charge.task_id, "task_type": charge.task_type, "amount": charge.amount, "unit": self.unit,
             "results": charge.results, "request_hash": charge.request_hash}
            for charge in self._charges.values()
        ]  # fmt: skip
        return {"charges": rows, "total": {"amount": self.total, "unit": self.unit}}


def hash_of(request: Mapping[str, Any], *, without: frozenset[str] = frozenset()) -> str:
    """Return the hash of a request.

    Args:
        request: The request as it was sent.
        without: Fields that do not change the work, such as the id and the delivery.
    """
    fields = {key: value for key, value in request.items() if key not in without}
    return hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode()).hexdigest()
