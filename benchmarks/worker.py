"""One measure in a process of its own; prints one line of JSON. Started by `compare`."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

TASK = {
    "taskType": "imageInference",
    "model": "runware:101@1",
    "positivePrompt": "a small airship over a forest",
    "width": 512,
    "height": 512,
}
TASKS = 4000
IN_FLIGHT = 64

Call = Callable[[], Awaitable[Any]]


async def open_side(stack: AsyncExitStack, who: str, info: dict[str, Any], transport: str, in_flight: int) -> Call:
    """Connect one of the sides and give a function that runs one task."""
    if who == "ours":
        from runware_nb import Client

        client = await stack.enter_async_context(
            Client(
                info["api_key"],
                rest_url=info["rest_url"],
                ws_url=info["ws_url"],
                transport=transport,
                max_in_flight=in_flight,
            )
        )
        return lambda: client.run(TASK)
    if who == "ours-log":
        session = open_session(stack, info, transport, in_flight)
        return lambda: _awaited(session.submit(TASK))
    from runware import Runware

    sdk = await stack.enter_async_context(
        Runware(
            api_key=info["api_key"], transport=transport, ws_base_url=info["ws_url"], http_base_url=info["rest_url"]
        )
    )
    params = {**TASK, "deliveryMethod": "sync"} if who == "sdk-sync" else TASK
    return lambda: sdk.run(dict(params))


async def _awaited(job: Any) -> Any:
    return await asyncio.wrap_future(job.future)


async def latency(who: str, info: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Time single tasks one after the other."""
    async with AsyncExitStack() as stack:
        call = await open_side(stack, who, info, "websocket", 4)
        await call()
        times = []
        for _ in range(12):
            started = time.perf_counter()
            await call()
            times.append(time.perf_counter() - started)
    return {"times_s": times}


async def rate(who: str, info: dict[str, Any], transport: str) -> dict[str, Any]:
    """Count instant tasks a second, 64 in flight."""
    if who == "ours-log":
        return rate_of_session(info, transport)
    async with AsyncExitStack() as stack:
        call = await open_side(stack, who, info, transport, IN_FLIGHT)
        await call()
        count = TASKS if transport == "websocket" else TASKS // 4
        if who == "sdk":
            count = 4 * IN_FLIGHT  # it asks after a second at the earliest: four rounds say enough
        left = iter(range(count))

        async def lane() -> None:
            for _ in left:
                await call()

        started, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(lane() for _ in range(IN_FLIGHT)))
        wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"tasks_per_s": count / wall_s, "cpu_us": 1e6 * cpu_s / count, "peak_mb": peak_mb}


def rate_of_session(info: dict[str, Any], transport: str) -> dict[str, Any]:
    """The same through the session, as a cell does it: everything submitted, then waited for."""
    with ExitStack() as stack:
        session = open_session(stack, info, transport, IN_FLIGHT)
        session.submit(TASK).result()
        started, cpu = time.perf_counter(), time.process_time()
        jobs = [session.submit(TASK) for _ in range(TASKS)]
        for job in jobs:
            job.result()
        wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"tasks_per_s": TASKS / wall_s, "cpu_us": 1e6 * cpu_s / TASKS, "peak_mb": peak_mb}


def open_session(stack: ExitStack | AsyncExitStack, info: dict[str, Any], transport: str, in_flight: int) -> Any:
    """Make a session with a log of its own, which fetches no media."""
    from runware_nb import Session, Settings
    from runware_nb.settings import Key

    home = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="."))) / ".runware"
    urls = {"rest_url": info["rest_url"], "ws_url": info["ws_url"]}
    key = Key(info["api_key"], "the benchmark")
    settings = Settings(
        api_key=key, transport=transport, max_in_flight=in_flight, home=home, ask_above_usd=1e6, **urls
    )  # the process counts as one cell, and thousands of tasks pass any threshold
    session = Session(settings, fetches_media=False)
    stack.callback(session.close)
    return session


async def crowd(who: str, info: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Time 200 tasks at once."""
    async with AsyncExitStack() as stack:
        call = await open_side(stack, who, info, "websocket", 200)
        await call()
        started = time.perf_counter()
        await asyncio.gather(*(call() for _ in range(200)))
        return {"wall_s": time.perf_counter() - started}


def extension() -> dict[str, Any]:
    """Time `%load_ext` in a kernel that has run a cell."""
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell, new_notebook

    code = (
        "import time; t = time.perf_counter()\n%load_ext runware_nb\nprint('took:', 1000 * (time.perf_counter() - t))"
    )
    book = new_notebook(cells=[new_code_cell("1 + 1"), new_code_cell(code)])
    with tempfile.TemporaryDirectory(dir=".") as folder:
        NotebookClient(book, timeout=60, resources={"metadata": {"path": folder}}).execute()
    took = "".join(out.text for out in book.cells[1].outputs if out.output_type == "stream")
    return {"load_ms": float(took.rpartition("took:")[2])}


def stop(info: dict[str, Any]) -> dict[str, Any]:
    """Time from SIGINT to the end of the wait."""
    from runware_nb.loop import WaitInterrupted

    times = []
    with ExitStack() as stack:
        session = open_session(stack, info, "websocket", 8)
        for _ in range(5):
            job = session.submit(TASK)
            sent: list[float] = []

            def press(sent: list[float] = sent) -> None:
                sent.append(time.perf_counter())
                os.kill(os.getpid(), signal.SIGINT)

            threading.Timer(0.3, press).start()
            try:
                job.result()
            except WaitInterrupted:
                times.append(1000 * (time.perf_counter() - sent[0]))
    return {"times_ms": times}


async def write() -> dict[str, Any]:
    """Time single durable writes, one after the other."""
    from runware_nb.runlog import RunLog, RunRecord

    times = []
    with tempfile.TemporaryDirectory(dir=".") as folder:
        log = RunLog(Path(folder))
        for number in range(300):
            name = f"{number:08d}-0000-4000-8000-000000000000"
            record = RunRecord(
                task_uuid=name,
                attempt_uuid=name,
                provider="sandbox",
                task_type="imageInference",
                model="m",
                request=dict(TASK),
                request_hash="1:0",
                asked_hash="1:0",
                created_at_utc="2026-01-01T00:00:00+00:00",
            )
            started = time.perf_counter()
            await log.prepare(record)
            times.append(1000 * (time.perf_counter() - started))
        log.close()
    return {"times_ms": times}


def main() -> None:
    """Run what the one argument asks for."""
    request = json.loads(sys.argv[1])
    measure, who, info = request.pop("measure"), request.pop("who"), request.pop("info")
    if measure == "extension":
        answer = extension()
    elif measure == "stop":
        answer = stop(info)
    elif measure == "write":
        answer = asyncio.run(write())
    else:
        answer = asyncio.run({"latency": latency, "rate": rate, "crowd": crowd}[measure](who, info, **request))
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
