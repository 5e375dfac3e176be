"""The full storm: `make chaos`, or `python -m tests.chaos --seed N` to repeat one."""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from .storm import Storm


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--transport", choices=["websocket", "rest"], action="append")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    complaints = []
    for transport in options.transport or ["websocket", "rest"]:
        for kills in {0: [0]}.get(options.kills, [0, options.kills]):
            with tempfile.TemporaryDirectory() as folder:
                storm = Storm(options.seed, transport, options.tasks, options.rate, kills, Path(folder))
                asyncio.run(storm.blow())
            print(storm.summary(), flush=True)
            complaints += storm.complaints()
    for complaint in complaints:
        print(f"  {complaint}")
    return 1 if complaints else 0


sys.exit(main())
