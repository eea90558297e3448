"""What every executor's store promises: all of a batch or none of it, fences, order, slots, timers."""

from __future__ import annotations

import asyncio

import pytest
from worlds import PARTITIONS, Owner, World, add_run, changed, created, execution, line, submitted

from levada.model.commands import AdmitExecution, KillExecution
from levada.model.effects import ArmTimer, TimerKind
from levada.model.errors import Defect
from levada.model.events import ExecutionCreated
from levada.model.execution import Execution, Parent
from levada.model.states import State
from levada.store.port import (
    Commit,
    DeadLetter,
    DueTimer,
    ExecutionFilter,
    Fenced,
    LogFilter,
    OutEntry,
    SequenceConflict,
    SlotChange,
    SlotConflict,
)


@pytest.fixture
async def owner(world: World) -> Owner:
    return await Owner(world.executions).own()


async def load(world: World, id: str) -> Execution:
    return (await world.executions.load([id]))[id]


# --- ownership


async def test_taking_over_raises_the_epoch_and_keeps_the_positions(world: World) -> None:
    (first,) = await world.executions.own([0], "one")
    await world.executions.commit(Commit(owned={0: first.epoch}, positions={0: 7}, relayed={0: 0}))
    (second,) = await world.executions.own([0], "two")
    assert second.epoch == first.epoch + 1
    assert (second.done_off, second.out_next, second.relay_off) == (7, 0, 0)
    assert await world.executions.done_off(0) == 7


async def test_a_fenced_owner_writes_nothing_at_all(world: World) -> None:
    old = await Owner(world.executions, "old").own()
    await Owner(world.executions, "new").own(2)
    with pytest.raises(Fenced, match="2"):
        await old.commit(
            created(execution("e1")),
            positions={0: 5, 2: 5},
            logs=[line("e1", "hello", at=1)],
            out=[OutEntry(0, 0, KillExecution(execution_id="x"))],
            slots=[SlotChange(kind="queue", flow_key="f", execution_id="e1", at=1, limit=1)],
        )
    assert await world.executions.load(["e1"]) == {}
    assert await world.executions.done_off(0) == 0
    assert await world.executions.unsent(0, 0) == []
    assert await world.logs.count("main", LogFilter()) == 0
    assert await world.executions.slots(["f"]) == {"f": 0}
    assert await world.queries.events("e1") == []


async def test_a_position_is_read_back_per_partition(world: World, owner: Owner) -> None:
    await owner.commit(positions={0: 3, 1: 9})
    await owner.commit(positions={1: 10})
    assert [await world.executions.done_off(part) for part in range(3)] == [3, 10, 0]


# --- executions


async def test_an_execution_comes_back_as_it_was_written(world: World, owner: Owner) -> None:
    made = execution(
        "e1",
        inputs={"name": "Ada", "n": [1, {"x": None}]},
        labels=[("team", "data"), ("odd", "a\u0000b")],
        parent=Parent(execution_id="p", task_run_id="t"),
        variables={"v": "ü\u0000"},
    )
    add_run(made, "a").outputs = {"value": "\u0000x"}
    write = created(made)
    await owner.commit(write)
    found = await load(world, "e1")
    assert found.tree == {"built": True}
    assert found.dirty == set()
    assert found.task_runs == made.task_runs
    found.tree, found.dirty = made.tree, made.dirty
    assert found == made
    assert await world.queries.events("e1") == write.events
    assert await world.executions.load(["nobody"]) == {}


async def test_task_runs_come_back_in_order_of_creation(world: World, owner: Owner) -> None:
    made = execution("e1")
    for id in ("c", "a", "d"):
        add_run(made, id)
    await owner.commit(created(made))
    made.dirty.clear()
    add_run(made, "b")
    add_run(made, "0")
    await owner.commit(changed(made, "b", "0", "a"))
    del made.task_runs["d"]
    add_run(made, "A")
    await owner.commit(changed(made, "d", "A"))
    assert list((await load(world, "e1")).task_runs) == ["c", "a", "b", "0", "A"]


async def test_only_dirty_task_runs_are_written(world: World, owner: Owner) -> None:
    made = execution("e1")
    add_run(made, "a")
    add_run(made, "b")
    await owner.commit(created(made))
    made.task_runs["a"].error = made.task_runs["b"].error = "changed"
    await owner.commit(changed(made, "b"))
    found = await load(world, "e1")
    assert (found.task_runs["a"].error, found.task_runs["b"].error) == (None, "changed")


