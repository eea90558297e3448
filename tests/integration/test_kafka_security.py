"""Passwords and certificates: every way in works, and every wrong one is named with the setting that puts it right.

aiokafka says "Unable to bootstrap" for all of them [11]; the numbers are those of docs/guides/kafka.md.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import certificates
import pytest
from kafka import PASSWORD, USER, SecureKafka
from worlds import PARTITIONS, MovableClock, kafka_bus

from levada.bus.kafka import KafkaSettings
from levada.bus.kafka.topics import Topics, wanted
from levada.bus.port import COMMANDS, Outgoing, partition_of
from levada.model.errors import Transient

pytestmark = pytest.mark.xdist_group("kafka")

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@pytest.fixture
def base(secure_kafka: SecureKafka, topic_prefix: str) -> KafkaSettings:
    return KafkaSettings(
        (secure_kafka.address("SASL"),),
        topic_prefix=topic_prefix,
        replication_factor=1,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username=USER,
        sasl_password=PASSWORD,
        ssl_ca_file=secure_kafka.authority,
        connect_timeout_s=1,
    )


def at(base: KafkaSettings, secure: SecureKafka, listener: str, protocol: str, **fields: object) -> KafkaSettings:
    changed: dict[str, object] = {"bootstrap_servers": (secure.address(listener),), "security_protocol": protocol}
    return dataclasses.replace(base, **changed, **fields)  # type: ignore[arg-type]


async def carries(settings: KafkaSettings) -> None:
    """Make topics, append, read."""
    async with Topics(settings) as topics:
        await topics.apply(wanted(settings, PARTITIONS))
    bus = kafka_bus(settings, MovableClock())
    try:
        await bus.start()
        await bus.append([Outgoing(COMMANDS, "a", b"x")])
        part = partition_of("a", PARTITIONS)
        (found,) = await bus.poll(COMMANDS, {part: 0}, max_records=1, max_bytes=100, timeout_s=10)
        assert found.body == b"x"
        await bus.publish_offsets("lag", {COMMANDS: {part: 1}})
    finally:
        await bus.close()


async def refused(settings: KafkaSettings) -> str:
    bus = kafka_bus(settings, MovableClock())
    try:
        with pytest.raises(Transient) as error:
            await bus.start()
        return str(error.value)
    finally:
        await bus.close()


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize(("listener", "protocol"), [("SASL", "SASL_PLAINTEXT"), ("SASLTLS", "SASL_SSL")])
async def test_a_password_lets_in(
    base: KafkaSettings, secure_kafka: SecureKafka, mechanism: str, listener: str, protocol: str
) -> None:
    await carries(at(base, secure_kafka, listener, protocol, sasl_mechanism=mechanism))


async def test_tls_carries(base: KafkaSettings, secure_kafka: SecureKafka) -> None:
    await carries(at(base, secure_kafka, "TLS", "SSL"))


async def test_a_certificate_lets_in(base: KafkaSettings, secure_kafka: SecureKafka) -> None:
    own = {"ssl_cert_file": secure_kafka.certificate, "ssl_key_file": secure_kafka.key}
    await carries(at(base, secure_kafka, "MUTUAL", "SSL", **own))


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_wrong_password_is_named(base: KafkaSettings, secure_kafka: SecureKafka, mechanism: str) -> None:
    wrong = at(base, secure_kafka, "SASLTLS", "SASL_SSL", sasl_mechanism=mechanism, sasl_password="wrong")
    said = await refused(wrong)
    assert f"user `{USER}` was refused" in said
    assert "kafka.sasl_password" in said
    assert "wrong" not in said.replace("wrong with", "")


async def test_an_unknown_authority_is_named(base: KafkaSettings, secure_kafka: SecureKafka, tmp_path: Path) -> None:
    other, *_ = certificates.make(tmp_path)
    assert "kafka.ssl_ca_file" in await refused(at(base, secure_kafka, "TLS", "SSL", ssl_ca_file=other))


async def test_a_missing_certificate_is_named(base: KafkaSettings, secure_kafka: SecureKafka) -> None:
    assert "kafka.ssl_cert_file" in await refused(at(base, secure_kafka, "MUTUAL", "SSL"))


async def test_a_certificate_of_another_authority_is_named(
    base: KafkaSettings, secure_kafka: SecureKafka, tmp_path: Path
) -> None:
    _, _, client = certificates.make(tmp_path)
    own = {"ssl_cert_file": client.certificate, "ssl_key_file": client.key}
    assert "kafka.ssl_cert_file" in await refused(at(base, secure_kafka, "MUTUAL", "SSL", **own))


@pytest.mark.parametrize(
    ("listener", "protocol", "said"),
    [
        ("TLS", "PLAINTEXT", "does the port want TLS"),
        ("SASL", "PLAINTEXT", "somebody to sign in"),
        ("SASLTLS", "SASL_PLAINTEXT", "SASL_SSL"),
        ("CLIENT", "SSL", "TLS"),
        ("CLIENT", "SASL_PLAINTEXT", "kafka.security_protocol"),
    ],
)
async def test_another_protocol_than_the_ports_is_named(
    base: KafkaSettings, secure_kafka: SecureKafka, listener: str, protocol: str, said: str
) -> None:
    text = await refused(at(base, secure_kafka, listener, protocol))
    assert said in text
    assert "kafka.security_protocol" in text or "TLS" in text


async def test_nothing_there_and_no_such_host_are_told_apart_per_server(base: KafkaSettings) -> None:
    """[10]"""
    settings = dataclasses.replace(base, bootstrap_servers=("127.0.0.1:1", "no-such-host.invalid:9092"))
    said = await refused(settings)
    assert "127.0.0.1:1: nothing listens there" in said
    assert "no-such-host.invalid:9092: there is no such host" in said
