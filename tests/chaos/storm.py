"""Many tasks through a storm of faults, and what the ledger says afterwards."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
import socket
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runware_nb import Client
from runware_nb.errors import RunwareNBError
from runware_nb.wire.results import Outcome
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
    ledger: dict[str, Any] = field(default_factory=dict)
    duration_s: float = 0.0

    def wire(self, number: int) -> dict[str, Any]:
        """Make a task: each is asked for once, so that paying twice shows by its content."""
        chance = random.Random(f"{self.seed}/{number}")
        task_uuid = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        kind = chance.choices(["image", "async", "batch", "caption", "enhance", "film"], [40, 15, 20, 12, 12, 1])[0]
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
            "film": {**base, "taskType": "videoInference", "model": "google:3@3", "positivePrompt": f"ship {number}",
                     "duration": 1},
        }[kind]  # fmt: skip

    async def blow(self) -> None:
        """Run every task to its end."""
        started = time.monotonic()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        arguments = ("--port", port, "--state-dir", str(self.folder / "state"), "--key-file", str(self.folder / "key"),
                     "--faults", f"chaos:{self.rate}", "--seed", str(self.seed), "--latency-s", "0.05",
                     "--balance-usd", "1e6")  # fmt: skip
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
        try:
            self.outcomes[task["taskUUID"]] = await client.run(task)
        except RunwareNBError as error:
            self.errors[task["taskUUID"]] = error

    async def _until_done(self, count: int) -> None:
        while len(self.outcomes) + len(self.errors) < count:
            await asyncio.sleep(0.02)

    def complaints(self) -> list[str]:
        """List everything that must not be, one sentence each."""
        found = []
        ended = len(self.outcomes) + len(self.errors)
        if ended != self.tasks:
            found.append(f"{self.tasks - ended} tasks have no end")
        charges = self.ledger["charges"]
        paid = collections.Counter(charge["request_hash"] for charge in charges)
        found += [f"request {hashed[:12]} was billed {count} times" for hashed, count in paid.items() if count > 1]
        shown = collections.Counter[str]()
        errors = [getattr(error, "outcome", None) for error in self.errors.values()]
        for outcome in [*self.outcomes.values(), *(each for each in errors if each is not None)]:
            shown[outcome.task_uuid] += len(outcome.results)
        for charge in charges:
            missing = charge["results"] - shown[charge["task_uuid"]]
            if missing:
                found.append(f"{missing} of {charge['results']} results billed for {charge['task_uuid']} "
                             f"({charge['task_type']}) are missing")  # fmt: skip
        known = {charge["task_uuid"]: charge["results"] for charge in charges}
        found += [f"{count} results of {task_uuid} were never billed" for task_uuid, count in shown.items()
                  if count > known.get(task_uuid, 0)]  # fmt: skip
        return found

    def summary(self) -> str:
        """Say in one line how it went."""
        named = collections.Counter(type(error).__name__ for error in self.errors.values())
        return (
            f"{self.transport}: {self.tasks} tasks, {self.kills} kills, seed {self.seed}: {len(self.outcomes)} results, "
            f"errors {dict(named)}, {len(self.ledger.get('charges', []))} charges, {self.duration_s:.1f} s"
        )
