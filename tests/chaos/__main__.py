"""The full storm: `make chaos` for ten seeds, or `make chaos SEED=N` (`python -m tests.chaos --seed N`) for one."""

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .session_storm import SessionStorm, events_of
from .storm import Storm


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="repeat one seed")
    parser.add_argument("--seeds", type=int, default=10, help="how many seeds, drawn at random")
    parser.add_argument("--tasks", type=int, default=500, help="tasks of each storm through a client")
    parser.add_argument("--session-tasks", type=int, default=150, help="tasks of each storm through a session")
    parser.add_argument("--rate", type=float, default=0.2, help="share of tasks that meet a fault")
    parser.add_argument("--kills", type=int, default=3, help="how often the server is killed")
    parser.add_argument("--transport", choices=["websocket", "rest"], action="append")
    options = parser.parse_args()
    seeds = [options.seed] if options.seed is not None else random.SystemRandom().sample(range(10**6), options.seeds)
    failed = 0
    for seed in seeds:
        print(f"seed {seed}", flush=True)
        complaints = list(storms(seed, options))
        for complaint in complaints:
            print(f"  {complaint}")
        print(f"  {len(complaints)} complaints", flush=True)
        failed += bool(complaints)
    print(f"{failed} of {len(seeds)} seeds failed")
    return 1 if failed else 0


def storms(seed: int, options: argparse.Namespace) -> Iterator[str]:
    """Run all storms of one seed; yield their complaints."""
    for transport in options.transport or ["websocket", "rest"]:
        for kills in sorted({0, options.kills}) if options.tasks else ():
            with tempfile.TemporaryDirectory() as folder:
                storm = Storm(seed, transport, options.tasks, options.rate, kills, Path(folder))
                asyncio.run(storm.blow())
            print(storm.summary(), flush=True)
            yield from storm.complaints()
        if options.session_tasks:
            with tempfile.TemporaryDirectory() as folder:
                through = SessionStorm(
                    seed, transport, options.session_tasks, options.rate, events_of(seed), Path(folder)
                )
                through.blow()
            print(through.summary(), flush=True)
            yield from through.complaints()


if __name__ == "__main__":
    sys.exit(main())
