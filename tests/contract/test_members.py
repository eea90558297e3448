"""The contract of Members: leases, fair taking, epochs; over every adapter."""

import asyncio

import pytest
from worlds import PARTITIONS, World

from levada.store.port import Commit, Fenced

LEASE_S = 0.4


async def made(world: World, topic: str = "commands") -> None:
    await world.members.make(topic, PARTITIONS)


async def beat(world: World, *names: str, lease_s: float = 30.0) -> None:
    for name in names:
        await world.members.beat("executor", name, lease_s, {"of": name})


async def test_who_beats_is_there_until_its_lease_runs_out(world: World) -> None:
    await made(world)
    await beat(world, "a", lease_s=LEASE_S)
    await beat(world, "b")
    assert (await world.members.survey("executor", "commands"))[0] == ["a", "b"]
    await asyncio.sleep(LEASE_S + 0.1)
    assert (await world.members.survey("executor", "commands"))[0] == ["b"]
    found = {member.name: member for member in await world.members.all("executor")}
    assert (found["a"].live, found["b"].live) == (False, True)
    assert found["b"].info == {"of": "b"}
    assert found["a"].lease_until > found["a"].started


async def test_members_of_other_services_are_apart(world: World) -> None:
    await made(world)
    await world.members.beat("worker", "w", 30.0, {})
    await beat(world, "a")
    assert (await world.members.survey("executor", "commands"))[0] == ["a"]
    assert [member.service for member in await world.members.all()] == ["executor", "worker"]


async def test_partitions_without_owner_are_taken_once(world: World) -> None:
    await made(world)
    await beat(world, "a", "b")
    first = await world.members.take("executor", "commands", "a", 3)
    second = await world.members.take("executor", "commands", "b", 3)
    assert len(first) == 3
    assert len(second) == PARTITIONS - 3
    assert {one.partition for one in (*first, *second)} == set(range(PARTITIONS))
    assert await world.members.take("executor", "commands", "b", 3) == []


async def test_two_that_take_at_the_same_moment_share(world: World) -> None:
    await made(world)
    await beat(world, "a", "b")
    other = await world.neighbour()
    taken = await asyncio.gather(
        world.members.take("executor", "commands", "a", PARTITIONS),
        other.members.take("executor", "commands", "b", PARTITIONS),
    )
    owned = [one.partition for some in taken for one in some]
    assert len(owned) == len(set(owned))


async def test_partitions_of_the_dead_are_free_and_the_dead_are_fenced(world: World) -> None:
    await made(world)
    await beat(world, "a", lease_s=LEASE_S)
    await beat(world, "b")
    held = {one.partition: one.epoch for one in await world.members.take("executor", "commands", "a", PARTITIONS)}
    assert await world.members.take("executor", "commands", "b", PARTITIONS) == []
    await asyncio.sleep(LEASE_S + 0.1)
    assert (await world.members.survey("executor", "commands"))[1] == dict.fromkeys(range(PARTITIONS))
    assert len(await world.members.take("executor", "commands", "b", PARTITIONS)) == PARTITIONS
    with pytest.raises(Fenced):
        await world.executions.commit(Commit(owned=held, positions=dict.fromkeys(held, 1)))


async def test_reclaiming_fences_what_was_begun_before(world: World) -> None:
    await made(world)
    await beat(world, "a")
    before = await world.members.take("executor", "commands", "a", 2)
    again = await world.members.reclaim("commands", "a")
    assert [one.partition for one in again] == [one.partition for one in before]
    assert all(new.epoch > old.epoch for new, old in zip(again, before, strict=True))
    assert await world.members.reclaim("commands", "b") == []
    with pytest.raises(Fenced):
        await world.executions.commit(Commit(owned={one.partition: one.epoch for one in before}, positions={}))


async def test_what_is_given_back_is_free_but_only_by_its_owner(world: World) -> None:
    await made(world)
    await beat(world, "a", "b")
    await world.members.take("executor", "commands", "a", PARTITIONS)
    await world.members.release("commands", "b", [0, 1])
    assert await world.members.take("executor", "commands", "b", 2) == []
    await world.members.release("commands", "a", [0, 1])
    assert [one.partition for one in await world.members.take("executor", "commands", "b", 9)] == [0, 1]


async def test_who_leaves_gives_back_everything(world: World) -> None:
    await made(world)
    await beat(world, "a", "b")
    await world.members.take("executor", "commands", "a", PARTITIONS)
    await world.members.leave("executor", "a")
    living, owners = await world.members.survey("executor", "commands")
    assert living == ["b"]
    assert owners == dict.fromkeys(range(PARTITIONS))


async def test_topics_are_owned_apart(world: World) -> None:
    await made(world)
    await made(world, "logs")
    await beat(world, "a")
    await world.members.take("executor", "commands", "a", 1)
    assert len(await world.members.take("executor", "logs", "a", PARTITIONS)) == PARTITIONS
    assert len(await world.members.reclaim("commands", "a")) == 1


async def test_who_takes_a_partition_hears_how_long_nobody_had_it(world: World) -> None:
    await made(world)
    await beat(world, "a", lease_s=LEASE_S)
    await beat(world, "b", "c")
    first = await world.members.take("executor", "commands", "a", PARTITIONS)
    assert {one.idle_us for one in first} == {None}  # nobody ever had them
    await world.members.release("commands", "a", [0])
    await asyncio.sleep(LEASE_S + 0.2)
    given_back, *left = await world.members.take("executor", "commands", "b", PARTITIONS)
    assert given_back.partition == 0
    assert given_back.idle_us is not None
    assert LEASE_S * 1_000_000 < given_back.idle_us < 60_000_000
    assert all(one.idle_us is not None and 0 < one.idle_us < given_back.idle_us for one in left)
    assert {one.idle_us for one in await world.members.reclaim("commands", "b")} == {None}
    await world.members.leave("executor", "b")
    assert all(one.idle_us is not None for one in await world.members.take("executor", "commands", "c", PARTITIONS))
