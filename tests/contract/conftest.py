"""`world`: the adapters under test. Every test of a port runs over each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from worlds import World, memory_world, postgres_world


@pytest.fixture(params=["memory", "postgres", "postgres-without-doorbell"])
def adapter(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The adapter's name and, where it has one, the DSN of a database of this test's own."""
    name: str = request.param
    return name, "" if name == "memory" else request.getfixturevalue("database")


@pytest.fixture
async def world(adapter: tuple[str, str]) -> AsyncIterator[World]:
    name, dsn = adapter
    made = memory_world() if name == "memory" else await postgres_world(dsn, doorbell=name == "postgres")
    yield made
    await made.close()
