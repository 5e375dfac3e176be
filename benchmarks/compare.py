"""Compare with the official SDK, in one run, against the sandbox: `make bench`.

Each measure runs in processes of its own, ours and the SDK's in turn, so that neither warms the other's
caches. The sandbox runs in its own process. Ratios are what counts; the absolute figures belong to the
machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


class Sandbox:
    """A sandbox for one measure."""

    def __init__(self, latency_s: float) -> None:
        command = [sys.executable, "-m", "runware_nb.sandbox", "--latency-s", str(latency_s), "--balance-usd", "1e6"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.info: dict[str, Any] = json.loads(self._process.stdout.readline())

    def __enter__(self) -> dict[str, Any]:
        return self.info

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def worker(measure: str, who: str, info: dict[str, Any], **extra: Any) -> dict[str, Any]:
    """Run one measure in a fresh process and give what it printed."""
    request = json.dumps({"measure": measure, "who": who, "info": info, **extra})
    done = subprocess.run(
        [sys.executable, str(HERE / "worker.py"), request], capture_output=True, text=True, check=False, timeout=300
    )
    if done.returncode:
        raise SystemExit(f"{measure} by {who} failed:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def latency(rounds: int) -> dict[str, Any]:
    """Time over the server's own 0.3 s, in milliseconds."""
    over: dict[str, list[float]] = {"ours": [], "sdk": [], "sdk-sync": [], "ours-log": []}
    with Sandbox(0.3) as info:
        for _ in range(rounds):
            for who, times in over.items():
                times += [1000 * (t - 0.3) for t in worker("latency", who, info)["times_s"]]
    made = {}
    for who, times in over.items():
        times.sort()
        made[who] = {"p50_ms": statistics.median(times), "p95_ms": times[int(len(times) * 0.95)]}
    return made


def rate(transport: str, rounds: int, *, with_log: bool) -> dict[str, Any]:
    """Instant tasks a second with 64 in flight; medians."""
    sides = ["ours", "sdk-sync", "sdk", *(["ours-log"] if with_log else [])]
    found: dict[str, list[float]] = {side: [] for side in sides}
    memory: dict[str, list[float]] = {side: [] for side in sides}
    with Sandbox(0.0) as info:
        for _ in range(rounds):
            for side in sides:
                answer = worker("rate", side, info, transport=transport)
                found[side].append(answer["tasks_per_s"])
                memory[side].append(answer["peak_mb"])
    return {s: {"tasks_per_s": statistics.median(found[s]), "peak_mb": statistics.median(memory[s])} for s in sides}


def crowd(rounds: int) -> dict[str, Any]:
    """200 concurrent tasks of 0.6 s, in seconds."""
    with Sandbox(0.6) as info:
        sides: dict[str, list[float]] = {"ours": [], "sdk-sync": []}
        for _ in range(rounds):
            for who, times in sides.items():
                times.append(worker("crowd", who, info)["wall_s"])
    return {who: {"wall_s": statistics.median(times)} for who, times in sides.items()}


