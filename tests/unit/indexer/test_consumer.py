"""The indexer's consumer over everything in memory: exactly once, dead letters, sharing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from worlds import line

from levada.bus.memory import MemoryBus
from levada.bus.port import AUDIT, CHANGES, LOGS, METRICS, Outgoing, PositionLost, partition_of
from levada.model.audit import AuditEntry, Outcome
from levada.model.errors import Transient
from levada.model.jobs import MetricEntry
from levada.runtime.clock import SystemClock
from levada.runtime.partitions import Partitions
from levada.runtime.sinks import BusSink, records
from levada.store import memory
from levada.store.records import IndexBatch, Unwritable
from levada_indexer.consumer import Consumer

PARTITIONS = 4
AT = 1_700_000_000_000_000


class Room:
    """Tables and a bus that several indexers share."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.tables = memory.Tables()
        self.bus = MemoryBus(partitions=PARTITIONS, monotonic=self.clock.monotonic, sleep=self.clock.sleep)
        self.sink = BusSink(self.bus)
        self.members = memory.MemoryMembers(self.tables, now_us=self.clock.now_us)

    def consumer(
        self,
        topic: str = LOGS,
        name: str = "one",
        *,
        store: Any = None,
        failpoint: Callable[[str], None] = lambda _: None,
    ) -> Indexer:
        share = Partitions(
            self.members,
            service="indexer",
            name=name,
            topic=topic,
            partitions=PARTITIONS,
            clock=self.clock,
            lease_s=10,
        )
        consumer = Consumer(
            topic,
            bus=self.bus,
            store=store if store is not None else memory.MemoryIndexStore(self.tables),
            assignment=share,
            clock=self.clock,
            linger_s=0.0,
            failpoint=failpoint,
        )
        return Indexer(consumer, share)

    @property
    def messages(self) -> list[str]:
        return [entry.message for entry in self.tables.logs]


class Indexer:
    def __init__(self, consumer: Consumer, share: Partitions) -> None:
        self.consumer = consumer
        self.share = share

    async def settle(self) -> Indexer:
        await self.share.beat()
        await self.consumer.take_over()
        await self.consumer.rebalance()
        return self

    async def drain(self) -> None:
        while await self.consumer.step(0.0):
            pass


@pytest.fixture
def room() -> Room:
    return Room()


async def test_lines_get_into_the_table_in_order_and_the_position_with_them(room: Room) -> None:
    indexer = await room.consumer().settle()
    await room.sink.write_logs([line("e", f"{number}", at=AT + number) for number in range(5)])
    await room.sink.write_logs([line("e", "last", at=AT + 9)])
    await indexer.drain()
    assert room.messages == ["0", "1", "2", "3", "4", "last"]
    part = partition_of("e", PARTITIONS)
    assert (await memory.MemoryIndexStore(room.tables).positions(LOGS))[part] == 2


async def test_metrics_audit_records_and_changes_go_their_own_ways(room: Room) -> None:
    metric = MetricEntry(
        execution_id="e",
        namespace="n",
        flow_id="f",
        task_id="t",
        task_run_id="r",
        name="rows",
        kind="counter",
        value=3,
        at=AT,
    )
    entry = AuditEntry(id="a", at=AT, who="ada", action="update", kind="flow", outcome=Outcome.DONE)
    await room.sink.write_metrics([metric])
    await room.sink.write_audit([entry])
    change = b'{"v":1,"executionId":"e","state":"RUNNING","terminal":false,"at":1,"seq":3}'
    refused = b'{"v":1,"executionId":"x","state":"CREATED","terminal":false,"at":1,"refused":true}'
    await room.bus.append([Outgoing(CHANGES, "e", change), Outgoing(CHANGES, "x", refused)])
    for topic in (METRICS, AUDIT, CHANGES):
        await (await room.consumer(topic).settle()).drain()
    assert room.tables.metrics == [metric]
    assert room.tables.audit == [entry]
    assert sum(row.done_off for row in room.tables.owners_of(CHANGES).values()) == 2


async def test_a_message_that_can_not_be_read_is_a_dead_letter_and_the_rest_goes_on(room: Room) -> None:
    await room.sink.write_logs([line("e", "before", at=AT)])
    await room.bus.append([Outgoing(LOGS, "e", b"[{"), Outgoing(LOGS, "e", b'[{"message": 3}]')])
    await room.sink.write_logs([line("e", "after", at=AT)])
    await (await room.consumer().settle()).drain()
    assert room.messages == ["before", "after"]
    assert [(dead.topic, dead.offset, dead.key, dead.body) for dead in room.tables.dead] == [
        (LOGS, 1, "e", b"[{"),
        (LOGS, 2, "e", b'[{"message": 3}]'),
    ]
    assert all("can not be read" in dead.reason and dead.detail for dead in room.tables.dead)


class Picky(memory.MemoryIndexStore):
    """Refuses what does not fit, as a column would."""

    async def commit(self, batch: IndexBatch) -> None:
        if any((entry.attempt or 0) > 2**31 for entry in batch.logs):
            raise Unwritable("integer out of range")
        await super().commit(batch)


