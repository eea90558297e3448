"""What every bus promises: order per key, gapless offsets, nothing lost, nothing twice, readers that wait."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest
from worlds import PARTITIONS, World

from levada.bus.port import Outgoing, Record, partition_of

TOPIC = "commands"


def record(key: str, body: str, topic: str = TOPIC) -> Outgoing:
    return Outgoing(topic, key, body.encode(), f"{key}/{body}")


async def read_all(
    bus: object, expected: int, *, topic: str = TOPIC, start: dict[int, int] | None = None
) -> list[Record]:
    """Poll until `expected` records came, as a reader would: from its positions on."""
    positions = dict.fromkeys(range(PARTITIONS), 0) | (start or {})
    found: list[Record] = []
    while len(found) < expected:
        records = await bus.poll(topic, positions, max_records=50, max_bytes=1 << 20, timeout_s=5)  # type: ignore[attr-defined]
        assert records, f"only {len(found)} of {expected} records came"
        for one in records:
            assert one.offset == positions[one.partition], "offsets are gapless and in order"
            positions[one.partition] += 1
        found += records
    return found


async def test_what_is_appended_comes_back_whole(world: World) -> None:
    headers = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "über": "größe"}
    before = world.clock.now_us()
    await world.bus.append([Outgoing(TOPIC, "ä", b"\x00\xff", "a/1", headers), Outgoing(TOPIC, "ä", b"")])
    found, bare = await read_all(world.bus, 2)
    part = partition_of("ä", PARTITIONS)
    assert before <= found.at <= world.clock.now_us()
    assert found == Record(TOPIC, part, 0, "ä", b"\x00\xff", "a/1", headers, found.at)
    assert bare == Record(TOPIC, part, 1, "ä", b"", at=found.at)


async def test_headers_come_back_in_another_process(world: World) -> None:
    other = await world.neighbour()
    await world.bus.append([Outgoing(TOPIC, "a", b"1", "", {"traceparent": "x"})])
    (found,) = await read_all(other.bus, 1)
    assert found.headers == {"traceparent": "x"}
    assert found.at > 0


async def test_records_of_one_key_keep_their_order(world: World) -> None:
    for number in range(20):
        await world.bus.append([record("a", str(number)), record("b", str(number)), record("c", str(number))])
    bodies = defaultdict(list)
    for found in await read_all(world.bus, 60):
        bodies[found.key].append(int(found.body))
    assert bodies == {key: list(range(20)) for key in "abc"}


async def test_concurrent_appends_lose_nothing_and_leave_no_gap(world: World) -> None:
    other = await world.neighbour()

    async def produce(bus: object, name: str) -> None:
        for number in range(25):
            await bus.append([record(f"{name}{number % 5}", str(number))])  # type: ignore[attr-defined]

    producers = [produce(bus, f"{name}-{n}") for name, bus in (("x", world.bus), ("y", other.bus)) for n in range(4)]
    found, *_ = await asyncio.gather(read_all(world.bus, 200), *producers)
    assert len({(one.partition, one.offset) for one in found}) == 200
    assert len({one.id for one in found}) == 200
    assert sum((await world.bus.ends(TOPIC)).values()) == 200


async def test_a_reader_in_another_process_sees_what_was_appended(world: World) -> None:
    other = await world.neighbour()
    waiting = asyncio.create_task(read_all(other.bus, 1))
    await asyncio.sleep(0.05)
    await world.bus.append([record("a", "1")])
    assert [found.body for found in await waiting] == [b"1"]


async def test_a_reader_is_woken_before_its_time_is_up(world: World) -> None:
    loop = asyncio.get_running_loop()
    positions = dict.fromkeys(range(PARTITIONS), 0)
    poll = world.bus.poll(TOPIC, positions, max_records=10, max_bytes=1 << 20, timeout_s=30)
    waiting = asyncio.create_task(poll)
    await asyncio.sleep(0.05)
    before = loop.time()
    await world.bus.append([record("a", "1")])
    assert len(await waiting) == 1
    assert loop.time() - before < 5


async def test_an_empty_bus_answers_with_nothing_in_time(world: World) -> None:
    positions = dict.fromkeys(range(PARTITIONS), 0)
    assert await world.bus.poll(TOPIC, positions, max_records=10, max_bytes=1 << 20, timeout_s=0.05) == []
    assert await world.bus.ends(TOPIC) == positions


async def test_a_reader_starts_anywhere_and_reads_again(world: World) -> None:
    await world.bus.append([record("a", str(number)) for number in range(10)])
    part = partition_of("a", PARTITIONS)
    assert [found.body for found in await read_all(world.bus, 3, start={part: 7})] == [b"7", b"8", b"9"]
    assert len(await read_all(world.bus, 10)) == 10


async def test_only_the_asked_partitions_are_read(world: World) -> None:
    keys = [f"key{number}" for number in range(40)]
    await world.bus.append([record(key, "x") for key in keys])
    part = partition_of(keys[0], PARTITIONS)
    found = await world.bus.poll(TOPIC, {part: 0}, max_records=100, max_bytes=1 << 20, timeout_s=1)
    assert [one.key for one in found] == [key for key in keys if partition_of(key, PARTITIONS) == part]


async def test_limits_cut_a_batch_but_never_to_nothing(world: World) -> None:
    await world.bus.append([record("a", "x" * 1000) for _ in range(10)])
    part = partition_of("a", PARTITIONS)
    few = await world.bus.poll(TOPIC, {part: 0}, max_records=3, max_bytes=1 << 20, timeout_s=1)
    small = await world.bus.poll(TOPIC, {part: 0}, max_records=10, max_bytes=2500, timeout_s=1)
    tiny = await world.bus.poll(TOPIC, {part: 0}, max_records=10, max_bytes=1, timeout_s=1)
    assert (len(few), len(small), len(tiny)) == (3, 2, 1)


async def test_a_full_partition_does_not_starve_the_others(world: World) -> None:
    await world.bus.append([record("busy", str(number)) for number in range(100)])
    quiet = next(
        key for key in map(str, range(100)) if partition_of(key, PARTITIONS) != partition_of("busy", PARTITIONS)
    )
    await world.bus.append([record(quiet, "x")])
    positions = dict.fromkeys(range(PARTITIONS), 0)
    found = await world.bus.poll(TOPIC, positions, max_records=40, max_bytes=1 << 20, timeout_s=1)
    assert quiet in {one.key for one in found}


async def test_topics_are_apart(world: World) -> None:
    await world.bus.append([record("a", "1"), record("a", "2", topic="changes")])
    assert [found.body for found in await read_all(world.bus, 1, topic="changes")] == [b"2"]
    assert [found.body for found in await read_all(world.bus, 1)] == [b"1"]


@pytest.mark.parametrize("size", [0, 1, 300_000])
async def test_bodies_of_any_size_pass(world: World, size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    await world.bus.append([Outgoing(TOPIC, "a", body[:size])])
    assert [found.body for found in await read_all(world.bus, 1)] == [body[:size]]


async def test_trimming_keeps_what_was_not_read(world: World) -> None:
    await world.bus.append([record("a", str(number)) for number in range(5)])
    part = partition_of("a", PARTITIONS)
    await world.bus.trim(TOPIC, {part: 3})
    assert [found.body for found in await read_all(world.bus, 2, start={part: 3})] == [b"3", b"4"]


async def test_closing_lets_waiting_readers_go(world: World) -> None:
    positions = dict.fromkeys(range(PARTITIONS), 0)
    waiting = asyncio.create_task(world.bus.poll(TOPIC, positions, max_records=1, max_bytes=1, timeout_s=60))
    await asyncio.sleep(0.05)
    await world.bus.close()
    assert await asyncio.wait_for(waiting, 5) == []


async def test_a_backlog_is_read_to_its_end_without_waiting(world: World) -> None:
    await world.bus.append([record(f"key{number}", "x") for number in range(400)])
    positions = dict.fromkeys(range(PARTITIONS), 0)
    read = 0
    while records := await world.bus.poll(TOPIC, positions, max_records=40, max_bytes=1 << 20, timeout_s=0):
        read += len(records)
        for one in records:
            positions[one.partition] = one.offset + 1
    assert read == 400


async def test_a_backlog_of_large_records_is_read_piece_by_piece_to_its_end(world: World) -> None:
    other = await world.neighbour()
    bodies = [f"{number:03}".encode() * 10_000 for number in range(30)]
    await other.bus.append([Outgoing(TOPIC, "a", body) for body in bodies])
    positions = dict.fromkeys(range(PARTITIONS), 0)
    read: list[bytes] = []
    while records := await world.bus.poll(TOPIC, positions, max_records=200, max_bytes=400_000, timeout_s=0.5):
        assert len(records) <= 14, "more than the bytes allow"
        read += [one.body for one in records]
        for one in records:
            positions[one.partition] = one.offset + 1
    assert read == bodies