def imports(rounds: int) -> dict[str, Any]:
    """Import time over bare Python, in milliseconds."""

    def timed(code: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return 1000 * (time.perf_counter() - started)

    codes = {"bare": "pass", "ours": "from runware_nb import Client", "sdk": "from runware import Runware",
             "ours, connected": "from runware_nb import Client; import runware_nb.providers.runware.websocket"}  # fmt: skip
    found: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(rounds):
        for name, code in codes.items():
            found[name].append(timed(code))
    bare = statistics.median(found.pop("bare"))
    return {name: {"over_bare_ms": statistics.median(times) - bare} for name, times in found.items()}


def extension() -> dict[str, Any]:
    """`%load_ext runware_nb` in a warm kernel, in milliseconds."""
    times = [worker("extension", "ours", {})["load_ms"] for _ in range(5)]
    return {"ours": {"load_ms": statistics.median(times)}}


def notebook() -> dict[str, Any]:
    """From Stop to the end of the wait, and from the commit to its durability, in milliseconds."""
    with Sandbox(3.0) as info:
        stops = worker("stop", "ours", info)["times_ms"]
    writes = worker("write", "ours", {})["times_ms"]
    return {"stop": {"worst_ms": max(stops)}, "durable write": {"p50_ms": statistics.median(writes)}}


def main() -> int:
    """Measure everything, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("bench-output/compare.json"))
    options = parser.parse_args()
    plan: dict[str, Callable[[], dict[str, Any]]] = {
        "latency": lambda: latency(max(2, options.rounds // 2)),
        "rate_websocket": lambda: rate("websocket", options.rounds, with_log=True),
        "rate_rest": lambda: rate("rest", options.rounds, with_log=False),
        "crowd": lambda: crowd(options.rounds),
        "imports": lambda: imports(options.rounds * 2),
        "extension": extension,
        "notebook": notebook,
    }
    results = {}
    for name, measure in plan.items():
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        results[name] = measure()
    results["machine"] = {"cores": os.cpu_count(), "python": platform.python_version()}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n")
    print(table(results))
    print(f"\nwritten to {options.out}")
    return 0


def table(found: dict[str, Any]) -> str:
    """Write the figures with their ratios and the bounds of the design."""
    plan: list[tuple[str, str, str, str, str]] = [
        # what, path of ours, path of the SDK's, unit, bound
        ("time over the server's, p50 (SDK default)", "latency.ours.p50_ms", "latency.sdk.p50_ms", "ms", "5 ms"),
        ("time over the server's, p95 (SDK default)", "latency.ours.p95_ms", "latency.sdk.p95_ms", "ms", ""),
        ("the same against the SDK's sync mode, p50", "latency.ours.p50_ms", "latency.sdk-sync.p50_ms", "ms", ""),
        ("the same with the log, p50", "latency.ours-log.p50_ms", "latency.sdk-sync.p50_ms", "ms", ""),
        ("instant tasks a second, WebSocket (SDK default)", "rate_websocket.ours.tasks_per_s",
         "rate_websocket.sdk.tasks_per_s", "1/s", ""),
        ("the same against the SDK's sync mode", "rate_websocket.ours.tasks_per_s",
         "rate_websocket.sdk-sync.tasks_per_s", "1/s", "1.50 x"),
        ("the same with the log, no media", "rate_websocket.ours-log.tasks_per_s",
         "rate_websocket.sdk-sync.tasks_per_s", "1/s", "1.00 x"),
        ("instant tasks a second, REST", "rate_rest.ours.tasks_per_s", "rate_rest.sdk-sync.tasks_per_s", "1/s",
         "1.00 x"),
        ("200 concurrent tasks of 0.6 s", "crowd.ours.wall_s", "crowd.sdk-sync.wall_s", "s", "0.75 s"),
        ("import of the client, over bare Python", "imports.ours.over_bare_ms", "imports.sdk.over_bare_ms", "ms",
         "0.35 x"),
        ("the same with its WebSocket library", "imports.ours, connected.over_bare_ms",
         "imports.sdk.over_bare_ms", "ms", ""),
        ("peak memory of 4,000 tasks", "rate_websocket.ours.peak_mb", "rate_websocket.sdk-sync.peak_mb", "MB",
         "1.00 x"),
        ("the same with the log", "rate_websocket.ours-log.peak_mb", "rate_websocket.sdk-sync.peak_mb", "MB", ""),
        ("%load_ext in a warm kernel", "extension.ours.load_ms", "", "ms", "40 ms"),
        ("Stop to the end of the wait, worst", "notebook.stop.worst_ms", "", "ms", "250 ms"),
        ("durable log write, p50", "notebook.durable write.p50_ms", "", "ms", "1 ms"),
    ]  # fmt: skip

    def at(path: str) -> float:
        value: Any = found
        for part in path.split("."):
            value = value[part]
        return float(value)

    lines = [f"{'':<44}{'ours':>10}{'SDK':>12} {'':<5}{'ratio':>7}   bound"]
    for what, ours, sdk, unit, bound in plan:
        other, ratio = (f"{at(sdk):,.2f}", f"{at(ours) / at(sdk):.2f}") if sdk else ("", "")
        lines.append(f"{what:<44}{at(ours):>10,.2f}{other:>12} {unit:<5}{ratio:>7}   {bound}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
