"""Many tasks through a storm of faults, and what the ledger says afterwards."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import math
import random
import socket
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runware_nb import Client
from runware_nb.core.results import Outcome
from runware_nb.errors import RunwareNBError
from tests.conftest import SandboxProcess

PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFElEQVR4nGNkaGhgwAaYsIoOWgkAzIgB"
    "EFCQDcoAAAAASUVORK5CYII="
)


@dataclass
class Storm:
    """One run of the storm.

    Attributes:
        seed: Decides the tasks, their UUIDs and the faults.
        transport: `websocket` or `rest`.
        tasks: How many.
        rate: Share of tasks that meet a fault, 0 to 1.
        kills: How often the server is killed and started again.
        folder: Where the server keeps its state.
        in_flight: Tasks in flight, at most.
    """

    seed: int
    transport: str
    tasks: int
    rate: float
    kills: int
    folder: Path
    in_flight: int = 64
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    errors: dict[str, RunwareNBError] = field(default_factory=dict)
    crashes: list[str] = field(default_factory=list)
    ledger: dict[str, Any] = field(default_factory=dict)
    duration_s: float = 0.0

    def wire(self, number: int) -> dict[str, Any]:
        """Make a task: each is asked for once, so that paying twice shows by its content."""
        chance = random.Random(f"{self.seed}/{number}")
        task_uuid = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        kind = chance.choices(
            ["image", "async", "batch", "caption", "enhance", "text", "film"], [38, 15, 20, 10, 10, 6, 1]
        )[0]
        base = {"taskUUID": task_uuid, "includeCost": True}
        image = {**base, "taskType": "imageInference", "model": "runware:101@1", "width": 256, "height": 256,
                 "positivePrompt": f"ship number {number}", "seed": 1 + 10 * number}  # fmt: skip
        return {
            "image": image,
            "async": {**image, "deliveryMethod": "async"},
            "batch": {**image, "numberResults": 4},
            "caption": {**base, "taskType": "caption", "model": "runware:150@2", "prompt": f"what is {number}?",
                        "inputs": {"image": PICTURE}},
            "enhance": {**base, "taskType": "promptEnhance", "prompt": f"ship {number}", "promptVersions": 3,
                        "model": "runware:llama-3-1-8b@prompt-enhancer"},
            "text": {**base, "taskType": "textInference", "model": "google:gemma@4-31b",
                     "messages": [{"role": "user", "content": f"ship {number} ☕"}]},
            "film": {**base, "taskType": "videoInference", "model": "google:3@3", "positivePrompt": f"ship {number}",
                     "duration": 1},
        }[kind]  # fmt: skip

    async def blow(self) -> None:
        """Run every task to its end."""
        started = time.monotonic()
        asyncio.get_running_loop().set_exception_handler(self._note_crash)
        arguments = server_arguments(self.folder, self.rate, self.seed)
        server = SandboxProcess(*arguments)
        try:
            async with Client(server.api_key, **server.urls, transport=self.transport, max_in_flight=self.in_flight,
                              max_retries=8, timeout_s=240, on_notice=lambda _: None) as client:  # fmt: skip
                running = [asyncio.ensure_future(self._one(client, self.wire(n))) for n in range(self.tasks)]
                for kill in range(self.kills):
                    await self._until_done((kill + 1) * self.tasks // (self.kills + 1))
                    server.kill()
                    await asyncio.sleep(0.2)
                    server = SandboxProcess(*arguments)
                await asyncio.gather(*running)
            self.ledger = server.ledger()
        finally:
            self.duration_s = time.monotonic() - started
            with contextlib.suppress(OSError):
                server.close()

    async def _one(self, client: Client, task: dict[str, Any]) -> None:
        name = task["taskUUID"]
        try:
            self.outcomes[name] = await (
                _streamed(client, task) if task["taskType"] == "textInference" else client.run(task)
            )
        except RunwareNBError as error:
            self.errors[name] = error
        except Exception as error:
            self.crashes.append(f"task {task['taskUUID']} ended in {type(error).__name__}: {error!s:.200}")

    def _note_crash(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.crashes.append(f"{context['message']}: {context.get('exception')!r:.200}")

    async def _until_done(self, count: int) -> None:
        while len(self.outcomes) + len(self.errors) + len(self.crashes) < count:
            await asyncio.sleep(0.02)

    def complaints(self) -> list[str]:
        """List everything that must not be, one sentence each."""
        found = list(self.crashes)
        ended = len(self.outcomes) + len(self.errors)
        if ended != self.tasks:
            found.append(f"{self.tasks - ended} tasks have no end")
        charges = self.ledger["charges"]
        found += paid_twice(charges)
        # The part of a stream that came before an error is no result, and is not billed.
        errors = [error.outcome for error in self.errors.values() if getattr(error, "outcome", None) is not None
                  and error.outcome.task["taskType"] != "textInference"]  # fmt: skip
        outcomes = [*self.outcomes.values(), *errors]
        shown = collections.Counter[str]()
        for outcome in outcomes:
            shown[outcome.task_uuid] += len(outcome.results)
        for charge in charges:
            missing = charge["results"] - shown[charge["task_uuid"]]
            if missing:
                found.append(f"{missing} of {charge['results']} results billed for {charge['task_uuid']} "
                             f"({charge['task_type']}) are missing")  # fmt: skip
        known = {charge["task_uuid"]: charge["results"] for charge in charges}
        found += [f"{count} results of {task_uuid} were never billed" for task_uuid, count in shown.items()
                  if count > known.get(task_uuid, 0)]  # fmt: skip
        costs = [(outcome.task_uuid, [result.cost_usd for result in outcome.results], outcome.cost_usd)
                 for outcome in outcomes]  # fmt: skip
        found += wrong_costs(costs, self.ledger)
        found += [f"{result.url} was taken for the result of {outcome.task_uuid}" for outcome in outcomes
                  for result in outcome.results if str(result.url).endswith("/preview.jpg")]  # fmt: skip
        return found

    def summary(self) -> str:
        """Return one line about how it went."""
        named = collections.Counter(type(error).__name__ for error in self.errors.values())
        return (
            f"{self.transport}: {self.tasks} tasks, {self.kills} kills, seed {self.seed}: {len(self.outcomes)} results, "
            f"errors {dict(named)}, {len(self.ledger.get('charges', []))} charges, {self.duration_s:.1f} s"
        )


async def _streamed(client: Client, task: dict[str, Any]) -> Outcome:
    """Read a text while it is written."""
    async with client.stream(task) as stream:
        text = "".join([delta.text async for delta in stream])
    outcome = stream.outcome
    assert text == outcome[0].text, f"{text!r} was streamed, and {outcome[0].text!r} is the outcome"
    return outcome


def server_arguments(folder: Path, rate: float, seed: int) -> tuple[str, ...]:
    """Return the arguments of a sandbox that can be killed and started again: same port, key and state."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return ("--port", port, "--state-dir", str(folder / "state"), "--key-file", str(folder / "key"),
            "--faults", f"chaos:{rate}", "--seed", str(seed), "--latency-s", "0.05", "--balance-usd", "1e6")  # fmt: skip


