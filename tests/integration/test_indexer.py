"""Indexers as processes over a real Postgres: they share, they are killed at the worst moments, nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from product import LEVADA, Process
from worlds import created, execution, line

from levada.bus.port import AUDIT, LOGS, METRICS, Outgoing
from levada.model.audit import AuditEntry, Outcome
from levada.model.jobs import MetricEntry
from levada.model.states import State
from levada.runtime.clock import SystemClock
from levada.runtime.config import Config
from levada.runtime.config.tree import Database, Storage
from levada.runtime.failpoints import KILLED
from levada.runtime.platform import Platform
from levada.store.port import Commit, FlowRow, LogFilter
from levada.store.records import MINUTE_US, AuditFilter, CountFilter

LEASE_S = 1.0
PATIENCE_S = 30.0
AT = SystemClock().now_us()


class Indexers:
    """Starts processes of the service on one database."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self._dsn = dsn
        self._folder = folder
        self.running: list[Process] = []

    def start(self, failpoints: str = "") -> Process:
        env = {
            "LEVADA_DATABASE_URL": self._dsn,
            "LEVADA_MANAGEMENT_PORT": "0",
            "LEVADA_INDEXER_LEASE": str(LEASE_S),
            "LEVADA_INDEXER_LINGER": "0.01",
            "LEVADA_INDEXER_COUNTS_INTERVAL": "0.2",
            "LEVADA_FAILPOINTS": failpoints,
        }
        process = Process(*LEVADA, "serve", "indexer", cwd=self._folder, env=env)
        self.running.append(process)
        return process


@pytest.fixture
def indexers(database: str, tmp_path: Path) -> Iterator[Indexers]:
    made = Indexers(database, tmp_path)
    yield made
    for process in made.running:
        process.kill()


@pytest.fixture
async def platform(database: str, tmp_path: Path) -> AsyncIterator[Platform]:
    config = Config(
        data_dir=tmp_path, database=Database(url=database, pool_size=4), storage=Storage((tmp_path / "s").as_uri())
    )
    opened = await Platform.open(config, SystemClock())
    yield opened
    await opened.close()


async def until_indexed(platform: Platform, topic: str) -> None:
    """Wait until everything on the bus now is in its table."""
    ends = await platform.bus.ends(topic)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            written = await platform.index.positions(topic)
            if all(written.get(part, 0) >= end for part, end in ends.items()):
                return
            await asyncio.sleep(0.05)


async def messages(platform: Platform) -> Counter[str]:
    found = await platform.logs.read("main", LogFilter(), limit=1_000_000)
    return Counter(entry.message for entry in found)


async def put(platform: Platform, first: int, count: int) -> None:
    """Put numbered lines on the bus, a few per record, over all partitions."""
    lines = [line(f"e{number % 16}", str(number), at=AT + number) for number in range(first, first + count)]
    for at in range(0, len(lines), 50):
        await platform.log_sink.write_logs(lines[at : at + 50])


async def owners(platform: Platform, topic: str = LOGS) -> Counter[str | None]:
    _, found = await platform.members.survey("indexer", topic)
    return Counter(found.values())


async def until_shared(platform: Platform, members: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while None in (counted := await owners(platform)) or len(counted) != members:  # noqa: ASYNC110  other processes are watched
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("place", ["indexer.before_commit", "indexer.after_commit", "indexer.polled"])
async def test_an_indexer_killed_around_its_commit_loses_and_doubles_nothing(
    platform: Platform, indexers: Indexers, place: str
) -> None:
    doomed = indexers.start(f"{place}=exit#4")
    await until_shared(platform, 1)
    await put(platform, 0, 2_000)
    assert await asyncio.to_thread(doomed.exit_code) == KILLED
    indexers.start()
    await put(platform, 2_000, 1_000)
    await until_indexed(platform, LOGS)
    assert await messages(platform) == Counter(str(number) for number in range(3_000))


async def test_two_indexers_share_and_one_takes_over_when_the_other_dies(
    platform: Platform, indexers: Indexers
) -> None:
    first, second = indexers.start(), indexers.start()
    await until_shared(platform, 2)
    assert set((await owners(platform)).values()) == {platform.bus.partitions // 2}
    producing = asyncio.create_task(put(platform, 0, 5_000))
    await asyncio.sleep(0.1)
    await asyncio.to_thread(first.end, signal.SIGKILL)
    await producing
    await until_indexed(platform, LOGS)
    await until_shared(platform, 1)
    assert await messages(platform) == Counter(str(number) for number in range(5_000))
    await asyncio.to_thread(second.end, signal.SIGTERM)
    assert await owners(platform) == {None: platform.bus.partitions}


async def test_metrics_audit_records_dead_letters_and_counts(platform: Platform, indexers: Indexers) -> None:
    await platform.flows.save(FlowRow(namespace="company.team", id="hello", revision=0, source="s", updated=AT))
    (owned, *_) = await platform.executions.own([0], "test")
    run = execution("e1", at=AT, state=State.SUCCESS)
    await platform.executions.commit(Commit(owned={0: owned.epoch}, positions={0: 1}, writes=[created(run)]))
    indexers.start()
    metric = MetricEntry(
        execution_id="e1",
        namespace="company.team",
        flow_id="hello",
        task_id="t",
        task_run_id="r",
        name="rows",
        kind="counter",
        value=3,
        at=AT,
        tags={"a": "b"},
    )
    await platform.log_sink.write_metrics([metric])
    await platform.audit_sink.write_audit(
        [AuditEntry(id="a", at=AT, who="ada", action="update", kind="flow", outcome=Outcome.DONE)]
    )
    await platform.bus.append([Outgoing(AUDIT, "k", b"not JSON", "x")])
    for topic in (METRICS, AUDIT):
        await until_indexed(platform, topic)
    assert await platform.metrics.read("main", "e1") == ([metric], 1)
    assert [entry.who for entry in (await platform.audit.search("main", AuditFilter()))[0]] == ["ada"]
    assert platform.database is not None
    dead = await platform.database.fetch("SELECT topic, body FROM dead_letter")
    assert [tuple(row) for row in dead] == [(AUDIT, b"not JSON")]
    minute = AT - AT % MINUTE_US
    async with asyncio.timeout(PATIENCE_S):
        while not (counts := await platform.counts.counts("main", CountFilter(), [minute, minute + MINUTE_US])):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert [(count.state, count.n) for count in counts] == [(State.SUCCESS, 1)]


async def test_a_log_is_complete_as_soon_as_its_execution_has_ended(platform: Platform, indexers: Indexers) -> None:
    indexers.start()
    await until_shared(platform, 1)
    assert platform.settling is not None
    for round in range(5):
        lines = [line(f"x{round}", str(number), at=AT + number) for number in range(200)]
        await platform.log_sink.write_logs(lines)
        ended = execution(f"x{round}", at=platform.clock.now_us(), state=State.SUCCESS)
        assert await platform.settling.ended(ended)
        assert await platform.logs.count("main", LogFilter(execution_id=f"x{round}")) == 200


async def test_standalone_indexes_what_several_processes_left_on_the_bus(tmp_path: Path) -> None:
    from levada.runtime.sinks import BusSink
    from levada_indexer import main

    platform = await Platform.open(Config(data_dir=tmp_path), SystemClock())
    try:
        assert platform.settling is None
        await BusSink(platform.bus).write_logs([line("e", "left behind", at=AT)])
        stop = asyncio.Event()
        running = asyncio.create_task(main.run(platform, stop))
        await until_indexed(platform, LOGS)
        assert await messages(platform) == Counter(["left behind"])
        stop.set()
        await running
    finally:
        await platform.close()
