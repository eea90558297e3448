"""What a cluster over Kafka does, every service a process of its own: `make bench-kafka`.

    python load-tests/scaling.py [--only idle,latency,throughput,executors,rebalance,workers] [--seconds 20] [--report FILE]

idle        resident memory of each process, nothing to do
latency     two-task executions at 50 a second, from the request to the end
throughput  two-task executions a second, sent and drained, and what one costs each role
executors   the same with 1, 2 and 4 executors: shares of the partitions, executions a second
rebalance   how long the slowest execution waited while executors are killed, stopped and added
workers     tasks that wait 200 ms on 1, 2 and 4 workers (workers.py)

The load generator, the broker and Postgres share the machine with the services.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import http_load
import server
import workers
from throughput import FLOW, PATH
from waiting import Client, cpu_s

from levada.cli.cluster import Cluster
from levada.cli.cluster.settings import Bus, Counts

RATE, LATENCY_RATE = 550.0, 50.0
WANTED_RATE, WANTED_P50_MS, WANTED_PAUSE_S, WANTED_IDLE_MIB = 500.0, 30.0, 3.0, 120.0
EXECUTORS = (1, 2, 4)
NO_LESS = 0.9
"""How much of one executor's throughput several must have: they share two cores with everything else, and timings are noisy."""
SETTLE_S, DRAIN_S = 3.0, 90.0
REPORT = Path(".levada/chaos/bench-kafka.json")
"""Beside the reports of the fault tests: `python -m tests.chaos page .levada/chaos` puts all of them into docs/reliability.md."""

OWNERS = "SELECT owner, count(*) AS parts FROM bus_owner WHERE topic = 'commands' GROUP BY owner ORDER BY owner"


@dataclass
class Findings:
    """In the form of the reports of the fault tests: docs/reliability.md is made from both."""

    figures: dict[str, Any] = field(default_factory=dict)
    goals: dict[str, bool] = field(default_factory=dict)

    def say(self, name: str, value: object) -> None:
        self.figures[name] = value
        print(f"  {name}: {value}", flush=True)

    def goal(self, text: str, reached: bool) -> None:
        self.goals[text] = reached
        print(f"  {'reached' if reached else 'MISSED '}  {text}", flush=True)


@contextlib.asynccontextmanager
async def cluster(bus: Bus, **counts: int) -> AsyncIterator[tuple[Cluster, Client, int]]:
    """A cluster with one of every service unless `counts` says more, the flow deployed; the client and the port of the api."""
    one = {"executor": 1, "scheduler": 1, "worker": 1, "api": 1, "webhook": 1, "indexer": 1, "brokers": 1}
    with tempfile.TemporaryDirectory(prefix="levada-scaling-", ignore_cleanup_errors=True) as folder:
        env = {"LEVADA_LOG_LEVEL": "warning"}
        async with (
            Cluster(Path(folder), bus=bus, counts=Counts(**one | counts), env=env) as running,
            Client(running.api_url) as client,
        ):
            await client.deploy(FLOW)
            port = urlsplit(running.api_urls[0]).port
            assert port is not None
            yield running, client, port


# --- one measurement each


async def idle(options: argparse.Namespace, found: Findings) -> None:
    async with cluster(options.bus) as (running, _, _):
        await asyncio.sleep(SETTLE_S)
        used = {name: resident_mib(process.pid) for name, process in running.processes.items() if process.pid}
    found.say("idle memory, MiB", ", ".join(f"{name.rpartition('-')[0]} {mib:.0f}" for name, mib in used.items()))
    found.goal(f"each idle service below {WANTED_IDLE_MIB:.0f} MB", max(used.values()) * 2**20 < WANTED_IDLE_MIB * 1e6)


async def latency(options: argparse.Namespace, found: Findings) -> None:
    async with cluster(options.bus) as (_, _, port):
        request = http_load.post(f"{PATH}?wait=true", port)
        await http_load.run("127.0.0.1", port, request, rate=LATENCY_RATE, seconds=SETTLE_S, connections=32)
        done = await http_load.run(
            "127.0.0.1", port, request, rate=LATENCY_RATE, seconds=options.seconds, connections=32
        )
    p50, p99 = done.quantile(0.5) * 1e3, done.quantile(0.99) * 1e3
    found.say(
        f"request to end at {LATENCY_RATE:.0f}/s, ms",
        f"min {min(done.latencies) * 1e3:.1f}, p50 {p50:.1f}, p99 {p99:.1f}, failed {done.failed}",
    )
    found.goal(f"p50 ≤ {WANTED_P50_MS:.0f} ms at {LATENCY_RATE:.0f}/s", p50 <= WANTED_P50_MS and not done.failed)