async def test_the_store_keeps_no_reference_to_what_it_was_given(world: World, owner: Owner) -> None:
    made = execution("e1", inputs={"list": [1]})
    await owner.commit(created(made))
    made.inputs["list"].append(2)  # type: ignore[index]
    (await load(world, "e1")).inputs["list"].append(3)  # type: ignore[index]
    assert (await load(world, "e1")).inputs == {"list": [1]}


async def test_a_second_writer_is_refused_and_nothing_is_written(world: World, owner: Owner) -> None:
    made = execution("e1")
    await owner.commit(created(made))
    stale = await load(world, "e1")
    await owner.commit(changed(made, state=State.SUCCESS))
    with pytest.raises(SequenceConflict, match="e1"):
        await owner.commit(created(execution("e2")), changed(stale, state=State.FAILED), positions={0: 99})
    assert (await load(world, "e1")).state is State.SUCCESS
    assert await world.executions.load(["e2"]) == {}
    assert await world.executions.done_off(0) == 2


async def test_an_execution_is_created_once(world: World, owner: Owner) -> None:
    await owner.commit(created(execution("e1")))
    with pytest.raises(SequenceConflict):
        await owner.commit(created(execution("e1")), positions={0: 99})
    assert await world.executions.done_off(0) == 1


async def test_events_of_many_turns_are_one_history(world: World, owner: Owner) -> None:
    made = execution("e1")
    writes = [created(made)]
    await owner.commit(writes[0])
    for _ in range(5):
        writes.append(changed(made))
        await owner.commit(writes[-1])
    events = await world.queries.events("e1")
    assert events == [event for write in writes for event in write.events]
    assert isinstance(events[0], ExecutionCreated)


async def test_a_large_batch_is_one_commit(world: World, owner: Owner) -> None:
    made = [execution(f"e{number}") for number in range(300)]
    for one in made:
        add_run(one, f"{one.id}-a", State.SUCCESS)
        add_run(one, f"{one.id}-b", State.SUCCESS)
    await owner.commit(*[created(one) for one in made], logs=[line(one.id, "hello", at=1) for one in made])
    found = await world.executions.load([one.id for one in made])
    assert {id: len(one.task_runs) for id, one in found.items()} == {one.id: 2 for one in made}
    assert await world.logs.count("main", LogFilter()) == 300


async def test_two_writes_of_one_execution_in_a_batch_are_a_defect(world: World, owner: Owner) -> None:
    with pytest.raises(Defect):
        await owner.commit(created(execution("e1")), created(execution("e1")))


# --- what goes along


async def test_commands_to_send_are_kept_until_relayed(world: World, owner: Owner) -> None:
    entries = [OutEntry(1, number, KillExecution(execution_id=f"x{number}")) for number in range(3)]
    await owner.commit(out=entries)
    assert await world.executions.unsent(1, 0) == entries
    assert await world.executions.unsent(1, 2) == entries[2:]
    await owner.commit(relayed={1: 2})
    again = {one.partition: one for one in await world.executions.own(range(PARTITIONS), "two")}
    assert (again[1].out_next, again[1].relay_off, again[0].out_next) == (3, 2, 0)


async def test_timers_come_due_and_fire_once(world: World, owner: Owner) -> None:
    made = execution("e1")
    write = created(made)
    write.timers = [
        ArmTimer(kind=TimerKind.SLEEP, due=500, seq=2, task_run_id="a"),
        ArmTimer(kind=TimerKind.SLA, due=100, seq=1),
        ArmTimer(kind=TimerKind.PAUSE, due=9000, seq=2),
    ]
    await owner.commit(write)
    due = await world.executions.due_timers(1000, 10)
    assert due == [DueTimer("e1", 1, "sla", 100, None), DueTimer("e1", 2, "sleep", 500, "a")]
    assert await world.executions.due_timers(1000, 1) == due[:1]
    await world.executions.mark_fired(due)
    assert await world.executions.due_timers(1000, 10) == []
    fired = changed(made)
    fired.fired = [(2, "pause")]
    await owner.commit(fired)
    assert await world.executions.due_timers(10_000, 10) == []


async def test_dead_letters_and_logs_travel_with_the_batch(world: World, owner: Owner) -> None:
    dead = DeadLetter(topic="commands", partition=0, offset=3, key="k", reason="unreadable", body=b"\x00\xff", at=5)
    await owner.commit(dead=[dead], logs=[line("e1", "with \x00 in it", at=1)])
    (entry,) = await world.logs.read("main", LogFilter(execution_id="e1"))
    assert entry.message in ("with \x00 in it", "with \ufffd in it")


# --- concurrency slots


def claim(id: str, limit: int = 1, at: int = 1) -> SlotChange:
    return SlotChange(kind="claim", flow_key="f", execution_id=id, at=at, limit=limit)


