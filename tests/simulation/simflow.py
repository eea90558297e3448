"""Replay one seed of the simulation, or look through many.

.venv/bin/python tests/simulation/simflow.py --seed 17 --trace
.venv/bin/python tests/simulation/simflow.py --seeds 0-2000
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))


def main() -> int:
    from simulation.world import World

    parser = argparse.ArgumentParser(description="Deterministic simulation of executor, worker and engine.")
    parser.add_argument("--seed", type=int, help="play this seed and print what it did")
    parser.add_argument("--seeds", default="0-100", help="first-last: play these seeds")
    parser.add_argument("--trace", action="store_true", help="print everything that happened")
    options = parser.parse_args()
    first, _, last = (str(options.seed) if options.seed is not None else options.seeds).partition("-")
    failed = 0
    began = time.monotonic()
    for seed in range(int(first), int(last or first) + 1):
        world = World(seed, keep_trace=options.trace)
        problems = world.run()
        if options.trace:
            print("\n".join(world.lines))
        if problems or options.seed is not None:
            print(
                f"seed {seed}: {len(world.ledger.entries)} runs, {len(world.tables.heads)} executions, {world.digest[:16]}"
            )
            for problem in problems:
                print(f"  {problem}")
        failed += bool(problems)
    print(f"{failed} of {int(last or first) - int(first) + 1} seeds failed, {time.monotonic() - began:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
