"""The sandbox's account: a balance, a ledger of what was billed, and the answer to getDetails."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

__all__ = ["Account", "Charge", "request_hash"]

_NOT_PART_OF_THE_REQUEST = {
    "taskUUID",
    "deliveryMethod",
    "webhookURL",
    "uploadEndpoint",
    "includeCost",
    "ttl",
}


@dataclass
class Charge:
    """What one task was billed.

    Attributes:
        task: The task as it was asked for.
        cost_usd: US dollars.
        results: How many results were delivered for it.
    """

    task: dict[str, Any]
    cost_usd: float
    results: int

    def row(self) -> dict[str, Any]:
        """Write it for the ledger, with a hash of the request: the same work under two UUIDs shows."""
        return {"task_uuid": self.task["taskUUID"], "task_type": self.task["taskType"], "cost_usd": self.cost_usd,
                "results": self.results, "request_hash": request_hash(self.task)}  # fmt: skip


class Account:
    """Money.

    Args:
        balance_usd: What is there to spend, in US dollars.
    """

    def __init__(self, balance_usd: float = 100.0) -> None:
        self.start_usd = balance_usd
        self._charges: dict[str, Charge] = {}
        self._total_usd = 0.0

    @property
    def total_usd(self) -> float:
        """All that was billed."""
        return round(self._total_usd, 6)

    @property
    def balance_usd(self) -> float:
        """What is left."""
        return round(self.start_usd - self.total_usd, 6)

    def bill(self, task: dict[str, Any], cost_usd: float) -> None:
        """Bill one more result of a task, given as it was asked for."""
        task_uuid = str(task["taskUUID"])
        charge = self._charges.get(task_uuid)
        if charge is None:
            charge = self._charges[task_uuid] = Charge(task, 0.0, 0)
        charge.cost_usd = round(charge.cost_usd + cost_usd, 6)
        charge.results += 1
        self._total_usd += cost_usd

    def clear(self) -> None:
        """Start again with the full balance."""
        self._charges.clear()
        self._total_usd = 0.0

    def ledger(self) -> dict[str, Any]:
        """List every charge, oldest first."""
        return {"charges": [charge.row() for charge in self._charges.values()], "total_usd": self.total_usd}

    def details(self, api_key: str) -> dict[str, Any]:
        """Answer `accountManagement` with `getDetails` (reference 5.15)."""
        spent = {"credits": self.total_usd, "requests": len(self._charges)}
        return {
            "operation": "getDetails",
            "organizationName": "Sandbox",
            "organizationUUID": "00000000-0000-4000-8000-000000000000",
            "balance": {"amount": self.balance_usd, "freeBalance": 0.0, "currency": "USD"},
            "team": [{"name": "You", "email": "you@sandbox.example", "roles": ["Owner"]}],
            "apiKeys": [{"apiKey": f"{api_key[:4]}…", "name": "sandbox", "enabled": True}],
            "usage": dict.fromkeys(("today", "last7Days", "last30Days", "total"), spent),
        }


def request_hash(task: dict[str, Any]) -> str:
    """Hash a request without its UUID and delivery."""
    kept = {key: value for key, value in task.items() if key not in _NOT_PART_OF_THE_REQUEST}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()
