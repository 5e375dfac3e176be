"""Usage reports of accountManagement (reference 5.15), counted from what was really asked."""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .validation import Refused

__all__ = ["Call", "report"]

Json = dict[str, Any]
_MOST_DAYS = 30


@dataclass(frozen=True)
class Call:
    """One request, as the reports count it.

    Attributes:
        at: Seconds since the epoch.
        model: AIR identifier; empty where there is none.
        cost_usd: What it cost.
        seconds: How long it took.
        client_error: Whether it was refused.
        server_error: Whether it failed.
    """

    at: float
    model: str
    cost_usd: float = 0.0
    seconds: float = 0.0
    client_error: bool = False
    server_error: bool = False


def report(task: Json, calls: Iterable[Call], *, key_name: str, now: float) -> Json:
    """Answer getUsageActivity, getUsagePerformance or getUsageErrors.

    Raises:
        Refused: The dates make no sense, or are more than 30 days apart.
    """
    today = dt.datetime.fromtimestamp(now, dt.UTC).date()
    start = _date(task, "startDate", today - dt.timedelta(days=_MOST_DAYS - 1))
    end = _date(task, "endDate", today)
    if end < start or (end - start).days > _MOST_DAYS:
        raise Refused("invalidEndDate", f"Invalid value for 'endDate' parameter. At most {_MOST_DAYS} days from "
                      "'startDate'.", parameter="endDate")  # fmt: skip
    wanted = task.get("models") or None
    chosen = [call for call in calls if start <= _day(call) <= end and (wanted is None or call.model in wanted)]
    groups = task.get("groupBy") or ["date"]
    names = {"date": "timeseries", "model": "model", "apiKey": "apiKey"}
    usage = {names[group]: {"data": _rows(group, chosen, task["operation"], key_name),
                            "meta": _meta(chosen, (end - start).days + 1)} for group in groups}  # fmt: skip
    return {"operation": task["operation"], "usage": usage}


def _date(task: Json, name: str, default: dt.date) -> dt.date:
    value = task.get(name)
    if value is None:
        return default
    try:
        return dt.date.fromisoformat(str(value)[:10])
    except ValueError:
        raise Refused(f"invalid{name[:1].upper()}{name[1:]}", f"Invalid value for '{name}' parameter. It is a date "
                      "such as 2026-10-31.", parameter=name) from None  # fmt: skip


def _day(call: Call) -> dt.date:
    return dt.datetime.fromtimestamp(call.at, dt.UTC).date()


def _rows(group: str, calls: list[Call], operation: str, key_name: str) -> list[Json]:
    by_label: dict[str, list[Call]] = {}
    for call in calls:
        label = {"date": _day(call).isoformat(), "model": call.model, "apiKey": key_name}[group]
        by_label.setdefault(label, []).append(call)
    return [{group: label, **_figures(each, operation)} for label, each in sorted(by_label.items())]


def _figures(calls: list[Call], operation: str) -> Json:
    if operation == "getUsageErrors":
        return {"clientErrors": sum(call.client_error for call in calls),
                "serverErrors": sum(call.server_error for call in calls)}  # fmt: skip
    if operation == "getUsagePerformance":
        times = sorted(call.seconds for call in calls)
        return {"avgInferenceTime": round(statistics.fmean(times), 4), "p90InferenceTime": times[int(0.9 * len(times))],
                "p99InferenceTime": times[int(0.99 * len(times))]}  # fmt: skip
    return {"count": len(calls), "spend": round(sum(call.cost_usd for call in calls), 6)}


def _meta(calls: list[Call], days: int) -> Json:
    spend = round(sum(call.cost_usd for call in calls), 6)
    errors = sum(call.client_error or call.server_error for call in calls)
    return {"totalRequests": len(calls), "totalResults": len(calls) - errors, "totalSpend": spend,
            "avgDailySpend": round(spend / days, 6), "projectedSpend": round(spend / days * 30, 6),
            "totalErrors": errors, "errorRate": round(errors / len(calls), 4) if calls else 0.0}  # fmt: skip
