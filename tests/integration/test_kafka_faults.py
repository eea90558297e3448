"""The bus while its broker is frozen, killed, wiped or damaged. Each test has a broker of its own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.fetch import FetchRequest
from kafka import MakeKafka
from worlds import PARTITIONS, MovableClock, kafka_bus

from levada.bus.broker import KafkaBroker
from levada.bus.kafka import KafkaBus, KafkaSettings
from levada.bus.kafka.topics import Topics, wanted
from levada.bus.kafka.watchdog import Pulse, Verdict
from levada.bus.port import COMMANDS, UNREADABLE, Outgoing, PositionLost, Record, partition_of
from levada.model.errors import Transient

pytestmark = [pytest.mark.xdist_group("kafka"), pytest.mark.timeout(110)]

PART = partition_of("a", PARTITIONS)


def record(body: bytes) -> Outgoing:
    return Outgoing(COMMANDS, "a", body)


async def poll(bus: KafkaBus, position: int = 0, timeout_s: float = 10) -> list[Record]:
    return await bus.poll(COMMANDS, {PART: position}, max_records=100, max_bytes=1 << 20, timeout_s=timeout_s)


async def opened(broker: KafkaBroker, **options: float) -> KafkaBus:
    settings = KafkaSettings(
        (broker.bootstrap,), replication_factor=1, **{"connect_timeout_s": 3, "delivery_timeout_s": 2, **options}
    )
    async with Topics(settings) as topics:
        await topics.apply(wanted(settings, PARTITIONS))
    bus = kafka_bus(settings, MovableClock())
    await bus.start()
    return bus


async def failing(call: Callable[[], Awaitable[object]], kind: type[Transient] = Transient) -> Transient:
    """Call again and again until it fails in this way; return the error."""
    async with asyncio.timeout(30):
        while True:
            try:
                await call()
            except Transient as error:
                if isinstance(error, kind):
                    return error
            await asyncio.sleep(0.05)


async def append_until_it_works(bus: KafkaBus, body: bytes) -> None:
    async with asyncio.timeout(40):
        while True:
            try:
                await bus.append([record(body)])
                return
            except Transient:
                await asyncio.sleep(0.1)


async def test_a_frozen_broker_makes_every_call_fail_in_time_and_then_all_goes_on(make_kafka: MakeKafka) -> None:
    """[3] The futures of aiokafka would wait for ever. Not sent later: what was still waiting when its caller gave up."""
    broker = await make_kafka()
    bus = await opened(broker)
    await bus.append([record(b"before")])
    broker.pause()
    began = time.monotonic()
    results = await asyncio.gather(*(bus.append([record(b"?")]) for _ in range(50)), return_exceptions=True)
    assert all(isinstance(one, Transient) for one in results)
    assert time.monotonic() - began < 10
    assert bus.health().waiting == 0
    assert bus.health().error is not None
    broker.resume()
    await append_until_it_works(bus, b"after")
    bodies = [one.body for one in await poll(bus)]
    assert bodies[0] == b"before"
    assert b"after" in bodies
    await bus.close()


def watched(bus: KafkaBus, monkeypatch: pytest.MonkeyPatch) -> Pulse:
    """Let the watchdog of the bus's one reader bite within a second, and return it."""
    monkeypatch.setattr("levada.bus.kafka.reader.LOOK_S", 0.2)
    (reader,) = bus._readers[COMMANDS]
    reader.pulse = Pulse(time.monotonic, doubt_s=0.6, stuck_s=1.0, rebuilds=2)
    reader.pulse.expect([PART])
    return reader.pulse


async def poll_until(bus: KafkaBus, position: int, seconds: float) -> list[Record]:
    """Poll through whatever fails for the time being until something comes."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                found = await poll(bus, position, timeout_s=1)
            except Transient:
                await asyncio.sleep(0.05)
                continue
            if found:
                return found


async def test_a_reader_is_not_taken_for_stuck_while_its_broker_is_frozen_nor_after(
    make_kafka: MakeKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The brokers are asked before a consumer is thrown away: while they do not answer, it is not to blame."""
    broker = await make_kafka()
    bus = await opened(broker)
    await bus.append([record(b"before")])
    assert len(await poll(bus)) == 1
    pulse = watched(bus, monkeypatch)
    broker.pause()
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        with contextlib.suppress(Transient):
            assert await poll(bus, 1, timeout_s=0.5) == []
    assert pulse.verdict() is not Verdict.WELL
    assert pulse.rebuilds == 0
    broker.resume()
    await append_until_it_works(bus, b"after")
    (found,) = await poll_until(bus, 1, 10)
    assert found.body == b"after"
    assert pulse.in_a_row == 0
    await bus.close()


