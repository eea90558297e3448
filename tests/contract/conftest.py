"""`world`: the adapters under test. Every test of a port runs over each of them.

All tests share one database, whose rows are deleted before each: making a database costs seconds, deleting milliseconds.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from postgres import Server
from worlds import World, memory_world, postgres_world

TABLES = """
SELECT string_agg(format('DELETE FROM %I', c.relname), '; ')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'schema_migration'
"""


@pytest.fixture(scope="session")
def shared_database(postgres_server: Server, template_database: str) -> Iterator[str]:
    name = f"contract_{os.getpid()}"
    asyncio.run(postgres_server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template_database}"'))
    yield postgres_server.dsn(name)
    asyncio.run(postgres_server.execute(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(params=["memory", "postgres", "postgres-without-doorbell", "postgres-embedded"])
def adapter(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The adapter's name and, where it has one, the DSN of its database."""
    name: str = request.param
    return name, "" if name == "memory" else request.getfixturevalue("shared_database")


@pytest.fixture
async def world(adapter: tuple[str, str]) -> AsyncIterator[World]:
    name, dsn = adapter
    if name == "memory":
        made = memory_world()
    else:
        connection = await asyncpg.connect(dsn)
        await connection.execute(await connection.fetchval(TABLES))
        await connection.close()
        made = await postgres_world(dsn, doorbell=name == "postgres", alone=name == "postgres-embedded")
    yield made
    await made.close()
