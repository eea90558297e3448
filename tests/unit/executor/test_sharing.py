"""Several executors over the same partitions: fair shares, handing over, being lost."""

from typing import Any

import pytest

from levada.model import commands as cmd
from levada.runtime.clock import SystemClock
from levada.runtime.platform import Platform
from levada.store.port import FlowRow
from levada_executor.main import Parts

LOG = """
id: log
namespace: n
tasks:
  - id: a
    type: io.kestra.plugin.core.log.Log
    message: hello
"""


@pytest.fixture
async def platform() -> Platform:
    platform = Platform.in_memory(SystemClock())
    await platform.flows.save(FlowRow(namespace="n", id="log", revision=0, source=LOG, updated=1))
    return platform


async def settled(*executors: Parts) -> list[list[int]]:
    """Let all beat and rebalance until nothing changes; return who owns what."""
    for _ in range(4):
        for parts in executors:
            await parts.partitions.beat()
        for parts in executors:
            await parts.executor.rebalance()
    return [sorted(parts.executor.owned) for parts in executors]


def started(platform: Platform, count: int) -> list[Any]:
    return [cmd.StartExecution(execution_id=f"E{n}", namespace="n", flow_id="log") for n in range(count)]


async def states(platform: Platform, count: int) -> list[str]:
    found = await platform.executions.load([f"E{n}" for n in range(count)])
    return [found[id].state for id in sorted(found)]


async def test_one_executor_owns_all(platform: Platform) -> None:
    parts = Parts(platform)
    await parts.executor.take_over()
    assert sorted(parts.executor.owned) == list(range(platform.bus.partitions))
    assert await parts.assigned() == {"partitions": platform.bus.partitions}


@pytest.mark.parametrize("count", [2, 3, 5])
async def test_executors_share_evenly(platform: Platform, count: int) -> None:
    executors = [Parts(platform) for _ in range(count)]
    for parts in executors:
        await parts.executor.take_over()
    owned = await settled(*executors)
    assert sorted(part for parts in owned for part in parts) == list(range(platform.bus.partitions))
    assert max(map(len, owned)) - min(map(len, owned)) <= 1


async def test_more_executors_than_partitions_leave_some_idle(platform: Platform) -> None:
    executors = [Parts(platform) for _ in range(platform.bus.partitions + 2)]
    owned = await settled(*executors)
    assert sorted(map(len, owned)) == [0, 0] + [1] * platform.bus.partitions
    assert await executors[0].executor.step(0) >= 0


async def test_what_was_handed_over_is_applied_once_by_the_new_owner(platform: Platform) -> None:
    first = Parts(platform)
    await first.executor.take_over()
    await platform.commands.send(started(platform, 40)[:20])
    while await first.executor.step(0):
        pass
    second = Parts(platform)
    await settled(first, second)
    await platform.commands.send(started(platform, 40)[20:])
    while await first.executor.step(0) + await second.executor.step(0):
        pass
    assert await states(platform, 40) == ["SUCCESS"] * 40
    assert min(first.executor.records, second.executor.records) > 0


async def test_an_executor_that_leaves_is_succeeded_at_once(platform: Platform) -> None:
    first, second = Parts(platform), Parts(platform)
    await settled(first, second)
    await first.executor.give_back(list(first.executor.owned))
    await first.partitions.leave()
    assert await settled(second) == [list(range(platform.bus.partitions))]


async def test_partitions_of_a_dead_executor_wait_for_its_lease(platform: Platform) -> None:
    first, second = Parts(platform), Parts(platform)
    await first.executor.take_over()
    assert await settled(second) == [[]]
    platform.executions.tables.members[("executor", first.partitions.name)].lease_until = 0  # type: ignore[attr-defined]
    assert await settled(second) == [list(range(platform.bus.partitions))]
