"""A kernel that writes many runs: waits for a line on stdin, prints the longest wait for a write in seconds.

Its arguments: its number, the home folder, the log's URL (empty for SQLite), and how many runs it writes.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from runware_nb.core.money import Money
from runware_nb.runlog import ResultRecord, RunLog, RunRecord, State

AT = "2026-01-01T00:00:00.000+00:00"


async def live(log: RunLog, kernel: int, number: int) -> float:
    name = f"{kernel:04x}{number:04x}-0000-4000-8000-000000000000"
    record = RunRecord(
        task_uuid=name, attempt_uuid=name, provider="sandbox", task_type="imageInference", model="m",
        request={"positivePrompt": "x"}, request_hash=f"1:{name}", asked_hash=f"1:{name}", created_at_utc=AT,
        prompt=f"kernel {kernel} run {number}", tags=(f"kernel{kernel}",), estimate=0.001,
    )  # fmt: skip
    longest = 0.0
    for write in (
        lambda: log.prepare(record),
        lambda: log.mark_sent(name, name, 1, AT, "{}"),
        lambda: log.add_results(name, [ResultRecord(position=0, seed=number, raw={"n": number})]),
        lambda: log.finish(name, State.SUCCEEDED, at_utc=AT, duration_s=1.0, cost=Money(0.001), error=None),
    ):
        started = time.monotonic()
        await write()
        longest = max(longest, time.monotonic() - started)
    return longest


async def main(log: RunLog, kernel: int, runs: int) -> float:
    slots = asyncio.Semaphore(8)

    async def one(number: int) -> float:
        async with slots:
            return await live(log, kernel, number)

    return max(await asyncio.gather(*(one(number) for number in range(runs))))


if __name__ == "__main__":
    opened = RunLog(Path(sys.argv[2]), sys.argv[3] or None)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asyncio.run(main(opened, int(sys.argv[1]), int(sys.argv[4])))))
    opened.close()
