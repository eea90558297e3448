"""`--kafka`: a Kafka of our own beside the services, to try the bus over Kafka without installing one.

It lives in the data folder, under `kafka`, and only as long as the process: started before anything connects to it, stopped
when nothing needs it any more, and started again when it dies, with growing pauses. Whatever was accepted stands in Postgres,
so its death costs time and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator

from levada.bus.broker import BrokerError, KafkaBroker, Setup, Sources
from levada.cli import screen
from levada.cli.failures import BadUsage, CannotStart
from levada.runtime.config import Config, Loaded

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0


@contextlib.asynccontextmanager
async def kafka(loaded: Loaded) -> AsyncIterator[Loaded]:
    """Run a broker while the context lasts, and yield the configuration that uses it.

    Raises BadUsage when the configuration names brokers already, CannotStart with the way out when none can run here.
    """
    config = loaded.config
    if config.kafka.bootstrap_servers:
        raise BadUsage(
            f"--kafka starts a Kafka of its own, but kafka.bootstrap_servers is set "
            f"({loaded.sources['kafka.bootstrap_servers']}); leave one of the two out"
        )
    broker = KafkaBroker(
        config.data_dir / "kafka", Setup(sources=Sources.of(config.kafka.libs, config.kafka.cache), tell=screen.note)
    )
    try:
        await broker.start()
    except BrokerError as error:
        raise CannotStart(str(error)) from error
    except OSError as error:
        raise CannotStart(f"cannot run Kafka in {broker.folder.path}: {error.strerror or error}") from error
    watcher = asyncio.create_task(_keep_running(broker), name="kafka")
    try:
        yield dataclasses.replace(loaded, config=_using(config, broker.bootstrap))
    finally:
        watcher.cancel()
        await asyncio.wait([watcher])
        await broker.stop()


def _using(config: Config, bootstrap: str) -> Config:
    """Return the configuration for one plain broker: a copy of each topic is all that it can hold."""
    one = dataclasses.replace(
        config.kafka, bootstrap_servers=(bootstrap,), replication_factor=1, security_protocol="PLAINTEXT"
    )
    return dataclasses.replace(config, kafka=one)


async def _keep_running(broker: KafkaBroker) -> None:
    pause_s = FIRST_PAUSE_S
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        if broker.running:
            pause_s = FIRST_PAUSE_S
            continue
        log.error("Kafka died; starting it again (its log: %s)", broker.folder.log)
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        try:
            await broker.start()
        except (BrokerError, OSError) as error:
            log.error("Kafka did not start again, next try in %.1f s: %s", pause_s, error)
