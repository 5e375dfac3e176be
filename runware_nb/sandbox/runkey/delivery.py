"""Delivery of callbacks: attempts, faults, and the list of what was sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ..core.clock import Clock
from ..core.faults import Fault
from ..core.webhooks import is_reachable, post_bytes
from .behaviour import Behaviour
from .callbacks import Callback, build_callback, spoil
from .tasks import stamp

__all__ = ["Deliveries"]

Json = dict[str, Any]
_FIRST_DELAY_S = 1.0
_FORGED_SECRET = "not the secret of this account"  # noqa: S105 - the signature of a forger
_DEFAULT_S = {"delayed": 30.0, "stale": 3600.0}


class Deliveries:
    """Sends callbacks to this machine, and to no other.

    Args:
        clock: Wall clock, for timestamps.
        sleep: Waits for seconds of the protocol.
        secret: Returns the webhook secret in force.
        behaviour: Returns the switches in force.
    """

    def __init__(
        self,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]],
        secret: Callable[[], str],
        behaviour: Callable[[], Behaviour],
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._secret = secret
        self._behaviour = behaviour
        self.records: list[Json] = []

    async def deliver(self, url: str, event: str, data: Json, fault: Fault | None) -> None:
        """Send the callback of a finished task, with its fault."""
        how = str(fault.options.get("how", "lost")) if fault is not None else ""
        options = fault.options if fault is not None else {}
        seconds = float(options.get("seconds", _DEFAULT_S.get(how, 0.0)))
        if how == "delayed":
            await self._sleep(seconds)
        if how == "lost":
            self._record(url, event, data, how, status=0, attempts=0)
            return
        await self._send(url, event, data, how, seconds)
        if how == "duplicated":
            await self._sleep(seconds)
            await self._send(url, event, data, how, seconds)
        if how and options.get("in_addition") is True:
            await self._send(url, event, data, "", 0.0)

    async def _send(self, url: str, event: str, data: Json, how: str, seconds: float) -> None:
        callback = self._build(event, data, how, seconds)
        status, attempts, delay_s = 0, 0, _FIRST_DELAY_S
        record = self._record(url, event, data, how, status=0, attempts=0)
        if not is_reachable(url):
            record["how"] = "not on this machine"
            return
        while attempts < self._behaviour().webhook_attempts and not 200 <= status < 300:
            if attempts:
                await self._sleep(delay_s)
                delay_s *= 2
            status = await post_bytes(url, callback.body, callback.headers)
            attempts += 1
            record |= {"status": status, "attempts": attempts}

    def _build(self, event: str, data: Json, how: str, seconds: float) -> Callback:
        now = self._clock.now() - (seconds if how == "stale" else 0.0)
        secret = self._secret()
        if how == "forged":
            secret = _FORGED_SECRET
            data = {**data, "output": {"result_url": "http://forged.invalid/result.png"}}
        payload = {"event": event, "timestamp": stamp(now), "data": data}
        return spoil(build_callback(payload, secret, self._behaviour()), how)

    def _record(self, url: str, event: str, data: Json, how: str, *, status: int, attempts: int) -> Json:
        record = {"task_id": data["task_id"], "event": event, "url": url, "how": how or "correct", "status": status,
                  "attempts": attempts}  # fmt: skip
        self.records.append(record)
        return record