def queue(id: str, limit: int = 1, at: int = 1) -> SlotChange:
    return SlotChange(kind="queue", flow_key="f", execution_id=id, at=at, limit=limit)


def release(id: str, limit: int | None = 1) -> SlotChange:
    return SlotChange(kind="release", flow_key="f", execution_id=id, at=1, limit=limit)


async def test_claims_up_to_the_limit_are_held(world: World, owner: Owner) -> None:
    assert await owner.commit(slots=[claim("a", 2), claim("b", 2)]) == []
    assert await world.executions.slots(["f", "g"]) == {"f": 2, "g": 0}


async def test_a_claim_over_the_limit_is_a_conflict_and_writes_nothing(world: World, owner: Owner) -> None:
    await owner.commit(slots=[claim("a")])
    with pytest.raises(SlotConflict) as refused:
        await owner.commit(created(execution("e1")), slots=[claim("b")], positions={0: 99})
    assert refused.value.flow_key == "f"
    assert await world.executions.load(["e1"]) == {}
    assert await world.executions.slots(["f"]) == {"f": 1}
    assert await world.executions.done_off(0) == 1


async def test_a_freed_slot_goes_to_whoever_waits_longest(world: World, owner: Owner) -> None:
    await owner.commit(slots=[claim("a")])
    await owner.commit(slots=[queue("late", at=30), queue("early", at=10), queue("middle", at=20)])
    assert await owner.commit(slots=[release("a")]) == [("f", "early")]
    assert await world.executions.slots(["f"]) == {"f": 1}
    assert await owner.commit(slots=[release("early")]) == [("f", "middle")]


async def test_an_admission_is_a_command_to_send(world: World, owner: Owner) -> None:
    own = OutEntry(0, 0, KillExecution(execution_id="x"))
    await owner.commit(slots=[claim("a"), queue("b"), queue("c", at=2)], out=[own])
    assert await owner.commit(slots=[release("a", 2)]) == [("f", "b"), ("f", "c")]
    admitted = [
        OutEntry(0, 1, AdmitExecution(execution_id="b", queued=1)),
        OutEntry(0, 2, AdmitExecution(execution_id="c", queued=2)),
    ]
    assert await world.executions.unsent(0, 0) == [own, *admitted]
    (again,) = await world.executions.own([0], "two")
    assert again.out_next == 3


async def test_admissions_follow_the_commands_of_their_own_batch(world: World, owner: Owner) -> None:
    await owner.commit(slots=[claim("a"), queue("b")])
    own = OutEntry(0, 0, KillExecution(execution_id="x"))
    await owner.commit(slots=[release("a")], out=[own])
    assert await world.executions.unsent(0, 0) == [own, OutEntry(0, 1, AdmitExecution(execution_id="b", queued=1))]


async def test_leaving_the_queue_admits_nobody_else(world: World, owner: Owner) -> None:
    await owner.commit(slots=[claim("a"), queue("b"), queue("c")])
    assert await owner.commit(slots=[release("b")]) == []
    assert await owner.commit(slots=[release("a")]) == [("f", "c")]


async def test_who_joins_the_queue_of_a_flow_with_a_free_slot_is_admitted(world: World, owner: Owner) -> None:
    assert await owner.commit(slots=[queue("a")]) == [("f", "a")]


async def test_a_release_without_limit_admits_nobody(world: World, owner: Owner) -> None:
    await owner.commit(slots=[claim("a"), queue("b")])
    assert await owner.commit(slots=[release("a", None)]) == []


async def test_an_execution_that_starts_and_ends_in_one_batch_leaves_no_slot(world: World, owner: Owner) -> None:
    assert await owner.commit(slots=[claim("a"), release("a"), claim("b"), release("b")]) == []
    assert await world.executions.slots(["f"]) == {"f": 0}


async def test_who_gives_a_slot_back_and_queues_again_in_one_batch_waits_like_everybody(
    world: World, owner: Owner
) -> None:
    await owner.commit(slots=[claim("a"), queue("b", at=5)])
    assert await owner.commit(slots=[release("a"), queue("a", at=9)]) == [("f", "b")]
    assert await owner.commit(slots=[release("b")]) == [("f", "a")]
    assert await owner.commit(slots=[release("a"), queue("a", at=20)]) == [("f", "a")]
    assert await world.executions.slots(["f"]) == {"f": 1}


async def test_a_repeated_claim_and_release_change_nothing(world: World, owner: Owner) -> None:
    await owner.commit(slots=[claim("a")])
    await owner.commit(slots=[claim("a")])
    assert await world.executions.slots(["f"]) == {"f": 1}
    await owner.commit(slots=[release("a")])
    assert await owner.commit(slots=[release("a")]) == []


