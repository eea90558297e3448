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
    options = _options()
    first, _, last = (str(options.seed) if options.seed is not None else options.seeds).partition("-")
    seeds = range(int(first), int(last or first) + 1)
    began = time.monotonic()
    failed = sum(not _play(seed, options) for seed in seeds)
    print(f"{failed} of {len(seeds)} seeds failed")
    print(f"{time.monotonic() - began:.1f} s", file=sys.stderr)
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Deterministic simulation of executor, worker and engine.")
    parser.add_argument("--seed", type=int, help="play this seed and print what it was")
    parser.add_argument("--seeds", default="0-100", help="first-last: play these seeds, print those that fail")
    parser.add_argument("--digests", action="store_true", help="print a line for every seed")
    parser.add_argument("--trace", action="store_true", help="print everything that happened")
    return parser.parse_args()


def _play(seed: int, options: argparse.Namespace) -> bool:
    """Play a seed; return whether all was well."""
    from simulation.world import World

    world = World(seed, keep_trace=options.trace)
    problems = world.run()
    for line in world.lines:
        print(line)
    if problems or options.digests or options.seed is not None:
        runs, executions = len(world.ledger.entries), len(world.tables.heads)
        print(f"seed {seed}: {runs} runs, {executions} executions, {world.digest[:16]}", *problems, sep="\n  ")
    return not problems


if __name__ == "__main__":
    sys.exit(main())
