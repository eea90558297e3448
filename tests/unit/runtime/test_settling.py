"""Waiting for the last lines of an execution that has just ended."""

from __future__ import annotations

import asyncio
from typing import Any

import worlds
from worlds import execution, line

from levada.bus.memory import MemoryBus
from levada.bus.port import LOGS, partition_of
from levada.model.states import State
from levada.runtime.settling import PATIENCE_S, Settling
from levada.runtime.sinks import BusSink
from levada.store import memory


class Clock(worlds.MovableClock):
    """Sleeping takes no time, but is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.slept = 0.0

    def monotonic(self) -> float:
        return self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds
        await asyncio.sleep(0)


def room() -> tuple[Clock, memory.Tables, MemoryBus, Settling]:
    clock, tables = Clock(), memory.Tables()
    bus = MemoryBus(partitions=4, monotonic=clock.monotonic, sleep=clock.sleep)
    return clock, tables, bus, Settling(bus, memory.MemoryIndexStore(tables), clock)


def ended(clock: Clock, ago_s: float, **fields: Any) -> Any:
    return execution("e", at=clock.now_us() - int(ago_s * 1_000_000), state=State.SUCCESS, **fields)


async def test_lines_on_the_bus_are_waited_for() -> None:
    clock, tables, bus, settling = room()
    await BusSink(bus).write_logs([line("e", "last", at=1)])
    waiting = asyncio.create_task(settling.ended(ended(clock, 1)))
    await asyncio.sleep(0)
    assert not waiting.done()
    await memory.MemoryMembers(tables, now_us=clock.now_us).make(LOGS, 4)
    tables.owners_of(LOGS)[partition_of("e", 4)].done_off = 1
    assert await waiting is True
    assert clock.slept < PATIENCE_S


async def test_the_wait_has_an_end() -> None:
    clock, _, bus, settling = room()
    await BusSink(bus).write_logs([line("e", "last", at=1)])
    assert await settling.ended(ended(clock, 1)) is False
    assert PATIENCE_S <= clock.slept < PATIENCE_S + 0.2


async def test_nobody_waits_for_what_runs_or_ended_long_ago_or_is_through() -> None:
    clock, _, bus, settling = room()
    await BusSink(bus).write_logs([line("e", "last", at=1)])
    assert await settling.ended(execution("e", at=clock.now_us()))
    assert await settling.ended(ended(clock, 10))
    assert await settling.written(next(id for id in "abcdefgh" if partition_of(id, 4) != partition_of("e", 4)))
    assert clock.slept == 0
