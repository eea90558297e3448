"""Commands that are accepted in the store and delivered by the bus, while the bus comes and goes."""

import asyncio
from collections.abc import Sequence

import pytest

from levada.bus.memory import MemoryBus
from levada.bus.port import COMMANDS, Outgoing, Record
from levada.model.commands import KillExecution
from levada.model.errors import Transient
from levada.runtime import accepting
from levada.runtime.accepting import AcceptedCommands
from levada.runtime.clock import SystemClock
from levada.store.memory import MemoryIngress, Tables
from levada.store.port import Accepted

PARTITIONS = 4


class MoodyBus(MemoryBus):
    """Refuses while `away`."""

    away = False

    async def append(self, records: Sequence[Outgoing]) -> None:
        if self.away:
            raise Transient("the bus is away")
        await super().append(records)


class World:
    def __init__(self) -> None:
        clock = SystemClock()
        self.ingress = MemoryIngress(Tables())
        self.bus = MoodyBus(partitions=PARTITIONS, monotonic=clock.monotonic, sleep=clock.sleep)
        self.commands = AcceptedCommands(self.ingress, self.bus, clock)

    async def on_bus(self) -> list[Record]:
        return await self.bus.poll(
            COMMANDS, dict.fromkeys(range(PARTITIONS), 0), max_records=9999, max_bytes=1 << 30, timeout_s=0.05
        )

    async def waiting(self) -> list[Accepted]:
        return await self.ingress.waiting(range(PARTITIONS), 1 << 62, 9999)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "RETRY_S", 0.01)


async def test_a_command_is_in_the_table_and_then_on_the_bus_under_one_id() -> None:
    w = World()
    await w.commands.send([KillExecution(execution_id="a"), KillExecution(execution_id="b")])
    assert sorted(row.key for row in await w.waiting()) == ["a", "b"]
    records = await w.on_bus()
    assert sorted((record.id, record.key, record.partition) for record in records) == sorted(
        (row.id, row.key, row.partition) for row in await w.waiting()
    )


async def test_a_bus_that_is_away_keeps_nobody_waiting_and_gets_everything_later_in_order() -> None:
    w = World()
    w.bus.away = True
    async with asyncio.timeout(1):
        for by in "12345":
            await w.commands.send([KillExecution(execution_id="a", by=by)])
    assert await w.on_bus() == []
    w.bus.away = False
    await asyncio.sleep(0.1)
    assert [record.id for record in await w.on_bus()] == [row.id for row in await w.waiting()]
    assert len(await w.on_bus()) == 5


async def test_what_does_not_fit_into_memory_stays_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "RELAY_MAX", 3)
    w = World()
    w.bus.away = True
    for _ in range(5):
        await w.commands.send([KillExecution(execution_id="a")])
    w.bus.away = False
    await asyncio.sleep(0.1)
    assert (len(await w.waiting()), w.commands.left_behind) == (5, 2)
    assert len(await w.on_bus()) == 3


async def test_callers_hear_when_the_table_refuses_and_nothing_is_sent() -> None:
    w = World()

    async def accept(_: Sequence[Accepted]) -> None:
        raise Transient("the database is away")

    w.ingress.accept = accept  # type: ignore[method-assign]
    with pytest.raises(Transient):
        await w.commands.send([KillExecution(execution_id="a")])
    assert await w.on_bus() == []


async def test_concurrent_callers_share_statements() -> None:
    w = World()
    calls = 0
    real = w.ingress.accept

    async def accept(rows: Sequence[Accepted]) -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        await real(rows)

    w.ingress.accept = accept  # type: ignore[method-assign]
    await asyncio.gather(*(w.commands.send([KillExecution(execution_id=str(n))]) for n in range(200)))
    assert len(await w.waiting()) == 200
    assert calls <= 3


async def test_after_close_nothing_is_accepted() -> None:
    w = World()
    await w.commands.close()
    with pytest.raises(Transient):
        await w.commands.send([KillExecution(execution_id="a")])
