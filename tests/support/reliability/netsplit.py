"""netsplit: lines between services are cut under load, one case after the other, and healed without anybody's help (R5).

A case says whose lines, to what, and how they are spoilt. Cut lines are silent: nobody gets an error, everybody has to find
out. The worst of it is not the line that is dead but the one that loses only the answers: what was asked has been done, and
whoever asked does not know. Nothing may be lost or doubled by that, and nobody may need a restart afterwards.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from netfaults import Proxy

from reliability.report import Report
from reliability.trial import Trial
from reliability.wires import API, KAFKA, POSTGRES, Wired

READY_S = 30.0
"""After this long on a whole line everybody must be ready again."""

SETTLE_S = 3.0
"""Between two cases, so that each finds a cluster at work."""


def silent(line: Proxy) -> None:
    line.drop()


def deaf(line: Proxy) -> None:
    """Requests arrive, answers do not."""
    line.drop(up=False)


def mute(line: Proxy) -> None:
    """Requests do not arrive, answers to earlier ones do."""
    line.drop(down=False)


def forgotten(line: Proxy) -> None:
    line.half_open()


@dataclass(frozen=True)
class Case:
    """`one_of` each service is hit, or `all_of` it; no `to` means every line. `broker` is isolated from the others and,
    with `clients`, from everybody; the services' lines are whole then."""

    name: str
    spoil: Callable[[Proxy], None]
    one_of: tuple[str, ...] = ()
    all_of: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    broker: str = ""
    clients: bool = True


SERVERS = ("executor", "api", "scheduler", "webhook", "indexer")

CASES = (
    Case("an executor loses everything", silent, one_of=("executor",)),
    Case("an api does not hear Postgres's answers", deaf, one_of=("api",), to=(POSTGRES,)),
    Case("a worker loses all gateways", silent, one_of=("worker",), to=(API,)),
    Case("Postgres has forgotten all connections", forgotten, all_of=SERVERS, to=(POSTGRES,)),
    Case("a worker does not hear the gateways' answers", deaf, one_of=("worker",), to=(API,)),
    Case("scheduler, webhook and indexer are cut off", silent, one_of=("scheduler",), all_of=("webhook", "indexer")),
)

KAFKA_CASES = (
    Case("nobody hears Kafka's answers", deaf, all_of=SERVERS, to=(KAFKA,)),
    Case("an executor and an api do not reach Kafka", mute, one_of=("executor", "api"), to=(KAFKA,)),
)

BROKER_CASES = (
    Case("a broker of three is cut off from everybody", silent, broker="broker-1"),
    Case(
        "a broker of three is cut off from the others, not from its clients", silent, broker="broker-2", clients=False
    ),
)
"""They need brokers that are hosts of their own (wires.broker_hosts)."""


@dataclass
class Outcome:
    """What became of one case. Seconds until all victims were ready again; None when they were not in time."""

    case: str
    victims: list[str]
    accepted_per_s: float
    ready_s: float | None
    died: list[str] = field(default_factory=list)


def cases(kafka: bool, count: int | None = None) -> tuple[Case, ...]:
    """Return all cases for this bus, or so many; those of the bus itself are never left out."""
    own = KAFKA_CASES if kafka else ()
    return (*CASES, *own) if count is None else (*CASES[: max(count - len(own), 0)], *own)[:count]


async def run(trial: Trial, chosen: Sequence[Case], seconds: float, report: Report) -> Report:
    """Play the cases on a wired fleet, each for so long, and fill the report in."""
    fleet, chance = trial.fleet, random.Random(trial.seed)
    assert isinstance(fleet, Wired), "lines can only be spoilt where there are proxies"
    outcomes = []
    async with trial:
        await asyncio.sleep(SETTLE_S)
        for case in chosen:
            outcomes.append(await _play(trial, fleet, case, seconds, chance))
            await asyncio.sleep(SETTLE_S)
        await trial.calm()
    report.figures = trial.figures
    report.violations = [str(violation) for violation in trial.violations]
    for outcome in outcomes:
        ready = "never" if outcome.ready_s is None else f"{outcome.ready_s:.1f} s"
        report.figures[outcome.case] = (
            f"{', '.join(outcome.victims)}: {outcome.accepted_per_s:.1f} accepted/s, ready after {ready}"
        )
    died = [name for outcome in outcomes for name in outcome.died]
    report.goals["nothing lost"] = report.figures["lost"] == 0
    report.goals["nothing doubled"] = report.figures["doubled"] == 0
    report.goals[f"no process needs a restart{f' (died: {died})' if died else ''}"] = not died
    report.goals[f"all are ready {READY_S:g} s after the line is whole"] = all(
        outcome.ready_s is not None for outcome in outcomes
    )
    return report


async def _play(trial: Trial, fleet: Wired, case: Case, seconds: float, chance: random.Random) -> Outcome:
    victims = [chance.choice(fleet.names(service)) for service in case.one_of]
    victims += [name for service in case.all_of for name in fleet.names(service)]
    faults = [trial.faults.begin("network", name) for name in [*victims, case.broker] if name]
    lines = [line for name in victims for line in fleet.lines(name, *case.to)]
    before, begun = len(trial.load.started), time.monotonic()
    for line in lines:
        case.spoil(line)
    if case.broker:
        fleet.isolate(case.broker, clients=case.clients)
    await asyncio.sleep(seconds)
    accepted = (len(trial.load.started) - before) / (time.monotonic() - begun)
    for line in lines:
        line.heal()
    if fleet.network is not None:
        fleet.network.heal()
    ready_s = await _ready(fleet, victims or fleet.names())
    for fault in faults:
        trial.faults.end(fault)
    died = [name for name in fleet.names() if not fleet.alive(name)]
    for name in died:
        await fleet.start(name)
    return Outcome(case.name, victims or [case.broker], accepted, ready_s, died)


async def _ready(fleet: Wired, victims: Sequence[str]) -> float | None:
    """Return after how many seconds all victims said that they can do their work."""
    begun = time.monotonic()
    while time.monotonic() - begun < READY_S:
        if all([await fleet.ready(name) for name in victims]):
            return time.monotonic() - begun
        await asyncio.sleep(0.1)
    return None
