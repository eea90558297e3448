"""Which installation this is, and that all of its processes talk over the same bus.

A database is one installation. Its id is drawn when the database is new, and ids sort by age: of two deployments that
share topics by mistake the younger one is in the wrong.

The other mistake is two deployments on one database with different buses (another `kafka.topic_prefix`, other brokers, or
Kafka here and Postgres there). Positions are in the database, so each would read its own log by the other's positions. A
lease in the one row of `installation` prevents that: every process keeps it for the bus it is configured to use, and one
that is configured otherwise does not start until it has run out. So a deliberate change needs no more than that
everything is stopped first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from levada.database import Database
from levada.model.errors import Transient
from levada.runtime.clock import Clock
from levada.runtime.config import Config

log = logging.getLogger(__name__)

LEASE_S = 6.0
KEEP_S = LEASE_S / 3

# Whoever comes first in a third of the lease writes, for all; a bus that nobody keeps any more may be replaced.
CLAIM = """
UPDATE installation SET bus = $1, bus_until = clock_timestamp() + make_interval(secs => $2)
WHERE bus_until IS NULL OR bus_until < clock_timestamp()
   OR (bus = $1 AND bus_until < clock_timestamp() + make_interval(secs => $2 * 0.7))
"""


async def identify(database: Database, clock: Clock) -> str:
    """Return the id of this installation, drawn when its database was new. Younger ones sort after older ones."""
    drawn = f"{clock.now_us():014x}{clock.random_bytes(4).hex()}"
    await database.execute("INSERT INTO installation (id) VALUES ($1) ON CONFLICT DO NOTHING", drawn)
    return str(await database.fetchval("SELECT id FROM installation"))


def bus_of(config: Config) -> str:
    """Return the name of the bus for people and for the claim: what makes it another one than before."""
    if not config.kafka.bootstrap_servers:
        return "Postgres"
    return f"Kafka, topics {config.kafka.topic_prefix}*"


class BusClaim:
    """This process's part in the lease. `take` before anything is read from the bus; `keep` as long as it lives."""

    def __init__(self, database: Database, bus: str) -> None:
        self._database = database
        self._bus = bus
        self._trouble: str | None = None

    async def take(self) -> None:
        """Raise Transient while other processes of this database use another bus."""
        before = await self._database.fetchval("SELECT bus FROM installation")
        await self._claim()
        if self._trouble is not None:
            raise Transient(self._trouble)
        if before not in (None, self._bus):
            log.warning(
                "the bus of this database was %s and is %s from now on: what was on its way there is not read here",
                before,
                self._bus,
            )

    async def keep(self) -> None:
        """Renew the lease until cancelled."""
        while True:
            await asyncio.sleep(KEEP_S)
            try:
                await self._claim()
            except Transient as error:
                log.debug("the claim to the bus is renewed later: %s", error)

    async def check(self) -> Mapping[str, Any]:
        """Health check: the database is this bus's."""
        if self._trouble is not None:
            raise Transient(self._trouble)
        return {"bus": self._bus}

    async def _claim(self) -> None:
        await self._database.execute(CLAIM, self._bus, LEASE_S)
        now = await self._database.fetchval("SELECT bus FROM installation")
        was, self._trouble = self._trouble, None
        if now != self._bus:
            self._trouble = (
                f"other processes of this database use another bus ({now}) than this one ({self._bus}): set "
                "kafka.bootstrap_servers and kafka.topic_prefix alike everywhere, or give one of the two deployments a "
                "database of its own (database.url); to change the bus, stop all processes first"
            )
            if was is None:
                log.error("%s", self._trouble)
