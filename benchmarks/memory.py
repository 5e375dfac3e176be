"""A log of a million runs: how long does a look into it take, and how long a durable write?

    python benchmarks/memory.py [--runs N] [--tries N] [--only sqlite|postgresql] [--keep FOLDER]

PostgreSQL is started here, durable as users have it. Medians of 40 tries each, in milliseconds; writes are of a whole
run: prepared, claimed, answered, finished. `--tries` scales the writes along.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from runware_nb.core.money import Money
from runware_nb.providers.runware.tasks import expected_results
from runware_nb.runlog import ResultRecord, RunLog, RunRecord, State
from runware_nb.runlog.filters import RunFilter
from runware_nb.runlog.schema import results, run_tags, runs
from runware_nb.runlog.spending import set_budget, sum_spending
from tests.postgres import Postgres

WRITES_PER_TRY, RUNS_OF_KERNEL_PER_TRY = 5, 25
QUERY_MS, WRITE_MS, KERNELS_MS = 50.0, 1.0, 1000.0
WORDS = [
    "small",
    "airship",
    "over",
    "forest",
    "red",
    "blue",
    "castle",
    "in",
    "the",
    "style",
    "of",
    "ukiyo-e",
    "detailed",
    "portrait",
    "lighthouse",
    "storm",
    "sea",
    "morning",
    "fog",
    "market",
    "street",
    "rain",
    "neon",
    "robot",
    "garden",
    "watercolour",
    "oil",
    "painting",
    "photograph",
    "macro",
    "glass",
    "bridge",
    "mountain",
    "lake",
]
MODELS = [f"runware:{100 + n}@1" for n in range(12)]
NOTEBOOKS = [f"/home/me/study_{n}.ipynb" for n in range(40)]
DAYS = 365


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--tries", type=int, default=40, help="tries of each lookup; fewer say less")
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    parser.add_argument("--keep", type=Path, help="use the SQLite log in this folder, and leave it there")
    options = parser.parse_args()
    for kind in ("sqlite", "postgresql"):
        if options.only not in {None, kind}:
            continue
        with tempfile.TemporaryDirectory() as folder:
            server = Postgres(is_durable=True) if kind == "postgresql" else None
            try:
                home = options.keep if options.keep and server is None else Path(folder)
                url = server.database() if server else None
                log = RunLog(home, url)
                if log.count() < options.runs:
                    started = time.monotonic()
                    fill(log, options.runs)
                    print(f"{kind}: {options.runs:,} runs made in {time.monotonic() - started:.0f} s", flush=True)
                log.close()  # as each kernel does at its end
                measure(kind, RunLog(home, url), options.runs, options.tries)
                report("four kernels, longest wait for a write", [four_kernels(home, url, options.tries)], KERNELS_MS)
            finally:
                if server is not None:
                    server.close()


def measure(kind: str, log: RunLog, count: int, tries: int) -> None:
    print(f"{kind:44}{'p50':>10}{'p95':>10}{'bound':>10}   ms")
    for name, look in looks(log, count):
        report(name, [timed(look) for _ in range(tries)], QUERY_MS)
    waits = asyncio.run(append(log, tries * WRITES_PER_TRY))
    for name, times in waits.items():
        report(name, times, WRITE_MS)
    log.close()


def four_kernels(home: Path, url: str | None, tries: int) -> float:
    """Let four kernels write a thousand runs each at once, or fewer with fewer tries; gives the longest wait of all."""
    script = Path(__file__).resolve().parent.parent / "tests" / "kernel_writer.py"
    runs = str(tries * RUNS_OF_KERNEL_PER_TRY)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    kernels = [
        subprocess.Popen([sys.executable, str(script), str(n), str(home), url or "", runs], **pipes)
        for n in range(61441, 61445)
    ]
    for kernel in kernels:
        kernel.stdout.readline()
    for kernel in kernels:
        kernel.stdin.write("go\n")
        kernel.stdin.flush()
    return 1000 * max(float(kernel.communicate()[0]) for kernel in kernels)


def report(name: str, times: list[float], bound: float) -> None:
    ordered = sorted(times)
    median, late = statistics.median(ordered), ordered[int(len(ordered) * 0.95)]
    verdict = "" if median <= bound else "   MISSED"
    print(f"{name:44}{median:10.2f}{late:10.2f}{bound:10.0f}{verdict}", flush=True)


def timed(look: Callable[[], Any]) -> float:
    started = time.perf_counter()
    look()
    return 1000 * (time.perf_counter() - started)


def looks(log: RunLog, count: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Give each look, of another thing each time."""
    chance = random.Random(1)

    def some(**wanted: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: log.select(RunFilter(**{name: value() for name, value in wanted.items()}))

    def day(_: int = 0) -> str:
        return day_of(chance.randrange(DAYS))

    def costs(by: str, since: str | None = None) -> Callable[[], Any]:
        def look() -> None:
            with log.reading() as connection:
                sum_spending(connection, by, since=since)

        return look

    yield "log", some()
    yield "log --page 50", some(page=lambda: 50, limit=lambda: 20)
    yield "log --model", some(model=lambda: chance.choice(MODELS))
    yield "log --model (none of it)", some(model=lambda: "nobody:1@1")
    yield "log --tag (of many runs)", some(tags=lambda: ("common",))
    yield "log --tag (of few runs)", some(tags=lambda: (f"tag{chance.randrange(1000)}",))
    yield "log --since", some(since=day)
    yield "log --since tomorrow", some(since=lambda: "2099-01-01")
    yield "log --cell N", some(cell=lambda: str(chance.randrange(1, 200)))
    yield "log --cell ID", some(cell=lambda: cell_of(chance.randrange(4000)))
    yield "log --notebook", some(notebook=lambda: chance.choice(NOTEBOOKS))
    yield "log --notebook (by its name)", some(notebook=lambda: f"study_{chance.randrange(40)}.ipynb")
    yield "log --state succeeded", some(state=lambda: "succeeded")
    yield "log --state failed", some(state=lambda: "failed")
    yield "log --search (a common word)", some(search=lambda: chance.choice(WORDS[:30]))
    yield "log --search (two words)", some(search=lambda: " ".join(chance.sample(WORDS, 2)))
    yield "log --search (a rare word)", some(search=lambda: f"serial{chance.randrange(count)}x")
    yield "log --search (no such word)", some(search=lambda: "xylophone")
    yield "log --min-rating 5", some(min_rating=lambda: 5)
    yield (
        "log --model --since --search",
        some(model=lambda: chance.choice(MODELS), since=day, search=lambda: chance.choice(WORDS)),
    )
    yield "log --model --tag", some(model=lambda: chance.choice(MODELS[1::2]), tags=lambda: ("common",))
    for by in ("cell", "day", "model", "tag"):
        yield f"cost --by {by}", costs(by)
    yield "cost --by model --since", costs("model", day_of(DAYS - 30)[:10])
    yield "recorded answer", lambda: log.find_recorded(hash_of(chance.randrange(count)))
    yield "recorded answer (none)", lambda: log.find_recorded("1:none")
    yield "unfinished twin (none)", lambda: log.find_twin(hash_of(chance.randrange(count)))
    yield "replay lookup", lambda: log.asked([hash_of(chance.randrange(count)), "1:none"])
    yield "show UUID", lambda: log.find(name_of(chance.randrange(count)))
    yield "show the beginning of a UUID", lambda: log.find(name_of(chance.randrange(count))[:8])
    yield "pending", log.pending
    yield (
        "median cost of a model",
        lambda: log.median_cost(
            {"model": MODELS[0], "taskType": "imageInference"}, "runware", results_of=expected_results
        ),
    )
    yield "who made this file", lambda: log.find_result(sha256=f"{chance.randrange(count):064x}")


async def append(log: RunLog, count: int) -> dict[str, list[float]]:
    """Time single writes, each durable, with a budget to check as well."""
    with log.changing() as connection:
        set_budget(connection, "runware", "", 1e6)
    found: dict[str, list[float]] = {
        "append: prepare": [],
        "append: claim": [],
        "append: answer": [],
        "append: finish": [],
    }
    for number in range(count):
        name = f"ffffffff-{number:04x}-4000-8000-{random.getrandbits(48):012x}"
        record = RunRecord(
            task_uuid=name, attempt_uuid=name, provider="runware", task_type="imageInference", model=MODELS[0],
            request={"positivePrompt": "a small airship over a forest"}, request_hash=f"1:{name}", asked_hash=f"1:{name}",
            created_at_utc="2026-11-22T00:00:00.000+00:00", prompt="a small airship over a forest", tags=("common",),
            notebook=NOTEBOOKS[0], estimate=0.004, is_joinable=True,
        )  # fmt: skip
        result = ResultRecord(position=0, seed=1, raw={"imageUUID": name}, item_uuid=name, received_sha256="0" * 64)
        for step, write in (
            ("prepare", lambda r=record: log.prepare(r)),
            ("claim", lambda n=name: log.mark_sent(n, n, 1, "2026-11-22T00:00:00.000+00:00", "{}")),
            ("answer", lambda n=name, r=result: log.add_results(n, [r])),
            ("finish", lambda n=name: log.finish(n, State.SUCCEEDED, at_utc="2026-11-22T00:00:01.000+00:00",
                                                 duration_s=1.0, cost=Money(0.004), error=None)),
        ):  # fmt: skip
            started = time.perf_counter()
            await write()
            found[f"append: {step}"].append(1000 * (time.perf_counter() - started))
    return found


def fill(log: RunLog, count: int) -> None:
    """Write the runs past the log's front door: it would take an hour."""
    size = 20_000
    with log.changing() as connection:
        for start in range(0, count, size):
            part = range(start, min(start + size, count))
            connection.execute(sa.insert(runs), [run_row(n, count) for n in part])
            connection.execute(sa.insert(results), [result_row(n) for n in part])
            connection.execute(sa.insert(run_tags), [tag for n in part for tag in tags_of(n)])
        totals = "count(*), count(*), 0, sum(cost)"
        day, always = "substr(created_at_utc, 1, 10)", "''"
        for dimension, key in (("cell", "coalesce(cell_id, '')"), ("model", "model"), ("day", day), ("tag", "tag")):
            source = "runs JOIN run_tags ON run_id = runs.id" if dimension == "tag" else "runs"
            for when in (always,) if dimension == "day" else (always, day):
                connection.execute(
                    sa.text(f"INSERT INTO spending SELECT '{dimension}', {when}, provider, coalesce(notebook, ''), {key}, 'USD', "
                            f"{totals} FROM {source} GROUP BY 1, 2, 3, 4, 5")
                )  # fmt: skip
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT setval('runs_id_seq', (SELECT max(id) FROM runs))"))
    if connection.dialect.name == "postgresql":
        with log._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as plain:
            plain.execute(sa.text("VACUUM ANALYZE"))  # what the server does by itself a minute later


def run_row(n: int, count: int) -> dict[str, Any]:
    chance = random.Random(n)
    prompt = " ".join(chance.choices(WORDS, k=9)) + f" serial{n}x"
    day = n * DAYS // count
    notebook = chance.randrange(40) if n % 10 else day % 40
    request = {"positivePrompt": prompt, "width": 1024, "height": 1024, "seed": n, "model": MODELS[n % 12]}
    return {
        "id": n + 1, "task_uuid": name_of(n), "attempt_uuid": name_of(n), "provider": "runware", "task_type": "imageInference",
        "model": MODELS[n % 12], "request": json.dumps(request), "request_hash": hash_of(n), "asked_hash": hash_of(n),
        "seed_given": 1, "prompt": prompt, "notebook": NOTEBOOKS[notebook], "cell_id": cell_of(day // 4 % 100 * 40 + notebook),
        "execution_count": n % 200, "state": "failed" if n % 97 == 0 else "succeeded", "attempts": 1,
        "created_at_utc": day_of(day), "sent_at_utc": day_of(day), "finished_at_utc": day_of(day), "duration_s": 1.0,
        "cost": 0.0038, "is_joinable": 1, "best_rating": n % 5 + 1 if n % 10 == 0 else None,
    }  # fmt: skip


def result_row(n: int) -> dict[str, Any]:
    return {
        "run_uuid": name_of(n), "position": 0, "item_uuid": name_of(n), "seed": n, "cost": 0.0038,
        "received_sha256": f"{n:064x}", "stored_sha256": f"{n:064x}", "file": f"aa/{n:064x}.jpg",
        "medium_state": "stored", "raw": '{"imageUUID": "x"}', "rating": n % 5 + 1 if n % 10 == 0 else None,
    }  # fmt: skip


def tags_of(n: int) -> list[dict[str, Any]]:
    names = [f"tag{n % 1000}"] if n % 3 == 0 else []
    return [{"tag": tag, "run_id": n + 1} for tag in ([*names, "common"] if n % 2 else names)]


def name_of(n: int) -> str:
    return f"{(n * 2654435761) % 2**32:08x}-0000-4000-8000-{n:012x}"


def hash_of(n: int) -> str:
    return f"1:{n:064x}"


def cell_of(n: int) -> str:
    return f"{n:08x}-cell-4000-8000-000000000000"


def day_of(day: int) -> str:
    return f"{2026 if day > 40 else 2025}-{day // 31 % 12 + 1:02}-{day % 28 + 1:02}T12:00:00.000+00:00"


if __name__ == "__main__":
    main()
