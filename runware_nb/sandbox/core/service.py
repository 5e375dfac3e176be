"""What every service of the sandbox has: a key, a clock, an account, faults, and its own routes."""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from starlette.routing import BaseRoute

from .clock import Clock
from .faults import FaultPlan, FaultTable
from .ledger import Ledger

__all__ = ["Options", "Service"]

Json = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """Settings that the process gives to a service.

    Attributes:
        api_key: Key that the service accepts, and that its control endpoints require.
        clock: Clock and pace.
        latency_s: Seconds that a task takes; None for the service's own times.
        seed: Decides what requests leave open, and which tasks a fault's rate hits.
        state_dir: Folder for what outlives the process; None keeps everything in memory.
        balance: Balance at the start, in the service's unit.
    """

    api_key: str = field(repr=False)
    clock: Clock
    latency_s: float | None = 0.0
    seed: int = 0
    state_dir: Path | None = None
    balance: float = 100.0


class Service(abc.ABC):
    """Base of all services.

    Attributes:
        unit: Unit of the account's amounts: `USD` or `credits`.
        fault_table: Kinds of faults that the service knows.
        own_latencies_s: Seconds that tasks take by the kind of their product, if no other time is set.
        control_prefixes: Paths below which `_sandbox/...` has the control endpoints. Unique among the services.
        base_url: URL of the process, known when it listens.
        account: Balance and charges.
        faults: Script of faults in force.
    """

    unit: ClassVar[str]
    fault_table: ClassVar[FaultTable]
    control_prefixes: ClassVar[tuple[str, ...]]
    own_latencies_s: ClassVar[Mapping[str, float]] = {}

    def __init__(self, options: Options) -> None:
        self.api_key = options.api_key
        self.clock = options.clock
        self.latency_s = options.latency_s or 0.0
        self._has_own_latencies = options.latency_s is None
        self.seed = options.seed
        self.base_url = ""
        self.account = Ledger(self.unit, options.balance)
        self.faults = FaultPlan(self.fault_table, options.seed)
        self._running: set[asyncio.Task[None]] = set()

    @abc.abstractmethod
    def routes(self) -> list[BaseRoute]:
        """Return the routes of the service, with their full paths."""

    @abc.abstractmethod
    def urls(self) -> dict[str, str]:
        """Return the service's entries of the ready line, by name. `base_url` is set."""

    def latency_of(self, kind: str) -> float:
        """Return the seconds that a task takes whose product is of a kind."""
        return self.own_latencies_s.get(kind, 0.0) if self._has_own_latencies else self.latency_s

    def ledger(self) -> Json:
        """Return the charges, as the control endpoint sends them."""
        return self.account.report()

    def requests(self) -> list[Json]:
        """Return the tasks that were accepted, as they were sent, oldest first; empty if the service keeps none."""
        return []

    def uploaded(self) -> list[Json]:
        """Return the uploaded media with their `uuid`, `url` and `sha256`, oldest first; empty if there are none."""
        return []

    def set_behaviour(self, values: Json) -> None:
        """Set switches for what sources about the real service disagree on.

        Raises:
            ValueError: A switch is unknown, or its value is invalid.
        """
        if values:
            raise ValueError(f"unknown switch {min(values)!r}; this service has none")

    def release(self) -> None:  # noqa: B027 - most services hold nothing back
        """Let what a fault holds back continue."""

    def start(self) -> None:  # noqa: B027 - most services have nothing to resume
        """Resume what an earlier process left unfinished. Called once, in the event loop. `base_url` is set."""

    def reset(self) -> None:
        """Delete all tasks, charges and faults."""
        self.account.clear()
        self.faults.load("")

    def spawn(self, work: Awaitable[None]) -> None:
        """Run something in the background, and keep a reference: the event loop has only a weak one."""
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
