"""The bus over Kafka, as this installation has configured it.

Imported only where `kafka.bootstrap_servers` is set: the client costs memory that a laptop need not spend.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Any

from levada.bus.kafka import BlobMissing, KafkaBus, KafkaSettings
from levada.bus.kafka.topics import Topics, wanted
from levada.files.port import Files
from levada.model.errors import Transient, UserError
from levada.runtime import metrics
from levada.runtime.clock import Clock
from levada.runtime.config import Config
from levada.runtime.failpoints import failpoint
from levada.runtime.health import Health
from levada.runtime.old_bodies import FOLDER

log = logging.getLogger(__name__)

#: For so long a stranger on our topics is remembered; the lag that installations publish is written every minute.
STRANGER_S = 90.0


def settings(config: Config) -> KafkaSettings:
    """Return what the adapter needs to know, out of the one configuration tree."""
    kafka = config.kafka
    return KafkaSettings(
        bootstrap_servers=tuple(kafka.bootstrap_servers),
        client_id=kafka.client_id,
        topic_prefix=kafka.topic_prefix,
        replication_factor=kafka.replication_factor,
        retention_s=kafka.retention,
        security_protocol=kafka.security_protocol,
        sasl_mechanism=kafka.sasl_mechanism,
        sasl_username=kafka.sasl_username,
        sasl_password=kafka.sasl_password,
        ssl_ca_file=kafka.ssl_ca_file,
        ssl_cert_file=kafka.ssl_cert_file,
        ssl_key_file=kafka.ssl_key_file,
        ssl_key_password=kafka.ssl_key_password,
        ssl_check_hostname=kafka.ssl_check_hostname,
        delivery_timeout_s=kafka.delivery_timeout,
    )


async def make_topics(config: Config, *, only_missing: bool = True) -> list[str]:
    """Make the topics that are missing; return their names. Raises Transient when that can not be done yet."""
    made = settings(config)
    async with Topics(made) as topics:
        done = await topics.apply(wanted(made, config.bus.partitions, config.limits.message), only_missing=only_missing)
    return [one.topic for one in done]


async def kafka_bus(config: Config, clock: Clock, installation: str, files: Files, health: Health) -> KafkaBus:
    """Return the bus, connected, with a health check that tells of strangers on its topics. Raises Transient while no broker answers, UserError for topics that are not as they must be."""
    if config.kafka.make_topics:
        made = await make_topics(config)
        if made:
            log.info("made topics %s", ", ".join(made))
    bus = KafkaBus(
        settings(config),
        partitions=config.bus.partitions,
        installation=installation,
        now_us=clock.now_us,
        blobs=StoredBodies(files),
        message_limit=config.limits.message,
        failpoint=failpoint,
        make_again=functools.partial(make_topics, config) if config.kafka.make_topics else None,
    )
    try:
        await bus.start()
    except BaseException:
        await bus.close()
        raise
    metrics.REGISTRY.collect("kafka", functools.partial(_collect, bus))
    health.register("topics", functools.partial(_own_topics, bus, installation, config.kafka.topic_prefix))
    return bus


async def _own_topics(bus: KafkaBus, installation: str, prefix: str) -> Mapping[str, Any]:
    """Health check: no older installation uses these topics. A younger one is the one in the wrong, and is told of."""
    other = bus.neighbour(STRANGER_S)
    if other is None:
        return {"installation": installation}
    said = (
        f"another installation, `{other}`, uses the topics `{prefix}*` too, we are `{installation}`: give one of the two "
        "deployments another kafka.topic_prefix"
    )
    if other < installation:
        raise Transient(said)
    return {"warning": said}


def _collect(bus: KafkaBus) -> None:
    health = bus.health()
    metrics.KAFKA_UP.set(health.error is None)
    metrics.KAFKA_REBUILDS.follow(health.rebuilds)
    metrics.KAFKA_FOREIGN.follow(health.foreign)
    metrics.KAFKA_UNCONFIRMED.set(health.waiting)
    metrics.KAFKA_SHARED.follow(health.shared)


class StoredBodies:
    """`bus.kafka.BlobStore` in the internal storage."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def put(self, name: str, body: bytes) -> str:
        uri = f"{FOLDER}/{name}"
        await self._files.put(uri, body)
        return uri

    async def read(self, reference: str) -> bytes:
        try:
            return await self._files.read(reference)
        except UserError as error:
            raise BlobMissing(f"the body of a message is not at {reference}: {error}") from error
