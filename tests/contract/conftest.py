"""`world`: the adapters under test. Every test of a port runs over each of them.

All tests share one database, whose rows are deleted before each: making a database costs seconds, deleting milliseconds.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from gateways import gateway_world
from postgres import Server
from worlds import PARTITIONS, World, memory_world, postgres_world

from levada.bus.kafka import KafkaSettings
from levada.bus.kafka.topics import Topics, wanted

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


ADAPTERS = ["memory", "postgres", "postgres-without-doorbell", "postgres-embedded"]
MORE = {"test_bus": ["kafka"], "test_jobs": ["kafka", "gateway"]}
"""Suites in which it matters what the bus is run over Kafka too, with everything else in Postgres; the work queue also
through the gateway, as workers elsewhere have it."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "adapter" in metafunc.fixturenames:
        more = MORE.get(metafunc.module.__name__.rpartition(".")[2], [])
        metafunc.parametrize("adapter", ADAPTERS + more, indirect=True)


@pytest.fixture
def adapter(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The adapter's name and, where it has one, the DSN of its database."""
    name: str = request.param
    return name, "" if name == "memory" else request.getfixturevalue("shared_database")


@pytest.fixture
def brokers(adapter: tuple[str, str], request: pytest.FixtureRequest) -> str:
    """Where Kafka is, if the test is one over Kafka; others start no broker."""
    return request.getfixturevalue("kafka").bootstrap if adapter[0] == "kafka" else ""


@pytest.fixture
async def topics(brokers: str, topic_prefix: str) -> KafkaSettings | None:
    """The topics of this test, made anew."""
    if not brokers:
        return None
    settings = KafkaSettings((brokers,), topic_prefix=topic_prefix, replication_factor=1)
    async with Topics(settings) as topics:
        await topics.apply(wanted(settings, PARTITIONS))
    return settings


@pytest.fixture
async def world(adapter: tuple[str, str], topics: KafkaSettings | None) -> AsyncIterator[World]:
    name, dsn = adapter
    if name == "memory":
        made = memory_world()
    else:
        connection = await asyncpg.connect(dsn)
        await connection.execute(await connection.fetchval(TABLES))
        await connection.close()
        if name == "gateway":
            made = await gateway_world(dsn)
        else:
            made = await postgres_world(
                dsn, doorbell=name == "postgres", alone=name == "postgres-embedded", kafka=topics
            )
    yield made
    await made.close()
