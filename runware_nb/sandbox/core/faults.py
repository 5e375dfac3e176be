"""Script of faults: what goes wrong, for which tasks, how often. Each service has its own table of kinds."""

from __future__ import annotations

import collections
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Fault", "FaultPlan", "FaultTable"]

Json = dict[str, Any]


@dataclass
class Fault:
    """One entry of a script.

    Attributes:
        kind: Kind of fault, from the service's table.
        on: Task type that it waits for. None is any task that does work.
        skip: Number of matching tasks that pass first.
        count: Number of tasks that are hit. None is all that follow.
        rate: Chance that a matching task is hit, 0 to 1.
        options: Further options of the kind.
    """

    kind: str
    on: str | None = None
    skip: int = 0
    count: int | None = 1
    rate: float = 1.0
    options: Json = field(default_factory=dict)


@dataclass(frozen=True)
class FaultTable:
    """The kinds of faults that a service knows.

    Attributes:
        kinds: Effect and options of each kind, for help texts.
        choices: Accepted values of an option, by kind and option.
        chaos: Builds a script in which a fraction (0 to 1) of all tasks meets a fault; None if there is none.
    """

    kinds: Mapping[str, str]
    choices: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)
    chaos: Callable[[float], list[Json]] | None = None

    def parse(self, entry: Json) -> Fault:
        """Parse one entry of a script.

        Raises:
            ValueError: The kind is unknown, or an option has an invalid value.
        """
        rest = dict(entry)
        kind = rest.pop("kind", None)
        if kind not in self.kinds:
            raise ValueError(f"unknown fault kind {kind!r}; known: {', '.join(sorted(self.kinds))}")
        for (of_kind, name), choices in self.choices.items():
            if kind == of_kind and name in rest:
                values = rest[name] if isinstance(rest[name], list) else [rest[name]]
                if not values or any(value not in choices for value in values):
                    raise ValueError(f"Invalid {name}={rest[name]!r}: expected one of {', '.join(choices)}.")
        named = {key: rest.pop(key) for key in ("on", "skip", "count", "rate") if key in rest}
        if "rate" in named and "count" not in named:
            named["count"] = None
        return Fault(kind=kind, options=rest, **named)


class FaultPlan:
    """The script in force.

    Args:
        table: The kinds that a script may contain.
        seed: Decides which tasks are hit by a rate, so that a run can be repeated.
    """

    def __init__(self, table: FaultTable, seed: int = 0) -> None:
        self._table = table
        self._seed = seed
        self._faults: list[Fault] = []
        self._seen: collections.Counter[str] = collections.Counter()

    def load(self, text: str) -> None:
        """Replace the script with *text*: JSON (one entry or an array of them), or `chaos:RATE`.

        Raises:
            ValueError: *text* is neither, or an entry is invalid.
        """
        if text.startswith("chaos:") and self._table.chaos is not None:
            entries: Any = self._table.chaos(float(text.removeprefix("chaos:")))
        else:
            entries = json.loads(text) if text.strip() else []
        if isinstance(entries, dict):
            entries = entries.get("script", [entries])
        self._faults = [self._table.parse(entry) for entry in entries]
        self._seen.clear()

    def draw(self, task_type: str, *, is_work: bool, fingerprint: Callable[[], str]) -> dict[str, Fault]:
        """Return the faults that hit the next task, by kind.

        Args:
            task_type: Type of the task.
            is_work: Whether it does work. Others, such as polls, are only hit by entries that name their type.
            fingerprint: Returns text that identifies the request. Rates are drawn by it and not by arrival, so that
                the same run meets the same faults. It is only called if a script is in force.
        """
        hit: dict[str, Fault] = {}
        if not self._faults:
            return hit
        request_id = fingerprint()
        self._seen[request_id] += 1
        rng = random.Random(f"{self._seed}/{request_id}/{self._seen[request_id]}")
        for fault in self._faults:
            if fault.kind in hit or fault.count == 0:
                continue
            if fault.on != task_type and not (fault.on is None and is_work):
                continue
            if fault.skip > 0:
                fault.skip -= 1
            elif fault.rate >= 1 or rng.random() < fault.rate:
                if fault.count is not None:
                    fault.count -= 1
                hit[fault.kind] = fault
        return hit
