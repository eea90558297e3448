"""`IndexStore`, `AuditStore` and `ExecutionCounts`, over memory and Postgres."""

from __future__ import annotations

from typing import Any

import pytest
import worlds
from worlds import World, changed, created, execution, line

from levada.bus.port import LOGS
from levada.model.audit import AuditEntry, Outcome
from levada.model.errors import Defect
from levada.model.execution import Execution
from levada.model.states import State
from levada.store import memory
from levada.store import postgres as pg
from levada.store.port import DeadLetter, Fenced, LogFilter
from levada.store.records import HOUR_US, MINUTE_US, AuditFilter, CountFilter, IndexBatch, Unwritable

#: A round hour, so that minutes and hours in the tests are easy to see.
HOUR = 1_700_000_000_000_000 // HOUR_US * HOUR_US


class Stores:
    def __init__(self, world: World) -> None:
        database, tables = world.database, getattr(world.logs, "_tables", None)
        if database is not None:
            self.members: Any = pg.PostgresMembers(database)
            self.index: Any = pg.PostgresIndexStore(database)
            self.audit: Any = pg.PostgresAuditStore(database)
            self.counts: Any = pg.PostgresExecutionCounts(database)
            return
        tables = world.queries._tables
        self.members = memory.MemoryMembers(tables, now_us=world.clock.now_us)
        self.index = memory.MemoryIndexStore(tables)
        self.audit = memory.MemoryAuditStore(tables)
        self.counts = memory.MemoryExecutionCounts(tables)

    async def own(self, name: str) -> dict[int, int]:
        """Own all partitions of the topic `logs`; return the epochs."""
        await self.members.make(LOGS, worlds.PARTITIONS)
        await self.members.beat("indexer", name, 30.0, {})
        return {one.partition: one.epoch for one in await self.members.take("indexer", LOGS, name, worlds.PARTITIONS)}


@pytest.fixture
def stores(world: World) -> Stores:
    return Stores(world)


# --- indexing


async def test_entries_and_position_are_written_together(world: World, stores: Stores) -> None:
    epochs = await stores.own("one")
    dead = DeadLetter(topic=LOGS, partition=1, offset=4, key="k", reason="no JSON", body=b"{", at=HOUR)
    batch = IndexBatch(topic=LOGS, epochs=epochs, positions={1: 5}, logs=[line("e", "hello", at=HOUR)], dead=[dead])
    await stores.index.commit(batch)
    assert (await stores.index.positions(LOGS))[1] == 5
    assert [entry.message for entry in await world.logs.read("main", LogFilter(execution_id="e"))] == ["hello"]


async def test_whoever_lost_a_partition_writes_nothing(world: World, stores: Stores) -> None:
    epochs = await stores.own("one")
    await stores.members.reclaim(LOGS, "one")
    batch = IndexBatch(topic=LOGS, epochs=epochs, positions={0: 1, 1: 5}, logs=[line("e", "late", at=HOUR)])
    with pytest.raises(Fenced, match="logs"):
        await stores.index.commit(batch)
    assert set((await stores.index.positions(LOGS)).values()) == {0}
    assert await world.logs.count("main", LogFilter()) == 0


async def test_one_lost_partition_of_several_stops_the_whole_batch(world: World, stores: Stores) -> None:
    epochs = await stores.own("one")
    epochs[2] -= 1
    batch = IndexBatch(topic=LOGS, epochs=epochs, positions={0: 1, 2: 5}, logs=[line("e", "late", at=HOUR)])
    with pytest.raises(Fenced):
        await stores.index.commit(batch)
    assert (await stores.index.positions(LOGS))[0] == 0
    assert await world.logs.count("main", LogFilter()) == 0


async def test_many_lines_are_written_under_the_same_fence(world: World, stores: Stores) -> None:
    epochs = await stores.own("one")
    lines = [line("e", str(number), at=HOUR + number) for number in range(1000)]
    await stores.index.commit(IndexBatch(topic=LOGS, epochs=epochs, positions={0: 7}, logs=lines))
    assert await world.logs.read("main", LogFilter()) == lines
    await stores.members.reclaim(LOGS, "one")
    with pytest.raises(Fenced):
        await stores.index.commit(IndexBatch(topic=LOGS, epochs=epochs, positions={0: 8}, logs=lines))
    assert (await stores.index.positions(LOGS))[0] == 7
    assert await world.logs.count("main", LogFilter()) == 1000


async def test_many_lines_at_a_time_are_as_good_as_few(world: World) -> None:
    lines = [line("e", f"{number}\x00", at=HOUR + number, task_id="t", attempt=1) for number in range(150)]
    await world.logs.write(lines)
    await world.logs.write([line("e", "last", at=HOUR + 200)])
    found = await world.logs.read("main", LogFilter())
    assert [entry.at for entry in found] == [*(HOUR + number for number in range(150)), HOUR + 200]
    assert (found[3].task_id, found[3].attempt, found[-1].message) == ("t", 1, "last")


