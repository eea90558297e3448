"""The bus over Kafka where it is not like the other buses: missing topics, large bodies, foreign records, positions.

What aiokafka and Kafka are known to do wrong is numbered in docs/guides/kafka.md; so are the numbers in brackets here.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from kafka import Kafka
from worlds import BLOBS, PARTITIONS, MovableClock, kafka_bus

from levada.bus.kafka import KafkaBus, KafkaSettings
from levada.bus.kafka.topics import Topics, wanted
from levada.bus.port import COMMANDS, LOGS, UNREADABLE, Outgoing, PositionLost, Record, partition_of
from levada.model.errors import Transient, UserError

pytestmark = pytest.mark.xdist_group("kafka")

KEY = "a"
PART = partition_of(KEY, PARTITIONS)
MakeBus = Callable[..., Awaitable[KafkaBus]]


@pytest.fixture
def settings(kafka: Kafka, topic_prefix: str) -> KafkaSettings:
    return KafkaSettings(
        (kafka.bootstrap,), topic_prefix=topic_prefix, replication_factor=1, connect_timeout_s=2, delivery_timeout_s=3
    )


@pytest.fixture
async def make(settings: KafkaSettings) -> AsyncIterator[MakeBus]:
    """Make a bus, with its topics unless told otherwise; closed at the end of the test."""
    made: list[KafkaBus] = []

    async def make(**options: Any) -> KafkaBus:
        if options.pop("topics", True):
            async with Topics(settings) as topics:
                await topics.apply(wanted(settings, PARTITIONS))
        made.append(kafka_bus(settings, options.pop("clock", MovableClock()), **options))
        await made[-1].start()
        return made[-1]

    yield make
    for bus in made:
        await asyncio.wait_for(bus.close(), 10)


@pytest.fixture
async def admin(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=list(settings.bootstrap_servers))
    await client.start()
    yield client
    await client.close()


def record(body: bytes = b"x", key: str = KEY, **fields: Any) -> Outgoing:
    return Outgoing(COMMANDS, key, body, **fields)


async def poll(bus: KafkaBus, position: int = 0, *, timeout_s: float = 5, part: int = PART) -> list[Record]:
    return await bus.poll(COMMANDS, {part: position}, max_records=100, max_bytes=1 << 20, timeout_s=timeout_s)


async def until(look: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool]) -> None:
    """A broker answers with its old settings for some milliseconds."""
    async with asyncio.timeout(10):
        while not wanted(await look()):  # noqa: ASYNC110 - nobody tells when the answer changes
            await asyncio.sleep(0.02)


# --- topics


async def test_a_missing_topic_is_named_at_once_with_what_makes_it(settings: KafkaSettings, make: MakeBus) -> None:
    """[2] aiokafka would hang for as long as a request may take."""
    loop = asyncio.get_running_loop()
    before = loop.time()
    with pytest.raises(Transient, match=r"topic .*commands does not exist; make it with `levada topics apply`"):
        await make(topics=False)
    bus = kafka_bus(settings, MovableClock())
    for call in (bus.append([record()]), poll(bus), bus.ends(COMMANDS)):
        with pytest.raises(Transient, match="levada topics apply"):
            await call
    assert loop.time() - before < 5
    await bus.close()


async def test_another_number_of_partitions_is_refused_with_the_remedy(make: MakeBus) -> None:
    await make()
    with pytest.raises(UserError, match=rf"has {PARTITIONS} partitions.*set bus\.partitions to {PARTITIONS}"):
        await make(topics=False, partitions=PARTITIONS + 1)


async def test_more_replicas_than_brokers_are_refused_before_anything_is_made(settings: KafkaSettings) -> None:
    """[8] The broker's answer would be no exception, but a code."""
    async with Topics(settings) as topics:
        with pytest.raises(Transient, match=r"kafka\.replication_factor is 3, but the cluster has 1 broker"):
            await topics.apply(wanted(dataclasses.replace(settings, replication_factor=3), PARTITIONS))
        assert len(await topics.plan(wanted(settings, PARTITIONS))) == 6


async def test_what_the_broker_refuses_is_an_error_with_its_words(settings: KafkaSettings) -> None:
    """[8]"""
    async with Topics(settings) as topics:
        with pytest.raises(UserError, match=r"InvalidTopicError \[17\].*correct kafka.topic_prefix"):
            await topics.apply(wanted(dataclasses.replace(settings, topic_prefix="no good/"), PARTITIONS))


