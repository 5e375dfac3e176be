"""The full storm: `make chaos` for ten seeds, or `make chaos SEED=N` (`python -m tests.chaos --seed N`) for one."""

import argparse
import multiprocessing
import os
import random
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed

from .seed import storms


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="repeat one seed")
    parser.add_argument("--seeds", type=int, default=10, help="how many seeds, drawn at random")
    parser.add_argument("--tasks", type=int, default=500, help="tasks of each storm through a client")
    parser.add_argument("--session-tasks", type=int, default=150, help="tasks of each storm through a session")
    parser.add_argument("--rate", type=float, default=0.2, help="share of tasks that meet a fault")
    parser.add_argument("--kills", type=int, default=3, help="how often the server is killed")
    parser.add_argument("--transport", choices=["websocket", "rest"], action="append")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many storms at the same time")
    options = parser.parse_args()
    seeds = [options.seed] if options.seed is not None else random.SystemRandom().sample(range(10**6), options.seeds)
    print(f"seeds {', '.join(map(str, seeds))}", flush=True)
    transports = options.transport or ["websocket", "rest"]
    failed: set[int] = set()
    with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(storms, seed, transport, options) for seed in seeds for transport in transports]
        for future in as_completed(futures):
            seed, lines, complaints = future.result()
            print("\n".join([*lines, *(f"  {complaint}" for complaint in complaints)]), flush=True)
            failed |= {seed} if complaints else set()
    print(f"{len(failed)} of {len(seeds)} seeds failed: {sorted(failed)}" if failed else f"{len(seeds)} seeds passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
