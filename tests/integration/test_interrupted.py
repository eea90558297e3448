"""Where a process may be interrupted between Postgres and us, and what is true afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from worlds import PARTITIONS, MovableClock, Owner, World, changed, created, execution, postgres_world, submitted

from levada.bus.port import COMMANDS, Outgoing
from levada.bus.postgres import PostgresBus
from levada.database import Database
from levada.jobs.postgres import PostgresJobs
from levada.model import commands
from levada.model.commands import TaskFinished, WorkerLost
from levada.model.errors import Transient
from levada.model.jobs import Held
from levada.model.states import State
from levada.runtime.commands import BusCommands
from levada.store.port import Fenced, SlotChange
from levada.store.postgres import PostgresExecutionStore


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    made = await postgres_world(database, doorbell=False)
    yield made
    await made.close()


def failing(at: str) -> Callable[[str], None]:
    """A failpoint that loses the answer there, the first time."""
    armed = [at]

    def failpoint(name: str) -> None:
        if name in armed:
            armed.remove(name)
            raise Transient(f"lost at {name}")

    return failpoint


def store(world: World, failpoint: Callable[[str], None]) -> PostgresExecutionStore:
    assert world.database is not None
    return PostgresExecutionStore(world.database, now_us=world.clock.now_us, failpoint=failpoint)


async def test_a_commit_whose_answer_was_lost_is_seen_by_reading_the_position(world: World) -> None:
    owner = await Owner(store(world, failing("store.after_commit"))).own()
    with pytest.raises(Transient):
        await owner.commit(created(execution("e1")), positions={0: 42})
    assert await world.executions.done_off(0) == 42
    assert "e1" in await world.executions.load(["e1"])


@pytest.mark.parametrize("at", ["store.before_commit", "store.in_commit"])
async def test_a_commit_that_failed_before_its_end_left_nothing(world: World, at: str) -> None:
    owner = await Owner(store(world, failing(at))).own()
    slot = SlotChange(kind="claim", flow_key="f", execution_id="e1", at=1, limit=1)
    with pytest.raises(Transient):
        await owner.commit(created(execution("e1")), positions={0: 42}, slots=[slot])
    assert await world.executions.done_off(0) == 0
    assert await world.executions.load(["e1"]) == {}
    assert await world.executions.slots(["f"]) == {"f": 0}
    assert await owner.commit(created(execution("e1")), positions={0: 42}, slots=[slot]) == []


async def test_a_zombie_inside_its_transaction_makes_the_successor_wait_and_see_its_work(world: World) -> None:
    assert world.database is not None
    await Owner(world.executions).own(0)
    connection = await world.database.connect()
    await connection.execute("BEGIN")
    await connection.execute("UPDATE bus_owner SET done_off = 7 WHERE topic = 'commands' AND part = 0")
    taking_over = asyncio.create_task(world.executions.own([0], "two"))
    await asyncio.sleep(0.2)
    assert not taking_over.done()
    await connection.execute("COMMIT")
    await connection.close()
    assert (await taking_over)[0].done_off == 7


async def test_a_commit_that_waits_behind_a_takeover_is_fenced(world: World) -> None:
    assert world.database is not None
    owner = await Owner(world.executions).own(0)
    connection = await world.database.connect()
    await connection.execute("BEGIN")
    await connection.execute("UPDATE bus_owner SET epoch = epoch + 1 WHERE topic = 'commands' AND part = 0")
    committing = asyncio.create_task(owner.commit(created(execution("e1"))))
    await asyncio.sleep(0.2)
    assert not committing.done()
    await connection.execute("COMMIT")
    await connection.close()
    with pytest.raises(Fenced):
        await committing
    assert await world.executions.load(["e1"]) == {}


async def test_an_append_whose_answer_was_lost_is_found_by_the_reader_all_the_same(world: World) -> None:
    assert world.database is not None
    bus = PostgresBus(
        world.database, now_us=world.clock.now_us, partitions=PARTITIONS, failpoint=failing("bus.after_append")
    )
    with pytest.raises(Transient):
        await bus.append([Outgoing(COMMANDS, "a", b"1")])
    await bus.append([Outgoing(COMMANDS, "a", b"2")])
    positions = dict.fromkeys(range(PARTITIONS), 0)
    found = await bus.poll(COMMANDS, positions, max_records=10, max_bytes=1 << 20, timeout_s=1)
    assert [record.body for record in found] == [b"1", b"2"]
    await bus.close()


async def test_one_callers_impossible_record_does_not_fail_the_others(world: World) -> None:
    outcomes = await asyncio.gather(
        world.bus.append([Outgoing(COMMANDS, "a", b"1")]),
        world.bus.append([Outgoing(COMMANDS, "nul \x00", b"2")]),
        world.bus.append([Outgoing(COMMANDS, "c", b"3")]),
        return_exceptions=True,
    )
    assert [outcome is None for outcome in outcomes] == [True, False, True]
    assert sum((await world.bus.ends(COMMANDS)).values()) == 2


@pytest.mark.parametrize("at", ["jobs.claimed", "jobs.announced"])
async def test_a_claim_that_was_interrupted_is_given_up_by_its_lease(world: World, at: str) -> None:
    owner = await Owner(world.executions).own()
    made = execution("e1")
    await owner.commit(created(made))
    await owner.commit(submitted(made, "a"))
    jobs = jobs_of(world, world.clock, world.database, failing(at))
    with pytest.raises(Transient):
        await jobs.claim("w", ["default"], 1, timeout_s=0)
    assert await jobs.claim("w", ["default"], 1, timeout_s=0) == []
    world.clock.pass_s(11)
    assert await jobs.expire(10) == 1
    positions = dict.fromkeys(range(PARTITIONS), 0)
    records = await world.bus.poll(COMMANDS, positions, max_records=10, max_bytes=1 << 20, timeout_s=1)
    assert isinstance(commands.decode(records[-1].body), WorkerLost)


@pytest.mark.parametrize("at", ["jobs.expired", "jobs.lost_reported"])
async def test_a_lost_lease_whose_report_was_interrupted_is_reported_again_and_renewed_by_nobody(
    world: World, at: str
) -> None:
    owner = await Owner(world.executions).own()
    made = execution("e1")
    await owner.commit(created(made))
    await owner.commit(submitted(made, "a"))
    jobs = jobs_of(world, world.clock, world.database, failing(at))
    (claim,) = await jobs.claim("w", ["default"], 1, timeout_s=0)
    held = Held("e1", "a", 1, claim.token)
    world.clock.pass_s(11)
    with pytest.raises(Transient):
        await jobs.expire(10)
    assert await jobs.renew("w", [held]) == [held]
    assert await jobs.expire(10) == 0
    world.clock.pass_s(6)
    assert await jobs.expire(10) == 1
    world.clock.pass_s(6)
    assert await jobs.expire(10) == 0
    lost = [one for one in await commands_on(world) if isinstance(one, WorkerLost)]
    assert len(lost) == (1 if at == "jobs.expired" else 2)
    assert set(lost) == {WorkerLost(execution_id="e1", task_run_id="a", attempt=1, token=claim.token)}


async def test_a_kill_between_the_mark_and_the_report_of_a_lost_lease_does_not_hide_it(world: World) -> None:
    owner = await Owner(world.executions).own()
    made = execution("e1")
    await owner.commit(created(made))
    await owner.commit(submitted(made, "a"))
    jobs = jobs_of(world, world.clock, world.database, failing("jobs.expired"))
    await jobs.claim("w", ["default"], 1, timeout_s=0)
    world.clock.pass_s(11)
    with pytest.raises(Transient):
        await jobs.expire(10)
    made.task_runs["a"].state = State.KILLING
    await owner.commit(changed(made, "a", withdrawn=("a",)))
    world.clock.pass_s(1)
    assert await jobs.expire(10) == 1


async def test_values_that_were_reported_but_not_settled_leave_a_lease_that_runs_out(world: World) -> None:
    owner = await Owner(world.executions).own()
    made = execution("e1")
    await owner.commit(created(made))
    await owner.commit(submitted(made, "a"))
    jobs = jobs_of(world, world.clock, world.database, failing("jobs.reported"))
    (claim,) = await jobs.claim("w", ["default"], 1, timeout_s=0)
    answer = TaskFinished(
        execution_id="e1", task_run_id="a", attempt=1, token=claim.token, state=State.SUCCESS, at=1, values={"v": 1}
    )
    with pytest.raises(Transient):
        await jobs.report([answer])
    assert await commands_on(world) == [*(await commands_on(world))[:-1], answer]
    await jobs.report([answer])
    world.clock.pass_s(11)
    assert await jobs.expire(10) == 0


async def commands_on(world: World) -> list[Any]:
    positions = dict.fromkeys(range(PARTITIONS), 0)
    records = await world.bus.poll(COMMANDS, positions, max_records=100, max_bytes=1 << 20, timeout_s=1)
    return [commands.decode(record.body) for record in records]


def jobs_of(
    world: World, clock: MovableClock, database: Database | None, failpoint: Callable[[str], None]
) -> PostgresJobs:
    assert database is not None
    assert isinstance(world.bus, PostgresBus)
    return PostgresJobs(
        database,
        BusCommands(world.bus),
        now_us=clock.now_us,
        random_bytes=clock.random_bytes,
        lease_s=10,
        failpoint=failpoint,
    )
