"""Hosts of their own: what is cut is lost without a word, in the direction that was cut; three brokers survive it."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator

import namespaces
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from kafka import MakeKafkaCluster
from namespaces import OUTSIDE, Network

pytestmark = [
    pytest.mark.skipif(namespaces.unavailable() is not None, reason=str(namespaces.unavailable())),
    pytest.mark.xdist_group("namespaces"),
]

SILENCE_S = 0.7
ECHO = """
import socket, threading
def serve(connection):
    while data := connection.recv(1000):
        print(data.decode(), flush=True)
        connection.sendall(data)
with socket.create_server(("", 7000)) as server:
    print("ready", flush=True)
    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""


@pytest.fixture
def network() -> Iterator[Network]:
    with Network(["a", "b", "c"]) as made:
        yield made


@pytest.fixture
def echo(network: Network) -> Iterator[subprocess.Popen[str]]:
    """Answers on port 7000 of `a`, and prints what it hears."""
    command = [*network.prefix("a"), sys.executable, "-c", ECHO]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


async def test_what_is_cut_is_lost_without_a_word(network: Network, echo: subprocess.Popen[str]) -> None:
    reader, writer = await asyncio.open_connection(network.address("a"), 7000)
    writer.write(b"one")
    assert await reader.read(100) == b"one"
    network.cut("a", OUTSIDE)
    writer.write(b"two")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(100), SILENCE_S)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.open_connection(network.address("a"), 7000), SILENCE_S)
    network.heal()
    assert await asyncio.wait_for(reader.read(100), 20) == b"two"
    writer.close()


async def test_one_direction_alone_can_be_cut(network: Network, echo: subprocess.Popen[str]) -> None:
    reader, writer = await asyncio.open_connection(network.address("a"), 7000)
    network.cut("a", OUTSIDE, back=False)
    writer.write(b"done")
    assert echo.stdout is not None
    assert await asyncio.to_thread(echo.stdout.readline) == "done\n"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(100), SILENCE_S)
    network.heal()
    assert await asyncio.wait_for(reader.read(100), 20) == b"done"
    writer.close()


@pytest.mark.timeout(240)
async def test_three_brokers_lose_one_to_the_network_and_nothing_else(
    network: Network, make_kafka_cluster: MakeKafkaCluster
) -> None:
    names = ["a", "b", "c"]
    hosts, prefixes = [network.address(name) for name in names], [network.prefix(name) for name in names]
    cluster = await make_kafka_cluster(hosts=hosts, prefixes=prefixes)
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("cut", 3, 3)])
    await admin.close()
    acknowledged: list[bytes] = []
    writing = asyncio.create_task(_write(cluster.bootstrap, acknowledged))
    await asyncio.sleep(1)
    before = len(acknowledged)
    network.isolate("a")
    await asyncio.sleep(8)
    during = len(acknowledged)
    network.heal()
    await cluster.wait_complete()
    await asyncio.sleep(1)
    writing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await writing
    assert during > before, "two brokers of three go on"
    found = await _read(cluster.bootstrap)
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found)), "a value was written twice"


async def _write(bootstrap: str, acknowledged: list[bytes]) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, request_timeout_ms=3000
    )
    await producer.start()
    try:
        for number in range(100_000):
            value = b"%d" % number
            await producer.send_and_wait("cut", value, partition=number % 3)
            acknowledged.append(value)
            await asyncio.sleep(0.01)
    finally:
        await producer.stop()


async def _read(bootstrap: str) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        partitions = [TopicPartition("cut", number) for number in range(3)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends, found = await consumer.end_offsets(partitions), []
        while len(found) < sum(ends.values()):
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                found += [record.value for record in records]
        return found
    finally:
        await consumer.stop()
