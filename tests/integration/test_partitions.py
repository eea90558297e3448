"""Tables by time get a partition per day in time, and lose it when it is old and nobody needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from worlds import Owner, World, changed, created, execution, line, postgres_world

from levada.bus.port import COMMANDS, Outgoing, partition_of
from levada.model.errors import Transient
from levada.model.states import State
from levada.store.port import LogFilter
from levada.store.postgres import Partitions
from levada.store.postgres.partitions import DAY_US, DAYS_AHEAD, TABLES, name_of

KEEP = {"execution_event": 2.0, "log": 2.0, "metric": None, "bus_log": 1.0, "out_log": 1.0}


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    made = await postgres_world(database, doorbell=False)
    yield made
    await made.close()


@pytest.fixture
def partitions(world: World) -> Partitions:
    assert world.database is not None
    return Partitions(world.database, now_us=world.clock.now_us)


def today(world: World) -> int:
    return world.clock.now_us() // DAY_US


def test_a_partition_is_named_by_its_day() -> None:
    assert name_of("log", 0) == "log_1970_01_01"
    assert name_of("bus_log", 20_000) == "bus_log_2024_10_04"


async def test_days_are_made_ahead_and_only_once(world: World, partitions: Partitions) -> None:
    made = await partitions.make()
    assert len(made) == len(TABLES) * (DAYS_AHEAD + 1)
    assert name_of("log", today(world)) in made
    assert await partitions.make() == []
    world.clock.pass_s(86_400)
    assert len(await partitions.make()) == len(TABLES)


async def test_two_processes_make_them_together(world: World, partitions: Partitions) -> None:
    other = await world.neighbour()
    await asyncio.gather(partitions.make(), Partitions(other.database, now_us=world.clock.now_us).make())
    assert await partitions.make() == []


async def test_rows_of_a_day_without_partition_move_into_it(world: World, partitions: Partitions) -> None:
    now = world.clock.now_us()
    await world.logs.write([line("e1", "early", at=now), line("e1", "far", at=now + 40 * DAY_US)])
    await partitions.make()
    assert world.database is not None
    moved = await world.database.fetchval(f"SELECT count(*) FROM {name_of('log', today(world))}")
    stray = await world.database.fetchval("SELECT count(*) FROM log_default")
    assert (moved, stray) == (1, 1)
    assert await world.logs.count("main", LogFilter(execution_id="e1")) == 2


async def test_old_days_are_dropped_and_kept_ones_stay(world: World, partitions: Partitions) -> None:
    await partitions.make()
    await world.logs.write([line("e1", "old", at=world.clock.now_us())])
    old = today(world)
    world.clock.pass_s(3 * 86_400)
    await partitions.make()
    dropped = await partitions.drop(KEEP)
    assert name_of("log", old) in dropped
    assert name_of("log", old + 1) not in dropped
    assert not any(name.startswith("metric") for name in dropped)
    assert await world.logs.count("main", LogFilter()) == 0


async def test_commands_that_nobody_applied_outlive_their_retention(world: World, partitions: Partitions) -> None:
    await partitions.make()
    old = name_of("bus_log", today(world))
    await world.bus.append([Outgoing(COMMANDS, "a", b"x")])
    world.clock.pass_s(5 * 86_400)
    assert old not in await partitions.drop(KEEP)
    part = partition_of("a", world.bus.partitions)
    owner = await Owner(world.executions).own()
    await owner.commit(positions={part: 1})
    assert old in await partitions.drop(KEEP)


async def test_the_history_of_what_still_runs_outlives_its_retention(world: World, partitions: Partitions) -> None:
    await partitions.make()
    old = name_of("execution_event", today(world))
    owner = await Owner(world.executions).own()
    made = execution("e1", at=world.clock.now_us())
    await owner.commit(created(made))
    world.clock.pass_s(5 * 86_400)
    assert old not in await partitions.drop(KEEP)
    await owner.commit(changed(made, state=State.SUCCESS))
    assert old in await partitions.drop(KEEP)


async def test_a_table_that_is_in_use_is_left_for_later(world: World, partitions: Partitions) -> None:
    await partitions.make()
    old = name_of("log", today(world))
    world.clock.pass_s(5 * 86_400)
    assert world.database is not None
    connection = await world.database.connect()
    await connection.execute(f"BEGIN; LOCK TABLE {old} IN ACCESS SHARE MODE")
    with pytest.raises(Transient):
        await partitions.drop({"log": 1.0})
    await connection.execute("ROLLBACK")
    await connection.close()
    assert old in await partitions.drop({"log": 1.0})
