"""The account as Runware reports it, and the hash of a request."""

from __future__ import annotations

from typing import Any

from ..core.ledger import Ledger, hash_of

__all__ = ["account_details", "ledger_rows", "request_hash"]

_NOT_PART_OF_THE_REQUEST = frozenset(
    {"taskUUID", "deliveryMethod", "webhookURL", "uploadEndpoint", "includeCost", "includeUsage", "ttl"}
)


def account_details(account: Ledger, api_key: str) -> dict[str, Any]:
    """Return the response to `accountManagement` with `getDetails` (reference 5.15)."""
    spent = {"credits": account.total, "requests": len(account.charges)}
    return {
        "operation": "getDetails",
        "organizationName": "Sandbox",
        "organizationUUID": "00000000-0000-4000-8000-000000000000",
        "balance": {"amount": account.balance, "freeBalance": 0.0, "currency": account.unit},
        "team": [{"name": "You", "email": "you@sandbox.example", "roles": ["Owner"]}],
        "apiKeys": [{"apiKey": f"{api_key[:4]}…", "name": "sandbox", "enabled": True}],
        "usage": dict.fromkeys(("today", "last7Days", "last30Days", "total"), spent),
    }


def ledger_rows(account: Ledger) -> dict[str, Any]:
    """Return the ledger's report. It also has the names of earlier versions, which existing scripts read."""
    report = account.report()
    charges = [{**row, "task_uuid": row["task_id"], "cost_usd": row["amount"]} for row in report["charges"]]
    return {**report, "charges": charges, "total_usd": account.total}


def request_hash(task: dict[str, Any]) -> str:
    """Return the hash of a request without its UUID and delivery."""
    return hash_of(task, without=_NOT_PART_OF_THE_REQUEST)
