"""The contract of Ingress and of commits that apply accepted commands; over every adapter."""

import pytest
from worlds import PARTITIONS, World, created, execution

from levada.model.commands import KillExecution
from levada.model.ids import partition_of
from levada.store.port import Accepted, Commit, OutEntry, Repeated


def row(id: str, *, partition: int = 0, at: int = 1) -> Accepted:
    return Accepted(id, partition, at, f"key {id}", b"body")


async def owned(world: World) -> dict[int, int]:
    return {one.partition: one.epoch for one in await world.accepting.own([0], "a")}


async def test_accepted_commands_wait_until_they_are_applied(world: World) -> None:
    await world.ingress.accept([row("1"), row("2"), row("3")])
    await world.accepting.commit(Commit(owned=await owned(world), positions={0: 2}, applied=["1", "2"]))
    assert await world.ingress.pending(["1", "2", "3"]) == {"3"}


async def test_accepting_the_same_twice_keeps_one(world: World) -> None:
    await world.ingress.accept([row("1")])
    await world.ingress.accept([row("1"), row("2")])
    assert len(await world.ingress.waiting([0], 10, 10)) == 2


async def test_the_oldest_of_these_partitions_come_first(world: World) -> None:
    await world.ingress.accept([row("1", at=3), row("2", at=1), row("3", at=2, partition=1), row("4", at=9)])
    assert [one.id for one in await world.ingress.waiting([0], 9, 10)] == ["2", "1"]
    assert [one.id for one in await world.ingress.waiting([0, 1], 10, 3)] == ["2", "3", "1"]
    assert await world.ingress.waiting([2], 10, 3) == []
    (first,) = await world.ingress.waiting([0], 9, 1)
    assert first == row("2", at=1)


async def test_a_command_that_was_applied_before_stops_the_whole_commit(world: World) -> None:
    await world.ingress.accept([row("1"), row("2")])
    epochs = await owned(world)
    await world.accepting.commit(Commit(owned=epochs, positions={0: 1}, applied=["1"]))
    batch = Commit(owned=epochs, positions={0: 3}, writes=[created(execution("E"))], applied=["1", "2"])
    with pytest.raises(Repeated):
        await world.accepting.commit(batch)
    assert await world.accepting.load(["E"]) == {}
    assert await world.accepting.done_off(0) == 1
    assert await world.ingress.pending(["2"]) == {"2"}
    batch.applied = ["2"]
    await world.accepting.commit(batch)
    assert await world.accepting.done_off(0) == 3
    assert await world.ingress.pending(["1", "2"]) == set()


async def test_what_a_commit_sends_is_accepted_with_it(world: World) -> None:
    epochs = await owned(world)
    out = [OutEntry(0, n, KillExecution(execution_id=f"child{n}")) for n in range(3)]
    await world.accepting.commit(Commit(owned=epochs, positions={}, out=out))
    waiting = await world.ingress.waiting(range(PARTITIONS), 1 << 62, 10)
    assert {one.key: one.partition for one in waiting} == {
        f"child{n}": partition_of(f"child{n}", PARTITIONS) for n in range(3)
    }
    assert sorted(one.id for one in waiting) == ["out/0/0", "out/0/1", "out/0/2"]


async def test_where_the_bus_is_durable_nothing_is_asked_of_the_ingress(world: World) -> None:
    out = [OutEntry(0, 0, KillExecution(execution_id="child"))]
    epochs = await owned(world)
    await world.executions.commit(Commit(owned=epochs, positions={0: 1}, out=out, applied=["never accepted"]))
    assert await world.ingress.waiting(range(PARTITIONS), 1 << 62, 10) == []


async def test_a_partition_can_be_read_again_from_an_earlier_position(world: World) -> None:
    epochs = await owned(world)
    await world.accepting.commit(Commit(owned=epochs, positions={0: 100}))
    await world.accepting.rewind(0, epochs[0], 0)
    (again,) = await world.accepting.own([0], "a")
    assert again.done_off == 0
    with pytest.raises(Exception, match="another owner"):
        await world.accepting.rewind(0, epochs[0], 50)


async def test_what_waits_for_some_keys_comes_in_the_order_of_acceptance(world: World) -> None:
    for id, key, at in (("c", "x", 1), ("a", "x", 9), ("d", "y", 5), ("b", "x", 2)):
        await world.ingress.accept([Accepted(id, 0, at, key, b"body")])
    await world.ingress.accept([Accepted("e", 0, 1, "x", b"body"), Accepted("f", 0, 0, "x", b"body")])
    assert [one.id for one in await world.ingress.of([0], ["x"])] == ["c", "a", "b", "e", "f"]
    assert [one.id for one in await world.ingress.of([0], ["x", "y"])] == ["c", "a", "d", "b", "e", "f"]
    assert await world.ingress.of([1], ["x"]) == []
