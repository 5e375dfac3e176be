"""Delivery of callbacks: attempts, faults, and the list of what was sent. It continues after a restart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ..core.clock import Clock
from ..core.webhooks import is_reachable, post_bytes
from .behaviour import Behaviour
from .callbacks import Callback, build_callback, spoil
from .tasks import stamp

__all__ = ["Deliveries"]

Json = dict[str, Any]
_FIRST_DELAY_S = 1.0
_FORGED_SECRET = "not the secret of this account"  # noqa: S105 - the signature of a forger
_DEFAULT_S = {"delayed": 30.0, "stale": 3600.0}


@dataclass(frozen=True)
class _Sending:
    """One callback of a task.

    Attributes:
        how: What is wrong with it; empty if nothing.
        wait_s: Seconds of the protocol before it.
        repeats: Whether it has the bytes of the one before.
    """

    how: str = ""
    wait_s: float = 0.0
    repeats: bool = False


@dataclass
class _Sent:
    """A callback that was built, as the journal keeps it.

    Attributes:
        callback: Its bytes and headers.
        record: Its entry in the list of deliveries.
        is_done: Whether no further attempt follows.
    """

    callback: Callback
    record: Json
    is_done: bool = False


class Deliveries:
    """Sends callbacks to this machine, and to no other.

    A callback is written to the journal before its first attempt, and each attempt after it. So a restarted process
    sends the very same bytes. A receiver may get a callback twice if the process ended during an attempt.

    Args:
        clock: Wall clock, for timestamps.
        sleep: Waits for seconds of the protocol.
        secret: Returns the webhook secret in force.
        behaviour: Returns the switches in force.
        write: Appends an event to the journal.
    """

    def __init__(
        self,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]],
        secret: Callable[[], str],
        behaviour: Callable[[], Behaviour],
        write: Callable[[Json], None],
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._secret = secret
        self._behaviour = behaviour
        self._write = write
        self._sent: dict[str, list[_Sent]] = {}
        self.records: list[Json] = []

    def clear(self) -> None:
        """Delete the list of what was sent."""
        self._sent.clear()
        self.records.clear()

    async def deliver(self, url: str, event: str, data: Json, fault: Json | None) -> None:
        """Send the callbacks of a finished task: all, or those that an earlier process left.

        Args:
            url: URL of the receiver.
            event: Name of the event.
            data: `data` of the payload. Callbacks that an earlier process built keep theirs.
            fault: Options of the fault that spoils the callback; None if there is none.
        """
        task_id = str(data["task_id"])
        options = fault or {}
        how = str(options.get("how", "lost")) if fault is not None else ""
        seconds = float(options.get("seconds", _DEFAULT_S.get(how, 0.0)))
        sent = self._sent.setdefault(task_id, [])
        if how == "lost" and not sent:
            self._record(url, event, task_id, how)
        for number, sending in enumerate(_plan(how, seconds, is_followed=options.get("in_addition") is True)):
            if number == len(sent):
                await self._sleep(sending.wait_s)
                callback = sent[-1].callback if sending.repeats else self._build(event, data, sending.how, seconds)
                self._add(url, event, task_id, sending.how, callback)
            if not sent[number].is_done:
                await self._send(url, task_id, number)

    def restore(self, event: Json) -> None:
        """Apply an event of an earlier process.

        Raises:
            KeyError, IndexError: The callback of an attempt is missing.
        """
        task_id = event["task_id"]
        if event["op"] == "callback":
            callback = Callback(event["body"].encode(), dict(event["headers"]))
            record = self._record(event["url"], event["event"], task_id, event["how"])
            self._sent.setdefault(task_id, []).append(_Sent(callback, record))
        else:
            sent = self._sent[task_id][event["number"]]
            sent.record |= {name: event[name] for name in ("how", "status", "attempts")}
            sent.is_done = bool(event["is_done"])

    def _add(self, url: str, event: str, task_id: str, how: str, callback: Callback) -> None:
        self._sent[task_id].append(_Sent(callback, self._record(url, event, task_id, how)))
        self._write({
            "op": "callback", "task_id": task_id, "url": url, "event": event, "how": how,
            "body": callback.body.decode(), "headers": callback.headers,
        })  # fmt: skip

    async def _send(self, url: str, task_id: str, number: int) -> None:
        sent = self._sent[task_id][number]
        if not is_reachable(url):
            sent.record["how"] = "not on this machine"
            self._note(task_id, number, sent, is_done=True)
        while not sent.is_done:
            attempts = sent.record["attempts"]
            if attempts:
                await self._sleep(_FIRST_DELAY_S * 2 ** (attempts - 1))
            status = await post_bytes(url, sent.callback.body, sent.callback.headers)
            attempts += 1
            sent.record |= {"status": status, "attempts": attempts}
            is_done = 200 <= status < 300 or attempts >= self._behaviour().webhook_attempts
            self._note(task_id, number, sent, is_done=is_done)

    def _note(self, task_id: str, number: int, sent: _Sent, *, is_done: bool) -> None:
        """Remember an attempt."""
        sent.is_done = is_done
        result = {name: sent.record[name] for name in ("how", "status", "attempts")}
        self._write({"op": "attempt", "task_id": task_id, "number": number, "is_done": is_done, **result})

    def _build(self, event: str, data: Json, how: str, seconds: float) -> Callback:
        now = self._clock.now() - (seconds if how == "stale" else 0.0)
        secret = self._secret()
        if how == "forged":
            secret = _FORGED_SECRET
            data = {**data, "output": {"result_url": "http://forged.invalid/result.png"}}
        payload = {"event": event, "timestamp": stamp(now), "data": data}
        return spoil(build_callback(payload, secret, self._behaviour()), how)

    def _record(self, url: str, event: str, task_id: str, how: str) -> Json:
        record = {"task_id": task_id, "event": event, "url": url, "how": how or "correct", "status": 0, "attempts": 0}
        self.records.append(record)
        return record


def _plan(how: str, seconds: float, *, is_followed: bool) -> list[_Sending]:
    """Return the callbacks of a task, in order.

    Args:
        how: What is wrong with the first one; empty if nothing.
        seconds: Seconds of the protocol for `delayed` and `duplicated`.
        is_followed: Whether the correct one follows.
    """
    if how == "lost":
        return []
    plan = [_Sending(how, seconds if how == "delayed" else 0.0)]
    if how == "duplicated":
        plan.append(_Sending(how, seconds, repeats=True))
    if how and is_followed:
        plan.append(_Sending())
    return plan
