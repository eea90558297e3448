"""How tasks that wait 200 ms spread over 1, 2 and 4 workers of 8 slots: each doubling should give nearly double.

    python load-tests/workers.py [--seconds 15] [--bus postgres|kafka]

The tasks cost nearly nothing (an HTTP request to a server that takes its time), so the slots are what is scarce, as in
a cluster. One worker can do 40 a second. Measured are the answers of that server in a window in which work is always waiting.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time

from server import machine
from waiting import FLOW, Client, Waiting, cluster, cpu_s

WORKERS = (1, 2, 4)
SLOTS, WAIT_S, BATCH = 8, 0.2, 40
WARM_S = 2.0
GOAL = 1.8


async def measure(bus: str, workers: int, seconds: float) -> tuple[float, dict[str, float]]:
    """Return the tasks per second of so many workers, and the CPU milliseconds that a task cost each service."""
    ideal = workers * SLOTS / WAIT_S
    async with Waiting() as server, cluster(bus, workers) as running, Client(running.api_url) as client:  # type: ignore[arg-type]
        await client.deploy(FLOW.format(id="wait", tasks=BATCH, url=server.url, seconds=WAIT_S))
        executions = int(ideal * (seconds + WARM_S) * 1.3 / BATCH) + 2
        starting = asyncio.create_task(_start(client, executions, ideal))
        while len(server.ended) < ideal * WARM_S / 2:  # noqa: ASYNC110  other processes do the work
            await asyncio.sleep(0.05)
        begun, before, used = time.monotonic(), len(server.ended), cpu_s(running)
        await asyncio.sleep(seconds)
        done = len(server.ended) - before
        passed = time.monotonic() - begun
        cost = {name: (cpu - used.get(name, 0.0)) / done * 1e3 for name, cpu in cpu_s(running).items()}
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return done / passed, cost


async def _start(client: Client, executions: int, ideal: float) -> None:
    """Keep more work waiting than can be done, but not all of it from the start."""
    for number in range(executions):
        await client.start("wait")
        if number > 2 * ideal / BATCH:
            await asyncio.sleep(BATCH / ideal / 1.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--bus", choices=("postgres", "kafka"), default="postgres")
    options = parser.parse_args()
    print(machine())
    print(f"bus {options.bus}, tasks that wait {WAIT_S:g} s, workers of {SLOTS} slots, {options.seconds:g} s each")
    print(f"  {'workers':>8}{'tasks/s':>10}{'of possible':>13}{'than before':>13}")
    rates: list[float] = []
    for workers in WORKERS:
        rate, cost = asyncio.run(measure(options.bus, workers, options.seconds))
        grown = f"{rate / rates[-1]:.2f} x" if rates else ""
        print(f"  {workers:>8}{rate:>10.1f}{rate / (workers * SLOTS / WAIT_S):>12.0%}{grown:>14}", flush=True)
        print(
            "           CPU ms per task: " + ", ".join(f"{name} {ms:.1f}" for name, ms in sorted(cost.items())),
            flush=True,
        )
        rates.append(rate)
    if any(after < GOAL * before for before, after in itertools.pairwise(rates)):
        raise SystemExit(f"a doubling gave less than {GOAL:g} times as much")


if __name__ == "__main__":
    main()