async def test_settings_that_somebody_else_made_survive_ours(settings: KafkaSettings) -> None:
    """Kafka replaces the whole list of a topic's own settings."""
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    should_be = wanted(settings, PARTITIONS)
    async with Topics(settings) as topics:
        await topics.apply(should_be)
        own = ConfigResource(
            ConfigResourceType.TOPIC, should_be[0].name, configs={"segment.bytes": "1048576", "retention.ms": "60000"}
        )
        assert topics._admin is not None
        await topics._admin.alter_configs([own])
        await until(lambda: topics.plan(should_be), lambda planned: bool(planned))
        assert "retention.ms" in {one.what for one in await topics.apply(should_be)}
        await until(lambda: topics.plan(should_be), lambda planned: not planned)
        kept = await topics._settings_of([should_be[0].name], only_own=True)
        assert kept[should_be[0].name]["segment.bytes"] == "1048576"


# --- bodies and envelopes


async def test_a_large_body_travels_as_a_reference(make: MakeBus) -> None:
    bus = await make(message_limit=1000)
    body = bytes(range(256)) * 40
    await bus.append([record(b"small"), record(body, headers={"traceparent": "x"}), record(b"after")])
    found = await poll(bus)
    assert [one.body for one in found] == [b"small", body, b"after"]
    assert found[1].headers == {"traceparent": "x"}
    assert body in BLOBS.values()


async def test_a_lost_body_parks_its_record_and_the_next_ones_come(make: MakeBus) -> None:
    bus = await make(message_limit=1000)
    await bus.append([record(b"lost" * 1000, id="i"), record(b"after")])
    for name in [name for name, body in BLOBS.items() if body == b"lost" * 1000]:
        del BLOBS[name]
    lost, after = await poll(bus)
    assert "not in internal storage any more" in lost.headers[UNREADABLE]
    assert (lost.offset, lost.id, after.body) == (0, "i", b"after")


async def test_storage_that_is_away_only_delays(make: MakeBus) -> None:
    class Away:
        away = True

        async def put(self, name: str, body: bytes) -> str:
            return name

        async def read(self, reference: str) -> bytes:
            if self.away:
                raise Transient("storage is away")
            return b"here"

    blobs = Away()
    bus = await make(message_limit=10, blobs=blobs)
    await bus.append([record(b"x" * 100), record(b"after")])
    for _ in range(2):
        with pytest.raises(Transient, match="storage is away"):
            await poll(bus)
    blobs.away = False
    assert [one.body for one in await poll(bus)] == [b"here", b"after"]


async def test_without_storage_a_body_may_be_as_large_as_a_message_and_no_larger(make: MakeBus) -> None:
    """[12]"""
    bus = await make(blobs=None)
    await bus.append([record(b"x" * 900_000)])
    with pytest.raises(UserError, match="larger than what one may have"):
        await bus.append([record(b"x" * 1_000_000)])
    await bus.append([record(b"after")])
    found = await poll(bus)
    found += await poll(bus, len(found)) if len(found) < 2 else []
    assert [len(one.body) for one in found] == [900_000, 5]


async def test_a_message_that_the_topic_refuses_is_said_with_the_remedy_and_the_next_one_is_sent(
    settings: KafkaSettings, make: MakeBus
) -> None:
    """[12] The producer of that batch has a hole in its numbers and is replaced."""
    bus = await make(blobs=None)
    async with Topics(settings) as topics:
        narrow = [
            dataclasses.replace(one, settings={**one.settings, "max.message.bytes": "2000"})
            for one in wanted(settings, PARTITIONS)
        ]
        await topics.apply(narrow)
        await until(lambda: topics.plan(narrow), lambda planned: not planned)
    with pytest.raises(Transient, match=r"levada topics apply.*limits\.message"):
        await bus.append([record(b"x" * 5000)])
    await asyncio.gather(*(bus.append([record(b"after %d" % number)]) for number in range(3)))
    assert len(await poll(bus)) == 3
    assert bus.health().rebuilds == 1


async def test_a_clock_that_is_off_changes_nothing(make: MakeBus) -> None:
    """[12] Kafka refuses times of clients that lie ahead; ours are only information."""
    for hours in (-3, 3):
        clock = MovableClock()
        clock.pass_s(hours * 3600)
        bus = await make(clock=clock)
        await bus.append([record()])
    found = await poll(bus)
    assert found[1].at - found[0].at > 5 * 3600 * 1_000_000


