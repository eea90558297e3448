"""amnesia: Kafka loses everything it ever stored, under load (R7). Postgres is the truth, so nothing may be lost by it.

All brokers are killed, their folders deleted, and started again under the same addresses: an empty cluster with another id.
What was under way in that moment (accepted, sent, waiting for a task's result) must go on by itself within a minute, and
what is started during and after the loss must too.

The order of commands for one execution is not kept across a loss: one that was on its way is sent again, after later ones
that found the new log. Such cases are counted and shown, they break no promise here.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from reliability import history
from reliability.fleet import Services
from reliability.records import Fault
from reliability.report import Report
from reliability.trial import Trial

GOES_ON_S = 60.0
"""Within this long everything that was under way has gone on."""

DOWN_S = 2.0
"""How long there is no broker at all."""

UNDER_WAY = "SELECT id, seq FROM execution WHERE ended IS NULL"
STUCK = "SELECT e.id FROM execution e JOIN unnest($1::text[], $2::bigint[]) AS was(id, seq) USING (id) WHERE e.ended IS NULL AND e.seq <= was.seq"
WAITING = "SELECT count(*) FROM ingress WHERE at <= $1"


@dataclass
class Outcome:
    """One loss: what was under way, and seconds until all of it had gone on; None when it did not in time."""

    under_way: int
    waiting: int
    went_on_s: float | None
    ready_s: float | None
    left: list[str]


async def run(trial: Trial, losses: int, seconds: float, report: Report) -> Report:
    """Wipe all brokers so many times, `seconds` apart, and fill the report in."""
    fleet = trial.fleet
    assert isinstance(fleet, Services), "only a cluster has brokers"
    outcomes = []
    async with trial:
        for _ in range(losses):
            await asyncio.sleep(seconds)
            outcomes.append(await _lose(trial, fleet))
        await asyncio.sleep(seconds)
        died = [name for name in fleet.names() if not fleet.alive(name)]
        await trial.calm()
    report.figures = trial.figures
    reordered = [violation for violation in trial.violations if violation.invariant == "I10"]
    report.violations = [str(violation) for violation in trial.violations if violation not in reordered]
    report.figures["executions whose commands changed places"] = len(reordered)
    for number, outcome in enumerate(outcomes, 1):
        report.figures[f"loss {number}"] = (
            f"{outcome.under_way} executions under way, {outcome.waiting} commands not applied; "
            f"all went on after {_seconds(outcome.went_on_s)}, all ready after {_seconds(outcome.ready_s)}"
        )
        report.violations += [f"I1 {id_}: it did not go on after Kafka was wiped" for id_ in outcome.left]
    report.goals["nothing lost"] = report.figures["lost"] == 0
    report.goals["nothing doubled"] = report.figures["doubled"] == 0
    report.goals[f"no process needs a restart{f' (died: {died})' if died else ''}"] = not died
    report.goals[f"all unfinished work goes on within {GOES_ON_S:g} s"] = all(
        outcome.went_on_s is not None for outcome in outcomes
    )
    return report


async def _lose(trial: Trial, fleet: Services) -> Outcome:
    faults = [trial.faults.begin("broker", name) for name in fleet.brokers()]
    await asyncio.gather(*(broker.kill() for broker in fleet.cluster.kafka.brokers))
    await fleet.cluster.kafka.wipe()
    await asyncio.sleep(DOWN_S)
    rows = await asyncio.to_thread(history.fetch, fleet.dsn, UNDER_WAY)
    before = {str(id_): int(seq) for id_, seq in rows}
    lost_at = time.time()
    (waiting,) = (await asyncio.to_thread(history.fetch, fleet.dsn, WAITING, _micro(lost_at)))[0]
    await fleet.cluster.kafka.start()
    begun = time.monotonic()
    ready = asyncio.create_task(_ready(fleet, begun))
    left, went_on_s = list(before), None
    while time.monotonic() - begun < GOES_ON_S and went_on_s is None:
        await asyncio.sleep(0.3)
        left = await _stuck(fleet.dsn, before, lost_at)
        if not left:
            went_on_s = time.monotonic() - begun
    outcome = Outcome(len(before), waiting, went_on_s, await ready, left)
    _end(trial, faults)
    return outcome


async def _stuck(dsn: str, before: dict[str, int], lost_at: float) -> list[str]:
    """Return what has not moved: executions without a new event, and commands of before that are not applied."""
    rows = await asyncio.to_thread(history.fetch, dsn, STUCK, list(before), list(before.values()))
    (waiting,) = (await asyncio.to_thread(history.fetch, dsn, WAITING, _micro(lost_at)))[0]
    return [str(row[0]) for row in rows] + ([f"{waiting} commands"] if waiting else [])


async def _ready(fleet: Services, begun: float) -> float | None:
    while time.monotonic() - begun < GOES_ON_S:
        if all([await fleet.ready(name) for name in fleet.names()]):
            return time.monotonic() - begun
        await asyncio.sleep(0.2)
    return None


def _end(trial: Trial, faults: list[Fault]) -> None:
    for fault in faults:
        trial.faults.end(fault)


def _micro(seconds: float) -> int:
    return int(seconds * 1_000_000)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"
