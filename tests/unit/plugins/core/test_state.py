"""States are kept per flow, namespace and loop value."""

from __future__ import annotations

from pathlib import Path

import pytest

from levada.plugins.core.state import Delete, Get, Set
from levada.sdk import TaskFailed
from levada.sdk.testing import TestContext, run


def context(tmp_path: Path, flow_id: str = "flow1", value: str | None = None) -> TestContext:
    return TestContext(tmp_path, flow_id=flow_id, variables={"taskrun": {"value": value}})


async def test_a_state_of_the_namespace_is_shared_by_its_flows(tmp_path: Path) -> None:
    one, two = context(tmp_path), context(tmp_path, "flow2")
    two.kv = one.kv
    assert (await run(Set, one, namespace=True, data={"john": "doe"}))["count"] == 1
    assert await run(Get, two, namespace=True) == {"count": 1, "data": {"john": "doe"}}
    assert await run(Get, two) == {"count": 0, "data": {}}


async def test_setting_merges(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    await run(Set, ctx, data={"a": "1", "b": "1"})
    assert (await run(Set, ctx, data={"b": "2"}))["count"] == 2
    assert (await run(Get, ctx))["data"] == {"a": "1", "b": "2"}


async def test_each_value_of_a_loop_has_its_own_state(tmp_path: Path) -> None:
    one, two = context(tmp_path, value="a/b"), context(tmp_path, value="ü")
    two.kv = one.kv
    await run(Set, one, data={"x": 1})
    assert (await run(Get, two))["count"] == 0
    await run(Set, one, data={"x": 1}, taskrunValue=False)
    assert (await run(Get, two, taskrunValue=False))["count"] == 1


async def test_a_missing_state_fails_where_asked(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    assert await run(Delete, ctx) == {"deleted": False}
    for task in (Get, Delete):
        with pytest.raises(TaskFailed, match="there is no state `mine`"):
            await run(task, ctx, name="mine", errorOnMissing=True)