@pytest.mark.parametrize("more", [0, 1000])
async def test_what_does_not_fit_its_column_is_named_and_nothing_is_written(
    world: World, stores: Stores, more: int
) -> None:
    if world.database is None:
        pytest.skip("lists have no columns")
    epochs = await stores.own("one")
    lines = [line("e", "good", at=HOUR)] * (more + 1) + [line("e", "bad", at=HOUR, attempt=2**40)]
    with pytest.raises(Unwritable, match="logs"):
        await stores.index.commit(IndexBatch(topic=LOGS, epochs=epochs, positions={0: 1}, logs=lines))
    assert await world.logs.count("main", LogFilter()) == 0
    assert (await stores.index.positions(LOGS))[0] == 0


# --- audit


def record(number: int, **fields: Any) -> AuditEntry:
    values: dict[str, Any] = {"who": "ada", "action": "update", "kind": "flow", "outcome": Outcome.DONE} | fields
    return AuditEntry(id=f"a{number}", at=HOUR + number, **values)


async def test_audit_records_come_back_as_they_were_newest_first(stores: Stores) -> None:
    first = record(
        1, object="hello", namespace="company.team", details={"revision": 3, "labels": ["a:b"]}, remote="::1"
    )
    second = record(2, request_id="r-1", status=404, outcome=Outcome.REFUSED)
    await stores.audit.write([first, second])
    assert await stores.audit.search("main", AuditFilter()) == ([second, first], 2)
    assert await stores.audit.search("main", AuditFilter(), limit=1) == ([second], 2)
    assert await stores.audit.search("other", AuditFilter()) == ([], 0)


async def test_many_audit_records_are_written_at_a_time(stores: Stores) -> None:
    records = [record(number, object=f"o{number}", details={"n": number}) for number in range(300)]
    await stores.audit.write(records)
    assert await stores.audit.search("main", AuditFilter(), limit=1000) == (records[::-1], 300)


@pytest.mark.parametrize(
    ("filter", "wanted"),
    [
        (AuditFilter(who="ada"), [3, 1]),
        (AuditFilter(text="HELL"), [1]),
        (AuditFilter(kinds=["kv", "flow"], actions=["update"]), [2, 1]),
        (AuditFilter(object="hello"), [1]),
        (AuditFilter(namespace="company"), [1]),
        (AuditFilter(outcomes=[Outcome.DENIED]), [2]),
        (AuditFilter(since=HOUR + 2, until=HOUR + 2), [2]),
    ],
)
async def test_audit_records_are_found_by_what_they_say(stores: Stores, filter: AuditFilter, wanted: list[int]) -> None:
    await stores.audit.write(
        [
            record(1, object="hello", namespace="company.team"),
            record(2, who="eve", outcome=Outcome.DENIED, namespace="companyx"),
            record(3, kind="execution", action="create"),
        ]
    )
    found, total = await stores.audit.search("main", filter)
    assert [entry.id for entry in found] == [f"a{number}" for number in wanted]
    assert total == len(wanted)


# --- counts


async def put(world: World, *executions: Execution) -> None:
    owner = await worlds.Owner(world.executions).own(0)
    await owner.commit(*(created(one) for one in executions))


async def recompute(stores: Stores, *ids: str) -> None:
    await stores.counts.mark(ids)
    while await stores.counts.recompute(100):
        pass


async def test_executions_are_counted_by_time_flow_and_state(world: World, stores: Stores) -> None:
    await put(
        world,
        execution("a", at=HOUR),
        execution("b", at=HOUR + 1, flow_id="other"),
        execution("c", at=HOUR + HOUR_US),
        execution("d", at=HOUR + 30, kind="TEST"),
    )
    await recompute(stores, "a", "b", "c")
    bounds = [HOUR, HOUR + HOUR_US, HOUR + 2 * HOUR_US]
    found = await stores.counts.counts("main", CountFilter(), bounds)
    assert [(one.at, one.state, one.n, one.ended) for one in found] == [
        (HOUR, State.RUNNING, 2, 0),
        (HOUR + HOUR_US, State.RUNNING, 1, 0),
    ]
    by_flow = await stores.counts.counts("main", CountFilter(), [HOUR, HOUR + MINUTE_US], by=["namespace", "flow_id"])
    assert [(one.namespace, one.flow_id, one.n) for one in by_flow] == [
        ("company.team", "hello", 1),
        ("company.team", "other", 1),
    ]
    assert await stores.counts.counts("other", CountFilter(), bounds) == []


