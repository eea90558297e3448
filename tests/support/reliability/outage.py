"""outage: one of three brokers is down for a minute, and the cluster goes on at nearly its pace (R4).

Clients that each wait for the end of one execution before they start the next (a closed loop) keep the cluster as busy as
it can be: before the loss, while the broker is down, and when it is back. What they complete per second in the three phases
is compared; a usual load runs beside them for the oracle.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field

import aiohttp

from reliability.records import Ack
from reliability.report import Report, percentile
from reliability.trial import Trial
from reliability.workload import NAMESPACE

CLIENTS = 12
WARM_S = 20.0
"""Brokers on a cold virtual machine are slow at first: that would flatter what comes after."""
WANTED = 0.7
"""What part of the pace must be left while the broker is down."""


@dataclass
class Clients:
    """`ended` holds when each execution was seen ended (monotonic), and how long that took."""

    trial: Trial
    ended: list[tuple[float, float]] = field(default_factory=list)
    troubles: int = 0

    async def run(self, number: int) -> None:
        """Be one client until cancelled."""
        urls = self.trial.fleet.urls
        path = f"/api/v1/main/executions/{NAMESPACE}/quick?wait=true"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15.0)) as session:
            while True:
                asked = time.monotonic()
                try:
                    async with session.post(urls[number % len(urls)] + path) as answer:
                        body = await answer.json() if answer.ok else None
                except (aiohttp.ClientError, TimeoutError, OSError):
                    body = None
                if body is None:
                    self.troubles += 1
                    await asyncio.sleep(0.1)
                    continue
                self.trial.load.acks.append(Ack("start", time.time(), body["id"], "quick"))
                now = time.monotonic()
                self.ended.append((now, now - asked))

    def between(self, since: float, until: float) -> tuple[float, float | None]:
        """Return executions per second, and the 99th percentile of how long one took, in ms."""
        waits = [wait for at, wait in self.ended if since <= at < until]
        p99 = percentile(waits, 99)
        return len(waits) / (until - since), None if p99 is None else p99 * 1000


async def run(trial: Trial, before_s: float, down_s: float, report: Report) -> Report:
    """Measure `before_s` seconds, kill a broker for `down_s`, start it again, and fill the report in."""
    clients = Clients(trial)
    async with trial:
        busy = [asyncio.create_task(clients.run(number)) for number in range(CLIENTS)]
        try:
            await asyncio.sleep(WARM_S)
            marks = [time.monotonic()]
            await asyncio.sleep(before_s)
            marks.append(time.monotonic())
            victim = trial.fleet.brokers()[trial.seed % len(trial.fleet.brokers())]
            fault = trial.faults.begin("broker", victim)
            await trial.fleet.kill(victim)
            await asyncio.sleep(down_s)
            marks.append(time.monotonic())
            await trial.fleet.start(victim)
            trial.faults.end(fault)
            await asyncio.sleep(before_s)
            marks.append(time.monotonic())
            died = [name for name in trial.fleet.names() if not trial.fleet.alive(name)]
        finally:
            for task in busy:
                task.cancel()
            await asyncio.gather(*busy, return_exceptions=True)
        await trial.calm()
    report.violations = [str(violation) for violation in trial.violations]
    report.figures = trial.figures
    _judge(clients, marks, victim, died, report)
    return report


def _judge(clients: Clients, marks: list[float], victim: str, died: list[str], report: Report) -> None:
    figures = report.figures
    phases = dict(zip(("before", "while down", "after"), itertools.pairwise(marks), strict=True))
    pace = {}
    for name, (since, until) in phases.items():
        pace[name], p99 = clients.between(since, until)
        figures[f"completed per second {name}"] = pace[name]
        figures[f"p99 {name}, ms"] = p99
    ratio = pace["while down"] / pace["before"] if pace["before"] else 0.0
    figures |= {
        "broker down": victim,
        "down for, s": marks[2] - marks[1],
        "throughput while down": f"{ratio:.0%}",
        "requests of the loop that failed": clients.troubles,
    }
    report.goals["nothing lost"] = figures["lost"] == 0
    report.goals["nothing doubled"] = figures["doubled"] == 0
    report.goals[f"no process needs a restart{f' (died: {died})' if died else ''}"] = not died
    report.goals[f"throughput with one broker of three down ≥ {WANTED:.0%}"] = ratio >= WANTED