async def throughput(options: argparse.Namespace, found: Findings) -> None:
    rate, _ = await sustained(options, found, executors=1)
    found.goal(f"≥ {WANTED_RATE:.0f} two-task executions/s", rate >= WANTED_RATE)


async def executors(options: argparse.Namespace, found: Findings) -> None:
    rates: list[float] = []
    for count in EXECUTORS:
        rate, shares = await sustained(options, found, executors=count)
        rates.append(rate)
        found.goal(f"{count} executors share the partitions evenly", len(shares) == count and spread(shares) <= 1)
    reached = min(rates[1:]) >= NO_LESS * rates[0]
    found.goal(f"several executors do no less than one (at least {NO_LESS:.0%} of it)", reached)


async def sustained(options: argparse.Namespace, found: Findings, executors: int) -> tuple[float, list[int]]:
    """Ask for more than is wanted, until all is done; return executions a second and the partitions of each executor."""
    async with cluster(options.bus, executor=executors, scheduler=0, webhook=0) as (running, client, port):
        request = http_load.post(PATH, port)
        await http_load.run("127.0.0.1", port, request, rate=200, seconds=SETTLE_S, connections=16)
        shares = await shares_of(running.dsn)
        before = await drained(client, int(200 * SETTLE_S))
        used, begun, own = spent(running), time.monotonic(), time.process_time()
        done = await http_load.run(
            "127.0.0.1", port, request, rate=options.rate, seconds=options.seconds, connections=64
        )
        ended = await drained(client, before + done.sent - done.failed)
        all_alive(running)
        seconds, made = time.monotonic() - begun, ended - before
        costs = {role: (after - used.get(role, 0.0)) / made * 1e3 for role, after in spent(running).items()}
        costs["load generator"] = (time.process_time() - own) / made * 1e3
    noun = "executor" if executors == 1 else "executors"
    found.say(
        f"{executors} {noun}",
        f"{made / seconds:.0f} executions/s of {options.rate:.0f} asked for; sent {done.sent}, failed {done.failed}, "
        f"ended SUCCESS {made}, backlog drained in {seconds - done.seconds:.1f} s, partitions "
        f"{'/'.join(map(str, shares))}; start acknowledged p50 {done.quantile(0.5) * 1e3:.0f} ms",
    )
    found.say(f"{executors} {noun}: CPU ms per execution", ", ".join(f"{k} {v:.2f}" for k, v in sorted(costs.items())))
    return made / seconds, shares


async def rebalance(options: argparse.Namespace, found: Findings) -> None:
    """Every start and its end is seen by a client; the pause is the longest that any of them took around a change."""
    pauses: dict[str, list[float]] = {"killed": [], "stopped": [], "added": []}
    async with cluster(options.bus, executor=3, scheduler=0, webhook=0) as (running, _, port):
        request = http_load.post(f"{PATH}?wait=true", port)
        await http_load.run("127.0.0.1", port, request, rate=LATENCY_RATE, seconds=SETTLE_S, connections=32)
        for name in itertools.islice(itertools.cycle(["executor-1", "executor-2", "executor-3"]), options.changes):
            pauses["killed"].append(await longest_wait(port, request, running.kill(name)))
            pauses["added"].append(await longest_wait(port, request, running.restart(name)))
            pauses["stopped"].append(await longest_wait(port, request, running.end(name)))
            pauses["added"].append(await longest_wait(port, request, running.restart(name)))
    for change, waits in pauses.items():
        found.say(
            f"longest wait for the end of an execution while an executor is {change}, s",
            f"min {min(waits):.2f}, median {statistics.median(waits):.2f}, max {max(waits):.2f} of {len(waits)}",
        )
    waits = sorted(itertools.chain(*pauses.values()))
    p95 = waits[min(int(len(waits) * 0.95), len(waits) - 1)]
    found.say("pause at a rebalance, p95 of all, s", round(p95, 2))
    found.goal(f"pause at a rebalance p95 ≤ {WANTED_PAUSE_S:.0f} s", p95 <= WANTED_PAUSE_S)


