"""gremlin: real processes under load, killed, frozen, stopped and cut off from their database in an order that a seed decides.

    R1  kill -9 of random processes, each back after 0–2 s
    R3  Postgres dies at once (SIGQUIT, sometimes SIGKILL), again and again; everything goes on unaided
    R4  a broker is killed and comes back
    R6  a process is frozen far beyond its lease; what it still writes when it wakes is refused
    R17 a process is asked to end (SIGTERM), ends with exit code 0, and no task fails because of it

The seed draws the order and the pauses; what the processes were doing in that moment is up to the machine. So a seed does
not replay a run exactly, it repeats the same pressure.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from reliability.fleet import POSTGRES, Fleet
from reliability.history import MICRO
from reliability.records import Fault, FaultLog
from reliability.report import Report, percentile
from reliability.trial import Trial
from reliability.workload import NAMESPACE

RECOVERY_S = 10.0
_REFUSED = re.compile("ha(?:s|ve) another owner now")
"""What the store answers to a commit of somebody who no longer owns the partition; executors and indexers log it."""

SURELY = 3
"""When executors were frozen so often, some batch of theirs must have been refused: else nothing was tried."""

FREEZE_LEASES = (1.5, 4.0)
"""How long a process stands still, in leases: at least, at most."""


@dataclass(frozen=True)
class Orders:
    """How many faults of each kind, and over how long. `restart_s` is the longest that a killed process stays down."""

    kills: int = 0
    freezes: int = 0
    postgres: int = 0
    brokers: int = 0
    terms: int = 0
    seconds: float = 60.0
    restart_s: float = 2.0
    #: Executions that must be accepted per second, on average over everything.
    at_least: float = 0.0

    @property
    def acts(self) -> list[str]:
        """The names of all acts, not yet in an order."""
        names = ("kill", "freeze", "postgres", "broker", "term")
        counts = (self.kills, self.freezes, self.postgres, self.brokers, self.terms)
        return [name for name, count in zip(names, counts, strict=True) for _ in range(count)]


@dataclass
class Gremlin:
    """Carries orders out on a fleet. Every act that has to wait for its own end does so beside the others."""

    fleet: Fleet
    faults: FaultLog
    seed: int
    orders: Orders
    #: Exit codes of processes that were asked to end.
    ends: list[tuple[str, int | None, float]] = field(default_factory=list)
    #: Seconds from the death of Postgres until an execution was accepted and had ended again, and all were ready.
    backs_s: list[float] = field(default_factory=list)
    #: Who had ended in the end though nobody had killed it.
    died: list[str] = field(default_factory=list)
    _beside: set[asyncio.Task[None]] = field(default_factory=set)

    async def play(self) -> None:
        """Do everything that was ordered; return when the last process is back."""
        chance = random.Random(self.seed)
        acts = self.orders.acts
        chance.shuffle(acts)
        gap_s = self.orders.seconds / max(len(acts), 1)
        begun = time.monotonic()
        for number, name in enumerate(acts):
            due = begun + gap_s * (number + chance.random())
            await asyncio.sleep(max(due - time.monotonic(), 0.0))
            await self._act(name, random.Random(chance.random()))
        await asyncio.sleep(max(begun + self.orders.seconds - time.monotonic(), 0.0))
        while self._beside:
            await asyncio.wait(self._beside)

    async def _act(self, name: str, chance: random.Random) -> None:
        acts: dict[str, Callable[[random.Random], Awaitable[None]]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "postgres": self._postgres,
            "broker": self._broker,
            "term": self._term,
        }
        await acts[name](chance)

    async def _victim(self, chance: random.Random) -> str:
        """Return a process that lives, any service as likely as the other; waits while there is none.

        Of a service with several, one that is ready is always left: with nobody to go on there is no recovery to measure.
        """
        while True:
            services = sorted({name.rpartition("-")[0] or name for name in self.fleet.names()})
            chance.shuffle(services)
            for service in services:
                names = [name for name in self.fleet.names(service) if self._is_whole(name)]
                chance.shuffle(names)
                for name in names:
                    if await self._can_be_spared(name, service):
                        return name
            await asyncio.sleep(0.05)

    async def _can_be_spared(self, name: str, service: str) -> bool:
        others = [other for other in self.fleet.names(service) if other != name]
        if not others:
            return True
        for other in others:
            if self._is_whole(other) and await self.fleet.ready(other):
                return True
        return False

    def _is_whole(self, name: str) -> bool:
        """Whether it lives and nothing is being done to it."""
        touched = any(fault.target == name and fault.until == float("inf") for fault in self.faults.faults)
        return self.fleet.alive(name) and not touched

    async def _kill(self, chance: random.Random) -> None:
        name = await self._victim(chance)
        fault = self.faults.begin("kill", name)
        await self.fleet.kill(name)
        self._afterwards(self._start_again(fault, chance.random() * self.orders.restart_s))

    async def _start_again(self, fault: Fault, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self.fleet.start(fault.target)
        self.faults.end(fault)

    async def _freeze(self, chance: random.Random) -> None:
        name = await self._victim(chance)
        fault = self.faults.begin("freeze", name)
        await self.fleet.freeze(name)
        self._afterwards(self._thaw(fault, chance.uniform(*FREEZE_LEASES) * self.fleet.lease_s))

    async def _thaw(self, fault: Fault, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self.fleet.thaw(fault.target)
        self.faults.end(fault)

    async def _term(self, chance: random.Random) -> None:
        """Only of a process that is ready: one that is just starting may end as the kernel has it end."""
        name = await self._victim(chance)
        while not await self.fleet.ready(name):
            await asyncio.sleep(0.05)
            name = await self._victim(chance)
        fault = self.faults.begin("term", name)
        self._afterwards(self._end(fault))

    async def _end(self, fault: Fault) -> None:
        asked = time.monotonic()
        code = await self.fleet.end(fault.target)
        self.ends.append((fault.target, code, time.monotonic() - asked))
        await self._start_again(fault, 0.0)

    async def _postgres(self, chance: random.Random) -> None:
        fault = self.faults.begin("postgres", POSTGRES)
        if chance.random() < 0.25:
            await self.fleet.kill(POSTGRES)
        else:
            await self.fleet.crash_postgres()
        begun = time.monotonic()
        await self._runs_again(begun + 6 * RECOVERY_S)
        await self._all_ready(begun + 6 * RECOVERY_S)
        self.backs_s.append(time.monotonic() - begun)
        self.faults.end(fault)

    async def _all_ready(self, deadline: float) -> None:
        """Return when every process that lives says that it can do its work."""
        for name in self.fleet.names():
            while time.monotonic() < deadline:
                if not self.fleet.alive(name) or await self.fleet.ready(name):
                    break
                await asyncio.sleep(0.05)

    async def _runs_again(self, deadline: float) -> None:
        """Return when an execution is accepted and ends again, asked of any api."""
        chance = random.Random(self.seed)
        timeout = aiohttp.ClientTimeout(total=2.0)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while time.monotonic() < deadline:
                try:
                    url = chance.choice(self.fleet.urls)
                    path = f"{url}/api/v1/main/executions/{NAMESPACE}/quick?wait=true"
                    async with session.post(path) as answer:
                        if answer.ok and (await answer.json())["state"]["current"] == "SUCCESS":
                            return
                except (aiohttp.ClientError, TimeoutError, OSError):
                    pass  # not yet
                await asyncio.sleep(0.05)

    async def _broker(self, chance: random.Random) -> None:
        name = chance.choice(self.fleet.brokers())
        fault = self.faults.begin("broker", name)
        await self.fleet.kill(name)
        self._afterwards(self._start_again(fault, 1.0 + chance.random() * self.orders.restart_s))

    def _afterwards(self, act: Any) -> None:
        task = asyncio.create_task(act)
        self._beside.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._beside.discard(task)
        task.result()


async def run(trial: Trial, orders: Orders, report: Report) -> Report:
    """Play the orders on the fleet of a trial and fill the report in."""
    async with trial:
        gremlin = Gremlin(trial.fleet, trial.faults, trial.seed, orders)
        await gremlin.play()
        gremlin.died = [name for name in trial.fleet.names() if not trial.fleet.alive(name)]
        await trial.calm()
        refused = _refusals(trial.fleet)
    figures = report.figures = trial.figures
    report.violations = [str(violation) for violation in trial.violations]
    for kind in ("kill", "freeze", "postgres", "broker", "term"):
        if count := trial.faults.count(kind):
            figures[f"faults: {kind}"] = count
            figures[f"victims: {kind}"] = _victims(trial.faults, kind)
    _goals(gremlin, trial, report)
    if orders.freezes:
        _zombies(trial, refused, report)
    return report


def _victims(faults: FaultLog, kind: str) -> dict[str, int]:
    """Return how often each service was hit."""
    names = [fault.target for fault in faults.faults if fault.kind == kind]
    return dict(sorted(Counter(name.rpartition("-")[0] or name for name in names).items()))


def _goals(gremlin: Gremlin, trial: Trial, report: Report) -> None:
    goals, orders, figures = report.goals, gremlin.orders, report.figures
    goals["nothing lost"] = figures["lost"] == 0
    goals["nothing doubled"] = figures["doubled"] == 0
    if orders.at_least:
        pace = figures["acknowledged per second"]
        goals[f"≥ {orders.at_least:g} executions accepted per second"] = pace >= orders.at_least
    if orders.kills or orders.freezes:
        limit_s = trial.fleet.lease_s + 5.0
        recovery = figures["recovery p95, s"]
        goals[f"recovery of a lost task p95 ≤ lease + 5 s = {limit_s:g} s"] = recovery is None or recovery <= limit_s
    died = gremlin.died
    goals[f"no process ends that nobody killed{f' (died: {died})' if died else ''}"] = not died
    if orders.postgres:
        figures["back after Postgres died, s (median, worst)"] = [
            round(percentile(gremlin.backs_s, 50) or 0, 2),
            round(max(gremlin.backs_s), 2),
        ]
        goals[f"all back after each death of Postgres ≤ {RECOVERY_S:g} s"] = max(gremlin.backs_s) <= RECOVERY_S
    if orders.terms:
        figures["exit codes of graceful stops"] = sorted({code for _, code, _ in gremlin.ends}, key=str)
        figures["longest graceful stop, s"] = max(seconds for _, _, seconds in gremlin.ends)
        goals["every graceful stop ends with exit code 0"] = all(code == 0 for _, code, _ in gremlin.ends)
    if orders.acts and set(orders.acts) == {"term"}:
        failed = sum(stored.state == "FAILED" for stored in trial.history.tables.executions.values())
        figures["executions that failed"] = failed
        goals["no task is failed by a stop"] = failed == 0


def _refusals(fleet: Fleet) -> int:
    """Return how many batches of those who had been replaced were refused, as their logs tell. The fleet must be there."""
    logs = [fleet.log(name) for name in [*fleet.names("executor"), *fleet.names("indexer")]]
    return sum(len(_REFUSED.findall(log.read_text(errors="replace"))) for log in logs)


def _zombies(trial: Trial, refused: int, report: Report) -> None:
    """Count what frozen processes still did when they woke; each of it must have come to nothing.

    A task that wrote its end into the ledger after its attempt had been given up was run by a zombie, whose result was then
    handed in. What an executor or indexer still wanted to write was `refused`.
    """
    given_up = {
        (stored.id, event["id"], event["attempt"]): event["at"] * MICRO
        for stored in trial.history.tables.executions.values()
        for event in stored.events
        if event["type"] == "task_run.resubmitted"
    }
    late = 0
    for run in trial.history.runs:
        at = given_up.get((run.execution_id, run.task_run_id, run.attempt))
        late += at is not None and run.ended is not None and run.ended > at
    report.figures["zombies' results that came after their attempt was given up"] = late
    report.figures["zombies' batches that were refused"] = refused
    believed = [violation for violation in trial.violations if violation.invariant in ("I2", "I3")]
    report.goals["every write of a zombie was refused"] = not believed
    replaced = [
        fault for fault in trial.faults.faults if fault.kind == "freeze" and fault.target.startswith("executor-")
    ]
    if len(replaced) >= SURELY:
        report.goals["a batch of a zombie was there to be refused"] = refused > 0