def paid_twice(charges: list[dict[str, Any]]) -> list[str]:
    """List requests that were billed more than once. Each task of a storm is unique, so its content tells."""
    paid = collections.Counter(charge["request_hash"] for charge in charges)
    return [f"request {hashed[:12]} was billed {count} times" for hashed, count in paid.items() if count > 1]


def wrong_costs(costs: Iterable[tuple[str, list[float | None], float | None]], ledger: dict[str, Any]) -> list[str]:
    """List amounts that are neither unknown nor what the ledger states, and a sum that exceeds the ledger.

    Args:
        costs: Task UUID, the cost of each result, and the cost of all of them, for each task.
        ledger: The sandbox's ledger.
    """
    charged = {charge["task_uuid"]: charge for charge in ledger["charges"]}
    found = []
    total = 0.0
    for task_uuid, parts, whole in costs:
        charge = charged.get(task_uuid, {"cost_usd": 0.0, "results": 1})
        each = charge["cost_usd"] / charge["results"]
        for amount, right in [*((part, each) for part in parts), (whole, charge["cost_usd"])]:
            if amount is not None and (type(amount) is not float or not abs(amount - right) < 1e-5):
                found.append(f"{task_uuid} has a cost of {amount!r}, and the ledger states {right!r}")
        amounts = parts if whole is None else [whole]
        total += sum(amount for amount in amounts if isinstance(amount, float) and math.isfinite(amount))
    if total > ledger["total_usd"] + 1e-4:
        found.append(f"known costs of {total:.6f} exceed the ledger's {ledger['total_usd']:.6f}")
    return found
