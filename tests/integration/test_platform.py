"""The platform of a process over its own Postgres: opened, used, interrupted, closed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from worlds import created, execution

from levada.bus.port import COMMANDS
from levada.model.commands import KillExecution
from levada.model.errors import Transient, UserError
from levada.runtime.clock import SystemClock
from levada.runtime.config import Config
from levada.runtime.config.tree import Bus, Database, Storage
from levada.runtime.platform import Platform
from levada.store.port import Commit, ExecutionFilter, FlowRow


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    opened = await Platform.open(Config(data_dir=tmp_path), SystemClock())
    yield opened
    await opened.close()


async def patiently(action: Callable[[], Awaitable[Any]]) -> Any:
    """Do it again while the database is away, as every service does."""
    for _ in range(300):
        try:
            return await action()
        except Transient:
            await asyncio.sleep(0.1)
    raise AssertionError("the database did not come back")


async def test_everything_works_on_the_embedded_postgres_and_stays_after_a_restart(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path)
    platform = await Platform.open(config, SystemClock())
    owned = await platform.executions.own([0], "one")
    await platform.executions.commit(
        Commit(
            owned={0: owned[0].epoch}, positions={0: 3}, writes=[created(execution("e1", at=platform.clock.now_us()))]
        )
    )
    await platform.flows.save(FlowRow(namespace="a", id="b", revision=0, source="s", updated=1))
    await platform.commands.send([KillExecution(execution_id="e1")])
    await platform.services().kv.put("ns", "k", {"a": 1})
    await platform.services().namespace_files.put("ns", "dir/f.txt", b"content")
    await platform.close()

    platform = await Platform.open(config, SystemClock())
    assert await platform.executions.done_off(0) == 3
    assert [head.id for head in (await platform.queries.search("main", ExecutionFilter()))[0]] == ["e1"]
    assert (await platform.flows.get("main", "a", "b")).source == "s"  # type: ignore[union-attr]
    assert sum((await platform.bus.ends(COMMANDS)).values()) == 1
    services = platform.services()
    assert (await services.kv.get("ns", "k")).value == {"a": 1}  # type: ignore[union-attr]
    assert await services.namespace_files.list("ns") == ["dir/f.txt"]
    assert await services.control.call("namespaces.list", {}) == ["a", "ns"]
    await platform.keep_house()
    await platform.close()


async def test_everything_recovers_when_postgres_dies_under_load(platform: Platform) -> None:
    (owned,) = await platform.executions.own([0], "one")
    acknowledged: list[str] = []
    stop = asyncio.Event()

    async def append(name: str) -> None:
        number = 0
        while not stop.is_set():
            id = f"{name}-{number}"
            number += 1
            try:
                await platform.commands.send([KillExecution(execution_id=id)])
                acknowledged.append(id)
            except Transient:
                await asyncio.sleep(0.05)

    producers = [asyncio.create_task(append(f"p{number}")) for number in range(8)]
    await asyncio.sleep(0.3)
    assert platform._embedded is not None
    assert platform._embedded.pid is not None
    os.kill(platform._embedded.pid, signal.SIGKILL)
    await asyncio.sleep(0.3)
    before = len(acknowledged)
    write = created(execution("e1", at=platform.clock.now_us()))
    await patiently(
        lambda: platform.executions.commit(Commit(owned={0: owned.epoch}, positions={0: 1}, writes=[write]))
    )
    await patiently(lambda: platform.jobs.claim("w", ["default"], 1, timeout_s=0))
    for _ in range(600):
        if len(acknowledged) >= before + 50:
            break
        await asyncio.sleep(0.05)
    stop.set()
    await asyncio.gather(*producers)

    positions = dict.fromkeys(range(platform.bus.partitions), 0)
    found: set[str] = set()
    while records := await platform.bus.poll(COMMANDS, positions, max_records=500, max_bytes=1 << 20, timeout_s=0):
        for record in records:
            assert record.offset == positions[record.partition]
            positions[record.partition] += 1
            found.add(record.key)
    assert set(acknowledged) <= found
    assert positions == await platform.bus.ends(COMMANDS)


async def test_a_database_that_is_not_there_is_transient(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path, database=Database(url=f"postgresql:///x?host={tmp_path}"))
    with pytest.raises(Transient, match="Postgres"):
        await Platform.open(config, SystemClock())


async def test_a_storage_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    storage = Storage(url="s3://bucket", endpoint="http://127.0.0.1:1", access_key="a", secret_key="b")
    with pytest.raises(Transient, match=r"s3://bucket at http://127.0.0.1:1 cannot be reached"):
        await Platform.open(Config(data_dir=tmp_path, storage=storage), SystemClock())


async def test_the_number_of_partitions_is_fixed_once_used(tmp_path: Path, database: str) -> None:
    def config(partitions: int) -> Config:
        return Config(data_dir=tmp_path, database=Database(url=database, pool_size=2), bus=Bus(partitions=partitions))

    first = await Platform.open(config(4), SystemClock())
    await first.commands.send([KillExecution(execution_id="x")])
    await first.close()
    with pytest.raises(UserError, match="set it back to 4"):
        await Platform.open(config(8), SystemClock())


async def test_two_platforms_on_one_database_hear_each_other(tmp_path: Path, database: str) -> None:
    config = Config(data_dir=tmp_path, database=Database(url=database, pool_size=4))
    one, two = await Platform.open(config, SystemClock()), await Platform.open(config, SystemClock())
    await two.bus.ends(COMMANDS)
    positions = dict.fromkeys(range(8), 0)
    waiting = asyncio.create_task(two.bus.poll(COMMANDS, positions, max_records=1, max_bytes=1 << 20, timeout_s=20))
    await asyncio.sleep(1.5)  # so long that the reader polls at its slowest
    before = asyncio.get_running_loop().time()
    await one.commands.send([KillExecution(execution_id="x")])
    assert [record.key for record in await waiting] == ["x"]
    assert asyncio.get_running_loop().time() - before < 0.45
    await one.close()
    await two.close()