async def test_two_executors_never_share_the_last_slot(world: World) -> None:
    other = await world.neighbour()
    one = await Owner(world.executions, "one").own(0, 1)
    two = await Owner(other.executions, "two").own(2, 3)
    outcomes = await asyncio.gather(
        *(owner.commit(slots=[claim(f"{owner.name}{n}", 3)]) for n in range(4) for owner in (one, two)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, SlotConflict) for outcome in outcomes) == 5
    assert await world.executions.slots(["f"]) == {"f": 3}


# --- lists


async def found(world: World, **conditions: object) -> list[str]:
    heads, total = await world.queries.search("main", ExecutionFilter(**conditions), sort=[("id", False)], limit=100)  # type: ignore[arg-type]
    assert total == len(heads)
    return [head.id for head in heads]


async def test_executions_are_found_by_what_they_are(world: World, owner: Owner) -> None:
    child = execution("e2", at=2_000, flow_id="other", parent=Parent(execution_id="e1", task_run_id="t"), kind="TEST")
    done = execution(
        "e3", at=3_000, namespace="company.team.deep", state=State.SUCCESS, labels=[("a", "1"), ("b", "2")]
    )
    away = execution("e4", at=4_000, namespace="company.teams", tenant="else")
    await owner.commit(*[created(one) for one in (execution("e1", at=1_000), child, done, away)])
    assert await found(world) == ["e1", "e2", "e3"]
    assert await found(world, ids=["e3", "e1", "nobody"]) == ["e1", "e3"]
    assert await found(world, ids=[]) == []
    assert await found(world, namespace="company.team") == ["e1", "e2", "e3"]
    assert await found(world, namespace="company.team", exact=True) == ["e1", "e2"]
    assert await found(world, namespace="company.te") == []
    assert await found(world, flow_id="other") == ["e2"]
    assert await found(world, states=[State.SUCCESS, State.FAILED]) == ["e3"]
    assert await found(world, states=[State.RUNNING]) == ["e1", "e2"]
    assert await found(world, not_states=[State.RUNNING]) == ["e3"]
    assert await found(world, labels={"a": "1"}) == ["e3"]
    assert await found(world, labels={"a": "1", "b": "3"}) == []
    assert await found(world, since=2_000, until=2_500) == ["e2"]
    assert await found(world, parent_id="e1") == ["e2"]
    assert await found(world, children=True) == ["e2"]
    assert await found(world, children=False) == ["e1", "e3"]
    assert await found(world, kinds=["TEST"]) == ["e2"]
    assert await found(world, kinds=["NORMAL"]) == ["e1", "e3"]
    assert await found(world, text="OTHER") == ["e2"]
    assert await found(world, text="%") == []


async def test_lists_are_sorted_and_paged_with_a_total(world: World, owner: Owner) -> None:
    await owner.commit(*[created(execution(f"e{number}", at=1000 + number)) for number in range(25)])
    newest, total = await world.queries.search("main", ExecutionFilter(), limit=10)
    assert ([head.id for head in newest][:2], len(newest), total) == (["e24", "e23"], 10, 25)
    rest, total = await world.queries.search("main", ExecutionFilter(), limit=10, offset=20)
    assert ([head.id for head in rest], total) == (["e4", "e3", "e2", "e1", "e0"], 25)
    assert await world.queries.search("main", ExecutionFilter(), limit=10, offset=30) == ([], 25)
    assert await world.queries.search("main", ExecutionFilter(), limit=0) == ([], 25)
    oldest, _ = await world.queries.search("main", ExecutionFilter(), sort=[("created", False)], limit=1)
    assert oldest[0].id == "e0"


async def test_a_deleted_execution_is_in_no_list(world: World, owner: Owner) -> None:
    made = execution("e1", state=State.SUCCESS)
    await owner.commit(created(made))
    made.deleted = True
    await owner.commit(changed(made))
    assert await found(world) == []


async def test_purging_takes_everything_along(world: World, owner: Owner) -> None:
    made = execution("e1")
    await owner.commit(created(made), created(execution("e2")), logs=[line("e1", "x", at=1), line("e2", "y", at=1)])
    await owner.commit(submitted(made, "a"))
    assert await world.queries.purge(["e1", "nobody"]) == 1
    assert await found(world) == ["e2"]
    assert await world.executions.load(["e1"]) == {}
    assert await world.queries.events("e1") == []
    assert await world.jobs.claim("w", ["default"], 10, timeout_s=0) == []
    assert [entry.execution_id for entry in await world.logs.read("main", LogFilter())] == ["e2"]