async def longest_wait(port: int, request: bytes, change: Awaitable[object]) -> float:
    """Load for some seconds; `change` happens in their first. Raises SystemExit when a request fails."""
    load = asyncio.create_task(
        http_load.run("127.0.0.1", port, request, rate=LATENCY_RATE, seconds=6.0, connections=400)
    )
    await asyncio.sleep(1.0)
    await change
    done = await load
    if done.failed:
        raise SystemExit(f"{done.failed} of {done.sent} requests failed while executors changed")
    return max(done.latencies)


async def spread_over_workers(options: argparse.Namespace, found: Findings) -> None:
    rates: list[float] = []
    for count in workers.WORKERS:
        rate, cost = await workers.measure(options.bus, count, min(options.seconds, 15.0))
        rates.append(rate)
        possible = count * workers.SLOTS / workers.WAIT_S
        found.say(
            f"{count} workers of {workers.SLOTS} slots", f"{rate:.0f} tasks/s ({rate / possible:.0%} of possible)"
        )
        found.say(
            f"{count} workers: CPU ms per task", ", ".join(f"{role} {ms:.1f}" for role, ms in sorted(cost.items()))
        )
    grown = [after / before for before, after in itertools.pairwise(rates)]
    found.goal(
        f"each doubling of workers gives ≥ {workers.GOAL:g} × ({', '.join(f'{more:.2f}' for more in grown)})",
        min(grown) >= workers.GOAL,
    )


# --- looking at the cluster from outside


def resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * server.PAGE / 2**20


def spent(running: Cluster) -> dict[str, float]:
    """Return the CPU seconds by role, brokers too."""
    brokers = sum(server.cpu_of(pid) for name, pid, _ in running.backends() if pid and name.startswith("broker"))
    return {**cpu_s(running), "broker": brokers}


async def shares_of(dsn: str) -> list[int]:
    connection = await asyncpg.connect(dsn)
    try:
        return [row["parts"] for row in await connection.fetch(OWNERS)]
    finally:
        await connection.close()


def spread(shares: list[int]) -> int:
    return max(shares) - min(shares)


def all_alive(running: Cluster) -> None:
    """Raise SystemExit with the last words of a process that died: what was measured is worth nothing then."""
    for process in running.processes.values():
        if process.pid is None:
            raise SystemExit(f"{process.name} died during the measurement; {process.last_words()}")


async def drained(client: Client, wanted: int) -> int:
    """Return how many have ended, when all that are wanted have or time is up."""
    deadline = time.monotonic() + DRAIN_S
    while (  # noqa: ASYNC110  other processes do the work
        done := await client.total("two-tasks", "SUCCESS")
    ) < wanted and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    return done


# --- the command

SECTIONS = {
    "idle": idle,
    "latency": latency,
    "throughput": throughput,
    "executors": executors,
    "rebalance": rebalance,
    "workers": spread_over_workers,
}


def commit() -> str:
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    done = subprocess.run(asked, cwd=server.ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def write(options: argparse.Namespace, found: Findings, machine: str, begun: float) -> None:
    """Write the report, in the form of tests/support/reliability/report.py."""
    told = {"bus": options.bus, "seconds": options.seconds, "rate": options.rate, "changes": options.changes}
    report = {
        "harness": "bench-kafka",
        "seed": 0,
        "options": told,
        "figures": found.figures,
        "goals": found.goals,
        "violations": [],
        "commit": commit(),
        "machine": machine,
        "at": time.strftime("%Y-%m-%d %H:%M", time.gmtime(begun)),
        "took_s": time.time() - begun,
    }
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas")
    parser.add_argument("--bus", choices=("postgres", "kafka"), default="kafka")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=RATE, help=f"executions a second to ask for ({RATE:.0f})")
    parser.add_argument("--changes", type=int, default=4, help="how often an executor is killed and stopped (4)")
    parser.add_argument("--report", type=Path, default=REPORT, help=f"where the figures are written ({REPORT})")
    options = parser.parse_args()
    found, machine, begun = Findings(), server.machine(), time.time()
    print(f"{machine}\nbus {options.bus}, commit {commit()}", flush=True)
    for name in options.only.split(","):
        if name not in SECTIONS:
            parser.error(f"there is no section {name}; there are {', '.join(SECTIONS)}")
        print(f"\n{name}", flush=True)
        asyncio.run(SECTIONS[name](options, found))
    write(options, found, machine, begun)
    missed = [goal for goal, reached in found.goals.items() if not reached]
    if missed:
        raise SystemExit(f"missed: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
