"""What is missing or wrong around a service: it says what and what helps, is not ready, and goes on by itself when that is mended.

Each service is a process of its own and is looked at from outside: its log, `/health/readiness`, its API.
"""

from __future__ import annotations

import asyncio
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from apart import Apart, Service
from kafka import Kafka
from netfaults import Proxy
from postgres import Server, _database

from levada.bus.kafka.connection import KafkaSettings
from levada.bus.kafka.topics import Topics, wanted
from levada.bus.port import COMMANDS
from levada.model.ids import partition_of

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.timeout(120)]

PARTITIONS = 4
PAUSED = """\
id: paused
namespace: company.team
inputs:
  - {id: text, type: STRING, required: false}
tasks:
  - {id: wait, type: core.flow.Pause}
"""


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Callable[..., Apart]]:
    made: list[Apart] = []

    def make(dsn: str, name: str = "one", **env: str) -> Apart:
        made.append(Apart(tmp_path / name, dsn, LEVADA_BUS_PARTITIONS=str(PARTITIONS), LEVADA_AUTH_MODE="none", **env))
        return made[-1]

    yield make
    for each in made:
        each.close()


def over(kafka: str, prefix: str) -> dict[str, str]:
    return {
        "LEVADA_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "LEVADA_KAFKA_TOPIC_PREFIX": prefix,
        "LEVADA_KAFKA_REPLICATION_FACTOR": "1",
    }


def troubles(service: Service) -> dict[str, str]:
    """Return what readiness complains of; {"": …} while nobody answers."""
    found = service.health()
    if not found:
        return {"": "nobody answers"}
    assert service.health("liveness")["status"] == "UP"
    return {name: str(one["details"]) for name, one in found["details"].items() if one["status"] != "UP"}


async def until_told(service: Service, check: str, *words: str, seconds: float = 30.0) -> None:
    """Wait until readiness says this, and the log too."""
    await _until(lambda: all(word in troubles(service).get(check, "") for word in words), service, f"{words}", seconds)
    assert any(all(word in line for word in words) for line in service.process.lines), service.process.lines


async def until_ready(service: Service, seconds: float = 30.0) -> None:
    await _until(lambda: not troubles(service), service, "readiness", seconds)


