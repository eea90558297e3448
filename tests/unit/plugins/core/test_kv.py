"""The key-value tasks keep types, refuse what they must, and name the key in their errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from levada.plugins.core.kv import Delete, Get, GetKeys, PurgeKV, Put, Set
from levada.sdk import TaskFailed
from levada.sdk.testing import TestContext, run


@pytest.fixture
def ctx(tmp_path: Path) -> TestContext:
    return TestContext(tmp_path, variables={"inputs": {"key": "k", "value": {"a": 1}, "n": 5}})


async def stored(ctx: TestContext, key: str = "k", namespace: str = "company.team") -> Any:
    entry = await ctx.kv.get(namespace, key)
    assert entry is not None
    return entry.value


async def test_values_keep_their_type(ctx: TestContext) -> None:
    await run(Set, ctx, key="{{ inputs.key }}", value="{{ inputs.value }}")
    assert await stored(ctx) == {"a": 1}
    await run(Set, ctx, key="k", value="{{ inputs.n }}")
    assert await stored(ctx) == 5
    await run(Set, ctx, key="k", value="5")
    assert await stored(ctx) == "5"
    await run(Set, ctx, key="k", value='[{"a": "{{ inputs.n }}"}]')
    assert await stored(ctx) == [{"a": "5"}]
    await run(Put, ctx, key="k", value={"nested": "{{ inputs.n }}"})
    assert await stored(ctx) == {"nested": 5}


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("NUMBER", "123.45", 123.45),
        ("NUMBER", "7", 7),
        ("BOOLEAN", "TRUE", True),
        ("STRING", "[1]", "[1]"),
        ("JSON", '[{"some":"value"}]', [{"some": "value"}]),
        ("DURATION", "P1DT5S", "PT24H5S"),
        ("DATE", "2024-02-29", "2024-02-29"),
        ("DATETIME", "2024-02-29T10:00:00+02:00", "2024-02-29T10:00+02:00"),
    ],
)
async def test_a_declared_type_is_obeyed(ctx: TestContext, kind: str, value: str, expected: Any) -> None:
    await run(Set, ctx, key="k", value=value, kvType=kind)
    assert await stored(ctx) == expected


@pytest.mark.parametrize(
    ("kind", "value"), [("NUMBER", "x"), ("BOOLEAN", "maybe"), ("DATE", "soon"), ("JSON", "{"), ("DURATION", "5 min")]
)
async def test_a_value_of_another_type_is_refused(ctx: TestContext, kind: str, value: str) -> None:
    with pytest.raises(TaskFailed, match=f"property `value` must be a {kind}"):
        await run(Set, ctx, key="k", value=value, kvType=kind)


async def test_an_existing_key_stays_when_overwriting_is_off(ctx: TestContext) -> None:
    await run(Set, ctx, key="k", value="one", kvDescription="about", ttl="PT1H")
    entry = await ctx.kv.get("company.team", "k")
    assert entry is not None
    assert entry.expires == pytest.approx(entry.updated + 3_600_000_000)
    with pytest.raises(TaskFailed, match=r"Cannot set value for key 'k'\. Key already exists"):
        await run(Set, ctx, key="k", value="two", overwrite="false")
    assert await stored(ctx) == "one"


async def test_get_reads_one_namespace_only(ctx: TestContext) -> None:
    await ctx.kv.put("company", "k", "above")
    assert await run(Get, ctx, key="k") == {"value": None}
    assert await run(Get, ctx, key="k", namespace="company") == {"value": "above"}
    with pytest.raises(TaskFailed, match=r"No value found for key 'x' in namespace 'company'"):
        await run(Get, ctx, key="x", namespace="company", errorOnMissing=True)


async def test_keys_are_listed_by_prefix(ctx: TestContext) -> None:
    for key in ("test-a", "test-b", "other"):
        await ctx.kv.put("company.team", key, 1)
    assert await run(GetKeys, ctx, prefix="test") == {"keys": ["test-a", "test-b"]}
    assert len((await run(GetKeys, ctx))["keys"]) == 3


async def test_delete_tells_whether_there_was_something(ctx: TestContext) -> None:
    await ctx.kv.put("company.team", "k", 1)
    assert await run(Delete, ctx, key="k") == {"deleted": True}
    assert await run(Delete, ctx, key="k") == {"deleted": False}
    with pytest.raises(TaskFailed, match=r"`errorOnMissing` is set to true"):
        await run(Delete, ctx, key="k", errorOnMissing=True)


async def test_purge_chooses_namespaces(ctx: TestContext) -> None:
    ctx.control.answers["namespaces.list"] = ["company", "company.team", "company.team.sub", "other"]
    ctx.control.answers["kv.purge"] = {"count": 3}
    assert await run(PurgeKV, ctx, keyPattern="tmp*", behavior={"type": "key", "expiredOnly": False}) == {"size": 3}
    expected = {"namespaces": ["company.team", "company.team.sub"], "keyPattern": "tmp*", "expiredOnly": False}
    assert ctx.control.calls[-1] == ("kv.purge", expected)
    await run(PurgeKV, ctx, namespacePattern="comp*")
    assert ctx.control.calls[-1][1]["namespaces"] == ["company", "company.team", "company.team.sub"]
    with pytest.raises(TaskFailed, match="exclude each other"):
        await run(PurgeKV, ctx, namespacePattern="a", namespaces=["b"])
