"""The numbers of the whole installation, asked of a real Postgres."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from levada.bus.port import COMMANDS
from levada.runtime import metrics
from levada.runtime.clock import SystemClock
from levada.runtime.config import Config
from levada.runtime.config.tree import Database
from levada.runtime.installation_metrics import InstallationMetrics
from levada.runtime.platform import Platform

TASK_RUN = "INSERT INTO task_run (execution_id, id, n, state, body, lease, queue, priority, submitted) VALUES "


@pytest.fixture
async def platform(database: str, tmp_path: Path) -> AsyncIterator[Platform]:
    config = dataclasses.replace(Config(data_dir=tmp_path), database=Database(url=database, pool_size=4))
    platform = await Platform.open(config, SystemClock())
    yield platform
    await platform.close()


async def collected(platform: Platform) -> None:
    await InstallationMetrics(platform).collect()


async def test_queues_show_what_waits_how_long_and_who_serves_them(platform: Platform) -> None:
    assert platform.database is not None
    now = platform.clock.now_us()
    rows = [("a", "default", 10), ("b", "default", 90), ("c", "gpu[linux,ssd]", 5)]
    values = ", ".join(
        f"('e', '{id}', 1, 'RUNNING', '', 'submitted', '{q}', 0, {now - s * 10**6})" for id, q, s in rows
    )
    await platform.database.execute(TASK_RUN + values)
    info = {"queues": ["default", "idle"], "tags": ["linux"]}
    await platform.members.beat("worker", "w1", 30, info)
    await platform.members.beat("worker", "w2", 30, {**info, "draining": True})
    await platform.members.beat("worker", "gone", -5, info)
    await collected(platform)
    depth, age, workers = metrics.QUEUE_DEPTH, metrics.QUEUE_AGE, metrics.QUEUE_WORKERS
    assert (depth.get("default"), depth.get("gpu[linux,ssd]"), depth.get("idle")) == (2, 1, 0)
    assert age.get("default") == pytest.approx(90, abs=5)
    assert (workers.get("default"), workers.get("gpu[linux,ssd]"), workers.get("idle")) == (1, 0, 1)
    text = metrics.REGISTRY.text()
    assert 'levada_queue_workers{queue="gpu[linux,ssd]"} 0' in text, "an alert must see the nobody"
    await platform.database.execute("DELETE FROM task_run")
    await collected(platform)
    assert 'levada_queue_depth{queue="gpu[linux,ssd]"}' not in metrics.REGISTRY.text()


async def test_what_is_unfinished_is_counted(platform: Platform) -> None:
    assert platform.database is not None
    execute = platform.database.execute
    await execute(
        "INSERT INTO execution (id, tenant, namespace, flow_id, flow_revision, state, created, ended, seq, head) VALUES "
        "('1', 'main', 'n', 'f', 1, 'RUNNING', 1, NULL, 1, ''), ('2', 'main', 'n', 'f', 1, 'SUCCESS', 1, 2, 1, '')"
    )
    await execute("INSERT INTO concurrency_slot VALUES ('f', '1', true, 1), ('f', '2', false, 1), ('f', '3', false, 1)")
    await execute(
        "INSERT INTO dead_letter (topic, part, off, key, reason, body, at, replayed) VALUES "
        "('commands', 0, 1, 'k', 'r', '', 1, NULL), ('commands', 0, 2, 'k', 'r', '', 1, 5), ('logs', 0, 1, 'k', 'r', '', 1, NULL)"
    )
    await collected(platform)
    assert (metrics.LIVE.get("RUNNING"), metrics.LIVE.get("SUCCESS"), metrics.LIVE.get("PAUSED")) == (1, 0, 0)
    assert (metrics.SLOTS_HELD.get(), metrics.SLOTS_WAITING.get()) == (1, 2)
    assert (metrics.DEAD_LETTERS.get("commands"), metrics.DEAD_LETTERS.get("logs")) == (1, 1)


async def test_lag_is_what_the_readers_have_not_applied(platform: Platform) -> None:
    from levada.bus.port import Outgoing

    await platform.members.make(COMMANDS, platform.bus.partitions)
    await platform.bus.append([Outgoing(COMMANDS, "some-key", b"x"), Outgoing(COMMANDS, "some-key", b"y")])
    await collected(platform)
    lags = [metrics.BUS_LAG.get(COMMANDS, str(part)) for part in range(platform.bus.partitions)]
    assert max(lags) == sum(lags) == metrics.COMMANDS_BEHIND.get() == 2
    assert metrics.UNOWNED.get() == platform.bus.partitions
    await platform.members.beat("executor", "e1", 30, {})
    await platform.members.take("executor", COMMANDS, "e1", 3)
    await collected(platform)
    assert metrics.UNOWNED.get() == platform.bus.partitions - 3


async def test_numbers_are_asked_for_at_most_every_few_seconds(platform: Platform) -> None:
    assert platform.database is not None
    numbers = InstallationMetrics(platform)
    await numbers.collect()
    await platform.database.execute("INSERT INTO concurrency_slot VALUES ('g', '1', true, 1)")
    before = metrics.SLOTS_HELD.get()
    await numbers.collect()
    assert metrics.SLOTS_HELD.get() == before
