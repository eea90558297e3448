"""simulation and mutants: the same code on a simulated clock, bus and store, seed by seed, in as many processes as there are cores.

    R12  worlds are drawn by their seeds and played to their end; each must keep every promise
    R13  fences are taken out of the code one at a time; in some world each must be missed, or the harness is blind to it

A world needs nothing but its seed: `python tests/simulation/simflow.py --seed N --trace` plays one again, with everything
that happened in it.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

from reliability.report import Report

LIMIT_S = 180.0
"""What 2,000 worlds may take."""

FULL = 2000
CHUNK = 20
WANTED_MUTANTS = 20
SEEDS_PER_MUTANT = 200


def run(first: int, count: int, report: Report) -> Report:
    """Play `count` worlds from seed `first` on and fill the report in."""
    begun = time.monotonic()
    chunks = [range(at, min(at + CHUNK, first + count)) for at in range(first, first + count, CHUNK)]
    failed: dict[int, list[str]] = {}
    totals = {"executions": 0, "task runs": 0}
    for chunk in _spread(_play, chunks):
        for seed, problems, executions, runs in chunk:
            totals["executions"] += executions
            totals["task runs"] += runs
            if problems:
                failed[seed] = problems
    took_s = time.monotonic() - begun
    report.figures = {"worlds": count, "first seed": first, "failed worlds": len(failed), **totals, "seconds": took_s}
    report.violations = [f"seed {seed}: {problem}" for seed, problems in sorted(failed.items()) for problem in problems]
    report.goals["no world breaks a promise"] = not failed
    if count >= FULL:
        report.goals[f"{count} worlds in ≤ {LIMIT_S / 60:g} min"] = took_s <= LIMIT_S * count / FULL
    return report


def _play(seeds: Iterable[int]) -> list[tuple[int, list[str], int, int]]:
    """Return seed, what was wrong, executions and task runs of each world."""
    from simulation.world import World

    found = []
    for seed in seeds:
        world = World(seed)
        problems = world.run()
        found.append((seed, problems, len(world.tables.heads), len(world.ledger.entries)))
    return found


def run_mutants(report: Report, count: int | None = None, seeds: int = SEEDS_PER_MUTANT) -> Report:
    """Take out each fence, or the first `count`, and fill in which seed missed it."""
    from simulation.mutants import MUTANTS

    begun = time.monotonic()
    names = [mutant.__name__ for mutant in MUTANTS][:count]
    caught = dict(_spread(_hunt, [(name, seeds) for name in names]))
    survivors = [name for name in names if caught[name] is None]
    report.figures = {
        "mutants": len(names),
        "killed": len(names) - len(survivors),
        "survivors": survivors,
        "seeds needed at most": max((seed + 1 for seed in caught.values() if seed is not None), default=0),
        "seconds": time.monotonic() - begun,
        "killed by seed": {name: caught[name] for name in names},
    }
    report.goals["every mutant is killed"] = not survivors
    if count is None:
        report.goals[f"there are at least {WANTED_MUTANTS}"] = len(names) >= WANTED_MUTANTS
    return report


def _hunt(order: tuple[str, int]) -> tuple[str, int | None]:
    """Return the mutant's name and the first seed that noticed it."""
    from simulation.mutants import MUTANTS, first_caught

    name, seeds = order
    mutant = next(one for one in MUTANTS if one.__name__ == name)
    return name, first_caught(mutant, seeds)


def _spread(work: Callable[[Any], Any], orders: Iterable[Any]) -> Iterable[Any]:
    """Do the orders in processes of their own, one per core, and return the results as they come."""
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=spawning) as pool:
        try:
            for done in as_completed([pool.submit(work, order) for order in orders]):
                yield done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # whoever is interrupted does not want the rest
            raise
