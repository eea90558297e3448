"""One database, one bus at a time: a lease that all processes of one configuration keep together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from levada.database import Database
from levada.model.errors import Transient
from levada.runtime import installation
from levada.runtime.clock import SystemClock
from levada.runtime.config import Config
from levada.runtime.config.tree import Kafka
from levada.runtime.installation import BusClaim, bus_of, identify


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Database]:
    pool = await Database.open(database)
    await identify(pool, SystemClock())
    yield pool
    await pool.close()


async def test_the_id_of_a_younger_installation_sorts_after_an_older_ones(pool: Database) -> None:
    known = await identify(pool, SystemClock())
    assert await identify(pool, SystemClock()) == known
    await pool.execute("DELETE FROM installation")
    assert known < await identify(pool, SystemClock())


async def test_another_bus_waits_until_nobody_keeps_the_first(
    pool: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(installation, "LEASE_S", 0.6)
    monkeypatch.setattr(installation, "KEEP_S", 0.1)
    first, again, other = BusClaim(pool, "Postgres"), BusClaim(pool, "Postgres"), BusClaim(pool, "Kafka, topics x.*")
    await first.take()
    await again.take()
    keeping = asyncio.create_task(first.keep())
    for _ in range(3):
        with pytest.raises(Transient, match=r"another bus \(Postgres\) than this one \(Kafka, topics x\.\*\)"):
            await other.take()
        await asyncio.sleep(0.3)
    assert await again.check() == {"bus": "Postgres"}
    keeping.cancel()
    await asyncio.sleep(0.7)
    await other.take()
    assert "the bus of this database was Postgres and is Kafka" in caplog.text
    keeping = asyncio.create_task(first.keep())  # one that was frozen for longer than the lease finds out
    await asyncio.sleep(0.3)
    with pytest.raises(Transient, match="stop all processes first"):
        await first.check()
    keeping.cancel()
    assert [one.levelno for one in caplog.records if "stop all processes" in one.message].count(logging.ERROR) == 2


def test_a_bus_is_named_by_what_makes_it_another() -> None:
    assert bus_of(Config()) == "Postgres"
    assert bus_of(Config(kafka=Kafka(bootstrap_servers=("a:1",), topic_prefix="p."))) == "Kafka, topics p.*"
