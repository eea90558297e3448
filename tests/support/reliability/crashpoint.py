"""crashpoint: every place where a process may fail on purpose fails there, in every way, while the others go on (R2).

`POINTS` says which service passes each failpoint of the code; tests/chaos/test_crashpoint.py holds the list against the
code. At each point a process is made to

    exit    die at once, as by kill -9
    hang    stop for longer than its leases, then go on: a zombie with a batch in its hand
    raise   find a defect in itself
    lose    have done it and not know: the answer is lost

Each life of a process carries the next failure, so that recovery from one meets the next. A failure counts only when the
process has said that it came to that point.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from reliability.fleet import Fleet
from reliability.report import ROOT, Report
from reliability.trial import Trial

ACTIONS = ("exit", "hang", "raise", "lose")
REACH_S = 30.0
"""Within this long a process under load must have come to its point."""

ENDS_S = 3.0
"""How long to wait for the end of a process that found a defect in itself: not every service ends by it."""


@dataclass(frozen=True)
class Point:
    """`hit`: which passage counts, so that the process is in the midst of its work. `services`: who passes there."""

    name: str
    services: tuple[str, ...]
    hit: int = 5
    #: Only one process of the service passes there, and nobody knows which: all are made to fail there.
    everyone: bool = False
    #: Somebody has to lose a worker for it.
    by_loss: bool = False


_EXECUTOR, _API = ("executor",), ("api",)
POINTS = (
    Point("executor.owned", _EXECUTOR, 1),
    Point("executor.polled", _EXECUTOR, 20),
    Point("executor.before_commit", _EXECUTOR, 15),
    Point("executor.after_commit", _EXECUTOR, 15),
    Point("executor.sent", _EXECUTOR, 2),
    Point("executor.after_send", _EXECUTOR, 15),
    Point("store.before_commit", _EXECUTOR, 15),
    Point("store.in_commit", _EXECUTOR, 2),
    Point("store.after_commit", _EXECUTOR, 15),
    Point("bus.before_append", ("api", "executor"), 4),
    Point("bus.after_append", ("api", "executor"), 4),
    Point("jobs.claimed", _API, 3),
    Point("jobs.announced", _API, 3),
    Point("jobs.reported", _API, 1),
    Point("jobs.expired", _EXECUTOR, 1, everyone=True, by_loss=True),
    Point("jobs.lost_reported", _EXECUTOR, 1, everyone=True, by_loss=True),
    Point("webhook.claimed", ("webhook",), 3),
    Point("webhook.sent", ("webhook",), 3),
    Point("indexer.polled", ("indexer",), 3),
    Point("indexer.before_commit", ("indexer",), 3),
    Point("indexer.after_commit", ("indexer",), 3),
    Point("scheduler.before_advance", ("scheduler",), 2, everyone=True),
    Point("scheduler.before_send", ("scheduler",), 1, everyone=True),
    Point("scheduler.before_sent", ("scheduler",), 1, everyone=True),
)

_CALL = re.compile(r"failpoint\(\s*\"([a-z_.]+)\"")


def in_the_code() -> set[str]:
    """Return every failpoint that the product has."""
    sources = [*(ROOT / "levada").rglob("*.py"), *(ROOT / "services").rglob("*.py")]
    return {name for path in sources for name in _CALL.findall(path.read_text())}


@dataclass(frozen=True)
class Plan:
    point: Point
    action: str
    service: str

    @property
    def name(self) -> str:
        where = f" in {self.service}" if len(self.point.services) > 1 else ""
        return f"{self.point.name} {self.action}{where}"


def plans(services: Iterable[str]) -> list[Plan]:
    """Return everything to try on a fleet with these services; one process of all services passes every point."""
    found = set(services)
    if found == {"standalone"}:
        return [
            Plan(point, action, "standalone")
            for point in POINTS
            if point.services != ("indexer",)
            for action in ACTIONS
        ]
    return [
        Plan(point, action, service)
        for point in POINTS
        for service in point.services
        if service in found
        for action in ACTIONS
    ]


def sample(wanted: Sequence[Plan], count: int, seed: int) -> list[Plan]:
    """Return so many of them, each point before any point twice."""
    chance = random.Random(seed)
    shuffled = chance.sample(list(wanted), len(wanted))
    rank: dict[str, int] = {}
    ranked = []
    for plan in shuffled:
        rank[plan.point.name] = rank.get(plan.point.name, 0) + 1
        ranked.append((rank[plan.point.name], plan))
    return [plan for _, plan in sorted(ranked, key=lambda one: one[0])[:count]]


class Crashes:
    """Works the plans off: each process of a service is a lane of its own; what takes all of a service comes last."""

    def __init__(self, trial: Trial, wanted: Sequence[Plan]) -> None:
        self._trial = trial
        self._fleet: Fleet = trial.fleet
        self._wanted = wanted
        self._hang_s = 2.5 * trial.fleet.lease_s
        self.reached: list[str] = []
        self.missed: list[str] = []

    async def play(self) -> None:
        lanes = []
        for service in sorted({plan.service for plan in self._wanted}):
            queue = deque(plan for plan in self._wanted if plan.service == service and not self._takes_all(plan))
            lanes += [self._lane(name, queue) for name in self._fleet.names(service)]
        await asyncio.gather(*lanes)
        for plan in self._wanted:
            if self._takes_all(plan):
                await self._fail(plan, self._fleet.names(plan.service))

    def _takes_all(self, plan: Plan) -> bool:
        return plan.point.by_loss or (plan.point.everyone and plan.service != "standalone")

    async def _lane(self, name: str, queue: deque[Plan]) -> None:
        while queue:
            await self._fail(queue.popleft(), [name])
        await self._again(name)

    async def _fail(self, plan: Plan, names: Sequence[str]) -> None:
        action = f"delay:{self._hang_s:g}" if plan.action == "hang" else plan.action
        spec = f"{plan.point.name}={action}#{plan.point.hit}"
        fault = self._trial.faults.begin("failpoint", plan.service if len(names) > 1 else names[0])
        logs = {name: _Tail(self._fleet.log(name)) for name in names}
        for name in names:
            await self._again(name, spec)
        reached = await self._reached(plan, logs)
        (self.reached if reached else self.missed).append(plan.name)
        if reached:
            await self._suffer(plan, reached)
        self._trial.faults.end(fault)
        if len(names) > 1 or plan.point.by_loss:
            for name in names:
                await self._again(name)

    async def _again(self, name: str, spec: str = "") -> None:
        """Start a new life of a process, with something that will go wrong in it."""
        if self._fleet.alive(name):
            fault = self._trial.faults.begin("kill", name)
            await self._fleet.kill(name)
            self._trial.faults.end(fault)
        await self._fleet.start(name, {"LEVADA_FAILPOINTS": spec} if spec else None)

    async def _reached(self, plan: Plan, logs: dict[str, _Tail]) -> str | None:
        """Return which process came to the point; None when nobody did in time."""
        deadline, words = time.monotonic() + REACH_S, f"failpoint {plan.point.name}: "
        lost = asyncio.create_task(self._lose_workers(deadline)) if plan.point.by_loss else None
        try:
            while time.monotonic() < deadline:
                for name, log in logs.items():
                    if words in log.more():
                        return name
                await asyncio.sleep(0.1)
        finally:
            if lost is not None:
                lost.cancel()
                await asyncio.gather(lost, return_exceptions=True)
        return None

    async def _lose_workers(self, deadline: float) -> None:
        """Have a worker freeze beyond its lease while it is at work, again and again; in one process the worker is in it."""
        workers = self._fleet.names("worker")
        if not workers:
            return
        while time.monotonic() < deadline:
            await asyncio.sleep(1.0)
            fault = self._trial.faults.begin("freeze", workers[0])
            await self._fleet.freeze(workers[0])
            try:
                await asyncio.sleep(self._trial.fleet.lease_s * 1.5)
            finally:
                await self._fleet.thaw(workers[0])
                self._trial.faults.end(fault)

    async def _suffer(self, plan: Plan, name: str) -> None:
        """Wait until what was asked for has run its course."""
        if plan.action == "hang":
            await asyncio.sleep(self._hang_s + 0.5)
            return
        wait_s = {"exit": REACH_S, "raise": ENDS_S, "lose": 0.5}[plan.action]
        deadline = time.monotonic() + wait_s
        while self._fleet.alive(name) and time.monotonic() < deadline:  # noqa: ASYNC110  another process is watched
            await asyncio.sleep(0.05)
        if plan.action == "exit" and self._fleet.alive(name):
            self.missed.append(f"{plan.name}: {name} lives on")


class _Tail:
    """What a log file has gained since it was last looked at; keeps enough of the end not to miss a broken line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = path.stat().st_size if path.exists() else 0

    def more(self) -> str:
        if not self._path.exists():
            return ""
        with self._path.open("rb") as log:
            log.seek(max(self._at - 200, 0))
            text = log.read()
        self._at = max(self._at, self._path.stat().st_size)
        return text.decode(errors="replace")


async def run(trial: Trial, report: Report, count: int | None = None) -> Report:
    """Try everything, or `count` of it as the seed draws, and fill the report in."""
    async with trial:
        services = {name.rpartition("-")[0] or name for name in trial.fleet.names()}
        wanted = plans(services)
        crashes = Crashes(trial, wanted if count is None else sample(wanted, count, trial.seed))
        await crashes.play()
        # A defect in an api or a webhook service is a 500 to whoever asked.
        trial.load.refused = [text for text in trial.load.refused if ": 500 " not in text]
        await trial.calm()
    report.violations = [str(violation) for violation in trial.violations]
    report.figures = trial.figures | {
        "failpoints": len({plan.point.name for plan in wanted}),
        "failures tried": len(crashes.reached) + len(crashes.missed),
        "failures reached": len(crashes.reached),
        "never reached": sorted(crashes.missed),
    }
    report.goals["nothing lost"] = trial.figures["lost"] == 0
    report.goals["nothing doubled"] = trial.figures["doubled"] == 0
    report.goals["every failure was reached"] = not crashes.missed
    return report
