"""Short tasks (0.1 s) among long ones (60 s) on 4 workers of 8 slots: does a long task ever hold up a short one?

    python load-tests/head_of_line.py [--long 60] [--seconds 30] [--rate 20] [--bus postgres|kafka]

First only short tasks come, then as many in the same way while long ones hold 28 of the 32 slots. Measured is how long a
short task waits from being submitted until a worker starts it, from the histories in the database. With queues that hand
work out ahead of need, short tasks would stand behind long ones for up to a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import asyncpg
from server import machine
from waiting import FLOW, Client, Waiting, cluster

from levada.cli.cluster import Cluster

WORKERS, SLOTS, LONG = 4, 8, 28
#: What nobody should have to wait while there are free slots.
GOAL_S = 0.5


async def short_ones(client: Client, rate: float, seconds: float) -> None:
    """Start one execution with one short task at a time, at a steady rate."""
    begun = time.monotonic()
    starting = []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(begun + number / rate - time.monotonic(), 0))
        starting.append(asyncio.create_task(client.start("short")))
    await asyncio.gather(*starting)


async def waits(cluster: Cluster, flow: str, since_us: int) -> list[float]:
    """Return the seconds from submission to start of every task run of the flow created after `since_us`."""
    connection = await asyncpg.connect(cluster.dsn)
    try:
        rows = await connection.fetch(
            "SELECT t.body FROM task_run t JOIN execution e ON e.id = t.execution_id "
            "WHERE e.flow_id = $1 AND e.created >= $2",
            flow,
            since_us,
        )
    finally:
        await connection.close()
    found = []
    for (body,) in rows:
        run = json.loads(body)
        if run["task_id"] != "wait":
            continue
        at = dict(reversed([tuple(step) for step in run["history"]]))
        if "RUNNING" in at and "SUBMITTED" in at:
            found.append((at["RUNNING"] - at["SUBMITTED"]) / 1e6)
    return sorted(found)


def line(name: str, found: list[float]) -> str:
    def quantile(q: float) -> str:
        return f"{found[min(int(len(found) * q), len(found) - 1)] * 1e3:8.0f} ms" if found else "       –"

    return f"  {name:<34}{len(found):>6}{quantile(0.5)}{quantile(0.99)}{quantile(1.0)}"


async def measure(options: argparse.Namespace) -> bool:
    async with Waiting() as server, cluster(options.bus, WORKERS) as running, Client(running.api_url) as client:
        await client.deploy(FLOW.format(id="short", tasks=1, url=server.url, seconds=0.1))
        await client.deploy(FLOW.format(id="long", tasks=LONG, url=server.url, seconds=options.long))
        await short_ones(client, options.rate, 3)  # warm
        await asyncio.sleep(1)
        first = time.time_ns() // 1000
        await short_ones(client, options.rate, options.seconds)
        await asyncio.sleep(1)
        alone = await waits(running, "short", first)
        before = len(server.begun)
        long = await client.start("long")
        while len(server.begun) < before + LONG:  # noqa: ASYNC110  another process starts them
            await asyncio.sleep(0.05)
        second = time.time_ns() // 1000
        await short_ones(client, options.rate, options.seconds)
        await asyncio.sleep(1)
        among = await waits(running, "short", second)
        still = await client.state(long)
    print(f"bus {options.bus}: {WORKERS} workers of {SLOTS} slots, {options.rate:g} short tasks of 0.1 s a second")
    print(f"  {'short tasks':<34}{'count':>6}{'p50':>11}{'p99':>11}{'longest':>11}")
    print(line("alone", alone))
    print(line(f"among {LONG} tasks of {options.long:g} s ({still})", among))
    wanted = int(options.rate * options.seconds)
    if len(among) < wanted or still != "RUNNING":
        print(f"  only {len(among)} of {wanted} short tasks started while the long ones ran")
        return False
    return among[int(len(among) * 0.99)] <= GOAL_S


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", type=float, default=60.0, help="seconds of a long task")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long short tasks come; less than a long one")
    parser.add_argument("--rate", type=float, default=20.0, help="short tasks per second")
    parser.add_argument("--bus", choices=("postgres", "kafka"), default="postgres")
    options = parser.parse_args()
    print(machine())
    if not asyncio.run(measure(options)):
        raise SystemExit(f"short tasks were held up: p99 must stay below {GOAL_S:g} s")


if __name__ == "__main__":
    main()