async def test_a_message_that_fits_no_table_is_found_and_put_aside(room: Room) -> None:
    indexer = await room.consumer(store=Picky(room.tables)).settle()
    for number in range(9):
        attempt = 2**40 if number == 5 else 1
        await room.sink.write_logs([line("e", f"{number}", at=AT, attempt=attempt)])
    await indexer.drain()
    assert room.messages == ["0", "1", "2", "3", "4", "6", "7", "8"]
    assert [(dead.offset, dead.reason) for dead in room.tables.dead] == [(5, "an entry does not fit its table")]


async def test_what_a_sender_in_doubt_sends_twice_is_written_once(room: Room) -> None:
    indexer = await room.consumer().settle()
    lines = [line("e", "one", at=AT), line("f", "two", at=AT)]
    await room.sink.write_logs(lines)
    await room.sink.write_logs(lines)
    await indexer.drain()
    await room.sink.write_logs(lines)
    await room.sink.write_logs([line("e", "one", at=AT + 1)])
    await indexer.drain()
    assert sorted(room.messages) == ["one", "one", "two"]


async def test_a_commit_whose_answer_was_lost_is_not_repeated(room: Room) -> None:
    lost = []

    def failpoint(name: str) -> None:
        if name == "indexer.after_commit" and not lost:
            lost.append(name)
            raise Transient("the answer is lost")

    indexer = await room.consumer(failpoint=failpoint).settle()
    await room.sink.write_logs([line("e", "once", at=AT)])
    with pytest.raises(Transient):
        await indexer.consumer.step(0.0)
    await indexer.consumer.take_over()
    await indexer.drain()
    assert room.messages == ["once"]


async def test_a_batch_that_was_not_committed_is_read_again(room: Room) -> None:
    lost = []

    def failpoint(name: str) -> None:
        if name == "indexer.before_commit" and not lost:
            lost.append(name)
            raise Transient("the database is away")

    indexer = await room.consumer(failpoint=failpoint).settle()
    await room.sink.write_logs([line("e", "once", at=AT)])
    with pytest.raises(Transient):
        await indexer.consumer.step(0.0)
    await indexer.consumer.take_over()
    await indexer.drain()
    assert room.messages == ["once"]


async def test_several_indexers_share_the_partitions_and_one_that_was_replaced_writes_nothing(room: Room) -> None:
    one, two = room.consumer(name="one"), room.consumer(name="two")
    await one.settle()
    assert len(one.consumer.owned) == PARTITIONS
    await two.share.beat()
    await one.share.beat()
    await one.consumer.rebalance()
    await two.settle()
    assert sorted([*one.consumer.owned, *two.consumer.owned]) == list(range(PARTITIONS))
    assert len(two.consumer.owned) == PARTITIONS // 2
    await room.sink.write_logs([line(f"e{number}", f"{number}", at=AT) for number in range(40)])
    await room.members.reclaim(LOGS, "one")  # as if somebody had taken over what `one` believes to own
    stop = asyncio.Event()
    runs = [asyncio.create_task(each.consumer.run(stop)) for each in (one, two)]
    async with asyncio.timeout(10):
        while len(room.messages) < 40:  # noqa: ASYNC110  (a table announces nothing)
            await asyncio.sleep(0.01)
    stop.set()
    await asyncio.gather(*runs)
    assert sorted(room.messages, key=int) == [str(number) for number in range(40)]


async def test_a_bus_that_lost_its_log_is_read_from_where_it_begins(room: Room) -> None:
    indexer = await room.consumer().settle()
    await room.sink.write_logs([line("e", str(number), at=AT) for number in range(3)])
    await indexer.drain()
    room.bus = MemoryBus(partitions=PARTITIONS, monotonic=room.clock.monotonic, sleep=room.clock.sleep)
    anew = room.consumer()
    await anew.settle()
    part = partition_of("e", PARTITIONS)
    whole = room.bus.poll

    async def poll(topic: str, positions: Mapping[int, int], **limits: Any) -> Any:
        if positions[part] > 0:
            raise PositionLost(topic, part, positions[part], 0, 0)
        return await whole(topic, positions, **limits)

    room.bus.poll = poll  # type: ignore[method-assign]
    assert await anew.consumer.step(0.0) == 0
    assert (await memory.MemoryIndexStore(room.tables).positions(LOGS))[part] == 0
    await BusSink(room.bus).write_logs([line("e", "new", at=AT)])
    await anew.drain()
    assert room.messages == ["0", "1", "2", "new"]


async def test_full_batches_are_cut(room: Room) -> None:
    sizes: list[int] = []

    class Counting(memory.MemoryIndexStore):
        async def commit(self, batch: IndexBatch) -> None:
            sizes.append(len(batch.logs))
            await super().commit(batch)

    indexer = room.consumer(store=Counting(room.tables))
    indexer.consumer._batch_entries = 10
    await indexer.settle()
    for number in range(8):
        await room.sink.write_logs([line("e", f"{number}.{k}", at=AT) for k in range(4)])
    await indexer.drain()
    assert sizes == [12, 12, 8]


def test_records_are_cut_by_size_and_always_the_same() -> None:
    lines = [line("e", "x" * 50_000, at=AT + number) for number in range(6)] + [line("f", "y" * 200_000, at=AT)]
    made = records(LOGS, lines, lambda entry: entry.execution_id)
    assert [record.key for record in made] == ["e", "e", "e", "f"]
    assert made == records(LOGS, lines, lambda entry: entry.execution_id)
    assert len({record.id for record in made}) == 4
