"""Tasks: their states over time, and how responses describe them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from .behaviour import Behaviour
from .errors import CODES

__all__ = ["Task", "stamp"]

Json = dict[str, Any]
_TERMINAL = {"completed", "failed", "canceled"}


@dataclass
class Task:
    """One accepted run. Times are seconds of the service's clock, which the time scale has stretched.

    Attributes:
        task_id: Id, chosen by the service.
        template_id: Template.
        given: Input of the request.
        accepted_at: When it was accepted.
        queue_s: Seconds in the queue.
        run_s: Seconds that it runs, unless it is stopped.
        price_credits: What it costs if it completes.
        request_hash: Hash of the request.
        ending: Terminal status that it reaches.
        error: Code and text of a failure.
        is_preempted: Whether it returns to the queue once.
        created_s: Wall-clock time of acceptance, in seconds since the epoch.
        webhook_url: URL for its callback.
        kind: Kind of output.
        media_fault: What is wrong with its files.
        stopped_at: When a control request ended it.
        is_charged: Whether the ledger has its charge.
        webhook_fault: Options of the fault that spoils its callback; None if there is none.
        is_called_back: Whether all of its callbacks were sent or given up.
    """

    task_id: str
    template_id: str
    given: Json
    accepted_at: float
    queue_s: float
    run_s: float
    price_credits: float
    request_hash: str
    created_s: float
    ending: str = "completed"
    error: tuple[int, str] | None = None
    is_preempted: bool = False
    webhook_url: str | None = None
    kind: str = "image"
    media_fault: str = ""
    stopped_at: float | None = None
    is_charged: bool = False
    webhook_fault: Json | None = None
    is_called_back: bool = False

    @property
    def ends_at(self) -> float:
        """When it reaches its terminal status."""
        if self.stopped_at is not None:
            return self.stopped_at
        return self.accepted_at + self.queue_s + self.run_s

    def is_finished(self, now: float) -> bool:
        """Return whether it has reached its terminal status."""
        return now >= self.ends_at

    def status(self, now: float) -> str:
        """Return the status."""
        if self.is_finished(now):
            return self.ending
        share = self._share(now)
        if share < 0 or (self.is_preempted and 0.4 <= share < 0.6):
            return "queued"
        return "running"

    def stop(self, ending: str, now: float, error: tuple[int, str] | None) -> bool:
        """End it now; return whether that was possible. A terminal status never changes."""
        if self.is_finished(now):
            return False
        self.stopped_at, self.ending, self.error = now, ending, error
        return True

    def describe(self, now: float, behaviour: Behaviour, output: Json) -> Json:
        """Return `data` of a response about it. *output* is included if it is completed."""
        status = self.status(now)
        data: Json = {"task_id": self.task_id, "status": status, "template_id": self.template_id}
        started_s = self.created_s + self.queue_s
        was_started = self.accepted_at + self.queue_s < self.ends_at or status == "completed"
        times = {"created_at": stamp(self.created_s)}
        if was_started and status != "queued":
            times["started_at"] = stamp(started_s)
        if status == "running":
            data["progress"] = min(99, int(100 * self._share(now) + 1e-6))
        if status in _TERMINAL:
            times["completed_at"] = stamp(self.created_s + self.ends_at - self.accepted_at)
            data["input"] = self.given
        if status == "completed":
            data["output"] = output
            measured = {"processing_time": round(self.run_s + 0.2, 1), "credits_used": _whole(self.price_credits)}
            if behaviour.completed_form == "short":
                data = {name: data[name] for name in ("task_id", "status", "output")}
                times = {}
            data |= times | measured
        else:
            data |= times
            if status == "failed":
                data |= self._failure(behaviour.failed_form)
            if status in _TERMINAL and behaviour.charges_failures:
                data["credits_used"] = _whole(self.price_credits)
        if not behaviour.optional_fields:
            data = {name: data[name] for name in ("task_id", "status", "output") if name in data}
        return data

    def _share(self, now: float) -> float:
        """Return the finished share of the run, below 0 in the queue."""
        elapsed_s = now - self.accepted_at - self.queue_s
        if elapsed_s < 0:
            return -1.0
        return elapsed_s / self.run_s if self.run_s else 1.0

    def _failure(self, form: str) -> Json:
        code, msg = self.error or (50001, CODES[50001])
        forms: dict[str, Json] = {
            "object": {"error": {"code": code, "msg": msg}}, "string": {"error": msg}, "msg": {"msg": msg},
            "message": {"message": msg}, "error_code": {"error_code": code}, "bare": {},
        }  # fmt: skip
        return forms[form]


def stamp(seconds: float) -> str:
    """Format seconds since the epoch as the service does: UTC, whole seconds, `Z`."""
    return dt.datetime.fromtimestamp(int(seconds), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _whole(amount: float) -> float:
    """Return an amount as an integer if it is one, as in the documents."""
    return int(amount) if amount == int(amount) else amount
