"""The doorbell wakes other processes, not the one that rang, and comes back after a lost connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from levada.database import Database
from levada.runtime.doorbell import Doorbell


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Database]:
    opened = await Database.open(database, size=4)
    yield opened
    await opened.close()


def listening(pool: Database, name: str, heard: asyncio.Queue[str]) -> Doorbell:
    bell = Doorbell(pool, name)
    bell.on("test", lambda: heard.put_nowait(name))
    bell.start()
    return bell


async def test_others_hear_a_ring_and_oneself_does_not(pool: Database) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    one, two = listening(pool, "one", heard), listening(pool, "two", heard)
    assert {await heard.get(), await heard.get()} == {"one", "two"}  # both look once when they begin to listen
    one.ring("test")
    assert await asyncio.wait_for(heard.get(), 5) == "two"
    two.ring("test")
    assert await asyncio.wait_for(heard.get(), 5) == "one"
    assert heard.empty()
    await one.close()
    await two.close()


async def test_many_rings_are_few_messages(pool: Database) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    ringer = Doorbell(pool, "ringer")
    ringer.start()
    listener = listening(pool, "listener", heard)
    await heard.get()
    for _ in range(1000):
        ringer.ring("test")
    await asyncio.wait_for(heard.get(), 5)
    await asyncio.sleep(0.1)
    assert heard.qsize() < 5
    await ringer.close()
    await listener.close()


async def test_a_lost_connection_is_made_again_and_looked_after(pool: Database) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = listening(pool, "listener", heard)
    await heard.get()
    await pool.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    assert await asyncio.wait_for(heard.get(), 10) == "listener"
    ringer = Doorbell(pool, "ringer")
    ringer.start()
    ringer.ring("test")
    assert await asyncio.wait_for(heard.get(), 5) == "listener"
    await ringer.close()
    await listener.close()
