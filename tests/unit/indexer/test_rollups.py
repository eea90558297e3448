"""When executions are counted anew."""

from __future__ import annotations

import asyncio

import worlds
from worlds import created, execution

from levada.model.errors import Transient
from levada.model.states import State
from levada.runtime.clock import SystemClock
from levada.runtime.hub import Hub
from levada.store import memory
from levada.store.records import MINUTE_US, CountFilter
from levada_indexer.rollups import LONGEST_PAUSE_S, Rollups

AT = SystemClock().now_us() // MINUTE_US * MINUTE_US


async def put(tables: memory.Tables, *ids: str) -> None:
    owner = await worlds.Owner(memory.MemoryExecutionStore(tables, now_us=SystemClock().now_us)).own(0)
    await owner.commit(*(created(execution(id, at=AT, state=State.SUCCESS)) for id in ids))


async def counted(tables: memory.Tables) -> int:
    found = await memory.MemoryExecutionCounts(tables).counts("main", CountFilter(), [AT, AT + MINUTE_US])
    return sum(count.n for count in found)


async def until_counted(tables: memory.Tables, wanted: int) -> None:
    async with asyncio.timeout(5):
        while await counted(tables) < wanted:  # noqa: ASYNC110  (counting announces nothing)
            await asyncio.sleep(0.005)


async def test_what_the_hub_announces_is_counted() -> None:
    tables, hub, stop = memory.Tables(), Hub(), asyncio.Event()
    await put(tables, "before")
    rollups = Rollups(memory.MemoryExecutionCounts(tables), SystemClock(), hub, interval_s=0.01)
    running = asyncio.create_task(rollups.run(stop))
    await until_counted(tables, 1)
    await put(tables, "now")
    hub.announce("now", State.SUCCESS, terminal=True)
    await until_counted(tables, 2)
    await put(tables, "last")
    hub.announce("last", State.SUCCESS, terminal=True)
    await asyncio.sleep(0)
    stop.set()
    await running
    await memory.MemoryExecutionCounts(tables).recompute(10)
    assert await counted(tables) == 3


async def test_what_could_not_be_marked_is_marked_later() -> None:
    tables = memory.Tables()
    await put(tables, "a")

    class Away(memory.MemoryExecutionCounts):
        away = True

        async def mark(self, execution_ids: object) -> None:
            if self.away:
                raise Transient("away")
            await super().mark(execution_ids)  # type: ignore[arg-type]

    counts = Away(tables)
    rollups = Rollups(counts, SystemClock(), None)
    rollups._changed.add("a")
    try:
        await rollups.round()
    except Transient:
        counts.away = False
    assert await rollups.round() == 1
    assert await counted(tables) == 1


def test_counting_takes_a_small_part_of_the_time() -> None:
    rollups = Rollups(memory.MemoryExecutionCounts(memory.Tables()), SystemClock(), None, interval_s=5.0)
    assert rollups.pause_s(0.01) == 5.0
    assert rollups.pause_s(1.0) == 20.0
    assert rollups.pause_s(100.0) == LONGEST_PAUSE_S