async def test_records_of_another_installation_are_left_out_and_complained_about(
    make: MakeBus, caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = await make(), await make(installation="theirs")
    await ours.append([record(b"1")])
    await theirs.append([record(b"2"), record(b"3")])
    assert [one.body for one in await poll(ours)] == [b"1"]
    assert await poll(ours, 1, timeout_s=0.3) == []
    await ours.append([record(b"4")])
    (found,) = await poll(ours, 1)
    assert (found.body, found.offset) == (b"4", 3)
    assert ours.health().foreign == 2
    assert ours.neighbour(60) == "theirs"
    assert ours.neighbour(0) is None
    assert theirs.neighbour(60) is None
    (complaint,) = [one for one in caplog.records if one.levelno == logging.ERROR and "installation" in one.message]
    assert "another kafka.topic_prefix" in complaint.message


async def test_what_no_levada_wrote_is_handed_on_to_be_parked(settings: KafkaSettings, make: MakeBus) -> None:
    bus = await make()
    producer = AIOKafkaProducer(bootstrap_servers=list(settings.bootstrap_servers))
    await producer.start()
    topic = settings.topic_prefix + COMMANDS
    await producer.send_and_wait(topic, b"\xff", partition=PART)
    await producer.send_and_wait(topic, None, key=b"gone", partition=PART)
    await producer.send_and_wait(topic, b"{}", partition=PART, headers=[("levada", b"2/1/test")])
    await producer.stop()
    await bus.append([record(b"ours")])
    found: list[Record] = []
    while len(found) < 4:
        found += await poll(bus, len(found))
    reasons = [one.headers.get(UNREADABLE, "") for one in found]
    assert [bool(reason) for reason in reasons] == [True, True, True, False]
    assert "newer Levada" in reasons[2]
    assert [one.body for one in found] == [b"\xff", b"", b"{}", b"ours"]


# --- positions


async def test_a_position_that_the_log_does_not_reach_is_lost(make: MakeBus) -> None:
    bus = await make()
    await bus.append([record()])
    with pytest.raises(PositionLost) as lost:
        await poll(bus, 7)
    assert (lost.value.topic, lost.value.partition, lost.value.position) == (COMMANDS, PART, 7)
    assert (lost.value.start, lost.value.end) == (0, 1)
    assert len(await poll(bus, 0)) == 1


async def test_a_position_before_what_is_kept_is_lost(
    settings: KafkaSettings, make: MakeBus, admin: AIOKafkaAdminClient
) -> None:
    bus = await make()
    await bus.append([record() for _ in range(5)])
    await admin.delete_records({TopicPartition(settings.topic_prefix + COMMANDS, PART): RecordsToDelete(3)})
    with pytest.raises(PositionLost) as lost:
        await poll(bus, 0)
    assert (lost.value.start, lost.value.end) == (3, 5)
    assert [one.offset for one in await poll(bus, 3)] == [3, 4]


async def test_a_reader_that_was_interrupted_misses_nothing(make: MakeBus) -> None:
    """[6] Also: what was taken off the consumer and never handed on comes again."""
    bus = await make(message_limit=10)
    await bus.append([record(b"large" * 10), record(b"1"), record(b"2")])
    for after_s in (0.0, 0.01, 0.03, 0.1):
        waiting = asyncio.create_task(poll(bus, 0))
        await asyncio.sleep(after_s)
        waiting.cancel()
        await asyncio.wait([waiting])
    assert [one.offset for one in await poll(bus, 0)] == [0, 1, 2]


async def test_one_topic_may_be_read_twice_at_a_time(make: MakeBus) -> None:
    bus = await make()
    other = next(key for key in map(str, range(99)) if partition_of(key, PARTITIONS) != PART)
    one = asyncio.create_task(poll(bus))
    two = asyncio.create_task(poll(bus, part=partition_of(other, PARTITIONS)))
    await asyncio.sleep(0.2)
    await bus.append([record(b"1"), record(b"2", other)])
    assert ([r.body for r in await one], [r.body for r in await two]) == ([b"1"], [b"2"])


async def test_no_partitions_are_not_all_partitions_and_a_closed_bus_does_not_spin(make: MakeBus) -> None:
    """[6] aiokafka takes no partition for every partition, and after its end raises without ever waiting."""
    bus = await make()
    await bus.append([record()])
    assert await bus.poll(COMMANDS, {}, max_records=10, max_bytes=100, timeout_s=0.05) == []
    await bus.close()
    with pytest.raises(Transient, match="closed"):
        await bus.append([record()])
    assert await poll(bus, timeout_s=0) == []


# --- the producer


async def test_a_producer_that_ends_by_itself_is_replaced(make: MakeBus) -> None:
    bus = await make()
    await bus.append([record(b"1")])
    live = bus._producer._live
    assert live is not None
    live.client._sender.sender_task.cancel()
    await asyncio.wait([live.client._sender.sender_task])
    await bus.append([record(b"2")])
    assert [one.body for one in await poll(bus)] == [b"1", b"2"]
    assert bus.health().rebuilds == 1


async def test_a_producer_is_renewed_before_its_numbers_run_over(make: MakeBus) -> None:
    """Numbers of aiokafka go wrong after 2^31 records of a partition."""
    bus = await make()
    bus._producer.records_per_producer = 10
    for number in range(35):
        await bus.append([record(b"%d" % number)])
    assert [int(one.body) for one in await poll(bus)] == list(range(35))
    assert bus.health().rebuilds == 0


async def test_a_broken_number_in_the_sequence_costs_one_append(make: MakeBus) -> None:
    bus = await make()
    await bus.append([record(b"1")])
    live = bus._producer._live
    assert live is not None
    place = TopicPartition(bus._name(COMMANDS), PART)
    live.client._txn_manager.increment_sequence_number(place, 5)
    with pytest.raises(Transient, match="OutOfOrder"):
        await bus.append([record(b"2")])
    await bus.append([record(b"3")])
    assert [one.body for one in await poll(bus)] == [b"1", b"3"]


async def test_callers_that_give_up_are_not_sent_later(make: MakeBus) -> None:
    """[3] A future of aiokafka that is cancelled is delivered all the same."""
    bus = await make()
    await bus.append([record(b"first")])
    calls = [asyncio.create_task(bus.append([record(b"%d" % number)])) for number in range(20)]
    await asyncio.sleep(0)  # the first of them begins a batch; the others may be in it or wait
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    await bus.append([record(b"last")])
    bodies = [one.body for one in await poll(bus)]
    assert (bodies[0], bodies[-1]) == (b"first", b"last")
    assert bus.health().waiting == 0


# --- groups


async def test_lag_is_published_to_a_group_without_members(settings: KafkaSettings, make: MakeBus) -> None:
    """[5, 9, 13, 18] There is no group but this one, and nobody is a member of it."""
    bus = await make()
    await bus.append([record() for _ in range(5)])
    await bus.publish_offsets("executor", {COMMANDS: {PART: 3}})
    await bus.publish_offsets("executor", {COMMANDS: {PART: 4, (PART + 1) % PARTITIONS: 0}, LOGS: {PART: 7}})
    assert await committed(settings, "executor", COMMANDS) == 4
    assert await committed(settings, "executor", LOGS) == 7


async def committed(settings: KafkaSettings, group: str, topic: str) -> int | None:
    reader = AIOKafkaConsumer(
        bootstrap_servers=list(settings.bootstrap_servers),
        group_id=settings.topic_prefix + group,
        enable_auto_commit=False,
    )
    await reader.start()
    place = TopicPartition(settings.topic_prefix + topic, PART)
    reader.assign([place])
    try:
        found: int | None = await reader.committed(place)
        return found
    finally:
        await reader.stop()


async def test_lag_that_can_not_be_published_stops_nobody_and_is_tried_again(
    settings: KafkaSettings, make: MakeBus, caplog: pytest.LogCaptureFixture
) -> None:
    """[7] Somebody else's group has members: commits of others are refused."""
    caplog.set_level(logging.INFO)
    bus = await make()
    member = AIOKafkaConsumer(
        settings.topic_prefix + COMMANDS,
        bootstrap_servers=list(settings.bootstrap_servers),
        group_id=settings.topic_prefix + "taken",
    )
    await member.start()
    for _ in range(2):
        await bus.publish_offsets("taken", {COMMANDS: {PART: 3}})
    assert caplog.text.count("the group has members, so another program uses its name") == 1
    await member.stop()
    await bus.append([record()])
    await bus.publish_offsets("taken", {COMMANDS: {PART: 3}})
    assert "is published again" in caplog.text
    assert await committed(settings, "taken", COMMANDS) == 3


async def test_two_installations_on_one_group_are_noticed_by_both(
    make: MakeBus, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = await make(), await make(installation="other")
    await one.publish_offsets("executor", {COMMANDS: {PART: 3}})
    await other.publish_offsets("executor", {COMMANDS: {PART: 1}})
    assert "holds offsets of `levada test`, we are `levada other`: they are replaced" in caplog.text
    assert one.health().shared == other.health().shared == 0
    for position in (5, 6):
        await one.publish_offsets("executor", {COMMANDS: {PART: position}})
        await other.publish_offsets("executor", {COMMANDS: {PART: position}})
    assert one.health().shared == other.health().shared == 2
    assert caplog.text.count("Two deployments use one group") == 2  # each of them, once


async def test_positions_that_stay_the_same_are_not_written_each_time(
    settings: KafkaSettings, make: MakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[Any] = []
    commit = AIOKafkaConsumer.commit

    async def counted(self: AIOKafkaConsumer, offsets: Any) -> None:
        commits.append(offsets)
        await commit(self, offsets)

    monkeypatch.setattr(AIOKafkaConsumer, "commit", counted)
    bus = await make()
    for position in (1, 1, 1, 2):
        await bus.publish_offsets("executor", {COMMANDS: {PART: position}})
    await bus.publish_offsets("executor", {COMMANDS: {}})
    assert len(commits) == 2
