"""The broker module over real Kafka: start, deaths, what a restart keeps and what it does not."""

from __future__ import annotations

import asyncio
import functools
import http.server
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from kafka import PASSWORD, USER, Kafka, MakeKafka, MakeKafkaCluster, SecureKafka

from levada.bus.broker import BrokerError, FolderInUse, KafkaBroker, Setup, Sources, jars
from levada.bus.broker.program import Program


async def make_topic(bootstrap: str, name: str, copies: int = 1) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(name, 1, copies)])
        assert [error for _, error, *_ in answer.topic_errors] == [0], answer
    finally:
        await admin.close()


async def topics(bootstrap: str) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return set(await admin.list_topics())
    finally:
        await admin.close()


async def write(bootstrap: str, topic: str, value: bytes, **options: object) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", **options)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()


async def read(bootstrap: str, topic: str, **options: object) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", **options)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end, found = (await consumer.end_offsets([partition]))[partition], []
        while len(found) < end:
            found += [record.value async for record in _some(consumer)]
        return found
    finally:
        await consumer.stop()


async def _some(consumer: AIOKafkaConsumer) -> AsyncIterator[Any]:
    for records in (await consumer.getmany(timeout_ms=1000)).values():
        for record in records:
            yield record


async def test_a_client_makes_topics_writes_and_reads(kafka: Kafka, topic_prefix: str) -> None:
    topic = f"{topic_prefix}greetings"
    await make_topic(kafka.bootstrap, topic)
    await write(kafka.bootstrap, topic, b"hello")
    assert await read(kafka.bootstrap, topic) == [b"hello"]


async def test_a_killed_broker_comes_back_with_its_data(make_kafka: MakeKafka) -> None:
    broker = await make_kafka()
    cluster, address = broker.cluster_id, broker.bootstrap
    await make_topic(address, "kept")
    await write(address, "kept", b"before")
    await broker.kill()
    assert not broker.running
    await broker.start()
    assert (broker.cluster_id, broker.bootstrap) == (cluster, address)
    await write(address, "kept", b"after")
    assert await read(address, "kept") == [b"before", b"after"]


async def test_a_wiped_broker_has_forgotten_everything(make_kafka: MakeKafka) -> None:
    broker = await make_kafka()
    await make_topic(broker.bootstrap, "lost")
    before = broker.cluster_id
    await broker.wipe()
    assert broker.cluster_id is None
    await broker.start()
    assert "lost" not in await topics(broker.bootstrap)
    assert broker.cluster_id not in (None, before)


async def test_a_paused_broker_is_silent_and_goes_on(make_kafka: MakeKafka) -> None:
    broker = await make_kafka()
    broker.pause()
    assert broker.running
    assert await broker.members() == frozenset()
    broker.resume()
    await broker.wait_ready()


async def test_three_brokers_survive_the_loss_of_one(make_kafka_cluster: MakeKafkaCluster) -> None:
    cluster = await make_kafka_cluster()
    await make_topic(cluster.bootstrap, "copied", copies=3)
    await write(cluster.bootstrap, "copied", b"one")
    await cluster.brokers[0].kill()
    async with asyncio.timeout(30):
        await write(cluster.bootstrap, "copied", b"two")
    await cluster.brokers[0].start()
    await cluster.wait_complete()
    assert await read(cluster.bootstrap, "copied") == [b"one", b"two"]


async def test_a_wiped_member_gets_its_copies_again(make_kafka_cluster: MakeKafkaCluster) -> None:
    cluster = await make_kafka_cluster()
    before = cluster.brokers[0].cluster_id
    await make_topic(cluster.bootstrap, "copied", copies=3)
    await write(cluster.bootstrap, "copied", b"one")
    await cluster.brokers[2].wipe()
    await cluster.brokers[2].start()
    await cluster.wait_complete()
    assert cluster.brokers[2].cluster_id == before
    assert await read(cluster.bootstrap, "copied") == [b"one"]
    await cluster.wipe()
    await cluster.start()
    assert "copied" not in await topics(cluster.bootstrap)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_passwords_and_certificates_are_asked_for(secure_kafka: SecureKafka, mechanism: str) -> None:
    topic = f"secret-{mechanism}"
    await make_topic(secure_kafka.broker.bootstrap, topic)
    sasl = {"sasl_mechanism": mechanism, "sasl_plain_username": USER, "sasl_plain_password": PASSWORD}
    trust = ssl.create_default_context(cafile=str(secure_kafka.authority))
    known = ssl.create_default_context(cafile=str(secure_kafka.authority))
    known.load_cert_chain(secure_kafka.certificate, secure_kafka.key)
    await write(secure_kafka.address("SASL"), topic, b"1", security_protocol="SASL_PLAINTEXT", **sasl)
    await write(secure_kafka.address("SASLTLS"), topic, b"2", security_protocol="SASL_SSL", ssl_context=trust, **sasl)
    await write(secure_kafka.address("TLS"), topic, b"3", security_protocol="SSL", ssl_context=trust)
    await write(secure_kafka.address("MUTUAL"), topic, b"4", security_protocol="SSL", ssl_context=known)
    assert await read(secure_kafka.broker.bootstrap, topic) == [b"1", b"2", b"3", b"4"]


def test_the_settings_are_only_ours_to_read(secure_kafka: SecureKafka) -> None:
    assert Path(secure_kafka.broker.folder.properties).stat().st_mode & 0o077 == 0


# --- what can go wrong


async def test_a_taken_port_is_named_at_once(tmp_path: Path, kafka_program: Program) -> None:
    broker = KafkaBroker(tmp_path / "broker")
    with socket.create_server(("127.0.0.1", broker.port)), pytest.raises(BrokerError, match=f":{broker.port} .*taken"):
        await broker.start()
    assert not broker.running
    await broker.start()
    await broker.stop(grace_s=0)


async def test_a_folder_in_use_is_refused_and_its_owner_unharmed(make_kafka: MakeKafka) -> None:
    broker = await make_kafka()
    with pytest.raises(FolderInUse, match="in use by process"):
        await KafkaBroker(broker.folder.path).start()
    assert await broker.members() == {1}
    await broker.stop()
    async with asyncio.timeout(30), KafkaBroker(broker.folder.path) as second:
        assert second.cluster_id == broker.cluster_id


async def test_a_broker_that_cannot_start_says_why(tmp_path: Path, kafka_program: Program) -> None:
    broker = KafkaBroker(tmp_path / "broker", Setup(settings={"num.io.threads": "none"}))
    with pytest.raises(
        BrokerError, match=r"exit code 1 while starting: [^\t]*Invalid value none for configuration num\.io\.threads"
    ):
        await broker.start()
    assert not broker.running


def test_a_repository_brings_what_maven_would(kafka_program: Program, tmp_path: Path) -> None:
    """The real jars, from a repository on this machine: names, places and hashes agree."""
    repository = tmp_path / "repository"
    for jar, path in zip(jars.locked(), kafka_program.library.jars, strict=True):
        (repository / jar.path).parent.mkdir(parents=True)
        (repository / jar.path).symlink_to(path)
    handler = functools.partial(Quiet, directory=str(repository))
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        library = jars.obtain(Sources(cache=tmp_path / "cache", repository=address))
        server.shutdown()
        thread.join()
    assert [path.name for path in library.jars] == [path.name for path in kafka_program.library.jars]
    assert jars.obtain(Sources(cache=tmp_path / "cache")) == library


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False  # so that closing it waits for them


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""