async def _until(condition: Callable[[], bool], service: Service, what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, f"in vain for {what}: {troubles(service)}\n" + "\n".join(
            service.process.lines[-20:]
        )
        await asyncio.sleep(0.05)


# --- Postgres


@asynccontextmanager
async def line_to(dsn: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A line to the server behind a DSN that can be cut; and the rest of the address behind its port."""
    parts = urlsplit(dsn)
    (folder,) = parse_qs(parts.query).get("host", [""])
    target: Path | tuple[str, int] = Path(folder) / ".s.PGSQL.5432"
    if not folder:
        target = (parts.hostname or "127.0.0.1", parts.port or 5432)
    async with Proxy(target) as line:
        yield line, parts.path


async def test_postgres_is_absent_then_refuses_the_user_then_lacks_privileges(
    services: Callable[..., Apart], database: str, postgres_server: Server
) -> None:
    user = f"u{urlsplit(database).path[-8:]}"
    async with line_to(database) as (line, path):
        line.refuse()
        apart = services(f"postgresql://{user}@{line.address}{path}")
        executor = apart.start("executor")
        await until_told(executor, "platform", "nothing listens there", "Start it, or correct database.url")
        line.heal()
        await until_told(executor, "platform", f"refuses user `{user}`", "correct user and password in database.url")
        await postgres_server.execute(f'CREATE ROLE "{user}" LOGIN')
        try:
            await until_told(executor, "platform", "lacks a privilege", "make it the owner of the database")
            await postgres_server.execute(f'ALTER ROLE "{user}" SUPERUSER')
            await until_ready(executor)
            line.refuse()
            await until_told(executor, "database", "nothing listens there")
            line.heal()
            await until_ready(executor)
            assert await asyncio.to_thread(executor.stop) == 0
        finally:
            await postgres_server.execute(f'ALTER ROLE "{user}" NOLOGIN')


# --- Kafka


async def test_kafka_is_absent_then_has_topics_with_other_partitions(
    services: Callable[..., Apart], database: str, kafka: Kafka, topic_prefix: str
) -> None:
    host, _, port = kafka.bootstrap.rpartition(":")
    settings = KafkaSettings((kafka.bootstrap,), topic_prefix=topic_prefix, replication_factor=1)
    async with Topics(settings) as topics:
        await topics.apply(wanted(settings, PARTITIONS - 1))
    async with Proxy((host, int(port))) as line:
        line.refuse()
        executor = services(database, **over(line.address, topic_prefix)).start("executor")
        await until_told(
            executor, "platform", "nothing listens there", "start the broker or correct kafka.bootstrap_servers"
        )
        line.heal()
        remedy = f"set bus.partitions to {PARTITIONS - 1}"
        await until_told(executor, "platform", f"has {PARTITIONS - 1} partitions", remedy, "levada topics apply")
        await delete_topics(kafka, topic_prefix)
        await until_ready(executor)
        assert await asyncio.to_thread(executor.stop) == 0


async def delete_topics(kafka: Kafka, prefix: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([name for name in await admin.list_topics() if name.startswith(prefix)])
    finally:
        await admin.close()


async def test_messages_that_are_of_a_newer_version_or_too_large_stop_nobody(
    services: Callable[..., Apart], database: str, kafka: Kafka, topic_prefix: str
) -> None:
    apart = services(database, **over(kafka.bootstrap, topic_prefix), LEVADA_LIMITS_MESSAGE="2KiB")
    api, executor = apart.start("api"), apart.start("executor")
    await asyncio.gather(until_ready(api), until_ready(executor))
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
    await producer.start()
    topic, part = topic_prefix + COMMANDS, partition_of("e1", PARTITIONS)
    await producer.send_and_wait(topic, b"{}", key=b"e1", partition=part, headers=[("levada", b"2/1/tomorrow")])
    await producer.stop()

    def parked() -> list[dict[str, Any]]:
        return list(apart.request("GET", "/api/v1/main/dead-letters")[1]["results"])

    await _until(lambda: len(parked()) == 1, executor, "the message to be parked", 20)
    assert "a newer Levada wrote it; upgrade" in str(parked())
    await asyncio.to_thread(apart.deploy, PAUSED)
    large = await asyncio.to_thread(run_with_text, apart, "x" * 300_000)
    found = await asyncio.to_thread(apart.until, large, lambda found: found["state"]["current"] == "PAUSED")
    assert len(found["inputs"]["text"]) == 300_000
    assert list((apart.folder / "storage" / "_messages").iterdir()), "it did not travel by internal storage"
    status, said = await asyncio.to_thread(apart.request, *starting("x" * 11_000_000))
    assert (status, "limits.body" in str(said) or "large" in str(said).lower()) == (413, True), said
    assert not troubles(executor)
    assert not troubles(api)


def starting(text: str) -> tuple[str, str, str, dict[str, str]]:
    """Return the request that starts an execution with this input."""
    form = f'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\n{text}\r\n--b--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return "POST", "/api/v1/main/executions/company.team/paused", form, headers


def run_with_text(apart: Apart, text: str) -> str:
    status, body = apart.request(*starting(text))
    assert status == 200, body
    return str(body["id"])


# --- two deployments


async def test_a_second_deployment_on_the_same_topics_or_the_same_database_is_told(
    services: Callable[..., Apart],
    database: str,
    postgres_server: Server,
    template_database: str,
    kafka: Kafka,
    topic_prefix: str,
) -> None:
    first = services(database, "first", **over(kafka.bootstrap, topic_prefix))
    executor, api = first.start("executor"), first.start("api")
    await asyncio.gather(until_ready(executor), until_ready(api))
    await asyncio.to_thread(first.deploy, PAUSED)
    async with _database(postgres_server, f'TEMPLATE "{template_database}"') as other:
        same_topics = services(other, "same-topics", **over(kafka.bootstrap, topic_prefix)).start("executor")
        same_database = services(database, "same-database", **over(kafka.bootstrap, "x" + topic_prefix)).start(
            "executor"
        )
        one_bus = ("other processes of this database use another bus", "a database of its own (database.url)")
        await until_told(same_database, "platform", *one_bus)
        await until_ready(same_topics)
        accepted = await asyncio.to_thread(first.run, "paused")
        await until_told(same_topics, "topics", "another installation", "another kafka.topic_prefix")
        await asyncio.to_thread(first.until, accepted, lambda found: found["state"]["current"] == "PAUSED")
        assert not troubles(executor)
        assert same_topics.process.wait_for("Two deployments use the same topics")
        await asyncio.to_thread(same_topics.stop)
    await asyncio.gather(asyncio.to_thread(executor.stop), asyncio.to_thread(api.stop))
    await until_ready(same_database)  # nobody is left who uses the other bus: a change that is meant


# --- the clock

WRONG_CLOCK = textwrap.dedent("""\
    import pathlib, time
    right, wrong = time.time_ns, pathlib.Path(__file__).with_name("wrong")
    time.time_ns = lambda: right() + 30_000_000_000 * wrong.exists()
""")


async def test_a_clock_that_is_off_by_half_a_minute(
    services: Callable[..., Apart], database: str, tmp_path: Path
) -> None:
    """The same executor and worker have a right clock again when the file is gone; the clock of the api is right."""
    faked = tmp_path / "faked"
    faked.mkdir()
    (faked / "sitecustomize.py").write_text(WRONG_CLOCK)
    (faked / "wrong").touch()
    apart = services(database)
    api = apart.start("api")
    executor = apart.start("executor", PYTHONPATH=str(faked))
    worker = apart.start("worker", PYTHONPATH=str(faked))
    await until_ready(api)
    await until_told(executor, "database", "the clock of this machine is 30.", "ahead of the database's; let NTP")
    await until_told(worker, "clock", "the clock of this machine is 30.", "ahead of the gateway's; let NTP")
    (faked / "wrong").unlink()
    await until_ready(executor)
    await until_ready(worker)