@pytest.mark.parametrize(
    ("filter", "n"),
    [
        (CountFilter(namespace="company"), 2),
        (CountFilter(namespace="company", exact=True), 0),
        (CountFilter(flow_id="other"), 1),
        (CountFilter(flows=[("company.team", "hello"), ("x", "other")]), 1),
        (CountFilter(states=[State.SUCCESS]), 0),
    ],
)
async def test_counts_can_be_of_some_executions(world: World, stores: Stores, filter: CountFilter, n: int) -> None:
    await put(world, execution("a", at=HOUR), execution("b", at=HOUR, flow_id="other"))
    await recompute(stores, "a", "b")
    assert sum(one.n for one in await stores.counts.counts("main", filter, [HOUR, HOUR + HOUR_US])) == n


async def test_what_changes_is_counted_anew_once_it_is_marked(world: World, stores: Stores) -> None:
    one = execution("a", at=HOUR)
    owner = await worlds.Owner(world.executions).own(0)
    await owner.commit(created(one))
    await recompute(stores, "a")
    await owner.commit(changed(one, state=State.SUCCESS))
    bounds = [HOUR, HOUR + MINUTE_US]
    assert [count.state for count in await stores.counts.counts("main", CountFilter(), bounds)] == [State.RUNNING]
    await recompute(stores, "a", "a")
    await recompute(stores, "a")
    (count,) = await stores.counts.counts("main", CountFilter(), bounds)
    assert (count.state, count.n, count.ended, count.duration, count.shortest, count.longest) == (
        State.SUCCESS,
        1,
        1,
        2,
        2,
        2,
    )
    (hour,) = await stores.counts.counts("main", CountFilter(), [HOUR, HOUR + HOUR_US])
    assert (hour.state, hour.n) == (State.SUCCESS, 1)


async def test_what_was_removed_is_not_counted(world: World, stores: Stores) -> None:
    await put(world, execution("a", at=HOUR), execution("b", at=HOUR))
    await recompute(stores, "a")
    await world.queries.purge(["a"])
    await recompute(stores)
    assert [one.n for one in await stores.counts.counts("main", CountFilter(), [HOUR, HOUR + HOUR_US])] == [1]


async def test_a_sweep_finds_what_nobody_marked(world: World, stores: Stores) -> None:
    await world.flows.save(worlds_flow())
    one = execution("a", at=HOUR)
    owner = await worlds.Owner(world.executions).own(0)
    await owner.commit(created(one))
    assert await stores.counts.sweep(HOUR + 10 * HOUR_US) == 1
    await recompute(stores)
    await owner.commit(changed(one, state=State.SUCCESS))
    assert await stores.counts.sweep(HOUR + 10 * HOUR_US) == 1
    await recompute(stores)
    await put(world, execution("b", at=HOUR + 5, state=State.SUCCESS))
    assert await stores.counts.sweep(HOUR + MINUTE_US) == 1
    await recompute(stores)
    (count,) = await stores.counts.counts("main", CountFilter(), [HOUR, HOUR + MINUTE_US])
    assert (count.state, count.n) == (State.SUCCESS, 2)


async def test_a_start_catches_up_with_what_was_missed(world: World, stores: Stores) -> None:
    await world.flows.save(worlds_flow())
    await put(world, execution("a", at=HOUR), execution("b", at=HOUR + MINUTE_US, state=State.SUCCESS))
    assert await stores.counts.catch_up(HOUR + HOUR_US) == 2
    await recompute(stores)
    await put(world, execution("c", at=HOUR + 2 * MINUTE_US, state=State.SUCCESS))
    assert await stores.counts.catch_up(HOUR + HOUR_US) == 2
    await recompute(stores)
    found = await stores.counts.counts("main", CountFilter(), [HOUR, HOUR + HOUR_US])
    assert sum(one.n for one in found) == 3


async def test_old_counts_are_forgotten(world: World, stores: Stores) -> None:
    await put(world, execution("a", at=HOUR), execution("b", at=HOUR + HOUR_US))
    await recompute(stores, "a", "b")
    assert await stores.counts.forget(HOUR + HOUR_US) == 1
    bounds = [HOUR, HOUR + 3 * HOUR_US]
    assert [one.n for one in await stores.counts.counts("main", CountFilter(), bounds)] == [1]


async def test_live_executions_are_counted_as_they_are(world: World, stores: Stores) -> None:
    await put(world, execution("a"), execution("b", state=State.QUEUED), execution("c", state=State.SUCCESS))
    assert await stores.counts.live() == {("main", State.RUNNING): 1, ("main", State.QUEUED): 1}


@pytest.mark.parametrize(("bounds", "by"), [([HOUR], []), ([HOUR + 1, HOUR + 2], []), ([HOUR, HOUR + HOUR_US], ["id"])])
async def test_a_question_that_has_no_answer_is_a_defect(stores: Stores, bounds: list[int], by: list[str]) -> None:
    with pytest.raises(Defect):
        await stores.counts.counts("main", CountFilter(), bounds, by=by)


def worlds_flow() -> Any:
    from levada.store.port import FlowRow

    return FlowRow(namespace="company.team", id="hello", revision=0, source="id: hello", updated=HOUR)
