"""Who was silent beyond its lease finds out by its next beat, also where nothing is to be read."""

from levada.bus.port import COMMANDS
from levada.runtime.clock import SystemClock
from levada.runtime.partitions import Partitions
from levada.store import memory

LEASE_S = 2.0


class Time:
    us = 1_000_000

    def now_us(self) -> int:
        return self.us


def member(members: memory.MemoryMembers, name: str) -> Partitions:
    return Partitions(
        members, service="executor", name=name, topic=COMMANDS, partitions=3, clock=SystemClock(), lease_s=LEASE_S
    )


async def test_what_others_took_while_one_was_silent_is_lost_to_it() -> None:
    time = Time()
    members = memory.MemoryMembers(memory.Tables(), now_us=time.now_us)
    silent, other = member(members, "a"), member(members, "b")
    await silent.again()
    held = {one.partition for one in await silent.take([])}
    assert held == {0, 1, 2}
    assert silent.lost(held) == []
    time.us += 10 * int(LEASE_S * 1_000_000)
    await other.again()
    assert len(await other.take([])) == 3
    await silent.beat()
    assert silent.lost(held) == [0, 1, 2]


async def test_what_was_just_taken_or_given_back_is_not_lost() -> None:
    members = memory.MemoryMembers(memory.Tables(), now_us=Time().now_us)
    one = member(members, "a")
    await one.again()
    held = {taken.partition for taken in await one.take([])}
    await one.give_back([2])
    assert one.lost(held - {2}) == []
    await one.beat()
    assert {taken.partition for taken in await one.take(held - {2})} == {2}
    assert one.lost(held) == []
    assert {taken.partition for taken in await one.again()} == held
    assert one.lost(held) == []