async def test_a_consumer_that_is_stuck_beside_brokers_that_answer_is_made_anew(
    make_kafka: MakeKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its fetches get no answer, as if the connection were dead and nobody said so; what else is asked gets one."""
    bus = await opened(await make_kafka())
    await bus.append([record(b"before")])
    assert len(await poll(bus)) == 1
    pulse = watched(bus, monkeypatch)
    hang(bus, monkeypatch)
    await asyncio.sleep(FETCH_S)  # the fetch that was under way is over
    await bus.append([record(b"after")])
    (found,) = await poll_until(bus, 1, 10)
    assert found.body == b"after"
    assert pulse.rebuilds == 1
    await bus.close()


#: As long as a fetch waits at the broker for something to come, and a little more.
FETCH_S = 0.8


def hang(bus: KafkaBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the fetches of the reader's consumer get no answer; everything else does."""
    client = bus._readers[COMMANDS][0]._consumer._client  # type: ignore[union-attr]
    ask = client.send

    async def send(node: int, request: Any, **kind: Any) -> Any:
        if isinstance(request, FetchRequest):
            await asyncio.Event().wait()
        return await ask(node, request, **kind)

    monkeypatch.setattr(client, "send", send)


async def test_a_killed_broker_is_said_cheaply_and_found_again(make_kafka: MakeKafka) -> None:
    """[1, 10, 17]"""
    broker = await make_kafka()
    bus = await opened(broker)
    await bus.append([record(b"before")])
    assert len(await poll(bus)) == 1
    await broker.kill()
    busy = time.process_time()
    began = time.monotonic()
    assert await failing(lambda: poll(bus, 1, timeout_s=2))
    assert await failing(lambda: bus.append([record(b"?")]))
    share = (time.process_time() - busy) / (time.monotonic() - began)
    assert share < 0.5, f"waiting for a broker takes {share:.0%} of a processor"
    await broker.start()
    await append_until_it_works(bus, b"after")
    async with asyncio.timeout(30):
        found: list[Record] = []
        while not found or found[-1].body != b"after":
            try:
                found += await poll(bus, 1 + len(found))
            except Transient:
                await asyncio.sleep(0.1)
    await asyncio.wait_for(bus.close(), 15)


async def test_a_bus_closes_soon_while_its_broker_is_away(make_kafka: MakeKafka) -> None:
    """[1]"""
    broker = await make_kafka()
    bus = await opened(broker, delivery_timeout_s=30)
    await bus.append([record(b"before")])
    await broker.kill()
    waiting = asyncio.create_task(bus.append([record(b"?")]))
    await asyncio.sleep(0.3)
    began = time.monotonic()
    await bus.close()
    assert time.monotonic() - began < 15
    with pytest.raises(Transient):
        await waiting


async def test_a_deleted_topic_is_said_and_comes_back(make_kafka: MakeKafka) -> None:
    """[1, 16]"""
    broker = await make_kafka()
    bus = await opened(broker)
    await bus.append([record(b"1"), record(b"2")])
    assert len(await poll(bus)) == 2
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await admin.delete_topics([COMMANDS])
    await admin.close()
    assert await failing(lambda: bus.append([record(b"?")]))
    settings = KafkaSettings((broker.bootstrap,), replication_factor=1)
    async with Topics(settings) as topics:
        await topics.apply(wanted(settings, PARTITIONS))
    await append_until_it_works(bus, b"new")
    assert await failing(lambda: poll(bus, 100, timeout_s=1), PositionLost)
    assert (await poll(bus, 0))[-1].body == b"new"
    await bus.close()


def damage(folder: Path) -> None:
    (segment,) = folder.glob(f"kafka-0/**/{COMMANDS}-{PART}/00000000000000000000.log")
    content = segment.read_bytes()
    assert content.count(b"DAMAGED!") == 1
    segment.write_bytes(content.replace(b"DAMAGED!", b"damaged!"))


async def test_a_damaged_record_is_stepped_over_and_parked(make_kafka: MakeKafka, tmp_path: Path) -> None:
    broker = await make_kafka()
    bus = await opened(broker)
    for body in (b"first", b"DAMAGED!", b"last"):
        await bus.append([record(body)])
    await bus.close()
    await broker.stop()
    damage(tmp_path)
    await broker.start()
    bus = await opened(broker)
    found: list[Record] = []
    async with asyncio.timeout(30):
        while len(found) < 3:
            found += await poll(bus, len(found))
    assert [one.offset for one in found] == [0, 1, 2]
    assert [one.body for one in found] == [b"first", b"", b"last"]
    assert "checksum" in found[1].headers[UNREADABLE]
    await bus.close()
