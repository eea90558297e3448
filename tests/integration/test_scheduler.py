"""Schedulers over a real Postgres: many at once, killed at random, and everybody on the same second."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC
from typing import Any

import pytest

from levada import plugins
from levada.database import Database
from levada.flowfile import FlowCache
from levada.model.commands import Command
from levada.runtime.clock import SystemClock
from levada.runtime.config import Config
from levada.runtime.starting import Starter, environment_of
from levada.store import postgres as pg
from levada.store.port import FlowRow
from levada_scheduler.declaring import Declarer
from levada_scheduler.planning import Planner
from levada_scheduler.scheduler import Scheduler
from levada_scheduler.sharing import Sharing

PERIOD_S = 2
TRIGGER = "  - {{id: t{n}, type: core.trigger.Schedule, cron: '*/{period} * * * * *', withSeconds: true, allowConcurrent: true}}"


class Bus:
    """What was sent, by execution; fails now and then."""

    def __init__(self, seed: int) -> None:
        self.sent: Counter[str] = Counter()
        self._chance = random.Random(seed)

    async def send(self, batch: Sequence[Command]) -> None:
        await asyncio.sleep(self._chance.random() * 0.02)
        self.sent.update(each.execution_id for each in batch)


class Cluster:
    """Schedulers of one installation, in this process but each with connections of its own."""

    def __init__(self, dsn: str, bus: Bus) -> None:
        self.dsn, self.bus, self.clock = dsn, bus, SystemClock()

    @contextlib.asynccontextmanager
    async def scheduler(self, name: str) -> AsyncIterator[asyncio.Task[None]]:
        """Run one; leaving kills it in the middle of whatever it does."""
        database = await Database.open(self.dsn, size=4)
        kv, store = pg.PostgresKvStore(database), pg.PostgresTriggerStore(database)
        starter = Starter(self.clock, environment_of(Config(), {}), {}, kv)
        sharing = Sharing(pg.PostgresMembers(database), name, self.clock, 1.0, {})
        scheduler = Scheduler(
            store=store,
            planner=Planner(starter, UTC),
            declarer=Declarer(store, FlowCache(pg.PostgresFlowStore(database), plugins.discover()), self.clock),
            send=self.bus.send,
            clock=self.clock,
            share=sharing.place,
        )
        never = asyncio.Event()

        async def both() -> None:
            await asyncio.gather(sharing.run(never), scheduler.run(never))

        task = asyncio.create_task(both())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await database.close()


async def save(database: Database, flows: int, triggers: int) -> None:
    store = pg.PostgresFlowStore(database)
    for number in range(flows):
        listed = "\n".join(TRIGGER.format(n=n, period=PERIOD_S) for n in range(triggers))
        source = f"id: f{number}\nnamespace: company.team\ntasks: [{{id: t, type: core.log.Log, message: hi}}]\ntriggers:\n{listed}\n"
        await store.save(FlowRow(namespace="company.team", id=f"f{number}", revision=0, source=source, updated=0))


async def fired(database: Database) -> dict[str, list[tuple[int, int, str]]]:
    """Return (slot, at, execution id) of everything that was fired, by schedule and in order."""
    found: dict[str, list[tuple[int, int, str]]] = {}
    for uid, slot, at, id in await database.fetch(
        "SELECT uid, slot, at, execution_id FROM trigger_fire ORDER BY uid, slot"
    ):
        found.setdefault(uid, []).append((slot, at, id))
    return found


async def until(database: Database, question: str) -> None:
    while not await database.fetchval(question):  # noqa: ASYNC110  (nobody here could set an event)
        await asyncio.sleep(0.2)


def p99(values: list[int]) -> int:
    return sorted(values)[int(len(values) * 0.99)]


@pytest.fixture
async def connected(database: str) -> AsyncIterator[Database]:
    made = await Database.open(database, size=4)
    yield made
    await made.close()


async def test_three_schedulers_killed_at_random_miss_nothing_and_double_nothing(
    database: str, connected: Database
) -> None:
    await save(connected, 10, 20)
    chance, bus = random.Random(4), Bus(4)
    cluster = Cluster(database, bus)
    loop = asyncio.get_running_loop()
    end = loop.time() + 12

    async def seat(name: str) -> None:
        life = 0
        while loop.time() < end:
            life += 1
            async with cluster.scheduler(f"{name}{life}") as task:
                await asyncio.wait([task], timeout=chance.uniform(0.3, 2.5))

    await asyncio.gather(*(seat(name) for name in "abc"))
    async with cluster.scheduler("last"):
        await until(connected, "SELECT count(*) = 0 FROM trigger_fire WHERE NOT sent")
    found = await fired(connected)
    assert len(found) == 200
    for slots in found.values():
        dates = [slot for slot, _, _ in slots]
        assert dates == list(range(dates[0], dates[-1] + 1, PERIOD_S * 1_000_000))
        assert len(dates) >= 5
    ids = [id for slots in found.values() for _, _, id in slots]
    assert len(ids) == len(set(ids))
    assert set(bus.sent) == set(ids)
    assert p99([at - slot for slots in found.values() for slot, at, _ in slots]) < 2_000_000


async def test_a_thousand_schedules_on_one_second_are_fired_within_two(database: str, connected: Database) -> None:
    await save(connected, 100, 10)
    bus = Bus(1)
    async with cluster_of(Cluster(database, bus), 2):
        async with asyncio.timeout(60):
            await until(connected, "SELECT count(*) >= 4000 FROM trigger_fire WHERE sent")
    found = await fired(connected)
    lateness = [at - slot for slots in found.values() for slot, at, _ in slots[1:]]
    assert len(found) == 1000
    assert p99(lateness) < 2_000_000
    assert all(count == 1 for count in bus.sent.values())


@contextlib.asynccontextmanager
async def cluster_of(cluster: Cluster, count: int) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        tasks: list[Any] = [await stack.enter_async_context(cluster.scheduler(f"s{n}")) for n in range(count)]
        yield
        for task in tasks:
            if task.done():
                task.result()
