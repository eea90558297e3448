"""What the services of a local cluster stand on: Postgres and the brokers, started here unless somebody else runs them.

Nothing here knows the services. Postgres is started again by its own supervisor whenever it dies; a broker that dies stays
down until someone, or `keep_brokers`, starts it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from pathlib import Path

from levada.bus.broker import KafkaBroker, KafkaCluster
from levada.cli.cluster.settings import Bus
from levada.cli.failures import BadUsage, CannotStart
from levada.model.errors import LevadaError
from levada.store.embedded import EmbeddedPostgres

log = logging.getLogger(__name__)

POSTGRES = "postgres"
BROKER = "broker-"
POSTGRES_SETTINGS = {"max_connections": "400"}
"""Every process but the workers has its own pool; the embedded server's usual limit is meant for one process."""


class Servers:
    """Postgres and, for the bus on Kafka, its brokers; `start` and `stop` may be called again and again."""

    def __init__(self, folder: Path, bus: Bus, brokers: int, *, dsn: str | None, bootstrap: str | None) -> None:
        """`dsn` and `bootstrap` name servers that run already; those are neither started nor stopped."""
        self._folder, self._bus, self._size = folder, bus, brokers
        self._given_dsn, self._given_bootstrap = dsn, bootstrap
        self._postgres: EmbeddedPostgres | None = None
        self._kafka: KafkaCluster | None = None

    @property
    def postgres(self) -> EmbeddedPostgres:
        if self._postgres is None:
            raise BadUsage("this cluster uses a Postgres that somebody else runs")
        return self._postgres

    @property
    def kafka(self) -> KafkaCluster:
        if self._kafka is None:
            raise BadUsage("this cluster runs no Kafka of its own")
        return self._kafka

    def broker(self, name: str) -> KafkaBroker:
        """Return the broker with a name such as `broker-1`."""
        number = name.removeprefix(BROKER)
        if not number.isdigit() or not 0 < int(number) <= len(self.kafka.brokers):
            raise BadUsage(f"there is no broker {name!r}; there are {len(self.kafka.brokers)}, broker-1 and so on")
        return self.kafka.brokers[int(number) - 1]

    def running(self) -> list[tuple[str, int | None, int | None]]:
        """Return name, process id and port of each, as far as they are ours."""
        brokers = self._kafka.brokers if self._kafka is not None else ()
        found: list[tuple[str, int | None, int | None]] = [
            (f"{BROKER}{number}", broker.pid, broker.port) for number, broker in enumerate(brokers, 1)
        ]
        return [*found, (POSTGRES, self._postgres.pid, None)] if self._postgres is not None else found

    # --- life

    async def start(self) -> tuple[str, str | None]:
        """Start what is ours; return the database's address and the brokers'. Raises CannotStart."""
        return await asyncio.gather(self._start_postgres(), self._start_brokers())

    async def stop(self) -> None:
        started = [server for server in (self._kafka, self._postgres) if server is not None]
        await asyncio.gather(*(server.stop() for server in started))
        self._kafka = self._postgres = None

    async def _start_postgres(self) -> str:
        if self._given_dsn is not None:
            return self._given_dsn
        self._postgres = EmbeddedPostgres(self._folder, settings=POSTGRES_SETTINGS)
        try:
            return await self._postgres.start()
        except LevadaError as error:
            self._postgres = None
            raise CannotStart(str(error)) from error

    async def _start_brokers(self) -> str | None:
        if self._bus == "postgres" or self._given_bootstrap is not None:
            return self._given_bootstrap
        self._kafka = KafkaCluster(self._folder / "kafka", size=self._size)
        try:
            await self._kafka.start()
        except LevadaError as error:
            self._kafka = None
            raise CannotStart(f"{error} Without Kafka: --bus postgres") from error
        return self._kafka.bootstrap

    async def keep_brokers(self) -> None:
        """Start a broker again that died; one that does not start is tried again at the next call."""
        for broker in self._kafka.brokers if self._kafka is not None else ():
            if not broker.running:
                try:
                    await broker.start(wait=False)
                except LevadaError as error:
                    log.warning("a broker did not start again: %s", error)

    # --- what may be done to them

    def has(self, name: str) -> bool:
        """Whether a name is one of a server, and not of a process of a service."""
        return name == POSTGRES or name.startswith(BROKER)

    async def signal(self, name: str, number: int) -> None:
        """Send a signal to Postgres or a broker; a broker that is killed is dead when this returns."""
        if name != POSTGRES:
            await _signal_broker(self.broker(name), number)
            return
        pid = self.postgres.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


async def _signal_broker(broker: KafkaBroker, number: int) -> None:
    match number:
        case signal.SIGKILL:
            await broker.kill()
        case signal.SIGTERM:
            await broker.stop()
        case signal.SIGSTOP:
            broker.pause()
        case signal.SIGCONT:
            broker.resume()
        case _:
            raise BadUsage(f"a broker is sent SIGKILL, SIGTERM, SIGSTOP or SIGCONT, not signal {number}")
