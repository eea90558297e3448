"""What every store of flows, keys, logs and metrics promises."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from worlds import World, line

from levada.model.errors import UserError
from levada.model.jobs import MetricEntry
from levada.store.port import Exists, FlowRow, KvRow, LogFilter, Missing


def flow(id: str = "hello", source: str = "id: hello\n", **fields: Any) -> FlowRow:
    return FlowRow(
        namespace=fields.pop("namespace", "company.team"), id=id, revision=0, source=source, updated=5, **fields
    )


def key(name: str = "k", value: Any = 1, **fields: Any) -> KvRow:
    values = {"namespace": "ns", "type": "JSON", "created": 10, "updated": 10} | fields
    return KvRow(key=name, value=value, **values)


# --- flows


async def test_a_flow_comes_back_byte_for_byte(world: World) -> None:
    source = "id: hello  # ü\r\n\ttasks: [] \n\n"
    saved = await world.flows.save(flow(source=source, labels={"a": "1"}, description="d", draft=True))
    assert saved.revision == 1
    assert await world.flows.get("main", "company.team", "hello") == saved
    assert saved.source == source
    assert await world.flows.get("else", "company.team", "hello") is None


async def test_every_change_is_a_new_revision(world: World) -> None:
    await world.flows.save(flow(source="one"))
    second = await world.flows.save(flow(source="two"))
    assert second.revision == 2
    assert (await world.flows.get("main", "company.team", "hello", 1)).source == "one"
    assert [row.source for row in await world.flows.revisions("main", "company.team", "hello")] == ["one", "two"]
    assert await world.flows.get("main", "company.team", "hello", 3) is None


async def test_saving_the_same_source_changes_nothing(world: World) -> None:
    await world.flows.save(flow(source="one"))
    assert (await world.flows.save(flow(source="one"))).revision == 1
    assert (await world.flows.save(flow(source="one", disabled=True))).revision == 2


async def test_create_and_update_say_what_is_in_the_way(world: World) -> None:
    with pytest.raises(Missing, match="hello"):
        await world.flows.save(flow(), must="update")
    await world.flows.save(flow(), must="create")
    with pytest.raises(Exists, match="hello"):
        await world.flows.save(flow(source="other"), must="create")
    assert (await world.flows.save(flow(source="other"), must="update")).revision == 2


async def test_a_deleted_flow_keeps_its_history_and_may_come_back(world: World) -> None:
    await world.flows.save(flow(source="one"))
    deleted = await world.flows.delete("main", "company.team", "hello", 9)
    assert (deleted.revision, deleted.deleted, deleted.updated) == (2, True, 9)
    assert await world.flows.delete("main", "company.team", "hello", 9) is None
    assert await world.flows.get("main", "company.team", "hello") is None
    assert await world.flows.get("main", "company.team", "hello", allow_deleted=True) == deleted
    assert (await world.flows.get("main", "company.team", "hello", 1)).source == "one"
    assert await world.flows.search("main") == ([], 0)
    assert (await world.flows.save(flow(source="one"), must="create")).revision == 3


async def test_revisions_can_be_deleted(world: World) -> None:
    for number in range(4):
        await world.flows.save(flow(source=str(number)))
    assert await world.flows.delete_revisions("main", "company.team", "hello", [1, 3, 9]) == 2
    assert [row.revision for row in await world.flows.revisions("main", "company.team", "hello")] == [2, 4]


async def test_concurrent_saves_get_revisions_of_their_own(world: World) -> None:
    other = await world.neighbour()
    stores = [world.flows, other.flows] * 4
    saved = await asyncio.gather(*(store.save(flow(source=str(n))) for n, store in enumerate(stores)))
    assert sorted(row.revision for row in saved) == list(range(1, 9))


async def test_flows_are_searched(world: World) -> None:
    await world.flows.save(flow("b", description="Loads ORDERS", labels={"team": "x", "a": "1"}))
    await world.flows.save(flow("a", namespace="company.team.deep"))
    await world.flows.save(flow("c", namespace="company.teams"))
    await world.flows.save(flow("c", namespace="company.teams", source="second"))

    async def ids(**conditions: Any) -> list[str]:
        rows, total = await world.flows.search("main", **conditions)
        assert total == len(rows)
        return [row.id for row in rows]

    assert await ids() == ["b", "a", "c"]
    assert await ids(text="orders") == ["b"]
    assert await ids(text="o_d") == []
    assert await ids(namespace="company.team") == ["b", "a"]
    assert await ids(namespace="company.team", namespace_prefix=False) == ["b"]
    assert await ids(labels={"team": "x"}) == ["b"]
    assert await ids(labels={"team": "y"}) == []
    assert await ids(sort=[("id", True)]) == ["c", "b", "a"]
    assert await world.flows.namespaces("main") == ["company.team", "company.team.deep", "company.teams"]
    page, total = await world.flows.search("main", sort=[("id", False)], limit=1, offset=1)
    assert ([row.id for row in page], total) == (["b"], 3)
    assert await world.flows.search("main", limit=5, offset=9) == ([], 3)
    with pytest.raises(UserError, match="sort"):
        await world.flows.search("main", sort=[("source; DROP TABLE flow", False)])


# --- keys


async def test_a_value_of_any_kind_comes_back(world: World) -> None:
    for value in (None, True, 0, 1.5, "text \u0000 ü", [1, {"a": None}], {"n": {"m": []}}):
        assert await world.kv.put(key(value=value))
        assert (await world.kv.get("main", "ns", "k")).value == value
    assert await world.kv.get("main", "other", "k") is None


async def test_overwriting_keeps_when_it_was_created(world: World) -> None:
    await world.kv.put(key(value=1))
    assert await world.kv.put(key(value=2, created=20, updated=20, description="d"))
    found = await world.kv.get("main", "ns", "k")
    assert (found.value, found.created, found.updated, found.description) == (2, 10, 20, "d")


async def test_a_key_that_must_not_be_overwritten_stays_unless_it_expired(world: World) -> None:
    await world.kv.put(key(value=1, expires=100))
    assert not await world.kv.put(key(value=2, created=50, updated=50), overwrite=False)
    assert (await world.kv.get("main", "ns", "k")).value == 1
    assert await world.kv.put(key(value=3, created=100, updated=100), overwrite=False)
    found = await world.kv.get("main", "ns", "k")
    assert (found.value, found.created, found.expires) == (3, 100, None)


async def test_keys_are_listed_and_deleted(world: World) -> None:
    for name, namespace in (("b", "ns"), ("ab", "ns"), ("aa", "ns"), ("a_", "other")):
        await world.kv.put(key(name, namespace=namespace))
    assert [row.key for row in await world.kv.list("main", "ns", "a")] == ["aa", "ab"]
    assert [row.key for row in await world.kv.list("main")] == ["aa", "ab", "b", "a_"]
    assert await world.kv.delete("main", "ns", "b")
    assert not await world.kv.delete("main", "ns", "b")


async def test_expired_keys_are_purged_oldest_first(world: World) -> None:
    for name, expires in (("a", 30), ("b", 10), ("c", 20), ("d", 99), ("e", None)):
        await world.kv.put(key(name, expires=expires))
    assert await world.kv.purge_expired(30, 2) == 2
    assert [row.key for row in await world.kv.list("main")] == ["a", "d", "e"]
    assert await world.kv.purge_expired(30, 2) == 1


# --- logs and metrics


async def test_logs_are_read_in_order_and_filtered(world: World) -> None:
    entries = [
        line("e1", "first", at=10, task_id="a", task_run_id="ra", attempt=1, level="DEBUG"),
        line("e1", "third", at=20, seq=2, task_id="b", task_run_id="rb", attempt=1, level="ERROR", thread="t"),
        line("e1", "second", at=20, seq=1, task_id="a", task_run_id="ra", attempt=2),
        line("e2", "OTHER 100%", at=15, namespace="company.team.deep", flow_id="f2", trigger_id="tr", level="WARN"),
    ]
    await world.logs.write(entries)
    await world.logs.write([])

    async def messages(**conditions: Any) -> list[str]:
        found = await world.logs.read("main", LogFilter(**conditions))
        assert await world.logs.count("main", LogFilter(**conditions)) == len(found)
        return [entry.message for entry in found]

    assert await world.logs.read("main", LogFilter(execution_id="e2")) == [entries[3]]
    assert await messages() == ["first", "OTHER 100%", "second", "third"]
    assert await messages(execution_id="e1") == ["first", "second", "third"]
    assert await messages(execution_id="e1", min_level="INFO") == ["second", "third"]
    assert await messages(levels=["DEBUG", "WARN"]) == ["first", "OTHER 100%"]
    assert await messages(task_id="a", attempt=2) == ["second"]
    assert await messages(task_ids=["b", "c"]) == ["third"]
    assert await messages(task_run_id="rb") == ["third"]
    assert await messages(namespace="company.team.deep") == ["OTHER 100%"]
    assert await messages(flow_id="f2", trigger_id="tr") == ["OTHER 100%"]
    assert await messages(text="other 100%") == ["OTHER 100%"]
    assert await messages(since=15, until=19) == ["OTHER 100%"]
    newest = await world.logs.read("main", LogFilter(), limit=2, offset=1, descending=True)
    assert [entry.message for entry in newest] == ["second", "OTHER 100%"]
    assert await world.logs.read("else", LogFilter()) == []


async def test_logs_are_deleted_by_filter(world: World) -> None:
    await world.logs.write([line("e1", "x", at=1), line("e1", "y", at=2, level="ERROR"), line("e2", "z", at=3)])
    assert await world.logs.delete("main", LogFilter(execution_id="e1", min_level="ERROR")) == 1
    assert await world.logs.count("main", LogFilter()) == 2


async def test_metrics_are_read_by_task(world: World) -> None:
    def metric(name: str, at: int, **fields: Any) -> MetricEntry:
        values = {"task_id": "a", "task_run_id": "ra", "kind": "counter", "value": 1.5} | fields
        return MetricEntry(execution_id="e1", namespace="ns", flow_id="f", name=name, at=at, **values)

    entries = [
        metric("rows", 2, tags={"t": "ü"}),
        metric("bytes", 1, value=2.0**60),
        metric("rows", 3, task_id="b", task_run_id="rb"),
    ]
    await world.metrics.write(entries)
    assert await world.metrics.read("main", "e1") == ([entries[1], entries[0], entries[2]], 3)
    assert await world.metrics.read("main", "e1", task_id="b") == ([entries[2]], 1)
    assert await world.metrics.read("main", "e1", task_run_id="ra", limit=1) == ([entries[1]], 2)
    assert await world.metrics.read("main", "e1", offset=5) == ([], 3)
    assert await world.metrics.read("main", "e2") == ([], 0)
    assert await world.metrics.delete("main", "e1") == 3
